"""The accumulators as one TFMA metric. Only workers of the evaluation import this module: TFMA finds it by name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types, metric_util
from tensorflow_model_analysis.proto import config_pb2

from components import metrics
from components.data import features
from components.metrics import mask, multi, single
from components.metrics.base import Rows
from components.metrics.scored import Answer
from components.model import signatures

Example = Mapping[str, Any]  # feature name -> its values

# What of the answers of the signature `signatures.EVALUATE` TFMA's own metrics look at, if there are any.
OUTPUT = {
    "single_label": signatures.PROBABILITIES,  # [batch, K]
    "multi_label": signatures.PROBABILITIES,
    "segmentation": signatures.CONFUSION,  # [batch, K, K]
}
# Extract of the answers as they came, where `metrics.standard` has changed those that TFMA's own metrics see.
ANSWERS = "imagegate/answers"


def config(task: str, labels: Sequence[str]) -> config_pb2.MetricConfig:
    """How TFMA is told to compute every metric of a task."""
    told = json.dumps({"task": task, "labels": list(labels)})
    return config_pb2.MetricConfig(class_name=Metrics.__name__, module=__name__, config=told)


def labels(asked: config_pb2.MetricConfig) -> list[str]:
    """The label names in what `config` made."""
    names: list[str] = json.loads(asked.config)["labels"]
    return names


class Metrics(metric_types.Metric):
    """Every metric of `components.metrics` from one accumulator per slice.

    Args:
        task: as in the configuration.
        labels: the K label names in the order of the model's outputs.
        name: TFMA's name for the whole; the metrics keep their own.
    """

    def __init__(self, task: str, labels: list[str], name: str = "imagegate") -> None:
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
    names = metrics.names(task, labels)
    # `example_weighted=None` is how TFMA's own tools look metrics up.
    keys = [metric_types.MetricKey(n, model_name, output_name, example_weighted=None) for n in names]
    rows, combine = _Rows(task, labels, model_name), _Combine(task, labels, keys)
    return [metric_types.MetricComputation(keys=keys, preprocessors=[rows], combiner=combine)]


class _Rows(metric_types.Preprocessor):
    """Makes each example one small float32 row, once for all slices; nothing else of it is kept."""

    def __init__(self, task: str, labels: Sequence[str], model_name: str) -> None:
        super().__init__(name=f"imagegate_rows_{model_name}")
        self._task, self._model_name = task, model_name
        self._index = {label: i for i, label in enumerate(labels)}

    def process(self, extracts: Mapping[str, Any]) -> Iterator[Rows]:
        answer = answer_of(extracts, self._model_name, self._task, len(self._index))
        example = extracts[tfma.FEATURES_KEY]
        weight = values(example, features.WEIGHT)
        yield _ROWS[self._task](example, self._index, answer, float(weight[0]) if weight else 1.0)


def answer_of(extracts: Mapping[str, Any], model_name: str, task: str, classes: int) -> Mapping[str, Any]:
    """What one model said to one example: output name -> array.

    Raises:
        ValueError: it is no answer for so many labels.
    """
    answer = extracts.get(ANSWERS, extracts[tfma.PREDICTIONS_KEY])
    if model_name in answer:  # TFMA nests by model where there are several
        answer = answer[model_name]
    size = np.size(answer[OUTPUT[task]])
    expected = classes**2 if task == "segmentation" else classes
    if size != expected:
        raise ValueError(
            f"model {model_name!r} gives {size} numbers as {OUTPUT[task]}, expected {expected} for {classes} labels"
        )
    return dict(answer)


def _single(example: Example, index: Mapping[str, int], answer: Mapping[str, Any], weight: float) -> Rows:
    applies = _indices(example, features.LABEL, index)
    if len(applies) > 1:
        raise ValueError(f"an example of a single-label task has the labels {values(example, features.LABEL)}")
    return single.row(applies[0] if applies else single.UNLABELLED, _scored(answer), weight)


def _multi(example: Example, index: Mapping[str, int], answer: Mapping[str, Any], weight: float) -> Rows:
    target = np.zeros(len(index))
    target[_indices(example, features.LABEL, index)] = 1
    target[_indices(example, features.UNKNOWN, index)] = -1
    return multi.row(target, _scored(answer), weight)


def _scored(answer: Mapping[str, Any]) -> Answer:
    return Answer(
        answer[signatures.PROBABILITIES],
        answer[signatures.UNCALIBRATED],
        answer[signatures.DECISIONS],
        _abstains(answer),
    )


def _mask(example: Example, index: Mapping[str, int], answer: Mapping[str, Any], weight: float) -> Rows:
    return mask.row(answer[signatures.CONFUSION], answer[signatures.CALIBRATION], _abstains(answer), weight)


def _abstains(answer: Mapping[str, Any]) -> bool:
    return bool(np.all(answer[signatures.ABSTAIN]))


_ROWS = {"single_label": _single, "multi_label": _multi, "segmentation": _mask}


def _indices(example: Example, feature: str, index: Mapping[str, int]) -> list[int]:
    return [index[name.decode()] for name in values(example, feature)]


def values(example: Example, feature: str) -> list[Any]:
    """Those of a feature. Where no example of a batch has any, TFMA leaves the feature out of them all."""
    found = example.get(feature)
    return [] if found is None else list(np.ravel(found))


class _Combine(beam.CombineFn):
    def __init__(self, task: str, labels: Sequence[str], keys: Sequence[metric_types.MetricKey]) -> None:
        self._task, self._labels, self._keys = task, list(labels), list(keys)

    def create_accumulator(self) -> metrics.Accumulator:
        return metrics.accumulator(self._task, len(self._labels))

    def add_inputs(self, accumulator: metrics.Accumulator, rows: Iterable[Rows]) -> metrics.Accumulator:
        accumulator.add(list(rows))
        return accumulator

    def add_input(self, accumulator: metrics.Accumulator, row: Rows) -> metrics.Accumulator:
        return self.add_inputs(accumulator, [row])

    def merge_accumulators(self, accumulators: Iterable[metrics.Accumulator]) -> metrics.Accumulator:
        total = self.create_accumulator()
        total.merge(accumulators)
        return total

    def extract_output(self, accumulator: metrics.Accumulator) -> dict[metric_types.MetricKey, Any]:
        numbers = accumulator.result(self._labels)
        return {key: numbers[key.name] for key in self._keys}
