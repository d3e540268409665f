"""Single labels: loss, gradient and metric against float64 NumPy, the sigmoid unit, and the encoding of names."""

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from reference import loss_and_gradient

from components.base.errors import ConfigError
from components.labels.learning import softmax

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(scale=3, size=(8, 4)).astype(np.float32)
TRUTH = np.array([0, 1, 2, 3, 0, 1, 2, 3])
KNOWN = np.array([1, 1, 0, 1, 1, 1, 0, 1], bool)
TARGET = np.where(KNOWN[:, None], np.eye(4, dtype=np.float32)[TRUTH], np.float32(-1))
EXAMPLE = np.array([1, 0.5, 7, 2, 0, 3, 1, 0.25], np.float32)
LABEL = [0.5, 2.0, 0.0, 1.5]


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
        loss = alpha * reference.focal(reference.softmax_entropy(logits, TRUTH), focal.get("gamma", 0))
        weight = KNOWN * (1 if example is None else example) * (1 if label is None else np.array(label)[TRUTH])
        return reference.weighted_mean(loss, weight)

    loss = softmax.loss("focal" if focal else "cross_entropy", weights=label, **focal)
    value, slope = loss_and_gradient(loss, TARGET, LOGITS, example)
    assert value == pytest.approx(expected(LOGITS), rel=1e-5)
    np.testing.assert_allclose(slope, reference.gradient(expected, LOGITS), atol=1e-6)
    assert not slope[~KNOWN].any()


def test_a_small_loss_matches_a_calculation_by_hand() -> None:
    # Two known examples of two labels, logits [0, 0]: each costs log 2. Weights 3 and 1 x 0.5; the third is unknown.
    target = np.array([[1, 0], [0, 1], [-1, -1]], np.float32)
    loss = softmax.loss(weights=[1.0, 0.5])
    assert float(loss(target, np.zeros((3, 2), np.float32), sample_weight=[3.0, 1.0, 9.0])) == pytest.approx(np.log(2))
    # Logits [log 3, 0] in the first: p = 3/4. (3 log 4/3 + 0.5 log 2) / 3.5
    logits = np.array([[np.log(3), 0], [0, 0], [5, -5]], np.float32)
    expected = (3 * np.log(4 / 3) + 0.5 * np.log(2)) / 3.5
    assert float(loss(target, logits, sample_weight=[3.0, 1.0, 9.0])) == pytest.approx(expected)


@pytest.mark.parametrize("nothing", ["unknown", "weightless"])
def test_where_nothing_counts_loss_and_gradient_are_zero(nothing: str) -> None:
    target = np.full((8, 4), -1, np.float32) if nothing == "unknown" else TARGET
    weight = None if nothing == "unknown" else np.zeros(8, np.float32)
    value, slope = loss_and_gradient(softmax.loss(), target, LOGITS, weight)
    assert value == 0
    assert not slope.any()


@pytest.mark.parametrize(
    "told", [{}, {"kind": "focal"}, {"kind": "focal", "gamma": 0.5}, {"kind": "focal", "gamma": 0}]
)
@pytest.mark.parametrize("huge", [1e4, -1e4, 3e37])
def test_huge_logits_give_finite_numbers(huge: float, told: dict) -> None:
    logits = np.array([[huge, 0, -huge], [0, huge, 0], [huge, huge, -huge]], np.float32)
    target = np.array([[0, 0, 1], [0, 1, 0], [-1, -1, -1]], np.float32)
    value, slope = loss_and_gradient(softmax.loss(**told), target, logits)
    assert np.isfinite(value)
    assert np.isfinite(slope).all()
    probabilities = softmax.probabilities(logits)
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(np.sum(probabilities, axis=1), 1, rtol=1e-6)


def test_a_certain_mistake_costs_the_difference_of_the_logits() -> None:
    loss = softmax.loss()
    assert float(loss(np.array([[0, 1]], np.float32), np.array([[1e4, 0]], np.float32))) == 1e4


