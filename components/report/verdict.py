"""The verdict of a run in words, its main metrics and the rules of its gates."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NotRequired, TypedDict

from components import metrics
from components.base.text import number
from components.base.verdict import Verdict
from components.labels import kinds
from components.report.cells import change, head, plural, three_digits
from components.report.run_summary import RunSummary

_WORDS = {
    "pushed": ("pushed", "good", "✔"),
    "up_to_date": ("up to date", "good", "✔"),
    "not_blessed": ("refused", "bad", "✘"),
    "data_rejected": ("refused", "bad", "✘"),
    "failed": ("failed", "bad", "✘"),
    "tuned": ("tuned", "good", "✔"),
    "compared": ("compared", "good", "✔"),
    "stopped": ("stopped", "bad", "✘"),
    "killed": ("killed", "bad", "✘"),
}
_GATES = {"data_gate": "data", "model_gate": "model", "serving": "serving"}
_REASONS = 8  # reasons listed below the verdict
_TILES = 8  # main metrics
_OPEN = 24  # passed rules of a gate that are visible without a click


class Rule(TypedDict):
    """A row of the table of rules; all but `passed` is text."""

    id: str
    gate: str
    rule: str
    about: str
    reason: str
    passed: bool
    mark: str
    value: str
    bound: str
    interval: str
    examples: str


class RuleGroup(TypedDict):
    """The passed rules of one gate, or those that were not judged."""

    text: str
    gates: list[Rule]
    open: bool


class Reason(TypedDict):
    """A line of the error, and the id of the rule that it links to."""

    text: str
    id: str | None


class Headline(TypedDict):
    """The section at the top of the page."""

    word: str
    mood: str
    sign: str
    sentence: str
    compared: str
    reasons: list[Reason]


class Tile(TypedDict):
    """A main metric."""

    name: str
    text: str
    change: NotRequired[str]
    mood: NotRequired[str]


def headline(summary: RunSummary, rules: Sequence[Rule]) -> Headline:
    """The verdict with its reasons, each linked to the rule that failed."""
    word, mood, sign = _WORDS[summary.status]
    by_reason = {rule["reason"]: rule["id"] for rule in rules}
    lines = (summary.error or "").splitlines()
    reasons: list[Reason] = [{"text": line, "id": by_reason.get(line)} for line in lines[:_REASONS]]
    if len(lines) > _REASONS:
        reasons.append({"text": f"and {len(lines) - _REASONS} more", "id": "gates"})
    return {
        "word": word,
        "mood": mood,
        "sign": sign,
        "sentence": _sentence(summary, len(lines)),
        "compared": comparison(summary),
        "reasons": reasons,
    }


def _sentence(summary: RunSummary, reasons: int) -> str:
    version = summary.pushed.version if summary.pushed else None
    beside = ", a challenger beside the served version" if summary.pushed and summary.pushed.challenger else ""
    many = f"{reasons} reason{plural(reasons)}"
    return {
        "pushed": f"Pushed as version {version}{beside}.",
        "up_to_date": f"Nothing has changed: version {version} stays {'a challenger' if beside else 'in service'}.",
        "not_blessed": f"Refused by the model gate, for {many}. The served model is untouched.",
        "data_rejected": f"Refused by the data gate, for {many}. Nothing was trained; the served model is untouched.",
        "tuned": "Searched for better settings. Nothing was pushed.",
        "compared": "Compared methods. Nothing was pushed.",
        "failed": "Failed. The served model is untouched.",
        "stopped": "Stopped by a signal. The next run goes on from there.",
        "killed": "Killed. The next run goes on from there.",
    }[summary.status]


def comparison(summary: RunSummary) -> str:
    """A sentence that compares the model with the served one; "" if there is nothing to compare."""
    served = summary.baseline
    if not served:
        return ""
    kind = kinds.kind(summary.task)
    part = summary.same_part
    value, before = part.metrics.get(kind.main), served.metrics.get(kind.main)
    if value is None or before is None:
        return ""
    name = kind.main_of_label
    changes = [
        cell["value"]
        for label, numbers in part.per_label.items()
        if (cell := change(name, numbers.get(name), served.per_label.get(label, {}).get(name)))
    ]
    rose, fell = sum(c > 0 for c in changes), sum(c < 0 for c in changes)
    than = f"than the served version {served.version} ({three_digits(before)})"
    difference = f"{three_digits(abs(value - before))} {'better' if value > before else 'worse'} {than}"
    same = f"the same as that of the served version {served.version}"
    labels = f" {head(name)} rose for {rose} label{plural(rose)} and fell for {fell}."
    where = f" on the {part.images:,} test images that are compared" if served.compared else ""
    return (
        f"{head(kind.main).capitalize()}{where} is {three_digits(value)}, {same if value == before else difference}."
        f"{labels if rose or fell else ''}"
    )


def tiles(summary: RunSummary) -> list[Tile]:
    """The main metrics of the whole test split, with their change since the served model."""
    served, part = summary.baseline.metrics if summary.baseline else {}, summary.same_part.metrics
    shown: list[Tile] = []
    for name in (*kinds.kind(summary.task).overall, *metrics.OUT_OF_DISTRIBUTION):
        value = summary.metrics.get(name)
        if value is None or name.startswith("uncalibrated_"):
            continue
        tile: Tile = {"name": head(name), "text": three_digits(value)}
        if cell := change(name, part.get(name), served.get(name)):
            tile |= {"change": cell["text"], "mood": cell["mood"]}
        shown.append(tile)
    return shown[:_TILES]


def rules(verdicts: Sequence[Verdict]) -> list[Rule]:
    """One row per verdict; failed rules come first."""
    rows = [_rule(i, verdict) for i, verdict in enumerate(verdicts, 1)]
    return sorted(rows, key=lambda row: row["passed"])


def _rule(i: int, verdict: Verdict) -> Rule:
    about = [f"label {verdict.label!r}"] if verdict.label is not None else []
    about += [f"{column}={value}" for column, value in (verdict.slice or {}).items()]
    interval = verdict.interval
    return {
        "id": f"rule-{i}",
        "gate": _GATES[verdict.gate],
        "rule": verdict.rule,
        "about": ", ".join(about),
        "reason": _note(verdict),
        "passed": verdict.passed,
        "mark": "not judged" if not verdict.judged else "passed" if verdict.passed else "failed",
        "value": _number(verdict.value),
        "bound": _number(verdict.bound),
        "interval": f"{number(interval[0])} to {number(interval[1])}" if interval else "–",
        "examples": _number(verdict.examples),
    }


def _note(verdict: Verdict) -> str:
    """The reason of a failed rule; for a passed rule only the part that the other cells do not show."""
    prefix = f": {verdict.rule}"
    if not verdict.passed or prefix not in verdict.reason:
        return verdict.reason
    return verdict.reason.split(prefix, 1)[1].removeprefix(": ")


def passed(rules: Sequence[Rule]) -> list[RuleGroup]:
    """The rules that did not fail, grouped by gate; those that were not judged are apart."""
    groups: list[RuleGroup] = []
    for gate, mark in itertools.product(("model", "serving", "data"), ("passed", "not judged")):
        of_gate = [rule for rule in rules if rule["mark"] == mark and rule["gate"] == gate]
        if of_gate:
            were = "passed" if mark == "passed" else f"{'was' if len(of_gate) == 1 else 'were'} not judged"
            text = f"{len(of_gate)} rule{plural(len(of_gate))} of the {gate} gate {were}"
            groups.append({"text": text, "gates": of_gate, "open": len(of_gate) <= _OPEN and gate != "data"})
    return groups


def counted(rules: Sequence[Rule]) -> str:
    """A sentence on how many rules failed."""
    failed, unjudged = sum(not rule["passed"] for rule in rules), sum(rule["mark"] == "not judged" for rule in rules)
    judged = len(rules) - unjudged
    left = f" {unjudged} {'was' if unjudged == 1 else 'were'} not judged." if unjudged else ""
    return (f"{failed} of {judged} rules failed." if failed else f"All {judged} rules passed.") + left


def _number(value: float | None) -> str:
    return "–" if value is None else number(value)
