"""single_label: every metric by name against scikit-learn, or NumPy where it has none."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from sklearn import metrics as sk

from components.labels import kinds
from components.metrics import single
from components.metrics.scored import Answer

LABELS = ("cat", "dog", "owl", "red|fox")
K = len(LABELS)
THRESHOLDS = np.array([0.3, 0.5, 0.1, 0.7], np.float32)


@dataclass(frozen=True)
class Sample:
    """Truth [n], probabilities float32 [n, K] and weights [n]."""

    truth: np.ndarray
    probabilities: np.ndarray
    weight: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        return self.probabilities.argmax(axis=1)

    @property
    def uncalibrated(self) -> np.ndarray:
        """Each row's mean with the one before it, whose largest is often that of another label."""
        return (self.probabilities + np.roll(self.probabilities, 1, axis=0)) / np.float32(2)

    @property
    def chosen(self) -> np.ndarray:
        return self.probabilities >= THRESHOLDS

    @property
    def abstained(self) -> np.ndarray:
        return np.arange(len(self.truth)) % 3 == 0

    def rows(self) -> list[np.ndarray]:
        answers = map(Answer, self.probabilities, self.uncalibrated, self.chosen, self.abstained)
        each = zip(self.truth, answers, self.weight, strict=True)
        return [single.row(int(label), answer, float(weight)) for label, answer, weight in each]


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
    accumulator = single.SingleLabel(K)
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
    p, raw = s.probabilities.astype(np.float64), s.uncalibrated.astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of rows that sum to one only in float32, of labels never seen
        return {
            "accuracy": sk.accuracy_score(s.truth, s.predicted, sample_weight=s.weight),
            "balanced_accuracy": sk.balanced_accuracy_score(s.truth, s.predicted, sample_weight=s.weight),
            "macro_f1": sk.f1_score(s.truth, s.predicted, average="macro", sample_weight=s.weight),
            # Keras clips at 1e-7, scikit-learn at 2e-16.
            "loss": sk.log_loss(s.truth, np.maximum(p, 1e-7), labels=range(K), sample_weight=s.weight),
            "ece": ece(p.max(axis=1), s.predicted == s.truth, s.weight),
            "uncalibrated_loss": sk.log_loss(s.truth, np.maximum(raw, 1e-7), labels=range(K), sample_weight=s.weight),
            "uncalibrated_ece": ece(raw.max(axis=1), raw.argmax(axis=1) == s.truth, s.weight),
            "abstained": np.average(s.abstained, weights=s.weight),
        }


def expected_of_label(s: Sample, label: int) -> dict[str, float]:
    """One label against the rest: decisions by argmax and by thresholds, curves by its own probability."""
    truth, decided, chosen = s.truth == label, s.predicted == label, s.chosen[:, label]
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
        "threshold_precision": sk.precision_score(truth, chosen, **told),
        "threshold_recall": sk.recall_score(truth, chosen, **told),
        "threshold_f1": sk.f1_score(truth, chosen, **told),
    }


@pytest.mark.parametrize("name", SMALL)
def test_overall_metrics_of_few_rows_are_exact(name: str) -> None:
    found = result(SMALL[name])
    expected = expected_overall(SMALL[name])
    assert set(expected) == set(kinds.kind("single_label").overall)
    for metric, value in expected.items():
        assert found[metric] == pytest.approx(value, abs=1e-9, nan_ok=True), metric


@pytest.mark.parametrize("name", SMALL)
def test_metrics_per_label_of_few_rows_are_exact(name: str) -> None:
    found = result(SMALL[name])
    for i, label in enumerate(LABELS):
        expected = expected_of_label(SMALL[name], i)
        assert set(expected) == set(kinds.kind("single_label").per_label)
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
def test_the_confusion_matrix_and_the_counts_are_scikit_learn_s(s: Sample) -> None:
    found = result(s)
    expected = sk.confusion_matrix(s.truth, s.predicted, labels=range(K), sample_weight=s.weight)
    np.testing.assert_allclose(found["confusion_matrix"], expected, rtol=1e-12)
    assert found["example_count"] == len(s.truth)
    assert found["weighted_count"] == pytest.approx(s.weight.sum(), rel=1e-12)
    assert found["invalid_predictions"] == 0


def test_metrics_match_a_calculation_by_hand() -> None:
    # true cat (0.75 cat), true cat (0.25 cat, 0.75 dog), true dog (1.0 dog): confusion cat [1, 1], dog [0, 1].
    rows = [
        single.row(0, Answer([0.75, 0.25], [0.875, 0.125], [True, True], False)),
        single.row(0, Answer([0.25, 0.75], [0.5, 0.5], [False, True], True)),  # of two equal ones the first counts
        single.row(1, Answer([0.0, 1.0], [0.0, 1.0], [False, True], False)),
    ]
    accumulator = single.SingleLabel(2)
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
    assert found["uncalibrated_loss"] == pytest.approx(-(math.log(0.875) + math.log(0.5) + math.log(1)) / 3)
    assert found["uncalibrated_ece"] == pytest.approx((0.125 + 0.5 + 0) / 3)  # three bins, every answer right
    assert found["abstained"] == pytest.approx(1 / 3)
    assert found["threshold_precision/cat"] == 1  # decided on once, of two
    assert found["threshold_recall/cat"] == pytest.approx(1 / 2)
    assert found["threshold_precision/dog"] == pytest.approx(1 / 3)  # decided on thrice, of one
    assert found["threshold_f1/dog"] == pytest.approx(2 * 1 / (2 * 1 + 2))
