"""Baseline: the model now served, brought into the graph so that it is judged on the same images as the candidate."""

import os
import shutil

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from components.base.errors import ImagegateError
from components.base.text import truncated_list
from components.data import schema
from components.labels import kinds, outputs
from components.push import versions


@component
def Baseline(  # noqa: N802  TFX names components like classes
    schema_in: InputArtifact[standard_artifacts.Schema],
    baseline_model: OutputArtifact[standard_artifacts.Model],
    task: Parameter[str],
    destination: Parameter[str],
    served_version: Parameter[str],
    code_fingerprint: Parameter[str],
) -> None:
    """Copies the newest version below `destination`, or leaves the artifact empty and says why.

    The string properties: `version` of what is there to compare with, or ""; `note`, why there is nothing; `broken`,
    the same sentence where there should have been something. Where nothing is served, or a model for another task or
    other labels, nobody can ask for "no worse than now", and thresholds with `max_drop` hold. Of a model that is
    damaged or cannot be evaluated nobody knows what now is, and they refuse.

    Args:
        served_version: the version when the graph was built, "" for none; part of the cache key.
    """
    os.makedirs(baseline_model.uri, exist_ok=True)
    served = versions.current(destination)
    note = _incomparable(served, task, schema.labels(schema_in.uri))
    broken = ""
    if served is not None and not note:
        note = broken = _fetch(served, task, path_utils.serving_model_dir(baseline_model.uri))
    version = served.version if served is not None and not note else ""
    for name, text in (("version", version), ("note", note), ("broken", broken)):
        baseline_model.set_string_custom_property(name, text)


def _incomparable(served: versions.Served | None, task: str, labels: list[str]) -> str:
    """Why the served model has nothing to be compared in, or ""."""
    if served is None:
        return "no model is served yet"
    version, facts = f"version {served.version}", served.manifest
    if facts.task != task:
        return f"{version} was trained for task {facts.task}, this run is for {task}"
    known = list(facts.labels)
    if known == labels:
        return ""
    only = {f"only {version}": set(known) - set(labels), "only this run": set(labels) - set(known)}
    told = [f"{who} has {truncated_list(map(repr, sorted(names)))}" for who, names in only.items() if names]
    return f"{version} has other labels: {' and '.join(told) or 'the same ones in another order'}"


def _fetch(served: versions.Served, task: str, folder: str) -> str:
    """Copies the model if it can be evaluated; says why where it cannot."""
    try:
        with versions.local(served) as source:
            shutil.copytree(source, folder)
        versions.verify(served, folder)
        _try(served, task, folder)
    except ImagegateError as error:
        shutil.rmtree(folder, ignore_errors=True)
        return (
            f"version {served.version}, which is served now, cannot be compared with: {error}. Bring an older version "
            f"back (imagegate rollback CONFIG), or remove {served.path}"
        )
    return ""


def _try(served: versions.Served, task: str, folder: str) -> None:
    """Raises ImagegateError where the copy of a model cannot be evaluated as a candidate is."""
    import tensorflow as tf

    from components.model import signatures as serving

    form = served.manifest.format
    if form != serving.FORMAT:
        raise ImagegateError(f"it is of format {form}, and this release evaluates format {serving.FORMAT}")
    try:
        signatures = tf.saved_model.load(folder).signatures
    except Exception as error:  # TensorFlow raises whatever it meets
        raise ImagegateError(f"it cannot be loaded: {type(error).__name__}: {str(error).strip()[:300]}") from error
    given = set(signatures[outputs.EVALUATE].structured_outputs) if outputs.EVALUATE in signatures else set()
    expected = kinds.kind(task).evaluated
    if given != expected:
        raise ImagegateError(
            f"its signature {outputs.EVALUATE!r} gives {truncated_list(sorted(given)) or 'nothing'}; expected "
            f"{truncated_list(sorted(expected))}"
        )
