"""Artifacts between the backend's launcher and TFX: JSON of an ExecutorInput to TFX's classes, and back."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from components.base.errors import ImagegateError

if TYPE_CHECKING:
    from tfx.types.artifact import Artifact

Json = dict[str, Any]

# Where the launcher keeps what lies at a URI of each scheme.
_LOCAL = {"minio://": "/minio/", "s3://": "/s3/", "gs://": "/gcs/"}
# Put before the launcher's paths; only where a test takes the launcher's place.
STAGING = "IMAGEGATE_STAGING"
# Keys that the launcher adds to an artifact's metadata.
_LAUNCHER_KEYS = ("display_name", "store_session_info")


def local(uri: str) -> str:
    """Returns the path at which the launcher keeps what lies at `uri`.

    Raises:
        ImagegateError: the launcher knows no such scheme, and would upload nothing.
    """
    for scheme, mount in _LOCAL.items():
        if uri.startswith(scheme):
            return os.environ.get(STAGING, "") + mount + uri[len(scheme) :]
    raise ImagegateError(f"{uri}: expected an artifact at one of {', '.join(_LOCAL)}; see kubeflow.pipeline_root")


def title(schema: Json) -> str:
    """Returns the name of an artifact's type, "" where the launcher left it out."""
    name: str = schema.get("schemaTitle", "")
    for line in schema.get("instanceSchema", "").splitlines():
        if line.startswith("title:"):
            name = line.partition(":")[2].strip()
    return name


def metadata(stored: Json) -> Json:
    """Returns an artifact's metadata as a stage wrote them: without the launcher's keys and ML Metadata's wraps."""
    return {
        key: next(iter(value.values())) if isinstance(value, dict) and set(value) in ({"list"}, {"struct"}) else value
        for key, value in stored.items()
        if key not in _LAUNCHER_KEYS
    }


def artifact(name: str, uri: str, properties: Json) -> Artifact:
    """Makes a TFX artifact.

    Args:
        name: of its type, such as "tfx.Model" or "imagegate.ClassBalance".
        uri: local path.
        properties: name -> value; see `metadata`.

    Raises:
        ImagegateError: there is no such type.
    """
    from tfx.types import standard_artifacts
    from tfx.types.value_artifact import ValueArtifact

    from components.stages import artifacts

    family, _, kind = name.partition(".")
    artifact_type = getattr({"tfx": standard_artifacts, "imagegate": artifacts}.get(family), kind, None)
    if artifact_type is None:
        raise ImagegateError(f"{name!r} is no type of artifact that this image knows; was the pipeline compiled by it?")
    made: Artifact = artifact_type()
    made.uri = uri
    for key, value in properties.items():
        _set_property(made, key, value)
    if isinstance(made, ValueArtifact) and os.path.isfile(uri):
        made.read()
    return made


def _set_property(made: Artifact, key: str, value: Any) -> None:
    from tfx.types.artifact import PropertyType

    declared = (made.PROPERTIES or {}).get(key)
    # JSON of a Struct has no whole numbers.
    if isinstance(value, float) and value.is_integer() and (declared is None or declared.type is PropertyType.INT):
        value = int(value)
    if declared is not None:
        setattr(made, key, value)
    elif isinstance(value, str):
        made.set_string_custom_property(key, value)
    elif isinstance(value, int):
        made.set_int_custom_property(key, value)
    elif isinstance(value, float):
        made.set_float_custom_property(key, value)
    else:
        made.set_json_value_custom_property(key, value)


def inputs(executor_input: Json, spec: Json) -> dict[str, list[Artifact]]:
    """Returns the input artifacts, at their local paths. Their types are in the spec: the backend leaves them blank."""
    by_key = {}
    for key, entry in executor_input.get("inputs", {}).get("artifacts", {}).items():
        kind = title(spec["artifacts"][key]["artifactType"])
        by_key[key] = [artifact(kind, local(a["uri"]), metadata(a.get("metadata", {}))) for a in entry["artifacts"]]
        for made in by_key[key]:
            if not os.path.exists(made.uri):  # an empty folder: object stores have none
                os.makedirs(made.uri)
    return by_key


def outputs(executor_input: Json) -> dict[str, list[Artifact]]:
    """Returns the output artifacts that are TFX's, at their local paths, whose folders it makes."""
    from tfx.types.value_artifact import ValueArtifact

    by_key = {}
    for key, entry in executor_input.get("outputs", {}).get("artifacts", {}).items():
        if _is_kubeflows(entry):
            continue
        by_key[key] = [artifact(title(a["type"]), local(a["uri"]), a.get("metadata", {})) for a in entry["artifacts"]]
        for made in by_key[key]:
            os.makedirs(os.path.dirname(made.uri) if isinstance(made, ValueArtifact) else made.uri, exist_ok=True)
    return by_key


def _is_kubeflows(entry: Json) -> bool:
    """Whether an output has one of Kubeflow's own types: it is a view, or `executor-logs`."""
    return any(title(a.get("type", {})).startswith("system.") for a in entry["artifacts"])


def result(executor_input: Json, made: Mapping[str, Sequence[Artifact]]) -> Json:
    """Returns the outputs with their properties, for the launcher. The URIs are those that it gave."""
    entries = executor_input.get("outputs", {}).get("artifacts", {})
    return {
        key: {
            "artifacts": [
                a | {"metadata": _properties(one)} for a, one in zip(entries[key]["artifacts"], ones, strict=True)
            ]
        }
        for key, ones in made.items()
    }


def _properties(made: Artifact) -> Json:
    """Returns every property that is set; no nulls, which ML Metadata's converter refuses."""
    record = made.mlmd_artifact
    own = {key: getattr(made, key) for key in record.properties}
    custom = {key: made.get_custom_property(key) for key in record.custom_properties}
    return {key: value for key, value in (own | custom).items() if value is not None}
