"""Pusher: what the model gate blessed goes to the destination, with its manifest and model card."""

import datetime
import json
import math
import os
from typing import Any

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from components.base.artifact_files import (
    CLASS_BALANCE,
    DECISIONS_FILE,
    KNOWN_IMAGES,
    MODEL_CARD,
    MODEL_DIGESTS,
    VERDICTS,
)
from components.base.errors import ImagegateError
from components.data.manifest import DatasetManifest
from components.evaluation import analysis
from components.gates import data_gate as rules
from components.gates.records import DataGateResult
from components.model import signatures
from components.push import model_card, versions
from components.push.manifest import PushedManifest
from components.push.settings import Push
from components.stages import artifacts


@component
def Pusher(  # noqa: N802  TFX names components like classes
    model: InputArtifact[standard_artifacts.Model],
    baseline_model: InputArtifact[standard_artifacts.Model],
    model_evaluation: InputArtifact[standard_artifacts.ModelEvaluation],
    blessing: InputArtifact[standard_artifacts.ModelBlessing],
    class_balance: InputArtifact[artifacts.ClassBalance],
    serving_check: InputArtifact[artifacts.ServingCheck],
    pushed_model: OutputArtifact[standard_artifacts.PushedModel],
    settings: Parameter[str],
    served_version: Parameter[str],
    facts: Parameter[str],
    code_fingerprint: Parameter[str],
) -> None:
    """Pushes a blessed model; does nothing for another, or where this very model is served already.

    The string properties: `pushed_version` and `pushed_destination`; `withdrawn`, why a blessed model was not pushed;
    `removed`, older versions that are gone now; `note`, what went wrong after the model was served.

    Args:
        settings: JSON of `push.settings.Push`, with an absolute destination.
        served_version: the version when the graph was built; part of the cache key.
        facts: JSON object that goes into the manifest as it is: name, task, code and configuration.
    """
    os.makedirs(pushed_model.uri, exist_ok=True)
    pushed_model.set_int_custom_property("pushed", 0)
    if not blessing.get_int_custom_property("blessed") or not serving_check.get_int_custom_property("passed"):
        return
    evaluated = _json(model_evaluation.uri, MODEL_DIGESTS)
    where = Push.from_json(settings)
    served = versions.current(where.destination)
    if served is None or served.model != evaluated or not _whole(served):
        with open(os.path.join(class_balance.uri, CLASS_BALANCE), encoding="utf-8") as f:
            data = DataGateResult.from_json(f.read())
        results = analysis.results(model_evaluation.uri, analysis.CANDIDATE)
        folder = path_utils.serving_model_dir(model.uri)
        manifest = PushedManifest(
            **json.loads(facts),
            **_numbers(data, results),
            thresholds=_json(model_evaluation.uri, VERDICTS),
            decisions=_json(os.path.join(folder, "assets.extra"), DECISIONS_FILE),
        )
        version, note = (baseline_model.get_string_custom_property(name) for name in ("version", "note"))
        others = analysis.results(model_evaluation.uri, analysis.BASELINE) if version else []
        card = model_card.Facts(
            name=manifest.name,
            task=manifest.task,
            date=f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
            counts=data.manifest.counts,
            results=results,
            served=version,
            served_numbers=next((numbers for where, numbers in others if not where), {}),
            not_compared=note,
            thresholds=[v.reason for v in manifest.thresholds],
            notes=_notes(data.manifest),
            fingerprints={"data": manifest.data_fingerprint, "code": manifest.code_fingerprint}
            | {"configuration": manifest.configuration_fingerprint, "model": versions.identity(evaluated)},
            labels=manifest.labels,
            label_counts=manifest.label_counts,
            label_weights=manifest.label_weights,
        )
        with open(os.path.join(class_balance.uri, KNOWN_IMAGES), "rb") as f:
            beside = {
                KNOWN_IMAGES: f.read(),
                MODEL_CARD: model_card.render(card).encode(),
            }
        try:
            served = versions.push(folder, where.destination, manifest, beside, evaluated)
        except versions.Withdrawn as error:
            pushed_model.set_string_custom_property("withdrawn", str(error))
            return
        pushed_model.set_int_custom_property("pushed", 1)
        pushed_model.set_string_custom_property("pushed_destination", served.path)
    pushed_model.set_string_custom_property("pushed_version", served.version)
    removed, problem = versions.tidy(where.destination, where.keep)
    pushed_model.set_string_custom_property("removed", ", ".join(removed))
    pushed_model.set_string_custom_property("note", problem)


def _whole(served: versions.Served) -> bool:
    """Whether the served model is as it was pushed; one that is damaged is replaced."""
    try:
        versions.verify(served)
    except ImagegateError:
        return False
    return True


def _numbers(data: DataGateResult, results: Any) -> dict[str, Any]:
    numbers = next(numbers for where, numbers in results if not where)
    return {
        "format": signatures.FORMAT,
        "labels": data.manifest.labels,
        "label_counts": data.manifest.label_counts,
        "label_weights": data.weights,
        "data_fingerprint": data.manifest.content,
        "data": data.pushed,
        # JSON has no NaN.
        "metrics": {k: None if math.isnan(v) else v for k, v in numbers.items()},
    }


def _notes(manifest: DatasetManifest) -> list[str]:
    """What of the data took no part, in sentences."""
    notes = [
        f"{share:.1%} of {what} are unknown and took no part."
        for what, share in rules.unknown(manifest).items()
        if share
    ]
    if manifest.quarantined:
        notes.append(f"{len(manifest.quarantined):,} files could not be used and took no part.")
    return notes


def _json(folder: str, name: str) -> Any:
    with open(os.path.join(folder, name), encoding="utf-8") as f:
        return json.load(f)
