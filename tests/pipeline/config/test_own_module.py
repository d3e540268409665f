"""`training.module` before anything runs: what it goes with, and what can be seen without running it."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.base.errors import ConfigError
from components.model.networks import own
from pipeline import cli, config, derived
from pipeline.config import backbones

GOOD = "def build(settings): ...\n"
Png = Callable[..., bytes]
WriteFiles = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path, write_files: WriteFiles, png: Png) -> Callable[..., str]:
    def write(text: str = GOOD, **sections: Any) -> str:
        write_files(tmp_path / "images", {f"{label}/{i}.png": png(i) for i, label in enumerate(["cat", "dog"])})
        told = {"name": "pets", "task": "single_label", "data": {"root": "images"}, "push": {"destination": "served"}}
        (tmp_path / "net.py").write_text(text)
        told |= {"training": {"module": "net.py"} | sections.pop("training", {})} | sections
        (tmp_path / "imagegate.yaml").write_text(yaml.safe_dump(told))
        return str(tmp_path / "imagegate.yaml")

    return write


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"training": {"backbone": "small"}}, "training.backbone: has no effect with training.module"),
        ({"training": {"weights": "imagenet"}}, "training.weights: imagenet has no effect with training.module"),
        ({"training": {"module": None, "weights": "module"}}, "weights: `module` needs the key module"),
        ({"training": {"freeze_epochs": 2}}, "freeze_epochs: backbone 'net.py' starts from random weights"),
        ({"tuning": {"over": {"backbone": ["small"]}}}, "tuning.over.backbone: has no effect with training.module"),
        ({"tuning": {"over": {"module": ["a.py"]}}}, "module: no key of training that can be tuned"),
    ],
)
def test_keys_that_have_no_effect_are_refused(
    project: Callable[..., str], sections: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        config.load(project(**sections))


def test_trained_weights_are_those_of_the_module(project: Callable[..., str]) -> None:
    assert not config.load(project()).training.pretrained
    assert config.load(project(training={"weights": "module"})).training.solves_head


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def build(settings)\n", r"net.py, line 1: expected ':'"),
        ("def bild(settings): ...\n", r"expected a function build(settings) that returns a Keras model; it has bild"),
        ("import keras\n", "that returns a Keras model; it has none"),
        ("a = '\0'", "net.py"),
    ],
)
def test_what_can_be_seen_is_refused_before_ingest(
    project: Callable[..., str], capsys: pytest.CaptureFixture[str], command: str, text: str, message: str
) -> None:
    assert cli.main([command, project(text)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("imagegate: training.module: ")
    assert message in error
    assert error.count("\n") == 1


def test_a_missing_file_has_a_near_match(project: Callable[..., str], tmp_path: Path) -> None:
    path = project(training={"module": "nets.py"})
    with pytest.raises(ConfigError, match=r"training\.module: .*/nets\.py does not exist; did you mean net\.py\?"):
        backbones.check_module(config.load(path).module_path or "")


def test_checking_does_not_run_the_code(project: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", project("raise SystemExit('I ran')\n" + GOOD)]) == 3  # of two images, too few
    assert "I ran" not in "".join(capsys.readouterr())


def test_the_cache_keys_follow_the_content(project: Callable[..., str]) -> None:
    loaded = config.load(project())
    assert derived.files(loaded).backbone == hashlib.sha256(GOOD.encode()).hexdigest()
    assert derived.files(config.load(project(GOOD + "# other"))).backbone != derived.Files().backbone
    settings = loaded.trainer_settings("")
    assert (settings.module, settings.backbone) == (loaded.module_path, "small")
    assert loaded.tuner_settings("").of_trial({}).module == loaded.module_path


def test_the_function_has_one_name() -> None:
    assert backbones._BUILD == own.FUNCTION
