"""Every metric by name against scikit-learn, or NumPy where it has none."""

import itertools
import math
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from components import metrics

LABELS = ("cat", "dog", "owl", "red|fox")
K = len(LABELS)
CURVES = ("auc", "average_precision")


@dataclass(frozen=True)
class Sample:
    """Truth [n], probabilities float32 [n, K] and weights [n]."""

    truth: np.ndarray
    probabilities: np.ndarray
    weight: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        return self.probabilities.argmax(axis=1)

    def rows(self) -> list[np.ndarray]:
        each = zip(self.truth, self.probabilities, self.weight, strict=True)
        return [metrics.row(int(label), p, float(weight)) for label, p, weight in each]


def softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (e / e.sum(axis=1, keepdims=True)).astype(np.float32)


def sample(n: int, *, sharpness: float = 2.0, weighted: bool = False, seed: int = 0) -> Sample:
    """Random predictions that lean towards the truth; eighths as weights, which float32 holds exactly."""
    random = np.random.default_rng(seed)
    truth = random.choice(K, n, p=[0.5, 0.3, 0.15, 0.05])
    logits = sharpness * (random.normal(size=(n, K)) + np.eye(K)[truth])
    weight = random.integers(1, 33, n) / 8 if weighted else np.ones(n)
    return Sample(truth, softmax(logits), weight)


def tied(n: int) -> Sample:
    """Tenths only: nearly every score occurs many times, and the two highest of a row are often equal."""
    random = np.random.default_rng(3)
    votes = random.multinomial(10, [0.4, 0.3, 0.2, 0.1], n)
    return Sample(random.integers(0, K, n), (votes / 10).astype(np.float32), random.integers(1, 9, n) / 4)


def without(label: int, n: int) -> Sample:
    """No example of `label`, which some predictions name all the same."""
    s = sample(n, weighted=True, seed=4)
    kept = s.truth != label
    return Sample(s.truth[kept], s.probabilities[kept], s.weight[kept])


def never_predicted(label: int, n: int) -> Sample:
    """Examples of `label`, but no prediction names it: it has no precision."""
    s = sample(n, seed=5)
    p = s.probabilities.copy()
    p[:, label] = 0
    return Sample(s.truth, p / p.sum(axis=1, keepdims=True), s.weight)


SMALL = {
    "unweighted": sample(300),
    "weighted": sample(300, weighted=True, seed=1),
    "ties": tied(200),
    "absent label": without(2, 200),
    "label never predicted": never_predicted(1, 150),
    "saturated": sample(400, sharpness=30.0, seed=2),
    "as many as stay exact": sample(8000, weighted=True, seed=6),
    "one example": sample(1, seed=7),
    "three examples": sample(3, weighted=True, seed=8),
}
LARGE = {
    "unweighted": sample(20_000),
    "weighted": sample(20_000, weighted=True, seed=1),
    "ties": tied(9000),
    "absent label": without(2, 12_000),
    "saturated": sample(30_000, sharpness=30.0, seed=2),
    "one more than stay exact": sample(8001, seed=6),
}


def result(s: Sample) -> dict[str, float]:
    accumulator = metrics.Accumulator(K)
    accumulator.add(s.rows())
    return accumulator.result(LABELS)


def ece(confidence: np.ndarray, hit: np.ndarray, weight: np.ndarray) -> float:
    """Naeini et al. 2015: the gap between mean confidence and hit rate per bin, weighed by the bin's share."""
    total = 0.0
    for i in range(15):
        inside = (confidence * 15 >= i) & ((confidence * 15 < i + 1) | (i == 14))
        if inside.any():
            w = weight[inside]
            gap = np.average(confidence[inside], weights=w) - np.average(hit[inside], weights=w)
            total += w.sum() * abs(gap)
    return total / weight.sum()


