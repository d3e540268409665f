"""TFMA's own metrics by name, beside ours: how they are configured, and what they are computed from."""

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
from components.evaluation.tfma_metrics import ANSWERS, values

if TYPE_CHECKING:
    from components.evaluation.settings import StandardMetric

PREFIX = "tfma/"  # of their names in TFMA's results, where `example_count` and others are ours
# Modules of TFMA whose metrics need labels, predictions and weights, and nothing else.
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
# The first normalises the predictions in place, and with them those that all other metrics see; the second divides by
# zero where a slice has as many wrong positives as missed ones, and the whole evaluation stops.
_HARMFUL = frozenset({"CategoricalCrossEntropy", "PrevalenceThreshold"})


def available() -> list[str]:
    """Names of the classes in `tfma.metrics` that can be asked for."""
    return sorted(name for name, kind in inspect.getmembers(tfma.metrics, inspect.isclass) if _usable(kind))


def _usable(kind: type) -> bool:
    fits = issubclass(kind, metric_types.Metric) and kind.__module__.rpartition(".")[2] in _MODULES
    return fits and kind.__name__ not in _HARMFUL


def specs(asked: Sequence[StandardMetric]) -> config_pb2.MetricsSpec:
    """How TFMA is told to compute them; weighted, as ours are.

    Raises:
        ValueError: a name that is not `available`, settings that its class does not take, or one name twice.
    """
    spec = config_pb2.MetricsSpec(example_weights=config_pb2.ExampleWeightOptions(weighted=True))
    names = set()
    for one in asked:
        class_name, name = one.class_name, _name(one.class_name, one.config)
        if name in names:
            raise ValueError(f"{class_name}: another one is called {name!r}, too; give it a name in config")
        names.add(name)
        spec.metrics.add(class_name=class_name, config=json.dumps({**one.config, "name": PREFIX + name}))
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
    """Sets what TFMA's metrics are computed from, of each example; ours do not look at it.

    labels: float32 [K], 1 where a label applies. example_weights: the example's weight, or 0 where any of its labels
    is unknown, since TFMA knows no unknown entries, or an answer is no number, which breaks several of its metrics:
    such an example takes no part.
    """
    return extractor.Extractor("LabelsForTFMA", beam.Map(_labelled, list(labels)))


def _labelled(extracts: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    example = extracts[tfma.FEATURES_KEY]
    named, answers = values(example, features.LABEL), extracts[tfma.PREDICTIONS_KEY]
    finite = _finite(answers)
    takes_part = finite and not values(example, features.UNKNOWN)
    weight = (values(example, features.WEIGHT) or [1.0]) if takes_part else [0.0]
    return {
        **extracts,
        tfma.LABELS_KEY: np.array([label.encode() in named for label in labels], np.float32),
        tfma.EXAMPLE_WEIGHTS_KEY: np.array(weight, np.float32),
        tfma.PREDICTIONS_KEY: answers if finite else _halves(answers),
        ANSWERS: answers,
    }


def _finite(answers: Any) -> bool:
    """Whether all of an array, or of arrays by model and output, are numbers."""
    if isinstance(answers, Mapping):
        return all(map(_finite, answers.values()))
    return not np.issubdtype(answers.dtype, np.floating) or bool(np.isfinite(answers).all())


def _halves(answers: Any) -> Any:
    """As many numbers that no metric fails on."""
    if isinstance(answers, Mapping):
        return {name: _halves(part) for name, part in answers.items()}
    return np.full_like(answers, 0.5)
