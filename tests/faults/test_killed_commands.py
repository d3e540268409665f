"""Commands that SIGKILL ends at random moments, again and again on one output: what follows completes, and is the same.

`make faults FAULTS=tests/faults/test_killed_commands.py` runs all of it.
"""

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from broken import small, table
from broken.kills import Killed, moments
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
    task: str, kills: int, undisturbed: Callable[[str], Project], tmp_path: Path, temporary: Path
) -> None:
    expected = undisturbed(task)
    summary = expected.latest_summary()
    project = copied(expected, tmp_path / "project")
    commands, done = Killed(project, {"TMPDIR": str(temporary)}), 0
    order = ["loading TFX", *(stage["name"] for stage in summary["stages"]), "Report"]
    for moment in moments(summary, kills, SEED):
        done += commands.kill(moment, order, "run", project.config)
        assert small.broken_versions(project.destination) == []
    code, out = commands.run("run", project.config)
    assert code == 0, out
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
    tmp_path: Path,
    temporary: Path,
) -> None:
    kills, projects = 10, []
    for name in ("whole", "killed"):
        project = copied(undisturbed("single_label"), tmp_path / name)
        commands, done = Killed(project, {"TMPDIR": str(temporary)}), 0
        command = [arguments[0], project.config, *arguments[1:]]
        for whole in projects:
            summary = whole.latest_summary()
            order = ["loading TFX", *(stage["name"] for stage in summary["stages"]), "Report"]
            for moment in moments(summary, kills, SEED):
                done += commands.kill(moment, order, *command)
        code, out = commands.run(*command)
        assert code == 0, out
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
    kills: int, undisturbed: Callable[[str], Project], tmp_path: Path
) -> None:
    original = undisturbed("single_label")
    project = Project(tmp_path / "project", original.name)
    shutil.copytree(original.folder, project.folder, symlinks=True)
    kept = {path: path.read_bytes() for path in (project.output / "pipeline").rglob("*") if path.is_file()}
    commands, draws, done = Killed(project, {}), random.Random(SEED), 0
    for number in range(kills):
        for old in range(40):  # of runs that were killed
            for file in range(25):
                path = project.output / "pipeline" / "Trainer" / "model" / f"{9000 + 100 * number + old}" / f"{file}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"x" * 100)
        if number == 0:
            seconds = timed(commands, project)
            continue
        done += commands.kill_after(draws.uniform(0.5, 1) * seconds, "clean", project.config)
        assert {path: path.read_bytes() for path in kept} == kept
    code, out = commands.run("clean", project.config)
    assert code == 0, out
    left = {path for path in (project.output / "pipeline").rglob("*") if path.is_file() and ".system" not in path.parts}
    assert left == {path for path in kept if ".system" not in path.parts}
    assert {path: path.read_bytes() for path in left} == {path: kept[path] for path in left}
    assert small.remains(project.output) == []
    table.add("`clean` is killed", done, "nothing that a run needs is gone; the next one removes the rest", COMMAND)


def timed(commands: Killed, project: Project) -> float:
    began = time.monotonic()
    code, out = commands.run("clean", project.config)
    assert code == 0, out
    return time.monotonic() - began


@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=pytest.mark.slow)])
def test_a_rollback_that_is_killed_again_and_again_leaves_whole_versions(
    kills: int, undisturbed: Callable[[str], Project], tmp_path: Path
) -> None:
    """It goes to one version and to the other in turn, so that each has something to do."""
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
    commands, draws, done = Killed(project, {}), random.Random(SEED), 0
    for number in range(kills):
        target = pushed[number % 2].version
        done += commands.kill_after(draws.uniform(0.3, 1.2), "rollback", project.config, target)
        assert small.broken_versions(project.destination) == []
        served = versions.current(str(project.destination))
        assert served is not None
        versions.verify(served)
        assert served.manifest.files in (pushed[0].manifest.files, pushed[1].manifest.files)
    code, out = commands.run("rollback", project.config, pushed[0].version)
    assert code == 0, out
    served = versions.current(str(project.destination))
    assert served is not None
    assert served.manifest.files == pushed[0].manifest.files
    versions.verify(served)
    assert small.broken_versions(project.destination) == []
    assert small.remains(project.destination) == []
    table.add("`rollback` is killed", done, "what is served is whole; the next one goes back", COMMAND)
