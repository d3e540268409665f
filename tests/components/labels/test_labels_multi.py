"""Several labels per image: loss, gradient and metrics against float64 NumPy, and what encoding makes of names."""

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from reference import loss_and_gradient

from components.base.errors import ConfigError
from components.labels.learning import sigmoid

RANDOM = np.random.default_rng(1)
LOGITS = RANDOM.normal(scale=3, size=(7, 5)).astype(np.float32)
TARGET = RANDOM.choice([-1, 0, 1], size=(7, 5)).astype(np.float32)
TARGET[2] = -1  # all labels unknown
TARGET[3] = 0  # none of the labels: knowledge
KNOWN, APPLIES = TARGET >= 0, TARGET > 0
EXAMPLE = np.array([1, 0.5, 7, 2, 0, 3, 0.25], np.float32)
LABEL = [0.2, 1.0, 3.0, 0.0, 8.0]


@pytest.mark.parametrize("example", [None, EXAMPLE], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("label", [None, LABEL], ids=["all alike", "label weights"])
@pytest.mark.parametrize(
    "focal",
    [{}, {"gamma": 2.0}, {"gamma": 0.5, "alpha": 0.25}, {"gamma": 1.0, "alpha": [0.1, 0.4, 0.0, 1.0, 0.5]}],
    ids=["cross-entropy", "focal", "focal, one alpha", "focal, alpha per label"],
)
def test_loss_and_gradient_match_numpy(example, label, focal) -> None:
    def expected(logits: np.ndarray) -> float:
        alpha = np.broadcast_to(focal.get("alpha", 1.0), 5)
        factor = np.where(APPLIES, alpha, 1 - alpha) if "alpha" in focal else 1
        loss = factor * reference.focal(reference.sigmoid_entropy(logits, APPLIES), focal.get("gamma", 0))
        weight = KNOWN * np.where(APPLIES, 1 if label is None else label, 1)
        return reference.weighted_mean(loss, weight * (1 if example is None else example[:, None]))

    loss = sigmoid.loss("focal" if focal else "cross_entropy", weights=label, **focal)
    value, slope = loss_and_gradient(loss, TARGET, LOGITS, example)
    assert value == pytest.approx(expected(LOGITS), rel=1e-5)
    np.testing.assert_allclose(slope, reference.gradient(expected, LOGITS), atol=1e-6)
    assert not slope[~KNOWN].any()
    assert slope[3].any()


def test_a_small_loss_matches_a_calculation_by_hand() -> None:
    # p = 3/4 and 1/2. The first label applies and weighs 2, the second does not, the third is unknown:
    # (2 log 4/3 + 1 log 2) / 3
    logits = np.array([[np.log(3), 0, 9]], np.float32)
    loss = sigmoid.loss(weights=[2.0, 5.0, 7.0])
    expected = (2 * np.log(4 / 3) + np.log(2)) / 3
    assert float(loss(np.array([[1, 0, -1]], np.float32), logits)) == pytest.approx(expected)


def test_weights_follow_the_truth_and_not_the_prediction() -> None:
    target = np.array([[0, 1]], np.float32)
    heavy, light = (sigmoid.loss(weights=[w, 1.0]) for w in (100.0, 1.0))
    logits = np.array([[5, 5]], np.float32)  # the first label is predicted but does not apply
    assert float(heavy(target, logits)) == float(light(target, logits))


@pytest.mark.parametrize("nothing", ["unknown", "weightless"])
def test_where_nothing_counts_loss_and_gradient_are_zero(nothing: str) -> None:
    target = np.full((7, 5), -1, np.float32) if nothing == "unknown" else TARGET
    weight = None if nothing == "unknown" else np.zeros(7, np.float32)
    value, slope = loss_and_gradient(sigmoid.loss(), target, LOGITS, weight)
    assert value == 0
    assert not slope.any()


@pytest.mark.parametrize(
    "told", [{}, {"kind": "focal"}, {"kind": "focal", "gamma": 0.5}, {"kind": "focal", "gamma": 0}]
)
@pytest.mark.parametrize("huge", [1e4, -1e4, 3e37])
def test_huge_logits_give_finite_numbers(huge: float, told: dict) -> None:
    logits = np.array([[huge, huge, huge, -huge, 0]], np.float32)
    value, slope = loss_and_gradient(sigmoid.loss(**told), np.array([[1, 0, -1, 1, 0]], np.float32), logits)
    assert np.isfinite(value)
    assert np.isfinite(slope).all()
    assert np.isfinite(sigmoid.probabilities(logits)).all()


def test_focal_loss_with_gamma_0_is_cross_entropy_times_alpha() -> None:
    plain = loss_and_gradient(sigmoid.loss(), TARGET, LOGITS, EXAMPLE)
    focal = loss_and_gradient(sigmoid.loss("focal", gamma=0), TARGET, LOGITS, EXAMPLE)
    half = loss_and_gradient(sigmoid.loss("focal", gamma=0, alpha=0.5), TARGET, LOGITS, EXAMPLE)
    assert focal[0] == plain[0] == pytest.approx(2 * half[0])
    np.testing.assert_array_equal(focal[1], plain[1])
    # alpha 1 leaves the positives alone, in the loss; all of them still divide it.
    value, _ = loss_and_gradient(sigmoid.loss("focal", gamma=0, alpha=1.0), TARGET, LOGITS)
    entropy = reference.sigmoid_entropy(LOGITS, APPLIES)
    assert value == pytest.approx(entropy[APPLIES].sum() / KNOWN.sum(), rel=1e-5)


def expected_cosine(weight: np.ndarray) -> float:
    p = 1 / (1 + np.exp(-LOGITS.astype(np.float64))) * KNOWN
    t = APPLIES.astype(np.float64)
    some = APPLIES.any(axis=1)
    cosine = [t[i] @ p[i] / np.linalg.norm(t[i]) / np.linalg.norm(p[i]) for i in np.flatnonzero(some)]
    return float(np.average(cosine, weights=weight[some]))


@pytest.mark.parametrize("example", [None, EXAMPLE], ids=["unweighted", "weighted"])
def test_metrics_count_only_known_labels(example) -> None:
    accuracy, cosine = sigmoid.metrics(5)
    for part in (slice(0, 3), slice(3, 7)):
        for metric in (accuracy, cosine):
            metric.update_state(TARGET[part], LOGITS[part], None if example is None else example[part])
    weight = np.ones(7) if example is None else example
    right = (LOGITS >= 0) == APPLIES
    assert float(accuracy.result()) == pytest.approx(np.average(right, weights=KNOWN * weight[:, None]))
    assert float(cosine.result()) == pytest.approx(expected_cosine(weight), rel=1e-5)


@pytest.mark.parametrize("jit", [False, True])
def test_losses_and_metrics_work_in_keras_s_own_loop(jit: bool) -> None:
    model = keras.Sequential([keras.Input((5,)), keras.layers.Rescaling(1.0)])
    model.compile(loss=sigmoid.loss(weights=LABEL), metrics=sigmoid.metrics(5), jit_compile=jit)
    data = tf.data.Dataset.from_tensors((LOGITS, TARGET, EXAMPLE))
    found = model.evaluate(data, verbose=0, return_dict=True)
    weight = KNOWN * EXAMPLE[:, None] * np.where(APPLIES, LABEL, 1)
    loss = reference.weighted_mean(reference.sigmoid_entropy(LOGITS, APPLIES), weight)
    assert found["loss"] == pytest.approx(loss, rel=1e-5)
    assert found["binary_accuracy"] == pytest.approx(((LOGITS >= 0) == APPLIES)[KNOWN].mean())
    assert found["cosine_similarity"] == pytest.approx(expected_cosine(np.ones(7)), rel=1e-5)


def test_probabilities_need_not_sum_to_one() -> None:
    found = sigmoid.probabilities(keras.ops.convert_to_tensor([[0.0, np.log(3), -np.log(3)]], "float16"))
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, [[1 / 2, 3 / 4, 1 / 4]], atol=1e-3)


