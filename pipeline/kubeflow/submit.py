"""`imagegate submit`: a run on a Kubeflow Pipelines server, and what became of it."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from components.base.errors import ConfigError, ImagegateError
from pipeline.kubeflow.api_errors import ServerError, known
from pipeline.kubeflow.server import Server, quietly
from pipeline.stages import STAGES

# The server reports which task failed, not why. Gates fail by refusing; all others, and their drivers, broke.
_GATES = {stage.name: stage.refusal for stage in STAGES if stage.refusal is not None}
_WORDS = {1: "failed", 3: "the data gate refused", 4: "the model gate refused"}

_PATIENCE = 300.0  # seconds without any answer before waiting is given up
_ENDS = {"SUCCEEDED": "succeeded", "FAILED": "failed", "SKIPPED": "was skipped", "CANCELED": "was cancelled"}

StageListener = Callable[[str, str, float, bool], None]


class RunFailed(ImagegateError):
    """A run on the server did not succeed; `exit_code` says whether a gate refused."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Package:
    """A compiled pipeline as it is uploaded.

    Args:
        name: of the pipeline, its experiment and its schedule.
        spec: PipelineSpec, schema 2.1.0.
        platform: PlatformSpec; empty for none.
        root: where artifacts go; None for the server's default.
    """

    name: str
    spec: Mapping[str, Any]
    platform: Mapping[str, Any]
    root: str | None = None

    @property
    def text(self) -> str:
        """The YAML that the server takes."""
        return yaml.safe_dump_all([dict(d) for d in (self.spec, self.platform) if d], sort_keys=True)

    @property
    def tasks(self) -> list[str]:
        """The stages' names."""
        return list(self.spec["root"]["dag"]["tasks"])

    def version(self) -> str:
        """A name for this version: the time and a fingerprint of the pipeline."""
        now = datetime.datetime.now(datetime.UTC)
        return f"{now:%Y-%m-%d-%H%M%S}-{hashlib.sha256(self.text.encode()).hexdigest()[:8]}"


def parameters(spec: Mapping[str, Any], given: Sequence[str]) -> dict[str, Any]:
    """The values of `--param NAME=VALUE`, as the pipeline declares them.

    Raises:
        ConfigError: an unknown name, a value of another type, or one that is needed and not given.
    """
    declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    values = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in declared:
            there_are = ", ".join(sorted(declared)) or "none"
            raise ConfigError(f"--param {text}: expected NAME=VALUE; the pipeline's parameters: {there_are}")
        values[name] = _value(name, value, declared[name]["parameterType"])
    needed = {n for n, d in declared.items() if "defaultValue" not in d and not d.get("isOptional")}
    if needed - set(values):
        raise ConfigError(f"the pipeline needs --param {min(needed - set(values))}=VALUE")
    return values


def _value(name: str, text: str, kind: str) -> Any:
    if kind == "STRING":
        return text
    types = {"NUMBER_INTEGER": int, "NUMBER_DOUBLE": (int, float), "BOOLEAN": bool, "LIST": list, "STRUCT": dict}
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, types[kind]) or isinstance(value, bool) != (kind == "BOOLEAN"):  # type: ignore[arg-type]
        words = {"NUMBER_INTEGER": "a whole number", "NUMBER_DOUBLE": "a number", "BOOLEAN": "true or false"}
        raise ConfigError(f"--param {name}={text}: expected {words.get(kind, f'a JSON {kind.lower()}')}")
    return value


@quietly()
def submit(client: Any, server: Server, package: Package, values: Mapping[str, Any]) -> str:
    """Starts a run of a new version of the pipeline; returns the run's ID."""
    experiment, pipeline, version, name = upload(client, server, package)
    run = client.run_pipeline(
        experiment,
        f"{package.name} {name}",
        pipeline_id=pipeline,
        version_id=version,
        params=dict(values),
        pipeline_root=package.root,
    )
    return known(run.run_id, server.host)


