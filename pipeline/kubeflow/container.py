"""The entry point in the Kubeflow container: from the backend's words to TFX's, one stage, and back.

The backend's launcher copies a task's inputs to local paths, runs this, and uploads what then stands at the local paths
of the outputs. TFX's own entry point reads the URIs instead, imports TFMA for every stage, and cannot read artifacts as
the open-source backend describes them; so this one takes its place. It imports what its stage needs, no more.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from components.base.errors import ImagegateError
from components.base.text import shown

if TYPE_CHECKING:
    from tfx.types.artifact import Artifact

Json = dict[str, Any]

# Where the launcher keeps what lies at a URI of each scheme.
_LOCAL = {"minio://": "/minio/", "s3://": "/s3/", "gs://": "/gcs/"}
# Put before the launcher's paths; only where a test takes the launcher's place.
STAGING = "IMAGEGATE_STAGING"
# The launcher's own, in an artifact's metadata.
_FOREIGN = ("display_name", "store_session_info")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the stage that the arguments name; returns the exit code, with the reason as the last line of stderr."""
    options, beam = _parser().parse_known_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    from pipeline.terminal import Terminal

    try:
        with Terminal(stderr=True):  # a line now and then, in the pod's log
            _run(options, beam)
    except ImagegateError as error:
        return _refuse(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _refuse("stopped by a signal", 128 + signal.SIGTERM)
    except Exception as error:  # noqa: BLE001  a bug: its trace, then its gist
        traceback.print_exc()
        return _refuse(f"{type(error).__name__}: {error}", 1)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline.kubeflow.container", allow_abbrev=False)
    stage = parser.add_mutually_exclusive_group(required=True)
    stage.add_argument("--executor_class_path", metavar="MODULE.CLASS", help="a stage of the graph")
    stage.add_argument("--task", help="one of the tasks around it; see pipeline.kubeflow.around")
    parser.add_argument("--json_serialized_invocation_args", required=True, type=json.loads, dest="told")
    parser.add_argument("--json_serialized_inputs_spec_args", required=True, type=json.loads, dest="spec")
    parser.add_argument("--within", type=json.loads, default={}, help="parameter: [another, which is JSON, key in it]")
    return parser


def _stop(*_: object) -> None:
    """As Ctrl-C does, so that whatever cleans up after itself gets to."""
    raise KeyboardInterrupt


def _refuse(reason: str, code: int) -> int:
    sys.stdout.flush()
    print(f"imagegate: {shown(reason)}", file=sys.stderr, flush=True)
    return code


def local(uri: str) -> str:
    """The path at which the launcher keeps what lies at `uri`.

    Raises:
        ImagegateError: the launcher knows no such scheme, and would upload nothing.
    """
    for scheme, mount in _LOCAL.items():
        if uri.startswith(scheme):
            return os.environ.get(STAGING, "") + mount + uri[len(scheme) :]
    raise ImagegateError(f"{uri}: expected an artifact at one of {', '.join(_LOCAL)}; see kubeflow.pipeline_root")


def parameters(told: Json, spec: Json, within: Mapping[str, Sequence[str]]) -> Json:
    """The values of an ExecutorInput's parameters; whole numbers, which come as doubles, as the spec says."""
    kinds = {name: one.get("parameterType") for name, one in spec.get("parameters", {}).items()}
    values: Json = {
        name: int(value) if kinds.get(name) == "NUMBER_INTEGER" else value
        for name, value in told.get("inputs", {}).get("parameterValues", {}).items()
    }
    for name, (parameter, key) in within.items():
        values[parameter] = json.dumps(json.loads(values[parameter]) | {key: values.pop(name)})
    return values


def title(kind: Json) -> str:
    """The name of an artifact's type, "" where nothing is said."""
    found: str = kind.get("schemaTitle", "")
    for line in kind.get("instanceSchema", "").splitlines():
        if line.startswith("title:"):
            found = line.partition(":")[2].strip()
    return found


def metadata(found: Json) -> Json:
    """An artifact's metadata as they were put out: without the launcher's own, and ML Metadata's wraps of lists."""
    return {
        key: next(iter(value.values())) if isinstance(value, dict) and set(value) in ({"list"}, {"struct"}) else value
        for key, value in found.items()
        if key not in _FOREIGN
    }


def artifact(name: str, uri: str, told: Json) -> Artifact:
    """A TFX artifact of the type called `name`, "tfx.Model" or "imagegate.ClassBalance".

    Raises:
        ImagegateError: there is no such type.
    """
    from tfx.types import standard_artifacts
    from tfx.types.value_artifact import ValueArtifact

    from components.stages import artifacts

    family, _, kind = name.partition(".")
    made = getattr({"tfx": standard_artifacts, "imagegate": artifacts}.get(family), kind, None)
    if made is None:
        raise ImagegateError(f"{name!r} is no type of artifact that this image knows; was the pipeline compiled by it?")
    found: Artifact = made()
    found.uri = uri
    for key, value in told.items():
        _set(found, key, value)
    if isinstance(found, ValueArtifact) and os.path.isfile(uri):
        found.read()
    return found


def _set(found: Artifact, key: str, value: Any) -> None:
    from tfx.types.artifact import PropertyType

    declared = (found.PROPERTIES or {}).get(key)
    if isinstance(value, float) and value.is_integer() and (declared is None or declared.type is PropertyType.INT):
        value = int(value)
    if declared is not None:
        setattr(found, key, value)
    elif isinstance(value, str):
        found.set_string_custom_property(key, value)
    elif isinstance(value, int):
        found.set_int_custom_property(key, value)
    elif isinstance(value, float):
        found.set_float_custom_property(key, value)
    else:
        found.set_json_value_custom_property(key, value)


def inputs(told: Json, spec: Json) -> dict[str, list[Artifact]]:
    """The input artifacts, at their local paths. Their types stand in the spec: the backend leaves them blank."""
    found = {}
    for key, listed in told.get("inputs", {}).get("artifacts", {}).items():
        kind = title(spec["artifacts"][key]["artifactType"])
        found[key] = [artifact(kind, local(a["uri"]), metadata(a.get("metadata", {}))) for a in listed["artifacts"]]
        for one in found[key]:
            if not os.path.exists(one.uri):  # an empty folder: object stores have none
                os.makedirs(one.uri)
    return found


def outputs(told: Json) -> dict[str, list[Artifact]]:
    """The output artifacts that are TFX's, at their local paths, which are made."""
    from tfx.types.value_artifact import ValueArtifact

    found = {}
    for key, listed in told.get("outputs", {}).get("artifacts", {}).items():
        if not is_view(listed):
            found[key] = [
                artifact(title(a["type"]), local(a["uri"]), a.get("metadata", {})) for a in listed["artifacts"]
            ]
            for one in found[key]:
                folder = os.path.dirname(one.uri) if isinstance(one, ValueArtifact) else one.uri
                os.makedirs(folder, exist_ok=True)
    return found


def is_view(listed: Json) -> bool:
    """Whether an output is of Kubeflow's own types: for its user interface, or `executor-logs`."""
    return any(title(a.get("type", {})).startswith("system.") for a in listed["artifacts"])


def result(told: Json, made: Mapping[str, Sequence[Artifact]]) -> Json:
    """What the launcher is told of the outputs: their properties. The URIs are those that it gave."""
    listed = told.get("outputs", {}).get("artifacts", {})
    return {
        key: {
            "artifacts": [
                a | {"metadata": _properties(one)} for a, one in zip(listed[key]["artifacts"], ones, strict=True)
            ]
        }
        for key, ones in made.items()
    }


def _properties(made: Artifact) -> Json:
    """Every property that is set; no nulls, which ML Metadata's converter refuses."""
    record = made.mlmd_artifact
    own = {key: getattr(made, key) for key in record.properties}
    custom = {key: made.get_custom_property(key) for key in record.custom_properties}
    return {key: value for key, value in (own | custom).items() if value is not None}


def _run(options: argparse.Namespace, beam: list[str]) -> None:
    told = options.told
    file = os.environ.get(STAGING, "") + told["outputs"]["outputFile"]
    values = parameters(told, options.spec, options.within)
    if options.task:
        from pipeline.kubeflow import around

        made: Json = {"parameterValues": around.run(options.task, values, inputs(told, options.spec))}
    else:
        made = {"artifacts": _stage(options, values, beam)}
    os.makedirs(os.path.dirname(file), exist_ok=True)
    with open(file, "w", encoding="utf-8") as f:
        json.dump(made, f, allow_nan=False)


def _stage(options: argparse.Namespace, values: Json, beam: list[str]) -> Json:
    """Runs a stage of the graph as TFX's launcher does."""
    executor = load(options.executor_class_path)
    from tfx.dsl.components.base import base_beam_executor, base_executor

    taken, made = inputs(options.told, options.spec), outputs(options.told)
    with tempfile.TemporaryDirectory(prefix="imagegate-") as folder:
        if "custom_config" in values:
            values["custom_config"] = _scratch(values["custom_config"], folder)
        if issubclass(executor, base_beam_executor.BaseBeamExecutor):
            context = base_beam_executor.BaseBeamExecutor.Context(
                beam_pipeline_args=beam, tmp_dir=folder, unique_id="stage"
            )
        else:
            context = base_executor.BaseExecutor.Context(tmp_dir=folder, unique_id="stage")
        executor(context).Do(taken, made, values)
    from pipeline.kubeflow import views

    return result(options.told, made) | views.fill(options.told, taken, made, local)


def load(path: str) -> Any:
    """The class at MODULE.CLASS."""
    import importlib

    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _scratch(custom_config: str, folder: str) -> str:
    """A pod's folders are its own and end with it, so a training that was killed begins anew."""
    told = json.loads(custom_config)
    return json.dumps(told | {"checkpoints": os.path.join(folder, "checkpoints")} if "checkpoints" in told else told)


if __name__ == "__main__":
    raise SystemExit(main())
