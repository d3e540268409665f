"""What methods that learn next to nothing reach on the test split, for a candidate to be better than.

- Always the same answer: the most frequent label of train; of several labels, for each whether most images of train
  have it; of masks, the label with the most pixels, everywhere.
- The nearest mean colour: the label whose images of train have the mean red, green and blue nearest to those of the
  image; of several labels, each whose images' mean colour is nearer than that of the other images. Not for masks and
  arrays.
- The nearest neighbour: the labels of the image of train that is nearest in the features of a pretrained network.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components import metrics
from components.data import properties
from components.data.manifest import DatasetManifest, Histograms
from components.evaluation.groups.parts import Neighbours, Seen
from components.evaluation.predictions import Prediction
from components.gates.found import Paired, Trivial, TrivialMethod
from components.ingest.counts.census import dense
from components.labels import outputs
from components.labels.kind import LabelKind
from components.metrics import clusters, curves
from components.metrics.base import Bools, Floats
from components.model.familiarity import normalised

_COLOURS = ("red", "green", "blue")
_APPLIES = 0.5  # as in the metrics of several labels
_CHUNK = 1024  # test images that are compared with train at once
_TRAIN = 1 << 16  # images of train that these are compared with at once


def measure(
    rows: Sequence[Prediction],
    labels: Sequence[str],
    kind: LabelKind,
    manifest: DatasetManifest,
    seen: Seen,
    neighbours: Neighbours | None = None,
) -> Trivial:
    """Measures the trivial methods on the test split.

    Args:
        rows: the candidate's predictions.
        labels: in the order of its outputs.
        kind: of the labels.
        manifest: counts and colours of train.
        seen: what is known of the test images.
        neighbours: images of train; None without a pretrained network.

    Returns:
        no method if there are no predictions, or if there is only one exclusive label.
    """
    if not rows or kind.is_detector(len(labels)):
        return Trivial()
    told = _Told.of(rows, labels, kind)
    own = told.shares(np.array([row[kind.output] for row in rows], np.float64))  # type: ignore[literal-required]
    answers = _answers(told, manifest, seen, neighbours)
    return Trivial(methods=tuple(_method(name, told, answer, own) for name, answer in answers))


def _answers(
    told: _Told, manifest: DatasetManifest, seen: Seen, neighbours: Neighbours | None
) -> Iterator[tuple[str, Floats]]:
    """Name of each method -> its answers in the form of the kind's first output, [n, K] or [n, K, K]."""
    name, constant = _constant(told, manifest)
    yield name, constant
    colours = [seen.properties[name] for name in _COLOURS if name in seen.properties]
    if len(colours) == len(_COLOURS) and not told.kind.per_pixel:
        answer = _nearest_colour(np.stack(colours, axis=1), told, manifest)
        if answer is not None:
            yield "the nearest mean colour", answer
    if neighbours is not None and seen.features is not None and len(neighbours.features) and not told.kind.per_pixel:
        yield "the nearest neighbour in features", _nearest(seen.features, neighbours)


