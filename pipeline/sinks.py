"""Hands the record of a run to the systems of the section `sinks`. Nothing here changes the outcome of a run."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from components.base.errors import ImagegateError
from components.sinks import tracking
from components.sinks.entry import Entry

if TYPE_CHECKING:
    from components.report.run_summary import RunSummary
    from components.sinks.settings import MLflow
    from pipeline.config import Config

LIMIT = 120.0  # seconds; the first record in a new database takes most of a minute on a busy machine


def send(config: Config, summary: RunSummary, *, limit: float = LIMIT) -> list[str]:
    """Sends the record of a run.

    Args:
        config: the settings.
        summary: of the run.
        limit: seconds after which a system that does not answer is given up.

    Returns:
        A sentence for each system that did not take it. It names the variable, and holds nothing of its value.
    """
    settings = config.sinks.mlflow
    if settings is None:
        return []
    problems = [f"no answer within {limit:g} s"]

    def deliver() -> None:
        problems.append(_to_mlflow(settings, config, summary))

    thread = threading.Thread(target=deliver, daemon=True)
    thread.start()
    thread.join(limit)
    problem = problems[-1]
    return [f"mlflow ({settings.url_env}): not recorded: {problem}"] if problem else []


def _to_mlflow(settings: MLflow, config: Config, summary: RunSummary) -> str:
    url = os.environ.get(settings.url_env, "").strip()
    if not url:
        return f"the environment variable {settings.url_env} is not set"
    try:
        folder = os.path.join(config.output_folder, "mlflow")
        experiment, model = settings.experiment or config.name, settings.model or config.name
        tracking.record(url, experiment, model, folder, Entry.of(summary))
    except ImagegateError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  whatever MLflow raises, the run goes on; its text may hold the URI
        return type(error).__name__
    return ""
