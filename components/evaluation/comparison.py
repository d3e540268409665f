"""The numbers that a candidate and the served model are compared by, from their predictions for each test image.

TFMA's numbers are compared where both models know the same labels and no test image is left out. Otherwise the same
accumulators count the predictions that TFMA's evaluation has written, of the images and labels that are compared.

- `single_label`: the images whose label both models know. The answer is the most probable label, of all that a model
  knows; an answer with a label that the other model does not know is wrong. Means over labels are over common labels.
- `multi_label`: the common labels of every image.
- `segmentation`: the pixels whose true label both models know; a pixel that is given another label is wrong.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components import metrics
from components.base.artifact_files import COMPARISON
from components.base.files import write_atomically
from components.evaluation import alignment, learnt, out_of_distribution, predictions, regressions
from components.evaluation.predictions import Prediction
from components.evaluation.served_copy import ServedCopy
from components.gates import compared
from components.gates.compared import Compared, Numbers, Regressions, Results
from components.gates.settings import Threshold
from components.labels import outputs
from components.labels.kind import LabelKind
from components.metrics.base import Rows

FEWEST = 10  # of fewer remaining images, nothing is compared. Chosen by hand; not measured
# Of masks. The calibration of pixels is known for all labels of the truth together only.
_OF_ALL_PIXELS = frozenset({"ece", "uncalibrated_ece"})


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What is compared.

    Attributes:
        kind: of the labels.
        labels: of the candidate, in the order of its outputs.
        version: of the served model, "" if none can be compared with.
        served: labels of the served model, in the order of its answers; see `alignment.aligned`.
        images: number of images in the test split.
        left_out: SHA-256 of each test image that is left out -> split of the served model's data that it was in.
        counts: split -> test images left out.
        slices: the columns of each cross of which slices are made.
        why_not: why nothing is compared, or "".
    """

    kind: LabelKind
    labels: Sequence[str]
    version: str = ""
    served: Sequence[str] = ()
    images: int = 0
    left_out: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    slices: Collection[tuple[str, ...]] = ()
    why_not: str = ""

    @property
    def compares(self) -> bool:
        """Whether anything is compared."""
        return not self.why_not

    @property
    def whole(self) -> bool:
        """Whether TFMA's numbers of all images and labels are compared, or nothing is."""
        return not self.compares or (not self.counts and set(self.labels) == set(self.served))

    @property
    def common(self) -> list[str]:
        """The labels that both models know."""
        return alignment.common(self.labels, self.served)

    def kept(self, rows: Sequence[Prediction]) -> list[Prediction]:
        """The predictions of the images that are compared."""
        return [row for row in rows if row["sha256"] not in self.left_out]

    def results(self, rows: Sequence[Prediction], labels: Sequence[str]) -> Results:
        """The numbers of one model, as `analysis.results` reads them.

        Args:
            rows: its predictions.
            labels: its labels, in the order of the predictions.
        """
        used, order = self.kept(rows), self._order(labels)
        vectors = np.stack([self._vector(row, order) for row in used]) if used else np.zeros((0, 0), np.float32)
        places: dict[tuple[tuple[str, str], ...], list[int]] = collections.defaultdict(list)
        for i, row in enumerate(used):
            for where in self.places(row):
                places[where].append(i)
        return [({}, self._numbers(vectors, labels)), *self._by_slice(vectors, places, labels)]

    def _by_slice(
        self, vectors: Rows, places: Mapping[tuple[tuple[str, str], ...], list[int]], labels: Sequence[str]
    ) -> Iterator[tuple[dict[str, str], Numbers]]:
        for where, indices in sorted(places.items()):
            yield dict(where), self._numbers(vectors[indices], labels)

    def _order(self, labels: Sequence[str]) -> list[int]:
        """Places of the model's labels, the common ones first."""
        shared = set(self.common)
        place = {label: i for i, label in enumerate(labels)}
        others = [label for label in labels if label not in shared]
        # Labels that are independent of each other are judged each by itself; an exclusive one is an answer, too.
        return [place[label] for label in (*self.common, *(others if self.kind.exclusive else ()))]

    def _vector(self, row: Prediction, order: Sequence[int]) -> Rows:
        """The row of an image for the accumulator."""
        index = {label: i for i, label in enumerate(self.common)}
        answer: dict[str, Any] = {name: np.asarray(row[name], np.float32) for name in self.kind.outputs}  # type: ignore[literal-required]
        if self.kind.per_pixel:
            side = round(len(answer[outputs.CONFUSION]) ** 0.5)
            pixels = answer[outputs.CONFUSION].reshape(side, side)[np.ix_(order, order)]
            pixels[len(index) :] = 0
            answer[outputs.CONFUSION] = pixels
        else:
            answer = {name: values[order] for name, values in answer.items()}
        answer[outputs.ABSTAIN] = row["abstain"]
        applies, unknown = ([label for label in row[key] if label in index] for key in ("labels", "unknown"))
        return self.kind.row(applies, unknown, index, answer, row["weight"])

    def places(self, row: Prediction) -> Iterator[tuple[tuple[str, str], ...]]:
        """The slices that an image is in: (column, value) pairs."""
        values: dict[str, list[str]] = {column: [value] for column, value in row["slices"]}
        values["label"] = row["labels"]
        for columns in self.slices:
            for where in itertools.product(*(values.get(column, ()) for column in columns)):
                yield tuple(zip(columns, where, strict=True))

    def _numbers(self, vectors: Rows, labels: Sequence[str]) -> Numbers:
        others = [label for label in labels if label not in set(self.common)]
        known = [*self.common, *(others if self.kind.exclusive else ())]
        accumulator = self.kind.accumulator(len(known), len(self.common))
        accumulator.add(vectors)
        result = accumulator.result(known)
        per_label = (*self.kind.per_label, *self.kind.effective[1])
        gone = {metrics.CONFUSION, *(metrics.key(name, label) for label in others for name in per_label)}
        if self.kind.per_pixel and set(self.labels) - set(self.served):
            gone |= _OF_ALL_PIXELS
        return {key: float(value) for key, value in result.items() if key not in gone}