@dataclass(frozen=True)
class _Told:
    """The truth of n test images.

    Attributes:
        rows: the candidate's predictions, which hold it.
        applies, known: [n, K], which labels apply, and of which it is known; for masks [n, 0].
        pixels: [n, K], pixels of each label, for masks; else [n, 0].
    """

    rows: Sequence[Prediction]
    labels: Sequence[str]
    kind: LabelKind
    applies: Bools
    known: Bools
    pixels: Floats

    @staticmethod
    def of(rows: Sequence[Prediction], labels: Sequence[str], kind: LabelKind) -> _Told:
        n, k = len(rows), len(labels)
        if kind.per_pixel:
            cells = np.array([row["confusion"] for row in rows], np.float64).reshape(n, k, k)
            nothing = np.zeros((n, 0), bool)
            return _Told(rows, labels, kind, nothing, nothing, cells.sum(axis=2))
        applies = np.array([[label in row["labels"] for label in labels] for row in rows], bool)
        known = np.array([[label not in row["unknown"] for label in labels] for row in rows], bool)
        if kind.exclusive:
            known &= applies.any(axis=1, keepdims=True)
        return _Told(rows, labels, kind, applies, known, np.zeros((n, 0)))

    @property
    def weight(self) -> Floats:
        return np.array([row["weight"] for row in self.rows], np.float64)

    def shares(self, answers: Floats) -> dict[str, tuple[Floats, Floats]]:
        """Metric of `metrics.PAIRED` -> of each image [n] its right answers, and its answers.

        Args:
            answers: as `_answers`, or the candidate's own.
        """
        n, k = len(self.rows), len(self.labels)
        if self.kind.per_pixel:
            cells = answers.reshape(n, k, k)
            return {
                "pixel_accuracy": (np.diagonal(cells, axis1=1, axis2=2).sum(axis=1), cells.reshape(n, -1).sum(axis=1))
            }
        labelled = np.asarray(self.known.any(axis=1), np.float64)
        if self.kind.exclusive:
            return {"accuracy": (labelled * self.applies[np.arange(n), answers.argmax(axis=1)], labelled)}
        right = ((answers >= _APPLIES) == self.applies) & self.known
        of_labels = right.sum(axis=1).astype(np.float64), self.known.sum(axis=1).astype(np.float64)
        exact = labelled * (right | ~self.known).all(axis=1)
        return {"binary_accuracy": of_labels, "hamming_loss": of_labels, "exact_match": (exact, labelled)}


def _method(name: str, told: _Told, answers: Floats, own: Mapping[str, tuple[Floats, Floats]]) -> TrivialMethod:
    """The numbers of one method, and the candidate's gain over it."""
    index = {label: i for i, label in enumerate(told.labels)}
    accumulator = told.kind.accumulator(len(told.labels))
    accumulator.add(
        [
            told.kind.row(row["labels"], row["unknown"], index, _answer(told.kind, answer), row["weight"])
            for row, answer in zip(told.rows, answers, strict=True)
        ]
    )
    numbers = {
        key: float(value) if math.isfinite(value) else None
        for key, value in accumulator.result(told.labels).items()
        if key.split("/", 1)[0] in metrics.OF_ANSWERS
    }
    paired = {}
    for metric, (right, whole) in told.shares(answers).items():
        gain = _paired(own[metric][0], right, whole, told.weight)
        if gain is not None:
            paired[metric] = gain
    return TrivialMethod(name=name, numbers=numbers, paired=paired)


def _paired(own: Floats, other: Floats, whole: Floats, weight: Floats) -> Paired | None:
    """The gain of a model over a method on the same images, and what it rests on; None if it is not a number.

    An image whose answers w are right in a and b cases gives (w + a - b) / 2 of w, a share between 0 and 1, so that
    `metrics.clusters` tells how many independent answers its mean rests on.

    Args:
        own, other: [n], right answers of the model and of the method.
        whole: [n], answers of each.
        weight: [n], of the images.

    >>> one = np.ones(4)
    >>> _paired(np.array([1.0, 1, 1, 0]), np.array([1.0, 0, 0, 0]), one, one).gain  # two of four images more
    0.5
    """
    part, total = (whole + own - other) / 2, float(weight @ whole)
    if not total or not np.isfinite(part).all():
        return None
    sums = clusters.moments(part, whole, weight)
    worth = clusters.worth(np.asarray(weight @ part), np.asarray(total), sums)
    return Paired(gain=float(weight @ (own - other)) / total, images=float(clusters.images(sums)), worth=float(worth))


