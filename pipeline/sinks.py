"""Hands the record of a run to the systems of the section `sinks`. Nothing here changes the outcome of a run."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from components.base.errors import ImagegateError
from components.base.text import shown
from components.sinks import registry, tracking
from components.sinks.entry import Entry

if TYPE_CHECKING:
    from components.report.run_summary import RunSummary
    from components.sinks.settings import MLflow, ModelRegistry, Sinks

LIMIT = 120.0  # seconds; the first record in a new database takes most of a minute on a busy machine


def send(settings: Sinks, name: str, output: str | None, summary: RunSummary, *, limit: float = LIMIT) -> list[str]:
    """Sends the record of a run to all systems at the same time.

    Args:
        settings: the section.
        name: of the configuration.
        output: folder for what a system keeps in files; None where no folder outlives the run.
        summary: of the run.
        limit: seconds after which a system that does not answer is given up.

    Returns:
        A sentence for each system that did not take it. It names the variable, and holds nothing of its value.
    """
    mlflow, models = settings.mlflow, settings.model_registry
    wanted: list[tuple[str, Callable[[Entry], None]]] = []
    if mlflow is not None:
        wanted.append((f"mlflow ({mlflow.url_env})", lambda entry: _to_mlflow(mlflow, name, output, entry)))
    if models is not None:
        wanted.append((f"model registry ({models.url_env})", lambda entry: _to_registry(models, name, entry)))
    if not wanted:
        return []
    entry = Entry.of(summary)
    problems = {system: f"no answer within {limit:g} s" for system, _ in wanted}

    def deliver(system: str, record: Callable[[Entry], None]) -> None:
        problems[system] = _problem(record, entry)

    threads = [threading.Thread(target=deliver, args=one, daemon=True) for one in wanted]
    end = time.monotonic() + limit
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return [f"{system}: not recorded: {problem}" for system, problem in dict(problems).items() if problem]


def _problem(record: Callable[[Entry], None], entry: Entry) -> str:
    try:
        record(entry)
    except ImagegateError as error:
        return shown(" ".join(str(error).split()))  # one line of a log, whatever a server answers
    except Exception as error:  # noqa: BLE001  whatever a client raises, the run goes on; its text may hold the URL
        return type(error).__name__
    return ""


def _to_mlflow(settings: MLflow, name: str, output: str | None, entry: Entry) -> None:
    folder = None if output is None else os.path.join(output, "mlflow")
    experiment, model = settings.experiment or name, settings.model or name
    tracking.record(_value(settings.url_env), experiment, model, folder, entry)


def _to_registry(settings: ModelRegistry, name: str, entry: Entry) -> None:
    token = None if settings.token_env is None else _value(settings.token_env)
    registry.record(_value(settings.url_env), token, settings.model or name, entry)


def _value(variable: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ImagegateError(f"the environment variable {variable} is not set")
    return value
