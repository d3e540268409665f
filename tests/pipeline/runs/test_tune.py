"""`imagegate tune`: arguments in place of the section, what is announced, and the file of what was found."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.base.errors import ConfigError
from components.model.tuning.journal import Trial, Trials
from components.report.run_summary import RunSummary, Stage
from pipeline.config import load
from pipeline.config.checks import check_labels
from pipeline.runs import history, tune
from pipeline.stages import TRAINER

LEAST: dict[str, Any] = {
    "name": "pets",
    "task": "single_label",
    "data": {"root": "images"},
    "push": {"destination": "served"},
}


def write(folder: Path, **sections: Any) -> str:
    (folder / "imagegate.yaml").write_text(yaml.safe_dump(LEAST | sections))
    return str(folder / "imagegate.yaml")


def announced(path: str, trials: int | None = None, minutes: float | None = None, over: str | None = None) -> str:
    return tune.announced(tune.configuration(path, (), trials, minutes, over))


def test_what_is_searched_for_and_for_how_long_is_said_first(tmp_path: Path) -> None:
    path = write(tmp_path)
    unknown = "; the first trial tells how long they take"
    assert announced(path) == f"tuning loss, learning_rate: at most 12 trials and 60 minutes{unknown}"
    assert announced(path, trials=1) == f"tuning loss, learning_rate: at most 1 trial{unknown}"
    assert announced(path, minutes=1.5) == "tuning loss, learning_rate: at most 1.5 minutes"


def test_the_expected_time_is_that_of_the_last_training(tmp_path: Path) -> None:
    path, run = write(tmp_path), tmp_path / "runs/pets/history/1"
    run.mkdir(parents=True)
    stages = (Stage(name=TRAINER.name, seconds=90, cached=False),)
    told = RunSummary(run_id="1", name="pets", task="single_label", status="pushed", stages=stages)
    (run / "summary.json").write_text(told.to_json())
    assert [one.run_id for one in history.read(str(tmp_path / "runs/pets"))] == ["1"]
    # 4 trials of 90 s are 6 minutes.
    assert announced(path, trials=4).endswith("; about 6 minutes if each takes as long as the last training, 90 s")


def test_arguments_take_the_place_of_the_section(tmp_path: Path) -> None:
    over = {"learning_rate": {"min": 0.001, "max": 0.01}, "epochs": [1, 2, 3], "loss": None}
    path = write(tmp_path, tuning={"over": over, "trials": 3})
    assert announced(path).startswith("tuning epochs (3 values), learning_rate from 0.001 to 0.01, loss: at most 3")
    config = tune.configuration(path, ("tuning.minutes=7",), 5, None, "epochs, augment")
    assert config.tuning is not None
    assert dict(config.tuning.over) == {"epochs": (1, 2, 3), "augment": None}
    assert (config.tuning.trials, config.tuning.minutes) == (5, 7)


def test_a_section_without_keys_is_one(tmp_path: Path) -> None:
    path = write(tmp_path, tuning=None)
    config = tune.configuration(path, (), 5, None, None)
    assert config.tuning is not None
    assert config.tuning.trials == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, None, None), "tuning.trials: "),
        ((None, -1.0, None), "tuning.minutes: "),
        ((None, None, "los"), "los: no key of training that can be tuned; did you mean loss?"),
        ((None, None, "backbone"), "backbone: list the values to try, such as backbone: [A, B]"),
        ((None, None, ""), "no key of training that can be tuned"),
    ],
)
def test_wrong_arguments_are_one_sentence(tmp_path: Path, arguments: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tune.configuration(write(tmp_path), (), *arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_of_labels_that_are_not_there_are_refused(tmp_path: Path) -> None:
    config = load(write(tmp_path, tuning={"over": {"label_weights": ["none", {"cot": 2}]}}))
    with pytest.raises(ConfigError, match=r"tuning.over.label_weights: unknown label 'cot'; expected one of 'cat'"):
        check_labels(config, ["cat", "dog"])


def test_what_was_found_is_a_file_that_the_configuration_takes(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "runs/pets").mkdir(parents=True)
    ends = (("as it was", 0.5), ("best", 0.25))
    trials = tuple(
        Trial(number=i, overlay={}, status="finished", measure=value, seconds=1) for i, (_, value) in enumerate(ends, 1)
    )
    found = Trials(measure="1 - mean IoU", trials=trials, best=2, values={"loss": "focal", "learning_rate": 0.01})
    summary = RunSummary(run_id="7", name="pets", task="single_label", status="tuned", tuning=found)
    written = tune.pin(load(path), summary)
    assert written == f"{tmp_path}/runs/pets/tuned.yaml"
    assert Path(written).read_text() == (
        "# Found by `imagegate tune`, run 7: trial 2 of 2.\n"
        "# 1 - mean IoU on eval: 0.25; with the configuration as it was: 0.5.\n"
        "# The configuration takes these values with training.tuned, the path of this file.\n"
        "learning_rate: 0.01\n"
        "loss: focal\n"
    )
    pinned = load(write(tmp_path, training={"tuned": "runs/pets/tuned.yaml"})).training
    assert (pinned.loss, pinned.learning_rate) == ("focal", 0.01)
