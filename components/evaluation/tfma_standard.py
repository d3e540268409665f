"""TFMA's own metrics, computed in addition to ours: their configuration and their inputs."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.extractors import extractor
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2

from components.data import features
from components.evaluation.tfma_metrics import ANSWERS, Extracts, values

if TYPE_CHECKING:
    from components.evaluation.settings import StandardMetric

PREFIX = "tfma/"  # distinguishes them in TFMA's results from our metrics of the same name
# Modules of TFMA whose metrics need only labels, predictions and weights.
_MODULES = frozenset(
    {
        "calibration",
        "confusion_matrix_metrics",
        "cross_entropy_metrics",
        "example_count",
        "mean_regression_error",
        "multi_class_confusion_matrix_metrics",
        "squared_pearson_correlation",
        "tjur_discrimination",
        "weighted_example_count",
    }
)
# The first normalises the predictions in place, which changes the input of all other metrics. The second divides by
# zero in a slice with as many false positives as false negatives, which stops the evaluation.
_HARMFUL = frozenset({"CategoricalCrossEntropy", "PrevalenceThreshold"})


def available() -> list[str]:
    """Names of the classes in `tfma.metrics` that can be configured."""
    return sorted(name for name, kind in inspect.getmembers(tfma.metrics, inspect.isclass) if _usable(kind))


def _usable(kind: type) -> bool:
    fits = issubclass(kind, metric_types.Metric) and kind.__module__.rpartition(".")[2] in _MODULES
    return fits and kind.__name__ not in _HARMFUL


def specs(configured: Sequence[StandardMetric]) -> config_pb2.MetricsSpec:
    """TFMA's configuration of these metrics, with example weights as in our own metrics.

    Raises:
        ValueError: a class is not `available`, does not accept its settings, or has the name of another metric.
    """
    spec = config_pb2.MetricsSpec(example_weights=config_pb2.ExampleWeightOptions(weighted=True))
    names = set()
    for metric in configured:
        class_name, name = metric.class_name, _name(metric.class_name, metric.config)
        if name in names:
            raise ValueError(f"{class_name}: another metric has the name {name!r}; set another name in its config")
        names.add(name)
        spec.metrics.add(class_name=class_name, config=json.dumps({**metric.config, "name": PREFIX + name}))
    return spec


def _name(class_name: str, settings: Mapping[str, Any]) -> str:
    if class_name not in available():
        raise ValueError(f"{class_name!r} is not one of {', '.join(available())}")
    try:
        metric = getattr(tfma.metrics, class_name)(**settings)
        return str(metric.get_config()["name"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{class_name}: config: {error}") from None


def inputs(labels: Sequence[str]) -> extractor.Extractor:
    """An extractor that sets the inputs of TFMA's metrics for each example; our own metrics do not use them.

    labels: float32 [K], 1 where a label applies. example_weights: the example's weight, or 0 to exclude it, if any of
    its labels is unknown (TFMA has no unknown entries) or a prediction is not finite (which breaks several metrics).
    """
    return extractor.Extractor("LabelsForTFMA", beam.Map(_labelled, list(labels)))


def _labelled(extracts: Extracts, labels: Sequence[str]) -> Extracts:
    example = extracts[tfma.FEATURES_KEY]
    named, answers = values(example, features.LABEL), extracts[tfma.PREDICTIONS_KEY]
    finite = _finite(answers)
    usable = finite and not values(example, features.UNKNOWN)
    weight = (values(example, features.WEIGHT) or [1.0]) if usable else [0.0]
    return {
        **extracts,
        tfma.LABELS_KEY: np.array([label.encode() in named for label in labels], np.float32),
        tfma.EXAMPLE_WEIGHTS_KEY: np.array(weight, np.float32),
        tfma.PREDICTIONS_KEY: answers if finite else _halves(answers),
        ANSWERS: answers,
    }


def _finite(answers: Any) -> bool:
    """Whether all numbers of an array, or of nested arrays by model and output, are finite."""
    if isinstance(answers, Mapping):
        return all(map(_finite, answers.values()))
    return not np.issubdtype(answers.dtype, np.floating) or bool(np.isfinite(answers).all())


def _halves(answers: Any) -> Any:
    """Predictions of the same shape on which no metric fails."""
    if isinstance(answers, Mapping):
        return {name: _halves(part) for name, part in answers.items()}
    return np.full_like(answers, 0.5)
