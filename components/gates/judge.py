"""The judge of both gates: rules and numbers in, verdicts in words out, the same words everywhere."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from components.base.text import number, percent
from components.base.verdict import Verdict
from components.gates import intervals

# A difference that chance alone makes more often than this is no evidence. Chosen by hand; not measured: one false
# alarm in a thousand checks.
CHANCE = 0.001


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One bound on one number.

    Attributes:
        gate: "data_gate", "model_gate" or "serving".
        metric: what is bounded, in the words of the configuration ("recall", "examples in train").
        label: name of the label it is about, or None: the whole.
        slice: column -> value it is about, or None: all examples.
        minimum, maximum: inclusive bounds, or None.
        max_drop: how far below the baseline's value it may be (above, where smaller is better), or None.
        smaller_is_better: for `max_drop`.
        confidence: with which `minimum` and `maximum` must hold, each by itself; None: of the value as it came.
        advice: what to do when it fails.
    """

    gate: str
    metric: str
    label: str | None = None
    slice: Mapping[str, str] | None = None
    minimum: float | None = None
    maximum: float | None = None
    max_drop: float | None = None
    smaller_is_better: bool = False
    confidence: float | None = None
    advice: str = ""

    def text(self) -> str:
        """The rule as a formula: "recall >= 0.5"."""
        bounds, surely = [], f" with {percent(self.confidence)} confidence" if self.confidence is not None else ""
        if self.minimum is not None:
            bounds.append(f"{self.metric} >= {number(self.minimum)}{surely}")
        if self.maximum is not None:
            bounds.append(f"{self.metric} <= {number(self.maximum)}{surely}")
        if self.max_drop is not None:
            sign, order = ("+", "<=") if self.smaller_is_better else ("-", ">=")
            bounds.append(f"{self.metric} {order} served model's {sign} {number(self.max_drop)}")
        return " and ".join(bounds)

    def subject(self) -> str:
        """What the rule is about: "recall of label 'cat' where camera=night"."""
        return (
            self.metric
            + (f" of label {self.label!r}" if self.label is not None else "")
            + (" where " + " and ".join(f"{k}={v}" for k, v in self.slice.items()) if self.slice else "")
        )


_Broken = tuple[float | None, str]  # the bound, if it is known, and the sentence


def judge(
    rule: Rule,
    value: float | None,
    *,
    examples: float | None = None,
    unit: str = "example",
    interval: intervals.Interval | None = None,
    baseline: float | None = None,
    unknown_baseline: str = "",
    chance: float = 0.0,
    missing: str = "",
    detail: str = "",
) -> Verdict:
    """Compares one number with its rule.

    Args:
        rule: what must hold.
        value: the number, or None where there is none (a slice or label without examples). None and NaN fail.
        examples: how many examples it rests on, if known; told to the reader.
        unit: what `examples` counts, in the singular.
        interval: (lower, upper) bound that so many examples allow, with `rule.confidence` each, or else with
            `intervals.TOLD` together; told to the reader. A rule with a confidence fails without it.
        baseline: the served model's number; None where no model is served, and then `max_drop` holds. NaN fails it.
        unknown_baseline: why there is no such number though a model is served; fails `max_drop`.
        chance: probability that chance alone gives a value as far out; from `CHANCE` on, a bound that is crossed
            does not refuse. (Bonferroni: of several tests, each times their number.)
        missing: why there is no value, if it is not for want of examples.
        detail: more words for the reason, e.g. the files it is about.
    """
    subject = rule.subject()
    resting = _resting(rule, examples, unit, interval)
    if value is None or math.isnan(value):
        missing = missing or (f"there is no {unit} to compute it from" if not examples else "it is not a number")
        broken: list[_Broken] = [(None, f"{subject} cannot be judged: {missing}; expected {rule.text()}")]
    else:
        broken = [
            *_crossed(rule, value, resting, interval),
            *_dropped(rule, value, resting, baseline, unknown_baseline),
        ]
    passed = not broken or chance >= CHANCE
    told = "; ".join(text for _, text in broken)
    reason = told or f"{subject} is {number(value)}{resting}: {rule.text()}"
    if detail:
        reason += f": {detail}"
    if broken and passed:
        reason += f". So few examples differ that much by chance (p = {min(1.0, chance):.2g}), so this is let pass"
    elif broken and rule.advice:
        reason += f". {rule.advice}"
    bounds = (*(bound for bound, _ in broken), rule.minimum, rule.maximum, _floor(rule, baseline))
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


