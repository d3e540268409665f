"""ServingCheck: the last gate before the push. It asks the exported model for its answers to real images."""

import json
import os

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from components.base.artifact_files import MODEL_DIGESTS, SERVING
from components.base.files import write_atomically
from components.data import features
from components.evaluation import analysis, predictions
from components.gates import serving_check
from components.gates.judge import failed
from components.gates.records import ServingResult
from components.gates.requests import PHOTOS, Frames
from components.gates.settings import Serving
from components.ingest import manifest
from components.ingest.stored import index
from components.labels import kinds
from components.push import versions
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
    bits: Parameter[int],
    code_fingerprint: Parameter[str],
) -> None:
    """Asks a blessed model for its answers to images of the test split. A refused model is not asked.

    Beside its result it writes the files that go beside the model; see `serving_check.check`.

    Sets the property `passed` to 0 or 1.

    Args:
        task: the task in the configuration.
        limits: JSON of `gates.settings.Serving`.
        bits: of the values in files of 16 bits, see `images.check`; 0: all.
        code_fingerprint: changes when the code of this stage does; part of the cache key.

    Raises:
        ImagegateError: the model is not the one that was evaluated.
    """
    os.makedirs(serving_check_out.uri, exist_ok=True)
    result = ServingResult(verdicts=())
    passed = bool(blessing.get_int_custom_property("blessed"))
    if passed:
        folder = path_utils.serving_model_dir(model.uri)
        with open(os.path.join(model_evaluation.uri, MODEL_DIGESTS), encoding="utf-8") as f:
            versions.require_evaluated(versions.digests(folder), json.load(f))
        result = serving_check.check(
            folder,
            _samples(examples.uri, model_evaluation.uri),
            kinds.kind(task),
            Serving.from_json(limits),
            serving_check_out.uri,
            None if bits == 0 else bits,
            _frames(examples.uri),
        )
        passed = not failed(result.verdicts)
    write_atomically(os.path.join(serving_check_out.uri, SERVING), result.to_json(indent=1))
    serving_check_out.set_int_custom_property("passed", int(passed))


def _frames(examples: str) -> Frames:
    told = manifest.read(examples).arrays
    return PHOTOS if told is None else told.frames


def _samples(examples: str, model_evaluation: str) -> list[serving_check.Sample]:
    """Reads the first images of the test split, with the answers that were evaluated."""
    import tensorflow as tf

    predicted = {(row["path"], row["sha256"]): row for row in predictions.read(model_evaluation, analysis.CANDIDATE)}
    samples = []
    for record in index.numbered(examples, "test", range(serving_check.IMAGES)):
        image = tf.train.Example.FromString(record).features.feature[features.IMAGE].bytes_list.value[0]
        samples.append(
            serving_check.Sample(image=image, example=record, predicted=predicted[predictions.identity(record)])
        )
    return samples
