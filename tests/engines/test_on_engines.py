"""The same projects on Beam's default runner and on real engines: the same shards, counts, weights and metrics.

The smallest run of each engine is in `make test`; `make engines` runs all. Where Java, Maven or Go is missing, or an
engine cannot be fetched, its tests skip and say why.
"""

import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from projects import Project

from engines import flink, outcomes, prism, processes, spark
from engines.outcomes import Outcome

ENGINES = {
    "flink-embedded": flink.embedded,
    "spark-embedded": spark.embedded,
    "prism-embedded": prism.embedded,
    "flink-cluster": flink.cluster,
    "spark-cluster": spark.cluster,
    "prism-server": prism.server,
}


def _runs() -> Iterator[object]:
    for engine in ENGINES:
        program = pytest.mark.go if engine.startswith("prism") else pytest.mark.java
        for task in outcomes.TASKS:
            smallest = engine.endswith("embedded") and task == "single_label"
            yield pytest.param(engine, task, marks=[program] if smallest else [program, pytest.mark.slow])


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Project, Outcome]]:
    """The project of a task, and what it came to on the default runner; each is made and run once."""

    @cache
    def run(task: str) -> tuple[Project, Outcome]:
        project = outcomes.project(tmp_path_factory.mktemp(task) / "project", task)
        return project, outcomes.run(project, "default")

    return run


@pytest.fixture(scope="module")
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[list[str], Path]]:
    """A running engine: its options for `beam`, and the folder of its logs."""
    folder = tmp_path_factory.mktemp(request.param)
    with ENGINES[request.param](folder) as options:
        yield options, folder


@pytest.mark.engines
@pytest.mark.end_to_end
@pytest.mark.parametrize(("engine", "task"), _runs(), indirect=["engine"])
def test_an_engine_gives_the_results_of_the_default_runner(
    engine: tuple[list[str], Path],
    task: str,
    default: Callable[[str], tuple[Project, Outcome]],
) -> None:
    options, logs = engine
    project, expected = default(task)
    try:
        found = outcomes.run(project, logs.name, options)
    except BaseException:
        for log in sorted(logs.glob("*.log")):
            sys.stdout.write(f"{log.name}: {processes.tail(log)}\n")
        raise
    sys.stdout.write(outcomes.table({"default": expected, logs.name: found}) + "\n")
    assert expected.results["shards"]
    assert expected.results["metrics"]
    assert outcomes.differences(expected, found) == []
