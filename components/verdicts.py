"""The model gate's rules: thresholds of the configuration x labels x numbers -> verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from components import metrics
from components.gates import Rule, Verdict, judge

EVERY_LABEL = "*"
Results = Sequence[tuple[Mapping[str, str], Mapping[str, Any]]]


def thresholds(
    rules: Sequence[Mapping[str, Any]],
    labels: Sequence[str],
    candidate: Results,
    baseline: Results | None,
    unit: str = "example",
) -> list[Verdict]:
    """Judges the candidate.

    Args:
        rules: thresholds as in pipeline.config.Threshold: metric, label, slice, min, max, max_drop.
        labels: every label's name.
        candidate: (slice, metric key -> value) as `evaluation.results` reads them.
        baseline: the same of the served model on the same examples, or None where none is served.
        unit: what a label's `support` counts; see `metrics.UNIT`.
    """
    return [
        _judge(rule, label, candidate, baseline, unit)
        for rule in rules
        for label in (labels if rule["label"] == EVERY_LABEL else [rule["label"]])
    ]


def _judge(
    rule: Mapping[str, Any], label: str | None, candidate: Results, baseline: Results | None, unit: str
) -> Verdict:
    metric, where = rule["metric"], rule["slice"] or {}
    key = metric if label is None else metrics.key(metric, label)
    numbers = _numbers(candidate, where)
    served = None if baseline is None else float(_numbers(baseline, where).get(key, math.nan))
    return judge(
        Rule(
            gate="evaluation",
            metric=metric,
            label=label,
            slice=where or None,
            minimum=rule["min"],
            maximum=rule["max"],
            max_drop=rule["max_drop"],
            smaller_is_better=metric in metrics.SMALLER_IS_BETTER,
        ),
        numbers.get(key),
        examples=numbers.get("example_count" if label is None else metrics.key("support", label), 0.0),
        unit="example" if label is None else unit,
        baseline=served,
    )


def _numbers(results: Results, where: Mapping[str, str]) -> Mapping[str, Any]:
    """The numbers of one slice, {} if no example lies in it."""
    return next((numbers for slice_, numbers in results if dict(slice_) == dict(where)), {})
