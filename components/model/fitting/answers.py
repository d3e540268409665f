"""The outputs of a trained network on the images of a split, as arrays that decisions are fitted to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.base import progress
from components.data import features
from components.labels.kind import LabelKind
from components.model import decisions, familiarity
from components.model.decisions import Answers
from components.model.fitting.batches import Batches
from components.model.fitting.regression import Examples
from components.model.networks.network import Parts, pooled
from components.model.settings import DecisionSettings

_PIXELS = 200_000  # sampled from a split, which is plenty for a single temperature


def fit(
    parts: Parts,
    data: Batches,
    kind: LabelKind,
    settings: DecisionSettings,
    seed: int,
    features_of: Callable[[str], Examples] | None = None,
) -> decisions.Decisions:
    """Applies the network to the eval split and to the reference images of train, and fits the decisions.

    Args:
        parts: the network.
        data: what it learnt from.
        kind: the label kind.
        settings: the section `decisions`.
        seed: of the pixels that are sampled.
        features_of: gives the features of a split, if they need not be computed.
    """
    if features_of is not None:
        references = features_of("train").features
        every = -(-len(references) // familiarity.REFERENCES)
        return decisions.fit(kind, references[::every], _of_features(parts, features_of("eval")), settings)
    network = _Network(parts)
    train = np.concatenate([rows for rows, *_ in network.answers(data, "train", headless=True)])
    evaluation = _masks(network, data, seed) if kind.per_pixel else _labels(network, data)
    return decisions.fit(kind, train, evaluation, settings)


def _labels(network: _Network, data: Batches) -> Answers:
    columns = zip(*network.answers(data, "eval"), strict=True)
    rows, logits, target, weight = (np.concatenate(column) for column in columns)
    return Answers(features=rows, logits=logits, target=target, weight=weight.astype(np.float64))


def _of_features(parts: Parts, examples: Examples) -> Answers:
    return Answers(
        features=examples.features,
        logits=parts.head.predict(examples.features, verbose=0),
        target=examples.target,
        weight=examples.weight.astype(np.float64),
    )


def _masks(network: _Network, data: Batches, seed: int) -> Answers:
    """Samples the same number of known pixels from each image."""
    draw, samples = np.random.default_rng(seed), []
    each = max(1, _PIXELS // data.count("eval"))
    rows = []
    for pooled_maps, logits, masks, weight in network.answers(data, "eval"):
        rows.append(pooled_maps)
        for image_logits, mask, w in zip(logits, masks, weight, strict=True):
            known = np.flatnonzero(mask.ravel() != features.IGNORED_ID)
            drawn = known if len(known) <= each else draw.choice(known, each, replace=False)
            one_hot = np.eye(image_logits.shape[-1], dtype=np.float32)[mask.ravel()[drawn]]
            samples.append(
                (image_logits.reshape(-1, image_logits.shape[-1])[drawn], one_hot, np.full(len(drawn), w, np.float64))
            )
    logits, target, weight = (np.concatenate(column) for column in zip(*samples, strict=True))
    return Answers(features=np.concatenate(rows), logits=logits, target=target, weight=weight)


class _Network:
    """A trained network whose graph is built once for all splits."""

    def __init__(self, parts: Parts) -> None:
        self._extract = tf.function(
            lambda images: parts.extractor(images, training=False), reduce_retracing=True, autograph=False
        )
        self._head = tf.function(
            lambda maps: tf.cast(parts.head(maps, training=False), tf.float32), reduce_retracing=True, autograph=False
        )

    def answers(
        self, data: Batches, split: str, *, headless: bool = False
    ) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]]:
        """Yields pooled features, logits, targets and weights of each batch.

        `headless` leaves out the logits, which for masks cost the most, and takes no more images than a model carries.
        """
        most, done = familiarity.REFERENCES if headless else None, 0
        total = min(data.count(split), most or data.count(split))
        for images, target, weight in data.once(split, most):
            maps = self._extract(tf.nest.map_structure(lambda one: tf.cast(one, tf.float32), images))
            logits = np.zeros(0, np.float32) if headless else self._head(maps).numpy()
            rows = pooled(maps).numpy()
            yield rows, logits, target.numpy(), weight.numpy()
            done += len(rows)
            progress.report(f"decisions from {split}", done, total)
