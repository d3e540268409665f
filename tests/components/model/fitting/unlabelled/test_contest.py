"""Whether a method is better beyond chance: losses by hand, intervals by simulation."""

import numpy as np
import pytest

from components.data.features import IGNORED_ID
from components.model.fitting.unlabelled import contest
from components.model.fitting.unlabelled.contest import Judged

rng = np.random.default_rng(8)


def judged(losses: np.ndarray, right: float = 0.5) -> Judged:
    return Judged(losses, np.ones(len(losses)), np.full(len(losses), right))


def test_losses_are_those_at_the_best_temperature() -> None:
    """Three of four answers are right, with the same logits: the best probability is 3/4 for all four."""
    logits = np.tile([[8.0, 0.0]], (4, 1))
    target = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], float)
    found = Judged.of(logits, target, np.ones(4), exclusive=True)
    np.testing.assert_allclose(found.losses, [-np.log(0.75)] * 3 + [-np.log(0.25)], atol=1e-4)
    np.testing.assert_array_equal(found.right, [1, 1, 1, 0])


def test_of_several_labels_the_known_ones_count_and_images_without_any_are_left_out() -> None:
    """With logits of 0, every known label costs log 2, whatever the temperature."""
    target = np.array([[1, 0, -1], [-1, -1, -1], [0, -1, -1]], float)
    found = Judged.of(np.zeros((3, 3)), target, np.array([1.0, 9.0, 2.0]), exclusive=False)
    np.testing.assert_allclose(found.losses, np.log(2))
    np.testing.assert_array_equal(found.weight, [1, 2])
    np.testing.assert_allclose(found.right, [1 / 2, 1])  # a logit of 0 says no


def test_of_masks_an_image_counts_once_however_many_pixels_are_known() -> None:
    logits = np.zeros((2, 1, 2, 2))
    logits[0, 0, 0] = [np.log(3), 0]  # probabilities 3/4 and 1/4; elsewhere 1/2
    masks = np.array([[[0, 1]], [[IGNORED_ID, IGNORED_ID]]])
    found = Judged.of_masks(logits, masks, np.array([2.0, 1.0]))
    np.testing.assert_allclose(found.losses, [(-np.log(3 / 4) - np.log(1 / 2)) / 2])
    np.testing.assert_allclose(found.right, [0.5])
    np.testing.assert_array_equal(found.weight, [2.0])


@pytest.mark.parametrize(
    ("shift", "right", "better"),
    [(-0.5, 0.5, True), (0.5, 0.5, False), (-0.02, 0.5, False), (-0.5, 0.4, False)],
    ids=["lower", "higher", "lower by chance", "lower, but fewer are right"],
)
def test_it_is_better_if_the_loss_is_lower_beyond_chance(shift: float, right: float, better: bool) -> None:
    plain = rng.exponential(size=200)
    other = plain + shift + rng.normal(size=200)
    outcome = contest.compare(judged(plain), judged(other, right), 1)
    assert outcome.better is better
    assert outcome.low < outcome.difference < outcome.high
    np.testing.assert_allclose(outcome.difference, (other - plain).mean())


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Of 300 comparisons without a difference, 2.5 % should look better: 7.5, and 16 or more in 1 of 250 cases."""
    wrong = 0
    for seed in range(300):
        own = np.random.default_rng(seed)
        plain = own.exponential(size=150)
        wrong += contest.compare(judged(plain), judged(plain + own.normal(size=150)), seed).better
    assert wrong < 16


def test_weights_count() -> None:
    """The image of weight 0 does not count, however much it differs."""
    plain, other = np.array([1.0, 1.0, 1.0]), np.array([0.5, 0.5, 100.0])
    weight = np.array([1.0, 1.0, 0.0])
    right = np.ones(3)
    outcome = contest.compare(Judged(plain, weight, right), Judged(other, weight, right), 1)
    np.testing.assert_allclose(outcome.difference, -0.5)
