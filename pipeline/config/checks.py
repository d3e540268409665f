"""Checks across several sections of the configuration. Each message starts with the key."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from components import metrics
from components.base.errors import ConfigError
from components.base.text import number, truncated_list
from components.data import features
from components.data.mask_rules import rule
from components.gates.settings import Threshold
from pipeline.config import arrays, backbones, places, tuned
from pipeline.config.beam import options

if TYPE_CHECKING:
    from components.labels.kind import LabelKind
    from pipeline.config.config import Config


_PERCENT = 100
_LARGEST = 2**63 - 1  # of the whole numbers that TensorFlow takes
_LARGEST_RATE = 1.0  # Adam changes each weight by up to this much in every step
_LARGEST_WEIGHT = 1e6  # the loss must stay within float32


def check(config: Config) -> None:
    """Raises ValueError or ConfigError if sections contradict each other."""
    options.refuse_secrets(config.beam)
    arrays.check(config)
    backbones.check(config.training.backbone)
    _module(config)
    _whole_numbers("", config.plain())
    _training(config)
    _thresholds(config)
    _slices(config)
    _labels_of_task(config)
    if config.data.layout == "manifest":
        _columns(config)
    if config.data.layout == "masks":
        labels = config.labels
        check_labels(config, rule(labels.names or (), ignore=labels.ignore, colors=labels.colors).labels)
    elif config.labels.names is not None:
        check_labels(config, config.labels.names)
    places.check(config)
    tuned.check(config)


def _module(config: Config) -> None:
    """Raises ValueError for keys that have no effect beside `training.module`."""
    training, tried = config.training, config.tuning.over if config.tuning is not None else {}
    if training.module is None:
        return
    if "backbone" in training.model_fields_set:
        raise ValueError("training.backbone: has no effect with training.module; remove one of the two")
    if "weights" in training.model_fields_set and training.weights == "imagenet":
        raise ValueError(
            "training.weights: imagenet has no effect with training.module; remove it, or set weights: module if the "
            "network has trained weights"
        )
    if "backbone" in tried:
        raise ValueError("tuning.over.backbone: has no effect with training.module; remove one of the two")


def _whole_numbers(where: str, value: object) -> None:
    """Raises ValueError if a whole number is too large for the libraries that get it."""
    if isinstance(value, dict):
        for key, part in value.items():
            _whole_numbers(f"{where}.{key}" if where else str(key), part)
    elif isinstance(value, list | tuple):
        for i, part in enumerate(value):
            _whole_numbers(f"{where}.{i}", part)
    elif isinstance(value, int) and value > _LARGEST:
        raise ValueError(f"{where}: expected at most {_LARGEST}, got {value}")


def _training(config: Config) -> None:
    """Raises ValueError for numbers with which the loss would not be finite, or nothing would be learnt."""
    rate, weights = config.training.learning_rate, config.training.label_weights
    if rate > _LARGEST_RATE:
        raise ValueError(
            f"training.learning_rate: expected at most {number(_LARGEST_RATE)}, got {number(rate)}; beyond, training "
            "does not converge"
        )
    _imbalance(config)
    if config.training.synthetic is not None and not config.kind.one_per_image:
        raise ValueError(
            "training.synthetic: images are made for labels of which each image has one, not for task "
            f"{config.task}; remove the key"
        )
    if config.kind.per_pixel and config.training.unlabelled == "propagation":
        raise ValueError(
            "training.unlabelled: propagation guesses the labels of images, not those of pixels; choose consistency, "
            "autoencoder or auto"
        )
    if not isinstance(weights, dict):
        return
    for label, weight in weights.items():
        if weight > _LARGEST_WEIGHT:
            raise ValueError(
                f"training.label_weights.{label}: expected at most {number(_LARGEST_WEIGHT)}, got {number(weight)}"
            )
    if weights and not any(weights.values()):
        raise ValueError("training.label_weights: every weight is 0, so nothing would be learnt; raise one of them")


def _imbalance(config: Config) -> None:
    """Raises ValueError for a method that the labels are not made for."""
    method, kind = config.training.imbalance, config.kind
    if method == "balanced_softmax" and not kind.exclusive:
        raise ValueError(
            "training.imbalance: balanced_softmax is for one label per image or pixel; logit_adjustment does the same "
            "for several"
        )
    if method == "balanced_sampling" and not kind.one_per_image:
        raise ValueError(
            "training.imbalance: balanced_sampling is for one label per image, as images of rare labels are drawn more "
            "often; choose logit_adjustment or weights"
        )
    if method == "retrained_head" and kind.per_pixel:
        raise ValueError(
            "training.imbalance: retrained_head solves a head for labels of images; for masks, choose logit_adjustment "
            "or weights"
        )


def check_slices(config: Config, values: Mapping[str, Collection[str]]) -> None:
    """Raises ConfigError if a threshold is on a value that a column has nowhere, so that it could never hold.

    Args:
        config: the settings.
        values: those of each column of `data.columns.slices` in the listing of the data set.
    """
    for i, threshold in enumerate(config.evaluation.thresholds):
        for column, value in threshold.columns.items():
            known = values.get(column)
            if known is None or value == "*" or value in known:
                continue
            near = difflib.get_close_matches(value, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; it has {truncated_list(map(repr, sorted(known)))}"
            raise ConfigError(
                f"evaluation.thresholds.{i}.slice: no image has the value {value!r} in the column {column!r}{hint}"
            )


def check_labels(config: Config, labels: Sequence[str]) -> None:
    """Raises ConfigError if a label that the settings name is not in `labels`.

    Args:
        config: the settings.
        labels: `labels.names` or, once the data set is listed, the labels in the data.
    """
    _positive(config.labels.positive, labels)
    given = config.training.label_weights
    named = [("training.label_weights", label) for label in (given if isinstance(given, dict) else ())]
    alpha = config.training.focal.alpha if config.training.focal else None
    named += [("training.focal.alpha", label) for label in (alpha if isinstance(alpha, dict) else ())]
    named += [("tuning.over.label_weights", label) for label in tuned.weighted(config)]
    for threshold in config.evaluation.thresholds:
        of_slice = threshold.columns.get("label")
        names = [name for name in (threshold.label, of_slice) if name is not None]
        if "*" in names and "*" in labels:
            raise ConfigError(
                'evaluation.thresholds: "*" means every label, but a label has this name; rename the label'
            )
        named += [("evaluation.thresholds", name) for name in names if name != "*"]
    for where, label in named:
        if label not in labels:
            raise ConfigError(f"{where}: unknown label {label!r}; expected one of {', '.join(map(repr, labels))}")
    if config.detects and len(labels) == 1:
        for i, threshold in enumerate(config.evaluation.thresholds):
            if threshold.metric not in metrics.OF_DETECTOR:
                raise ConfigError(
                    f"evaluation.thresholds.{i}: metric: {threshold.metric!r} does not apply to a model with the only "
                    f"label {labels[0]!r}, which detects images unlike it; expected one of "
                    f"{', '.join(metrics.OF_DETECTOR)}"
                )


def _positive(positive: str | None, labels: Sequence[str]) -> None:
    if positive is None:
        return
    if len(labels) != 2:
        raise ConfigError(
            f"labels.positive: needs exactly two labels, this one and the negative one; there are {len(labels)}: "
            f"{truncated_list(map(repr, labels))}"
        )
    if positive not in labels:
        raise ConfigError(
            f"labels.positive: expected one of the labels, {labels[0]!r} or {labels[1]!r}; got {positive!r}"
        )


def _thresholds(config: Config) -> None:
    for i, threshold in enumerate(config.evaluation.thresholds):
        _known_metric(f"evaluation.thresholds.{i}", config, threshold)
        _in_range(f"evaluation.thresholds.{i}", threshold)


def _in_range(where: str, threshold: Threshold) -> None:
    """Raises ValueError if a bound is no value that the metric can have, so that it always or never holds."""
    largest = metrics.largest(threshold.metric)
    bounds = {key: getattr(threshold, key) for key in ("min", "max", "max_drop", "min_gain")}
    for key, bound in bounds.items():
        if bound is not None and not 0 <= bound <= largest:
            range_ = f"between 0 and {number(largest)}" if math.isfinite(largest) else "0 or more"
            hint = f"; did you mean {number(bound / 100)}?" if 1 < bound <= _PERCENT else ""
            raise ValueError(f"{where}.{key}: {threshold.metric} is {range_}; got {number(bound)}{hint}")
    for key, end in (("min", largest), ("max", 0.0), ("min_gain", largest)):
        bound = bounds[key]
        if threshold.confidence is not None and bound == end:
            raise ValueError(
                f"{where}.{key}: a confidence bound never reaches {number(end)}, however many images there are; choose "
                "another limit, or remove confidence"
            )


def _slices(config: Config) -> None:
    taken = sorted(set(config.data.columns.slices) & set(features.SLICES))
    if taken:
        raise ValueError(f"data.columns.slices: {taken[0]!r} is the name of a built-in slice; rename the column")
    for column in {c for columns in config.slices for c in columns}:
        if column not in config.columns:
            known = ", ".join(config.columns)
            raise ValueError(f"evaluation: unknown slice column {column!r}; expected one of {known}")


def _known_metric(where: str, config: Config, threshold: Threshold) -> None:
    whole, kind = threshold.label is None, config.kind
    if threshold.metric == metrics.REGRESSIONS:
        return
    if threshold.metric in metrics.OUT_OF_DISTRIBUTION:
        if config.evaluation.out_of_distribution is None:
            raise ValueError(
                f"{where}: metric: {threshold.metric} needs the key evaluation.out_of_distribution, a folder of images"
            )
        if threshold.label is not None or threshold.slice is not None:
            raise ValueError(f"{where}: metric: {threshold.metric} takes no label and no slice; remove them")
        if threshold.min_gain is not None:
            raise ValueError(f"{where}: min_gain: trivial methods have no {threshold.metric}; remove the key")
        _has_interval(where, kind, threshold, metrics.OUT_OF_DISTRIBUTION)
        return
    known, other = (kind.overall, kind.per_label) if whole else (kind.per_label, kind.overall)
    if threshold.metric not in known:
        hint = "; add `label`, because it is a metric of one label" if whole else "; remove `label`"
        raise ValueError(
            f"{where}: metric: expected one of {', '.join((*known, metrics.REGRESSIONS))}; got {threshold.metric!r}"
            + (hint if threshold.metric in other else "")
        )
    _has_interval(where, kind, threshold, known)
    if threshold.min_gain is not None:
        _has_gain(where, threshold, known)


def _has_interval(where: str, kind: LabelKind, threshold: Threshold, known: Sequence[str]) -> None:
    """Raises ValueError for a confidence where the metric has no interval; `known`: those that could be meant."""
    of_label = threshold.label is not None
    if threshold.confidence is not None and not kind.evidence(threshold.metric, of_label=of_label):
        some = ", ".join(m for m in known if kind.evidence(m, of_label=of_label))
        raise ValueError(
            f"{where}: confidence: metric {threshold.metric!r} has no confidence interval; remove the key, or choose "
            f"one of {some}"
        )


def _has_gain(where: str, threshold: Threshold, known: Sequence[str]) -> None:
    """Raises ValueError if trivial methods have no such metric, or the gain over them no interval."""
    if threshold.metric not in metrics.OF_ANSWERS:
        raise ValueError(
            f"{where}: min_gain: trivial methods answer without probabilities and have no {threshold.metric}; choose "
            f"one of {', '.join(m for m in known if m in metrics.OF_ANSWERS)}"
        )
    of_label = threshold.label is not None
    if threshold.confidence is not None and (of_label or threshold.metric not in metrics.PAIRED):
        some = "" if of_label else ", ".join(m for m in known if m in metrics.PAIRED)
        raise ValueError(
            f"{where}: confidence: the gain in {threshold.metric!r}{' of a label' if of_label else ''} over a trivial "
            "method has no interval; remove the "
            f"key{some and f', or choose one of {some}'}"
        )


def _labels_of_task(config: Config) -> None:
    """Raises ValueError if task, layout and labels contradict each other."""
    kind, labels, layout = config.kind, config.labels, config.data.layout
    if kind.per_pixel and config.evaluation.tfma_metrics:
        raise ValueError(f"evaluation.tfma_metrics: TFMA has no metrics of pixels; remove the key for task {kind.task}")
    if layout not in kind.layouts:
        raise ValueError(f"data.layout: expected one of {', '.join(kind.layouts)} for task {kind.task}, got {layout}")
    fewest = kind.fewest_labels(pretrained=config.training.pretrained)
    if labels.names is not None and len(labels.names) < fewest:
        hint = "" if kind.per_pixel else "; a detector of one label needs a pretrained training.backbone"
        raise ValueError(
            f"labels.names: task {kind.task} needs two or more labels, got {len(labels.names)}: "
            f"with one label, its probability is always 1{hint}"
        )
    only = {
        "positive": kind.one_per_image,
        "empty": not kind.exclusive and layout == "manifest",
        "ignore": kind.per_pixel,
        "background": kind.per_pixel and layout != "masks",
        "colors": layout == "masks",
        "count_ignored": kind.per_pixel,
    }
    for key, fits in only.items():
        if key in labels.model_fields_set and not fits:
            raise ValueError(f"labels.{key}: has no effect for task {kind.task} with layout {layout}; remove it")
    if layout == "masks" and labels.names is None and not labels.colors:
        raise ValueError(
            "labels.names: this key is missing; masks hold numbers or colours, so list the names they stand for, here "
            "or in labels.colors"
        )
    if layout == "masks" and labels.count_ignored and labels.ignore is None:
        raise ValueError("labels.count_ignored: no pixels are ignored; set labels.ignore, too")


def _columns(config: Config) -> None:
    """Raises ValueError if a key has no effect with the configured columns."""
    columns = config.data.columns
    if columns.split is not None and isinstance(config.data.manifest, dict):
        raise ValueError("data.columns.split: data.manifest already has one table per split; remove one of the two")
    if columns.label_of and "empty" in config.labels.model_fields_set:
        raise ValueError(
            "labels.empty: applies to a column of names only; in 0/1 columns, an empty cell means unknown and 0 means "
            "that the label does not apply; remove it"
        )
    if config.data.rows == "label" and (columns.label_of or config.kind.exclusive):
        raise ValueError("data.rows: applies only to task multi_label with one column of names; remove it")
    if (columns.label_of or config.kind.exclusive) and "separator" in config.data.model_fields_set:
        raise ValueError("data.separator: applies only to cells that hold several names, and these hold one; remove it")
