"""Temperature and Platt scaling against fits of NumPy and scikit-learn; thresholds against every possible cut."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import linear_model
from sklearn import metrics as sk

from components.model import calibration

# A temperature for all.


def drawn(n: int, t: float, *, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and truths drawn from the softmax of logits / t: t is right."""
    random = np.random.default_rng(seed)
    logits = random.normal(scale=2.0, size=(n, classes)) * t
    noise = random.gumbel(size=(n, classes))  # the largest of logits + noise is drawn from their softmax
    return logits.astype(np.float32), (logits / t + noise).argmax(axis=1)


def entropies(logits: np.ndarray, truth: np.ndarray, t: float) -> np.ndarray:
    """[n, K]: -log softmax(logits / t)."""
    z = logits.astype(np.float64) / t
    return np.log(np.exp(z - z.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True)) + z.max(axis=1)[:, None] - z


def held(logits: np.ndarray, truth: np.ndarray, weight: np.ndarray, t: float) -> np.ndarray:
    """Cross-entropy of each with the truth."""
    return weight * entropies(logits, truth, t)[np.arange(len(truth)), truth]


def objective(logits: np.ndarray, truth: np.ndarray, weight: np.ndarray, t: float) -> float:
    """Cross-entropy with Platt's targets: (n + 1) / (n + 2) for the truth, the rest in equal parts for the others."""
    n, k = logits.shape
    target = np.full((n, k), 1 / (n + 2) / (k - 1))
    target[np.arange(n), truth] = (n + 1) / (n + 2)
    return weight @ (target * entropies(logits, truth, t)).sum(axis=1)


@pytest.mark.parametrize("t", [0.2, 0.5, 2.0, 7.0])
def test_the_temperature_that_the_truths_were_drawn_with_is_found(t: float) -> None:
    logits, truth = drawn(20_000, t)
    assert calibration.temperature(logits, truth, np.ones(20_000)) == pytest.approx(t, rel=0.03)


@pytest.mark.parametrize("seed", range(5))
def test_no_temperature_is_better(seed: int) -> None:
    logits, truth = drawn(300, 3.0, seed=seed)
    weight = np.random.default_rng(seed).uniform(0.5, 3, 300)
    found = calibration.temperature(logits, truth, weight)
    grid = min(objective(logits, truth, weight, t) for t in np.geomspace(0.01, 100, 4001))
    assert found != 1
    assert objective(logits, truth, weight, found) <= grid + 1e-6


