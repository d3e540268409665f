"""The model gate: judges the metrics of a candidate by the thresholds of the configuration."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from components import metrics
from components.base.text import number, truncated_list
from components.base.verdict import Verdict
from components.gates import intervals
from components.gates.compared import Compared, Numbers, Results, images_of_label, results
from components.gates.found import FOUND, Beside, TrivialMethod, WeakGroup
from components.gates.judge import Beaten, Rule, failed, judge, not_judged
from components.gates.settings import Threshold
from components.labels import kinds
from components.labels.kind import LabelKind

# As the label of a threshold: every label. As a value of its slice: every value in the test split.
EVERY = "*"
_NOTHING = Compared()
_NOTHING_BESIDE = Beside()


def thresholds(
    rules: Sequence[Threshold],
    labels: Sequence[str],
    task: str,
    candidate: Results,
    baseline: Results | None,
    compared: Compared = _NOTHING,
    beside: Beside = _NOTHING_BESIDE,
) -> list[Verdict]:
    """Judges a candidate by every threshold.

    A `max_drop` is judged by the numbers of both models on the images and labels that are compared, `regressions` image
    by image on these, the rest by the numbers of the whole test split. What is not compared is not judged, and a
    verdict without a value says why.

    A threshold with `min_examples`, or with "*" in its slice (then the default is 1), passes for slices and labels
    with fewer examples, and one verdict without a value lists these. If no slice or label has enough examples, it
    fails.

    Args:
        rules: the thresholds.
        labels: names of all labels.
        task: the task in the configuration.
        candidate: results as `analysis.results` reads them.
        baseline: results of the served model for the same examples and labels, or None if there are none.
        compared: what is compared, and why not the rest. If the served model is broken, every `max_drop` fails, and so
            do thresholds on `regressions`.
        beside: the weak groups of the test split, for thresholds on them, and the trivial methods, for `min_gain`.

    Returns:
        one verdict per threshold, label and slice.

    >>> rule = Threshold(metric="recall", label="*", min=0.5)
    >>> numbers = {"recall/cat": 0.9, "support/cat": 10.0, "effective_positives/cat": 10.0}
    >>> numbers |= {"recall/dog": 0.2, "support/dog": 10.0, "effective_positives/dog": 10.0}
    >>> for verdict in thresholds([rule], ["cat", "dog"], "single_label", [({}, numbers)], None):
    ...     print(verdict.reason)
    recall of label 'cat' is 0.9 (10 examples, 95 % interval 0.60 to 0.98): recall >= 0.5
    recall of label 'dog' is 0.2 (10 examples, 95 % interval 0.06 to 0.51), below the minimum 0.5
    """
    served = _index(baseline) if baseline is not None else None if compared.whole else _index(results(compared.served))
    gate = _Gate(labels, kinds.kind(task), _index(candidate), served, compared, beside)
    return [verdict for rule in rules for verdict in gate.judge(rule)]


_Where = frozenset[tuple[str, str]]  # a slice: (column, value) pairs
_Case = tuple[str | None, _Where]  # label, or None for all, and slice


def _index(results: Results) -> dict[_Where, Numbers]:
    return {frozenset(where.items()): numbers for where, numbers in results}


@dataclass(frozen=True)
class _Gate:
    labels: Sequence[str]
    kind: LabelKind
    candidate: Mapping[_Where, Numbers]
    baseline: Mapping[_Where, Numbers] | None
    compared: Compared
    beside: Beside

    def judge(self, rule: Threshold) -> list[Verdict]:
        """Returns one verdict per label and slice value, and one that lists those with too few examples.

        If not everything is compared, the bounds and the drop have verdicts of their own. Of weak groups, each has one.
        """
        if rule.metric == metrics.REGRESSIONS:
            return self._judge_regressions(rule)
        if rule.slice == FOUND:
            return self._judge_found(rule)
        whole = self.baseline is not None and self.compared.whole
        if rule.max_drop is None or whole or self.compared.broken:
            return self._judge_all(rule)
        bounds = self._judge_all(rule.model_copy(update={"max_drop": None})) if _has_bounds(rule) else []
        only = {"min": None, "max": None, "min_gain": None, "confidence": None}
        return [*bounds, *self._judge_drop(rule.model_copy(update=only))]

    def _judge_found(self, rule: Threshold) -> list[Verdict]:
        """Judges every weak group that has enough examples, also of the label that the rule is about."""
        weak, every = self.beside.weak, rule.model_copy(update={"slice": {FOUND: EVERY}})
        if not weak.groups:
            why = f"no part of the test split is weaker than the rest beyond chance; {number(weak.tried)} were tried"
            return [not_judged(_rule(every, None if rule.label == EVERY else rule.label, every.columns), why)]
        groups = {group.name: group for group in weak.groups}
        found = {frozenset({(FOUND, name)}): _numbers(group.numbers) for name, group in groups.items()}
        among = replace(self, candidate=found, baseline=None)
        cases, few, all_few = among._cases(every)
        if all_few:  # a group without an image of the label says nothing about it
            return [_not_judged(every, *all_few)]
        return [*(among._judge_group(rule, label, where, groups) for label, where in cases), *few]

    def _judge_group(
        self, rule: Threshold, label: str | None, where: _Where, groups: Mapping[str, WeakGroup]
    ) -> Verdict:
        [(_, name)] = where
        verdict = self._judge(rule, label, where, among=name, detail=groups[name].sentence().removeprefix(f"{name}: "))
        return verdict.model_copy(update={"slice": {FOUND: name}})

    def _judge_drop(self, rule: Threshold) -> list[Verdict]:
        """Judges the drop where enough is compared, and says where not."""
        if self.baseline is None:
            # Without a number of its own, a candidate would be refused by every later comparison.
            label, why = None if rule.label == EVERY else rule.label, self.compared.why_not or "no model is served yet"
            return failed(self._judge_all(rule)) or [not_judged(_rule(rule, label, rule.columns), why)]
        among = replace(self, candidate=_index(results(self.compared.candidate)))
        return self._judge_among(among, rule, lambda *_: "")

    def _judge_regressions(self, rule: Threshold) -> list[Verdict]:
        """Judges how many images only the served model had right, where enough is compared, and says where not."""
        label, found = None if rule.label == EVERY else rule.label, self.compared.regressions
        if self.compared.broken:
            return [judge(_rule(rule, label, rule.columns), None, missing=self.compared.broken)]
        if found is None:
            why = self.compared.why_not or "no model is served yet"
            return [not_judged(_rule(rule, label, rule.columns), why)]

        def named(label: str | None, where: _Where) -> str:
            return truncated_list(image.path for image in found.of(label, dict(where)))

        return self._judge_among(replace(self, candidate=_index(results(found.numbers)), baseline=None), rule, named)

    def _judge_among(self, among: _Gate, rule: Threshold, detail: Callable[[str | None, _Where], str]) -> list[Verdict]:
        """Judges by the numbers of the images that are compared, where there are enough, and says where not.

        Args:
            among: has these numbers as the candidate's.
            rule: the threshold.
            detail: see `judge`, of a label and a slice.
        """
        least = max(1, rule.min_examples or 0)
        cases, few, all_few = self._cases(rule)
        if all_few:
            return [self._too_few_everywhere(rule, *all_few)]
        lacking = {case: why for case in cases if (why := among._lacking(rule.metric, least, *case))}
        verdicts = [
            among._judge(rule, *case, among="the compared images", detail=detail(*case))
            for case in cases
            if case not in lacking
        ]
        return verdicts + few + [_not_compared(rule, why, where) for why, where in _grouped(lacking)]

    def _lacking(self, metric: str, least: int, label: str | None, where: _Where) -> str:
        """Explains why a label or slice is not compared, or returns ""; `candidate` has the numbers compared."""
        if label in self.compared.new:
            return f"version {self.compared.version} does not know it"
        if self._examples(metric, label, where) < least:
            return f"fewer than {_examples(least)} can be compared" if least > 1 else "no example can be compared"
        if (metric if label is None else metrics.key(metric, label)) not in self.candidate[where]:
            return "it is known for all labels together only"
        return ""

    def _judge_all(self, rule: Threshold) -> list[Verdict]:
        cases, few, all_few = self._cases(rule)
        if all_few:
            return [self._too_few_everywhere(rule, *all_few)]
        return [*(self._judge(rule, *case) for case in cases), *few]

    def _cases(self, rule: Threshold) -> tuple[list[_Case], list[Verdict], tuple[int, Mapping[_Case, float]] | None]:
        """The labels and slices with enough test examples; a verdict on the others; and these, if there is no other."""
        least = rule.min_examples or (1 if _every_value(rule) else 0)
        cases = [(label, where) for where in self._slices(rule) for label in self._labels(rule)]
        counts = {case: self._examples(rule.metric, *case) for case in cases}
        few = {case: n for case, n in counts.items() if n < least}
        if len(few) == len(cases):
            return [], [], (least, few)
        return [case for case in cases if case not in few], [_not_judged(rule, least, few)] if few else [], None

    def _labels(self, rule: Threshold) -> Sequence[str | None]:
        return self.labels if rule.label == EVERY else [rule.label]

    def _slices(self, rule: Threshold) -> list[_Where]:
        wanted = rule.columns
        if not _every_value(rule):
            return [frozenset(wanted.items())]
        same_columns = [where for where in self.candidate if {column for column, _ in where} == wanted.keys()]
        return sorted(
            (where for where in same_columns if all(wanted[column] in (EVERY, value) for column, value in where)),
            key=sorted,
        )

    def _examples(self, metric: str, label: str | None, where: _Where) -> float:
        """Counts the examples of a slice that the metric needs.

        Counts depend on the truth alone, so that no model escapes a rule by its answers: a model that answers NaN
        always has enough examples, and precision is judged wherever the label has examples.
        """
        numbers = self.candidate.get(where, {})
        if numbers.get("invalid_predictions"):
            return math.inf
        counts = [numbers.get("example_count", 0.0)]
        if label is not None:
            needed = _NEEDED.get(metric, ("effective_positives",))
            if metric == metrics.REGRESSIONS:
                needed = (images_of_label(self.kind),)
            counts += [numbers.get(metrics.key(count, label), 0.0) for count in needed]
        return float(min(counts))

    def _judge(self, rule: Threshold, label: str | None, where: _Where, among: str = "", detail: str = "") -> Verdict:
        metric, numbers = rule.metric, self.candidate.get(where, {})
        key = metric if label is None else metrics.key(metric, label)
        value = numbers.get(key)
        examples, unit = self._support(metric, label, numbers)
        return judge(
            _rule(rule, label, None if rule.slice == FOUND else dict(sorted(where)), among),
            value,
            examples=examples,
            unit=unit,
            interval=self._interval(rule, label, value, numbers),
            baseline=None if self.baseline is None else float(self.baseline.get(where, {}).get(key, math.nan)),
            unknown_baseline=self.compared.broken,
            beaten=None if rule.min_gain is None else self._beaten(rule, key),
            missing=_missing(metric, label, numbers),
            detail=detail,
        )

    def _beaten(self, rule: Threshold, key: str) -> Beaten | None:
        """The best trivial method by a metric, or None if none has it."""
        smaller = rule.metric in metrics.SMALLER_IS_BETTER
        values = {m.name: value for m in self.beside.trivial.methods if (value := m.numbers.get(key)) is not None}
        if not values:
            return None
        name = (min if smaller else max)(values, key=values.__getitem__)
        [method] = [m for m in self.beside.trivial.methods if m.name == name]
        return Beaten(name, values[name], _gain_interval(rule, method, key))

    def _support(self, metric: str, label: str | None, numbers: Numbers) -> tuple[float, str]:
        """Number of examples behind a metric, and their unit."""
        if metric == metrics.REGRESSIONS:
            count = "example_count" if label is None else metrics.key(images_of_label(self.kind), label)
            return numbers.get(count, 0.0), "example"
        evidence = self.kind.evidence(metric, of_label=label is not None)
        if label is None:
            return numbers.get(evidence.examples if evidence else "effective_count", 0.0), "example"
        if evidence is None:
            return numbers.get(metrics.key("support", label), 0.0), self.kind.unit
        return numbers.get(metrics.key(evidence.examples, label), 0.0), "example"

    def _interval(
        self, rule: Threshold, label: str | None, value: float | None, numbers: Numbers
    ) -> intervals.Interval | None:
        """The interval of a share, or None; two-sided, or for a rule with a confidence one-sided bounds."""
        evidence = self.kind.evidence(rule.metric, of_label=label is not None)
        if evidence is None or value is None or math.isnan(value):
            return None
        examples, worth = (
            numbers.get(count if label is None else metrics.key(count, label), 0.0)
            for count in (evidence.examples, evidence.worth or evidence.examples)
        )
        if not min(examples, worth) > 0:
            return None
        z = intervals.two_sided(intervals.SHOWN) if rule.confidence is None else intervals.one_sided(rule.confidence)
        n = intervals.worth(worth, examples, z) if evidence.worth else examples
        return (intervals.f1 if rule.metric in _F1 else intervals.wilson)(value, n, z)

    def _too_few_everywhere(self, rule: Threshold, least: int, few: Mapping[_Case, float]) -> Verdict:
        """Refuses a threshold for which no label and slice has enough examples."""
        missing = ""
        if any(few.values()):
            missing = f"every slice and label has fewer than {_examples(least)}: {_listed(few)}"
            if len(few) == 1 and not _every_value(rule):
                missing = f"min_examples is {number(least)}, but there are only {number(max(few.values()))}"
        return judge(
            _rule(rule, None if rule.label == EVERY else rule.label, rule.columns),
            None,
            examples=max(few.values(), default=0.0),
            missing=missing,
            unknown_baseline=self.compared.broken,
        )


def _numbers(written: Mapping[str, float | None]) -> Numbers:
    return {key: math.nan if value is None else value for key, value in written.items()}


def _gain_interval(rule: Threshold, method: TrivialMethod, key: str) -> intervals.Interval | None:
    """The interval of the gain over a method on the same images, or None if the metric has none; see `_interval`."""
    paired = method.paired.get(key)
    if paired is None or rule.confidence is None or not min(paired.images, paired.worth) > 0:
        return None
    z = intervals.one_sided(rule.confidence)
    return intervals.difference(paired.gain, intervals.worth(paired.worth, paired.images, z), z)


_F1 = ("f1", "micro_f1", "threshold_f1")
# Metric of a label -> counts that must all be large enough; for other metrics, the label's positives.
_NEEDED = {
    "specificity": ("effective_negatives",),
    "auc": ("effective_positives", "effective_negatives"),
    "binary_accuracy": ("effective_known",),
    "ece": ("effective_known",),
}


def _missing(metric: str, label: str | None, numbers: Numbers) -> str:
    """Explains why there is no value, or returns "" if examples are lacking."""
    if invalid := numbers.get("invalid_predictions"):
        return f"the model's answer is not a number for {_examples(invalid)}"
    if metric == "precision" and label is not None and numbers.get(metrics.key("support", label)):
        return "the model predicts this label for no example"
    return ""


def _every_value(rule: Threshold) -> bool:
    return EVERY in rule.columns.values()


def _has_bounds(rule: Threshold) -> bool:
    return rule.min is not None or rule.max is not None or rule.min_gain is not None


def _rule(rule: Threshold, label: str | None, where: Mapping[str, str] | None, among: str = "") -> Rule:
    return Rule(
        gate="model_gate",
        metric=rule.metric,
        label=label,
        among=among,
        slice=where or None,
        minimum=rule.min,
        maximum=rule.max,
        max_drop=rule.max_drop,
        min_gain=rule.min_gain,
        smaller_is_better=rule.metric in metrics.SMALLER_IS_BETTER,
        confidence=rule.confidence,
    )


def _not_judged(rule: Threshold, least: int, few: Mapping[_Case, float]) -> Verdict:
    """Verdict that lists the labels and slices that pass because they have too few examples."""
    label = None if rule.label == EVERY else rule.label
    lacking = "there is no example" if least == 1 else f"there are fewer than {_examples(least)}"
    return not_judged(_rule(rule, label, rule.columns), f"where {lacking}: {_listed(few)}")


def _grouped(lacking: Mapping[_Case, str]) -> list[tuple[str, list[_Case]]]:
    """The labels and slices by the reason why they are not compared."""
    return [(why, [case for case in lacking if lacking[case] == why]) for why in dict.fromkeys(lacking.values())]


def _not_compared(rule: Threshold, why: str, cases: Sequence[_Case]) -> Verdict:
    """Verdict on labels and slices that are not compared with the served model."""
    if rule.label != EVERY and not _every_value(rule):
        return not_judged(_rule(rule, rule.label, rule.columns), why)
    label, which = None if rule.label == EVERY else rule.label, truncated_list(_place(*case) for case in cases)
    return not_judged(_rule(rule, label, rule.columns), f"for {which}: {why}")


def _listed(few: Mapping[_Case, float]) -> str:
    """Lists labels and slices with their examples: "camera=dawn (2), label 'cat' where camera=day (0)"."""
    return ", ".join(f"{_place(label, where)} ({number(n)})" for (label, where), n in few.items())


def _examples(n: float) -> str:
    return f"{number(n)} example{'' if n == 1 else 's'}"


def _place(label: str | None, where: _Where) -> str:
    there = " and ".join(f"{column}={value}" for column, value in sorted(where))
    named = [] if label is None else [f"label {label!r}"]
    return " where ".join(named + ([there] if there else []))
