"""Suspected label errors: images of which the model is surer of something else. Most suspicious first.

Labels by confident learning (Northcutt, Jiang & Chuang, "Confident Learning: Estimating Uncertainty in Dataset
Labels", JAIR 2021), as cleanlab does it: the test split is what the model has not learnt by heart.
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
_LIKELY = 0.5  # the least probability of the other label: a poor model's guesses are no suspicions
_MASKS = 12  # each takes three pictures
_SURE = (curves.CALIBRATION_BINS - 1) / curves.CALIBRATION_BINS  # the last bin
_SHARE = 0.01  # of an image's pixels; along every edge there are some


def find(answers: Answers, kind: LabelKind, labels: Sequence[str]) -> list[Pick]:
    """At most `MOST`; none where there is only one label."""
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
        own, said = labels[given[i]], labels[int(p[i].argmax())]
        sure = float(p[i].max())
        if sure >= _LIKELY:
            picks.append(Pick(int(i), sure, f"labelled {own!r}, the model says {said!r} with {sure:.2f}"))
    return picks


def _multi(answers: Answers, labels: Sequence[str]) -> list[Pick]:
    """Each label is a question of its own, asked of the images of which somebody said; an image comes once."""
    found = []  # (probability of what is said, image, note)
    finite = np.isfinite(answers.probabilities).all(axis=1)
    for k, name in enumerate(labels):
        known = np.flatnonzero((answers.truth[:, k] >= 0) & finite)
        p, applies = answers.probabilities[known, k].astype(np.float64), answers.truth[known, k] == 1
        for j in _issues(applies.astype(np.int64), np.stack([1 - p, p], axis=1)):
            said = f"{'' if applies[j] else 'not '}labelled {name!r}, the model gives it {p[j]:.2f}"
            found.append((p[j] if applies[j] else 1 - p[j], int(known[j]), said))
    notes: dict[int, list[str]] = {}
    for _, i, said in sorted(found):
        notes.setdefault(i, []).append(said)
    return [Pick(i, None, "; ".join(said)) for i, said in notes.items()]


def _issues(given: NDArray[np.int64], p: NDArray[np.floating]) -> NDArray[np.intp]:
    """Indices, the least probable label first. `given` [n], `p` [n, K], both without gaps."""
    if len(np.unique(given)) < 2:  # nothing to mistake it for
        return np.empty(0, np.intp)
    from cleanlab import filter as confident_learning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of labels that are too rare to say anything of
        found = confident_learning.find_label_issues(
            given, p.astype(np.float64), return_indices_ranked_by="self_confidence", n_jobs=1
        )
    return np.asarray(found, np.intp)


def _masks(answers: Answers) -> list[Pick]:
    """By the share of an image's known pixels of which the model is sure and the truth says otherwise."""
    weight, _, hit = np.moveaxis(answers.calibration[:, 0].astype(np.float64), 1, 0)
    known = weight.sum(axis=1)
    share = np.divide(weight[:, -1] - hit[:, -1], known, out=np.zeros(len(known)), where=known > 0)
    share[~np.isfinite(answers.confusion).all(axis=(1, 2))] = 0
    order = [i for i in np.argsort(-share, kind="stable")[:_MASKS] if share[i] >= _SHARE]
    text = "of {:.1%} of its pixels the model is sure (above {:.2f}), but the mask says otherwise"
    return [Pick(int(i), None, text.format(share[i], _SURE)) for i in order]
