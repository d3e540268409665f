from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sklearn_metrics

from components.drawing import curves
from components.drawing.curves import MICRO, Curve
from components.labels import kinds
from components.metrics import curves as sums
from components.metrics import mask, multi, scored, single

SINGLE, MULTI, MASKS = kinds.KINDS.values()

Floats = NDArray[np.float64]


def row(labels: str, *probabilities: float, weight: float = 1.0, unknown: str = "", raw: Sequence[float] = ()) -> Any:
    return {
        "labels": list(labels),
        "unknown": list(unknown),
        "weight": weight,
        "probabilities": list(probabilities),
        "uncalibrated": list(raw or probabilities),
    }


def named(found: Sequence[Curve]) -> Mapping[str, Curve]:
    return {curve.name: curve for curve in found}


def points(curve: Curve) -> Floats:
    return np.stack([curve.x, curve.y], axis=1)


def distance(x: Floats, y: Floats, kept_x: Sequence[float], kept_y: Sequence[float]) -> float:
    """Largest distance of the points from the nearest piece of the line through those kept."""
    there, a = np.stack([x, y], 1)[:, None], np.stack([kept_x, kept_y], 1)
    along = np.diff(a, axis=0)
    t = ((there - a[:-1]) * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-300)
    nearest = a[:-1] + np.clip(t, 0, 1)[..., None] * along
    return float(np.linalg.norm(there - nearest, axis=-1).min(axis=1).max())


def test_curves_of_four_images_are_those_of_a_calculation_by_hand() -> None:
    rows = [row("a", 0.9, 0.1), row("b", 0.8, 0.2), row("a", 0.7, 0.3), row("b", 0.1, 0.9)]
    precision_recall, roc = curves.per_label(rows, ["a", "b"], SINGLE)
    # Images by falling probability of a: a, b, a, b. Of the first n, 1/1, 1/2, 2/3 and 2/4 are a.
    expected = [(0, 1), (0.5, 1), (0.5, 1 / 2), (1, 2 / 3), (1, 2 / 4)]
    assert points(named(precision_recall)["a"]) == pytest.approx(np.array(expected))
    assert named(precision_recall)["a"].area == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)
    assert points(named(roc)["a"]) == pytest.approx(np.array([(0, 0), (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1)]))
    assert named(roc)["a"].area == pytest.approx(3 / 4)  # of the pairs (a, b), one of four is the wrong way round
    assert [(curve.name, curve.bold) for curve in roc] == [("a", False), ("b", False), (MICRO, True)]


def test_the_curve_of_all_labels_asks_every_label_of_every_image() -> None:
    rows = [row("a", 0.9, 0.1), row("b", 0.6, 0.4), row("a", 0.7, 0.3)]
    _, roc = curves.per_label(rows, ["a", "b"], SINGLE)
    # Right answers have 0.9, 0.4, 0.7, wrong ones 0.1, 0.6, 0.3: of the 9 pairs only 0.4 < 0.6 is the wrong way round.
    assert named(roc)[MICRO].area == pytest.approx(8 / 9)


def test_rows_without_a_label_and_unknown_labels_take_no_part() -> None:
    rows = [row("a", 0.9, 0.1), row("b", 0.4, 0.6), row("a", 0.3, 0.7)]
    assert curves.per_label([*rows, row("", 0.99, 0.01, unknown="ab")], ["a", "b"], SINGLE) == curves.per_label(
        rows, ["a", "b"], SINGLE
    )
    answered = [row("a", 0.9, 0.4), row("", 0.2, 0.8), row("ab", 0.7, 0.6), row("b", 0.5, 0.9)]
    more = [*answered, row("b", 0.99, 0.7, unknown="a"), row("", 0.1, 0.1, unknown="ab")]
    before, after = (curves.per_label(r, ["a", "b"], MULTI) for r in (answered, more))
    for i in (0, 1):
        assert named(before[i])["a"] == named(after[i])["a"]
        assert named(before[i])["b"] != named(after[i])["b"]


def test_labels_that_all_images_or_none_have_get_no_curve() -> None:
    precision_recall, roc = curves.per_label([row("a", 0.9, 0.1), row("a", 0.8, 0.2)], ["a", "b"], SINGLE)
    assert [curve.name for curve in precision_recall] == [curve.name for curve in roc] == [MICRO]
    assert curves.per_label([row("a", 1.0), row("a", 0.2)], ["a"], SINGLE) == ([], [])
    assert curves.per_label([], ["a", "b"], MULTI) == ([], [])


