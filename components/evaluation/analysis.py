"""The evaluation with TensorFlow Model Analysis: its configuration, its results, and how it calls our models.

This is the user module of TFX's Evaluator: TFMA imports it by name, also in its workers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from tensorflow_model_analysis.api import types as tfma_types
from tensorflow_model_analysis.extractors import extractor as tfma_extractor
from tensorflow_model_analysis.proto import config_pb2

from components import metrics
from components.base import progress
from components.data import features
from components.evaluation import alignment, out_of_distribution, predictions, tfma_metrics, tfma_standard
from components.evaluation.settings import StandardMetric
from components.labels import kinds, outputs

CANDIDATE, BASELINE = predictions.CANDIDATE, predictions.BASELINE
# The models always get so many examples at once. TFMA's own batches grow to hundreds of images, too many to decode at
# once within reasonable memory, and their size follows from the time that earlier ones took and from how a Beam engine
# divides the work. But processors multiply matrices in blocks of rows (6 with AVX2, 8 with AVX-512, 12 with NEON) and
# compute the rows of a last, smaller block in another order, with other last digits: so this is a multiple of them all.
_BATCH = 24
TASK = "images"  # name of the progress

Extracts = Mapping[str, Any]  # TFMA's, by name
Slice = dict[str, str]  # column -> value; empty: all examples


def eval_config(
    task: str,
    labels: Sequence[str],
    slices: Iterable[Sequence[str]],
    *,
    served: Sequence[str] = (),
    standard: Sequence[StandardMetric] = (),
    examples: int = 0,
    folder: str = "",
) -> config_pb2.EvalConfig:
    """Configures TFMA to compute every metric of `components.metrics`, overall and by slice, for one or two models.

    Of a served model that knows other labels, TFMA only predicts; see `comparison`.

    Args:
        task: as in the configuration.
        labels: the K label names in the order of the model's outputs.
        slices: the columns of each cross: names in `features.SLICES`, or columns of the manifest.
        served: the served model's label names in the order of its outputs; () if none is evaluated as well.
        standard: TFMA's own metrics to compute in addition; see `tfma_standard`.
        examples: number of examples, for the progress.
        folder: of the evaluation, where the predictions are written.
    """
    config = config_pb2.EvalConfig()
    settings = tfma_metrics.Settings(
        task=task, labels=tuple(labels), examples=examples, folder=folder, served=tuple(served)
    )
    for name in (CANDIDATE, BASELINE) if served else (CANDIDATE,):
        config.model_specs.add(
            name=name,
            is_baseline=name == BASELINE,
            signature_name=outputs.EVALUATE,
            prediction_key=kinds.kind(task).output,
        )
    config.slicing_specs.add()  # all examples
    for columns in slices:
        config.slicing_specs.add(feature_keys=[features.SLICES.get(c, features.SLICE + c) for c in columns])
    config.metrics_specs.add().metrics.append(tfma_metrics.config(settings))
    if standard:
        config.metrics_specs.append(tfma_standard.specs(standard))
    if served and set(served) != set(labels):
        for spec in config.metrics_specs:
            spec.model_names.append(CANDIDATE)
    return config


def results(folder: str, model_name: str) -> list[tuple[Slice, dict[str, float]]]:
    """Reads the metrics of one model: a slice and its numbers by metric key, all examples first.

    The keys are those of `LabelKind.metric_names`, without the confusion matrix, and `metrics.OUT_OF_DISTRIBUTION`.
    """
    numbers_by_slice = [
        (where, {key: _number(value) for key, value in values.items() if _is_number(key)})
        for where, values in _records(folder, model_name)
    ]
    unlike = out_of_distribution.read(folder).get("models", {}).get(model_name, {})
    return [(where, numbers if where else numbers | unlike) for where, numbers in numbers_by_slice]


def whole(folder: str, model_name: str) -> dict[str, float]:
    """Reads the metrics of one model over all examples; see `results`."""
    return next((numbers for where, numbers in results(folder, model_name) if not where), {})


def confusion(folder: str, model_name: str, where: Mapping[str, str] = MappingProxyType({})) -> list[list[float]]:
    """Reads the confusion matrix [K, K] of one model in one slice; rows are true labels, columns predictions.

    Raises:
        KeyError: the labels are not exclusive.
        StopIteration: there is no such slice.
    """
    value = next(values for slice_, values in _records(folder, model_name) if slice_ == where)[metrics.CONFUSION]
    cells = np.array(value.array_value.float64_values or value.array_value.float32_values)
    return cells.reshape(list(value.array_value.shape)).tolist()


def standard_results(folder: str, model_name: str) -> Mapping[str, Any]:
    """Reads TFMA's own metrics of one model over all examples, by TFMA's names: numbers or JSON objects."""
    whole = next((values for where, values in _records(folder, model_name) if not where), {})
    prefix = tfma_standard.PREFIX
    return {key.removeprefix(prefix): _plain(value) for key, value in whole.items() if key.startswith(prefix)}


def _records(folder: str, model_name: str) -> list[tuple[Slice, Mapping[str, Any]]]:
    """The slices with TFMA's values by metric key, all examples first."""
    read = []
    for record in tfma.load_metrics(folder):
        where = {}
        for part in record.slice_key.single_slice_keys:
            value = getattr(part, part.WhichOneof("kind"))
            where[_column(part.column)] = value.decode() if isinstance(value, bytes) else str(value)
        # A single model has no name in the keys; with two, TFMA adds the differences under the candidate's name.
        values = {
            m.key.name: m.value
            for m in record.metric_keys_and_values
            if m.key.model_name in (model_name, "") and not m.key.is_diff
        }
        read.append((where, values))
    return sorted(read, key=lambda record: (len(record[0]), sorted(record[0].items())))