def test_focal_loss_with_gamma_0_and_alpha_1_is_cross_entropy() -> None:
    focal, plain = softmax.loss("focal", gamma=0, alpha=1.0, weights=LABEL), softmax.loss(weights=LABEL)
    value, slope = loss_and_gradient(focal, TARGET, LOGITS, EXAMPLE)
    other_value, other_slope = loss_and_gradient(plain, TARGET, LOGITS, EXAMPLE)
    assert value == other_value
    np.testing.assert_array_equal(slope, other_slope)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"kind": "hinge"}, "'hinge' is neither cross_entropy nor focal"),
        ({"kind": "focal", "gamma": -1}, "gamma must be finite and 0 or more, not -1"),
        ({"kind": "focal", "alpha": [0.5, 1.5]}, r"alpha must be finite and in \[0, 1\]"),
        ({"alpha": 0.5}, "alpha belongs to focal loss"),
        ({"weights": [1.0, float("nan")]}, "label weights must be finite"),
    ],
)
def test_an_impossible_loss_is_a_configuration_error(told: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        softmax.loss(**told)


def test_weights_of_another_number_than_the_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="3 label weights for 4 labels"):
        softmax.loss(weights=[1.0, 2.0, 3.0])(TARGET, LOGITS)


def test_accuracy_counts_only_labelled_rows() -> None:
    (metric,) = softmax.metrics(4)
    right = LOGITS.argmax(axis=1) == TRUTH
    for part in (slice(0, 3), slice(3, 8)):
        metric.update_state(TARGET[part], LOGITS[part])
    assert float(metric.result()) == pytest.approx(right[KNOWN].mean())
    metric.reset_state()
    assert float(metric.result()) == 0
    metric.update_state(TARGET, LOGITS, sample_weight=EXAMPLE)
    assert float(metric.result()) == pytest.approx(np.average(right, weights=KNOWN * EXAMPLE))


@pytest.mark.parametrize("jit", [False, True])
def test_losses_and_metrics_work_in_keras_s_own_loop(jit: bool) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Rescaling(1.0)])
    model.compile(loss=softmax.loss("focal", weights=LABEL), metrics=softmax.metrics(4), jit_compile=jit)
    data = tf.data.Dataset.from_tensors((LOGITS, TARGET, EXAMPLE))
    found = model.evaluate(data, verbose=0, return_dict=True)
    weight = KNOWN * EXAMPLE * np.array(LABEL)[TRUTH]
    loss = reference.weighted_mean(reference.focal(reference.softmax_entropy(LOGITS, TRUTH), 2), weight)
    assert found["loss"] == pytest.approx(loss, rel=1e-5)
    assert found["accuracy"] == pytest.approx((LOGITS.argmax(axis=1) == TRUTH)[KNOWN].mean())


def test_probabilities_are_the_softmax_in_float32() -> None:
    found = softmax.probabilities(keras.ops.cast(LOGITS, "bfloat16"))
    assert found.dtype == "float32"
    expected = np.exp(-np.stack([reference.softmax_entropy(LOGITS, np.full(8, c)) for c in range(4)], axis=1))
    np.testing.assert_allclose(softmax.probabilities(LOGITS), expected, rtol=1e-5)


# Two names, one sigmoid unit.


def sigmoid_head(positive: int) -> keras.Model:
    features = keras.Input((3,))
    return keras.Model(features, softmax.head(features, 2, positive=positive))


