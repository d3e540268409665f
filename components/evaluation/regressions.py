"""Regressions: test images that the served model had right and the candidate has wrong.

Of the images and labels that are compared, see `comparison`; each image counts once, whatever its weight.

- `single_label`: an image is right if the most probable label of all that the model knows is its own.
- `multi_label`: a label of an image is right if its probability is at least 0.5 exactly where it applies; an image is
  right if all its known labels are, as for `exact_match`.
- `segmentation`: no mask is simply right. An image is a regression if the mean IoU of the labels that it has is lower
  by more than `DROP`; for a label, if its IoU in the image is.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from components import metrics
from components.evaluation.predictions import Prediction
from components.gates.compared import Regression, Regressions, SliceNumbers, images_of_label
from components.labels.kind import LabelKind
from components.metrics.base import ratio

DROP = 0.1  # of the IoU of an image. Chosen by hand; not measured
_APPLIES = 0.5  # as in the metrics

Place = tuple[tuple[str, str], ...]  # a slice: (column, value) pairs


class Answer(NamedTuple):
    """How right a model is about one image.

    Attributes:
        labels: label -> 1 for right, 0 for wrong, of masks the IoU; without labels that are not compared or unknown.
        whole: the same of the whole image; None if it has nothing that is compared.
        words: what the model said, for people.
        severity: sorts mistakes; the larger, the worse.
    """

    labels: Mapping[str, float]
    whole: float | None
    words: str
    severity: float = 0.0


def find(
    kind: LabelKind,
    common: Sequence[str],
    served: tuple[Sequence[Prediction], Sequence[str]],
    candidate: tuple[Sequence[Prediction], Sequence[str]],
    places: Callable[[Prediction], Iterable[Place]],
) -> Regressions:
    """Compares two models image by image.

    Args:
        kind: of the labels.
        common: the labels that are compared.
        served, candidate: each model's predictions of the images that are compared, by path, and its labels in order.
        places: the slices that an image is in, without the whole.

    Returns:
        The images, the worst first, and the counts of the whole and of each slice: `metrics.REGRESSIONS`, and how many
        images it was looked for in; likewise of each label, see `images_of_label`.
    """
    found: list[tuple[tuple[bool, float], Regression]] = []
    counts: dict[Place, collections.Counter[str]] = {(): collections.Counter()}
    count, tolerated = images_of_label(kind), DROP if kind.per_pixel else 0.0
    for row, earlier in zip(candidate[0], served[0], strict=True):
        old, new = answer(earlier, kind, served[1], common), answer(row, kind, candidate[1], common)
        if old.whole is None or new.whole is None:
            continue
        drop = old.whole - new.whole
        # A label of few pixels may be in the mask at the size of one network and not of the other.
        both = [label for label in new.labels if label in old.labels]
        worse = tuple(label for label in both if old.labels[label] - new.labels[label] > tolerated)
        within = tuple(places(row))
        for place in ((), *within):
            counts.setdefault(place, collections.Counter()).update(_counted(both, worse, count, whole=drop > tolerated))
        if drop > tolerated or worse:
            one = Regression(
                path=row["path"],
                sha256=row["sha256"],
                whole=drop > tolerated,
                labels=worse,
                places=tuple(dict(place) for place in within),
                served=old.words,
                candidate=new.words,
            )
            found.append(((not one.whole, -(drop if kind.per_pixel else new.severity)), one))
    found.sort(key=lambda entry: entry[0])
    numbers = (SliceNumbers(where=dict(place), numbers=dict(n)) for place, n in sorted(counts.items()))
    return Regressions(images=tuple(one for _, one in found), numbers=tuple(numbers))


def _counted(labels: Sequence[str], worse: Sequence[str], count: str, *, whole: bool) -> dict[str, float]:
    """What one image adds to the counts of a slice, under the names that the model gate looks for.

    >>> _counted(["cat"], [], "effective_known", whole=True)
    {'regressions': 1.0, 'example_count': 1.0, 'regressions/cat': 0.0, 'effective_known/cat': 1.0}
    """
    counted = {metrics.REGRESSIONS: float(whole), "example_count": 1.0}
    for label in labels:
        counted[metrics.key(metrics.REGRESSIONS, label)] = float(label in worse)
        counted[metrics.key(count, label)] = 1.0
    return counted


def answer(row: Prediction, kind: LabelKind, labels: Sequence[str], common: Sequence[str]) -> Answer:
    """Judges the answer to one image.

    Args:
        row: the prediction.
        kind: of the labels.
        labels: those of the model, in the order of the prediction.
        common: those that are compared.

    >>> from components.labels import kinds
    >>> row = {"labels": ["cat"], "unknown": [], "probabilities": [0.2, 0.8]}
    >>> answer(row, kinds.kind("single_label"), ["cat", "dog"], ["cat", "dog"])
    Answer(labels={'cat': 0.0}, whole=0.0, words="'dog' (0.80)", severity=0.800000011920929)
    """
    if kind.per_pixel:
        return _mask(row, labels, common)
    p = np.asarray(row["probabilities"], np.float32)
    finite, states = bool(np.isfinite(p).all()), dict(zip(labels, p, strict=True))
    if kind.exclusive:
        of_image = [label for label in row["labels"] if label in common]
        best = int(np.argmax(p))
        right = {label: float(finite and labels[best] == label) for label in of_image}
        words = f"{labels[best]!r} ({p[best]:.2f})"
    else:
        known = [label for label in common if label not in row["unknown"]]
        right = {label: float(finite and (states[label] >= _APPLIES) == (label in row["labels"])) for label in known}
        words = ", ".join(repr(label) for label in common if states[label] >= _APPLIES) or "no label"
    if not finite:
        return Answer(right, min(right.values(), default=None), "not a number", np.inf)
    severity = float(p[best]) if kind.exclusive else len(right) - sum(right.values())
    return Answer(right, min(right.values(), default=None), words, severity)


def _mask(row: Prediction, labels: Sequence[str], common: Sequence[str]) -> Answer:
    """IoU of each label that the mask has; pixels of labels that are not compared are left out."""
    place = {label: i for i, label in enumerate(labels)}
    order = [place[label] for label in (*common, *(label for label in labels if label not in common))]
    pixels = np.asarray(row["confusion"], np.float64).reshape(len(labels), len(labels))[np.ix_(order, order)]
    pixels = pixels[: len(common)]
    truth, hits = pixels.sum(axis=1), np.diagonal(pixels)
    iou = np.nan_to_num(ratio(hits, truth + pixels.sum(axis=0)[: len(common)] - hits))
    has = {label: float(value) for label, value, n in zip(common, iou, truth, strict=True) if n}
    if not has:
        return Answer({}, None, "")
    mean = float(np.mean(list(has.values())))
    return Answer(has, mean, f"mean IoU {mean:.2f}")
