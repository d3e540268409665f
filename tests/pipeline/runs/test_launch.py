"""When a run starts the process of ServingCheck ahead of it."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from tfx.orchestration import metadata

from components.base import machine
from components.gates import serving_check
from pipeline.runs import launch

GIB = 1 << 30


class Ended(Exception):
    """A stage's."""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, int]]:
    """Runs three stages that do nothing; returns how many processes wait at the begin of each."""

    def run(*, cached: bool = False, cores: int = 2, memory: int | None = None, error: bool = False) -> dict[str, int]:
        waiting: dict[str, int] = {}

        def stage(name: str) -> Callable[[], object]:
            def work() -> None:
                waiting[name] = len(serving_check._waiting)
                if error and name == "Evaluator":
                    raise Ended

            return work

        names = ("Trainer", "Evaluator", "ServingCheck")
        monkeypatch.setattr(launch, "_launchers", lambda *_: [(name, stage(name)) for name in names])
        monkeypatch.setattr(machine, "cores", lambda: cores)
        monkeypatch.setattr(machine, "available_memory", lambda: memory)
        connection = metadata.sqlite_metadata_connection_config(str(tmp_path / "metadata.db"))
        summary = SimpleNamespace(
            config=SimpleNamespace(output_folder=str(tmp_path)), add_stage=lambda *_: cached, notes=[]
        )
        pipeline = SimpleNamespace(metadata_connection_config=connection)
        try:
            launch.run(pipeline, summary, lambda *_: None, "log.txt")  # type: ignore[arg-type]
        except Ended:
            waiting["after the error"] = len(serving_check._waiting)
        return waiting

    return run


def test_it_starts_with_the_evaluator_after_a_training_and_ends_with_the_run(
    run: Callable[..., dict[str, int]],
) -> None:
    assert run() == {"Trainer": 0, "Evaluator": 1, "ServingCheck": 1}
    assert serving_check._waiting == []  # nobody has asked it
    assert run(memory=2 * GIB)["Evaluator"] == 1


def test_without_a_new_model_a_second_core_or_memory_it_does_not(run: Callable[..., dict[str, int]]) -> None:
    nothing = {"Trainer": 0, "Evaluator": 0, "ServingCheck": 0}
    assert run(cached=True) == nothing
    assert run(cores=1) == nothing
    assert run(memory=2 * GIB - 1) == nothing


def test_an_evaluator_that_fails_leaves_no_process_behind(run: Callable[..., dict[str, int]]) -> None:
    assert run(error=True) == {"Trainer": 0, "Evaluator": 1, "after the error": 0}
