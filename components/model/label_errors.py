"""Labels of train that the other images contradict: confident learning on features, out of fold.

A regularised linear head is solved on four fifths of the images and asked about the rest. Labels that cleanlab then
finds wrong (Northcutt, Jiang & Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 2021) are
left out, and all are asked again, so that errors do not teach the head to expect them.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import scipy  # which loads a part when it is used
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from components.base import machine, progress
from components.model.fitting.regression import Examples, Head

_FOLDS = 5
# Of the L2 term; see docs/data-gate.md. That with the least loss out of fold is weaker, and learns errors by heart.
_STRENGTH = 0.1
_SEED = 1
# A chain of nearly equal images is longer than this, and than this share of all; see `search`. Chosen by hand.
_LONG, _CHAINED, _TOGETHER = 10, 0.01, 5
_PLANTED = 0.05  # share of labels that is changed to learn how many errors are found

Floats = NDArray[np.float64]
_Layer = tuple[Floats, Floats]  # kernel [F, K] and bias [K]


@dataclass(frozen=True)
class Suspects:
    """What the head says of every stated label.

    Attributes:
        probability: [n, K], of each label, out of fold.
        stated: [n, K], by which probability the stated label is right: of exclusive labels, that of the one that is
            stated, in its column; NaN where nothing is stated.
        suspected: bool [n, K]: confident learning finds the stated label wrong.
        exclusive: whether exactly one label applies to each image.
        planted: labels that were changed for the purpose; 0 if there is nothing to change them to.
        recall: share of these that `certain` finds.
    """

    probability: Floats
    stated: Floats
    suspected: NDArray[np.bool_]
    exclusive: bool
    planted: int = 0
    recall: float = 0.0


def search(
    rows: NDArray[np.float32], target: NDArray[np.float32], sets: NDArray[np.int64], *, exclusive: bool
) -> Suspects:
    """Looks for wrong labels.

    Args:
        rows: [n, F], see `neighbours.compact`.
        target: [n, K], 1 the label applies, 0 it does not, -1 unknown; of exclusive labels one-hot, or all -1.
        sets: int [n]: images with equal numbers are nearly equal. They are in one fold, unless they are more than a
            hundredth of all: a chain of images that are alike may be a whole label, of which a head that never saw it
            would find every image wrong. And where `_TOGETHER` of them agree on a label, it is not suspected.
        exclusive: whether exactly one label applies to each image.
    """
    own, size = np.unique(sets, return_inverse=True, return_counts=True)[1:]
    long = size[own] > max(_LONG, _CHAINED * len(rows))
    folds = _folds(np.where(long, len(size) + np.arange(len(rows)), own))
    agreed = np.stack([np.bincount(own, target[:, k] == 1)[own] for k in range(target.shape[1])], axis=1) >= _TOGETHER
    with threadpool_limits(1, "blas"):  # small products are faster on one thread
        found, layers = _searched(rows, target, folds, exclusive, [None] * _FOLDS)
        found = dataclasses.replace(found, suspected=found.suspected & ~((target == 1) & agreed))
        changed, planted = _plant(target, found.suspected, exclusive)
        if not planted.any():
            return found
        again, _ = _searched(rows, changed, folds, exclusive, layers)
        seen = certain(again)[planted]
    return dataclasses.replace(found, planted=len(seen), recall=float(seen.mean()))


# Probability of the stated label below which an error is certain enough to be listed and counted, and that of another
# label from which this one is likely; see docs/data-gate.md.
_CERTAIN, _LIKELY = 0.02, 0.5


def certain(found: Suspects) -> NDArray[np.bool_]:
    """bool [n, K]: suspected labels that are all but excluded; of exclusive ones, only where another is likely."""
    likely = found.probability.max(axis=1, keepdims=True, initial=0) >= _LIKELY if found.exclusive else True
    return np.asarray(found.suspected & (np.nan_to_num(found.stated, nan=1.0) < _CERTAIN) & likely)


def _searched(
    rows: NDArray[np.float32],
    target: NDArray[np.float32],
    folds: NDArray[np.int64],
    exclusive: bool,
    layers: Sequence[_Layer | None],
) -> tuple[Suspects, list[_Layer | None]]:
    """What the heads say of every stated label, and their layers; they begin with those that are given."""
    p, layers = _out_of_fold(rows, target, folds, exclusive, layers)
    first = _suspected(p, target, exclusive)
    doubted = first.any(axis=1, keepdims=True) if exclusive else first
    p, layers = _out_of_fold(rows, np.where(doubted, np.float32(-1), target), folds, exclusive, layers)
    stated = np.where(target == 1, p, np.where(exclusive | (target < 0), np.nan, 1 - p))
    return Suspects(p, stated, _suspected(p, target, exclusive), exclusive), layers


def _folds(sets: NDArray[np.int64]) -> NDArray[np.int64]:
    own = np.unique(sets, return_inverse=True)[1]
    order = np.random.default_rng(_SEED).permutation(own.max(initial=-1) + 1)
    return np.asarray(order[own] % _FOLDS, np.int64)


def _out_of_fold(
    rows: NDArray[np.float32],
    target: NDArray[np.float32],
    folds: NDArray[np.int64],
    exclusive: bool,
    layers: Sequence[_Layer | None],
) -> tuple[Floats, list[_Layer | None]]:
    """Probabilities [n, K] by heads that have not seen the image, and the layer of each fold; see `_searched`."""
    p = np.zeros(target.shape)
    known = (target >= 0).any(axis=1)

    def ask(fold: int) -> _Layer | None:
        learn, asked = np.flatnonzero((folds != fold) & known), np.flatnonzero(folds == fold)
        if not len(learn) or not len(asked):
            p[asked] = 0.5
            return None
        examples = Examples(rows[learn], target[learn], np.ones(len(learn), np.float32))
        head = Head(examples, exclusive, [1.0] * target.shape[1])
        start = None if (before := layers[fold]) is None else head.near(before)
        kernel, bias = head.layer(head.solve(_STRENGTH, start, exact=False))
        logits = rows[asked] @ kernel + bias
        p[asked] = scipy.special.softmax(logits, axis=1) if exclusive else scipy.special.expit(logits)
        return kernel, bias

    found = []
    with ThreadPoolExecutor(min(machine.cores(), _FOLDS)) as pool:
        for done, layer in enumerate(pool.map(ask, range(_FOLDS))):
            progress.report("looking for wrong labels", done, _FOLDS)
            found.append(layer)
    return p, found


def _suspected(p: Floats, target: NDArray[np.float32], exclusive: bool) -> NDArray[np.bool_]:
    """bool [n, K]: stated labels that confident learning finds wrong."""
    found = np.zeros(target.shape, bool)
    if exclusive:
        known = np.flatnonzero((target == 1).any(axis=1))
        given = target[known].argmax(axis=1)
        wrong = _issues(given, p[known])
        found[known[wrong], given[wrong]] = True
        return found
    for k in range(target.shape[1]):
        known = np.flatnonzero(target[:, k] >= 0)
        wrong = _issues((target[known, k] == 1).astype(np.int64), np.stack([1 - p[known, k], p[known, k]], axis=1))
        found[known[wrong], k] = True
    return found


def _issues(given: NDArray[np.int64], p: Floats) -> NDArray[np.intp]:
    """Indices of labels that confident learning finds wrong."""
    used = np.unique(given)
    if len(used) < 2:  # there is no other label
        return np.empty(0, np.intp)
    from cleanlab import filter as confident_learning

    own = p[:, used]  # cleanlab wants an image of each label
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about labels with too few images
        wrong = confident_learning.find_label_issues(
            used.searchsorted(given),
            own / np.maximum(own.sum(axis=1, keepdims=True), 1e-12),
            return_indices_ranked_by="self_confidence",
            n_jobs=1,
        )
    return np.asarray(wrong, np.intp)


def _plant(
    target: NDArray[np.float32], suspected: NDArray[np.bool_], exclusive: bool
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Changes some of the labels that are not suspected; returns all labels, and which stated ones were changed."""
    random = np.random.default_rng(_SEED)
    changed, planted = target.copy(), np.zeros(target.shape, bool)
    if exclusive:
        used = np.flatnonzero((target == 1).any(axis=0))
        known = np.flatnonzero((target == 1).any(axis=1) & ~suspected.any(axis=1))
        if len(used) < 2 or not len(known):
            return changed, planted
        some = random.choice(known, max(1, round(_PLANTED * len(known))), replace=False)
        place = used.searchsorted(target[some].argmax(axis=1))
        new = used[(place + random.integers(1, len(used), len(some))) % len(used)]
        changed[some] = 0
        changed[some, new] = 1
        planted[some, new] = True
        return changed, planted
    entries = np.flatnonzero(((target >= 0) & ~suspected).ravel())
    if len(entries):
        some = random.choice(entries, max(1, round(_PLANTED * len(entries))), replace=False)
        changed.ravel()[some] = 1 - changed.ravel()[some]
        planted.ravel()[some] = True
    return changed, planted
