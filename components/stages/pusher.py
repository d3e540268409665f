"""Pusher: what the model gate blessed goes to the destination, with its manifest."""

import json
import math
import os

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from components import changes, evaluation, metrics, push
from components.stages import artifacts, balance, evaluator


@component
def Pusher(  # noqa: N802  TFX names components like classes
    model: InputArtifact[standard_artifacts.Model],
    model_evaluation: InputArtifact[standard_artifacts.ModelEvaluation],
    blessing: InputArtifact[standard_artifacts.ModelBlessing],
    class_balance: InputArtifact[artifacts.ClassBalance],
    serving_check: InputArtifact[artifacts.ServingCheck],
    pushed_model: OutputArtifact[standard_artifacts.PushedModel],
    destination: Parameter[str],
    served_version: Parameter[str],
    facts: Parameter[str],
    code_fingerprint: Parameter[str],
) -> None:
    """Pushes a blessed model; does nothing for another, or where this very model is served already.

    Args:
        served_version: the version when the graph was built; part of the cache key.
        facts: JSON object that goes into the manifest as it is: name, task, code and configuration.
    """
    os.makedirs(pushed_model.uri, exist_ok=True)
    pushed_model.set_int_custom_property("pushed", 0)
    if not blessing.get_int_custom_property("blessed") or not serving_check.get_int_custom_property("passed"):
        return
    folder = path_utils.serving_model_dir(model.uri)
    served = push.current(destination)
    if served is not None and push.digests(folder) == {
        name: digest for name, digest in served.manifest["files"].items() if name != changes.FILE
    }:
        pushed_model.set_string_custom_property("pushed_version", served.version)
        return
    with open(os.path.join(class_balance.uri, balance.FILE), encoding="utf-8") as f:
        data = json.load(f)
    with open(os.path.join(class_balance.uri, changes.FILE), "rb") as f:
        images = f.read()
    with open(os.path.join(model_evaluation.uri, evaluator.VERDICTS), encoding="utf-8") as f:
        verdicts = json.load(f)
    numbers = next(n for where, n in evaluation.results(model_evaluation.uri, evaluation.CANDIDATE) if not where)
    manifest = {
        **json.loads(facts),
        "labels": data["manifest"]["labels"],
        "label_counts": data["manifest"]["label_counts"],
        "label_weights": data["weights"],
        "data_fingerprint": data["manifest"]["content"],
        "data": data["pushed"],
        # JSON has no NaN.
        "metrics": {k: None if math.isnan(v) else v for k, v in numbers.items() if k != metrics.CONFUSION},
        "thresholds": verdicts,
    }
    pushed = push.push(folder, destination, manifest, {changes.FILE: images})
    pushed_model.set_int_custom_property("pushed", 1)
    pushed_model.set_string_custom_property("pushed_version", pushed.version)
    pushed_model.set_string_custom_property("pushed_destination", pushed.path)
