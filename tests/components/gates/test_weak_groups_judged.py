"""Thresholds on weak groups, and on the gain over trivial methods, on literal numbers."""

import math
from typing import Any

import pytest
from pydantic import ValidationError
from scipy import stats

from components.base.verdict import Verdict
from components.gates import intervals, model_gate
from components.gates.found import Beside, Paired, Trivial, TrivialMethod, WeakGroup, WeakGroups
from components.gates.settings import Threshold

LABELS = ["cat", "dog"]
WHOLE = {"accuracy": 0.85, "hamming_loss": 0.15, "f1/cat": 0.9, "example_count": 100.0, "effective_count": 100.0}
WHOLE |= {"effective_positives/cat": 60.0, "effective_involved/cat": 70.0, "support/cat": 60.0}
DARK = {"accuracy": 0.4, "example_count": 40.0, "effective_count": 40.0, "recall/cat": 0.5}
DARK |= {"effective_positives/cat": 16.0, "support/cat": 16.0, "effective_positives/dog": 24.0, "recall/dog": 0.25}
WIDE = {"accuracy": 0.75, "example_count": 20.0, "effective_count": 20.0, "recall/cat": None}
WIDE |= {"effective_positives/cat": 0.0, "support/cat": 0.0, "effective_positives/dog": 20.0, "recall/dog": 0.75}
FILES = tuple((f"cat/{i}.jpg", "") for i in range(40))


def group(name: str, numbers: dict[str, Any], count: int, value: float) -> WeakGroup:
    told = {"measure": "accuracy", "value": value, "rest": 0.9, "chance": 1e-4, "numbers": numbers}
    return WeakGroup(name=name, count=count, images=FILES[:count], **told)


GROUPS = (group("dark images (brightness below 0.2)", DARK, 40, 0.4), group("wide images (…)", WIDE, 20, 0.75))
METHODS = (
    TrivialMethod(
        name="always answering 'cat'",
        numbers={"accuracy": 0.6, "hamming_loss": 0.4, "f1/cat": 0.75},
        paired={"accuracy": Paired(gain=0.25, images=100, worth=100)},
    ),
    TrivialMethod(
        name="the nearest mean colour",
        numbers={"accuracy": 0.7, "hamming_loss": 0.3, "f1/cat": None},
        paired={"accuracy": Paired(gain=0.15, images=100, worth=400)},
    ),
)
BESIDE = Beside(weak=WeakGroups(images=100, fewest=10, tried=30, groups=GROUPS), trivial=Trivial(methods=METHODS))


def judged(beside: Beside = BESIDE, **given: Any) -> list[Verdict]:
    return model_gate.thresholds([Threshold(**given)], LABELS, "single_label", [({}, WHOLE)], None, beside=beside)


# Weak groups.


def test_every_weak_group_is_judged_with_its_count_interval_and_files() -> None:
    dark, wide = judged(metric="accuracy", slice="found", min=0.5)
    low, high = stats.binomtest(16, 40).proportion_ci(method="wilson")
    assert dark.reason == (
        f"accuracy on dark images (brightness below 0.2) is 0.4 (40 examples, 95 % interval {low:.2f} to {high:.2f}), "
        "below the minimum 0.5: accuracy 0.40 against 0.90 on the rest, 40 images (cat/0.jpg, cat/1.jpg, cat/2.jpg, "
        "cat/3.jpg, cat/4.jpg, and 35 more)"
    )
    assert (dark.passed, dark.value, dark.examples) == (False, 0.4, 40)
    assert dark.slice == {"found": "dark images (brightness below 0.2)"}
    assert (wide.passed, wide.value, wide.interval) == (
        True,
        0.75,
        pytest.approx(intervals.wilson(0.75, 20, 1.96), abs=1e-4),
    )


def test_a_confidence_is_that_of_the_groups_bound() -> None:
    """The upper bound of 0.4 on 40 images with 95 % confidence is 0.53: a maximum of 0.5 does not hold for certain."""
    [dark, _] = judged(metric="accuracy", slice="found", max=0.5, confidence=0.95)
    bound = stats.binomtest(16, 40).proportion_ci(confidence_level=0.9, method="wilson").high
    assert 0.5 < bound < 0.54
    assert f"with 95 % confidence at most {bound:.4g}, above the maximum 0.5" in dark.reason


def test_a_label_is_judged_in_the_groups_that_have_it() -> None:
    found = judged(metric="recall", label="*", slice="found", min=0.3)
    assert [(v.label, v.value, v.passed) for v in found[:3]] == [
        ("cat", 0.5, True),
        ("dog", 0.25, False),
        ("dog", 0.75, True),
    ]
    assert (
        found[3].reason
        == "recall where found=* is not judged where there is no example: label 'cat' where found=wide images (…) (0)"
    )
    assert len(found) == 4


def test_groups_with_too_few_examples_are_named_and_refuse_nothing() -> None:
    [verdict] = judged(metric="accuracy", slice="found", min=0.9, min_examples=50)
    assert (verdict.passed, verdict.judged) == (True, False)
    assert "where there are fewer than 50 examples: found=dark images" in verdict.reason


