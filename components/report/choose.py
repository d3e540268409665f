"""The choice of images for the page: indices into `Answers`, with a note on each."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from components.data import duplicates
from components.data.duplicates import Pair
from components.gates.compared import Regression
from components.ingest.counts.census import Images
from components.labels.kind import LabelKind
from components.metrics.base import ratio
from components.report.answers import Answers

Bools = NDArray[np.bool_]
Scores = NDArray[np.floating]

_UNFAMILIAR = 12
_PAIRS = 12
# Masks: the worst images, the worst image of further labels, random images, the best images.
_WORST, _LABELS, _RANDOM, _BEST = 4, 10, 4, 2


@dataclass(frozen=True)
class Pick:
    """A chosen image.

    Attributes:
        index: into the answers.
        probability: of the prediction, or None if that is not a single number.
        note: what is remarkable about it.
        why: for masks "worst", "label" (the worst image of a label), "random" or "best".
    """

    index: int
    probability: float | None = None
    note: str = ""
    why: str = ""


def mistakes(answers: Answers, label: int, kind: LabelKind, most: int) -> list[Pick]:
    """Wrong predictions, the most confident first. Unknown labels are never mistakes.

    Exclusive labels: images of this label with another prediction, then other images with this prediction. Otherwise
    each label is judged by itself: missed images and false alarms together.
    """
    decided, p = answers.decided[:, label], answers.probabilities
    missed = (answers.truth[:, label] == 1) & ~decided & np.isfinite(p).all(axis=1)
    alarm = (answers.truth[:, label] == 0) & decided
    if kind.exclusive and p.shape[1] > 1:
        sure = p.max(axis=1)
        ranked = np.concatenate([_ranked(missed, -sure), _ranked(alarm, -sure)])[:most]
        return [Pick(int(i), float(sure[i])) for i in ranked]
    own = p[:, label]
    return [
        Pick(int(i), float(own[i]), "missed" if missed[i] else "false alarm")
        for i in _ranked(missed | alarm, -np.where(decided, own, 1 - own))[:most]
    ]


def hits(answers: Answers, label: int, most: int) -> list[Pick]:
    """Correct predictions of this label, the least confident first."""
    own = answers.probabilities[:, label]
    right = (answers.truth[:, label] == 1) & answers.decided[:, label]
    return [Pick(int(i), float(own[i])) for i in _ranked(right, own)[:most]]


def at_random(answers: Answers, label: int, kind: LabelKind, seed: int, most: int) -> list[Pick]:
    """Random images of this label."""
    images = np.flatnonzero(answers.truth[:, label] == 1)
    chosen = np.random.default_rng([seed, label]).permutation(images)[:most]
    p = answers.probabilities
    shown = p.max(axis=1, initial=0) if kind.exclusive else p[:, label]
    return [Pick(int(i), _finite(shown[i])) for i in chosen]


def unfamiliar(answers: Answers, kind: LabelKind) -> list[Pick]:
    """The least familiar images, the least familiar first."""
    order = _ranked(np.isfinite(answers.familiarity), answers.familiarity)[:_UNFAMILIAR]
    shown = answers.probabilities.max(axis=1, initial=0) if kind.one_per_image else None
    return [
        Pick(int(i), None if shown is None else _finite(shown[i]), f"familiarity {answers.familiarity[i]:.3g}")
        for i in order
    ]


def members(answers: Answers, images: Sequence[tuple[str, str]], kind: LabelKind) -> list[Pick]:
    """The images with these paths and digests, in their order."""
    place = {identity: i for i, identity in enumerate(zip(answers.paths, answers.sha256, strict=True))}
    sure = answers.probabilities.max(axis=1, initial=0) if kind.one_per_image else None
    return [Pick(place[one], None if sure is None else _finite(sure[place[one]])) for one in images]


def regressed(answers: Answers, images: Sequence[Regression], kind: LabelKind) -> list[Pick]:
    """The images that the served model had right, with what both models say, in their order."""
    picks = members(answers, [(image.path, image.sha256) for image in images], kind)
    return [
        replace(pick, note=f"served: {image.served}, now: {image.candidate}")
        for pick, image in zip(picks, images, strict=True)
    ]


def masks(answers: Answers, labels: Sequence[str], seed: int) -> list[Pick]:
    """Images by mean IoU of their true labels: the worst, the worst of each label, random ones and the best.

    No image is chosen twice: if a label's worst image is chosen already, its note is extended. Among equally bad images
    of a label, the one with most pixels of it is chosen; with too many labels, those with the worst images.
    """
    confusion = answers.confusion.astype(np.float64)
    correct, truth = np.diagonal(confusion, axis1=1, axis2=2), confusion.sum(axis=2)
    iou = ratio(correct, truth + confusion.sum(axis=1) - correct)
    present = truth > 0
    mean = ratio(np.where(present, iou, 0).sum(axis=1), present.sum(axis=1))
    broken = np.isnan(truth).any(axis=1)
    ranked = _ranked(broken | present.any(axis=1), np.where(broken, -1, mean))

    def described(i: int, why: str) -> Pick:
        return Pick(int(i), None, "the prediction is not a number" if broken[i] else f"mean IoU {mean[i]:.2f}", why)

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


def pairs(images: Images, distance: int | None, contradictions: bool) -> list[tuple[Pair, str]]:
    """Pairs of identical or similar images that break a rule of the data gate, and how they do.

    The most similar come first, alternating between different labels and different splits.

    Args:
        images: of the data set.
        distance: bits of the perceptual hashes that may differ, or None: identical files only.
        contradictions: whether similar images with different labels count.
    """
    conflicts, leaks = duplicates.equal_files(images.rows)
    if distance is not None:
        conflicts += images.near_pairs("truth", distance) if contradictions else []
        leaks += images.near_pairs("split", distance)
    ranked = [
        [(pair, what) for pair in sorted(group, key=lambda p: p.bits or 0)]
        for group, what in ((conflicts, "different labels"), (leaks, "different splits"))
    ]
    unique: dict[tuple[int, int], tuple[Pair, str]] = {}
    for pair, what in filter(None, itertools.chain(*itertools.zip_longest(*ranked))):
        unique.setdefault((min(pair.first, pair.second), max(pair.first, pair.second)), (pair, what))
    return list(unique.values())[:_PAIRS]


def _worst_of_each(iou: Scores, truth: Scores) -> list[tuple[int, int]]:
    """The worst image of each label: (label, image) pairs, the worst first.

    Args:
        iou, truth: [n, K]; `truth` counts pixels.
    """
    worst = []
    for label in range(iou.shape[1]):
        images = np.flatnonzero(truth[:, label] > 0)
        if len(images):
            first = np.lexsort((-truth[images, label], iou[images, label]))[0]
            worst.append((label, int(images[first])))
    return sorted(worst, key=lambda pair: iou[pair[1], pair[0]])


def _ranked(among: Bools, score: Scores) -> NDArray[np.intp]:
    """Indices where `among` is true, by ascending score; the order of equal scores is kept."""
    indices = np.flatnonzero(among)
    return indices[np.argsort(score[indices], kind="stable")]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