def _column(feature: str) -> str:
    columns = {name: column for column, name in features.SLICES.items()}
    return columns.get(feature, feature.removeprefix(features.SLICE))


def _plain(value: Any) -> Any:
    """TFMA's value as in JSON, where NaN becomes None."""
    if value.WhichOneof("type") == "double_value":
        number = value.double_value.value
        return number if math.isfinite(number) else None
    [plain] = json_format.MessageToDict(value, preserving_proto_field_name=True).values()
    return plain


def _is_number(key: str) -> bool:
    return key != metrics.CONFUSION and not key.startswith(tfma_standard.PREFIX)


def _number(value: Any) -> float:
    return value.double_value.value if value.WhichOneof("type") == "double_value" else math.nan


# TFX's Evaluator looks up the following functions in its user module, by name.


def custom_eval_shared_model(
    eval_saved_model_path: str, model_name: str, eval_config: config_pb2.EvalConfig, **kwargs: Any
) -> Any:
    """Makes TFMA load the model with signatures that are called by keyword, the served one's with our labels."""
    settings = tfma_metrics.settings(eval_config)
    served = settings if model_name == BASELINE and settings.served != settings.labels else None
    return tfma.default_eval_shared_model(
        eval_saved_model_path,
        model_name=model_name,
        eval_config=eval_config,
        include_default_metrics=False,
        custom_model_loader=tfma_types.ModelLoader(
            lambda: _Model(eval_saved_model_path, served), tags=[tf.saved_model.SERVING]
        ),
        **kwargs,
    )


def custom_extractors(
    eval_shared_model: Any, eval_config: config_pb2.EvalConfig, tensor_adapter_config: Any
) -> list[tfma_extractor.Extractor]:
    """TFMA's default extractors, after one that limits the size of batches and before one that writes predictions."""
    stock = tfma.default_extractors(
        eval_shared_model=eval_shared_model,
        eval_config=eval_config,
        tensor_adapter_config=tensor_adapter_config,
    )
    settings = tfma_metrics.settings(eval_config)
    models = [spec.name or CANDIDATE for spec in eval_config.model_specs]  # TFX clears the name of a single model
    if len(eval_config.metrics_specs) > 1:
        # Before the last extractor, which assigns the slices: evaluators see only what was extracted up to there.
        stock.insert(-1, tfma_standard.inputs(settings.labels))
    progress.start(TASK)
    return [
        tfma_extractor.Extractor("BoundBatches", beam.FlatMap(_bounded, settings.examples)),
        *stock,
        tfma_extractor.Extractor("Predictions", _WritePredictions(settings, models)),
    ]


class _WritePredictions(beam.PTransform):
    """Writes the models' predictions beside the evaluation and passes the extracts on."""

    def __init__(self, settings: tfma_metrics.Settings, models: Sequence[str]) -> None:
        super().__init__()
        self._settings, self._models = settings, models

    def expand(self, extracts: Any) -> Any:
        folder, kind = self._settings.folder, kinds.kind(self._settings.task)
        classes = {CANDIDATE: len(self._settings.labels), BASELINE: len(self._settings.served)}

        def row(extract: Extracts, model: str) -> predictions.Prediction:
            answer = tfma_metrics.answer_of(extract, model, kind, classes[model])
            return predictions.row(extract[tfma.INPUT_KEY], answer, kind)

        for model in self._models:
            rows = extracts | f"Row[{model}]" >> beam.Map(row, model)
            _ = rows | f"Write[{model}]" >> predictions.write(folder, model, kind)
        return extracts


def _bounded(extracts: Extracts, total: int) -> Iterator[Extracts]:
    batch = extracts[tfma.ARROW_RECORD_BATCH_KEY]
    for start in range(0, batch.num_rows, _BATCH):
        part = batch.slice(start, _BATCH)
        yield {**extracts, tfma.ARROW_RECORD_BATCH_KEY: part}
        # The generator continues here after the models have predicted this part.
        progress.advance(TASK, part.num_rows, total)


class _Model:
    def __init__(self, path: str, served: tfma_metrics.Settings | None) -> None:
        self._model = tf.saved_model.load(path)  # keeps the variables that the signatures use
        self.signatures = {name: _by_keyword(fn) for name, fn in self._model.signatures.items()}
        if served is not None:
            kind, evaluate = kinds.kind(served.task), self.signatures[outputs.EVALUATE]
            evaluate.called = alignment.adapt(evaluate.called, kind, served.labels, served.served)


class _by_keyword:  # noqa: N801  used like a function
    """Calls a signature by keyword, and with `_BATCH` examples at once: answers do not depend on the batch.

    TFMA passes positional arguments, for which TensorFlow first formats the whole batch into an error message.
    """

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.called = fn
        self.structured_input_signature = fn.structured_input_signature  # type: ignore[attr-defined]
        self._names = list(self.structured_input_signature[1])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        inputs = {**kwargs, **dict(zip(self._names, args, strict=False))}
        count = len(next(iter(inputs.values())))
        missing = -count % _BATCH
        if not missing:
            return self.called(**inputs)
        filled = {name: tf.concat([value, tf.repeat(value[:1], missing, axis=0)], 0) for name, value in inputs.items()}
        return {name: answer[:count] for name, answer in self.called(**filled).items()}
