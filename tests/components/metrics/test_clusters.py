"""Intervals whose unit is the image: arithmetic, a bootstrap over images, and coverage by simulation."""

import math

import numpy as np
import pytest

from components import metrics
from components.gates import intervals, model_gate
from components.gates.settings import Threshold
from components.labels import kinds
from components.metrics import clusters, curves, mask, multi
from components.metrics.scored import Answer

ONE = np.ones(1)
Z = intervals.two_sided(0.95)


def worth(part: list, whole: list, weight: list | None = None, most: float = math.inf) -> float:
    a, b = np.array(part, float), np.array(whole, float)
    w = np.ones(len(a)) if weight is None else np.array(weight, float)
    return float(clusters.worth(w @ a, w @ b, clusters.moments(a, b, w), most))


def test_the_effective_number_by_hand() -> None:
    """2 of 2, 1 of 2, 0 of 2, 2 of 2: share 5/8; residuals a - 5/8 b are 3/4, -1/4, -5/4, 3/4, their squares 44/16.

    Variance 4/3 * 44/16 / 8^2 = 0.0573; 5/8 * 3/8 / 0.0573 = 4.09 of the 8 labels.
    """
    assert worth([2, 1, 0, 2], [2, 2, 2, 2], most=8) == pytest.approx(15 / 64 / (4 / 3 * 44 / 16 / 64))


def test_weights_count_in_share_residuals_and_images() -> None:
    """1 of 1 with weight 3, 0 of 1 with 1, twice: share 6/8, w^2 (a - 3/4)^2 is 9/16 four times, n is 64/20 = 3.2."""
    expected = 3 / 16 / (3.2 / 2.2 * 4 * 9 / 16 / 64)
    assert worth([1, 0, 1, 0], [1, 1, 1, 1], [3, 1, 3, 1]) == pytest.approx(expected)
    assert worth([2, 1, 0, 2], [2] * 4, [0.5] * 4) == pytest.approx(worth([2, 1, 0, 2], [2] * 4))


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        ([2, 2, 2], [2, 2, 2], 3),  # all right
        ([0, 0, 0], [2, 2, 2], 3),  # all wrong
        ([1, 1, 1], [2, 2, 2], 3),  # nothing varies
        ([1], [2], 1),
        ([1, 0], [2, 0], 1),  # the other image has no known label
        ([0], [0], 0),
        ([], [], 0),
    ],
)
def test_where_nothing_varies_the_images_count(part: list, whole: list, expected: int) -> None:
    assert worth(part, whole, most=6) == expected


def test_an_effective_number_is_never_larger_than_that_of_the_labels() -> None:
    assert worth([1, 1, 1, 2], [2, 2, 2, 2], most=8) == 8  # 15/64 / (4/3 * 12/16 / 64) = 15


def test_moments_of_parts_add_up() -> None:
    random = np.random.default_rng(0)
    whole, weight = random.integers(0, 5, 9).astype(float), random.random(9)
    part = np.floor(whole / 2)
    parts = [clusters.moments(part[s], whole[s], weight[s]) for s in (slice(0, 4), slice(4, 4), slice(4, 9))]
    assert sum(parts) == pytest.approx(clusters.moments(part, whole, weight))


def test_few_images_know_their_variance_badly() -> None:
    """Student's t of 10 degrees of freedom is 2.228: (1.96 / 2.228)^2 = 0.774. Of 1 and 3, each image is one answer."""
    assert intervals.worth(100, 11, Z) == pytest.approx(77.4, abs=0.05)
    assert intervals.worth(5, 2, Z) == 2
    assert intervals.worth(2.5, 4, Z) == 2.5  # depend on each other more than those of one image
    assert intervals.worth(1, 1, Z) == 1
    assert intervals.worth(7, 1, 0.0) == 7


def by_image(random: np.random.Generator, repeats: int, n: int, labels: int, deviation: float) -> np.ndarray:
    """Right labels of each image: the chance of each is the logistic function of a normal effect of the image."""
    effect = 1.5 + deviation * random.standard_normal((repeats, n))
    return random.binomial(labels, 1 / (1 + np.exp(-effect))).astype(float)


