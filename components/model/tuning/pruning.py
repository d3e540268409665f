"""Which trials stop early: those that are worse than half of the others were after the same epoch.

The median rule (Golovin et al., "Google Vizier", KDD 2017, section 3.2.2). It does not assume that curves have a common
form, and the settings differ in all that gives them their form.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

_OTHERS = 3  # curves to compare with at least
_EPOCHS = 2  # the first epochs, in which the learning rate still rises, decide nothing


def is_hopeless(curve: Sequence[float], others: Sequence[Sequence[float]]) -> bool:
    """Reports whether the best value so far is worse than the median of the others' best up to the same epoch.

    Args:
        curve: measure of each epoch so far, of which smaller is better.
        others: those of earlier trials, finished or not.

    >>> others = [[0.9, 0.5, 0.4], [0.8, 0.6, 0.5], [0.9, 0.7, 0.6]]  # best after 2 epochs: 0.5, 0.6 and 0.7
    >>> is_hopeless([0.9, 0.61], others), is_hopeless([0.9, 0.6], others)
    (True, False)
    """
    reached = [min(other[: len(curve)]) for other in others if len(other) >= len(curve)]
    return len(curve) >= _EPOCHS and len(reached) >= _OTHERS and min(curve) > statistics.median(reached)
