"""Judges an export: its answers to the test split take the place of the SavedModel's, and the same rules apply."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from components import metrics
from components.base.verdict import Verdict
from components.evaluation import regressions
from components.evaluation.comparison import Scope
from components.evaluation.predictions import Prediction
from components.gates import model_gate
from components.gates.compared import Compared, Results
from components.gates.found import FOUND, Beside
from components.gates.judge import Rule, judge
from components.gates.settings import Threshold
from components.labels import outputs
from components.labels.kind import LabelKind
from components.metrics import curves

Arrays = Mapping[str, NDArray[Any]]  # name of an output -> array [n, ...]
_PART = "only a part of the test split is compared with the served model"
_ADVICE = "Push the format without int8, calibrate it on more images of this label, or raise push.max_export_drop"
_AGREE = "Push the format without int8, or lower push.min_export_agreement"
_BLOCK = 32  # images whose answers are compared at once


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """What is known of the SavedModel.

    Attributes:
        kind: of the labels.
        labels: in the order of the outputs.
        decided: probability from which each label is taken to apply, [K].
        rows: its predictions for the n images of the test split, in the order of the shards.
        truth: of masks, uint8 [n, H, W]: the true masks at the size of the network; None without masks.
        own: its own answers to the decoded images, of masks; elsewhere, those of `rows`.
        unlike: its numbers on images of none of the labels.
        served: results of the served model, or None.
        served_rows: what the regressions are looked for in: the served model's predictions for the same images, if the
            whole test split is compared; else None.
        compared: how it was compared with the served model.
        beside: weak groups and trivial methods.
    """

    kind: LabelKind
    labels: Sequence[str]
    decided: NDArray[np.float32]
    rows: Sequence[Prediction]
    truth: NDArray[np.uint8] | None
    own: Arrays
    unlike: Mapping[str, float]
    served: Results | None
    served_rows: Sequence[Prediction] | None
    compared: Compared
    beside: Beside

    def rows_of(self, answers: Arrays) -> list[Prediction]:
        """The predictions with the answers of an export; what it does not answer stays the SavedModel's."""
        return [self._row(row, i, answers) for i, row in enumerate(self.rows)]

    def _row(self, row: Prediction, i: int, answers: Arrays) -> Prediction:
        if self.truth is not None:
            mask, score = answers[outputs.MASK][i], answers[outputs.CONFIDENCE][i]
            changed = _counts(mask, score, self.truth[i], len(self.labels), row["calibration"])
        else:
            probabilities = answers[outputs.PROBABILITIES][i]
            changed = {
                outputs.PROBABILITIES: probabilities.tolist(),
                outputs.DECISIONS: (probabilities >= self.decided).tolist(),
            }
        return cast("Prediction", {**row, **changed})

    def results(self, rows: Sequence[Prediction], rules: Sequence[Threshold] = ()) -> Results:
        """The metrics of the whole test split, and of the slices that the rules are about."""
        (where, whole), *slices = self._scope(rules).results(rows, self.labels)
        return [(where, {**self.unlike, **whole}), *slices]

    def _scope(self, rules: Sequence[Threshold]) -> Scope:
        columns = {tuple(sorted(rule.columns)) for rule in rules if rule.columns}
        return Scope(kind=self.kind, labels=self.labels, served=self.labels, slices=columns)

    def judge(self, rules: Sequence[Threshold], rows: Sequence[Prediction], max_drop: float) -> list[Verdict]:
        """Judges the predictions of an export.

        Weak groups are those of the SavedModel. The gain over trivial methods is judged without a confidence, and
        `max_drop` and `regressions` only where the whole test split is compared with the served model.
        """
        verdicts = model_gate.thresholds(
            [part for rule in rules for part in _without_paired(rule)],
            self.labels,
            self.kind.task,
            self.results(rows, rules),
            self.served if self.compared.whole else None,
            self._compared(rules, rows),
            self._beside(rules, rows),
        )
        return [*verdicts, *self._drops(rows, max_drop)]

    def _compared(self, rules: Sequence[Threshold], rows: Sequence[Prediction]) -> Compared:
        """The comparison with the served model, with the regressions of an export."""
        if not self.compared.whole:
            return Compared(why_not=_PART)
        if self.served_rows is None:
            return self.compared
        # All labels are compared, so the served model's answers are in the same order; see `alignment.aligned`.
        before, now = (self.served_rows, self.labels), (rows, self.labels)
        found = regressions.find(self.kind, self.labels, before, now, self._scope(rules).places)
        return self.compared.model_copy(update={"regressions": found})

    def _beside(self, rules: Sequence[Threshold], rows: Sequence[Prediction]) -> Beside:
        """The weak groups with the numbers of an export, if a rule asks for them."""
        if not any(rule.slice == FOUND for rule in rules):
            return self.beside
        by_image = {(row["path"], row["sha256"]): row for row in rows}
        groups = []
        for group in self.beside.weak.groups:
            numbers = dict(self.results([by_image[image] for image in group.images])[0][1])
            plain = {key: value if math.isfinite(value) else None for key, value in numbers.items()}
            groups.append(group.model_copy(update={"numbers": plain}))
        return self.beside.model_copy(update={"weak": self.beside.weak.model_copy(update={"groups": tuple(groups)})})

    def _drops(self, rows: Sequence[Prediction], max_drop: float) -> Iterator[Verdict]:
        name, known = self.kind.main_of_label, self.results(self.rows)[0][1]
        for label, change in self.changes(rows).items():
            examples = known.get(metrics.key("support", label), 0.0)
            before = known.get(metrics.key(name, label), math.nan)
            if math.isnan(before):
                continue  # without a number of the SavedModel, there is nothing to lose
            rule = Rule(gate="export", metric=f"drop of {name}", label=label, maximum=max_drop, advice=_ADVICE)
            # Where the SavedModel has 0, there is nothing to lose, also if the export's number is 0 / 0. Any other
            # NaN must reach the judge, who fails it.
            drop = float(np.maximum(0.0, -change)) if before else 0.0
            yield judge(rule, drop, examples=examples, unit=self.kind.unit)

    def changes(self, rows: Sequence[Prediction]) -> dict[str, float]:
        """Label -> its main metric in the predictions of an export, minus that of the SavedModel; NaN: not known."""
        name = self.kind.main_of_label
        known, now = (self.results(some)[0][1] for some in (self.rows, rows))
        keys = {label: metrics.key(name, label) for label in self.labels}
        return {label: now.get(key, math.nan) - known.get(key, math.nan) for label, key in keys.items()}

    def agreement(self, answers: Arrays) -> dict[str, float]:
        """How far the answers of an export are those of the SavedModel, as fields of `Export`."""
        score = outputs.PROBABILITIES if self.truth is None else outputs.CONFIDENCE
        same = summed = decisions = values = 0.0
        largest = []
        for start in range(0, len(self.rows), _BLOCK):  # the arrays of masks may be larger than the memory
            now, own = ({key: part[start : start + _BLOCK] for key, part in of.items()} for of in (answers, self.own))
            equal = self._equal(now, own)
            difference = np.abs(now[score].astype(np.float64) - own[score])
            same, decisions = same + float(equal.sum()), decisions + equal.size
            summed, values = summed + float(difference.sum()), values + difference.size
            largest.append(difference.max())
        return {
            "agreement": same / decisions,
            "largest_difference": float(np.max(largest)),
            "mean_difference": summed / values,
        }

    def _equal(self, answers: Arrays, own: Arrays) -> NDArray[np.bool_]:
        """Which decisions are those of the SavedModel: of each image, label of an image, or pixel."""
        if self.truth is not None:
            return np.equal(answers[outputs.MASK], own[outputs.MASK])
        both = (answers[outputs.PROBABILITIES], own[outputs.PROBABILITIES])
        if self.kind.exclusive:
            return np.equal(*(part.argmax(axis=1) for part in both))
        return np.equal(*(part >= self.decided for part in both))

    def judge_agreement(self, agreement: float, minimum: float) -> Verdict:
        """Judges the share of decisions that are those of the SavedModel."""
        metric = "share of decisions that are the SavedModel's"
        rule = Rule(gate="export", metric=metric, minimum=minimum, advice=_AGREE)
        return judge(rule, agreement, examples=len(self.rows), unit="image")