def best(logits: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> float:
    grid = np.geomspace(0.01, 100, 2001)
    return float(grid[np.argmin([objective(logits, truth, weight, t) for t in grid])])


def test_a_temperature_is_used_only_where_it_helps_images_it_was_not_fitted_to() -> None:
    """Every fifth image is held out in turn; here by a search over a grid."""
    used = []
    for seed in range(24):
        logits, truth = drawn(30, (1.0, 10.0)[seed % 2], classes=3, seed=seed)
        weight, fold = np.random.default_rng(seed).uniform(0.5, 3, 30), np.arange(30) % 5
        out = [(fold != i, fold == i) for i in range(5)]
        gains = []
        for i, o in out:
            t = best(logits[i], truth[i], weight[i])
            one, found = (held(logits[o], truth[o], weight[o], x) for x in (1.0, t))
            gains.append(one - found)
        gain = np.concatenate(gains)
        beyond = gain.sum() - 1.64 * gain.std() * np.sqrt(30)
        if abs(beyond) > 0.02:  # the grid is coarse
            found = calibration.temperature(logits, truth, weight)
            assert (found != 1) == (beyond > 0), seed
            used.append(found != 1)
    assert 5 < sum(used) < len(used) - 5


@pytest.mark.parametrize("n", [0, 1, 4])
def test_fewer_images_than_folds_leave_the_temperature_at_one(n: int) -> None:
    logits, truth = drawn(n, 9.0)
    assert calibration.temperature(logits, truth, np.ones(n)) == 1


def test_only_the_ratio_of_weights_matters_and_a_weight_of_2_counts_as_two_images() -> None:
    logits, truth = drawn(2000, 3.0)
    weight = np.random.default_rng(1).integers(1, 4, 2000)
    found = calibration.temperature(logits, truth, weight.astype(float))
    assert calibration.temperature(logits, truth, weight * 0.25) == pytest.approx(found, rel=1e-5)
    copies = calibration.temperature(np.repeat(logits, weight, axis=0), np.repeat(truth, weight), np.ones(weight.sum()))
    # Targets and folds count the rows, which makes a difference of about a thousandth here.
    assert copies == pytest.approx(found, rel=5e-3)
    assert calibration.temperature(logits, truth, np.ones(2000)) != pytest.approx(found, rel=5e-3)


def test_probabilities_without_an_error_do_not_become_certain() -> None:
    """Ten images, each right by a logit of 1: nobody knows that the eleventh will be. Platt's target is 11 / 12."""
    truth = np.arange(10) % 2
    t = calibration.temperature(np.eye(2)[truth], truth, np.ones(10))
    assert 1 / (1 + np.exp(-1 / t)) == pytest.approx(11 / 12, rel=1e-4)


# A line per label.


def platt_of_scikit_learn(z: np.ndarray, applies: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Logistic regression on each image twice, as applying and as not, weighed by Platt's target."""
    share = weight * len(weight) / weight.sum()
    positive, negative = share[applies].sum(), share[~applies].sum()
    soft = np.where(applies, (positive + 1) / (positive + 2), 1 / (negative + 2))
    x, y = np.concatenate([z, z])[:, None], np.repeat([1, 0], len(z))
    model = linear_model.LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000)
    model.fit(x, y, sample_weight=np.concatenate([weight * soft, weight * (1 - soft)]))
    return model.coef_.item(), model.intercept_.item()


def lines(n: int, seed: int, *, scale: tuple[float, ...] = (0.5, 1.5, 3.0), bias: tuple[float, ...] = (1.0, -2.0, 0.5)):
    """(logits [n, 3], targets drawn with these scales and biases, weights)."""
    random = np.random.default_rng(seed)
    logits = random.normal(scale=2.0, size=(n, 3))
    target = random.random((n, 3)) < 1 / (1 + np.exp(-(logits * scale + bias)))
    return logits.astype(np.float32), target.astype(np.float32), random.uniform(0.5, 3, n)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("unknown", [0.0, 0.4])
def test_each_label_gets_the_scale_and_bias_of_scikit_learn(seed: int, unknown: float) -> None:
    logits, target, weight = lines(200, seed)
    target[np.random.default_rng(seed + 10).random(target.shape) < unknown] = -1
    scale, bias = calibration.platt(logits, target, weight)
    assert (scale != 1).sum() >= 2
    for i in range(3):
        known = target[:, i] >= 0
        z, applies = logits[known, i].astype(np.float64), target[known, i] > 0
        if bias[i] == 0:  # not beyond chance; see below
            continue
        expected = platt_of_scikit_learn(z, applies, weight[known])
        assert (scale[i], bias[i]) == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_the_scales_and_biases_that_the_targets_were_drawn_with_are_found() -> None:
    logits, target, _ = lines(30_000, 5)
    scale, bias = calibration.platt(logits, target, np.ones(30_000))
    np.testing.assert_allclose(scale, (0.5, 1.5, 3.0), rtol=0.06)
    np.testing.assert_allclose(bias, (1.0, -2.0, 0.5), atol=0.06)


def test_images_with_an_unknown_label_do_not_change_its_calibration() -> None:
    logits, target, weight = lines(200, 6)
    unknown = np.random.default_rng(0).random(target.shape) < 0.3
    target[unknown] = -1
    other = np.where(unknown, np.float32(1e6), logits)
    np.testing.assert_array_equal(calibration.platt(other, target, weight), calibration.platt(logits, target, weight))


def common(logits: np.ndarray, target: np.ndarray, weight: np.ndarray) -> float:
    """1 / temperature with the least cross-entropy of all entries, by a search over a grid."""

    def loss(scale: float) -> float:
        p = np.clip(1 / (1 + np.exp(-logits.astype(np.float64) * scale)), 1e-300, 1 - 1e-16)
        n = target.size
        soft = np.where(target > 0, n + 1, 1) / (n + 2)
        return -(weight[:, None] * (soft * np.log(p) + (1 - soft) * np.log(1 - p))).sum()

    grid = np.geomspace(0.05, 20, 4001)
    return float(grid[np.argmin([loss(scale) for scale in grid])])


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0], ids=["nowhere", "everywhere", "unknown"])
def test_a_label_without_both_cases_gets_the_temperature_of_the_others(value: float) -> None:
    logits, target, weight = lines(200, 7, scale=(3.0,) * 3, bias=(0.0,) * 3)
    target[:, 1] = value
    scale, bias = calibration.platt(logits, target, weight)
    others = common(logits[:, [0, 2]], target[:, [0, 2]], weight)
    assert (scale[1], bias[1]) == (pytest.approx(others, rel=2e-3), 0)
    assert others > 2


