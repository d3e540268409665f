"""Masks: loss, gradient and metrics against float64 NumPy, decoding that never invents an id, and the decoder."""

import io

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from reference import loss_and_gradient

from components.base.errors import ConfigError
from components.data.features import IGNORED_ID
from components.labels.learning import pixels

RANDOM = np.random.default_rng(2)
LOGITS = RANDOM.normal(scale=3, size=(3, 4, 5, 4)).astype(np.float32)
TARGET = RANDOM.choice([0, 1, 2, IGNORED_ID], size=(3, 4, 5)).astype(np.uint8)  # 3 is answered, but nowhere the truth
TARGET[1, 2:] = IGNORED_ID
KNOWN = TARGET != IGNORED_ID
TRUTH = np.where(KNOWN, TARGET, 0)
EXAMPLE = np.array([1, 0.5, 3], np.float32)
LABEL = [0.5, 2.0, 7.0, 0.0]


def entropy(logits: np.ndarray) -> np.ndarray:
    return reference.softmax_entropy(logits.reshape(-1, 4), TRUTH.ravel()).reshape(TRUTH.shape)


@pytest.mark.parametrize("example", [None, EXAMPLE], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("label", [None, LABEL], ids=["all alike", "label weights"])
@pytest.mark.parametrize(
    "focal",
    [{}, {"gamma": 2.0}, {"gamma": 0.5, "alpha": 0.3}, {"gamma": 1.0, "alpha": [0.1, 0.4, 0.0, 1.0]}],
    ids=["cross-entropy", "focal", "focal, one alpha", "focal, alpha per label"],
)
def test_loss_and_gradient_match_numpy(example, label, focal) -> None:
    def expected(logits: np.ndarray) -> float:
        alpha = np.broadcast_to(focal.get("alpha", 1.0), 4)[TRUTH]
        loss = alpha * reference.focal(entropy(logits), focal.get("gamma", 0))
        weight = KNOWN * (1 if label is None else np.array(label)[TRUTH])
        return reference.weighted_mean(loss, weight * (1 if example is None else example[:, None, None]))

    loss = pixels.loss("focal" if focal else "cross_entropy", weights=label, **focal)
    value, slope = loss_and_gradient(loss, TARGET, LOGITS, example)
    assert value == pytest.approx(expected(LOGITS), rel=1e-5)
    np.testing.assert_allclose(slope, reference.gradient(expected, LOGITS), atol=1e-6)
    assert not slope[~KNOWN].any()


def test_a_small_loss_matches_a_calculation_by_hand() -> None:
    # Three pixels: p = 3/4 of weight 2, p = 1/2 of weight 1, ignored. (2 log 4/3 + log 2) / 3
    logits = np.array([[[[np.log(3), 0], [0, 0], [9, -9]]]], np.float32)
    loss = pixels.loss(weights=[2.0, 1.0])
    expected = (2 * np.log(4 / 3) + np.log(2)) / 3
    assert float(loss(np.array([[[0, 1, IGNORED_ID]]], np.uint8), logits)) == pytest.approx(expected)


def test_a_mask_of_ignored_pixels_only_costs_nothing() -> None:
    value, slope = loss_and_gradient(pixels.loss("focal"), np.full_like(TARGET, IGNORED_ID), LOGITS)
    assert value == 0
    assert not slope.any()


@pytest.mark.parametrize(
    "settings", [{}, {"kind": "focal"}, {"kind": "focal", "gamma": 0.5}, {"kind": "focal", "gamma": 0}]
)
@pytest.mark.parametrize(("huge", "summed", "wrong"), [(1e4, 2e4, [1]), (-1e4, 3e4, [0, 2]), (3e37, 6e37, [1])])
def test_huge_logits_cost_their_difference(huge: float, summed: float, wrong: list[int], settings: dict) -> None:
    """-log softmax is the largest logit less the truth's; a focal factor (1 - p)^gamma is 1 at p = 0, and 0 at p = 1.

    The truths are 0, 0, 1 and ignored. With h > 0, only the second pixel is wrong, by h - -h = 2h; with h < 0 the first
    is, by 2|h|, and the third, by |h|. The mean is over the three known pixels.
    """
    logits = np.array([[[[huge, -huge], [-huge, huge], [0, huge], [huge, huge]]]], np.float32)
    truth = np.array([[[0, 0, 1, IGNORED_ID]]], np.uint8)
    value, slope = loss_and_gradient(pixels.loss(**settings), truth, logits)
    assert value == pytest.approx(summed / 3, rel=1e-6)
    towards = np.array([[-1, 1], [-1, 1], [1, -1], [0, 0]])  # softmax less one-hot truth of a wrong pixel, by pixel
    expected = [towards[i] / 3 if i in wrong else [0, 0] for i in range(4)]
    np.testing.assert_allclose(slope[0, 0], expected, atol=1e-6)
    of_ties = 0.5  # softmax of two equal logits
    first = [1, 0] if huge > 0 else [0, 1]
    third = [0, 1] if huge > 0 else [1, 0]
    np.testing.assert_array_equal(pixels.probabilities(logits)[0, 0], [first, first[::-1], third, [of_ties] * 2])


def test_focal_loss_with_gamma_0_and_alpha_1_is_cross_entropy() -> None:
    focal, plain = pixels.loss("focal", gamma=0, alpha=1.0, weights=LABEL), pixels.loss(weights=LABEL)
    value, slope = loss_and_gradient(focal, TARGET, LOGITS)
    other_value, other_slope = loss_and_gradient(plain, TARGET, LOGITS)
    assert value == other_value
    np.testing.assert_array_equal(slope, other_slope)


def expected_metrics(weight: np.ndarray) -> tuple[float, float]:
    confusion, answer = np.zeros((4, 4)), LOGITS.argmax(axis=-1)
    for index in zip(*np.nonzero(KNOWN), strict=True):
        confusion[TARGET[index], answer[index]] += weight[index[0]]
    right, truth = np.diag(confusion), confusion.sum(axis=1)
    iou = right / (truth + confusion.sum(axis=0) - right)
    return right.sum() / truth.sum(), iou[truth > 0].mean()


@pytest.mark.parametrize("example", [None, EXAMPLE], ids=["unweighted", "weighted"])
def test_metrics_count_only_pixels_that_are_not_ignored(example) -> None:
    metrics = pixels.metrics(4)
    for i in range(3):
        for metric in metrics:
            weight = None if example is None else example[i : i + 1]
            metric.update_state(TARGET[i : i + 1], LOGITS[i : i + 1], weight)
    expected = expected_metrics(np.ones(3) if example is None else example)
    assert [float(m.result()) for m in metrics] == pytest.approx(expected, rel=1e-5)


def test_mean_iou_matches_a_calculation_by_hand() -> None:
    # Truth 0 0 0 1, answered 0 0 1 1: label 0 has 2 of 3, label 1 has 1 of 2, label 2 is nowhere. (2/3 + 1/2) / 2
    _, iou = pixels.metrics(3)
    logits = np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 2]][None, None]
    iou.update_state(np.array([[[0, 0, 0, 1, IGNORED_ID]]], np.uint8), logits)
    assert float(iou.result()) == pytest.approx(7 / 12)
    iou.reset_state()
    assert float(iou.result()) == 0


