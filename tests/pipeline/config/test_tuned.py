"""The section `tuning`, and the values of a search, which take the place of those in `training`."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.base.errors import ConfigError
from pipeline.config import Config, load, tuned

LEAST: dict[str, Any] = {
    "name": "pets",
    "task": "single_label",
    "data": {"root": "images"},
    "push": {"destination": "served"},
}


def config(folder: Path, *overrides: str, found: str | None = None, use_tuned: bool = True, **sections: Any) -> Config:
    (folder / "imagegate.yaml").write_text(yaml.safe_dump(LEAST | sections))
    if found is not None:
        (folder / "tuned.yaml").write_text(found)
    return load(str(folder / "imagegate.yaml"), overrides, use_tuned=use_tuned)


def error(folder: Path, *overrides: str, found: str | None = None, **sections: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        config(folder, *overrides, found=found, **sections)
    return str(caught.value).replace(str(folder), "DIR")


def test_found_values_take_the_place_of_the_section_but_not_of_the_command_line(tmp_path: Path) -> None:
    training = {"tuned": "tuned.yaml", "loss": "cross_entropy", "epochs": 7}
    found = "loss: focal\nlearning_rate: 0.003\nimage_size: [64, 64]\n"
    read = config(tmp_path, "training.learning_rate=0.01", found=found, training=training).training
    assert (read.loss, read.learning_rate, read.image_size, read.epochs) == ("focal", 0.01, (64, 64), 7)


def test_found_values_change_what_the_caches_go_by(tmp_path: Path) -> None:
    training = {"tuned": "tuned.yaml"}
    first, second = (config(tmp_path, found=f"learning_rate: {rate}", training=training) for rate in (0.003, 0.004))
    assert first.fingerprint() != second.fingerprint()
    assert first.trainer_settings("") != second.trainer_settings("")


def test_a_search_starts_from_the_configuration_as_it_is(tmp_path: Path) -> None:
    read = config(tmp_path, found="loss: focal", training={"tuned": "tuned.yaml"}, use_tuned=False).training
    assert (read.loss, read.tuned) == ("cross_entropy", None)


def test_what_is_pinned_is_read_again(tmp_path: Path) -> None:
    found = {"label_weights": {"no": 1.0, "1e3": 2.0}, "image_size": [64, 96], "loss": "focal", "backbone": "small"}
    (tmp_path / "tuned.yaml").write_text(tuned.pinned(found, "two\nlines"))
    assert (tmp_path / "tuned.yaml").read_text().startswith("# two\n# lines\nbackbone: small\n")
    assert tuned.values(str(tmp_path / "tuned.yaml")) == found


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (None, "training.tuned: DIR/tuned.yaml: No such file or directory; `imagegate tune CONFIG` writes such a file"),
        ("", "expected keys of training and their values; `imagegate tune CONFIG` writes such a file"),
        ("[1, 2]", "expected keys of training and their values"),
        ("los: focal", "'los' is no key of training that can be tuned; did you mean loss?"),
        ("seed: 2", "'seed' is no key of training that can be tuned; `imagegate tune CONFIG` writes such a file"),
        ("loss: [focal", "training.tuned: DIR/tuned.yaml"),
        (
            "loss: hinge",
            "training.loss: expected 'cross_entropy' or 'focal', got 'hinge' (from DIR/tuned.yaml)",
        ),
    ],
)
def test_a_damaged_file_is_one_sentence(tmp_path: Path, found: str | None, message: str) -> None:
    told = error(tmp_path, found=found, training={"tuned": "tuned.yaml"})
    assert message in told
    assert "\n" not in told


def test_a_file_of_values_inside_the_data_set_is_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/tuned.yaml").write_text("loss: focal")
    read = config(tmp_path, training={"tuned": "images/tuned.yaml"})
    assert ("training.tuned", f"{tmp_path}/images/tuned.yaml") in read.source.skipped


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"loss": ["cross_entropy", "hinge"]}, "tuning.over.loss: expected 'cross_entropy' or 'focal', got 'hinge'"),
        ({"image_size": [[64, 64], [64, 0]]}, "tuning.over.image_size.1: expected"),
        ({"learning_rate": {"min": 0.1, "max": 2}}, "tuning.over.learning_rate: expected at most 1, got 2"),
        ({"los": ["focal"]}, "tuning.over: los: no key of training that can be tuned; did you mean loss?"),
        ({"backbone": ["small", "network.h5"]}, "network.h5: loading such a file may run code"),
        ({"freeze_epochs": [0, 5]}, "freeze_epochs: backbone 'small' starts from random weights"),
    ],
)
def test_values_that_a_key_does_not_take_are_refused(tmp_path: Path, over: dict[str, Any], message: str) -> None:
    assert message in error(tmp_path, tuning={"over": over})


def test_a_value_may_need_another_that_is_tried_with_it(tmp_path: Path) -> None:
    over = {"freeze_epochs": [0, 5], "backbone": ["small", "MobileNetV2"]}
    assert config(tmp_path, tuning={"over": over}).tuning is not None


def test_a_section_makes_every_run_search_until_its_values_are_pinned(tmp_path: Path) -> None:
    assert not config(tmp_path).searches
    assert config(tmp_path, tuning={}).searches
    assert not config(tmp_path, tuning={}, training={"tuned": "tuned.yaml"}, found="loss: focal").searches


def test_backbones_that_are_tried_are_absolute(tmp_path: Path) -> None:
    read = config(tmp_path, tuning={"over": {"backbone": ["small", "MobileNetV2"]}})
    assert read.backbones == ("small", "MobileNetV2")


def test_a_trial_has_the_defaults_that_follow_its_values(tmp_path: Path) -> None:
    settings = config(tmp_path, tuning={}, training={"epochs": 3}).tuner_settings("code")
    assert settings.of_trial({}).head_epochs(masks=False) == 0  # of small
    assert settings.of_trial({"backbone": "MobileNetV2"}).head_epochs(masks=False) == 20  # of a pretrained one
    assert (settings.of_trial({}).epochs, settings.of_trial({}).task) == (3, "single_label")
