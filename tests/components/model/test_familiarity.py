"""Distances against every pair in NumPy, and what holds for familiarity as a percentile."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.model import familiarity


def directions(n: int, width: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def kth_nearest(features: np.ndarray, reference: np.ndarray, k: int) -> np.ndarray:
    """In float64, pair by pair."""
    found = []
    for row in features.astype(np.float64):
        unit = row / np.linalg.norm(row)
        all_of_them = [np.linalg.norm(unit - r / np.linalg.norm(r)) for r in reference.astype(np.float64)]
        found.append(sorted(all_of_them)[k - 1])
    return np.array(found)


@pytest.mark.parametrize("k", [1, 2, 7, 20])
def test_a_distance_is_that_of_the_kth_nearest_neighbour(k: int) -> None:
    features, reference = directions(30, seed=1), directions(20)
    found = familiarity.distances(features, familiarity.normalised(reference), k)
    np.testing.assert_allclose(found, kth_nearest(features, reference, k), rtol=1e-4)


@pytest.mark.parametrize(("images", "k"), [(1, 1), (20, 1), (149, 1), (160, 2), (400, 4)])
def test_k_is_a_hundredth_of_the_training_images(images: int, k: int) -> None:
    train, evaluation = directions(images), directions(12, seed=1)
    reference = familiarity.fit(train, evaluation)
    assert reference.neighbour == k
    assert reference.features.shape == (images, 8)
    np.testing.assert_allclose(reference.distances, np.sort(kth_nearest(evaluation, train, k)), rtol=1e-4)


def test_familiarity_matches_a_calculation_by_hand() -> None:
    # Of length 1: (1, 0) and (0, 1). The eval images lie 90°, 60° and 45° from the nearest: 2 sin(angle / 2).
    train, evaluation = np.array([[2.0, 0.0], [0.0, 9.0]]), np.array([[-1.0, 0.0], [3.0, 3.0], [0.5, -np.sqrt(0.75)]])
    reference = familiarity.fit(train, evaluation)
    np.testing.assert_allclose(reference.features, [[1, 0], [0, 1]])
    np.testing.assert_allclose(reference.distances, [2 * np.sin(np.pi / 8), 1, np.sqrt(2)], rtol=1e-6)
    distances = np.array([0.0, 0.7, 0.8, 1.0, 1.2, 1.5], np.float32)
    # As far away or farther: all three; all three; two; two, one of them as far; one; none.
    found = familiarity.familiarity(distances, np.array([0.75, 1.0, 1.25], np.float32))
    np.testing.assert_allclose(found, [1, 1, 2 / 3, 2 / 3, 1 / 3, 0], rtol=1e-6)


def test_only_the_direction_of_features_counts_and_zero_has_none() -> None:
    features, reference = directions(5, seed=1), familiarity.normalised(directions(9))
    lengths = np.array([[1e-3], [0.1], [1], [10], [1e4]])
    one, other = (familiarity.distances(f, reference, 1) for f in (features, features * lengths))
    np.testing.assert_allclose(one, other, rtol=1e-4)
    np.testing.assert_array_equal(familiarity.normalised(np.zeros((2, 8), np.float32)), 0)
    np.testing.assert_allclose(familiarity.distances(np.zeros((1, 8)), reference, 1), np.sqrt(2))


WIDTHS = st.floats(0, 2, width=32)
DISTANCES = st.lists(WIDTHS, min_size=1, max_size=30).map(lambda d: np.sort(np.array(d, np.float32)))


@given(DISTANCES, st.lists(WIDTHS, min_size=1, max_size=30))
def test_familiarity_is_the_share_that_is_as_far_or_farther(eval_distances: np.ndarray, asked: list[float]) -> None:
    distances = np.sort(np.array(asked, np.float32))
    found = familiarity.familiarity(distances, eval_distances)
    np.testing.assert_allclose(found, [(eval_distances >= d).mean() for d in distances], atol=1e-6)
    assert ((found >= 0) & (found <= 1)).all()
    assert (np.diff(found) <= 0).all()
    [beyond] = familiarity.familiarity(np.nextafter(eval_distances[-1:], np.float32(9)), eval_distances)
    assert beyond == 0


def test_more_eval_images_than_are_carried_give_nearly_the_same() -> None:
    train, evaluation, asked = directions(50), directions(5000, seed=1), directions(200, seed=2)
    reference = familiarity.fit(train, evaluation)
    assert len(reference.distances) == 1000
    distances = familiarity.distances(asked, reference.features, 1)
    all_of_them = np.sort(familiarity.distances(evaluation, reference.features, 1))
    np.testing.assert_allclose(
        familiarity.familiarity(distances, reference.distances),
        familiarity.familiarity(distances, all_of_them),
        atol=2e-3,
    )
    assert reference.distances[[0, -1]].tolist() == all_of_them[[0, -1]].tolist()


@pytest.mark.parametrize("images", [150, 400])
def test_one_odd_training_image_makes_nothing_familiar(images: int) -> None:
    """The others lie about one direction, the odd one opposite."""
    ahead = np.eye(8, dtype=np.float32)[0]
    train, evaluation = (ahead + directions(n, seed=s) / 9 for n, s in ((images, 0), (40, 1)))
    train[17] = -ahead
    reference = familiarity.fit(train, evaluation)
    distances = familiarity.distances(np.stack([-ahead, ahead]), reference.features, reference.neighbour)
    assert familiarity.familiarity(distances, reference.distances)[0] == 0
    assert familiarity.familiarity(distances, reference.distances)[1] > 0.5
