"""Baseline: a copy of the model that is now served, so that it is evaluated on the same images as the candidate."""

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
    """Copies the served model, or leaves the artifact empty and states the reason.

    Sets the string properties `version` (the version copied, or ""), `note` (why there is none), `broken` (the same
    sentence if the served model is damaged or cannot be evaluated) and `identity` (of the served model, or "").

    Thresholds with `max_drop` pass if no model is served, or one for another task or other labels, because there is
    nothing to compare with. They fail if the served model is broken, because nobody knows whether the candidate is
    worse, unless the candidate is an equal of it.

    Args:
        task: the task in the configuration.
        destination: folder of the pushed models.
        served_version: version served when the run began, "" for none; part of the cache key.
        code_fingerprint: changes when the code of this stage does; part of the cache key.
    """
    os.makedirs(baseline_model.uri, exist_ok=True)
    served = versions.at_start(destination, served_version)
    note = _incomparable(served, task, schema.labels(schema_in.uri))
    broken = ""
    if served is not None and not note:
        note = broken = _fetch(served, task, path_utils.serving_model_dir(baseline_model.uri))
    version = served.version if served is not None and not note else ""
    identity = served.identity if served is not None else ""
    for name, text in (("version", version), ("note", note), ("broken", broken), ("identity", identity)):
        baseline_model.set_string_custom_property(name, text)


def _incomparable(served: versions.Served | None, task: str, labels: list[str]) -> str:
    """Explains why the served model answers another question than the candidate, or returns ""."""
    if served is None:
        return "no model is served yet"
    version, pushed = f"version {served.version}", served.manifest
    if pushed.task != task:
        return f"{version} was trained for task {pushed.task}, this run is for {task}"
    known = list(pushed.labels)
    if known == labels:
        return ""
    only = {f"only {version}": set(known) - set(labels), "only this run": set(labels) - set(known)}
    differences = [f"{who} has {truncated_list(map(repr, sorted(names)))}" for who, names in only.items() if names]
    return f"{version} has other labels: {' and '.join(differences) or 'the same ones in another order'}"


def _fetch(served: versions.Served, task: str, folder: str) -> str:
    """Copies the model and returns "", or explains why it cannot be evaluated."""
    try:
        with versions.local(served) as source:
            shutil.copytree(source, folder)
        versions.verify(served, folder)
        _require_evaluable(served, task, folder)
    except ImagegateError as error:
        shutil.rmtree(folder, ignore_errors=True)
        return (
            f"version {served.version}, which is served now, cannot be compared with: {error}. Bring an older version "
            f"back (imagegate rollback CONFIG), or remove {served.path}"
        )
    return ""


def _require_evaluable(served: versions.Served, task: str, folder: str) -> None:
    """Loads the copy of a model as the evaluation does.

    Raises:
        ImagegateError: the model has another format, cannot be loaded, or lacks an output of the evaluation.
    """
    import tensorflow as tf

    from components.model import signatures as serving

    form = served.manifest.format
    if form != serving.FORMAT:
        raise ImagegateError(f"it is of format {form}, and this release evaluates format {serving.FORMAT}")
    try:
        signatures = tf.saved_model.load(folder).signatures
    except Exception as error:  # TensorFlow raises errors of any class
        raise ImagegateError(f"it cannot be loaded: {type(error).__name__}: {str(error).strip()[:300]}") from error
    given = set(signatures[outputs.EVALUATE].structured_outputs) if outputs.EVALUATE in signatures else set()
    expected = kinds.kind(task).evaluated
    if given != expected:
        raise ImagegateError(
            f"its signature {outputs.EVALUATE!r} gives {truncated_list(sorted(given)) or 'nothing'}; expected "
            f"{truncated_list(sorted(expected))}"
        )