def scope(
    kind: LabelKind,
    labels: Sequence[str],
    served: ServedCopy,
    images: NDArray[np.void],
    distance: int | None,
    rules: Sequence[Threshold],
) -> Scope:
    """Decides what is compared.

    Args:
        kind: of the labels.
        labels: of the candidate, in the order of its outputs.
        served: the served model.
        images: `census.ROW` [n], of the test split.
        distance: see `learnt.split_of`.
        rules: the thresholds, which say what slices are needed.
    """
    if not served.version:
        return Scope(kind=kind, labels=labels, why_not=served.note or "no model is served yet")
    digests = [digest.tobytes().hex() for digest in images["sha256"]]
    left_out = learnt.split_of(images, served.known, distance)
    remain = sum(digest not in left_out for digest in digests)
    why_not = ""
    if left_out and remain < FEWEST:
        why_not = (
            f"version {served.version} has learnt from all test images but {remain}, and fewer than {FEWEST} are not "
            "compared"
        )
    return Scope(
        kind=kind,
        labels=labels,
        version=served.version,
        served=alignment.aligned(labels, served.labels),
        images=remain,
        left_out=left_out,
        counts=learnt.counted(left_out, digests),
        slices={tuple(sorted(rule.columns)) for rule in rules if rule.columns and rule.compares},
        why_not=why_not,
    )


def compare(folder: str, scope: Scope, broken: str, *, equal: bool = False) -> Compared:
    """Finds the regressions, and computes the numbers of both models that are compared, if they are not TFMA's.

    Args:
        folder: of the evaluation, with the predictions and the out-of-distribution images' measurement.
        scope: what is compared.
        broken: why the served model could not be evaluated, or "".
        equal: whether the served model is damaged, and the candidate is its equal: then it answers as that one did.
    """
    known, own = set(scope.served), set(scope.labels)
    pair = (predictions.BASELINE if scope.compares else predictions.CANDIDATE, predictions.CANDIDATE)
    asked = scope if scope.compares else dataclasses.replace(scope, served=scope.labels, left_out={})
    told = Compared(
        version=scope.version if scope.compares else "",
        why_not=scope.why_not,
        broken=broken,
        images=scope.images if scope.compares else 0,
        left_out=dict(scope.counts),
        labels=tuple(scope.common) if scope.compares else (),
        new=tuple(label for label in scope.labels if label not in known) if scope.compares else (),
        gone=tuple(label for label in scope.served if label not in own) if scope.compares else (),
        regressions=_regressions(folder, asked, *pair) if scope.compares or equal else None,
    )
    if scope.whole:
        return told
    both = {}
    for model, labels in ((predictions.CANDIDATE, scope.labels), (predictions.BASELINE, scope.served)):
        (where, numbers), *slices = scope.results(predictions.read(folder, model), labels)
        unlike = out_of_distribution.read(folder).get("compared", {}).get(model, {})
        both[model] = compared.numbers([(where, {**numbers, **unlike}), *slices])
        images = int(numbers["example_count"])
    part = {"images": images, "candidate": both[predictions.CANDIDATE], "served": both[predictions.BASELINE]}
    return told.model_copy(update=part)


def _regressions(folder: str, scope: Scope, served: str, candidate: str) -> Regressions:
    """Looks for them in the predictions of two models."""
    before, now = (scope.kept(predictions.read(folder, model)) for model in (served, candidate))
    return regressions.find(scope.kind, scope.common, (before, scope.served), (now, scope.labels), scope.places)


def write(folder: str, compared: Compared) -> None:
    """Writes the comparison into the folder of an evaluation."""
    write_atomically(os.path.join(folder, COMPARISON), compared.to_json(indent=1))


def read(folder: str) -> Compared:
    """Reads the comparison from the folder of an evaluation."""
    with open(os.path.join(folder, COMPARISON), encoding="utf-8") as f:
        return Compared.from_json(f.read())