@pytest.mark.parametrize("classes", [1, 6])
def test_the_head_has_one_unit_per_label(classes: int) -> None:
    features = keras.Input((3,))
    logits = sigmoid.head(features, classes)
    assert logits.shape == (None, classes)
    assert [w.shape for w in keras.Model(features, logits).weights] == [(3, classes), (classes,)]


def test_a_positive_label_is_for_single_labels() -> None:
    with pytest.raises(ConfigError, match=r"labels\.positive: only task: single_label"):
        sigmoid.head(keras.Input((3,)), 2, positive=1)
    with pytest.raises(ConfigError, match=r"labels\.positive"):
        sigmoid.loss(positive=1)


NAMES = ["sea", "sünset", "tree"]
PRESENT = [["sea", "tree"], [], [], ["desert"], ["tree", "tree"], ["sünset"]]
UNKNOWN = [[], ["sea", "sünset", "tree"], [], ["sea", "desert"], ["sünset"], ["sünset"]]
ENCODED = [[1, 0, 1], [-1, -1, -1], [0, 0, 0], [-1, 0, 0], [0, -1, 1], [0, 1, 0]]


@pytest.mark.parametrize("sparse", [True, False], ids=["sparse", "ragged"])
def test_names_become_multi_hot_rows(sparse: bool) -> None:
    given = tuple(tf.ragged.constant(rows, tf.string) for rows in (PRESENT, UNKNOWN))
    given = tuple(rows.to_sparse() for rows in given) if sparse else given
    found = sigmoid.encode(*given, NAMES)
    assert found.dtype == tf.float32
    assert found.numpy().tolist() == ENCODED
    in_graph = tf.data.Dataset.from_tensors(given).map(lambda present, unknown: sigmoid.encode(present, unknown, NAMES))
    assert next(iter(in_graph)).numpy().tolist() == ENCODED
    assert sigmoid.encode(given[0], None, NAMES).numpy().min() == 0


def test_the_kind_counts_its_labels() -> None:
    applies, known = sigmoid.count(np.array(ENCODED, np.float32))
    assert applies.sum(axis=0).tolist() == [1, 1, 2]
    assert known.sum(axis=0).tolist() == [4, 4, 5]
