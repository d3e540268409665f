"""Pusher: copies a blessed model to the destination, with its manifest and model card."""

import datetime
import hashlib
import json
import math
import os
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from components.base import checkpoint
from components.base.artifact_files import (
    CLASS_BALANCE,
    DECISIONS_FILE,
    EXPORTS,
    IMBALANCE,
    KNOWN_IMAGES,
    LABEL_WEIGHTS,
    MODEL_CARD,
    MODEL_DIGESTS,
    PROVENANCE,
    SERVING,
    VERDICTS,
    WARM_UP,
)
from components.base.checkpoint import Checkpoint
from components.data.manifest import ArrayFacts, DatasetManifest
from components.evaluation import analysis, comparison
from components.exports.records import ExportResult
from components.gates import compared, data_gate
from components.gates.compared import Results
from components.gates.records import DataGateResult, ServingResult
from components.model import identity, signatures
from components.push import model_card, versions
from components.push.destination import Content
from components.push.manifest import PushedManifest
from components.push.settings import Push
from components.push.signing import provenance, trust
from components.stages import artifacts

_WARM = "The warm-up requests for servers, beside this card, hold images of the test split."


@component
def Pusher(  # noqa: N802  TFX names components like classes
    model: InputArtifact[standard_artifacts.Model],
    model_evaluation: InputArtifact[standard_artifacts.ModelEvaluation],
    blessing: InputArtifact[standard_artifacts.ModelBlessing],
    class_balance: InputArtifact[artifacts.ClassBalance],
    serving_check: InputArtifact[artifacts.ServingCheck],
    model_run: InputArtifact[standard_artifacts.ModelRun],
    pushed_model: OutputArtifact[standard_artifacts.PushedModel],
    settings: Parameter[str],
    served_version: Parameter[str],
    facts: Parameter[str],
    build: Parameter[str],
    code_fingerprint: Parameter[str],
    exports: InputArtifact[artifacts.Exports] = None,
) -> None:
    """Pushes a blessed model, unless exactly this model is already served. A refused model is not pushed.

    Sets the string properties `pushed_version` and `pushed_destination`, `not_pushed` (why a blessed model was not
    pushed), `removed` (older versions that were deleted) and `note` (what went wrong after the push), and the int
    property `challenger` (1 if the version is not served, but stands beside the one that is).

    Args:
        settings: JSON of `push.settings.Push`, with an absolute destination.
        served_version: version served when the run began, "" for none. The data gate and the model gate compared with
            it, so it must still be the one served.
        facts: JSON object of fields of `PushedManifest`: name, task, code and configuration.
        build: JSON object of the fields `configuration` and `environment` of `provenance.Built`, which is stored beside
            a model that is signed; "" if it is not.
        code_fingerprint: changes when the code of this stage does; part of the cache key.
        exports: the model in further formats, if the configuration wants any. Those that passed are pushed with it;
            without a required one, nothing is.
    """
    os.makedirs(pushed_model.uri, exist_ok=True)
    pushed_model.set_int_custom_property("pushed", 0)
    if not blessing.get_int_custom_property("blessed") or not serving_check.get_int_custom_property("passed"):
        return
    evaluated = _json(model_evaluation.uri, MODEL_DIGESTS)
    push = Push.from_json(settings)
    exported = _exported(exports.uri) if exports else ExportResult()
    if refused := exported.refusals(push.required_formats):
        pushed_model.set_string_custom_property("not_pushed", "\n".join(f"required: {one}" for one in refused))
        return
    with open(os.path.join(class_balance.uri, CLASS_BALANCE), encoding="utf-8") as f:
        data = DataGateResult.from_json(f.read())
    results = analysis.results(model_evaluation.uri, analysis.CANDIDATE)
    folder = path_utils.serving_model_dir(model.uri)
    versions.require_evaluated(versions.digests(folder), evaluated)
    manifest = PushedManifest(
        **json.loads(facts) | _numbers(data, results, model_run.uri),
        thresholds=_json(model_evaluation.uri, VERDICTS),
        decisions=_json(os.path.join(folder, "assets.extra"), DECISIONS_FILE),
        identity=identity.identity(folder, evaluated),
        written_by=_releases(folder),
    )
    for_servers = _for_servers(serving_check.uri)
    notes = [*_notes(data.manifest), *([_WARM] if WARM_UP in for_servers else [])]
    card = _card(manifest, data.manifest, results, model_evaluation.uri, checkpoint.read(model_run.uri), notes)
    files: dict[str, Content] = {
        **for_servers,
        KNOWN_IMAGES: _bytes(class_balance.uri, KNOWN_IMAGES),
        MODEL_CARD: model_card.render(card).encode(),
    }
    for one in exported.exports:
        if one.passed:
            files |= {name: os.path.join(exports.uri, os.path.basename(name)) for name in one.digests}
            evaluated |= one.digests
    trusted = trust.writer(push)
    if trusted.signer is not None:
        told = provenance.Built(**json.loads(build), manifest=manifest, files=evaluated)
        files[PROVENANCE] = told.statement().encode()
    try:
        served = versions.push(
            folder,
            push.destination,
            manifest,
            files,
            evaluated,
            served_version,
            take_over=push.take_over,
            as_challenger=push.challenges,
            trust=trusted,
        )
    except (versions.NotPushed, versions.AnotherName, versions.NoChampion) as error:
        pushed_model.set_string_custom_property("not_pushed", str(error))
        return
    if served.new:
        pushed_model.set_int_custom_property("pushed", 1)
        pushed_model.set_string_custom_property("pushed_destination", served.path)
    pushed_model.set_string_custom_property("pushed_version", served.version)
    pushed_model.set_int_custom_property("challenger", int(served.manifest.challenger))
    removed, problem = versions.tidy(push.destination, push.keep, trusted)
    pushed_model.set_string_custom_property("removed", ", ".join(removed))
    pushed_model.set_string_custom_property("note", problem)