def expected_overall(s: Sample) -> dict[str, float]:
    p = s.probabilities.astype(np.float64)
    top = p.max(axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of rows that sum to one only in float32, of labels never seen
        return {
            "accuracy": sk.accuracy_score(s.truth, s.predicted, sample_weight=s.weight),
            "balanced_accuracy": sk.balanced_accuracy_score(s.truth, s.predicted, sample_weight=s.weight),
            "macro_f1": sk.f1_score(s.truth, s.predicted, average="macro", sample_weight=s.weight),
            # Keras clips at 1e-7, scikit-learn at 2e-16.
            "loss": sk.log_loss(s.truth, np.maximum(p, 1e-7), labels=range(K), sample_weight=s.weight),
            "ece": ece(top, s.predicted == s.truth, s.weight),
        }


def expected_of_label(s: Sample, label: int) -> dict[str, float]:
    """One label against the rest: decisions by argmax, curves by its own probability."""
    truth, decided = s.truth == label, s.predicted == label
    score, w = s.probabilities[:, label].astype(np.float64), s.weight
    told = {"sample_weight": w, "zero_division": np.nan}
    curves = truth.any() and not truth.all()
    return {
        "precision": sk.precision_score(truth, decided, **told),
        "recall": sk.recall_score(truth, decided, **told),
        "f1": sk.f1_score(truth, decided, **told),
        "specificity": sk.recall_score(~truth, ~decided, **told),
        "binary_accuracy": sk.accuracy_score(truth, decided, sample_weight=w),
        "auc": sk.roc_auc_score(truth, score, sample_weight=w) if curves else np.nan,
        "average_precision": sk.average_precision_score(truth, score, sample_weight=w) if truth.any() else np.nan,
        "ece": ece(score, truth, w),
        "support": w[truth].sum(),
    }


@pytest.mark.parametrize("name", SMALL)
def test_overall_metrics_of_few_rows_are_exact(name: str) -> None:
    found = result(SMALL[name])
    expected = expected_overall(SMALL[name])
    assert set(expected) == set(metrics.OVERALL)
    for metric, value in expected.items():
        assert found[metric] == pytest.approx(value, abs=1e-9, nan_ok=True), metric


@pytest.mark.parametrize("name", SMALL)
def test_metrics_per_label_of_few_rows_are_exact(name: str) -> None:
    found = result(SMALL[name])
    for i, label in enumerate(LABELS):
        expected = expected_of_label(SMALL[name], i)
        assert set(expected) == set(metrics.PER_LABEL)
        for metric, value in expected.items():
            assert found[f"{metric}/{label}"] == pytest.approx(value, abs=1e-9, nan_ok=True), (metric, label)


@pytest.mark.parametrize("name", LARGE)
def test_overall_metrics_of_many_rows_are_exact(name: str) -> None:
    found = result(LARGE[name])
    for metric, value in expected_overall(LARGE[name]).items():
        assert found[metric] == pytest.approx(value, abs=1e-9, nan_ok=True), metric


@pytest.mark.parametrize("name", LARGE)
def test_metrics_per_label_of_many_rows_are_exact_but_for_the_binned_curves(name: str) -> None:
    within = {"auc": 1e-3, "average_precision": 2e-3}
    found = result(LARGE[name])
    for i, label in enumerate(LABELS):
        for metric, value in expected_of_label(LARGE[name], i).items():
            bound = within.get(metric, 1e-9)
            assert found[f"{metric}/{label}"] == pytest.approx(value, abs=bound, nan_ok=True), (metric, label)


@pytest.mark.parametrize("s", [SMALL["weighted"], LARGE["weighted"]], ids=["few", "many"])
def test_the_confusion_matrix_and_the_counts(s: Sample) -> None:
    found = result(s)
    expected = sk.confusion_matrix(s.truth, s.predicted, labels=range(K), sample_weight=s.weight)
    np.testing.assert_allclose(found["confusion_matrix"], expected, rtol=1e-12)
    assert found["example_count"] == len(s.truth)
    assert found["weighted_count"] == pytest.approx(s.weight.sum(), rel=1e-12)
    assert found["invalid_predictions"] == 0


def test_by_hand() -> None:
    # true cat (0.75 cat), true cat (0.25 cat, 0.75 dog), true dog (1.0 dog): confusion cat [1, 1], dog [0, 1].
    rows = [
        metrics.row(0, np.array([0.75, 0.25], np.float32)),
        metrics.row(0, np.array([0.25, 0.75], np.float32)),
        metrics.row(1, np.array([0.0, 1.0], np.float32)),
    ]
    accumulator = metrics.Accumulator(2)
    accumulator.add(rows)
    found = accumulator.result(["cat", "dog"])
    assert found["confusion_matrix"].tolist() == [[1, 1], [0, 1]]
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["recall/cat"] == pytest.approx(1 / 2)
    assert found["precision/dog"] == pytest.approx(1 / 2)
    assert found["balanced_accuracy"] == pytest.approx((1 / 2 + 1) / 2)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 2 / 3) / 2)  # 2·1 / (2·1 + 0 + 1) for both
    assert found["loss"] == pytest.approx(-(math.log(0.75) + math.log(0.25) + math.log(1)) / 3)
    assert found["ece"] == pytest.approx((2 * abs(0.75 - 1 / 2) + 0) / 3)  # both 0.75 lie in one bin


