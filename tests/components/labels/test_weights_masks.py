"""Weights of masks and of unknown labels: worked by hand, SegNet's published table, and the same inside a graph."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.labels.weights import image_counts, label_weights, pixel_counts

CAMVID = Path(__file__).parents[4] / "shared" / "data" / "camvid"
# The Caffe model that goes with Badrinarayanan et al. 2017, for the masks as first published.
SEGNET = [0.2595, 0.1826, 4.5640, 0.1417, 0.9051, 0.3826, 9.6446, 1.8418, 0.6823, 6.2478, 7.3614]
# The same rule for the masks in use today.
TODAY = [0.2565, 0.1853, 4.3963, 0.1369, 0.9185, 0.3873, 3.5331, 1.8127, 0.7246, 5.8550, 8.1365]

# Two masks of 10 pixels and three labels, of which the last is nowhere.
PIXELS = np.array([[6, 2, 0], [5, 0, 0]])
IGNORED = np.array([2, 5])


def weights(pixels: np.ndarray, ignored: np.ndarray, count_ignored: bool) -> np.ndarray:
    own, total = pixel_counts(pixels, ignored, count_ignored=count_ignored)
    return label_weights(own.sum(axis=0), total.sum(axis=0), pixels.shape[1])


def in_graph(pixels: np.ndarray, ignored: np.ndarray, count_ignored: bool) -> np.ndarray:
    xp = tf.experimental.numpy

    @tf.function(input_signature=[tf.TensorSpec([None, pixels.shape[1]], tf.int64), tf.TensorSpec([None, 1], tf.int64)])
    def graph(pixels: tf.Tensor, ignored: tf.Tensor) -> tf.Tensor:
        own, total = (tf.reduce_sum(x, axis=0) for x in pixel_counts(pixels, ignored, xp, count_ignored=count_ignored))
        return label_weights(own, total, pixels.shape[1], xp)

    return graph(pixels.astype(np.int64), ignored.astype(np.int64)[:, None]).numpy()


@pytest.mark.parametrize("compute", [weights, in_graph])
def test_ignored_pixels_count_nowhere(compute) -> None:
    # The first label: 11 pixels of 8 + 5 = 13; the second: 2 of 8. Frequencies 11/13 and 1/4, median 57/104.
    expected = [57 / 104 * 13 / 11, 57 / 104 * 4, 0]
    np.testing.assert_allclose(compute(PIXELS, IGNORED, False), expected, rtol=1e-14)


@pytest.mark.parametrize("compute", [weights, in_graph])
def test_ignored_pixels_may_count_as_one_more_class(compute) -> None:
    # Frequencies 11/20, 2/10, and 7/20 of the ignored, which is the median and has no weight of its own.
    expected = [7 / 20 * 20 / 11, 7 / 20 * 10 / 2, 0]
    np.testing.assert_allclose(compute(PIXELS, IGNORED, True), expected, rtol=1e-14)


def test_the_images_of_a_label_are_those_in_which_it_is_known() -> None:
    target = np.array([[1, 1], [1, 0], [0, -1], [0, -1], [-1, -1]], np.float32)
    own, total = (x.sum(axis=0) for x in image_counts(target))
    assert (own.tolist(), total.tolist()) == ([2, 1], [4, 2])
    # Both apply to half of the images that say so.
    np.testing.assert_allclose(label_weights(own, total, 2), [1, 1])
    # Without knowing who knows, the second would be rare: 2 and 1, median 1.5.
    np.testing.assert_allclose(label_weights(own, np.ones(2), 2), [0.75, 1.5])


def test_a_label_that_is_never_known_weighs_nothing() -> None:
    assert label_weights([3, 0], [4, 0], 2).tolist() == [1, 0]


def test_a_graph_counts_images_as_numpy_does() -> None:
    target = np.array([[1, -1], [0, 1]], np.float32)
    graph = tf.function(lambda x: image_counts(x, tf.experimental.numpy))
    for found, expected in zip(graph(target), image_counts(target), strict=True):
        assert found.dtype == tf.int64
        np.testing.assert_array_equal(found, expected)


def histograms(folder: Path) -> np.ndarray:
    """[n, 12]: pixels of CamVid's eleven classes and of void in each mask."""
    masks = [np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))]
    assert len(masks) == 367
    return np.stack([np.bincount(m.ravel(), minlength=12) for m in masks])


@pytest.mark.real_images
@pytest.mark.skipif(not CAMVID.is_dir(), reason="the folder of real images is not here: ../shared/data")
@pytest.mark.parametrize("compute", [weights, in_graph])
@pytest.mark.parametrize(("folder", "published"), [("trainannot_2015_11_10", SEGNET), ("trainannot", TODAY)])
def test_the_weights_published_for_segnet_come_out_to_four_digits(compute, folder: str, published: list[float]) -> None:
    pixels = histograms(CAMVID / folder)
    found = compute(pixels[:, :11], pixels[:, 11], True)
    assert [f"{w:.4f}" for w in found] == [f"{w:.4f}" for w in published]
