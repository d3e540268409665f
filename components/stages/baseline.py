"""Baseline: the model now served, brought into the graph so that it is judged on the same images as the candidate."""

import os
import shutil

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from components import push, schema


@component
def Baseline(  # noqa: N802  TFX names components like classes
    schema_in: InputArtifact[standard_artifacts.Schema],
    baseline_model: OutputArtifact[standard_artifacts.Model],
    task: Parameter[str],
    destination: Parameter[str],
    served_version: Parameter[str],
    code_fingerprint: Parameter[str],
) -> None:
    """Copies the newest version below `destination`, or leaves the artifact empty.

    Empty means no comparison: nothing is served yet, or what is served knows other labels or another task, so that
    its metrics would be about something else. `version` and `note` say which.

    Args:
        served_version: the version when the graph was built, "" for none; part of the cache key.
    """
    served = push.current(destination)
    os.makedirs(baseline_model.uri, exist_ok=True)
    note = "no model is served yet"
    if served is not None:
        push.verify(served)
        labels = schema.labels(schema_in.uri)
        if served.manifest["task"] != task:
            note = f"version {served.version} was trained for task {served.manifest['task']}, this run is for {task}"
        elif served.manifest["labels"] == labels:
            note = ""
            shutil.copytree(served.path, path_utils.serving_model_dir(baseline_model.uri))
        else:
            note = f"version {served.version} has the labels {served.manifest['labels']}, this run has {labels}"
    baseline_model.set_string_custom_property("version", served.version if served and not note else "")
    baseline_model.set_string_custom_property("note", note)
