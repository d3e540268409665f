"""Median-frequency weights: worked by hand, compared with scikit-learn, and the same inside a TensorFlow graph."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from components.labels.weights import applied, median_frequency

COUNTS = st.lists(st.integers(0, 10**9), min_size=1, max_size=12)


def weights_of(counts: list[int]) -> np.ndarray:
    """The weights of labels that are known for every image, so that the number of images cancels."""
    return median_frequency(counts, np.ones(len(counts)))


@pytest.mark.parametrize(
    ("pixels", "image_pixels", "expected"),
    [
        # Frequencies 0.3, 0.1, 0.6: the median is 0.3.
        ([30, 10, 60], [100, 100, 100], [1, 3, 0.5]),
        # Frequencies 0.1, 0.2, 0.4, 0.8: the median is (0.2 + 0.4) / 2 = 0.3.
        ([10, 20, 40, 80], [100, 100, 100, 100], [3, 1.5, 0.75, 0.375]),
        # The third class is in one of two images of 50 pixels: 20 / 50 = 0.4, not 20 / 100. Median 0.4.
        ([30, 50, 20, 0], [100, 100, 50, 0], [4 / 3, 0.8, 1, 0]),
        # Two of the classes are nowhere: the median of 0.2 and 0.6 is 0.4, as if they were not asked for.
        ([0, 20, 0, 60], [0, 100, 100, 100], [0, 2, 0, 2 / 3]),
        ([7], [100], [1]),
        ([0, 0], [0, 0], [0, 0]),
    ],
)
def test_a_weight_is_the_median_frequency_over_the_label_s_frequency(
    pixels: list[int], image_pixels: list[int], expected: list[float]
) -> None:
    np.testing.assert_allclose(median_frequency(pixels, image_pixels), expected, rtol=1e-14)


def test_weights_of_images_follow_the_counts_of_their_labels() -> None:
    # 2, 4 and 10 images: the median is 4.
    np.testing.assert_allclose(weights_of([2, 4, 10]), [2, 1, 0.4], rtol=1e-14)


@given(COUNTS.filter(any))
def test_weight_times_frequency_is_the_median_for_every_label(counts: list[int]) -> None:
    weights = weights_of(counts)
    present = np.array(counts)[np.array(counts) > 0]
    np.testing.assert_allclose((weights * counts)[np.array(counts) > 0], np.median(present), rtol=1e-12)


@given(COUNTS)
def test_a_label_weighs_nothing_exactly_where_it_is_absent(counts: list[int]) -> None:
    weights = weights_of(counts)
    assert np.all(np.isfinite(weights))
    assert ((weights == 0) == (np.array(counts) == 0)).all()


@given(COUNTS, st.integers(1, 10**6))
def test_twice_the_data_weigh_the_same(counts: list[int], factor: int) -> None:
    np.testing.assert_allclose(weights_of([factor * n for n in counts]), weights_of(counts), rtol=1e-12)


@given(st.permutations(range(6)), st.lists(st.integers(0, 1000), min_size=6, max_size=6))
def test_the_order_of_labels_does_not_matter(order: list[int], counts: list[int]) -> None:
    np.testing.assert_allclose(weights_of(counts)[order], weights_of([counts[i] for i in order]), rtol=1e-12)


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=6))
def test_weights_are_proportional_to_scikit_learn_s(counts: list[int]) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    balanced = compute_class_weight("balanced", classes=np.arange(len(counts)), y=labels)
    ours = weights_of(counts)
    np.testing.assert_allclose(ours / ours[0], balanced / balanced[0], rtol=1e-12)


def test_a_graph_computes_the_same_as_numpy() -> None:
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64), tf.TensorSpec([None], tf.int64)])
    def graph(pixels: tf.Tensor, image_pixels: tf.Tensor) -> tf.Tensor:
        return median_frequency(pixels, image_pixels, xp=tf.experimental.numpy)

    rng = np.random.default_rng(0)
    for classes in [*range(1, 9), 100]:
        image_pixels = rng.integers(0, 10**12, classes) * rng.integers(0, 2, classes)  # half of them absent
        pixels = image_pixels // rng.integers(1, 50, classes)
        result = graph(pixels, image_pixels)
        assert result.dtype == tf.float64
        np.testing.assert_allclose(result, median_frequency(pixels, image_pixels), rtol=1e-14)


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        ("median_frequency", [0.25, 4]),
        ("square_root", [0.5, 2]),
        ("none", [1, 1]),
        ({"light": 3.0}, [1, 3]),
        ({"dark": 0.0, "light": 2.5}, [0, 2.5]),
    ],
)
def test_weights_are_those_of_the_data_or_stated(configured: str | dict[str, float], expected: list[float]) -> None:
    assert applied(configured, ["dark", "light"], lambda: [0.25, 4.0]) == expected
