"""multi_label: every metric by name against scikit-learn, or NumPy where it has none."""

import math
import warnings
from dataclasses import dataclass, replace

import numpy as np
import pytest
from sklearn import metrics as sk

from components import metrics
from components.labels import kinds
from components.metrics import multi
from components.metrics.scored import Answer

LABELS = ("cat", "dog", "owl", "red|fox")
K = len(LABELS)


@dataclass(frozen=True)
class Sample:
    """Target [n, K] of 1, 0 and -1, probabilities float32 [n, K], weights [n]."""

    target: np.ndarray
    probabilities: np.ndarray
    weight: np.ndarray
    thresholds: tuple[float, ...] = (0.3, 0.5, 0.4, 0.7)

    @property
    def uncalibrated(self) -> np.ndarray:
        return self.probabilities * self.probabilities

    @property
    def decided(self) -> np.ndarray:
        return self.probabilities >= 0.5

    @property
    def chosen(self) -> np.ndarray:
        return self.probabilities >= np.array(self.thresholds, np.float32)

    @property
    def abstained(self) -> np.ndarray:
        return np.arange(len(self.target)) % 3 == 0

    @property
    def known(self) -> np.ndarray:
        return self.target >= 0


def sample(n: int, *, unknown: float = 0.0, weighted: bool = False, sharpness: float = 2.0, seed: int = 0) -> Sample:
    """Random predictions that lean towards the truth; eighths as weights, which float32 holds exactly."""
    random = np.random.default_rng(seed)
    target = (random.random((n, K)) < [0.6, 0.3, 0.1, 0.4]).astype(int)
    logits = sharpness * (random.normal(size=(n, K)) + target - 0.5)
    weight = random.integers(1, 33, n) / 8 if weighted else np.ones(n)
    target[random.random((n, K)) < unknown] = -1
    return Sample(target, (1 / (1 + np.exp(-logits))).astype(np.float32), weight)


def tied(n: int) -> Sample:
    """Tenths only, so that nearly every score occurs many times; 0.5 is decided on."""
    random = np.random.default_rng(3)
    p = (random.integers(0, 11, (n, K)) / 10).astype(np.float32)
    return Sample(random.integers(-1, 2, (n, K)), p, random.integers(1, 9, n) / 4)


def constant(label: int, target: int) -> Sample:
    """A label that applies everywhere, nowhere, or of which nobody ever said anything."""
    s = sample(200, weighted=True, seed=4)
    s.target[:, label] = target
    return s


def never_decided(label: int) -> Sample:
    s = sample(150, seed=5)
    s.probabilities[:, label] /= 2.5
    return s


SAMPLES = {
    "all known": sample(300),
    "weighted": sample(300, weighted=True, seed=1),
    "unknown entries": sample(300, unknown=0.3, weighted=True, seed=2),
    "ties": tied(200),
    "label nowhere": constant(2, 0),
    "label everywhere": constant(1, 1),
    "label unknown": constant(0, -1),
    "label never decided": never_decided(1),
    "own thresholds": replace(sample(200, unknown=0.1, seed=12), thresholds=(0.2, 0.5, 0.8, 0.99)),
    "as many as stay exact": sample(8000, unknown=0.1, weighted=True, seed=6),
    "many": sample(20_000, weighted=True, seed=7),
    "many, unknown entries": sample(20_000, unknown=0.3, weighted=True, seed=8),
    "many, saturated": sample(30_000, sharpness=30.0, seed=9),
    "one": sample(1, seed=10),
    "three": sample(3, unknown=0.3, weighted=True, seed=11),
}


def result(s: Sample) -> metrics.base.Result:
    accumulator = multi.MultiLabel(K)
    answers = map(Answer, s.probabilities, s.uncalibrated, s.chosen, s.abstained)
    accumulator.add([multi.row(*each) for each in zip(s.target, answers, s.weight, strict=True)])
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


def expected_of_label(s: Sample, label: int) -> dict[str, float]:
    """scikit-learn on the examples of which the label is known."""
    known = s.known[:, label]
    truth, decided, chosen = s.target[known, label] > 0, s.decided[known, label], s.chosen[known, label]
    score, w = s.probabilities[known, label].astype(np.float64), s.weight[known]
    if not known.any():
        return dict.fromkeys(kinds.kind("multi_label").per_label, math.nan) | {"support": 0.0}
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