@quietly()
def upload(client: Any, server: Server, package: Package) -> tuple[str, str, str, str]:
    """Adds a version to the pipeline, which is made where there is none.

    Returns:
        IDs of the experiment, the pipeline and the version, and the version's name.
    """
    import kfp_server_api

    experiment = client.create_experiment(name=package.name, namespace=server.namespace)
    pipelines = client.list_pipelines(namespace=server.namespace, filter=named(package.name), page_size=100).pipelines
    pipeline = next((p for p in pipelines or () if p.display_name == package.name), None)
    if pipeline is None:
        pipeline = client._pipelines_api.pipeline_service_create_pipeline(
            kfp_server_api.V2beta1Pipeline(display_name=package.name, namespace=server.namespace)
        )
    name, identity = package.version(), known(pipeline.pipeline_id, server.host)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "pipeline.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(package.text)
        version = client.upload_pipeline_version(path, name, pipeline_id=identity)
    return known(experiment.experiment_id, server.host), identity, known(version.pipeline_version_id, server.host), name


def named(name: str) -> str:
    """The API's filter for a display name."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


def wait(
    client: Any, server: Server, run: str, tasks: Sequence[str], stage: StageListener, *, pause: float = 5.0
) -> None:
    """Follows a run to its end.

    Args:
        run: its ID.
        tasks: names of the stages.
        stage: called as (name, "started" | "finished" | "failed", seconds, False).
        pause: seconds between two looks.

    Raises:
        RunFailed: it did not succeed.
        ImagegateError: we stopped waiting.
    """
    told: dict[str, str] = {}
    heard = time.monotonic()
    goes_on = f"; the run goes on: {server.page('runs', run)}"
    try:
        while True:
            try:
                found = client.get_run(run)
                heard = time.monotonic()
                _tell(found, tasks, told, stage)
                if found.state in _ENDS:
                    break
            except ServerError as error:
                if not error.passing or time.monotonic() - heard > _PATIENCE:
                    raise ServerError(f"{error}{goes_on}", status=error.status) from None
            time.sleep(pause)
    except KeyboardInterrupt:
        raise ImagegateError(f"stopped waiting{goes_on}") from None
    if found.state != "SUCCEEDED":
        raise _failure(found, tasks, server.page("runs", run))


def _details(run: Any) -> list[Any]:
    """A run's tasks, drivers and inner steps, by when they began."""
    details = (run.run_details and run.run_details.task_details) or []
    return sorted(details, key=lambda d: d.start_time.timestamp() if d.start_time else math.inf)


def _tell(run: Any, tasks: Sequence[str], told: dict[str, str], stage: StageListener) -> None:
    """Reports what is new since the last look; `told` keeps each stage's last event."""
    for detail in _details(run):
        event = {"RUNNING": "started", "SUCCEEDED": "finished", "FAILED": "failed"}.get(detail.state)
        name = detail.display_name
        if name not in tasks or event is None or told.get(name) in (event, "finished", "failed"):
            continue
        if name not in told:
            stage(name, "started", 0.0, False)
        told[name] = event
        if event != "started":
            both = detail.start_time and detail.end_time
            stage(name, event, (detail.end_time - detail.start_time).total_seconds() if both else 0.0, False)


def _failure(run: Any, tasks: Sequence[str], page: str) -> RunFailed:
    failed = [d.display_name for d in _details(run) if d.state == "FAILED"]
    failed = [name for name in failed if name in tasks or name.removesuffix("-driver") in tasks]
    code = min((_GATES.get(name, 1) for name in failed), default=1)
    what = f"{', '.join(failed)}: {_WORDS[code]}" if failed else f"the run {_ENDS[run.state]}"
    if not failed and run.error is not None and run.error.message:
        what += f": {' '.join(run.error.message.split())}"
    return RunFailed(f"{what}; its log says why: {page}", code)