def _exported(folder: str) -> ExportResult:
    with open(os.path.join(folder, EXPORTS), encoding="utf-8") as f:
        return ExportResult.from_json(f.read())


def _for_servers(serving_check: str) -> dict[str, bytes]:
    """The warm-up requests and batching parameters that the serving check tried.

    Raises:
        ImagegateError: a file is not the one that it wrote.
    """
    tried = ServingResult.from_json(_bytes(serving_check, SERVING).decode()).beside
    files = {name: _bytes(serving_check, name) for name in tried}
    versions.require_evaluated({name: hashlib.sha256(content).hexdigest() for name, content in files.items()}, tried)
    return files


def _card(
    pushed: PushedManifest,
    data: DatasetManifest,
    results: Results,
    evaluation: str,
    chosen: Checkpoint | None,
    notes: Sequence[str],
) -> model_card.Facts:
    """Collects the contents of the model card."""
    told = comparison.read(evaluation)
    served = compared.whole(told.served)
    if told.version and told.whole:
        served = analysis.whole(evaluation, analysis.BASELINE)
    return model_card.Facts(
        name=pushed.name,
        task=pushed.task,
        date=f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        counts=data.counts,
        results=results,
        served=told.version,
        served_numbers=served,
        compared_numbers=compared.whole(told.candidate),
        not_compared=told.why_not,
        left_out=told.sentences(),
        thresholds=[verdict.reason for verdict in pushed.thresholds if verdict.judged],
        not_judged=[verdict.reason for verdict in pushed.thresholds if not verdict.judged],
        training=chosen.sentence() if chosen else "",
        notes=notes,
        fingerprints={"data": pushed.data_fingerprint, "code": pushed.code_fingerprint}
        | {"configuration": pushed.configuration_fingerprint, "model": pushed.identity},
        written_by=pushed.written_by,
        labels=pushed.labels,
        label_counts=pushed.label_counts,
        imbalance=pushed.imbalance,
        label_weights=pushed.label_weights,
    )


def _releases(folder: str) -> dict[str, str]:
    """What trained the model and wrote its files."""
    return {"imagegate": metadata.version("imagegate"), "tensorflow": identity.tensorflow_version(folder)}


def _numbers(data: DataGateResult, results: Results, training: str) -> dict[str, Any]:
    numbers = next(numbers for where, numbers in results if not where)
    return {
        "format": signatures.FORMAT,
        **_of_arrays(data.manifest.arrays),
        "labels": data.manifest.labels,
        "label_counts": data.manifest.label_counts,
        "imbalance": _json(training, IMBALANCE),
        "label_weights": _json(training, LABEL_WEIGHTS),
        "data_fingerprint": data.manifest.content,
        "data": data.pushed,
        # JSON cannot represent NaN.
        "metrics": {k: None if math.isnan(v) else v for k, v in numbers.items()},
    }


def _of_arrays(told: ArrayFacts | None) -> dict[str, Any]:
    """What is known of arrays, which keep their size; the means of the images are in `KnownData`."""
    if told is None:
        return {}
    return {"arrays": told.model_copy(update={"images": {}}), "image_size": (told.height, told.width)}


def _notes(manifest: DatasetManifest) -> list[str]:
    """Describes which of the data were excluded, in sentences."""
    notes = [
        f"{share:.1%} of {what} are unknown and were excluded."
        for what, share in data_gate.unknown(manifest).items()
        if share
    ]
    if manifest.quarantined:
        notes.append(f"{len(manifest.quarantined):,} files could not be used and were excluded.")
    return notes


def _bytes(folder: str, name: str) -> bytes:
    with open(os.path.join(folder, name), "rb") as f:
        return f.read()


def _json(folder: str, name: str) -> Any:
    with open(os.path.join(folder, name), encoding="utf-8") as f:
        return json.load(f)
