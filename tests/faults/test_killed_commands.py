"""Commands that SIGKILL ends at random moments, again and again on one output: what follows completes, and is the same.

`make faults FAULTS=tests/faults/test_killed_commands.py` runs all of it.
"""

import contextlib
import functools
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from broken import small, table
from broken.forks import Forks
from broken.kills import LOADING, Killed, moments
from projects import Project

from components.push import versions
from components.push.manifest import PushedManifest
from scripts import compare_runs

pytestmark = pytest.mark.end_to_end
COMMAND = "make faults FAULTS=tests/faults/test_killed_commands.py"
SEED = 26


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The folder for temporary files of the commands that are killed."""
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp"


@pytest.fixture(scope="module")
def forks() -> Iterator[Callable[[str], Forks]]:
    """`forks("pipeline.graph")`: a process that has loaded that module, to fork commands from."""
    with contextlib.ExitStack() as stack:
        yield functools.cache(lambda module: stack.enter_context(Forks(module)))


def copied(project: Project, folder: Path) -> Project:
    """The same project without its runs."""
    shutil.copytree(project.folder, folder, ignore=shutil.ignore_patterns("runs", "models"))
    return Project(folder, project.name)


@pytest.mark.parametrize(
    ("task", "kills"),
    [
        pytest.param("single_label", 2, marks=pytest.mark.slow),
        *(pytest.param(task, 30, marks=pytest.mark.slow) for task in small.TASKS),
    ],
)
def test_a_run_that_is_killed_again_and_again_comes_to_the_same(
    task: str,
    kills: int,
    undisturbed: Callable[[str], Project],
    forks: Callable[[str], Forks],
    tmp_path: Path,
    temporary: Path,
) -> None:
    expected = undisturbed(task)
    summary = expected.latest_summary()
    project = copied(expected, tmp_path / "project")
    commands, done = Killed(project, {"TMPDIR": str(temporary)}, forks("pipeline.graph")), 0
    order = [LOADING, *(stage["name"] for stage in summary["stages"]), "Report"]
    for moment in moments(summary, kills, SEED):
        done += commands.kill(moment, order, "run", project.config)
        assert small.broken_versions(project.destination) == []
    commands.run("run", project.config)
    assert done >= kills / 2, "too few were killed, so this test says little"
    # A run that is killed after its push has pushed: the next one finds that its model is served.
    assert project.latest_summary()["status"] in ("pushed", "up_to_date")
    assert small.differences(small.results(expected.output), small.results(project.output)) == []
    assert small.unfinished_results(project.output) == []
    assert small.remains(project.output, project.destination) == []
    assert list(temporary.iterdir()) == []
    assert small.broken_versions(project.destination) == []
    assert len([version for version in project.destination.iterdir() if version.name.isdigit()]) == 1
    rows = list((project.output / "history").glob("*/summary.json"))
    assert len(rows) >= done  # but for those that were killed before they had a folder
    table.add(
        f"`run` of `{task}` is killed, with all that it started", done, "the next runs complete; equal results", COMMAND
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "key", "file"),
    [
        (("tune", "--trials", "4", "--over", "loss"), "tuning", "tuned.yaml"),
        (("compare", "--methods", "weights,none", "--seeds", "2"), "comparison", "compared.md"),
    ],
)
def test_a_search_that_is_killed_again_and_again_comes_to_the_same(
    arguments: tuple[str, ...],
    key: str,
    file: str,
    undisturbed: Callable[[str], Project],
    forks: Callable[[str], Forks],
    tmp_path: Path,
    temporary: Path,
) -> None:
    kills, projects = 10, []
    for name in ("whole", "killed"):
        project = copied(undisturbed("single_label"), tmp_path / name)
        commands, done = Killed(project, {"TMPDIR": str(temporary)}, forks("pipeline.graph")), 0
        command = [arguments[0], project.config, *arguments[1:]]
        for whole in projects:
            summary = whole.latest_summary()
            order = [LOADING, *(stage["name"] for stage in summary["stages"]), "Report"]
            for moment in moments(summary, kills, SEED):
                done += commands.kill(moment, order, *command)
        commands.run(*command)
        assert (project.output / file).is_file()
        assert not project.destination.exists()
        projects.append(project)
    assert done >= kills / 2
    found = [timeless(project.latest_summary()[key]) for project in projects]
    assert list(compare_runs.differences(*found)) == []
    assert small.unfinished_results(project.output) == []
    assert small.remains(project.output) == []
    assert list(temporary.iterdir()) == []
    table.add(
        f"`{arguments[0]}` is killed", done, "the next one goes on, completes, and finds the same; no push", COMMAND
    )


def timeless(found: object) -> object:
    """What a search came to, without what differs between two that are equal."""
    if isinstance(found, dict):
        return {key: timeless(value) for key, value in found.items() if key not in ("seconds", "started", "run_id")}
    return [timeless(value) for value in found] if isinstance(found, list) else found


@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=pytest.mark.slow)])
def test_a_clean_that_is_killed_again_and_again_removes_nothing_that_is_needed(
    kills: int, undisturbed: Callable[[str], Project], forks: Callable[[str], Forks], tmp_path: Path
) -> None:
    original = undisturbed("single_label")
    project = Project(tmp_path / "project", original.name)
    shutil.copytree(original.folder, project.folder, symlinks=True)
    models = project.output / "pipeline" / "Trainer" / "model"
    wanted = len(os.listdir(models))
    kept = {path: path.read_bytes() for path in (project.output / "pipeline").rglob("*") if path.is_file()}
    commands, draws, done, half_way = Killed(project, {}, forks("pipeline.runs.local")), random.Random(SEED), 0, 0
    for number in range(kills):
        for old in range(40):  # of runs that were killed
            folder = models / f"{9000 + 100 * number + old}"
            folder.mkdir()
            for file in range(25):
                (folder / f"{file}").write_bytes(b"x" * 100)
        there = len(os.listdir(models))
        fewest = there - draws.randrange(41)
        if commands.kill_when(lambda fewest=fewest: len(os.listdir(models)) <= fewest, "clean", project.config):
            done += 1
            half_way += there > len(os.listdir(models)) > wanted
        assert {path: path.read_bytes() for path in kept} == kept
    commands.run("clean", project.config)
    left = {path for path in (project.output / "pipeline").rglob("*") if path.is_file() and ".system" not in path.parts}
    assert left == {path for path in kept if ".system" not in path.parts}
    assert {path: path.read_bytes() for path in left} == {path: kept[path] for path in left}
    assert small.remains(project.output) == []
    assert_in_the_middle(done, half_way, kills)
    table.add(
        f"`clean` is killed, {half_way} times with a part of 1,000 files removed",
        done,
        "nothing that a run needs is gone; the next one removes the rest",
        COMMAND,
    )


def assert_in_the_middle(done: int, half_way: int, kills: int) -> None:
    """Of few kills, each may come before or after the work."""
    assert done >= kills / 2, "too few were killed, so this test says little"
    assert half_way >= kills // 10, "too few were killed while they worked, so this test says little"


@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=pytest.mark.slow)])
def test_a_rollback_that_is_killed_again_and_again_leaves_whole_versions(
    kills: int, undisturbed: Callable[[str], Project], forks: Callable[[str], Forks], tmp_path: Path
) -> None:
    """It goes to the model that is not served, so that each has something to do."""
    original = undisturbed("single_label")
    project = copied(original, tmp_path / "project")
    model = tmp_path / "model"
    pushed = []
    for content in (b"one", b"two"):
        (model / "variables").mkdir(parents=True, exist_ok=True)
        (model / "saved_model.pb").write_bytes(content)
        for i in range(40):
            (model / "variables" / str(i)).write_bytes(content * 20_000)
        pushed.append(versions.push(str(model), str(project.destination), PushedManifest(name=project.name)))
    commands, draws, done, half_way = Killed(project, {}, forks("pipeline.runs.local")), random.Random(SEED), 0, 0
    for _ in range(kills):
        target = other(pushed, project)
        files = draws.randrange(len(target.manifest.files) + 3)  # with the manifest, and then the name of the version
        reached = functools.partial(is_copied, project.destination, set(os.listdir(project.destination)), files)
        if commands.kill_when(reached, "rollback", project.config, target.version):
            done += 1
            half_way += small.remains(project.destination) != []
        assert small.broken_versions(project.destination) == []
        assert served(project).manifest.files in (pushed[0].manifest.files, pushed[1].manifest.files)
    target = other(pushed, project)
    commands.run("rollback", project.config, target.version)
    assert served(project).manifest.files == target.manifest.files
    assert small.broken_versions(project.destination) == []
    assert small.remains(project.destination) == []
    assert_in_the_middle(done, half_way, kills)
    table.add(
        f"`rollback` is killed, {half_way} times with a part of the version copied",
        done,
        "what is served is whole; the next one goes back",
        COMMAND,
    )


def is_copied(destination: Path, before: set[str], files: int) -> bool:
    """Whether a new version is there, or so many files of it.

    Args:
        destination: of versions.
        before: names that were there; what a killed command left of the same version leaves it when it is removed.
        files: how many.
    """
    there = set(os.listdir(destination))
    before &= there
    new = [destination / name for name in there - before]
    return any(path.name.isdigit() or sum(len(names) for *_, names in os.walk(path)) >= files for path in new)


def served(project: Project) -> versions.Served:
    """What is served, the digests of which were compared."""
    found = versions.current(str(project.destination))
    assert found is not None
    versions.verify(found)
    return found


def other(pushed: list[versions.Served], project: Project) -> versions.Served:
    """The one of two versions whose model is not served."""
    there = served(project).manifest.files
    [found] = [one for one in pushed if one.manifest.files != there]
    return found
