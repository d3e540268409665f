"""The model gate's rules on literal numbers."""

import math

import pytest

from components import verdicts

LABELS = ["cat", "dog"]
WHOLE = {"accuracy": 0.8, "loss": 0.5, "example_count": 10.0, "recall/cat": 0.9, "recall/dog": 0.4}
WHOLE |= {"support/cat": 6.0, "support/dog": 4.0, "auc/cat": math.nan, "ece": math.nan}
NIGHT = {"accuracy": 0.5, "example_count": 2.0, "recall/cat": 1.0, "support/cat": 2.0}
RESULTS = [({}, WHOLE), ({"format": "png"}, NIGHT)]


def rule(metric: str, **given: object) -> dict:
    return {"metric": metric, "label": None, "slice": None, "min": None, "max": None, "max_drop": None} | given


def judge(*rules: dict, baseline: verdicts.Results | None = None) -> list:
    return verdicts.thresholds(rules, LABELS, RESULTS, baseline)


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        (rule("accuracy", min=0.8), True),  # bounds are inclusive
        (rule("accuracy", min=0.81), False),
        (rule("accuracy", max=0.8), True),
        (rule("accuracy", max=0.79), False),
        (rule("accuracy", min=0.7, max=0.9), True),
        (rule("loss", max=0.6), True),
        (rule("recall", label="dog", min=0.4), True),
        (rule("recall", label="dog", min=0.5), False),
        (rule("accuracy", slice={"format": "png"}, min=0.5), True),
        (rule("accuracy", slice={"format": "png"}, min=0.6), False),
        (rule("recall", label="cat", slice={"format": "png"}, min=1), True),
    ],
    ids=str,
)
def test_bounds(given: dict, passed: bool) -> None:
    [verdict] = judge(given)
    assert verdict.passed is passed


def test_a_star_judges_every_label_by_its_name() -> None:
    found = judge(rule("recall", label="*", min=0.5))
    assert [(v.label, v.value, v.passed) for v in found] == [("cat", 0.9, True), ("dog", 0.4, False)]
    assert found[1].reason == "recall of label 'dog' is 0.4 (4 examples), below the minimum 0.5"
    assert found[1].rule == "recall >= 0.5"
    assert found[1].gate == "evaluation"


def test_one_verdict_per_rule_and_label_in_their_order() -> None:
    found = judge(rule("accuracy", min=0), rule("recall", label="*", min=0), rule("loss", max=1))
    assert [(v.rule, v.label) for v in found] == [
        ("accuracy >= 0", None),
        ("recall >= 0", "cat"),
        ("recall >= 0", "dog"),
        ("loss <= 1", None),
    ]


@pytest.mark.parametrize(
    "given",
    [
        rule("ece", max=1),  # NaN over all examples
        rule("auc", label="cat", min=0),  # NaN of a label
        rule("accuracy", slice={"format": "bmp"}, min=0),  # no such slice
        rule("recall", label="dog", slice={"format": "png"}, min=0),  # no such number
        rule("ece", max_drop=1),
        rule("accuracy", slice={"format": "bmp"}, max_drop=1),
    ],
    ids=str,
)
def test_what_cannot_be_judged_is_refused(given: dict) -> None:
    [verdict] = judge(given)
    assert not verdict.passed
    assert verdict.value is None
    assert "cannot be judged" in verdict.reason


def test_an_empty_test_split_is_refused() -> None:
    [verdict] = verdicts.thresholds([rule("accuracy", min=0)], LABELS, [], None)
    assert not verdict.passed
    assert verdict.reason == "accuracy cannot be judged: there is no example to compute it from; expected accuracy >= 0"


@pytest.mark.parametrize(
    ("metric", "served", "drop", "passed"),
    [
        ("accuracy", 0.9, 0.1, True),  # 0.9 - 0.8 is exactly the bound
        ("accuracy", 0.91, 0.1, False),
        ("accuracy", 0.5, 0.0, True),  # it got better
        ("loss", 0.4, 0.1, True),  # smaller is better: 0.5 - 0.4
        ("loss", 0.3, 0.1, False),
        ("loss", 0.9, 0.0, True),
    ],
)
def test_a_drop_against_the_served_model(metric: str, served: float, drop: float, passed: bool) -> None:
    [verdict] = judge(rule(metric, max_drop=drop), baseline=[({}, {metric: served})])
    assert verdict.passed is passed


def test_a_drop_of_a_label_in_a_slice_is_against_the_same_of_the_served_model() -> None:
    baseline = [({}, {"recall/cat": 0.0}), ({"format": "png"}, {"recall/cat": 1.0})]
    given = rule("recall", label="cat", slice={"format": "png"}, max_drop=0.1)
    assert judge(given, baseline=baseline)[0].passed  # 1.0 now, 1.0 then
    baseline[1][1]["recall/cat"] = 1.2
    assert not judge(given, baseline=baseline)[0].passed


def test_without_a_served_model_a_drop_holds_and_with_a_number_missing_it_fails() -> None:
    given = rule("accuracy", max_drop=0.0)
    assert judge(given, baseline=None)[0].passed
    assert not judge(given, baseline=[({}, {"accuracy": math.nan})])[0].passed
    assert not judge(given, baseline=[])[0].passed


def test_a_rule_of_several_bounds_names_each_that_fails() -> None:
    [verdict] = judge(rule("accuracy", min=0.85, max_drop=0.05), baseline=[({}, {"accuracy": 0.9})])
    assert verdict.reason == (
        "accuracy is 0.8 (10 examples), below the minimum 0.85; "
        "accuracy is 0.8 (10 examples), worse than the served model's 0.9 by 0.1; allowed are 0.05"
    )
    assert verdict.rule == "accuracy >= 0.85 and accuracy >= served model's - 0.05"


def test_no_rule_gives_no_verdict() -> None:
    assert judge() == []
