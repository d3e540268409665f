"""ServingCheck: the last gate before the push. The exported model answers real images, from its files alone."""

import itertools
import json
import os
from typing import Any

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from components.base.artifact_files import SERVING
from components.data import features
from components.evaluation import analysis, predictions
from components.gates import serving_check
from components.gates.judge import failed
from components.gates.settings import Serving
from components.ingest import manifest
from components.labels import kinds
from components.stages import artifacts


@component
def ServingCheck(  # noqa: N802  TFX names components like classes
    examples: InputArtifact[standard_artifacts.Examples],
    model: InputArtifact[standard_artifacts.Model],
    model_evaluation: InputArtifact[standard_artifacts.ModelEvaluation],
    blessing: InputArtifact[standard_artifacts.ModelBlessing],
    serving_check_out: OutputArtifact[artifacts.ServingCheck],
    task: Parameter[str],
    limits: Parameter[str],
    code_fingerprint: Parameter[str],
) -> None:
    """Asks a blessed model for images of the test split; another is not asked, since nobody will be.

    Args:
        limits: JSON of `gates.settings.Serving`.
    """
    found: dict[str, Any] = {"verdicts": []}
    passed = bool(blessing.get_int_custom_property("blessed"))
    if passed:
        measured, verdicts = serving_check.check(
            path_utils.serving_model_dir(model.uri),
            _samples(examples.uri, model_evaluation.uri),
            kinds.kind(task),
            Serving.from_json(limits),
        )
        passed = not failed(verdicts)
        found = {**measured, "verdicts": [vars(v) for v in verdicts]}
    os.makedirs(serving_check_out.uri, exist_ok=True)
    with open(os.path.join(serving_check_out.uri, SERVING), "w", encoding="utf-8") as f:
        json.dump(found, f, ensure_ascii=False, indent=1)
    serving_check_out.set_int_custom_property("passed", int(passed))


def _samples(examples: str, model_evaluation: str) -> list[serving_check.Sample]:
    import tensorflow as tf

    predicted = {(row["path"], row["sha256"]): row for row in predictions.read(model_evaluation, analysis.CANDIDATE)}
    records = tf.data.TFRecordDataset(manifest.verify(examples, "test")).as_numpy_iterator()
    samples = []
    for record in itertools.islice(records, serving_check.IMAGES):
        image = tf.train.Example.FromString(record).features.feature[features.IMAGE].bytes_list.value[0]
        samples.append(
            serving_check.Sample(image=image, example=record, predicted=predicted[predictions.identity(record)])
        )
    return samples
