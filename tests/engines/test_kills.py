"""Workers that are killed in the middle of a stage: nothing is lost or doubled, whatever the engine makes of it.

`make engines` runs this; it takes a quarter of an hour for each engine. The kill table is printed, and written to the
file that `IMAGEGATE_KILL_TABLE` names; docs/scaling.md has it.
"""

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from projects import Project, write_tiny

from engines import flink, outcomes, prism, processes, spark
from engines.outcomes import Outcome
from engines.workers import ROOT

DYING = Path(__file__).with_name("dying")
# Beginnings of names: of shards, plans and reports of ingest, of files that are replaced, and of Beam's and TFX's own.
TEMPORARY = re.compile(r"\.partial-|\.plan$|\.reports$|\.new\.|beam-temp-|\.temp")
_REPEATED = "nothing: the engine repeated the work"
_HEAD = "| engine | stage | killed | what the run said | lost |\n| --- | --- | --- | --- | --- |\n"


@contextlib.contextmanager
def _processes(folder: Path) -> Iterator[list[str]]:
    """Beam's runner in the process of `imagegate run`, with two worker processes."""
    del folder
    yield ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]


@contextlib.contextmanager
def _spark(folder: Path) -> Iterator[list[str]]:
    with spark.cluster(folder) as options:
        # Spark repeats a task at once, and would meet the dead worker in the cache.
        yield [*options, "--environment_cache_millis=0"]


ENGINES: dict[str, Callable[[Path], AbstractContextManager[list[str]]]] = {
    "processes": _processes,
    "prism-server": prism.server,
    "flink-cluster": flink.cluster,
    "spark-cluster": _spark,
}
PARAMETERS = [
    "processes",
    pytest.param("prism-server", marks=pytest.mark.go),
    pytest.param("flink-cluster", marks=pytest.mark.java),
    pytest.param("spark-cluster", marks=pytest.mark.java),
]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Outcome]:
    """A project, and what it comes to on the default runner."""
    project = write_tiny(tmp_path_factory.mktemp("kills") / "project")
    return project, outcomes.run(project, "default")


@pytest.fixture
def deaths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which a file named by a stage has a worker die there; see `dying/sitecustomize.py`."""
    monkeypatch.setenv("IMAGEGATE_DEATHS", str(tmp_path / "deaths"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (ROOT, DYING))))
    (tmp_path / "deaths").mkdir()
    return tmp_path / "deaths"


def attempt(project: Project, name: str, options: list[str]) -> str:
    """Runs; returns the one sentence with which the run failed, or "" where it went through."""
    done = outcomes.attempt(project, name, options, PYTHONPATH=os.environ["PYTHONPATH"])
    assert "Traceback" not in done.out + done.err
    if done.code == 0:
        return ""
    assert done.code == 1, done.out + done.err
    error: str = outcomes.summary_of(project, name)["error"]
    assert error
    assert "\n" not in error
    return error


def remains(output: Path) -> list[str]:
    """What is left below an output that has the name of something temporary."""
    return [str(path.relative_to(output)) for path in output.rglob("*") if TEMPORARY.match(path.name)]


def write_table(rows: list[tuple[str, ...]]) -> None:
    """Prints rows of the kill table, and appends them to the file that is named for it."""
    text = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    print(_HEAD + text)
    if name := os.environ.get("IMAGEGATE_KILL_TABLE"):
        new = not os.path.exists(name)
        with open(name, "a", encoding="utf-8") as f:
            f.write((_HEAD if new else "") + text)


@pytest.mark.engines
@pytest.mark.slow
@pytest.mark.end_to_end
@pytest.mark.parametrize("engine", PARAMETERS)
def test_a_worker_that_is_killed_in_each_stage_loses_nothing(
    engine: str, undisturbed: tuple[Project, Outcome], deaths: Path, tmp_path: Path
) -> None:
    project, expected = undisturbed
    for stage in outcomes.ON_ENGINE:
        (deaths / stage).touch()
    rows, told = [], set[str]()
    logs = tmp_path / engine
    logs.mkdir()
    with ENGINES[engine](logs) as options:
        for _ in range(len(outcomes.ON_ENGINE) + 1):  # an engine that ends its job ends one run for each stage
            error = attempt(project, engine, options)
            reached = [stage for stage in outcomes.ON_ENGINE if (deaths / f"{stage}.reached").exists()]
            for stage in reached:
                if stage not in told:
                    told.add(stage)
                    said = f"{error}; the next run went on" if error and stage == reached[-1] else _REPEATED
                    rows.append((engine, stage, "a worker", said, "nothing"))
            if not error:
                break
    assert told == set(outcomes.ON_ENGINE), "a worker was killed in each stage"
    assert error == ""
    assert outcomes.differences(expected, outcomes.read(project, engine)) == []
    assert remains(project.folder / engine) == []
    write_table(rows)


@pytest.mark.engines
@pytest.mark.slow
@pytest.mark.end_to_end
@pytest.mark.java
@pytest.mark.parametrize(("engine", "machine"), [("flink-cluster", "task-manager-1"), ("spark-cluster", "worker-1")])
def test_a_machine_that_is_lost_in_ingest_loses_nothing(
    engine: str, machine: str, undisturbed: tuple[Project, Outcome], deaths: Path, tmp_path: Path
) -> None:
    """Its Python worker lives on, in a pool of its own, and finishes a shard that nobody waits for any more."""
    project, expected = undisturbed
    (deaths / "ImageExampleGen").write_text("wait")
    name, logs = f"{engine}-machine", tmp_path / engine
    logs.mkdir()
    with contextlib.ExitStack() as stack:
        options = stack.enter_context(ENGINES[engine](logs))
        run = stack.enter_context(ThreadPoolExecutor(1)).submit(attempt, project, name, options)
        stack.callback((deaths / "go").touch)
        while not (deaths / "ImageExampleGen.reached").exists():
            assert not run.done(), run.result()
            time.sleep(0.1)
        processes.kill(logs / f"{machine}.log")
        if engine.startswith("flink"):  # it waits for as many slots as before
            stack.enter_context(flink.task_manager(logs, 3))
        threading.Timer(5, (deaths / "go").touch).start()
        error = run.result()
    assert error == ""
    assert outcomes.differences(expected, outcomes.read(project, name)) == []
    assert remains(project.folder / name) == []
    what = {"flink-cluster": "a task manager", "spark-cluster": "a Spark worker and its executor"}[engine]
    write_table([(engine, "ImageExampleGen", what, _REPEATED, "nothing")])