def wilson(share: np.ndarray, n: np.ndarray) -> np.ndarray:
    return np.array([intervals.wilson(p, m, Z) for p, m in zip(share, n, strict=True)]).T


@pytest.mark.parametrize("n", [50, 200, 1000])
@pytest.mark.parametrize(("labels", "deviation", "old"), [(5, 0.0, 0.93), (5, 1.5, 0.88), (20, 1.5, 0.70)])
def test_intervals_cover_the_truth(n: int, labels: int, deviation: float, old: float) -> None:
    """Nominally 95 % of 600 samples: 93 % at least, where 600 samples have a standard error of 0.9 %.

    Of independent labels (no effect of the image), n times `labels` answers would do as well. With the effect, they are
    far too narrow: the variance of the share right grows by 1 + (labels - 1) rho, rho the correlation of two labels of
    an image. It is about 0.27, so the deviation is 1.44 and 2.48 times that of independent labels, and 1.96 / 1.44
    and 1.96 / 2.48 of it cover 83 % and 57 %.
    """
    random = np.random.default_rng(n + labels)
    x = np.linspace(-8, 8, 4001)
    density = np.exp(-x * x / 2)
    truth = (density / (1 + np.exp(-1.5 - deviation * x))).sum() / density.sum()
    right = by_image(random, 600, n, labels, deviation).T  # [n, repeats]
    whole = np.full_like(right, labels)
    sums = clusters.moments(right, whole, np.ones((n, 1)))
    share = right.sum(axis=0) / whole.sum(axis=0)
    effective = clusters.worth(right.sum(axis=0), whole.sum(axis=0), sums, n * labels)
    low, high = wilson(share, np.array([intervals.worth(m, n, Z) for m in effective]))
    assert 0.93 <= ((low <= truth) & (truth <= high)).mean() <= 0.985
    low, high = wilson(share, np.full(600, n * labels))
    covered = ((low <= truth) & (truth <= high)).mean()
    assert covered >= old if deviation == 0 else covered < old


def bootstrap(values: np.ndarray) -> float:
    return float(np.nanstd(values))


def test_multi_label_intervals_agree_with_a_bootstrap_over_images() -> None:
    random, n, k = np.random.default_rng(3), 200, 6
    effect = random.standard_normal((n, 1))
    target = (random.random((n, k)) < 0.4).astype(float)
    right = random.random((n, k)) < 1 / (1 + np.exp(-1 - 1.5 * effect))
    score = np.where(right == (target > 0), 0.8, 0.2)
    target[random.random((n, k)) < 0.1] = -1
    weight = random.integers(1, 4, n).astype(float)

    def found(images: np.ndarray) -> dict:
        accumulator = multi.MultiLabel(k)
        for half in np.array_split(images, 2):  # as two workers have them
            part = multi.MultiLabel(k)
            part.add([multi.row(target[i], Answer(score[i], score[i], score[i] > 0.5, False), weight[i]) for i in half])
            part._flush()
            accumulator.merge([part])
        return accumulator.result([str(i) for i in range(k)])

    result = found(np.arange(n))
    draws = [found(random.integers(0, n, n)) for _ in range(100)]
    for metric, count in [("binary_accuracy", "known"), ("cosine_similarity", "cosines")]:
        p = result[metric]
        assert math.sqrt(p * (1 - p) / result[f"effective_{count}"]) == pytest.approx(
            bootstrap(np.array([d[metric] for d in draws])), rel=0.2
        ), metric
    jaccard = np.array([d["micro_f1"] / (2 - d["micro_f1"]) for d in draws])
    j = result["micro_f1"] / (2 - result["micro_f1"])
    assert math.sqrt(j * (1 - j) / result["effective_involved"]) == pytest.approx(bootstrap(jaccard), rel=0.2)


