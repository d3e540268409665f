"""The judge: bounds, what is missing, the served model, and the sentences."""

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.base.text import number
from components.base.verdict import Verdict
from components.gates.judge import Rule, failed, judge


def rule(**fields: Any) -> Rule:
    return Rule(gate="model_gate", metric="recall", **fields)


@pytest.mark.parametrize(
    ("bounds", "value", "passed"),
    [
        ({"minimum": 0.5}, 0.5, True),
        ({"minimum": 0.5}, 0.49999, False),
        ({"maximum": 0.5}, 0.5, True),
        ({"maximum": 0.5}, 0.50001, False),
        ({"minimum": 0.2, "maximum": 0.5}, 0.3, True),
        ({"minimum": 0.2, "maximum": 0.5}, 0.1, False),
        ({"minimum": 0.2, "maximum": 0.5}, 0.6, False),
        ({"minimum": 0}, None, False),
        ({"minimum": 0}, math.nan, False),
        ({"maximum": 1}, math.inf, False),
        ({"minimum": 0}, -math.inf, False),
        ({"max_drop": 0.1}, None, False),
        ({"max_drop": 0.1}, math.nan, False),
    ],
)
def test_bounds_are_inclusive_and_nan_fails(bounds: dict[str, float], value: float, passed: bool) -> None:
    assert judge(rule(**bounds), value).passed is passed


@pytest.mark.parametrize(
    ("value", "baseline", "smaller_is_better", "passed"),
    [
        (0.7, 0.8, False, True),  # 0.8 - 0.7 is 0.10000000000000009, which is rounding
        (0.7, 0.81, False, False),
        (0.9, 0.8, False, True),
        (0.8, 0.7, True, True),
        (0.81, 0.7, True, False),
        (0.1, 0.7, True, True),
        (0.1, None, False, True),  # no model is served yet
        (0.7, math.nan, False, False),  # one is served, and how good it is there is not known
    ],
)
def test_a_drop_counts_from_the_served_model(
    value: float, baseline: float | None, smaller_is_better: bool, passed: bool
) -> None:
    verdict = judge(rule(max_drop=0.1, smaller_is_better=smaller_is_better), value, baseline=baseline)
    assert verdict.passed is passed


def test_a_failure_states_the_expectation_the_value_and_the_remedy() -> None:
    advised = rule(minimum=0.5, label="cat", slice={"camera": "night", "format": "png"}, advice="Add images")
    verdict = judge(advised, 0.31, examples=1200, detail="1.png, 2.png")
    assert verdict.reason == (
        "recall of label 'cat' where camera=night and format=png is 0.31 (1,200 examples), below the minimum 0.5: "
        "1.png, 2.png. Add images"
    )


def test_the_interval_is_shown_with_as_many_digits_as_its_width_needs() -> None:
    verdict = judge(rule(minimum=0.8), 0.79, examples=100, interval=(0.7001, 0.8583))
    assert verdict.reason == "recall is 0.79 (100 examples, 95 % interval 0.70 to 0.86), below the minimum 0.8"
    assert (verdict.bound, verdict.examples, verdict.interval) == (0.8, 100, (0.7001, 0.8583))
    narrow = judge(rule(minimum=0.8), 0.79, examples=1e6, interval=(0.789201, 0.790797))
    assert narrow.reason == "recall is 0.79 (1,000,000 examples, 95 % interval 0.7892 to 0.7908), below the minimum 0.8"


@pytest.mark.parametrize(
    ("bounds", "interval", "passed"),
    [
        ({"minimum": 0.7}, (0.7, 0.9), True),
        ({"minimum": 0.7}, (0.69, 0.9), False),  # though the value is 0.8
        ({"maximum": 0.9}, (0.7, 0.9), True),
        ({"maximum": 0.9}, (0.7, 0.91), False),
        ({"minimum": 0.7, "maximum": 0.9}, (0.7, 0.9), True),
        ({"minimum": 0.7}, None, False),  # no interval, no confidence
    ],
)
def test_with_confidence_the_interval_must_keep_to_the_bound(bounds: dict, interval: tuple, passed: bool) -> None:
    assert judge(rule(confidence=0.9, **bounds), 0.8, interval=interval).passed is passed


def test_a_failure_for_lack_of_confidence_says_so() -> None:
    verdict = judge(rule(minimum=0.75, confidence=0.95), 0.8, examples=50, interval=(0.69, 0.88))
    assert verdict.reason == ("recall is 0.8 (50 examples), with 95 % confidence at least 0.69, below the minimum 0.75")
    assert verdict.rule == "recall >= 0.75 with 95 % confidence"
    verdict = judge(rule(maximum=0.75, confidence=0.95), 0.7, examples=50, interval=(0.59, 0.78))
    assert verdict.reason.endswith("(50 examples), with 95 % confidence at most 0.78, above the maximum 0.75")


