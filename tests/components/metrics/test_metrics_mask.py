"""segmentation: every metric by name against scikit-learn over the pixels."""

import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from sklearn import metrics as sk

from components import metrics
from components.labels import kinds
from components.metrics import curves, mask

LABELS = ("sky", "road", "car", "red|bus")
K = len(LABELS)
NOTHING = np.zeros((2, 3, curves.CALIBRATION_BINS))  # calibration of no pixels


@dataclass(frozen=True)
class Sample:
    """Truth [n, P], -1 ignored, predictions [n, P], weights [n]; P pixels per image.

    `confidence` float32 [2, n, P]: each prediction's probability, and the same without calibration.
    """

    truth: np.ndarray
    predicted: np.ndarray
    weight: np.ndarray
    confidence: np.ndarray

    @property
    def abstained(self) -> np.ndarray:
        return np.arange(len(self.weight)) % 3 == 0

    def pixels(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Truth, prediction and weight of every pixel that is not ignored."""
        known = self.truth >= 0
        return self.truth[known], self.predicted[known], np.broadcast_to(self.weight[:, None], known.shape)[known]

    def result(self) -> metrics.base.Result:
        accumulator = mask.Mask(K)
        for i, (truth, predicted, weight) in enumerate(zip(self.truth, self.predicted, self.weight, strict=True)):
            known = truth >= 0
            confusion = sk.confusion_matrix(truth[known], predicted[known], labels=range(K))
            hit, ones = (predicted == truth)[known, None], np.ones((known.sum(), 1))
            calibration = [curves.calibration(score[i][known, None], hit, ones) for score in self.confidence]
            accumulator.add([mask.row(confusion, calibration, self.abstained[i], weight)])
        return accumulator.result(LABELS)


def sample(n: int, *, weighted: bool = False, ignored: float = 0.0, seed: int = 0) -> Sample:
    random = np.random.default_rng(seed)
    truth = random.choice(K, (n, 60), p=[0.5, 0.3, 0.15, 0.05])
    predicted = np.where(random.random((n, 60)) < 0.6, truth, random.integers(0, K, (n, 60)))
    truth[random.random((n, 60)) < ignored] = -1
    weight = random.integers(1, 33, n) / 8 if weighted else np.ones(n)
    return Sample(truth, predicted, weight, random.uniform(1 / K, 1, (2, n, 60)).astype(np.float32))


def replaced(s: Sample, label: int, *, truth: int | None = None, predicted: int | None = None) -> Sample:
    """`label` as another one in the truth, in the predictions, or both."""
    if truth is not None:
        s.truth[s.truth == label] = truth
    if predicted is not None:
        s.predicted[s.predicted == label] = predicted
    return s


EVERY_LABEL = {
    "plain": sample(30),
    "weighted": sample(30, weighted=True, seed=1),
    "ignored pixels": sample(30, weighted=True, ignored=0.3, seed=2),
    "many": sample(3000, weighted=True, seed=3),
    "one": sample(1, seed=4),
    "never predicted": replaced(sample(30, seed=5), 2, predicted=0),
}
SOME_LABELS = {
    "only predicted": replaced(sample(30, seed=6), 2, truth=0),
    "nowhere": replaced(sample(30, weighted=True, seed=7), 2, truth=0, predicted=1),
    "ignored": replaced(sample(30, weighted=True, seed=8), 1, truth=-1),
}
SAMPLES = EVERY_LABEL | SOME_LABELS


@pytest.mark.parametrize("name", SAMPLES)
def test_metrics_per_label_are_scikit_learn_s(name: str) -> None:
    found = SAMPLES[name].result()
    truth, predicted, weight = SAMPLES[name].pixels()
    for i, label in enumerate(LABELS):
        t, p, told = truth == i, predicted == i, {"sample_weight": weight, "zero_division": np.nan}
        expected = {
            # jaccard_score knows no NaN.
            "iou": sk.jaccard_score(t, p, sample_weight=weight) if (t | p).any() else np.nan,
            "precision": sk.precision_score(t, p, **told),
            "recall": sk.recall_score(t, p, **told),
            "support": weight[t].sum(),
        }
        assert set(expected) == set(kinds.kind("segmentation").per_label)
        for metric, value in expected.items():
            assert found[f"{metric}/{label}"] == pytest.approx(value, abs=1e-12, nan_ok=True), (metric, label)


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


@pytest.mark.parametrize("name", SAMPLES)
def test_overall_metrics_are_scikit_learn_s(name: str) -> None:
    """Means over the labels that occur in the truth."""
    s = SAMPLES[name]
    found = s.result()
    truth, predicted, weight = s.pixels()
    calibrated, raw = (score[s.truth >= 0].astype(np.float64) for score in s.confidence)
    labelled = (s.truth >= 0).any(axis=1)
    told = {"labels": np.unique(truth), "sample_weight": weight}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of predictions that are not in the truth
        expected = {
            "pixel_accuracy": sk.accuracy_score(truth, predicted, sample_weight=weight),
            "mean_class_accuracy": sk.balanced_accuracy_score(truth, predicted, sample_weight=weight),
            "mean_iou": sk.jaccard_score(truth, predicted, average="macro", **told),
            "frequency_weighted_iou": sk.jaccard_score(truth, predicted, average="weighted", **told),
            "ece": ece(calibrated, predicted == truth, weight),
            "uncalibrated_ece": ece(raw, predicted == truth, weight),
            "abstained": np.average(s.abstained[labelled], weights=s.weight[labelled]),
        }
    assert set(expected) == set(kinds.kind("segmentation").overall)
    for metric, value in expected.items():
        # An image's scores are summed up in float32.
        assert found[metric] == pytest.approx(value, abs=1e-6 if metric.endswith("ece") else 1e-12), metric


@pytest.mark.parametrize("name", EVERY_LABEL)
def test_mean_iou_is_scikit_learn_s_where_every_label_occurs(name: str) -> None:
    truth, predicted, weight = SAMPLES[name].pixels()
    expected = sk.jaccard_score(truth, predicted, average="macro", sample_weight=weight)
    assert SAMPLES[name].result()["mean_iou"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_confusion_matrix_and_the_counts_are_scikit_learn_s(name: str) -> None:
    s = SAMPLES[name]
    found = s.result()
    truth, predicted, weight = s.pixels()
    expected = sk.confusion_matrix(truth, predicted, labels=range(K), sample_weight=weight)
    np.testing.assert_allclose(found["confusion_matrix"], expected, rtol=1e-12)
    assert found["example_count"] == len(s.weight)
    assert found["weighted_count"] == pytest.approx(s.weight.sum())


def test_metrics_match_a_calculation_by_hand() -> None:
    accumulator = mask.Mask(2)
    # Two images, the second twice: [[3, 1], [0, 0]] + 2 · [[1, 0], [1, 2]] = [[5, 1], [2, 4]]; a third all ignored.
    # Of the first image, 4 pixels say 0.5 in the eighth bin, 3 rightly; of the second, 4 say 1, of which 3 are right;
    # without calibration the first says 0.75, in the twelfth.
    first, second = NOTHING.copy(), NOTHING.copy()
    first[0, :, 7], first[1, :, 11], second[:, :, 14] = [4, 2, 3], [4, 3, 3], [4, 4, 3]
    rows = [mask.row([[3, 1], [0, 0]], first, False), mask.row([[1, 0], [1, 2]], second, True, 2.0)]
    accumulator.add([*rows, mask.row(np.zeros((2, 2)), NOTHING, True)])
    found = accumulator.result(["sky", "road"])
    assert found["ece"] == pytest.approx((abs(2 - 3) + 2 * abs(4 - 3)) / 12)
    assert found["uncalibrated_ece"] == pytest.approx((abs(3 - 3) + 2 * abs(4 - 3)) / 12)
    assert found["abstained"] == pytest.approx(2 / 3)  # the third has no label
    assert found["confusion_matrix"].tolist() == [[5, 1], [2, 4]]
    assert found["unlabelled_count"] == 1
    assert found["pixel_accuracy"] == pytest.approx(9 / 12)
    assert found["iou/sky"] == pytest.approx(5 / 8)  # 5 / (5 + 1 + 2)
    assert found["iou/road"] == pytest.approx(4 / 7)
    assert found["mean_iou"] == pytest.approx((5 / 8 + 4 / 7) / 2)
    assert found["frequency_weighted_iou"] == pytest.approx((6 * 5 / 8 + 6 * 4 / 7) / 12)
    assert found["mean_class_accuracy"] == pytest.approx((5 / 6 + 4 / 6) / 2)
    assert found["precision/sky"] == pytest.approx(5 / 7)
    assert found["support/road"] == 6


def test_large_counts_stay_exact() -> None:
    """Photos of 16 million pixels, a thousand of them."""
    accumulator = mask.Mask(2)
    accumulator.add([mask.row([[2**24, 0], [1, 0]], NOTHING, False)] * 1000)
    assert accumulator.result(["sky", "road"])["confusion_matrix"].tolist() == [[2**24 * 1000, 0], [1000, 0]]
