"""Pseudo-labels: which answers of a network are sure enough, by hand."""

import numpy as np
import pytest

from components.model.fitting.unlabelled import pseudo


def near(found: object, expected: object) -> None:
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5, atol=1e-7)


def test_states_of_exclusive_labels_are_a_softmax() -> None:
    near(pseudo.states(np.log([[1.0, 3.0]]), exclusive=True), [[0.25, 0.75]])


def test_states_of_independent_labels_are_pairs() -> None:
    """sigmoid(log 3) = 3 / 4."""
    near(pseudo.states(np.log([[1.0, 3.0]]), exclusive=False), [[[0.5, 0.5], [0.25, 0.75]]])


def test_alignment_divides_by_the_mean_and_multiplies_by_the_share() -> None:
    """0.6 * 0.5 / 0.75 = 0.4 and 0.4 * 0.5 / 0.25 = 0.8, divided by their sum 1.2."""
    found = pseudo.aligned(np.float32([[0.6, 0.4]]), np.float32([0.5, 0.5]), np.float32([0.75, 0.25]))
    near(found, [[1 / 3, 2 / 3]])


def test_alignment_changes_nothing_where_the_mean_is_the_share() -> None:
    shares = np.float32([[0.9, 0.1], [0.5, 0.5]])
    answers = np.float32([[[0.3, 0.7], [0.2, 0.8]]])
    near(pseudo.aligned(answers, shares, shares), answers)


def test_a_label_without_images_gets_none() -> None:
    near(pseudo.aligned(np.float32([[0.9, 0.1]]), np.float32([0, 1]), np.float32([0, 1])), [[0, 1]])


def test_an_answer_is_sure_from_the_threshold_on() -> None:
    answers = np.float32([[0.75, 0.25], [0.7, 0.3], [0.25, 0.75]])
    near(pseudo.sure(answers, 0.75), [[1, 0], [0, 0], [0, 1]])


def test_each_state_has_its_own_threshold() -> None:
    answers = np.float32([[0.7, 0.3], [0.3, 0.7]])
    near(pseudo.sure(answers, np.float32([0.9, 0.5])), [[0, 0], [0, 1]])


def test_of_equal_states_only_the_first_is_sure() -> None:
    near(pseudo.sure(np.float32([[0.5, 0.5]]), 0.5), [[1, 0]])


def test_pixels_and_pairs_are_sure_each_by_itself() -> None:
    answers = np.float32([[[[0.9, 0.1], [0.4, 0.6]]]])
    near(pseudo.sure(answers, np.float32([0.8, 0.8])), [[[[1, 0], [0, 0]]]])


@pytest.mark.parametrize(
    ("learnt", "shares", "expected"),
    [
        # All sure: beta = 0.3 / 0.6 = 1 / 2 and 0.1 / 0.6 = 1 / 6; beta / (2 - beta) = 1 / 3 and 1 / 11.
        ([0.6, 0.3, 0.1], [1 / 3, 1 / 3, 1 / 3], [1, 1 / 3, 1 / 11]),
        # Warm-up: 0.7 are not sure, which is more than 0.2, so beta = 0.2 / 0.7 = 2 / 7 and 1 / 7: 2 / 12 and 1 / 13.
        ([0.2, 0.1], [0.5, 0.5], [1 / 6, 1 / 13]),
        # 0.8 / (2 * 0.8) = 0.5 and 0.2 / (2 * 0.2) = 0.5: both have all that they can have.
        ([0.8, 0.2], [0.8, 0.2], [1, 1]),
        # 0.8 / 1.6 = 0.5 and 0.1 / 0.4 = 0.25: beta = 1 and 1 / 2.
        ([0.8, 0.1], [0.8, 0.2], [1, 1 / 3]),
        ([0, 0], [0.5, 0.5], [0, 0]),
        # Two labels with two states each, which are compared by pair.
        ([[0.5, 0.5], [0.8, 0.1]], [[0.5, 0.5], [0.8, 0.2]], [[1, 1], [1, 1 / 3]]),
    ],
)
def test_thresholds_are_those_of_flexmatch(learnt: object, shares: object, expected: object) -> None:
    found = pseudo.thresholds(np.float32(learnt), np.float32(shares), 0.9)
    near(found, 0.9 * np.asarray(expected))


def test_no_threshold_is_lower_than_the_lowest() -> None:
    """As above, 0.9 * (1, 1 / 3, 1 / 11) = 0.9, 0.3 and 0.08."""
    found = pseudo.thresholds(np.float32([0.6, 0.3, 0.1]), np.float32([1 / 3] * 3), 0.9, 0.25)
    near(found, [0.9, 0.3, 0.25])


def test_means_are_weighted() -> None:
    near(pseudo.mean(np.float32([[1, 0], [0, 1], [1, 1]]), np.float32([1, 3, 0])), [0.25, 0.75])
    near(pseudo.mean(np.float32([[[1, 0]], [[0, 1]]]), np.float32([1, 3])), [[0.25, 0.75]])
    near(pseudo.mean(np.float32([[1, 0]]), np.float32([0])), [0, 0])


def test_means_of_pixels_are_over_all_pixels() -> None:
    """Of one image, three of four pixels have the second state."""
    pixels = np.eye(2, dtype=np.float32)[np.array([[[0, 1], [1, 1]]])]
    near(pseudo.mean(pixels, np.float32([1])), [0.25, 0.75])