def expected_overall(s: Sample) -> dict[str, float]:
    """scikit-learn on all known entries in one long list; means of the labels' own numbers; NumPy row by row."""
    known = s.known
    truth, decided, w = s.target[known] > 0, s.decided[known], np.repeat(s.weight[:, None], K, axis=1)[known]
    per_label = [expected_of_label(s, i) for i in range(K)]
    exact, cosine = [], []
    for target, p, said, weight in zip(s.target, s.probabilities.astype(float), s.decided, s.weight, strict=True):
        t, q, of = target[target >= 0], p[target >= 0], said[target >= 0]
        if len(t):
            exact.append((all(of == t), weight))
        if t.any():
            norm = np.linalg.norm(t) * np.linalg.norm(q)
            cosine.append((t @ q / norm if norm else 0.0, weight))
    return {
        "binary_accuracy": sk.accuracy_score(truth, decided, sample_weight=w),
        "exact_match": weighted_mean(exact),
        "hamming_loss": sk.zero_one_loss(truth, decided, sample_weight=w),
        "cosine_similarity": weighted_mean(cosine),
        "micro_f1": sk.f1_score(truth, decided, sample_weight=w, zero_division=np.nan),
        "macro_f1": nanmean(per_label, "f1"),
        "mean_average_precision": nanmean(per_label, "average_precision"),
        "loss": entropy(s, s.probabilities),
        "ece": nanmean(per_label, "ece"),
        "uncalibrated_loss": entropy(s, s.uncalibrated),
        "uncalibrated_ece": nanmean([{"ece": uncalibrated_ece(s, i)} for i in range(K)], "ece"),
        "abstained": np.average(s.abstained[known.any(axis=1)], weights=s.weight[known.any(axis=1)]),
    }


def entropy(s: Sample, probabilities: np.ndarray) -> float:
    """Keras clips at 1e-7, scikit-learn at 2e-16."""
    p, w = probabilities[s.known].astype(np.float64), np.repeat(s.weight[:, None], K, axis=1)[s.known]
    of_truth = np.maximum(np.where(s.target[s.known] > 0, p, 1 - p), 1e-7)
    return sk.log_loss(np.ones(len(w)), of_truth, sample_weight=w, labels=[0, 1])


def uncalibrated_ece(s: Sample, label: int) -> float:
    known = s.known[:, label]
    raw = s.uncalibrated[known, label].astype(np.float64)
    return ece(raw, s.target[known, label] > 0, s.weight[known]) if known.any() else math.nan


def weighted_mean(values: list[tuple[float, float]]) -> float:
    return sum(v * w for v, w in values) / sum(w for _, w in values) if values else math.nan


def nanmean(per_label: list[dict[str, float]], metric: str) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a mean of nothing
        return float(np.nanmean([numbers[metric] for numbers in per_label]))


def bound(s: Sample, metric: str) -> float:
    """Curves of many rows come from score bins."""
    within = {"auc": 1e-3, "average_precision": 2e-3, "mean_average_precision": 2e-3}
    return within.get(metric, 1e-9) if len(s.target) > 8000 else 1e-9


@pytest.mark.parametrize("name", SAMPLES)
def test_overall_metrics_are_scikit_learn_s(name: str) -> None:
    s = SAMPLES[name]
    found, expected = result(s), expected_overall(s)
    assert set(expected) == set(kinds.kind("multi_label").overall)
    for metric, value in expected.items():
        assert found[metric] == pytest.approx(value, abs=bound(s, metric), nan_ok=True), metric


@pytest.mark.parametrize("name", SAMPLES)
def test_metrics_per_label_are_scikit_learn_s(name: str) -> None:
    s = SAMPLES[name]
    found = result(s)
    for i, label in enumerate(LABELS):
        expected = expected_of_label(s, i)
        assert set(expected) == set(kinds.kind("multi_label").per_label)
        for metric, value in expected.items():
            assert found[f"{metric}/{label}"] == pytest.approx(value, abs=bound(s, metric), nan_ok=True), (
                metric,
                label,
            )


@pytest.mark.parametrize("s", [SAMPLES["weighted"], SAMPLES["many"]], ids=["few", "many"])
def test_scikit_learn_s_multi_label_metrics_agree_where_everything_is_known(s: Sample) -> None:
    found, truth, w = result(s), s.target, s.weight
    for metric, value in {
        "exact_match": sk.accuracy_score(truth, s.decided, sample_weight=w),
        "hamming_loss": sk.hamming_loss(truth, s.decided, sample_weight=w),
        "micro_f1": sk.f1_score(truth, s.decided, average="micro", sample_weight=w),
        "macro_f1": sk.f1_score(truth, s.decided, average="macro", sample_weight=w),
        "mean_average_precision": sk.average_precision_score(truth, s.probabilities, sample_weight=w),
    }.items():
        assert found[metric] == pytest.approx(value, abs=bound(s, metric)), metric


