"""The numbers of a comparison: figures against scikit-learn, intervals against SciPy and by hand."""

import math

import numpy as np
import pytest
from scipy import special, stats
from sklearn import metrics

from components.labels import kinds, outputs
from components.metrics import curves
from components.model.comparing import intervals, record
from components.model.comparing.figures import Judged, figures, without_groups
from components.model.comparing.record import Measured

NONE = np.zeros(0)


def answers(task: str, probabilities: np.ndarray, target: np.ndarray, weight: np.ndarray) -> Judged:
    """The rows of answers; target [n, K]: 1 applies, 0 does not, -1 unknown."""
    kind, rows = kinds.kind(task), []
    names = [str(i) for i in range(probabilities.shape[1])]
    for p, truth, w in zip(probabilities, target, weight, strict=True):
        applies, unknown = ([name for name, t in zip(names, truth, strict=True) if t == state] for state in (1, -1))
        answer = {outputs.PROBABILITIES: p, outputs.UNCALIBRATED: p, outputs.DECISIONS: p >= 0.5}
        row = kind.row(
            applies, unknown, {name: i for i, name in enumerate(names)}, answer | {outputs.ABSTAIN: False}, w
        )
        rows.append(row)
    return Judged(np.stack(rows), NONE)


def test_figures_of_one_label_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(1)
    truth = np.repeat([0, 1, 2], [40, 15, 5])
    p = special.softmax(random.normal(size=(60, 3)) + 1.5 * np.eye(3)[truth], axis=1).astype(np.float32)
    weight = random.choice([1.0, 2.0], 60)
    found = figures(kinds.kind("single_label"), 3, answers("single_label", p, np.eye(3)[truth], weight))
    told = {"sample_weight": weight}
    assert found == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(truth, p.argmax(1), **told),
            "balanced_accuracy": metrics.balanced_accuracy_score(truth, p.argmax(1), **told),
            "macro_f1": metrics.f1_score(truth, p.argmax(1), average="macro", **told),
            "loss": metrics.log_loss(truth, p / p.sum(1, keepdims=True), **told),
        },
        abs=1e-6,
    )


def test_figures_of_several_labels_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(2)
    target = (random.random((80, 4)) < [0.5, 0.3, 0.2, 0.1]).astype(int)
    p = special.expit(random.normal(size=(80, 4)) + 2 * target - 1).astype(np.float32)
    found = figures(kinds.kind("multi_label"), 4, answers("multi_label", p, target, np.ones(80)))
    assert found == pytest.approx(
        {
            "mean_average_precision": metrics.average_precision_score(target, p, average="macro"),
            "macro_f1": metrics.f1_score(target, p >= 0.5, average="macro"),
            "binary_accuracy": float(((p >= 0.5) == target).mean()),
            "loss": np.mean([metrics.log_loss(t, q, labels=[0, 1]) for t, q in zip(target.T, p.T, strict=True)]),
        },
        abs=1e-6,
    )


def test_figures_of_masks_are_those_of_all_pixels_and_the_mean_loss_of_the_images() -> None:
    # 8 pixels of 0, 6 right; 4 of 1, 3 right. IoU: 6 / (8 + 7 - 6) and 3 / (4 + 5 - 3); right: 9 of 12.
    kind = kinds.kind("segmentation")
    rows = []
    for confusion, weight in (([4, 1, 0, 2], 1.0), ([2, 1, 1, 1], 1.0), ([9, 9, 9, 9], 0.0)):
        answer = {
            outputs.CONFUSION: np.array(confusion),
            outputs.CALIBRATION: np.zeros((2, 3, curves.CALIBRATION_BINS)),
        }
        rows.append(kind.row((), (), {}, answer | {outputs.ABSTAIN: False}, weight))
    found = figures(kind, 2, Judged(np.stack(rows), np.array([0.25, 0.75, 9.0])))
    assert found == pytest.approx({"mean_iou": (6 / 9 + 3 / 6) / 2, "pixel_accuracy": 9 / 12, "loss": 0.5})


def test_an_image_without_a_known_pixel_has_no_loss() -> None:
    kind = kinds.kind("segmentation")
    nothing = {outputs.CALIBRATION: np.zeros((2, 3, curves.CALIBRATION_BINS)), outputs.ABSTAIN: False}
    rows = [kind.row((), (), {}, {outputs.CONFUSION: np.array(c), **nothing}, 1.0) for c in ([1, 0, 0, 1], [0] * 4)]
    assert figures(kind, 2, Judged(np.stack(rows), np.array([0.5, np.nan])))["loss"] == 0.5