def _crossed(rule: Rule, value: float, resting: str, interval: intervals.Interval | None) -> Iterator[_Broken]:
    """`minimum` and `maximum`, of the value or with confidence of its interval's bound."""
    sides = (("minimum", rule.minimum, "below", "least", 0), ("maximum", rule.maximum, "above", "most", 1))
    for name, bound, side, reach, end in sides:
        if bound is None:
            continue
        judged = value if rule.confidence is None else interval[end] if interval else math.nan
        if judged >= bound if name == "minimum" else judged <= bound:
            continue
        found, limit = _apart(judged, bound)
        text = f"{rule.subject()} is "
        if rule.confidence is None:
            text += f"{found}{resting}"
        else:
            text += f"{number(value)}{resting}, with {percent(rule.confidence)} confidence at {reach} {found}"
        yield bound, f"{text}, {side} the {name} {limit}"


def _dropped(rule: Rule, value: float, resting: str, baseline: float | None, unknown: str) -> Iterator[_Broken]:
    """`max_drop` from the served model's number."""
    if rule.max_drop is None or (baseline is None and not unknown):
        return
    text = f"{rule.subject()} is {number(value)}{resting}"
    if baseline is None or math.isnan(baseline):
        why = unknown or "its number cannot be computed"
        yield None, f"{text} and cannot be compared with the served model's: {why}; expected {rule.text()}"
        return
    drop = value - baseline if rule.smaller_is_better else baseline - value
    # Both sides are rounded sums of few terms: a drop of exactly the bound must not fail by 1e-17.
    if not drop <= rule.max_drop + 1e-12:
        found, limit = _apart(drop, rule.max_drop)
        worse = f"worse than the served model's {number(baseline)} by {found}; allowed are {limit}"
        yield _floor(rule, baseline), f"{text}, {worse}"


def _floor(rule: Rule, baseline: float | None) -> float | None:
    """As far as the metric may go with `max_drop`, if that is known."""
    if baseline is None or rule.max_drop is None:
        return None
    return _finite(baseline + rule.max_drop if rule.smaller_is_better else baseline - rule.max_drop)


def _finite(value: float | None) -> float | None:
    """JSON has no infinity and no NaN."""
    return float(value) if value is not None and math.isfinite(value) else None


def _resting(rule: Rule, examples: float | None, unit: str, interval: intervals.Interval | None) -> str:
    """What a value rests on: " (100 examples, 95 % interval 0.70 to 0.86)"."""
    parts = []
    if examples is not None:
        parts.append(f"{number(examples)} {unit}{'' if examples == 1 else 's'}")
    if interval is not None and rule.confidence is None:
        low, high = interval
        # Two significant digits of its width.
        digits = max(2, 1 - math.floor(math.log10(high - low))) if high > low else 4
        parts.append(f"{percent(intervals.TOLD)} interval {low:.{digits}f} to {high:.{digits}f}")
    return f" ({', '.join(parts)})" if parts else ""


def _apart(value: float, bound: float) -> tuple[str, str]:
    """Both for people, with as many digits as it takes to tell them apart: nothing is 0.8 and below 0.8."""
    pairs = ((number(value, digits), number(bound, digits)) for digits in range(4, 18))
    return next((pair for pair in pairs if pair[0] != pair[1]), (number(value), number(bound)))


def failed(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Those that did not pass, in order."""
    return [v for v in verdicts if not v.passed]
