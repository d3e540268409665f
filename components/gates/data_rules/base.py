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
from components.ingest.census import Images
from components.model.features.rows import Features


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
