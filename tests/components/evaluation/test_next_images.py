"""Which images to label next: uncertainty worked out by hand, and the choice of different images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.evaluation import next_images
from components.labels import kinds, outputs

SINGLE, MULTI, MASK = kinds.KINDS.values()
NAMES = np.array([[b"a", b"b", b"c"]] * 2)


def test_one_label_is_uncertain_where_the_two_likeliest_are_close() -> None:
    probabilities = [[0.1, 0.6, 0.3], [0.0, 1.0, 0.0]]
    found = next_images.uncertainty({outputs.PROBABILITIES: probabilities, outputs.LABELS: NAMES}, SINGLE)
    assert found == pytest.approx([0.7, 0.0])


def test_a_detector_is_uncertain_where_its_label_is_unlikely() -> None:
    assert next_images.margin([[0.25], [1.0]]).tolist() == [0.75, 0.0]


def test_several_labels_are_uncertain_by_their_mean_entropy() -> None:
    found = next_images.uncertainty({outputs.PROBABILITIES: [[0.5, 0.25], [0.0, 1.0]]}, MULTI)
    of_a_quarter = 0.25 * 2 + 0.75 * np.log2(4 / 3)
    assert found == pytest.approx([(1 + of_a_quarter) / 2, 0.0])


def test_a_mask_is_uncertain_by_the_mean_of_its_pixels() -> None:
    confidence = np.array([[[0.5, 1.0], [1.0, 1.0]], [[1 / 3, 1 / 3], [1 / 3, 1 / 3]]])
    found = next_images.uncertainty({outputs.CONFIDENCE: confidence, outputs.LABELS: NAMES}, MASK)
    assert found == pytest.approx([0.125 * 3 / 2, 1.0])


def test_a_mask_is_described_by_the_share_of_each_label() -> None:
    mask = np.array([[[0, 0], [0, 2]], [[1, 1], [1, 1]]], np.uint8)
    found = next_images.description({outputs.MASK: mask, outputs.LABELS: NAMES}, MASK)
    assert found.tolist() == [[0.75, 0, 0.25], [0, 1, 0]]


def test_features_describe_an_image_where_the_model_gives_some() -> None:
    arrays = {outputs.PROBABILITIES: [[0.5, 0.5]], "features": np.array([[1.0, 2.0, 3.0]])}
    assert next_images.description(arrays, SINGLE).tolist() == [[1, 2, 3]]
    assert next_images.description({outputs.PROBABILITIES: [[0.5, 0.5]]}, SINGLE).tolist() == [[0.5, 0.5]]


def test_one_of_nearly_equal_images_is_left_and_small_ones_are_like_no_other() -> None:
    hashes = [np.array(words, np.uint64) for words in ([0, 0, 0, 0], [0, 0, 0, 3], [2**64 - 1, 0, 0, 0])]
    unsure = np.array([0.1, 0.9, 0.5, 0.2, 0.2])
    given_ = (list("abcde"), unsure, [*hashes, None, None])
    assert next_images.distinct(*given_, distance=2) == [1, 2, 3, 4]
    assert next_images.distinct(*given_, distance=1) == [0, 1, 2, 3, 4]
    assert next_images.distinct(*given_, distance=None) == [0, 1, 2, 3, 4]


def test_of_two_groups_one_each_is_chosen_though_one_is_more_uncertain() -> None:
    """The centre of a, b and c is at (0.9 * 0 + 0.9 * 1 + 0.9 * 5) / 2.7 = 2, to which b is nearest."""
    vectors = np.array([[0.0], [1.0], [5.0], [100.0], [101.0]])
    unsure = np.array([0.9, 0.9, 0.9, 0.3, 0.1])
    assert next_images.choose(list("abcde"), unsure, vectors, 2) == [1, 3]


def test_uncertainty_weighs_where_the_centre_is() -> None:
    """Of 0, 4 and 10 with the weights 0.1, 0.1 and 0.8, the centre is at 8.4; with equal ones, it is at 4.7."""
    vectors = np.array([[0.0], [4.0], [10.0]])
    assert next_images.choose(list("abc"), np.array([0.1, 0.1, 0.8]), vectors, 1) == [2]
    assert next_images.choose(list("abc"), np.array([0.5, 0.5, 0.5]), vectors, 1) == [1]


def test_only_the_most_uncertain_ten_times_as_many_are_clustered() -> None:
    vectors = np.array([[0.0]] * 10 + [[1000.0]])
    unsure = np.array([0.5] * 10 + [0.4])
    assert next_images.choose([f"{i:02}" for i in range(11)], unsure, vectors, 1) == [0]


def test_equal_vectors_are_chosen_by_uncertainty() -> None:
    unsure = np.array([0.1, 0.3, 0.2, 0.0])
    assert next_images.choose(list("abcd"), unsure, np.zeros((4, 2)), 3) == [1, 2, 0]


sizes = st.integers(1, 40)
tenths = st.integers(0, 10).map(lambda x: x / 10)


@given(st.data(), sizes, sizes)
def test_exactly_as_many_as_asked_for_are_chosen_and_always_the_same(data: st.DataObject, n: int, count: int) -> None:
    unsure = np.array(data.draw(st.lists(tenths, min_size=n, max_size=n)))
    vectors = np.array(data.draw(st.lists(st.tuples(tenths, tenths), min_size=n, max_size=n)), np.float64)
    paths = [f"{i}.png" for i in range(n)]
    found = next_images.choose(paths, unsure, vectors, count)
    assert len({paths[i] for i in found}) == len(found) == min(count, n)
    assert [unsure[i] for i in found] == sorted((unsure[i] for i in found), reverse=True)
    assert next_images.choose(paths, unsure, vectors, count) == found
