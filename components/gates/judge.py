"""The judge of all gates: compares a number with a rule and returns a verdict, in the same words everywhere."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from components.base.text import number, percent
from components.base.verdict import Verdict
from components.gates import intervals

# p-value from which a difference is put down to chance: one false alarm in a thousand tests. Chosen by hand; not
# measured.
CHANCE = 0.001
# A drop may exceed `max_drop` by this much: both sides are rounded sums of few terms, and a drop of exactly the bound
# must not fail by 1e-17.
_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One or more bounds on one number.

    Attributes:
        gate: "data_gate", "model_gate", "serving" or "export".
        metric: name of the number, as in the configuration or in words ("recall", "number of examples in train").
        label: label that the number belongs to, or None for all labels together.
        among: what examples the number is of, where they are not all, in words ("the compared images"), or "".
        slice: column -> value that the examples have, or None for all examples.
        minimum, maximum: inclusive bounds, or None.
        max_drop: how far below the served model's number it may be (above, if smaller is better), or None.
        min_gain: by how much it must be better than that of the best trivial method, or None.
        smaller_is_better: whether a smaller number is better; only `max_drop` and `min_gain` depend on it.
        confidence: in (0, 1): `minimum` must hold for the lower, `maximum` for the upper bound of the confidence
            interval, and `min_gain` for the lower bound of the gain, each with this confidence; None: for the number
            itself.
        advice: what to do when the rule fails.

    >>> rule = Rule(gate="model_gate", metric="recall", label="cat", minimum=0.5, max_drop=0.1)
    >>> rule.text()
    "recall >= 0.5 and recall >= served model's - 0.1"
    >>> rule.subject()
    "recall of label 'cat'"
    """

    gate: str
    metric: str
    label: str | None = None
    among: str = ""
    slice: Mapping[str, str] | None = None
    minimum: float | None = None
    maximum: float | None = None
    max_drop: float | None = None
    min_gain: float | None = None
    smaller_is_better: bool = False
    confidence: float | None = None
    advice: str = ""

    def text(self) -> str:
        """Formula of the rule, such as "recall >= 0.5"."""
        confidence = f" with {percent(self.confidence)} confidence" if self.confidence is not None else ""
        bounds = []
        if self.minimum is not None:
            bounds.append(f"{self.metric} >= {number(self.minimum)}{confidence}")
        if self.maximum is not None:
            bounds.append(f"{self.metric} <= {number(self.maximum)}{confidence}")
        if self.max_drop is not None:
            sign, order = ("+", "<=") if self.smaller_is_better else ("-", ">=")
            bounds.append(f"{self.metric} {order} served model's {sign} {number(self.max_drop)}")
        if self.min_gain is not None:
            sign, order = ("-", "<=") if self.smaller_is_better else ("+", ">=")
            bounds.append(f"{self.metric} {order} best trivial method's {sign} {number(self.min_gain)}{confidence}")
        return " and ".join(bounds)

    def subject(self) -> str:
        """Name of the number that is judged, such as "recall of label 'cat' where camera=night"."""
        label = f" of label {self.label!r}" if self.label is not None else ""
        where = " and ".join(f"{column}={value}" for column, value in (self.slice or {}).items())
        among = f" on {self.among}" if self.among else ""
        return self.metric + label + (f" where {where}" if where else "") + among


class Beaten(NamedTuple):
    """The trivial method that a number must exceed.

    Attributes:
        name: what it does, such as "always answering 'cat'".
        value: its number; None or NaN if there is none, which fails `min_gain`.
        interval: (lower, upper) bound of the gain over it, as the interval of `judge`, or None.
    """

    name: str
    value: float | None
    interval: intervals.Interval | None = None


_Violation = tuple[float | None, str]  # the bound that is broken, if it is a number, and a sentence