@pytest.mark.parametrize("positive", [0, 1])
def test_two_labels_may_share_one_sigmoid_unit(positive: int) -> None:
    model = sigmoid_head(positive)
    assert [w.shape for w in model.trainable_weights] == [(3, 1), (1,)]
    x = RANDOM.normal(size=(5, 3)).astype(np.float32)
    kernel = model.get_layer("logit").kernel.numpy()
    logits = model(x).numpy()
    np.testing.assert_allclose(logits[:, positive], (x @ kernel)[:, 0], rtol=1e-5)
    assert not logits[:, 1 - positive].any()
    sigmoid = 1 / (1 + np.exp(-(x @ kernel)[:, 0]))
    np.testing.assert_allclose(np.asarray(softmax.probabilities(logits))[:, positive], sigmoid, rtol=1e-5)


@pytest.mark.parametrize("positive", [0, 1])
def test_the_loss_of_one_unit_is_binary_cross_entropy(positive: int) -> None:
    z = RANDOM.normal(scale=2, size=6).astype(np.float32)
    applies = np.array([1, 0, 1, 1, 0, 0], bool)
    logits, target = np.zeros((6, 2), np.float32), np.zeros((6, 2), np.float32)
    logits[:, positive] = z
    target[:, positive], target[:, 1 - positive] = applies, ~applies
    entropy = reference.sigmoid_entropy(z, applies)
    assert float(softmax.loss()(target, logits)) == pytest.approx(entropy.mean(), rel=1e-5)
    # Lin et al.: alpha for the positive, 1 - alpha for the other.
    expected = np.where(applies, 0.25, 0.75) * reference.focal(entropy, 2)
    loss = softmax.loss("focal", alpha=0.25, positive=positive)
    assert float(loss(target, logits)) == pytest.approx(expected.mean(), rel=1e-5)


def test_one_unit_alone_cannot_be_configured() -> None:
    with pytest.raises(ConfigError, match="a softmax over one unit is always 1"):
        softmax.head(keras.Input((3,)), 1)


@pytest.mark.parametrize(("classes", "positive"), [(3, 1), (2, 2)])
def test_a_positive_that_is_not_one_of_two_is_refused(classes: int, positive: int) -> None:
    with pytest.raises(ConfigError, match=r"labels\.positive"):
        softmax.head(keras.Input((3,)), classes, positive=positive)


# Names.

NAMES = ["owl", "dog", "kät"]
ROWS = [["owl"], ["kät"], [], ["bat"], ["dog", "owl"], ["dog", "dog"], ["dog", "bat"]]
ENCODED = [[1, 0, 0], [0, 0, 1], [-1] * 3, [-1] * 3, [-1] * 3, [0, 1, 0], [0, 1, 0]]


@pytest.mark.parametrize("sparse", [True, False], ids=["sparse", "ragged"])
def test_a_name_becomes_a_one_hot_row_and_no_name_becomes_unknown(sparse: bool) -> None:
    given = tf.ragged.constant(ROWS, tf.string)
    given = given.to_sparse() if sparse else given
    found = softmax.encode(given, None, NAMES)
    assert found.dtype == tf.float32
    assert found.numpy().tolist() == ENCODED
    in_graph = tf.data.Dataset.from_tensors(given).map(lambda x: softmax.encode(x, None, NAMES))
    assert next(iter(in_graph)).numpy().tolist() == ENCODED


def test_a_batch_without_any_name_is_unknown_throughout() -> None:
    assert (
        softmax.encode(tf.ragged.constant([[], []], tf.string, ragged_rank=1), None, NAMES).numpy().tolist()
        == [[-1] * 3] * 2
    )


def test_thousands_of_labels_are_looked_up() -> None:
    names = [f"label {i}" for i in range(5000)]
    found = softmax.encode(tf.ragged.constant([[names[i]] for i in range(0, 5000, 50)]), None, names).numpy()
    np.testing.assert_array_equal(found.argmax(axis=1), np.arange(0, 5000, 50))
    assert found.sum() == 100


def test_the_kind_counts_its_labels() -> None:
    applies, known = softmax.count(TARGET)
    np.testing.assert_array_equal(applies.sum(axis=0), [2, 2, 0, 2])
    np.testing.assert_array_equal(known.sum(axis=0), [6] * 4)
