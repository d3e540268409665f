"""Trained projects: the demos, each run once, and a tiny one that tests may change, with its first runs done."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import Demo, Project, Run, Trained, command, copy_source, train_demo, write_tiny


@pytest.fixture(scope="session")
def imagegate(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Runs a command as a user would, in a process and folder of its own."""
    return command(copy_source(tmp_path_factory.mktemp("source")), tmp_path_factory.mktemp("somewhere"))


@pytest.fixture(scope="session")
def demo(imagegate: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo of digits, made and run by the command."""
    folder = tmp_path_factory.mktemp("user") / "demo"
    made = imagegate("init", folder, "--demo")
    first = imagegate("run", folder / "imagegate.yaml")
    assert first.code == 0, first
    return Demo(folder, "digits", made, first, Project(folder, "digits").latest_summary())


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The demo of several labels to an image, some of them unknown."""
    return train_demo(tmp_path_factory.mktemp("multi") / "demo", "multi_label", "shapes")


@pytest.fixture(scope="session")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The demo of masks."""
    return train_demo(tmp_path_factory.mktemp("masks") / "demo", "segmentation", "regions")


@pytest.fixture(scope="session")
def _tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Path]:
    """The tiny project, run, and run again with a baseline; and a copy of it."""
    project, copy = write_tiny(tmp_path_factory.mktemp("tiny") / "project"), tmp_path_factory.mktemp("copy") / "project"
    assert project.run()["status"] == "pushed"
    assert project.run("evaluation.slices=[label]")["status"] == "up_to_date"
    shutil.copytree(project.folder, copy, symlinks=True)
    return project, copy


@pytest.fixture
def tiny(_tiny: tuple[Project, Path]) -> Project:
    """Put back as it was, at the same path, since paths are part of the cache keys."""
    project, copy = _tiny
    shutil.rmtree(project.folder)
    shutil.copytree(copy, project.folder, symlinks=True)
    return project