def judge(
    rule: Rule,
    value: float | None,
    *,
    examples: float | None = None,
    unit: str = "example",
    interval: intervals.Interval | None = None,
    baseline: float | None = None,
    unknown_baseline: str = "",
    beaten: Beaten | None = None,
    chance: float = 0.0,
    missing: str = "",
    detail: str = "",
) -> Verdict:
    """Compares one number with its rule.

    Args:
        rule: the bounds.
        value: the number, or None if there is none, e.g. for a slice without examples. None and NaN fail.
        examples: number of examples behind the value, if known; only shown.
        unit: what `examples` counts, in the singular.
        interval: (lower, upper) bound of the value: one-sided bounds with `rule.confidence`, or if that is None, a
            two-sided interval with `intervals.SHOWN`, which is only shown. A rule with a confidence fails without it.
        baseline: the served model's number. None if no model is served: then `max_drop` holds. NaN fails `max_drop`.
        unknown_baseline: why the served model has no such number; fails `max_drop`.
        beaten: the best trivial method; a rule with `min_gain` fails without it.
        chance: p-value: the probability that chance alone gives a value as extreme. From `CHANCE` on, a broken bound
            does not fail the rule. For several tests, multiply it by their number (Bonferroni).
        missing: why there is no value, if the reason is not a lack of examples.
        detail: appended to the reason, e.g. the files it is about.

    >>> judge(Rule(gate="model_gate", metric="recall", label="cat", minimum=0.5), 0.25, examples=8).reason
    "recall of label 'cat' is 0.25 (8 examples), below the minimum 0.5"
    >>> judge(Rule(gate="data_gate", metric="number of labels", minimum=2), 3).passed
    True
    """
    support = _support(rule, examples, unit, interval)
    if value is None or math.isnan(value):
        missing = missing or ("the value is not a number" if examples else f"there is no {unit} to compute it from")
        violations: list[_Violation] = [(None, f"{rule.subject()} cannot be judged: {missing}; expected {rule.text()}")]
    else:
        violations = [
            *_crossed(rule, value, support, interval),
            *_dropped(rule, value, support, baseline, unknown_baseline),
            *_gained(rule, value, support, beaten),
        ]
        if rule.min_gain is not None and beaten is not None and not violations:
            detail = _gain(rule, value, beaten)
    passed = not violations or chance >= CHANCE
    reason = "; ".join(text for _, text in violations) or f"{rule.subject()} is {number(value)}{support}: {rule.text()}"
    if detail:
        reason += f": {detail}"
    if violations and passed:
        reason += f". Chance alone can cause a difference of this size (p = {min(1.0, chance):.2g}), so the rule passes"
    elif violations and rule.advice:
        reason += f". {rule.advice}"
    bounds = (
        *(bound for bound, _ in violations),
        rule.minimum,
        rule.maximum,
        _floor(rule, baseline),
        _needed(rule, beaten),
    )
    return Verdict(
        gate=rule.gate,
        rule=rule.text(),
        label=rule.label,
        slice=dict(rule.slice) if rule.slice else None,
        value=_finite(value),
        passed=passed,
        reason=reason,
        bound=next((bound for bound in bounds if bound is not None and math.isfinite(bound)), None),
        examples=examples,
        interval=interval,
    )


def _crossed(rule: Rule, value: float, support: str, interval: intervals.Interval | None) -> Iterator[_Violation]:
    """Checks `minimum` and `maximum`, for the value or with a confidence for the bound of its interval."""
    low, high = (value, value) if rule.confidence is None else interval or (math.nan, math.nan)
    for name, bound, judged, side, reach in (
        ("minimum", rule.minimum, low, "below", "least"),
        ("maximum", rule.maximum, high, "above", "most"),
    ):
        # NaN fulfils neither comparison, and so it fails.
        if bound is None or (judged >= bound if name == "minimum" else judged <= bound):
            continue
        shown, limit = _distinct_numbers(judged, bound)
        if rule.confidence is None:
            text = f"{shown}{support}"
        else:
            text = f"{number(value)}{support}, with {percent(rule.confidence)} confidence at {reach} {shown}"
        yield bound, f"{rule.subject()} is {text}, {side} the {name} {limit}"


def _dropped(rule: Rule, value: float, support: str, baseline: float | None, unknown: str) -> Iterator[_Violation]:
    """Checks `max_drop` against the served model's number."""
    if rule.max_drop is None or (baseline is None and not unknown):
        return
    text = f"{rule.subject()} is {number(value)}{support}"
    if baseline is None or math.isnan(baseline):
        why = unknown or "its number cannot be computed"
        yield None, f"{text} and cannot be compared with the served model's: {why}; expected {rule.text()}"
        return
    drop = value - baseline if rule.smaller_is_better else baseline - value
    if not drop <= rule.max_drop + _ROUNDING:
        shown, limit = _distinct_numbers(drop, rule.max_drop)
        worse = f"{shown} worse than the served model's {number(baseline)}; at most {limit} is allowed"
        yield _floor(rule, baseline), f"{text}, {worse}"


def _floor(rule: Rule, baseline: float | None) -> float | None:
    """Worst number that `max_drop` allows, or None if there is none."""
    if baseline is None or rule.max_drop is None:
        return None
    return _finite(baseline + rule.max_drop if rule.smaller_is_better else baseline - rule.max_drop)