def test_an_unknown_entry_does_not_count() -> None:
    """Whatever the model says to it."""
    s = SAMPLES["unknown entries"]
    other = np.where(s.known, s.probabilities, 1 - s.probabilities)
    found = result(replace(s, probabilities=other))
    for name, value in result(s).items():
        assert found[name] == pytest.approx(value, abs=1e-12), name


def test_metrics_match_a_calculation_by_hand() -> None:
    accumulator = multi.MultiLabel(3)
    accumulator.add(
        [
            # Right, wrong, unknown; by thresholds all are decided on.
            multi.row([1, 0, -1], Answer([0.75, 0.5, 0.875], [0.5, 0.5, 0.5], [1, 1, 1], True)),
            # All right, twice; of two labels that apply one is decided on by its threshold.
            multi.row([1, 1, 0], Answer([0.5, 1.0, 0.25], [0.5, 0.5, 0.25], [0, 1, 0], False), 2.0),
            multi.row([0, 0, 0], Answer([0.25, 0.25, 0.25], [0.25, 0.25, 0.25], [0, 0, 0], False)),  # all right
            multi.row([-1, -1, -1], Answer([0.25, 0.25, 0.25], [0.75, 0.75, 0.75], [1, 1, 1], True), 8.0),  # unlabelled
        ]
    )
    found = accumulator.result(["cat", "dog", "owl"])
    assert found["example_count"] == 3
    assert found["weighted_count"] == 4
    assert found["unlabelled_count"] == 1
    # Known entries: 2 + 2·3 + 3 = 11, of which one is wrong.
    assert found["binary_accuracy"] == pytest.approx(10 / 11)
    assert found["hamming_loss"] == pytest.approx(1 / 11)
    assert found["exact_match"] == pytest.approx((0 + 2 + 1) / 4)
    # cat: tp 1 + 2; dog: tp 2, fp 1; owl: nothing to find, nothing said.
    assert found["precision/dog"] == pytest.approx(2 / 3)
    assert found["recall/dog"] == 1
    assert found["specificity/dog"] == pytest.approx(1 / 2)
    assert found["support/cat"] == 3
    assert math.isnan(found["f1/owl"])
    assert found["macro_f1"] == pytest.approx((1 + 4 / 5) / 2)
    assert found["micro_f1"] == pytest.approx(2 * 5 / (2 * 5 + 1))
    # First: (1, 0)·(0.75, 0.5) / |(0.75, 0.5)|; second, twice: 1.5 / (√2 · √(0.25 + 1 + 0.0625)); third: no direction.
    first, second = 0.75 / math.sqrt(0.8125), 1.5 / math.sqrt(2 * 1.3125)
    assert found["cosine_similarity"] == pytest.approx((first + 2 * second) / 3)
    wrong = [0.75, 0.5, *2 * [0.5, 1.0, 0.75], *3 * [0.75]]  # probability of the truth, entry by entry
    assert found["loss"] == pytest.approx(-sum(map(math.log, wrong)) / 11)
    # cat: one found, with the weight 1, of 1 + 2; dog: found with the weight 2, and one too many.
    assert found["threshold_recall/cat"] == pytest.approx(1 / 3)
    assert found["threshold_precision/cat"] == 1
    assert found["threshold_precision/dog"] == pytest.approx(2 / 3)
    assert math.isnan(found["threshold_f1/owl"])
    assert found["abstained"] == pytest.approx(1 / 4)
    raw = [0.5, 0.5, *2 * [0.5, 0.5, 0.75], *3 * [0.75]]
    assert found["uncalibrated_loss"] == pytest.approx(-sum(map(math.log, raw)) / 11)
    # cat: 3 of 3 say 0.5 and apply, one says 0.25 and does not; dog: 2 of 3 at 0.5; owl: 3 at 0.25, none applies.
    cat, dog, owl = (3 * 0.5 + 0.25) / 4, (3 * abs(0.5 - 2 / 3) + 0.25) / 4, 0.25
    assert found["uncalibrated_ece"] == pytest.approx((cat + dog + owl) / 3)


def test_the_model_s_decisions_count_rather_than_its_probabilities() -> None:
    for decisions in ([1, 1], [1, 0], [0, 1]):
        accumulator = multi.MultiLabel(2)
        accumulator.add([multi.row([1, 1], Answer([0.25, 0.25], [0.25, 0.25], decisions, False))])
        found = accumulator.result(["cat", "dog"])
        assert [found["threshold_recall/cat"], found["threshold_recall/dog"]] == decisions
        assert [found["recall/cat"], found["recall/dog"]] == [0, 0]  # at 0.5
