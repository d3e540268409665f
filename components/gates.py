"""The judge of both gates: rules and numbers in, verdicts in words out, the same words everywhere."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

CHANCE = 0.001  # a difference that chance alone makes more often than this proves nothing


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One bound on one number.

    Attributes:
        gate: "balance", "evaluation" or "serving".
        metric: what is bounded, in the words of the configuration ("recall", "examples in train").
        label: name of the label it is about, or None: the whole.
        slice: column -> value it is about, or None: all examples.
        minimum, maximum: inclusive bounds, or None.
        max_drop: how far below the baseline's value it may be (above, where smaller is better), or None.
        smaller_is_better: for `max_drop`.
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
    advice: str = ""

    def text(self) -> str:
        """The rule as a formula: "recall >= 0.5"."""
        bounds = []
        if self.minimum is not None:
            bounds.append(f"{self.metric} >= {number(self.minimum)}")
        if self.maximum is not None:
            bounds.append(f"{self.metric} <= {number(self.maximum)}")
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


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How one rule came out; `reason` is a sentence for people. The fields are those of summary.json's `gates`."""

    gate: str
    rule: str
    label: str | None
    slice: dict[str, str] | None
    value: float | None
    passed: bool
    reason: str

    def to_json(self) -> dict[str, Any]:
        """A JSON object of plain values."""
        return asdict(self)


def judge(
    rule: Rule,
    value: float | None,
    *,
    examples: float | None = None,
    unit: str = "example",
    baseline: float | None = None,
    chance: float = 0.0,
    detail: str = "",
) -> Verdict:
    """Compares one number with its rule.

    Args:
        rule: what must hold.
        value: the number, or None where there is none (a slice or label without examples). None and NaN fail.
        examples: how many examples it rests on, if known; told to the reader.
        unit: what `examples` counts, in the singular.
        baseline: the served model's number; None where no model is served, and then `max_drop` holds. NaN fails it.
        chance: probability that chance alone gives a value as far out; from `CHANCE` on, a bound that is crossed
            does not refuse. (Bonferroni: of several tests, each times their number.)
        detail: more words for the reason, e.g. the files it is about.
    """
    subject = rule.subject()
    resting = f" ({number(examples)} {unit}{'' if examples == 1 else 's'})" if examples is not None else ""
    problems = []
    if value is None or math.isnan(value):
        missing = f"there is no {unit} to compute it from" if not examples else "it is not a number"
        problems.append(f"{subject} cannot be judged: {missing}; expected {rule.text()}")
    else:
        if rule.minimum is not None and not value >= rule.minimum:
            found, bound = _apart(value, rule.minimum)
            problems.append(f"{subject} is {found}{resting}, below the minimum {bound}")
        if rule.maximum is not None and not value <= rule.maximum:
            found, bound = _apart(value, rule.maximum)
            problems.append(f"{subject} is {found}{resting}, above the maximum {bound}")
        if rule.max_drop is not None and baseline is not None:
            drop = value - baseline if rule.smaller_is_better else baseline - value
            # Both sides are rounded sums of few terms: a drop of exactly the bound must not fail by 1e-17.
            if not drop <= rule.max_drop + 1e-12:
                found, bound = _apart(drop, rule.max_drop)
                problems.append(
                    f"{subject} is {number(value)}{resting}, worse than the served model's {number(baseline)} by "
                    f"{found}; allowed are {bound}"
                )
    passed = not problems or chance >= CHANCE
    reason = "; ".join(problems) if problems else f"{subject} is {number(value)}{resting}: {rule.text()}"
    if detail:
        reason += f": {detail}"
    if problems and passed:
        reason += f". So few examples differ that much by chance (p = {min(1.0, chance):.2g}), so this is let pass"
    elif problems and rule.advice:
        reason += f". {rule.advice}"
    return Verdict(
        gate=rule.gate,
        rule=rule.text(),
        label=rule.label,
        slice=dict(rule.slice) if rule.slice else None,
        value=float(value) if value is not None and math.isfinite(value) else None,  # JSON has no infinity
        passed=passed,
        reason=reason,
    )


def _apart(value: float, bound: float) -> tuple[str, str]:
    """Both for people, with as many digits as it takes to tell them apart: nothing is 0.8 and below 0.8."""
    pairs = ((number(value, digits), number(bound, digits)) for digits in range(4, 18))
    return next((pair for pair in pairs if pair[0] != pair[1]), (number(value), number(bound)))


def number(value: float | None, digits: int = 4) -> str:
    """A number for people: 12, 0.31, 1,234; four significant digits."""
    if value is None:
        return "nothing"
    if value == int(value) if math.isfinite(value) else False:
        return f"{int(value):,}"
    return "infinite" if math.isinf(value) else f"{value:.{digits}g}"


def failed(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Those that did not pass, in order."""
    return [v for v in verdicts if not v.passed]
