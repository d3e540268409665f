"""`imagegate init`: what it writes can be run as it stands."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from sklearn.datasets import load_digits

from components.errors import ConfigError
from components.layouts import folders
from pipeline import config, starter

# YAML takes some names for numbers, dates or truth values.
NAMES = ["pets", "2024", "1e5", "0x1F", "1_000", "true", "null", "no", "2020-01-01", "2020-13-45", "1.5", "12:30", "~"]
ODD = ["my data", "日本", ".hidden", "-rf", "a.b", "#1", "[x]", "it's", 'say "hi"', "a\nb", "{x}", "%s", "__"]


@pytest.mark.parametrize("name", NAMES + ODD)
def test_a_configuration_in_a_folder_of_any_name_loads(tmp_path: Path, name: str) -> None:
    path = starter.write(str(tmp_path / name), demo=False)
    settings = config.load(path)

    assert path == str(tmp_path / name / "imagegate.yaml")
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", settings.name)
    assert settings.data_root == str(tmp_path / name / "data" / settings.name)
    assert settings.destination == str(tmp_path / name / "models" / settings.name)


def test_a_plain_name_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.load(starter.write(str(tmp_path / "pets-2.v1"), demo=False)).name == "pets-2.v1"
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert config.load(starter.write(".", demo=False)).name == "here"


def test_the_written_values_are_the_defaults_unless_they_are_rules(tmp_path: Path) -> None:
    path = starter.write(str(tmp_path / "pets"), demo=False)
    written = config.load(path)
    least = {
        "name": "pets",
        "task": "single_label",
        "data": {"root": "data/pets"},
        "push": {"destination": "models/pets"},
    }
    (tmp_path / "pets" / "least.yaml").write_text(yaml.safe_dump(least))
    default = config.load(str(tmp_path / "pets" / "least.yaml"))

    assert written.evaluation.thresholds
    assert written.model_dump(exclude={"evaluation"}) == default.model_dump(exclude={"evaluation"})
    assert written.evaluation.slices == default.evaluation.slices


@pytest.mark.parametrize("demo", [False, True])
def test_comments_stand_in_line(tmp_path: Path, demo: bool) -> None:
    text = Path(starter.write(str(tmp_path / "pets"), demo=demo)).read_text()
    assert all(len(line) <= 120 and line == line.rstrip() for line in text.splitlines())
    assert text.count("#") > 15


def test_an_existing_configuration_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "imagegate.yaml").write_text("mine")
    with pytest.raises(ConfigError, match=r"imagegate\.yaml exists already"):
        starter.write(str(tmp_path), demo=True)
    assert (tmp_path / "imagegate.yaml").read_text() == "mine"
    assert os.listdir(tmp_path) == ["imagegate.yaml"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=f"{tmp_path}/file.*: (Not a directory|File exists)") as error:
        starter.write(str(tmp_path / "file" / "x"), demo=False)
    assert error.value.exit_code == 2


def test_the_demo_is_the_digits_of_scikit_learn(tmp_path: Path) -> None:
    settings = config.load(starter.write(str(tmp_path), demo=True))
    dataset = folders.read(settings.data_root, dict(settings.data.split))
    digits = load_digits()

    assert dataset.labels == tuple("0123456789")
    assert [len([r for r in dataset.records if r.labels == (label,)]) for label in dataset.labels] == list(
        np.bincount(digits.target)
    )
    # Levels 0 to 16 become 0 to 255: 16 steps of 15.94.
    first = {digit: digits.images[digits.target == digit][0] for digit in range(10)}
    for digit, levels in first.items():
        pixels = np.asarray(Image.open(f"{settings.data_root}/{digit}/000.png")).astype(float)
        np.testing.assert_allclose(pixels, levels * 255 / 16, atol=0.5)
