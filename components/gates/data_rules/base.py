"""The input of the data gate's rules, and what the rules share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.base.text import number
from components.base.verdict import Verdict
from components.data import duplicates
from components.data.manifest import DatasetManifest, LabelCounts, PixelCounts
from components.gates import drift
from components.gates.judge import Rule, judge
from components.gates.reference import Reference
from components.gates.settings import DataGateLimits
from components.ingest.counts import census
from components.ingest.counts.census import Images
from components.model.features.rows import Features


@dataclass(frozen=True)
class Carriers:
    """Which images each label applies to, in any split; of masks, one group of all images, whose label is None.

    Attributes:
        labels: of each group.
        states: int64 [n], which of the distinct sets of labels each image has.
        members: for each group, the sets that have its label.
        unknown: for each group, the sets of which it is unknown whether they have its label.
    """

    labels: Sequence[str | None]
    states: NDArray[np.int64]
    members: Sequence[NDArray[np.int64]]
    unknown: Sequence[NDArray[np.int64]]

    def count(self, indices: NDArray[np.int64] | None = None) -> list[int]:
        """How many of these images, or of all, each label applies to."""
        some = self.states if indices is None else self.states[indices]
        counts = np.bincount(some, minlength=int(self.states.max(initial=0)) + 1)
        return [int(counts[sets].sum()) for sets in self.members]

    def of(self, group: int) -> NDArray[np.bool_]:
        """Which images a label applies to, [n]."""
        return np.isin(self.states, self.members[group])


@dataclass(frozen=True)
class GateInput:
    """The data that the gate judges.

    Attributes:
        manifest, images: counts of the data set and a row for each image, see `census.merge`.
        reference: data behind the model that is now served, or None if there is none to compare with.
        anomalies: (feature, text) of each difference from the schema.
        features: what a pretrained backbone says of every image; None without one: rules that need it are silent.
    """

    manifest: DatasetManifest
    images: Images
    reference: Reference | None = None
    anomalies: Sequence[tuple[str, str]] = ()
    features: Features | None = None

    @cached_property
    def equal_files(self) -> tuple[list[duplicates.Pair], list[duplicates.Pair]]:
        """Pairs of equal files with different labels, and in different splits; computed once, since it sorts all."""
        return duplicates.equal_files(self.images.rows)

    @cached_property
    def carriers(self) -> Carriers:
        """Which images each label applies to; computed once, since it sorts all."""
        labels, rows = self.manifest.labels, self.images.rows
        if self.manifest.pixels:
            return Carriers([None], np.zeros(len(rows), np.int64), [np.zeros(1, np.int64)], [np.empty(0, np.int64)])
        truths, states = np.unique(rows["truth"], return_inverse=True)
        place = {int(truth): i for i, truth in enumerate(truths)}
        members: dict[str, set[int]] = {label: set() for label in labels}
        open_: dict[str, set[int]] = {label: set() for label in labels}
        for _, applying, unknown, _ in self.manifest.label_sets:
            state = place.get(census.truth(applying, unknown))
            if state is not None:
                for label in applying:
                    members[label].add(state)
                for label in unknown:
                    open_[label].add(state)
        sets = ([np.array(sorted(of[label]), np.int64) for label in labels] for of in (members, open_))
        return Carriers(labels, states, *sets)


class Finding(NamedTuple):
    """A file that a rule objects to or suspects, for the list that `imagegate check -o` writes.

    Attributes:
        path: of the file, relative to the data set.
        reason: what was found, in words.
        kind: name of the check that found it, such as "blurred"; the same for all its findings.
        certainty: in [0, 1]: 1 for what is certain, such as two equal files; the list is sorted by it.
        other: path of the other file of a pair, or "".
    """

    path: str
    reason: str
    kind: str
    certainty: float
    other: str = ""


DataRule = Callable[[GateInput, DataGateLimits], Iterable[Verdict]]
FindingRule = Callable[[GateInput, DataGateLimits], Iterable[Finding]]

bound = partial(Rule, gate="data_gate")


def common_labels(manifest: DatasetManifest, reference: Reference) -> list[str]:
    """Labels of both data sets, in the order of this one's."""
    return [label for label in manifest.labels if label in reference.data.labels]


def judge_distance(
    rule: Rule,
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    tests: int,
    median: Callable[[NDArray[np.int64]], str],
) -> tuple[float, Verdict]:
    """The Kolmogorov-Smirnov distance of two histograms over the same bins, and the verdict on it.

    Args:
        rule: its limit.
        before, after: [bins] numbers of images.
        tests: how many such distances are judged; the p-value is multiplied by it (Bonferroni).
        median: of a histogram, as text.
    """
    distance = drift.kolmogorov_smirnov(before, after)
    beyond = rule.maximum is not None and distance > rule.maximum
    chance = tests * drift.kolmogorov_smirnov_p(before, after) if beyond else 1.0
    detail = ""
    if before.sum() and after.sum():
        detail = " -> ".join(f"median {median(counts)} of {number(counts.sum())} images" for counts in (before, after))
    return distance, judge(rule, distance, chance=chance, detail=detail)


def train_pixels(data: LabelCounts, labels: int) -> tuple[PixelCounts, ...]:
    """Pixel counts of train: one entry per label, then one for ignored pixels; zeros if train has no mask."""
    return data.pixels.get("train", ((0, 0, 0),) * (labels + 1))


def share(part: int, whole: int) -> float:
    """Part / whole, or 0 if the whole is 0.

    >>> share(1, 4), share(0, 0)
    (0.25, 0.0)
    """
    return part / whole if whole else 0.0