def test_a_label_that_is_answered_the_wrong_way_round_becomes_unsure_but_is_not_turned() -> None:
    logits, target, weight = lines(500, 8, scale=(-1.0, 0.5, 2.0))
    scale, bias = calibration.platt(logits, target, weight)
    assert 0 < scale[0] < 0.5
    assert bias[0] == 0
    assert scale[1:] == pytest.approx([0.5, 2.0], rel=0.3)


@pytest.mark.parametrize("seed", range(4))
def test_forty_images_are_enough_for_a_common_temperature_of_ten_labels(seed: int) -> None:
    """Each label applies to a dozen of 40 images, too few for a line; 400 entries tell that logits are too large."""
    random = np.random.default_rng(seed)
    logits = random.normal(-1, 1.5, (40, 10))
    target = (random.random((40, 10)) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    assert set(range(1, 40)).issuperset(target.sum(axis=0))
    scale, bias = calibration.platt(3 * logits, target, np.ones(40))
    rest = bias == 0
    assert scale[rest] == pytest.approx(common(3 * logits[:, rest], target[:, rest], np.ones(40)), rel=2e-3)
    assert rest.sum() >= 7


def test_a_label_that_is_calibrated_already_mostly_stays_unchanged() -> None:
    stays = []
    for seed in range(40):
        logits, target, weight = lines(20, seed, scale=(1.0,) * 3, bias=(0.0,) * 3)
        scale, bias = calibration.platt(logits, target, weight)
        stays += ((scale == 1) & (bias == 0)).tolist()
    assert np.mean(stays) > 0.6


def test_a_label_with_fewer_images_than_folds_is_not_calibrated() -> None:
    logits, target = np.array([[-9.0], [9.0], [9.0], [-9.0]]), np.array([[1.0], [0.0], [1.0], [0.0]])
    assert [x.tolist() for x in calibration.platt(logits, target, np.ones(4))] == [[1], [0]]


def test_a_weight_of_2_counts_like_two_images_of_a_label() -> None:
    logits, target, _ = lines(2000, 9)
    weight = np.random.default_rng(1).integers(1, 4, 2000)
    found = calibration.platt(logits, target, weight.astype(float))
    np.testing.assert_allclose(calibration.platt(logits, target, weight * 0.25), found, rtol=1e-4)
    copies = calibration.platt(*(np.repeat(x, weight, axis=0) for x in (logits, target)), np.ones(weight.sum()))
    np.testing.assert_allclose(copies, found, rtol=2e-2)  # Platt's targets count the rows
    assert not np.allclose(calibration.platt(logits, target, np.ones(2000)), found, rtol=2e-2)


# Thresholds.

TENTHS = st.integers(0, 10).map(lambda n: n / 10)
IMAGES = st.lists(st.tuples(TENTHS, st.sampled_from([1, 1, 0, 0, -1]), st.integers(1, 4)), min_size=1, max_size=25)


def columns(images: list[tuple[float, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    p, target, weight = (np.array(column, np.float64) for column in zip(*images, strict=True))
    return p[:, None], target[:, None], weight


def known(images: list[tuple[float, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    p, target, weight = (np.array(column, np.float64) for column in zip(*images, strict=True))
    return p[target >= 0], target[target >= 0] > 0, weight[target >= 0]


def expected_f1(images: list[tuple[float, int, int]], threshold: float) -> float:
    """F1 of images that have the label with probability p: each is one with it, of weight p, and one without."""
    p, _, weight = known(images)
    truth, scores = np.repeat([1, 0], len(p)), np.tile(p, 2)
    shares = np.concatenate([weight * p, weight * (1 - p)])
    return sk.f1_score(truth, scores >= threshold, sample_weight=shares, zero_division=0)


@given(IMAGES)
def test_no_threshold_has_a_larger_expected_f1(images: list[tuple[float, int, int]]) -> None:
    [found] = calibration.decision_thresholds(*columns(images), "f1")
    if any(target == 1 for _, target, _ in images):
        most = max(expected_f1(images, n / 20) for n in range(23))
        assert expected_f1(images, found) == pytest.approx(most, abs=1e-9)
        assert found == pytest.approx(most / 2)
    else:
        assert found == 0.5


def test_the_threshold_of_a_rare_label_varies_less_than_the_best_of_the_counted_ones() -> None:
    """20 of 400 images have the label. Both are chosen on 400 images, and tried on 100,000 of the same kind."""
    random = np.random.default_rng(3)

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        p = 1 / (1 + np.exp(-random.normal(-4.5, 2, n)))
        return p, random.random(n) < p

    p, applies = draw(100_000)
    found = []
    for _ in range(20):
        scores, there = draw(400)
        [ours] = calibration.decision_thresholds(scores[:, None], there[:, None], np.ones(400))
        precision, recall, cuts = sk.precision_recall_curve(there, scores)
        counted = cuts[np.argmax((precision * recall / np.maximum(precision + recall, 1e-9))[:-1])]
        found.append([sk.f1_score(applies, p >= cut) for cut in (ours, counted)])
    ours, counted = np.mean(found, axis=0)
    assert ours > counted + 0.01


@given(IMAGES)
def test_a_threshold_lies_halfway_between_scores(images: list[tuple[float, int, int]]) -> None:
    scores = [0.0, *sorted({p for p, target, _ in images if target >= 0})]
    halfway = [(a + b) / 2 for a, b in itertools.pairwise(scores)]
    for aim in ({"precision": 0.75}, {"recall": 0.75}):
        [found] = calibration.decision_thresholds(*columns(images), aim)
        assert found in (0.5, 1.0) or min(abs(found - h) for h in halfway) < 1e-12


@given(IMAGES, st.sampled_from([0.2, 0.5, 0.75, 0.9, 1.0]))
def test_a_precision_gets_the_lowest_threshold_and_a_recall_the_highest(
    images: list[tuple[float, int, int]], aim: float
) -> None:
    p, applies, weight = known(images)
    if not applies.any():
        return
    precision, recall, cuts = sk.precision_recall_curve(applies, p, sample_weight=weight)
    [found] = calibration.decision_thresholds(*columns(images), {"precision": aim})
    reached = cuts[precision[:-1] >= aim - 1e-12]
    if len(reached):
        np.testing.assert_array_equal(p >= found, p >= reached.min())
    else:
        assert found == 1
    [found] = calibration.decision_thresholds(*columns(images), {"recall": aim})
    np.testing.assert_array_equal(p >= found, p >= cuts[recall[:-1] >= aim - 1e-12].max())


def test_thresholds_match_a_calculation_by_hand() -> None:
    p = np.array([[0.9, 0.2], [0.6, 0.4], [0.5, 0.3], [0.1, 0.8]])
    target = np.array([[1, 0], [0, -1], [1, 0], [0, 0]])
    # The first label is to be expected 0.9 + 0.6 + 0.5 + 0.1 = 2.1 times. Down to 0.5, F1 is 2 * 2.0 / (3 + 2.1), the
    # most (down to 0.6: 3.0 / 4.1, to 0.1: 4.2 / 6.1). Of the second there is no example.
    found = calibration.decision_thresholds(p, target, np.ones(4))
    assert found == pytest.approx([2 / 5.1, 0.5])
    for aim, expected in (
        ({"precision": 0.9}, 0.75),  # from 0.6 on it is 1/2
        ({"precision": 0.6}, 0.3),  # 2/3 from 0.5 on; 1/2 from 0.1 on
        ({"precision": 0.5}, 0.05),
        ({"recall": 0.5}, 0.75),
        ({"recall": 0.51}, 0.3),
    ):
        assert calibration.decision_thresholds(p, target, np.ones(4), aim)[0] == pytest.approx(expected), aim
    # Down to 0.6 the precision is 1 / (1 + 8), and nothing reaches 0.9 where the best-scored image is wrong.
    wrong = calibration.decision_thresholds(1 - p, target, np.ones(4), {"precision": 0.9})
    assert wrong[0] == 1
