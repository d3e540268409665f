"""The head on a frozen backbone, solved instead of trained: the regression with the L2 term that is best on eval.

The problem is convex, so there is no learning rate, no number of epochs and no seed. Newton's method solves it for ever
weaker terms, each time from the last solution, and the strength with the least loss on eval is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from components.base import machine
from components.base.errors import ImagegateError
from components.model.fitting.regression import Examples, Floats, Head, Loss

_STRENGTHS = tuple(10.0 ** (1 - i / 2) for i in range(11))  # 10 to 1e-4; then two more around the best of them
_WORSE = 3  # strengths in a row with a larger loss on eval, after which weaker ones are not tried
_FEW = 100  # eval images below which the strength is chosen by cross-validation within train
_FOLDS = 5
# Bytes of features below which one thread is faster: others wait for each other longer than they compute.
_SMALL = 64 << 20
_TINY = 1e-12  # weight of a label whose weight is 0


@dataclass(frozen=True)
class Step:
    """One strength of the path: the loss on train, and on the images that decide."""

    strength: float
    loss: float
    val_loss: float


@dataclass(frozen=True)
class Solution:
    """The last layer, for features as they come from the backbone: logits = features @ kernel + bias.

    Attributes:
        kernel: [F, K].
        bias: [K].
        strength: of the L2 term.
        path: what was tried, from strong to weak.
        split: what decided, "eval", or "train" in cross-validation.
    """

    kernel: Floats
    bias: Floats
    strength: float = 0.0
    path: tuple[Step, ...] = ()
    split: str = "eval"

    def logits(self, features: NDArray[np.floating]) -> Floats:
        """Applies the layer to [n, F]; returns [n, K]."""
        return features @ self.kernel + self.bias


def solve(
    train: Examples,
    evaluation: Examples,
    *,
    exclusive: bool,
    label_weights: Sequence[float],
    adjustment: Sequence[float] | None = None,
    guessed: Examples | None = None,
) -> Solution:
    """Solves the head, with the strength that is best on eval; with few eval images, in cross-validation on train.

    Args:
        train: what is learnt from.
        evaluation: what decides the strength.
        exclusive: whether exactly one label applies to each image, so that the probabilities sum to 1.
        label_weights: [K], as the loss takes them.
        adjustment: [K], added to the logits in the loss, see `labels.priors`; None for zeros.
        guessed: images without labels with labels that were guessed, which are learnt from and decide nothing.

    Raises:
        ImagegateError: a feature is not finite.
    """
    _check(train, "train")
    _check(evaluation, "eval")
    with threadpool_limits(1 if train.features.nbytes < _SMALL else None, "blas"):
        return _solved(train, evaluation, exclusive, label_weights, adjustment, guessed)


def _solved(
    train: Examples,
    evaluation: Examples,
    exclusive: bool,
    label_weights: Sequence[float],
    adjustment: Sequence[float] | None,
    guessed: Examples | None,
) -> Solution:
    known = (evaluation.target >= 0).any(axis=1)
    if known.sum() >= _FEW:
        pairs = [(train, evaluation.take(np.flatnonzero(known)))]
    else:
        fold = _folds(train.target)
        parts = [(train.take(np.flatnonzero(fold != i)), train.take(np.flatnonzero(fold == i))) for i in range(_FOLDS)]
        possible = [pair for pair in parts if all((side.target >= 0).any() for side in pair)]
        pairs = possible or [(train, train)]
    paths = [_Path(Head(learn.joined(guessed), exclusive, label_weights, adjustment), judge) for learn, judge in pairs]
    steps: dict[float, Step] = {}
    for strength in _STRENGTHS:
        steps[strength] = _step(paths, strength)
        losses = [step.val_loss for step in steps.values()]
        if len(losses) - 1 - int(np.argmin(losses)) >= _WORSE:
            break
    best = min(steps.values(), key=lambda step: step.val_loss).strength
    for strength in (best * 10**0.25, best / 10**0.25):
        steps[strength] = _step(paths, strength)
    best = min(steps.values(), key=lambda step: step.val_loss).strength
    whole = paths[0].head if len(paths) == 1 else Head(train.joined(guessed), exclusive, label_weights, adjustment)
    solved = whole.solve(best, paths[0].at(best) if len(paths) == 1 else None, threads=machine.cores())
    kernel, bias = whole.layer(solved)
    path = tuple(sorted(steps.values(), key=lambda step: -step.strength))
    return Solution(kernel, bias, best, path, "eval" if known.sum() >= _FEW else "train")


def solve_one_of_two(
    train: Examples,
    evaluation: Examples,
    positive: int,
    label_weights: Sequence[float],
    adjustment: Sequence[float] | None = None,
    guessed: Examples | None = None,
) -> Solution:
    """Solves the head of one sigmoid unit that decides between two exclusive labels; kernel [F, 1], bias [1].

    Args:
        train, evaluation, label_weights, adjustment, guessed: see `solve`; of two labels.
        positive: index of the label that the unit stands for.
    """

    def one(examples: Examples) -> Examples:
        return Examples(examples.features, examples.target[:, [positive]], examples.weight)

    # Only the ratio of the two weights counts, because losses are divided by the sum of their weights.
    ratio = label_weights[positive] / max(label_weights[1 - positive], _TINY)
    # The other label has the logit 0, and its own adjustment.
    added = None if adjustment is None else [adjustment[positive] - adjustment[1 - positive]]
    rest = guessed and one(guessed)
    return solve(one(train), one(evaluation), exclusive=False, label_weights=[ratio], adjustment=added, guessed=rest)


class _Path:
    """The solutions for one pair of what is learnt from and what judges."""

    def __init__(self, head: Head, judge: Examples) -> None:
        self.head, self._judge = head, judge
        self._judging = Loss(judge, head.exclusive, head.label_weights, head.adjustment)
        self._solved: dict[float, Floats] = {}

    def at(self, strength: float) -> Floats:
        return self._solved[strength]

    def step(self, strength: float) -> tuple[float, Floats]:
        """Solves; returns the loss on train, and the logits of those that judge."""
        nearest = min(self._solved, key=lambda s: abs(np.log(s / strength)), default=None)
        start = None if nearest is None else self._solved[nearest]
        solved = self._solved[strength] = self.head.solve(strength, start, exact=False, threads=machine.cores())
        kernel, bias = self.head.layer(solved)
        return self.head.loss(solved), self._judge.features @ kernel + bias

    def judged(self, logits: Floats) -> tuple[float, float]:
        """Returns the sum of the weighted losses and of the weights."""
        return self._judging.total(logits)


def _step(paths: Sequence[_Path], strength: float) -> Step:
    """Solves every pair, and computes the loss over all images that judge."""
    losses, logits = zip(*(path.step(strength) for path in paths), strict=True)
    total, weight = np.sum([path.judged(z) for path, z in zip(paths, logits, strict=True)], axis=0)
    return Step(strength, float(np.mean(losses)), float(total / weight) if weight else 0.0)


def _folds(target: NDArray[np.floating]) -> NDArray[np.int64]:
    """Assigns every image to a fold, so that each label is in all folds if it has enough images."""
    order = np.lexsort(target.T)
    fold = np.empty(len(target), np.int64)
    fold[order] = np.arange(len(target)) % _FOLDS
    return fold


def _check(examples: Examples, split: str) -> None:
    if not len(examples.features) and split == "train":
        raise ImagegateError("training: the train split has no image; lower the shares of eval and test")
    bad = np.flatnonzero(~np.isfinite(examples.features).all(axis=1))
    if len(bad):
        raise ImagegateError(
            f"training: the backbone's features of {len(bad)} of {len(examples.features)} {split} images are not "
            "finite; turn training.mixed_precision off, or choose another backbone"
        )