def _gained(rule: Rule, value: float, support: str, beaten: Beaten | None) -> Iterator[_Violation]:
    """Checks `min_gain` against the best trivial method's number."""
    if rule.min_gain is None:
        return
    text = f"{rule.subject()} is {number(value)}{support}"
    if beaten is None or beaten.value is None or math.isnan(beaten.value):
        yield (
            None,
            f"{text} and cannot be compared: no trivial method has such a number; expected {rule.text()}",
        )
        return
    low, _ = beaten.interval or (math.nan, math.nan)
    judged = _better(rule, value, beaten.value) if rule.confidence is None else low
    # NaN fulfils no comparison, and so it fails.
    if judged >= rule.min_gain - _ROUNDING:
        return
    shown, limit = _distinct_numbers(judged, rule.min_gain)
    least = "" if rule.confidence is None else f", with {percent(rule.confidence)} confidence at least {shown}"
    yield _needed(rule, beaten), f"{text}, {_gain(rule, value, beaten)}{least}; at least {limit} is demanded"


def _gain(rule: Rule, value: float, beaten: Beaten) -> str:
    """The gain over a trivial method: "0.3 better than always answering 'cat' (0.5)"."""
    gain = _better(rule, value, beaten.value or 0.0)
    size = f"{number(abs(gain))} {'better' if gain >= 0 else 'worse'} than"
    return f"{size if gain else 'as good as'} {beaten.name} ({number(beaten.value)})"


def _better(rule: Rule, value: float, other: float) -> float:
    return other - value if rule.smaller_is_better else value - other


def _needed(rule: Rule, beaten: Beaten | None) -> float | None:
    """Worst number that `min_gain` allows, or None if there is none."""
    if rule.min_gain is None or beaten is None or beaten.value is None:
        return None
    return _finite(beaten.value + (-rule.min_gain if rule.smaller_is_better else rule.min_gain))


def _finite(value: float | None) -> float | None:
    """Replaces infinity and NaN, which JSON lacks, by None."""
    return float(value) if value is not None and math.isfinite(value) else None


def _support(rule: Rule, examples: float | None, unit: str, interval: intervals.Interval | None) -> str:
    """Evidence behind a value, in parentheses: " (100 examples, 95 % interval 0.70 to 0.86)"."""
    parts = []
    if examples is not None:
        parts.append(f"{number(examples)} {unit}{'' if examples == 1 else 's'}")
    if interval is not None and rule.confidence is None:
        low, high = interval
        # Two significant digits of the interval's width.
        digits = max(2, 1 - math.floor(math.log10(high - low))) if high > low else 4
        parts.append(f"{percent(intervals.SHOWN)} interval {low:.{digits}f} to {high:.{digits}f}")
    return f" ({', '.join(parts)})" if parts else ""


def _distinct_numbers(value: float, bound: float) -> tuple[str, str]:
    """Formats both with as many digits as it takes to tell them apart, so that no sentence says "0.8, below 0.8"."""
    pairs = ((number(value, digits), number(bound, digits)) for digits in range(4, 18))
    return next((pair for pair in pairs if pair[0] != pair[1]), (number(value), number(bound)))


def not_judged(rule: Rule, why: str) -> Verdict:
    """A rule that is not judged: it neither holds nor fails, and does not stop a model.

    Args:
        rule: the rule.
        why: a reason; or where it is not judged and why, from "where" or "for" on.

    >>> verdict = not_judged(Rule(gate="model_gate", metric="recall", max_drop=0.1), "no model is served yet")
    >>> verdict.reason, verdict.passed, verdict.judged
    ('recall is not judged: no model is served yet', True, False)
    """
    return Verdict(
        gate=rule.gate,
        rule=rule.text(),
        label=rule.label,
        slice=dict(rule.slice) if rule.slice else None,
        value=None,
        passed=True,
        reason=f"{rule.subject()} is not judged{'' if why.startswith(('where ', 'for ')) else ':'} {why}",
    )


def failed(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Verdicts that did not pass, in order."""
    return [verdict for verdict in verdicts if not verdict.passed]


def failed_or_largest(verdicts: Sequence[tuple[float, Verdict]]) -> list[Verdict]:
    """Shortens a long list of verdicts to those that did not pass, or else to the one with the largest value.

    Args:
        verdicts: (value, verdict) pairs.
    """
    largest = [verdict for _, verdict in sorted(verdicts, key=lambda pair: -pair[0])[:1]]
    return failed(verdict for _, verdict in verdicts) or largest