def _without_paired(rule: Threshold) -> Iterator[Threshold]:
    """Splits a rule with a confidence and `min_gain`, whose interval rests on the SavedModel's answers."""
    if rule.min_gain is None or rule.confidence is None:
        yield rule
        return
    if rule.min is not None or rule.max is not None:
        yield rule.model_copy(update={"min_gain": None})
    elif rule.max_drop is not None:
        yield rule.model_copy(update={"min_gain": None, "confidence": None})
    yield rule.model_copy(update={"min": None, "max": None, "max_drop": None, "confidence": None})


def _counts(
    mask: NDArray[np.uint8], score: NDArray[np.float32], truth: NDArray[np.uint8], classes: int, before: Sequence[float]
) -> dict[str, list[float]]:
    """The outputs of the evaluation that follow from a mask: all arrays are [H, W].

    The calibration has a second part for probabilities before it, which stays as it was.
    """
    from components.data.features import IGNORED_ID

    known = truth != IGNORED_ID
    cells = truth[known].astype(np.int64) * classes + mask[known]
    confusion = np.bincount(cells, minlength=classes**2).astype(np.float32)
    if not np.isfinite(score).all():  # a model that answers NaN must not look valid
        confusion[:] = np.nan
    shown = np.where(np.isfinite(score[known]), score[known], 0)[:, np.newaxis]
    hit = (mask == truth)[known][:, np.newaxis]
    counted = curves.calibration(shown, hit, np.ones(hit.shape))[:, 0].ravel()
    return {
        outputs.CONFUSION: confusion.tolist(),
        outputs.CALIBRATION: [*counted.tolist(), *before[len(counted) :]],
    }
