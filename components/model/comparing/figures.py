"""The figures of a trained network on the eval split, and how they change without some of the images.

They are those of the report, by the same code: of calibrated probabilities, which a served model would give.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.labels.kind import LabelKind
from components.metrics.base import Floats, Rows, fraction

_GROUPS = 40  # of the jackknife: enough for its degrees of freedom not to matter


@dataclass(frozen=True)
class Judged:
    """The answers of a network to the images of eval.

    Attributes:
        rows: [n, width], as the accumulator of the label kind takes them; the first number is the example's weight.
        losses: [n], mean cross-entropy of an image's pixels, NaN where none is known; empty for labels of images, whose
            rows tell the loss.
    """

    rows: Rows
    losses: Floats


def figures(kind: LabelKind, classes: int, judged: Judged) -> dict[str, float]:
    """The values of `kind.compared`, in that order; NaN where one is undefined."""
    total = kind.accumulator(classes)
    total.add(judged.rows)
    found = total.result([str(label) for label in range(classes)])
    if len(judged.losses):
        known = np.isfinite(judged.losses)
        weight = judged.rows[known, 0].astype(np.float64)
        found["loss"] = fraction(weight @ judged.losses[known], weight.sum())
    return {name: float(found[name]) for name in kind.compared}


def without_groups(kind: LabelKind, classes: int, judged: Judged) -> Floats:
    """The figures without each of up to 40 groups of images, [groups, figures]; all networks have the same groups."""
    n = len(judged.rows)
    group = np.arange(n) % min(n, _GROUPS)
    return np.array(
        [list(figures(kind, classes, _part(judged, group != left_out)).values()) for left_out in range(min(n, _GROUPS))]
    )


def _part(judged: Judged, keep: np.ndarray) -> Judged:
    return Judged(judged.rows[keep], judged.losses[keep] if len(judged.losses) else judged.losses)
