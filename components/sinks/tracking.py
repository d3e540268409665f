"""MLflow: a run with metrics, digests and the report, and a version in its model registry."""

from __future__ import annotations

import logging
import os
import time
from typing import Any

from components.base.errors import ImagegateError
from components.sinks.entry import Entry

_SERVERS = ("http://", "https://", "databricks")
_STATES = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}


def record(url: str, experiment: str, model: str, folder: str | None, entry: Entry) -> None:
    """Adds a run to an experiment, which is created where there is none, and what it pushed to the registry.

    Args:
        url: tracking URI; the registry is the same server or store.
        experiment, model: names.
        folder: where reports go if the URI is that of a database and the experiment is new; a server has its own place.
            None where no folder outlives the run: then nothing is written to one, and no experiment is made in one.
        entry: of the run.

    Raises:
        ImagegateError: MLflow is not installed; or `folder` is None, the URI that of a database, the experiment new.
        Exception: MLflow's own; its text may hold the URI.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # else MLflow reports its use to its makers
    try:
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise ImagegateError("MLflow is not installed; install imagegate[mlflow]") from None
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)  # below, records hold addresses
    client: Any = MlflowClient(tracking_uri=url, registry_uri=url)
    known = client.get_experiment_by_name(experiment)
    # Without a place, MLflow would make the folder `mlruns` in whatever folder the run was started in.
    place = None if url.startswith(_SERVERS) else folder
    if known is None and place is None and not url.startswith(_SERVERS):
        raise ImagegateError(
            f"the experiment {experiment} is new, and a database keeps no files: make it first, with a place that "
            "outlives the pod: mlflow experiments create --experiment-name NAME --artifact-location URL"
        )
    identity = known.experiment_id if known else client.create_experiment(experiment, artifact_location=place)
    kept = folder is not None or not known or not _is_local(known.artifact_location)
    run = client.create_run(identity, run_name=entry.run_id).info.run_id
    try:
        _describe(client, run, entry if kept else entry.model_copy(update={"report": None}))
        if entry.pushed and entry.version:
            _register(client, run, model, entry)
    finally:
        client.set_terminated(run, _STATES[entry.state])


def _is_local(location: str) -> bool:
    """Whether artifacts go to a folder of the machine that writes them."""
    return location.startswith("file:") or not ("://" in location or location.startswith("mlflow-artifacts:"))


def _describe(client: Any, run: str, entry: Entry) -> None:
    from mlflow.entities import Metric, RunTag

    # First what says how the run ended: a server that refuses the name of a metric has that all the same.
    client.log_batch(run, tags=[RunTag(name, text) for name, text in _tags(entry).items()])
    if entry.report:
        client.log_artifact(run, entry.report)
    now = int(1000 * time.time())
    metrics = [Metric(name, value, now, 0) for name, value in entry.metrics.items()]
    for start in range(0, len(metrics), 1000):  # the most that a request takes
        client.log_batch(run, metrics=metrics[start : start + 1000])


def _register(client: Any, run: str, model: str, entry: Entry) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {"imagegate.version": entry.version, **_tags(entry)}
    client.create_model_version(model, source=entry.pushed, run_id=run, tags=tags)


def _tags(entry: Entry) -> dict[str, str]:
    return {f"imagegate.{name}": text for name, text in entry.facts.items()}