def _answer(kind: LabelKind, answer: Floats) -> dict[str, Any]:
    """An answer of `_answers` with the other outputs of the label kind, which the numbers do not depend on."""
    if kind.per_pixel:
        nothing = np.zeros((2, 3, curves.CALIBRATION_BINS))
        return {outputs.CONFUSION: answer, outputs.CALIBRATION: nothing, outputs.ABSTAIN: False}
    decided = answer >= _APPLIES
    return {
        outputs.PROBABILITIES: answer,
        outputs.UNCALIBRATED: answer,
        outputs.DECISIONS: decided,
        outputs.ABSTAIN: False,
    }


def _constant(told: _Told, manifest: DatasetManifest) -> tuple[str, Floats]:
    """The same answer for every image."""
    n, k = len(told.rows), len(told.labels)
    if told.kind.per_pixel:
        counts = [own for own, _, _ in manifest.pixels.get("train", ((0, 0, 0),) * (k + 1))[:k]]
        place = int(np.argmax(counts))
        cells = np.zeros((n, k, k))
        cells[:, :, place] = told.pixels
        return f"always answering {told.labels[place]!r}", cells
    with_it = np.array([manifest.label_counts[label]["train"] for label in told.labels])
    if told.kind.exclusive:
        place = int(with_it.argmax())
        return f"always answering {told.labels[place]!r}", np.tile(np.eye(k)[place], (n, 1))
    known = np.array([manifest.counts["train"] - manifest.unknown[label]["train"] for label in told.labels])
    return "the most frequent answer of each label", np.tile((2 * with_it > known).astype(np.float64), (n, 1))


def _nearest_colour(colours: Floats, told: _Told, manifest: DatasetManifest) -> Floats | None:
    """The answers [n, K] by the mean colours of train; None if none are known.

    Args:
        colours: [n, 3] in [0, 1]; NaN for an image that was not measured, which is like the first label.
    """
    train = manifest.properties.get("train")
    if train is None:
        return None
    own, counts = zip(*(_mean_colour(train.labels.get(label, {})) for label in told.labels), strict=True)
    means = np.stack(own)

    def apart(centres: Floats) -> Floats:
        distance = np.linalg.norm(colours[:, None] - centres, axis=2)
        return np.where(np.isfinite(distance), distance, np.inf)

    if told.kind.exclusive:
        return np.eye(len(told.labels))[apart(means).argmin(axis=1)]
    whole, images = _mean_colour(train.all)
    of_label = np.array(counts, np.float64)[:, None]
    left = images - of_label
    others = np.divide(
        images * whole - of_label * np.nan_to_num(means), left, out=np.full(means.shape, np.nan), where=left > 0
    )
    return (apart(means) < apart(others)).astype(np.float64)


def _mean_colour(histograms: Histograms) -> tuple[Floats, int]:
    """Mean red, green and blue of some images, as if each lay in the middle of its bin; and how many they are."""
    counts = dense(histograms)
    rows = [counts[properties.NAMES.index(name)] for name in _COLOURS]
    middles = [[properties.edge(name, i + 0.5) for i in range(properties.BINS)] for name in _COLOURS]
    images = int(rows[0].sum())
    if not images:
        return np.full(len(_COLOURS), math.nan), 0
    return np.array([row @ np.array(middle) for row, middle in zip(rows, middles, strict=True)]) / images, images


def _nearest(features: NDArray[np.floating], neighbours: Neighbours) -> Floats:
    """The labels [n, K] of the nearest image of train to each row of features [n, F], by the cosine."""
    test, train = normalised(features), normalised(neighbours.features)
    nearest, best = np.zeros(len(test), np.int64), np.full(len(test), -np.inf)
    for start in range(0, len(train), _TRAIN):
        some = train[start : start + _TRAIN]
        for i in range(0, len(test), _CHUNK):
            cosine = test[i : i + _CHUNK] @ some.T
            place, highest = cosine.argmax(axis=1), cosine.max(axis=1)
            closer = highest > best[i : i + _CHUNK]
            nearest[i : i + _CHUNK][closer], best[i : i + _CHUNK][closer] = start + place[closer], highest[closer]
    return neighbours.applies[nearest].astype(np.float64)
