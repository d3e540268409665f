"""Baseline: a copy of the model that is now served, so that it is evaluated on the same images as the candidate."""

import hashlib
import os
import shutil

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from components.base.artifact_files import KNOWN_IMAGES, PUSHED_MANIFEST
from components.base.errors import ImagegateError
from components.base.text import truncated_list
from components.data import known_images, schema
from components.labels import kinds, outputs
from components.push import versions
from components.push.signing import trust


@component
def Baseline(  # noqa: N802  TFX names components like classes
    schema_in: InputArtifact[standard_artifacts.Schema],
    baseline_model: OutputArtifact[standard_artifacts.Model],
    task: Parameter[str],
    destination: Parameter[str],
    served_version: Parameter[str],
    verify: Parameter[str],
    code_fingerprint: Parameter[str],
) -> None:
    """Copies the served model, or leaves the artifact empty and states the reason.

    Sets the string properties `version` (the version copied, or ""), `note` (why there is none), `broken` (the same
    sentence if the served model is damaged or cannot be evaluated), `identity` (of the served model, or "") and
    `manifest` (SHA-256 of the copied manifest, which has those of the other files, or "").

    Thresholds with `max_drop` are not judged if no model is served, or one for another task or without a label in
    common, because there is nothing to compare with. They fail if the served model is broken, because nobody knows
    whether the candidate is worse, unless the candidate is an equal of it.

    That the model is broken is never taken from the cache: TFX uses a result again only if its folder is still there,
    so then there is none. Kubeflow does not cache this stage.

    Args:
        task: the task in the configuration.
        destination: folder of the pushed models.
        served_version: version served when the run began, "" for none; part of the cache key.
        verify: JSON of `push.settings.Verify`, "" for null; the served version needs a signature of one of its keys.
        code_fingerprint: changes when the code of this stage does; part of the cache key.
    """
    shutil.rmtree(baseline_model.uri, ignore_errors=True)  # of an earlier run: if its metadata are gone
    os.makedirs(baseline_model.uri)
    served = versions.at_start(destination, served_version, trust.of_json(verify))
    note = _incomparable(served, task, schema.labels(schema_in.uri))
    broken = ""
    folder = path_utils.serving_model_dir(baseline_model.uri)
    if served is not None and not note:
        note = broken = _fetch(served, task, folder)
    properties = {"version": "", "note": note, "broken": broken, "manifest": ""}
    properties["identity"] = served.identity if served else ""
    if served is not None and not note:
        with open(os.path.join(folder, PUSHED_MANIFEST), "rb") as f:
            properties |= {"version": served.version, "manifest": hashlib.file_digest(f, "sha256").hexdigest()}
    for name, text in properties.items():
        baseline_model.set_string_custom_property(name, text)
    if broken:
        shutil.rmtree(baseline_model.uri)


def _incomparable(served: versions.Served | None, task: str, labels: list[str]) -> str:
    """Explains why the served model answers another question than the candidate, or returns ""."""
    if served is None:
        return "no model is served yet"
    version, pushed = f"version {served.version}", served.manifest
    if pushed.task != task:
        return f"{version} was trained for task {pushed.task}, this run is for {task}"
    known = list(pushed.labels)
    if not set(known) & set(labels):
        names = {version: known, "this run": labels}
        told = [f"{who} has {truncated_list(map(repr, sorted(own))) or 'none'}" for who, own in names.items()]
        return f"{version} has no label in common with this run: {' and '.join(told)}"
    detectors = [kinds.kind(task).is_detector(len(own)) for own in (known, labels)]
    if set(known) != set(labels) and any(detectors):
        knows, other = (version, "this run") if detectors[0] else ("this run", version)
        return f"{knows} knows a single label, which is its only answer, and {other} knows several"
    return ""


def _fetch(served: versions.Served, task: str, folder: str) -> str:
    """Copies the model and returns "", or explains why it cannot be evaluated."""
    try:
        with versions.local(served) as source, versions.readable_errors(f"cannot copy {served.path}"):
            shutil.copytree(source, folder)
        versions.verify(served, folder)
        _require_evaluable(served, task, folder)
    except ImagegateError as error:
        shutil.rmtree(folder, ignore_errors=True)
        advice = "Run again once it can be read"
        if isinstance(error, _Unusable | versions.Damaged):
            advice = f"Bring an older version back (imagegate rollback CONFIG), or remove {served.path}"
        return f"version {served.version}, which is served now, cannot be compared with: {error}. {advice}"
    return ""


class _Unusable(ImagegateError):
    """The served model is as it was pushed, but this release cannot evaluate it."""


def _require_evaluable(served: versions.Served, task: str, folder: str) -> None:
    """Loads the copy of a model as the evaluation does.

    Raises:
        _Unusable: the model has another format, cannot be loaded, or lacks an output of the evaluation; or nobody knows
            which images it was trained on.
    """
    import tensorflow as tf

    from components.model import signatures as serving

    form = served.manifest.format
    if form not in serving.COMPARABLE:
        known = " and ".join(map(str, serving.COMPARABLE))
        raise _Unusable(f"it is of format {form}, and this release evaluates formats {known}")
    try:
        signatures = tf.saved_model.load(folder).signatures
    except Exception as error:  # TensorFlow raises errors of any class
        raise _Unusable(f"it cannot be loaded: {type(error).__name__}: {str(error).strip()[:300]}") from error
    given = set(signatures[outputs.EVALUATE].structured_outputs) if outputs.EVALUATE in signatures else set()
    expected = kinds.kind(task).evaluated
    if given != expected:
        raise _Unusable(
            f"its signature {outputs.EVALUATE!r} gives {truncated_list(sorted(given)) or 'nothing'}; expected "
            f"{truncated_list(sorted(expected))}"
        )
    try:
        with open(os.path.join(folder, KNOWN_IMAGES), "rb") as f:
            known_images.of_bytes(f.read())
    except FileNotFoundError:
        raise _Unusable(f"{KNOWN_IMAGES}, the record of its images, is missing") from None
    except ValueError as error:
        raise _Unusable(f"{KNOWN_IMAGES}, the record of its images, {error}") from None