def test_the_interval_over_seeds_is_students() -> None:
    values = [0.71, 0.74, 0.72, 0.79]
    expected = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert intervals.over_seeds(values) == pytest.approx(expected)
    assert intervals.over_seeds([0.7]) is None
    assert intervals.over_seeds([0.7, 0.7]) == (0.7, 0.7)
    assert intervals.over_seeds([0.7, math.nan]) is None


def test_the_jackknife_of_a_share_is_its_binomial_variance() -> None:
    # Of 20 images 15 are right. Leaving out one after another gives, with (n - 1) / n times the sum of (p_i - p)^2,
    # a variance of p (1 - p) / (n - 1).
    p = np.tile([[0.9, 0.1]], (20, 1)).astype(np.float32)
    target = np.eye(2)[[0] * 15 + [1] * 5]
    kind = kinds.kind("single_label")
    without = without_groups(kind, 2, answers("single_label", p, target, np.ones(20)))
    assert without.shape == (20, 4)
    place = kind.compared.index("accuracy")
    deviation = math.sqrt(0.75 * 0.25 / 19)
    expected = stats.t.interval(0.95, 19, loc=0.75, scale=deviation)
    assert intervals.over_both([0.75], without[:, place]) == pytest.approx(expected)


def test_more_images_than_groups_are_left_out_several_at_a_time() -> None:
    p = np.tile([[0.9, 0.1]], (90, 1)).astype(np.float32)
    judged = answers("single_label", p, np.eye(2)[[0, 1] * 45], np.ones(90))
    assert without_groups(kinds.kind("single_label"), 2, judged).shape == (40, 4)


def test_both_sources_of_chance_add_up_with_satterthwaites_degrees_of_freedom() -> None:
    values, without = [0.10, 0.14, 0.12], np.array([0.11, 0.12, 0.13, 0.12])
    over_seeds = np.var(values, ddof=1) / 3
    over_images = 3 / 4 * np.sum((without - without.mean()) ** 2)
    degrees = (over_seeds + over_images) ** 2 / (over_seeds**2 / 2 + over_images**2 / 3)
    expected = stats.t.interval(0.95, degrees, loc=0.12, scale=math.sqrt(over_seeds + over_images))
    assert intervals.over_both(values, without) == pytest.approx(expected)
    assert intervals.over_both([0.0, 0.0], np.zeros(3)) == (0, 0)
    assert intervals.over_both([0.1, math.nan], without) is None


@pytest.mark.parametrize(
    ("interval", "expected"), [(None, False), ((-0.1, 0.1), False), ((0.0, 0.0), False), ((0.01, 0.1), True)]
)
def test_beyond_chance_is_an_interval_without_0(interval: intervals.Interval | None, expected: bool) -> None:
    assert intervals.is_beyond_chance(interval) is expected


def measured(value: float, seconds: float = 1.0) -> Measured:
    return Measured(np.array([value]), np.full((3, 1), value), seconds)


def test_a_method_is_compared_seed_by_seed() -> None:
    first = {1: measured(0.50), 2: measured(0.60), 3: measured(0.70)}
    own = {1: measured(0.52, 4.0), 2: measured(0.63, 9.0), 3: measured(0.71, 5.0)}
    found = record.summarised("other", {"imbalance": "none"}, ["accuracy"], own, first)
    # The seeds differ by 0.1 from one another and the methods by 0.02, 0.03, 0.01: 0.02 +- 4.303 * 0.01 / sqrt(3).
    assert found.differences["accuracy"].mean == pytest.approx(0.02)
    assert found.differences["accuracy"].seeds == pytest.approx((-0.00484, 0.04484), abs=1e-5)
    assert found.figures["accuracy"].mean == pytest.approx(0.62)
    assert found.figures["accuracy"].values == (0.52, 0.63, 0.71)
    assert found.seconds == 5.0  # the first training also computes features that the others share


def test_a_seed_that_failed_is_left_out_of_both() -> None:
    first, own = {1: measured(0.5), 2: measured(0.6)}, {2: measured(0.7)}
    found = record.summarised("other", {}, ["accuracy"], own, first, "the loss is not finite")
    assert found.differences["accuracy"].mean == pytest.approx(0.1)
    assert found.differences["accuracy"].seeds is None
    assert found.reason == "the loss is not finite"
    nothing = record.summarised("other", {}, ["accuracy"], {}, first, "too small")
    assert (nothing.figures, nothing.seconds, nothing.reason) == ({}, None, "too small")
