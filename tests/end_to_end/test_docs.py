"""What README and docs say, done: their commands run, their reference is current, their links lead somewhere."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from projects import Demo

from pipeline import cli
from scripts import document

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(page: Path) -> list[str]:
    """The lines after "$ " in a page's console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_the_configuration_reference_is_current() -> None:
    assert document.PAGE.read_text() == document.page(), "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    local = [t for t in targets if "://" not in t]
    assert [t for t in local if not (page.parent / t).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_shown_is_one(page: Path) -> None:
    """Also those that need a cluster: their options are spelt as the command line knows them."""
    from pipeline.cli import _parser

    blocks = re.findall(r"```[a-z]*\n(.*?)```", page.read_text(), re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    for line in (line for line in lines if line.startswith("imagegate ")):
        _parser().parse_args(shlex.split(line, comments=True)[1:])


def write_photos(root: Path) -> None:
    """Writes 40 JPEG photos, 48 pixels wide and high, of each of three labels, whose colours tell them apart."""
    random = np.random.default_rng(0)
    for label, colour in (("hat", (200, 60, 60)), ("shirt", (60, 200, 60)), ("no", (60, 60, 200))):
        (root / label).mkdir(parents=True)
        for i in range(40):
            blobs = random.integers(-60, 60, (5, 5, 1)) + random.normal(colour, 20, (5, 5, 3))
            photo = Image.fromarray(np.clip(blobs, 0, 255).astype(np.uint8)).resize((48, 48))
            photo.save(root / label / f"{i}.jpg")


@pytest.mark.end_to_end
@pytest.mark.filterwarnings(r"ignore:label\(\) is deprecated")  # by protobuf; see `Project.run`
def test_the_documented_commands_run(demo: Demo, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_photos(tmp_path / "clothes")
    pages = (ROOT / "README.md", ROOT / "docs" / "report.md")
    shown = [shlex.split(line) for page in pages for line in commands(page) if line.startswith("imagegate")]
    assert len(shown) >= 6
    for _, *arguments in shown:
        moved = [
            re.sub(r"^demo/", f"{demo.folder}/", a).replace("clothes", str(tmp_path / "clothes")) for a in arguments
        ]
        assert cli.main(moved) == 0, (moved, *capfd.readouterr())
    # From a folder of photos to a pushed model, by two commands and without a key edited by hand.
    [version] = (tmp_path / "models" / "clothes").iterdir()
    assert json.loads((version / "imagegate.json").read_text())["labels"] == ["hat", "no", "shirt"]


@pytest.mark.end_to_end
def test_the_notebook_runs(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = json.loads((ROOT / "docs" / "artifacts.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    monkeypatch.chdir(demo.folder)
    names: dict[str, Any] = {}
    for cell in cells:
        exec(cell, names)
    assert len(names["answers"]) == demo.summary["data"]["counts"]["test"]
    assert names["statistics"]["train"].datasets[0].num_examples == demo.summary["data"]["counts"]["train"]
    whole = next(found for key, found in names["result"].slicing_metrics if key == ())[""][""]
    assert whole["accuracy"]["doubleValue"] == demo.summary["metrics"]["accuracy"]


def test_the_make_targets_of_the_readme_exist() -> None:
    targets = [shlex.split(line)[1] for line in commands(ROOT / "README.md") if line.startswith("make ")]
    assert targets == ["demo", "test"]
    for target in targets:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_make_demo_is_what_the_end_to_end_tests_run() -> None:
    done = subprocess.run(["make", "-n", "demo"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert ".venv/bin/imagegate init demo --demo" in done.stdout
    assert ".venv/bin/imagegate run demo/imagegate.yaml" in done.stdout


def test_every_command_is_in_the_readme() -> None:
    from pipeline.cli import _parser

    [actions] = [a for a in _parser()._actions if a.choices and a.metavar == "COMMAND"]
    text = (ROOT / "README.md").read_text()
    assert [name for name in actions.choices if f"`imagegate {name} " not in text] == []
