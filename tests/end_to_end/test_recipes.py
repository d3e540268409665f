"""CONTRIBUTING's recipes work: a copy of the source that follows all four is clean, and runs."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import ROOT, Run, copy_source

PAGE = ROOT / "CONTRIBUTING.md"
_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """(language, path or "", text) of every fenced block below the heading "Recipes"."""
    recipes = page.read_text().partition("\n## Recipes\n")[2]
    return [(language, path, text) for language, path, text in _BLOCK.findall(recipes.partition("\n## ")[0])]


def follow(page: Path, folder: Path) -> None:
    """Follows every block, in order: a file, a diff, or commands that copy files."""
    for language, path, text in blocks(page):
        if language == "diff":
            command = ["git", "apply", "--unidiff-zero", "--whitespace=nowarn", "-"]
            subprocess.run(command, input=text, text=True, check=True, cwd=folder)
        elif language == "console":
            for line in text.splitlines():
                subprocess.run(shlex.split(line.removeprefix("$ ")), check=True, cwd=folder)
        elif path:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source in which all recipes were followed."""
    folder = copy_source(tmp_path_factory.mktemp("recipes"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "README.md").write_text("")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)  # git applies diffs to a repository alone
    follow(PAGE, folder)
    return folder


@pytest.fixture(scope="module")
def project(source: Path) -> Path:
    """Twenty images of each of three grades in one folder, and the configuration that the recipes show."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    (source / "data").mkdir()
    for digit in range(3):
        for i, pixels in enumerate(digits.images[digits.target == digit][:20]):
            Image.fromarray((pixels * 15).astype("uint8")).save(source / "data" / f"{digit}_{i:03}.png")
    return source / "prefixed.yaml"


def test_there_are_four_recipes_and_their_code_is_clean(source: Path) -> None:
    titles = [line for line in PAGE.read_text().splitlines() if line.startswith("### Add a ")]
    assert titles == ["### Add a label kind", "### Add a layout", "### Add a data-gate rule", "### Add a stage"]
    for command in (["ruff", "check"], ["ruff", "format", "--check"], ["lint-imports", "--no-cache"]):
        done = subprocess.run(
            [Path(sys.executable).parent / command[0], *command[1:]],
            cwd=source,
            env=os.environ | {"PYTHONPATH": str(source)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.end_to_end
def test_a_run_uses_the_kind_the_layout_the_rule_and_the_stage(
    imagegate: Callable[..., Run], source: Path, project: Path
) -> None:
    done = imagegate("run", project, source=source)
    assert done.code == 0, done
    summary = json.loads((source / "runs" / "prefixed" / "latest" / "summary.json").read_text())
    assert summary["data"]["labels"].keys() == {"0", "1", "2"}  # of names such as 2_007.png
    assert summary["metrics"]["within_one"] >= summary["metrics"]["accuracy"]
    sides = [verdict for verdict in summary["gates"] if "smallest" in verdict["rule"]]
    assert [(verdict["value"], verdict["passed"]) for verdict in sides] == [(8, True), (8, True)]
    [written] = (source / "runs" / "prefixed" / "pipeline" / "LabelList" / "label_list").glob("*/labels.txt")
    assert written.read_text() == "0\n1\n2\n"


@pytest.mark.end_to_end
def test_the_new_rule_refuses(imagegate: Callable[..., Run], source: Path, project: Path) -> None:
    done = imagegate("check", project, "--set", "balance.min_side=9", source=source)
    assert done.code == 3
    assert "smallest width in pixels is 8, below the minimum 9" in done.out
