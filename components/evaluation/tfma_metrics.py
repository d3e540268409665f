"""The accumulators as a single TFMA metric. TFMA imports this module by name in the workers of the evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types, metric_util
from tensorflow_model_analysis.proto import config_pb2

from components.base.values import Value
from components.data import features
from components.labels import kinds
from components.labels.kind import Answer, LabelKind
from components.metrics.base import Accumulator, Rows

Example = Mapping[str, Any]  # feature -> values
Extracts = Mapping[str, Any]  # TFMA's, by name

# Extract with the original predictions, in case `tfma_standard` has changed those that TFMA's own metrics see.
ANSWERS = "imagegate/answers"


class Settings(Value):
    """Arguments of `Metrics`, as part of TFMA's configuration.

    Attributes:
        task: as in the configuration.
        labels: the K label names in the order of the model's outputs.
        examples: number of examples, for the progress.
        folder: of the evaluation, where the predictions are written.
        served: the served model's label names in the order of its outputs; () without a served model.
    """

    task: str
    labels: tuple[str, ...]
    examples: int = 0
    folder: str = ""
    served: tuple[str, ...] = ()


def config(settings: Settings) -> config_pb2.MetricConfig:
    """The configuration with which TFMA computes every metric of a task."""
    return config_pb2.MetricConfig(class_name=Metrics.__name__, module=__name__, config=settings.to_json())


def settings(config: config_pb2.EvalConfig) -> Settings:
    """Reads the settings from a configuration made by `analysis.eval_config`."""
    return Settings.from_json(config.metrics_specs[0].metrics[0].config)


class Metrics(metric_types.Metric):
    """Every metric of `components.metrics` from one accumulator per slice.

    Args:
        task: as in the configuration.
        labels: the K label names in the order of the model's outputs.
        examples, folder, served: used only by the extractors and to load the models, see `Settings`.
        name: TFMA's name of this metric; the numbers have their own names.
    """

    def __init__(
        self,
        task: str,
        labels: list[str],
        examples: int = 0,
        folder: str = "",
        served: Sequence[str] = (),
        name: str = "imagegate",
    ) -> None:
        computations = metric_util.merge_per_key_computations(_computations)
        super().__init__(computations, task=task, labels=labels, name=name)


def _computations(
    task: str,
    labels: list[str],
    name: str | None = None,
    eval_config: config_pb2.EvalConfig | None = None,
    model_name: str = "",
    output_name: str = "",
    example_weighted: bool = False,
) -> list[metric_types.MetricComputation]:
    names = kinds.kind(task).metric_names(labels)
    # TFMA's own tools look metrics up with `example_weighted=None`.
    keys = [metric_types.MetricKey(n, model_name, output_name, example_weighted=None) for n in names]
    rows, combine = _Rows(task, labels, model_name), _Combine(task, labels, keys)
    return [metric_types.MetricComputation(keys=keys, preprocessors=[rows], combiner=combine)]


class _Rows(metric_types.Preprocessor):
    """Reduces each example to one small float32 row, once for all slices."""

    def __init__(self, task: str, labels: Sequence[str], model_name: str) -> None:
        super().__init__(name=f"imagegate_rows_{model_name}")
        self._kind, self._model_name = kinds.kind(task), model_name
        self._index = {label: i for i, label in enumerate(labels)}

    def process(self, extracts: Extracts) -> Iterator[Rows]:
        answer = answer_of(extracts, self._model_name, self._kind, len(self._index))
        example = extracts[tfma.FEATURES_KEY]
        weight = values(example, features.WEIGHT)
        applies, unknown = (_names(example, feature) for feature in (features.LABEL, features.UNKNOWN))
        yield self._kind.row(applies, unknown, self._index, answer, float(weight[0]) if weight else 1.0)


def answer_of(extracts: Extracts, model_name: str, kind: LabelKind, classes: int) -> Answer:
    """One model's prediction for one example: output -> array.

    Raises:
        ValueError: the prediction has another number of labels.
    """
    answer = extracts.get(ANSWERS, extracts[tfma.PREDICTIONS_KEY])
    if model_name in answer:  # with several models, TFMA nests the predictions by model
        answer = answer[model_name]
    size, expected = np.size(answer[kind.output]), kind.numbers(classes)
    if size != expected:
        raise ValueError(
            f"model {model_name!r} gives {size} numbers as {kind.output}, expected {expected} for {classes} labels"
        )
    return dict(answer)


def _names(example: Example, feature: str) -> list[str]:
    return [name.decode() for name in values(example, feature)]


def values(example: Example, feature: str) -> list[Any]:
    """The values of a feature. TFMA omits a feature that no example of a batch has."""
    array = example.get(feature)
    return [] if array is None else list(np.ravel(array))


class _Combine(beam.CombineFn):
    def __init__(self, task: str, labels: Sequence[str], keys: Sequence[metric_types.MetricKey]) -> None:
        self._kind, self._labels, self._keys = kinds.kind(task), list(labels), list(keys)

    def create_accumulator(self) -> Accumulator:
        return self._kind.accumulator(len(self._labels))

    def add_inputs(self, accumulator: Accumulator, rows: Iterable[Rows]) -> Accumulator:
        accumulator.add(list(rows))
        return accumulator

    def add_input(self, accumulator: Accumulator, row: Rows) -> Accumulator:
        return self.add_inputs(accumulator, [row])

    def merge_accumulators(self, accumulators: Iterable[Accumulator]) -> Accumulator:
        total = self.create_accumulator()
        total.merge(accumulators)
        return total

    def extract_output(self, accumulator: Accumulator) -> dict[metric_types.MetricKey, Any]:
        numbers = accumulator.result(self._labels)
        return {key: numbers[key.name] for key in self._keys}