@pytest.mark.parametrize(
    ("bounds", "baseline", "bound"),
    [
        ({"minimum": 0.5}, None, 0.5),
        ({"maximum": 0.6}, None, 0.6),
        ({"minimum": 0.5, "maximum": 0.6}, None, 0.6),  # the one that is broken
        ({"max_drop": 0.25}, 1.0, 0.75),  # 1.0 - 0.25
        ({"max_drop": 0.25, "smaller_is_better": True}, 0.25, 0.5),
        ({"minimum": 0.5, "max_drop": 0.25}, 1.0, 0.5),
        ({"max_drop": 0.25}, None, None),
        ({"max_drop": 0.25}, math.nan, None),
    ],
)
def test_a_verdict_shows_the_broken_bound_or_else_the_first(bounds: dict, baseline: float, bound: float) -> None:
    assert judge(rule(**bounds), 0.75, baseline=baseline).bound == bound


def test_a_served_model_without_numbers_fails_a_drop_and_nothing_else() -> None:
    why = "version 3 is damaged"
    verdict = judge(rule(max_drop=0.1), 0.8, unknown_baseline=why)
    assert verdict.reason == (
        "recall is 0.8 and cannot be compared with the served model's: version 3 is damaged; "
        "expected recall >= served model's - 0.1"
    )
    assert not verdict.passed
    assert judge(rule(minimum=0.5), 0.8, unknown_baseline=why).passed
    assert "its number cannot be computed" in judge(rule(max_drop=0.1), 0.8, baseline=math.nan).reason


def test_a_pass_gives_no_advice() -> None:
    verdict = judge(rule(minimum=0.5, advice="Add images"), 0.75, examples=1)
    assert verdict.reason == "recall is 0.75 (1 example): recall >= 0.5"


def test_a_value_that_cannot_be_judged_fails_with_the_reason() -> None:
    assert judge(rule(minimum=0.5), None, examples=0).reason == (
        "recall cannot be judged: there is no example to compute it from; expected recall >= 0.5"
    )
    assert "the value is not a number" in judge(rule(minimum=0.5), math.nan, examples=3).reason


def test_a_rule_reads_as_a_formula() -> None:
    assert rule(minimum=0.5, maximum=1, max_drop=0.01).text() == (
        "recall >= 0.5 and recall <= 1 and recall >= served model's - 0.01"
    )
    assert rule(max_drop=0.01, smaller_is_better=True).text() == "recall <= served model's + 0.01"


def test_every_broken_bound_is_reported() -> None:
    verdict = judge(rule(minimum=0.5, max_drop=0.1), 0.3, baseline=0.9)
    assert verdict.reason == (
        "recall is 0.3, below the minimum 0.5; "
        "recall is 0.3, 0.6 worse than the served model's 0.9; at most 0.1 is allowed"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        (12, "12"),
        (12.0, "12"),
        (1234567, "1,234,567"),
        (0.31, "0.31"),
        (0.123456, "0.1235"),
        (0.00001234, "1.234e-05"),
        (math.inf, "infinite"),
    ],
)
def test_numbers_are_written_short(value: float | None, text: str) -> None:
    assert number(value) == text


NUMBERS = st.floats(allow_nan=False, width=32)


@given(NUMBERS, NUMBERS)
def test_no_sentence_says_that_a_number_is_below_itself(value: float, minimum: float) -> None:
    verdict = judge(rule(minimum=minimum), value)
    assert verdict.passed is (value >= minimum)
    if not verdict.passed:
        found = re.fullmatch(r"recall is (\S+), below the minimum (\S+)", verdict.reason)
        assert found
        assert found[1] != found[2]


def test_close_numbers_get_the_digits_that_tell_them_apart() -> None:
    assert judge(rule(minimum=0.8), 0.79996).reason == "recall is 0.79996, below the minimum 0.8"
    assert judge(rule(maximum=0.5), 0.5000001).reason == "recall is 0.5000001, above the maximum 0.5"
    reason = judge(rule(max_drop=0.02), 0.7, baseline=0.7200004).reason
    assert reason.endswith("0.0200004 worse than the served model's 0.72; at most 0.02 is allowed")


@given(st.none() | st.floats(), st.none() | st.floats(), st.none() | st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_every_verdict_is_json(value: float | None, baseline: float | None, interval: tuple | None) -> None:
    bounds = rule(minimum=0, max_drop=0.5, slice={"a": "b"})
    verdict = judge(bounds, value, examples=2, baseline=baseline, interval=interval)
    assert Verdict.from_json(verdict.to_json()) == verdict


def test_failed_keeps_the_order() -> None:
    verdicts = [judge(rule(minimum=bound), 0.5) for bound in (0.9, 0.1, 0.7)]
    assert failed(verdicts) == [verdicts[0], verdicts[2]]
