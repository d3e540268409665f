"""Label propagation against scikit-learn and a closed form; and what it refuses."""

import numpy as np
import pytest
from sklearn.semi_supervised import LabelSpreading

from components.model.fitting.unlabelled import propagation
from components.model.fitting.unlabelled.propagation import Refused

rng = np.random.default_rng(3)


def blobs(counts: list[int], spread: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Points around directions of space, as many of each as asked for, and their number."""
    kind = np.repeat(np.arange(len(counts)), counts)
    return np.eye(len(counts))[kind] * 4 + rng.normal(size=(len(kind), len(counts))) * spread, kind


def test_it_is_the_label_spreading_of_scikit_learn_on_the_same_graph() -> None:
    """scikit-learn normalises W as D^-1/2 W D^-1/2 and iterates F = alpha S F + (1 - alpha) Y with the same S."""
    points, _ = blobs([20, 20, 20], 1.5)
    given = np.full(60, -1)
    given[[0, 20, 40]] = [0, 1, 2]
    graph = propagation.neighbours(points)
    y = np.zeros((60, 3))
    y[[0, 20, 40], [0, 1, 2]] = 1
    closed = 0.1 * np.linalg.solve(np.eye(60) - 0.9 * graph.toarray(), y)
    found = propagation._iterated(graph, y)
    np.testing.assert_allclose(found, closed, atol=1e-4)

    affinity = np.exp(-_squared(points) / (2 * _scale(points))) * _near(points)
    peer = LabelSpreading(kernel=lambda *_: affinity, alpha=0.9, max_iter=1000, tol=1e-9).fit(points, given)
    expected = peer.label_distributions_
    np.testing.assert_allclose(found / found.sum(axis=1, keepdims=True), expected, atol=1e-4)


def _unit(points: np.ndarray) -> np.ndarray:
    centred = points - points.mean(axis=0)
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)


def _squared(points: np.ndarray) -> np.ndarray:
    unit = _unit(points)
    return ((unit[:, None] - unit[None]) ** 2).sum(axis=2)


def _order(points: np.ndarray) -> np.ndarray:
    return np.argsort(_squared(points) + np.diag(np.full(len(points), -1.0)), axis=1)[:, 1:11]


def _scale(points: np.ndarray) -> float:
    return float(np.take_along_axis(_squared(points), _order(points), axis=1).mean())


def _near(points: np.ndarray) -> np.ndarray:
    near = np.zeros((len(points), len(points)), bool)
    np.put_along_axis(near, _order(points), True, axis=1)
    return near | near.T


def test_clusters_get_the_label_of_their_only_labelled_image_and_are_sure_of_it() -> None:
    points, kind = blobs([30, 30, 30])
    first = [0, 30, 60]
    rest = np.setdiff1d(np.arange(90), first)
    guess = propagation.spread(points[first], np.eye(3), points[rest], exclusive=True)
    np.testing.assert_array_equal(guess.target.argmax(axis=1), kind[rest])
    np.testing.assert_allclose(guess.target.sum(axis=1), 1, rtol=1e-6)
    assert guess.weight.min() > 0.9
    assert (guess.target.dtype, guess.weight.dtype) == (np.float32, np.float32)


def test_a_rare_label_is_not_swallowed_by_a_common_one() -> None:
    """The second label has 8 of 80 images on both sides; half-way between the clusters, mass decides."""
    points, kind = blobs([72, 8], 0.6)
    known = [*range(9), 72]
    rest = np.setdiff1d(np.arange(80), known)
    guess = propagation.spread(points[known], np.eye(2)[kind[known]], points[rest], exclusive=True)
    assert (guess.target.argmax(axis=1)[kind[rest] == 1] == 1).all()


def test_several_labels_spread_each_by_itself_and_unknown_entries_take_no_part() -> None:
    points, kind = blobs([25, 25])
    first = [0, 1, 25, 26]
    rest = np.setdiff1d(np.arange(50), first)
    # The first label applies to the first cluster; of the second, nothing is known in it.
    target = np.array([[1, -1], [1, -1], [0, 1], [0, 1]], float)
    guess = propagation.spread(points[first], target, points[rest], exclusive=False)
    np.testing.assert_array_equal(guess.target[:, 0] > 0.5, kind[rest] == 0)
    assert (guess.target[kind[rest] == 1, 1] > 0.5).all()
    unknown = propagation.spread(points[first], np.full((4, 2), -1.0), points[rest], exclusive=False)
    assert (unknown.target == -1).all()
    assert (unknown.weight == 0).all()


def test_a_result_that_collapses_to_one_label_is_refused() -> None:
    """All images without a label are like the first two of 16 labelled ones; the others have each other."""
    points, _ = blobs([100, 14])
    first = [0, 1, *range(100, 114)]
    target = np.eye(2)[[0] * 2 + [1] * 14]
    with pytest.raises(Refused, match="100% of the images would get the same label"):
        propagation.spread(points[first], target, points[2:100], exclusive=True)


def test_a_kernel_that_underflows_and_answers_that_are_not_finite_are_refused() -> None:
    """Of 24 points, 20 are equal and 4 are opposite: all distances between neighbours but a few are 0."""
    with pytest.raises(Refused, match="not finite"):
        propagation.neighbours(np.array([[0.0, np.nan], [1.0, 0.0]]))
    far = np.zeros((40, 40))
    np.fill_diagonal(far, 1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "exp", np.zeros_like)
        with pytest.raises(Refused, match="underflows"):
            propagation.neighbours(far)


def test_equal_points_are_neighbours_of_each_other() -> None:
    graph = propagation.neighbours(np.array([[1.0, 0.0]] * 5 + [[0.0, 1.0]] * 5))
    assert np.isfinite(graph.toarray()).all()