def test_an_image_of_weight_0_does_not_count() -> None:
    rows = [row("a", 0.9, 0.1), row("a", 0.8, 0.2), row("b", 0.7, 0.3, weight=0.0)]
    assert [curve.name for curve in curves.per_label(rows, ["a", "b"], SINGLE)[0]] == [MICRO]


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
@pytest.mark.parametrize("key", ["probabilities", "uncalibrated"])
def test_an_invalid_prediction_leaves_nothing(task: str, key: str) -> None:
    rows = [row("a", 0.9, 0.1), row("b", 0.4, 0.6), row("a", 0.3, 0.7) | {key: [np.nan, 0.5]}]
    assert curves.per_label(rows, ["a", "b"], kinds.kind(task)) == ([], [])
    assert not any(part.any() for part in curves.reliability(rows, ["a", "b"], kinds.kind(task)))


@given(st.integers(0, 2**32 - 1))
def test_an_image_of_weight_2_counts_as_two_images(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.integers(1, 4, 12)
    rows = [row("ab"[i % 2], float(p), float(1 - p)) for i, p in enumerate(rng.random(12))]
    weighted = [r | {"weight": float(w)} for r, w in zip(rows, weights, strict=True)]
    repeated = [r for r, w in zip(rows, weights, strict=True) for _ in range(w)]
    for one, other in zip(*(curves.per_label(r, ["a", "b"], SINGLE) for r in (weighted, repeated)), strict=True):
        assert [curve.area for curve in one] == pytest.approx([curve.area for curve in other])
        assert [p for curve in one for p in curve.y] == pytest.approx([p for curve in other for p in curve.y])


def answers(n: int, k: int, rng: np.random.Generator) -> tuple[Any, list[Any]]:
    """(truth [n], rows) of a model that knows something."""
    truth, logits = rng.integers(0, k, n), rng.normal(size=(n, k))
    logits[np.arange(n), truth] += 2
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    raw = p**2 / (p**2).sum(axis=1, keepdims=True)
    weight = rng.choice([0.5, 1.0, 2.0], n)
    names = [chr(97 + i) for i in range(k)]
    return truth, [
        row(names[t], *a, weight=w, raw=b) for t, a, b, w in zip(truth, p, raw.tolist(), weight, strict=True)
    ]


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_areas_and_calibration_are_those_of_the_metrics(task: str) -> None:
    truth, rows = answers(200, 3, np.random.default_rng(5))
    accumulator = kinds.kind(task).accumulator(3)
    unknown = np.zeros((200, 3), bool)
    if task == "multi_label":
        unknown = np.random.default_rng(6).random((200, 3)) < 0.2
        for r, flags in zip(rows, unknown, strict=True):
            r["unknown"] = [name for name, flag in zip("abc", flags, strict=True) if flag]
            r["labels"] = [name for name in r["labels"] if name not in r["unknown"]]
    for r, t, flags in zip(rows, truth, unknown, strict=True):
        answer = scored.Answer(r["probabilities"], r["uncalibrated"], [False] * 3, abstain=False)
        target = np.where(flags, -1, np.arange(3) == t)
        made = single.row(t, answer, r["weight"]) if task == "single_label" else multi.row(target, answer, r["weight"])
        accumulator.add(made[None])
    expected = accumulator.result("abc")
    precision_recall, roc = curves.per_label(rows, "abc", kinds.kind(task))
    for label in "abc":
        assert named(precision_recall)[label].area == pytest.approx(expected[f"average_precision/{label}"])
        assert named(roc)[label].area == pytest.approx(expected[f"auc/{label}"])
    calibrated, raw = curves.reliability(rows, "abc", kinds.kind(task))
    if task == "single_label":
        assert sums.ece(calibrated) == pytest.approx(expected["ece"])
        assert sums.ece(raw) == pytest.approx(expected["uncalibrated_ece"])
    else:  # whose metric is the mean of the labels'
        each = [curves.reliability([_only(r, i) for r in rows], "abc"[i], kinds.kind(task))[0] for i in range(3)]
        assert np.mean([sums.ece(one) for one in each]) == pytest.approx(expected["ece"])
        assert calibrated == pytest.approx(sum(each))


def _only(r: Mapping[str, Any], i: int) -> Any:
    kept = {key: [name for name in r[key] if name == "abc"[i]] for key in ("labels", "unknown")}
    return dict(r) | kept | {key: r[key][i : i + 1] for key in ("probabilities", "uncalibrated")}


def test_top_answers_are_counted_in_the_bin_of_their_probability() -> None:
    rows = [row("a", 0.7, 0.3, raw=(0.9, 0.1)), row("b", 0.72, 0.28, weight=2.0, raw=(0.4, 0.6))]
    calibrated, raw = curves.reliability(rows, ["a", "b"], SINGLE)
    # 0.7 x 15 = 10.5 and 0.72 x 15 = 10.8: both in bin 10, 1 + 2 images, of which the one of weight 1 is right.
    assert np.flatnonzero(calibrated[0]).tolist() == [10]
    assert calibrated[:, 10] == pytest.approx([3, 0.7 + 2 * 0.72, 1])
    # 0.9 x 15 = 13.5 is right; the other's answer is now b, which is right, too: 0.6 x 15 = 9.
    assert np.flatnonzero(raw[0]).tolist() == [9, 13]
    assert raw[2, [9, 13]].tolist() == [2, 1]


def test_pixels_are_summed_by_weight_as_the_metric_does() -> None:
    rng = np.random.default_rng(2)
    accumulator = mask.Mask(2)
    rows = []
    for weight in (1.0, 3.0):
        score, hit = rng.random((20, 1), np.float32), rng.random((20, 1)) < 0.5
        own = np.stack([sums.calibration(s, hit, np.ones((20, 1)))[:, 0] for s in (score, score**2)])
        rows.append({"labels": ["a"], "unknown": [], "weight": weight, "calibration": own.ravel().tolist()})
        accumulator.add(mask.row([[20, 0], [0, 0]], own, abstain=False, weight=weight)[None])
    calibrated, raw = curves.reliability(rows, ["a", "b"], MASKS)
    expected = accumulator.result("ab")
    assert sums.ece(calibrated) == pytest.approx(expected["ece"])
    assert sums.ece(raw) == pytest.approx(expected["uncalibrated_ece"])
    assert calibrated[0].sum() == pytest.approx(1 * 20 + 3 * 20)
    invalid = [*rows, rows[0] | {"calibration": [np.nan] * 90}]
    assert not any(part.any() for part in curves.reliability(invalid, ["a", "b"], MASKS))


def test_thinned_curves_keep_their_ends_and_stay_where_they_were() -> None:
    truth, rows = answers(5000, 20, np.random.default_rng(7))
    weight = np.array([r["weight"] for r in rows])
    precision_recall, roc = curves.per_label(rows, "abcdefghijklmnopqrst", SINGLE)
    for i in range(20):
        p = np.array([r["probabilities"][i] for r in rows], np.float32)
        y, x, _ = sklearn_metrics.precision_recall_curve(truth == i, p, sample_weight=weight)
        false, true, _ = sklearn_metrics.roc_curve(truth == i, p, sample_weight=weight)
        for kept, (all_x, all_y) in ((precision_recall[i], (x[::-1], y[::-1])), (roc[i], (false, true))):
            assert len(kept.x) <= 100
            assert tuple(points(kept)[0]) == (all_x[0], all_y[0])
            assert tuple(points(kept)[-1]) == (all_x[-1], all_y[-1])
            assert distance(all_x, all_y, kept.x, kept.y) < 0.01
    assert len(precision_recall[-1].x) <= 100  # all labels: 100,000 answers


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40), st.integers(2, 12))
def test_thinning_keeps_both_ends_and_never_more_points_than_asked(line: list[tuple[float, float]], most: int) -> None:
    x, y = np.array(line).T
    kept = curves.thinned(x, y, most, 0.05)
    assert kept == sorted(set(kept))
    assert kept[0] == 0
    assert kept[-1] == len(line) - 1
    assert len(kept) <= most
    if 1 < len(kept) < most:  # then all that was left out is near
        assert distance(x, y, x[kept].tolist(), y[kept].tolist()) <= 0.05 + 1e-9


def test_points_on_a_line_are_left_out_and_corners_are_not() -> None:
    x, y = np.array([0, 0.25, 0.5, 0.5, 0.75, 1]), np.array([0, 0.25, 0.5, 1, 1, 1])
    assert curves.thinned(x, y) == [0, 2, 3, 5]