def test_a_weight_counts_like_as_many_copies() -> None:
    s = sample(40, seed=9)
    times = np.arange(40) % 4 + 1
    copies = Sample(np.repeat(s.truth, times), np.repeat(s.probabilities, times, axis=0), np.ones(times.sum()))
    weighted, repeated = result(Sample(s.truth, s.probabilities, times.astype(float))), result(copies)
    for name in metrics.names(LABELS):
        if name != "example_count":
            assert weighted[name] == pytest.approx(repeated[name], abs=1e-12, nan_ok=True), name


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 50), cuts=st.lists(st.integers(0, 50), max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_partition_merges_to_the_whole(seed: int, n: int, cuts: list[int]) -> None:
    s = sample(n, weighted=True, seed=seed)
    whole, merged, rows = result(s), metrics.Accumulator(K), s.rows()
    edges = sorted({0, n, *(min(c, n) for c in cuts)})
    for start, end in itertools.pairwise(edges):
        part = metrics.Accumulator(K)
        part.add(rows[start:end])
        merged.merge([part, metrics.Accumulator(K)])
    found = merged.result(LABELS)
    for name, value in whole.items():
        assert found[name] == pytest.approx(value, abs=1e-9, nan_ok=True), name


@pytest.mark.parametrize("edges", [(0, 7000, 20_000), (0, 9000, 9001, 20_000), (0, 500, 1000, 12_000, 20_000)])
def test_partitions_of_many_rows_merge_to_the_whole(edges: tuple[int, ...]) -> None:
    """Parts below and above the size where raw scores become histograms, in every order of the two."""
    s = LARGE["weighted"]
    rows = np.stack(s.rows())
    parts = []
    for start, end in itertools.pairwise(edges):
        parts.append(metrics.Accumulator(K))
        parts[-1].add(rows[start:end])
    merged = metrics.Accumulator(K)
    merged.merge(reversed(parts))
    found, whole = merged.result(LABELS), result(s)
    for name in metrics.names(LABELS):
        assert found[name] == pytest.approx(whole[name], abs=1e-9), name


@given(order=st.permutations(range(12)))
@settings(max_examples=20, deadline=None)
def test_the_order_of_examples_does_not_matter(order: list[int]) -> None:
    s = tied(12)
    shuffled = result(Sample(s.truth[order], s.probabilities[order], s.weight[order]))
    for name, value in result(s).items():
        assert shuffled[name] == pytest.approx(value, abs=1e-12, nan_ok=True), name


def test_merge_leaves_the_merged_alone_and_result_can_be_asked_twice() -> None:
    part, other = metrics.Accumulator(K), metrics.Accumulator(K)
    part.add(LARGE["saturated"].rows()[:9000])
    other.add(SMALL["weighted"].rows())
    before = part.result(LABELS)
    other.merge([part])
    np.testing.assert_equal(part.result(LABELS), before)
    np.testing.assert_equal(other.result(LABELS), other.result(LABELS))
    assert other.result(LABELS)["example_count"] == 9300


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("n", [10, 9000])
def test_one_invalid_prediction_voids_every_metric_and_is_counted(wrong: float, n: int) -> None:
    s = sample(n)
    s.probabilities[3, 1] = wrong
    found = result(s)
    assert found["invalid_predictions"] == 1
    assert found["example_count"] == n - 1
    for name in metrics.names(LABELS):
        if name not in (*metrics.COUNTS, metrics.CONFUSION):
            assert math.isnan(found[name]), name


def test_without_examples_nothing_is_a_number_but_the_counts() -> None:
    found = metrics.Accumulator(K).result(LABELS)
    for name in metrics.names(LABELS):
        if name == metrics.CONFUSION:
            assert found[name].tolist() == [[0] * K] * K
            assert found[name].dtype == np.float64  # TFMA writes integers elsewhere
        elif name in metrics.COUNTS or name.startswith("support/"):
            assert found[name] == 0, name
        else:
            assert math.isnan(found[name]), name


@pytest.mark.parametrize("n", [0, 5, 9000])
def test_the_result_has_exactly_the_names(n: int) -> None:
    assert sorted(result(sample(n))) == sorted(metrics.names(LABELS))
    assert metrics.key("recall", "red|fox") in metrics.names(LABELS)


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 40))
@settings(max_examples=40, deadline=None)
def test_rates_lie_between_0_and_1(seed: int, sharpness: float) -> None:
    found = result(sample(30, sharpness=sharpness, weighted=True, seed=seed))
    rates = set(metrics.names(LABELS)) - {"loss", *metrics.COUNTS, metrics.CONFUSION}
    for name in rates - {metrics.key("support", label) for label in LABELS}:
        assert math.isnan(found[name]) or -1e-12 <= found[name] <= 1 + 1e-12, name
