"""The model gate's rules: thresholds of the configuration x labels x slices x numbers -> verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components import metrics
from components.base.text import number
from components.base.verdict import Verdict
from components.gates import intervals
from components.gates.judge import Rule, judge
from components.gates.settings import Threshold
from components.labels import kinds
from components.labels.kind import LabelKind

EVERY = "*"  # as a threshold's label: each label; as a value of its slice: each value that there is
Numbers = Mapping[str, Any]
Results = Sequence[tuple[Mapping[str, str], Numbers]]


def thresholds(
    rules: Sequence[Threshold],
    labels: Sequence[str],
    task: str,
    candidate: Results,
    baseline: Results | None,
    unknown_baseline: str = "",
) -> list[Verdict]:
    """Judges the candidate.

    A rule with `min_examples`, or with "*" in its slice (then the default is 1), lets pass where there are fewer
    examples, and a verdict without a value says where; one that is left with nothing to judge refuses.

    Args:
        rules: the thresholds.
        labels: every label's name.
        task: as in the configuration.
        candidate: (slice, metric key -> value) as `evaluation.results` reads them.
        baseline: the same of the served model on the same examples, or None where none is served.
        unknown_baseline: why a served model has no numbers, in words; refuses every `max_drop`.
    """
    gate = _Gate(
        labels, kinds.kind(task), _index(candidate), None if baseline is None else _index(baseline), unknown_baseline
    )
    return [verdict for rule in rules for verdict in gate.judge(rule)]


_Where = frozenset[tuple[str, str]]


def _index(results: Results) -> dict[_Where, Numbers]:
    return {frozenset(where.items()): numbers for where, numbers in results}


@dataclass(frozen=True)
class _Gate:
    labels: Sequence[str]
    kind: LabelKind
    candidate: Mapping[_Where, Numbers]
    baseline: Mapping[_Where, Numbers] | None
    unknown_baseline: str

    def judge(self, rule: Threshold) -> list[Verdict]:
        """One verdict per label and slice value, and one on those that have too few examples."""
        least = rule.min_examples or (1 if _every_value(rule) else 0)
        cases = [(label, where) for where in self._slices(rule) for label in self._labels(rule)]
        counts = {case: self._examples(rule.metric, *case) for case in cases}
        few = {case: n for case, n in counts.items() if n < least}
        if len(few) == len(cases):
            return [self._nothing(rule, least, few)]
        verdicts = [self._judge(rule, *case) for case in cases if case not in few]
        return verdicts + ([_told(rule, least, few)] if few else [])

    def _labels(self, rule: Threshold) -> Sequence[str | None]:
        return self.labels if rule.label == EVERY else [rule.label]

    def _slices(self, rule: Threshold) -> list[_Where]:
        asked = rule.slice or {}
        if not _every_value(rule):
            return [frozenset(asked.items())]
        found = [where for where in self.candidate if {c for c, _ in where} == asked.keys()]
        return sorted((w for w in found if all(asked[c] in (EVERY, value) for c, value in w)), key=sorted)

    def _examples(self, metric: str, label: str | None, where: _Where) -> float:
        """How many examples of the slice there are for the metric.

        It is the truth alone that says so: a model must not get out of a rule by what it answers. So of a model that
        answers NaN there are always enough, and precision is judged wherever the label has examples.
        """
        numbers = self.candidate.get(where, {})
        if numbers.get("invalid_predictions"):
            return math.inf
        counts = [numbers.get("example_count", 0.0)]
        if label is not None:
            needed = _NEEDED.get(metric, ("effective_positives",))
            counts += [numbers.get(metrics.key(count, label), 0.0) for count in needed]
        return float(min(counts))

    def _judge(self, rule: Threshold, label: str | None, where: _Where) -> Verdict:
        metric, numbers = rule.metric, self.candidate.get(where, {})
        key = metric if label is None else metrics.key(metric, label)
        value = numbers.get(key)
        examples, unit = self._resting(metric, label, numbers)
        proportion = metric in self.kind.proportions
        return judge(
            _rule(rule, label, dict(sorted(where))),
            value,
            examples=examples,
            unit=unit,
            interval=_interval(metric, value, examples, rule.confidence) if proportion else None,
            baseline=None if self.baseline is None else float(self.baseline.get(where, {}).get(key, math.nan)),
            unknown_baseline=self.unknown_baseline,
            missing=_missing(metric, label, numbers),
        )

    def _resting(self, metric: str, label: str | None, numbers: Numbers) -> tuple[float, str]:
        """How many of what a metric rests on."""
        count = self.kind.proportions.get(metric)
        if label is None:
            unit = "known label" if count in ("effective_known", "effective_involved") else "example"
            return numbers.get(count or "effective_count", 0.0), unit
        return numbers.get(metrics.key(count or "support", label), 0.0), self.kind.unit

    def _nothing(self, rule: Threshold, least: int, few: Mapping[tuple[str | None, _Where], float]) -> Verdict:
        missing = ""
        if any(few.values()):
            missing = f"nowhere are there {_examples(least)}: {_listed(few)}"
            if len(few) == 1 and not _every_value(rule):
                missing = f"min_examples is {number(least)}, and there are {number(max(few.values()))}"
        return judge(
            _rule(rule, None if rule.label == EVERY else rule.label, rule.slice),
            None,
            examples=max(few.values(), default=0.0),
            missing=missing,
            unknown_baseline=self.unknown_baseline,
        )


# Counts of a label, all of which must be there for a metric; of the others its positives.
_NEEDED = {
    "specificity": ("effective_negatives",),
    "auc": ("effective_positives", "effective_negatives"),
    "binary_accuracy": ("effective_known",),
    "ece": ("effective_known",),
}


def _missing(metric: str, label: str | None, numbers: Numbers) -> str:
    """Why there is no value, where it is not for want of examples."""
    if invalid := numbers.get("invalid_predictions"):
        return f"of {_examples(invalid)} the model's answer is not a number"
    if metric == "precision" and label is not None and numbers.get(metrics.key("support", label)):
        return "the model does not answer it for any example"
    return ""


def _every_value(rule: Threshold) -> bool:
    return EVERY in (rule.slice or {}).values()


def _rule(rule: Threshold, label: str | None, where: Mapping[str, str] | None) -> Rule:
    return Rule(
        gate="model_gate",
        metric=rule.metric,
        label=label,
        slice=where or None,
        minimum=rule.min,
        maximum=rule.max,
        max_drop=rule.max_drop,
        smaller_is_better=rule.metric in metrics.SMALLER_IS_BETTER,
        confidence=rule.confidence,
    )


def _interval(metric: str, value: float | None, examples: float, confidence: float | None) -> intervals.Interval | None:
    if value is None or math.isnan(value) or not examples > 0:
        return None
    z = intervals.two_sided(intervals.TOLD) if confidence is None else intervals.one_sided(confidence)
    bounds = intervals.f1 if metric in ("f1", "micro_f1") else intervals.wilson
    return bounds(value, examples, z)


def _told(rule: Threshold, least: int, few: Mapping[tuple[str | None, _Where], float]) -> Verdict:
    """Those that are let pass for want of examples."""
    label = None if rule.label == EVERY else rule.label
    judged = _rule(rule, label, rule.slice)
    lacking = "there is no example" if least == 1 else f"there are fewer than {_examples(least)}"
    reason = f"{judged.subject()} is not judged where {lacking}: {_listed(few)}"
    return Verdict(
        gate=judged.gate,
        rule=judged.text(),
        label=label,
        slice=rule.slice,
        value=None,
        passed=True,
        reason=reason,
    )


def _listed(few: Mapping[tuple[str | None, _Where], float]) -> str:
    """Each with its number: "camera=dawn (2), label 'cat' where camera=day (0)"."""
    return ", ".join(f"{_place(label, where)} ({number(n)})" for (label, where), n in few.items())


def _examples(n: float) -> str:
    return f"{number(n)} example{'' if n == 1 else 's'}"


def _place(label: str | None, where: _Where) -> str:
    there = " and ".join(f"{column}={value}" for column, value in sorted(where))
    named = [] if label is None else [f"label {label!r}"]
    return " where ".join(named + ([there] if there else []))
