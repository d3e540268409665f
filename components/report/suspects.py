"""Suspected label errors: images for which the model confidently contradicts the label, most suspicious first.

Label errors are found by confident learning (Northcutt, Jiang & Chuang, "Confident Learning: Estimating Uncertainty in
Dataset Labels", JAIR 2021), as implemented by cleanlab. Only the test split is searched, because the model may have
memorised the others.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from components.labels.kind import LabelKind
from components.metrics import curves
from components.report.answers import Answers
from components.report.choose import Pick

MOST = 24  # suspects that a report shows; chosen by hand; not measured
_LIKELY = 0.5  # lowest probability of the predicted label: guesses of a poor model raise no suspicion
_MASKS = 12  # each needs three pictures
_SURE = (curves.CALIBRATION_BINS - 1) / curves.CALIBRATION_BINS  # the last bin
_SHARE = 0.01  # of an image's pixels; there are always some along the edges


def find(answers: Answers, kind: LabelKind, labels: Sequence[str]) -> list[Pick]:
    """At most `MOST` suspects; none if there is only one exclusive label."""
    if kind.is_detector(len(labels)):
        return []
    if kind.per_pixel:
        return _masks(answers)
    return (_single if kind.exclusive else _multi)(answers, labels)[:MOST]


def _single(answers: Answers, labels: Sequence[str]) -> list[Pick]:
    p, given = answers.probabilities, answers.truth.argmax(axis=1)
    known = np.flatnonzero((answers.truth == 1).any(axis=1) & np.isfinite(p).all(axis=1))
    picks = []
    for i in known[_issues(given[known], p[known])]:
        label, predicted = labels[given[i]], labels[int(p[i].argmax())]
        sure = float(p[i].max())
        if sure >= _LIKELY:
            picks.append(Pick(int(i), sure, f"labelled {label!r}, predicted {predicted!r} ({sure:.2f})"))
    return picks


def _multi(answers: Answers, labels: Sequence[str]) -> list[Pick]:
    """Judges each label by itself, without unknown labels; the notes on an image are joined."""
    issues = []  # (probability of the given label, image, note)
    finite = np.isfinite(answers.probabilities).all(axis=1)
    for k, name in enumerate(labels):
        known = np.flatnonzero((answers.truth[:, k] >= 0) & finite)
        p, applies = answers.probabilities[known, k].astype(np.float64), answers.truth[known, k] == 1
        for j in _issues(applies.astype(np.int64), np.stack([1 - p, p], axis=1)):
            note = f"{'' if applies[j] else 'not '}labelled {name!r}, predicted probability {p[j]:.2f}"
            issues.append((p[j] if applies[j] else 1 - p[j], int(known[j]), note))
    notes: dict[int, list[str]] = {}
    for _, i, note in sorted(issues):
        notes.setdefault(i, []).append(note)
    return [Pick(i, None, "; ".join(of_image)) for i, of_image in notes.items()]


def _issues(given: NDArray[np.int64], p: NDArray[np.floating]) -> NDArray[np.intp]:
    """Indices of suspected label errors, the least probable label first.

    Args:
        given: labels [n].
        p: probabilities [n, K], all finite.
    """
    if len(np.unique(given)) < 2:  # there is no other label
        return np.empty(0, np.intp)
    from cleanlab import filter as confident_learning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about labels with too few images
        indices = confident_learning.find_label_issues(
            given, p.astype(np.float64), return_indices_ranked_by="self_confidence", n_jobs=1
        )
    return np.asarray(indices, np.intp)


def _masks(answers: Answers) -> list[Pick]:
    """Ranks images by the share of known pixels for which the true mask contradicts a confident prediction."""
    weight, _, hit = np.moveaxis(answers.calibration[:, 0].astype(np.float64), 1, 0)
    known = weight.sum(axis=1)
    share = np.divide(weight[:, -1] - hit[:, -1], known, out=np.zeros(len(known)), where=known > 0)
    share[~np.isfinite(answers.confusion).all(axis=(1, 2))] = 0
    order = [i for i in np.argsort(-share, kind="stable")[:_MASKS] if share[i] >= _SHARE]
    text = "the mask contradicts a confident prediction (probability above {:.2f}) for {:.1%} of the pixels"
    return [Pick(int(i), None, text.format(_SURE, share[i])) for i in order]