@pytest.mark.parametrize("jit", [False, True])
def test_losses_and_metrics_work_in_keras_s_own_loop(jit: bool) -> None:
    model = keras.Sequential([keras.Input((4, 5, 4)), keras.layers.Rescaling(1.0)])
    model.compile(loss=pixels.loss(weights=LABEL), metrics=pixels.metrics(4), jit_compile=jit)
    found = model.evaluate(tf.data.Dataset.from_tensors((LOGITS, TARGET, EXAMPLE)), verbose=0, return_dict=True)
    weight = KNOWN * EXAMPLE[:, None, None] * np.array(LABEL)[TRUTH]
    accuracy, iou = expected_metrics(np.ones(3))
    assert found["loss"] == pytest.approx(reference.weighted_mean(entropy(LOGITS), weight), rel=1e-5)
    assert found["pixel_accuracy"] == pytest.approx(accuracy)
    assert found["mean_iou"] == pytest.approx(iou, rel=1e-5)


def test_probabilities_sum_to_one_over_the_labels() -> None:
    found = pixels.probabilities(keras.ops.cast(LOGITS, "bfloat16"))
    assert found.dtype == "float32"
    np.testing.assert_allclose(np.sum(found, axis=-1), 1, rtol=1e-6)


# Decoding.


def png(ids: np.ndarray, mode: str = "L") -> bytes:
    out = io.BytesIO()
    Image.fromarray(ids.astype(np.uint8)).convert(mode).save(out, "PNG")
    return out.getvalue()


def test_a_mask_of_the_right_size_stays_as_it_is() -> None:
    ids = RANDOM.integers(0, 256, (7, 9)).astype(np.uint8)
    found = pixels.decode_mask(tf.constant(png(ids)), (7, 9))
    assert found.dtype == tf.uint8
    np.testing.assert_array_equal(found, ids)
    in_graph = tf.data.Dataset.from_tensors(png(ids)).map(lambda x: pixels.decode_mask(x, (7, 9)))
    assert in_graph.element_spec.shape.as_list() == [7, 9]
    np.testing.assert_array_equal(next(iter(in_graph)), ids)


