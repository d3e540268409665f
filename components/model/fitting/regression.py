"""Multinomial and binary logistic regression with an L2 term, in coordinates that make it quick. NumPy and SciPy only.

With x the standardised features of an example, v its weight in the loss (see `labels.learning.losses`) and l its
cross-entropy, the solution minimises

    sum(v l(x W + b)) / sum(v) + strength / 2 * |W|^2

where b is not penalised. Independent labels have such a problem each, over their own known examples, with the same
strength. This is scikit-learn's `LogisticRegression` on standardised features with C = 1 / (strength * sum(v)).
An adjustment (see `labels.priors`) is added to x W + b in the loss, and is no part of the solution.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import scipy  # which loads a part when it is used
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float64]

_LOOSE, _TIGHT = 1e-4, 1e-8  # largest slope, where float32 is enough, and of a solution
_MOST_STEPS, _MOST_HALVINGS = 100, 30
_MOST_PRODUCTS = 200  # of the curvature, for a step
_DECREASE = 1e-4  # least share of the decrease that a straight line would have (Nocedal & Wright 2006, section 3.1)
_CACHED = 320 << 10  # bytes of features that fit into the cache of a core with what is computed from them
_PARTS = 8  # of the rows, so many threads compute at most; more would wait for Python's lock
_CHUNK = 4096  # rows in float64 at once, since what is computed from all of them would need too much memory
_ABSENT = -1e9  # logit of an exclusive label without examples: it has no probability


@dataclass(frozen=True)
class Examples:
    """Features and truth of n images.

    Attributes:
        features: [n, F], of the frozen backbone.
        target: [n, K], 1 the label applies, 0 it does not, -1 unknown; of exclusive labels one-hot, or all -1. Or
            degrees, see `labels.learning.losses`.
        weight: [n], example weights.
    """

    features: NDArray[np.floating]
    target: NDArray[np.floating]
    weight: NDArray[np.floating]

    def take(self, rows: NDArray[np.generic]) -> Examples:
        """Selects rows."""
        return Examples(self.features[rows], self.target[rows], self.weight[rows])

    def joined(self, other: Examples | None) -> Examples:
        """Appends other images, if there are any."""
        if other is None:
            return self
        pairs = ((self.features, other.features), (self.target, other.target), (self.weight, other.weight))
        return Examples(*map(np.concatenate, pairs))


class Loss:
    """The weighted cross-entropy of logits [n, K] and its slope, for one truth.

    Labels are exclusive, or each has its own sum of weights, by which its losses are divided.
    """

    def __init__(
        self,
        examples: Examples,
        exclusive: bool,
        label_weights: Sequence[float],
        adjustment: Sequence[float] | None = None,
    ) -> None:
        target = examples.target
        self._adjustment = np.zeros(target.shape[1]) if adjustment is None else np.asarray(adjustment, np.float64)
        known, degree = target >= 0, np.maximum(target, 0).astype(np.float64)
        self._exclusive, yes = exclusive, degree * np.asarray(label_weights, np.float64)
        mass = yes.sum(axis=1, keepdims=True) if exclusive else (yes + 1 - degree) * known
        # How far a label counts as one that applies; with degrees of 0 and 1, whether it does.
        self.applies = np.divide(yes, mass, out=np.zeros_like(yes), where=mass > 0)
        self.weight = examples.weight.astype(np.float64)[:, None] * mass
        sums = self.weight.sum(axis=0)
        self._share = np.divide(self.weight, sums, out=np.zeros_like(self.weight), where=sums > 0)

    def __call__(self, logits: Floats) -> tuple[float, Floats]:
        """Returns the mean loss, summed over independent labels, and its slope [n, K]."""
        losses, slope = self._losses(logits), self.probabilities(logits) - self.applies
        return float((self._share * losses).sum()), self._share * slope

    def total(self, logits: Floats) -> tuple[float, float]:
        """Returns the sum of the weighted losses of all labels, and the sum of their weights."""
        return float((self.weight * self._losses(logits)).sum()), float(self.weight.sum())

    def probabilities(self, logits: Floats) -> Floats:
        given = logits + self._adjustment
        answer: Floats = scipy.special.softmax(given, axis=1) if self._exclusive else scipy.special.expit(given)
        return answer

    def curvature(self, logits: Floats) -> Callable[[Floats, slice], Floats]:
        """Returns what multiplies a change of the logits by the second derivatives: the change of the slope.

        It takes the change of some rows, and which these are.
        """
        p = self.probabilities(logits)
        share = self._share * p
        if not self._exclusive:
            share *= 1 - p
            return lambda change, rows: share[rows] * change
        return lambda change, rows: share[rows] * (change - (p[rows] * change).sum(axis=1, keepdims=True))

    def frequencies(self) -> Floats:
        """Weighted share of each label: [K]."""
        return np.asarray((self._share * self.applies).sum(axis=0), np.float64)

    def _losses(self, logits: Floats) -> Floats:
        given = logits + self._adjustment
        if self._exclusive:
            own = (given * self.applies).sum(axis=1, keepdims=True)
            return np.asarray(scipy.special.logsumexp(given, axis=1, keepdims=True) - own)
        return np.asarray(np.logaddexp(0, given) - self.applies * given)


class Head:
    """The problem for one set of examples, in coordinates in which its curvature is about 1 everywhere.

    These are the principal axes of the standardised features, scaled for each label by the square root of the
    curvature that a label of its frequency has. Newton's method, whose steps conjugate gradients find, then needs few
    products with the curvature (Nocedal & Wright 2006, algorithm 7.1).

    A label that applies to no image or to all of them has no best weights: the bias would grow without end. It gets the
    weights 0 and the bias of Platt's smoothed frequency, (count + 1) / (n + 2).
    """

    def __init__(
        self,
        examples: Examples,
        exclusive: bool,
        label_weights: Sequence[float],
        adjustment: Sequence[float] | None = None,
    ) -> None:
        self.exclusive, self.label_weights, self.adjustment = exclusive, label_weights, adjustment
        self._loss, self._examples = Loss(examples, exclusive, label_weights, adjustment), examples
        x, weight = examples.features, examples.weight.astype(np.float64)
        share = weight / weight.sum() if weight.sum() > 0 else np.full(len(x), 1 / len(x))
        self._mean = sum((share[rows] @ chunk for rows, chunk in self._chunks()), np.zeros(x.shape[1]))
        # Of the moments only the directions matter, and those only for speed, so float32 does. The deviation does not.
        variance, moments = np.zeros(x.shape[1]), np.zeros((x.shape[1], x.shape[1]), np.float32)
        for rows, chunk in self._chunks():
            centred = np.sqrt(share[rows, None]) * (chunk - self._mean)
            variance += (centred**2).sum(axis=0)
            moments += centred.astype(np.float32).T @ centred.astype(np.float32)
        deviation = np.sqrt(variance)
        # Rounding alone makes the deviation of a constant differ from 0.
        constant = deviation <= 1e-7 * np.abs(self._mean)
        self._deviation = np.where(constant | (deviation == 0), 1.0, deviation)
        with threadpool_limits(1, "blas"):  # its threads wait for each other after every step
            self._variance, self._axes = np.linalg.eigh(moments / np.outer(self._deviation, self._deviation))
        turned = (self._axes / self._deviation[:, None]).astype(np.float32)
        self._scores = np.empty(x.shape, np.float32)
        for rows, chunk in self._chunks():
            self._scores[rows] = (chunk - self._mean).astype(np.float32) @ turned
        q = self._loss.frequencies()
        self._varies = (q > 0) & (q < 1)
        self._curvature = np.outer(np.maximum(self._variance, 0), q * (1 - q))[:, self._varies]

    def solve(self, strength: float, start: Floats | None = None, *, exact: bool = True, threads: int = 1) -> Floats:
        """Returns weights [F + 1, K'] of the standardised features along their principal axes, the bias last.

        Args:
            strength: of the L2 term.
            start: a solution to begin with.
            exact: in float64, as far as it goes; else in float32, near enough to compare strengths.
            threads: that compute; the solution does not depend on them.
        """
        labels = int(self._varies.sum())
        scale = np.vstack([np.sqrt(self._curvature + strength), np.full((1, labels), 0.5)])
        begin = np.zeros_like(scale) if start is None else start
        if not labels:
            return begin

        def value(flat: Floats) -> tuple[float, Floats, Floats]:
            weights = flat.reshape(scale.shape) / scale
            loss, gradient, logits = self._at(weights, exact)
            gradient[:-1] += strength * weights[:-1]
            penalty = strength / 2 * float((weights[:-1] ** 2).sum())
            return loss + penalty, (gradient / scale).ravel(), logits

        def curvature(logits: Floats) -> Callable[[Floats], Floats]:
            multiplied = self._loss.curvature(logits)

            def product(flat: Floats) -> Floats:
                change = flat.reshape(scale.shape) / scale
                found = sum(pool.map(functools.partial(self._product, multiplied, change), self._parts()), 0 * change)
                found[:-1] += strength * change[:-1]
                return np.asarray(found / scale, np.float64).ravel()

            return product

        with ThreadPoolExecutor(threads) as pool, threadpool_limits(1, "blas"):
            solved = _minimum(value, curvature, (begin * scale).ravel(), _TIGHT if exact else _LOOSE)
        return solved.reshape(scale.shape) / scale

    def _parts(self) -> list[slice]:
        """The rows, in parts that threads compute; they do not depend on the number of threads."""
        ends = [len(self._scores) * part // _PARTS for part in range(_PARTS + 1)]
        return [slice(begin, end) for begin, end in itertools.pairwise(ends) if begin < end]

    def _product(self, multiplied: Callable[[Floats, slice], Floats], change: Floats, part: slice) -> Floats:
        """The curvature of some rows, without the L2 term, times a change of the weights [F + 1, K'].

        The features are read from memory once, not once for each of two products, since some rows stay in the cache.
        """
        found, kernel = np.zeros_like(change), change[:-1].astype(np.float32)
        count = max(_CACHED // kernel[:, 0].nbytes, len(self._varies) // 2, 1)
        for begin in range(part.start, part.stop, count):
            rows = slice(begin, min(begin + count, part.stop))
            scores = self._scores[rows]
            moved = scores @ kernel + change[-1]
            if not self._varies.all():
                moved, some = np.zeros((len(scores), len(self._varies))), moved
                moved[:, self._varies] = some
            slope = multiplied(moved, rows)[:, self._varies]
            found[:-1] += scores.T @ slope.astype(np.float32)
            found[-1] += slope.sum(axis=0)
        return found

    def loss(self, solved: Floats) -> float:
        """Mean loss on the examples, without the L2 term and without the labels that do not vary."""
        return self._at(solved, exact=False)[0]

    def layer(self, solved: Floats) -> tuple[Floats, Floats]:
        """Returns kernel [F, K] and bias [K] for the features as they are."""
        kernel = np.zeros((len(self._mean), len(self._varies)))
        kernel[:, self._varies] = self._axes @ solved[:-1] / self._deviation[:, None]
        bias = self._smoothed()
        bias[self._varies] = solved[-1] - self._mean @ kernel[:, self._varies]
        if self.exclusive and self._varies.any():  # relative to the others, whose logits have this size
            bias[~self._varies] += scipy.special.logsumexp(solved[-1])
        return kernel, bias

    def near(self, layer: tuple[Floats, Floats]) -> Floats:
        """Returns the weights that `layer` would turn into this kernel and bias; to begin with, see `solve`."""
        kernel, bias = (values[..., self._varies] for values in layer)
        return np.vstack([self._axes.T @ (kernel * self._deviation[:, None]), bias + self._mean @ kernel])

    def _smoothed(self) -> Floats:
        """Logit of Platt's smoothed frequency of each label; for exclusive labels its logarithm."""
        weight, applies = self._loss.weight, self._loss.applies
        n = np.broadcast_to((weight > 0), applies.shape).sum(axis=0)
        share = ((applies * (weight > 0)).sum(axis=0) + 1) / (n + 2)
        return np.asarray(np.log(share) if self.exclusive else scipy.special.logit(share), np.float64)

    def _at(self, weights: Floats, exact: bool) -> tuple[float, Floats, Floats]:
        """Loss, its slope [F + 1, K'] and the logits [n, K] at weights as of `solve`."""
        kernel = self._axes @ weights[:-1] / self._deviation[:, None]
        if exact:
            logits = np.concatenate([chunk @ kernel for _, chunk in self._chunks()]) - self._mean @ kernel
        else:
            logits = (self._scores @ weights[:-1].astype(np.float32)).astype(np.float64)
        whole = np.full((len(logits), len(self._varies)), _ABSENT if self.exclusive else 0.0)
        whole[:, self._varies] = logits + weights[-1]
        loss, slope = self._among(whole)
        total = slope.sum(axis=0)
        if not exact:
            return loss, np.vstack([self._scores.T @ slope.astype(np.float32), total]).astype(np.float64), whole
        raw = sum((chunk.T @ slope[rows] for rows, chunk in self._chunks()), np.zeros_like(kernel))
        turned = self._axes.T @ ((raw - np.outer(self._mean, total)) / self._deviation[:, None])
        return loss, np.vstack([turned, total]), whole

    def _among(self, logits: Floats) -> tuple[float, Floats]:
        """Loss and slope of the labels that vary."""
        if self._varies.all():
            return self._loss(logits)
        loss, slope = self._loss(logits)
        if not self.exclusive:
            loss -= float((self._loss._share * self._loss._losses(logits))[:, ~self._varies].sum())
        return loss, slope[:, self._varies]

    def _chunks(self) -> Iterator[tuple[slice, Floats]]:
        """The features in float64, some rows at a time."""
        features = self._examples.features
        for begin in range(0, len(features), _CHUNK):
            rows = slice(begin, begin + _CHUNK)
            yield rows, features[rows].astype(np.float64)


def _minimum(
    value: Callable[[Floats], tuple[float, Floats, Floats]],
    curvature: Callable[[Floats], Callable[[Floats], Floats]],
    begin: Floats,
    tolerance: float,
) -> Floats:
    """Finds the minimum of a convex function, by Newton's method with inexact steps.

    Args:
        value: point [n] -> function, slope [n], and what `curvature` takes.
        curvature: of it, makes what multiplies a vector [n] by the second derivatives at the point.
        begin: where to begin.
        tolerance: largest slope of the answer.
    """
    point, (loss, slope, state) = begin, value(begin)
    for _ in range(_MOST_STEPS):
        steepest = float(np.abs(slope).max())
        if steepest <= tolerance:
            break
        # The nearer, the more exact: the number of right digits then grows by half in each step.
        size = len(point), len(point)
        operator = scipy.sparse.linalg.LinearOperator(size, matvec=curvature(state), dtype=np.float64)
        step, _ = scipy.sparse.linalg.cg(operator, -slope, rtol=min(0.1, steepest**0.5), maxiter=_MOST_PRODUCTS)
        downhill, share = float(slope @ step), 1.0
        for _ in range(_MOST_HALVINGS):
            following = value(point + share * step)
            # Near the minimum, the function differs by less than it is computed to, and the slope decides.
            flatter = float(np.abs(following[1]).max()) < steepest / 2
            if following[0] <= loss + _DECREASE * share * downhill or flatter:
                break
            share /= 2
        else:
            break  # no better point can be told apart
        point, (loss, slope, state) = point + share * step, following
    return point
