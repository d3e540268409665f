"""segmentation: every metric by name against scikit-learn over the pixels."""

import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from sklearn import metrics as sk

from components import metrics
from components.metrics import mask

LABELS = ("sky", "road", "car", "red|bus")
K = len(LABELS)


@dataclass(frozen=True)
class Sample:
    """Truth [n, P], -1 ignored, predictions [n, P], weights [n]; P pixels per image."""

    truth: np.ndarray
    predicted: np.ndarray
    weight: np.ndarray

    def pixels(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Truth, prediction and weight of every pixel that is not ignored."""
        known = self.truth >= 0
        return self.truth[known], self.predicted[known], np.broadcast_to(self.weight[:, None], known.shape)[known]

    def result(self) -> metrics.base.Result:
        accumulator = mask.Mask(K)
        for truth, predicted, weight in zip(self.truth, self.predicted, self.weight, strict=True):
            known = truth >= 0
            accumulator.add([mask.row(sk.confusion_matrix(truth[known], predicted[known], labels=range(K)), weight)])
        return accumulator.result(LABELS)


def sample(n: int, *, weighted: bool = False, ignored: float = 0.0, seed: int = 0) -> Sample:
    random = np.random.default_rng(seed)
    truth = random.choice(K, (n, 60), p=[0.5, 0.3, 0.15, 0.05])
    predicted = np.where(random.random((n, 60)) < 0.6, truth, random.integers(0, K, (n, 60)))
    truth[random.random((n, 60)) < ignored] = -1
    return Sample(truth, predicted, random.integers(1, 33, n) / 8 if weighted else np.ones(n))


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
def test_metrics_per_label(name: str) -> None:
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
        assert set(expected) == set(metrics.PER_LABEL["segmentation"])
        for metric, value in expected.items():
            assert found[f"{metric}/{label}"] == pytest.approx(value, abs=1e-12, nan_ok=True), (metric, label)


@pytest.mark.parametrize("name", SAMPLES)
def test_overall_metrics(name: str) -> None:
    """Means over the labels that occur in the truth."""
    found = SAMPLES[name].result()
    truth, predicted, weight = SAMPLES[name].pixels()
    told = {"labels": np.unique(truth), "sample_weight": weight}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of predictions that are not in the truth
        expected = {
            "pixel_accuracy": sk.accuracy_score(truth, predicted, sample_weight=weight),
            "mean_class_accuracy": sk.balanced_accuracy_score(truth, predicted, sample_weight=weight),
            "mean_iou": sk.jaccard_score(truth, predicted, average="macro", **told),
            "frequency_weighted_iou": sk.jaccard_score(truth, predicted, average="weighted", **told),
        }
    assert set(expected) == set(metrics.OVERALL["segmentation"])
    for metric, value in expected.items():
        assert found[metric] == pytest.approx(value, abs=1e-12), metric


@pytest.mark.parametrize("name", EVERY_LABEL)
def test_mean_iou_where_every_label_occurs_is_scikit_learns(name: str) -> None:
    truth, predicted, weight = SAMPLES[name].pixels()
    expected = sk.jaccard_score(truth, predicted, average="macro", sample_weight=weight)
    assert SAMPLES[name].result()["mean_iou"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_confusion_matrix_and_the_counts(name: str) -> None:
    s = SAMPLES[name]
    found = s.result()
    truth, predicted, weight = s.pixels()
    expected = sk.confusion_matrix(truth, predicted, labels=range(K), sample_weight=weight)
    np.testing.assert_allclose(found["confusion_matrix"], expected, rtol=1e-12)
    assert found["example_count"] == len(s.weight)
    assert found["weighted_count"] == pytest.approx(s.weight.sum())


def test_by_hand() -> None:
    accumulator = mask.Mask(2)
    # Two images, the second twice: [[3, 1], [0, 0]] + 2 · [[1, 0], [1, 2]] = [[5, 1], [2, 4]]; a third all ignored.
    accumulator.add([mask.row([[3, 1], [0, 0]]), mask.row([[1, 0], [1, 2]], 2.0), mask.row(np.zeros((2, 2)))])
    found = accumulator.result(["sky", "road"])
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
    accumulator.add([mask.row([[2**24, 0], [1, 0]])] * 1000)
    assert accumulator.result(["sky", "road"])["confusion_matrix"].tolist() == [[2**24 * 1000, 0], [1000, 0]]