def test_a_resized_pixel_is_the_one_under_its_centre() -> None:
    # From 4 to 2 the centres lie at 1 and 3, the edges of two pixels, where the right one counts; from 2 to 4 at 0.25,
    # 0.75, 1.25, 1.75.
    ids = np.array([[1, 2, 3, 4]])
    assert pixels.decode_mask(png(ids), (1, 2)).numpy().tolist() == [[2, 4]]
    assert pixels.decode_mask(png(ids[:, :2]), (1, 4)).numpy().tolist() == [[1, 1, 2, 2]]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_decoding_never_invents_an_id(data: st.DataObject) -> None:
    sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))
    present = data.draw(st.lists(st.integers(0, 255), min_size=1, max_size=4))
    ids = np.random.default_rng(data.draw(st.integers(0, 99))).choice(present, data.draw(sizes))
    size = data.draw(sizes)
    found = pixels.decode_mask(png(ids), size).numpy()
    assert found.shape == size
    assert set(found.flat) <= set(present)


@pytest.mark.parametrize("mode", ["P", "RGB", "LA", "1", "I;16"])
def test_a_png_of_other_pixels_than_ids_is_refused(mode: str) -> None:
    out = io.BytesIO()
    Image.new(mode, (3, 3)).save(out, "PNG")
    with pytest.raises(tf.errors.InvalidArgumentError, match="8-bit grey PNG"):
        pixels.decode_mask(tf.constant(out.getvalue()), (3, 3))
    data = tf.data.Dataset.from_tensors(out.getvalue()).map(lambda x: pixels.decode_mask(x, (3, 3)))
    with pytest.raises(tf.errors.InvalidArgumentError, match="8-bit grey PNG"):
        list(data)


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:40], lambda b: b"no PNG" * 9])
def test_bytes_that_are_not_a_png_are_an_error(damage) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        pixels.decode_mask(tf.constant(damage(png(TARGET[0]))), (3, 3))


# The decoder.


@pytest.mark.parametrize(
    "sizes", [[(17, 24), (9, 12), (5, 6)], [(3, 3)], [(1, 1)], [(33, 47)] * 2 + [(2, 9)] * 6], ids=str
)
def test_the_decoder_takes_maps_of_any_sizes(sizes: list[tuple[int, int]]) -> None:
    skips = [keras.Input((*size, 3 + i)) for i, size in enumerate(sizes)]
    logits = pixels.decoder(skips, (33, 47), 5)
    assert logits.shape == (None, 33, 47, 5)
    model = keras.Model(skips, logits)
    maps = [RANDOM.normal(size=(2, *size, 3 + i)).astype(np.float32) for i, size in enumerate(sizes)]
    before = model(maps).numpy()
    assert before.dtype == np.float32
    maps[0] = maps[0] + 1  # every skip connection is connected
    assert np.abs(model(maps).numpy() - before).max() > 0


def test_logits_are_resized_rather_than_labels() -> None:
    skips = [keras.Input((1, 2, 1))]
    model = keras.Model(skips, pixels.decoder(skips, (1, 4), 2))
    coarse = keras.Model(skips, model.get_layer("logits").output)
    x = np.array([[[[0.0], [1.0]]]], np.float32)
    low, high = coarse(x)[0, 0].numpy()
    # Bilinear from 2 to 4: the centres lie at -1/4, 1/4, 3/4, 5/4 of the way from the first to the second.
    expected = [low, 0.75 * low + 0.25 * high, 0.25 * low + 0.75 * high, high]
    np.testing.assert_allclose(model(x)[0, 0], expected, rtol=1e-5, atol=1e-7)


def test_one_label_alone_is_refused() -> None:
    with pytest.raises(ConfigError, match="a softmax over one unit is always 1"):
        pixels.decoder([keras.Input((2, 2, 3))], (4, 4), 1)
    with pytest.raises(ConfigError, match=r"labels\.positive"):
        pixels.loss(positive=0)


def test_the_kind_counts_its_labels() -> None:
    own, total = pixels.count(np.array([[3, 0], [2, 4]]), np.array([5, 0]))
    assert own.sum(axis=0).tolist() == [5, 4]
    assert total.sum(axis=0).tolist() == [9, 6]  # 3 + 6 where the first appears, 6 where the second does
