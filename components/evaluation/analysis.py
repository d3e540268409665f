"""The model gate's numbers through TFMA: what it computes, how its results are read, how it calls our models.

This module is the Evaluator's user module: TFMA imports it by name, in workers too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from tensorflow_model_analysis.api import types as tfma_types
from tensorflow_model_analysis.extractors import extractor as tfma_extractor
from tensorflow_model_analysis.proto import config_pb2

from components.base import progress
from components.data import features
from components.evaluation import out_of_distribution, predictions, tfma_metrics, tfma_standard
from components.evaluation.settings import StandardMetric
from components.labels import kinds, outputs

CANDIDATE, BASELINE = predictions.CANDIDATE, predictions.BASELINE
# TFMA's batches grow to hundreds; decoded at once, that many photos would set the peak of memory.
_BATCH = 32
TASK = "images"

Extracts = Mapping[str, Any]  # of TFMA, by name


def eval_config(
    task: str,
    labels: Sequence[str],
    slices: Iterable[Sequence[str]],
    *,
    has_baseline: bool,
    standard: Sequence[StandardMetric] = (),
    examples: int = 0,
    folder: str = "",
) -> config_pb2.EvalConfig:
    """What TFMA computes: every metric of `components.metrics`, overall and by slice, for one or two models.

    Args:
        task: as in the configuration.
        labels: the K label names in the order of the model's outputs.
        slices: each the columns of one cross: names in `features.SLICES`, or columns of the manifest.
        has_baseline: whether a served model is evaluated beside the candidate.
        standard: TFMA's own metrics to compute beside ours; see `tfma_standard`.
        examples: how many will be evaluated.
        folder: of the evaluation, where the predictions go.
    """
    config = config_pb2.EvalConfig()
    settings = tfma_metrics.Settings(task=task, labels=tuple(labels), examples=examples, folder=folder)
    for name in (CANDIDATE, BASELINE) if has_baseline else (CANDIDATE,):
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
    return config


def results(folder: str, model_name: str) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """TFMA's numbers for one model: (slice column -> value, metric key -> value) for each slice; {} is all examples.

    The keys are those of `LabelKind.metric_names`. `metrics.CONFUSION`, where it is among them, is a list of K lists.
    """
    own = [
        (where, {k: _value(v) for k, v in numbers.items() if not k.startswith(tfma_standard.PREFIX)})
        for where, numbers in _records(folder, model_name)
    ]
    out_of_distribution_numbers = out_of_distribution.read(folder).get("models", {}).get(model_name, {})
    return [(where, numbers if where else numbers | out_of_distribution_numbers) for where, numbers in own]


def standard_results(folder: str, model_name: str) -> dict[str, Any]:
    """TFMA's own metrics of one model over all examples, by TFMA's names: numbers, or objects as in JSON."""
    whole = next((numbers for where, numbers in _records(folder, model_name) if not where), {})
    prefix = tfma_standard.PREFIX
    return {k.removeprefix(prefix): _plain(v) for k, v in whole.items() if k.startswith(prefix)}


def _records(folder: str, model_name: str) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """(slice column -> value, metric key -> TFMA's value) for each slice, that of all examples first."""
    read = []
    for record in tfma.load_metrics(folder):
        where = {}
        for part in record.slice_key.single_slice_keys:
            value = getattr(part, part.WhichOneof("kind"))
            where[_column(part.column)] = value.decode() if isinstance(value, bytes) else str(value)
        # A single model has no name in the keys; with two, TFMA adds the differences under the candidate's name.
        numbers = {
            m.key.name: m.value
            for m in record.metric_keys_and_values
            if m.key.model_name in (model_name, "") and not m.key.is_diff
        }
        read.append((where, numbers))
    return sorted(read, key=lambda r: (len(r[0]), sorted(r[0].items())))


def _column(feature: str) -> str:
    own = {f: column for column, f in features.SLICES.items()}
    return own.get(feature, feature.removeprefix(features.SLICE))


def _plain(value: Any) -> Any:
    """JSON has no NaN."""
    if value.WhichOneof("type") == "double_value":
        number = value.double_value.value
        return number if math.isfinite(number) else None
    [plain] = json_format.MessageToDict(value, preserving_proto_field_name=True).values()
    return plain


def _value(value: Any) -> Any:
    kind = value.WhichOneof("type")
    if kind == "double_value":
        return value.double_value.value
    if kind == "array_value":
        cells = np.array(value.array_value.float64_values or value.array_value.float32_values)
        return cells.reshape(list(value.array_value.shape)).tolist()
    return math.nan


# What TFX's Evaluator looks up in its user module, by name.


def custom_eval_shared_model(
    eval_saved_model_path: str, model_name: str, eval_config: config_pb2.EvalConfig, **kwargs: Any
) -> Any:
    """The model as TFMA loads it, with signatures that are called by keyword."""
    return tfma.default_eval_shared_model(
        eval_saved_model_path,
        model_name=model_name,
        eval_config=eval_config,
        include_default_metrics=False,
        custom_model_loader=tfma_types.ModelLoader(
            lambda: _Model(eval_saved_model_path), tags=[tf.saved_model.SERVING]
        ),
        **kwargs,
    )


def custom_extractors(
    eval_shared_model: Any, eval_config: config_pb2.EvalConfig, tensor_adapter_config: Any
) -> list[tfma_extractor.Extractor]:
    """TFMA's own extractors behind one that bounds the batches."""
    stock = tfma.default_extractors(
        eval_shared_model=eval_shared_model,
        eval_config=eval_config,
        tensor_adapter_config=tensor_adapter_config,
    )
    settings = tfma_metrics.settings(eval_config)
    models = [spec.name or CANDIDATE for spec in eval_config.model_specs]  # TFX clears the name of a single model
    if len(eval_config.metrics_specs) > 1:
        # Before the last, which finds the slices: evaluators see what has come up to there.
        stock.insert(-1, tfma_standard.inputs(settings.labels))
    progress.start(TASK)
    return [
        tfma_extractor.Extractor("BoundBatches", beam.FlatMap(_bounded, settings.examples)),
        *stock,
        tfma_extractor.Extractor("Predictions", _Written(settings, models)),
    ]


class _Written(beam.PTransform):
    """Writes the models' answers beside the evaluation, and lets everything through."""

    def __init__(self, settings: tfma_metrics.Settings, models: Sequence[str]) -> None:
        super().__init__()
        self._settings, self._models = settings, models

    def expand(self, extracts: Any) -> Any:
        folder, classes = self._settings.folder, len(self._settings.labels)
        kind = kinds.kind(self._settings.task)

        def row(extract: Extracts, model: str) -> predictions.Prediction:
            answer = tfma_metrics.answer_of(extract, model, kind, classes)
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
        # Comes back here once the models have answered for this part.
        progress.advance(TASK, part.num_rows, total)


class _Model:
    def __init__(self, path: str) -> None:
        self._model = tf.saved_model.load(path)  # keeps the variables that the signatures use
        self.signatures = {name: _by_keyword(fn) for name, fn in self._model.signatures.items()}


class _by_keyword:  # noqa: N801  stands for a function
    """TFMA calls signatures positionally; TensorFlow formats the whole batch into an error before it falls back."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self._fn = fn
        self.structured_input_signature = fn.structured_input_signature  # type: ignore[attr-defined]
        self._names = list(self.structured_input_signature[1])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._fn(**kwargs, **dict(zip(self._names, args, strict=False)))
