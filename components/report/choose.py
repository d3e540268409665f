"""Which images are worth a look: of the test split indices into `Answers`, and what to say of each."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from components.data import duplicates
from components.data.duplicates import Pair
from components.labels.kind import LabelKind
from components.metrics.base import ratio
from components.report.answers import Answers

Bools = NDArray[np.bool_]
Scores = NDArray[np.floating]

_UNFAMILIAR = 12
_PAIRS = 12
# Masks: the worst images, further ones that are a label's worst, random ones, the best.
_WORST, _LABELS, _RANDOM, _BEST = 4, 10, 4, 2


@dataclass(frozen=True)
class Pick:
    """One image.

    Attributes:
        index: among the answers.
        probability: of what the answer says, or None where that is not one number.
        note: what is remarkable.
        why: of masks "worst", "label" (the worst one of a label), "random" or "best".
    """

    index: int
    probability: float | None = None
    note: str = ""
    why: str = ""


def mistakes(answers: Answers, label: int, kind: LabelKind, most: int) -> list[Pick]:
    """The most confident ones first.

    Of a single label: images of it that were answered otherwise, then, if there is room, others answered as it. Else
    each label is a question of its own: missed ones and false alarms together. What nobody said is no mistake.
    """
    decided, p = answers.decided[:, label], answers.probabilities
    missed = (answers.truth[:, label] == 1) & ~decided & np.isfinite(p).all(axis=1)
    alarm = (answers.truth[:, label] == 0) & decided
    if kind.exclusive and p.shape[1] > 1:
        sure = p.max(axis=1)
        found = np.concatenate([_first(missed, -sure), _first(alarm, -sure)])[:most]
        return [Pick(int(i), float(sure[i])) for i in found]
    own = p[:, label]
    return [
        Pick(int(i), float(own[i]), "missed" if missed[i] else "false alarm")
        for i in _first(missed | alarm, -np.where(decided, own, 1 - own))[:most]
    ]


def hits(answers: Answers, label: int, most: int) -> list[Pick]:
    """Rightly answered with this label, the least confident ones first."""
    own = answers.probabilities[:, label]
    right = (answers.truth[:, label] == 1) & answers.decided[:, label]
    return [Pick(int(i), float(own[i])) for i in _first(right, own)[:most]]


def at_random(answers: Answers, label: int, kind: LabelKind, seed: int, most: int) -> list[Pick]:
    """Images of this label."""
    there = np.flatnonzero(answers.truth[:, label] == 1)
    chosen = np.random.default_rng([seed, label]).permutation(there)[:most]
    p = answers.probabilities
    said = p.max(axis=1, initial=0) if kind.exclusive else p[:, label]
    return [Pick(int(i), _finite(said[i])) for i in chosen]


def unfamiliar(answers: Answers, kind: LabelKind) -> list[Pick]:
    """The least familiar ones first."""
    order = _first(np.isfinite(answers.familiarity), answers.familiarity)[:_UNFAMILIAR]
    said = answers.probabilities.max(axis=1, initial=0) if kind.one_per_image else None
    return [
        Pick(int(i), None if said is None else _finite(said[i]), f"familiarity {answers.familiarity[i]:.3g}")
        for i in order
    ]


def masks(answers: Answers, labels: Sequence[str], seed: int) -> list[Pick]:
    """By mean IoU of the labels in an image's truth: the worst ones, each label's worst, random ones, the best ones.

    No image comes twice: a label's worst image that is shown anyhow gets a further note. Of equally bad images of a
    label the one that has most of it counts; where there are too many labels, those with the worst images.
    """
    confusion = answers.confusion.astype(np.float64)
    right, truth = np.diagonal(confusion, axis1=1, axis2=2), confusion.sum(axis=2)
    iou = ratio(right, truth + confusion.sum(axis=1) - right)
    there = truth > 0
    mean = ratio(np.where(there, iou, 0).sum(axis=1), there.sum(axis=1))
    broken = np.isnan(truth).any(axis=1)
    ranked = _first(broken | there.any(axis=1), np.where(broken, -1, mean))

    def described(i: int, why: str) -> Pick:
        return Pick(int(i), None, "the answer is no number" if broken[i] else f"mean IoU {mean[i]:.2f}", why)

    chosen = {int(i): described(i, "worst") for i in ranked[:_WORST]}
    for label, i in _worst_of_each(iou, truth)[: _WORST + _LABELS]:
        own = f"IoU of {labels[label]!r} {iou[i, label]:.2f}"
        if i in chosen:
            chosen[i] = replace(chosen[i], note=f"{chosen[i].note}, {own}")
        elif len(chosen) < _WORST + _LABELS:
            chosen[i] = Pick(i, None, own, "label")
    drawn = np.random.default_rng(seed).permutation(ranked)
    for order, why, most in ((drawn, "random", _RANDOM), (ranked[::-1], "best", _BEST)):
        further = [int(i) for i in order if i not in chosen and not (why == "best" and broken[i])]
        chosen |= {i: described(i, why) for i in further[:most]}
    return list(chosen.values())


def pairs(rows: NDArray[np.void], distance: int | None, contradictions: bool) -> list[tuple[Pair, str]]:
    """Equal and nearly equal images, and what is wrong with them, both kinds in turn; the data gate's, see `balance`.

    Args:
        rows: `census.ROW` [n].
        distance: bits of the perceptual hashes that may differ, or None: equal files only.
        contradictions: whether nearly equal images under different labels count.
    """
    conflicts, leaks = duplicates.equal_files(rows)
    if distance is not None:
        conflicts += duplicates.nearly_equal_images(rows, "truth", distance) if contradictions else []
        leaks += duplicates.nearly_equal_images(rows, "split", distance)
    ranked = [
        [(pair, what) for pair in sorted(those, key=lambda p: p.bits or 0)]
        for those, what in ((conflicts, "different labels"), (leaks, "different splits"))
    ]
    found: dict[tuple[int, int], tuple[Pair, str]] = {}
    for pair, what in filter(None, itertools.chain(*itertools.zip_longest(*ranked))):
        found.setdefault((min(pair.first, pair.second), max(pair.first, pair.second)), (pair, what))
    return list(found.values())[:_PAIRS]


def _worst_of_each(iou: Scores, truth: Scores) -> list[tuple[int, int]]:
    """(label, image) of each label that the truth has, the worst first; arguments [n, K]."""
    found = []
    for label in range(iou.shape[1]):
        there = np.flatnonzero(truth[:, label] > 0)
        if len(there):
            best = np.lexsort((-truth[there, label], iou[there, label]))[0]
            found.append((label, int(there[best])))
    return sorted(found, key=lambda pair: iou[pair[1], pair[0]])


def _first(among: Bools, score: Scores) -> NDArray[np.intp]:
    """Indices of those `among`, the lowest score first, and of equal ones the first."""
    there = np.flatnonzero(among)
    return there[np.argsort(score[there], kind="stable")]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