def test_mask_intervals_agree_with_a_bootstrap_over_images() -> None:
    random, n, k = np.random.default_rng(4), 150, 3
    share = random.dirichlet([4, 2, 1], n)
    wrong = random.beta(2, 6, n)
    flow = wrong[:, None, None] / k + (1 - wrong)[:, None, None] * np.eye(k)
    pixels = np.round(10_000 * share[:, :, None] * flow)
    nothing = np.zeros((2, 3, curves.CALIBRATION_BINS))
    rows = np.stack(
        [mask.row(each, nothing, False, w) for each, w in zip(pixels, random.integers(1, 3, n), strict=True)]
    )
    names = ["a", "b", "c"]

    def found(images: np.ndarray) -> dict:
        accumulator = mask.Mask(k)
        accumulator.add(rows[images])
        return accumulator.result(names)

    result = found(np.arange(n))
    draws = [found(random.integers(0, n, n)) for _ in range(150)]
    for metric in (*mask.INTERVALS, *(metrics.key(m, c) for m in ("iou", "recall", "precision") for c in names)):
        p = result[metric]
        assert math.sqrt(p * (1 - p) / result[f"effective_{metric}"]) == pytest.approx(
            bootstrap(np.array([d[metric] for d in draws])), rel=0.25
        ), metric


def test_mean_iou_of_one_image_and_of_perfect_images() -> None:
    """IoU 2/3 and 1/2 of one image: worth one image. Of label b in one image of two, nothing is known but that."""
    nothing = np.zeros((2, 3, curves.CALIBRATION_BINS))

    def result(*pixels: list) -> dict:
        accumulator = mask.Mask(2)
        accumulator.add([mask.row(each, nothing, False) for each in pixels])
        return accumulator.result(["a", "b"])

    one = result([[2, 1], [0, 1]])
    assert one["mean_iou"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert one["effective_mean_iou"] == pytest.approx(
        7 / 12 * 5 / 12 / ((2 / 9 + 1 / 4) / 4)  # both shares of one answer each, independent of each other
    )
    perfect = result([[2, 0], [0, 1]], [[1, 0], [0, 1]], [[3, 0], [0, 0]])
    assert [perfect[f"effective_{m}"] for m in mask.INTERVALS] == [3, 3, 3]
    assert [perfect[f"effective_iou/{c}"] for c in "ab"] == [3, 2]


@pytest.mark.parametrize(
    ("metric", "task", "numbers", "share", "n"),
    [
        ("abstained", "single_label", {"abstained": 0.25, "effective_count": 8.0}, 0.25, 8),
        ("abstained", "segmentation", {"abstained": 0.25, "effective_count": 8.0}, 0.25, 8),
        (
            "out_of_distribution_abstained",
            "multi_label",
            {"out_of_distribution_abstained": 0.5, "out_of_distribution_images": 4.0, "effective_count": 8.0},
            0.5,
            4,
        ),
    ],
)
def test_the_share_of_abstentions_has_an_interval(metric: str, task: str, numbers: dict, share: float, n: int) -> None:
    rule = Threshold(metric=metric, max=1, min=0)
    numbers = {"example_count": 8.0, **numbers}
    [verdict] = model_gate.thresholds([rule], ["a"], task, [({}, numbers)], None)
    assert verdict.interval == pytest.approx(intervals.wilson(share, n, Z))
    assert verdict.examples == n


def test_rates_at_a_label_s_own_threshold_have_the_interval_of_what_it_decides() -> None:
    """By its threshold, label a is predicted for 3 images, rightly for 2, and missed once: tp 2, fp 1, fn 1."""
    accumulator = kinds.kind("multi_label").accumulator(1)
    for applies, chosen in [(1, True), (1, True), (0, True), (1, False), (0, False)]:
        accumulator.add([multi.row([applies], Answer([0.1], [0.1], [chosen], False))])
    results = [({}, dict(accumulator.result(["a"])))]
    rules = [Threshold(metric=f"threshold_{m}", label="a", min=0) for m in ("precision", "recall", "f1")]
    found = model_gate.thresholds(rules, ["a"], "multi_label", results, None)
    assert [v.examples for v in found] == [3, 3, 4]
    expected = [intervals.wilson(2 / 3, 3, Z), intervals.wilson(2 / 3, 3, Z), intervals.f1(4 / 6, 4, Z)]
    assert [v.interval for v in found] == [pytest.approx(each) for each in expected]