def test_without_a_weak_group_nothing_is_judged_and_nothing_refused() -> None:
    [verdict] = judged(Beside(weak=WeakGroups(images=100, tried=30)), metric="accuracy", slice="found", min=0.9)
    assert (verdict.passed, verdict.judged, verdict.rule) == (True, False, "accuracy >= 0.9")
    assert verdict.reason == (
        "accuracy where found=* is not judged: no part of the test split is weaker than the rest beyond chance; 30 "
        "were tried"
    )


# Trivial methods.


@pytest.mark.parametrize(("gain", "passed"), [(0.15, True), (0.16, False), (0, True)])
def test_the_best_trivial_method_must_be_exceeded_by_so_much(gain: float, passed: bool) -> None:
    """0.85 - 0.70 is exactly 0.15."""
    [verdict] = judged(metric="accuracy", min_gain=gain)
    assert verdict.passed is passed
    assert verdict.bound == pytest.approx(0.7 + gain)
    assert "0.15 better than the nearest mean colour (0.7)" in verdict.reason


def test_a_verdict_names_the_method_and_the_rule() -> None:
    [held], [failed] = judged(metric="accuracy", min_gain=0.1), judged(metric="accuracy", min_gain=0.2)
    low, high = stats.binomtest(85, 100).proportion_ci(method="wilson")
    text = f"accuracy is 0.85 (100 examples, 95 % interval {low:.2f} to {high:.2f})"
    assert held.rule == "accuracy >= best trivial method's + 0.1"
    assert held.reason == f"{text}: {held.rule}: 0.15 better than the nearest mean colour (0.7)"
    assert failed.reason == f"{text}, 0.15 better than the nearest mean colour (0.7); at least 0.2 is demanded"


def test_of_a_loss_the_smallest_is_the_best() -> None:
    rule, kind = Threshold(metric="hamming_loss", min_gain=0.2), "multi_label"
    [verdict] = model_gate.thresholds([rule], LABELS, kind, [({}, WHOLE)], None, beside=BESIDE)
    assert not verdict.passed
    assert verdict.rule == "hamming_loss <= best trivial method's - 0.2"
    assert "0.15 better than the nearest mean colour (0.3); at least 0.2 is demanded" in verdict.reason
    assert verdict.bound == pytest.approx(0.3 - 0.2)


def test_a_method_without_a_number_is_not_the_best() -> None:
    [verdict] = judged(metric="f1", label="cat", min_gain=0.1)
    assert verdict.passed
    assert "0.15 better than always answering 'cat' (0.75)" in verdict.reason


def test_a_model_that_is_worse_than_a_trivial_method_is_told_so() -> None:
    better = TrivialMethod(name="the nearest neighbour in features", numbers={"accuracy": 0.9})
    [verdict] = judged(Beside(trivial=Trivial(methods=(better,))), metric="accuracy", min_gain=0)
    assert not verdict.passed
    assert "0.05 worse than the nearest neighbour in features (0.9); at least 0 is demanded" in verdict.reason


def test_without_a_trivial_method_the_rule_refuses() -> None:
    [verdict] = judged(Beside(), metric="accuracy", min_gain=0)
    assert not verdict.passed
    assert verdict.reason.endswith(
        "and cannot be compared: no trivial method has such a number; expected accuracy >= best trivial method's + 0"
    )


def test_with_a_confidence_the_lower_bound_of_the_gain_counts() -> None:
    """(1 + 0.15) / 2 as a share of 400 answers, on 100 images, has the one-sided Wilson bound that counts."""
    z = intervals.one_sided(0.95)
    n = 400 * (z / stats.t(99).ppf(0.95)) ** 2
    share, square = 0.575, z * z
    low = (share + square / (2 * n) - z * math.sqrt(share * (1 - share) / n + square / (4 * n * n))) / (1 + square / n)
    bound = 2 * low - 1
    [held] = judged(metric="accuracy", min_gain=round(bound - 0.001, 4), confidence=0.95)
    [failed] = judged(metric="accuracy", min_gain=round(bound + 0.001, 4), confidence=0.95)
    assert (held.passed, failed.passed) == (True, False)
    assert f"with 95 % confidence at least {bound:.4g}" in failed.reason
    assert 0.05 < bound < 0.15


def test_bounds_and_a_gain_share_a_verdict() -> None:
    [verdict] = judged(metric="accuracy", min=0.9, min_gain=0.2)
    assert "below the minimum 0.9; accuracy is 0.85" in verdict.reason
    assert verdict.reason.endswith("at least 0.2 is demanded")


def test_without_a_served_model_a_gain_is_judged_and_a_drop_is_not() -> None:
    gain, drop = judged(metric="accuracy", min_gain=0.1, max_drop=0.1)
    assert (gain.judged, gain.passed, drop.judged) == (True, True, False)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"min_gain": 0.1, "slice": "found"}, "min_gain is about the whole test split"),
        ({"min_gain": 0.1, "slice": {"camera": "night"}}, "min_gain is about the whole test split"),
        ({"max_drop": 0.1, "slice": "found"}, "max_drop does not apply to slice: found"),
        ({"min_gain": -0.1}, "greater than or equal to 0"),
        ({"slice": "found"}, "a threshold without a limit; give min, max, max_drop or min_gain"),
    ],
)
def test_limits_that_make_no_sense_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Threshold(metric="accuracy", **given)
