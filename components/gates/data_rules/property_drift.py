"""Rules on how images look: brightness and other properties, against the served model's data and between splits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from components.base.verdict import Verdict
from components.data import properties
from components.data.manifest import Histograms
from components.gates.data_rules.base import GateInput, bound, common_labels, judge_distance
from components.gates.judge import failed_or_largest
from components.gates.settings import DataGateLimits
from components.ingest.counts import census


def split_properties(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Bounds the distance of each image property of eval and of test from that of train."""
    if limits.max_split_drift is None:
        return
    names = _measured(data)
    tests = 2 * len(names)
    for other in ("eval", "test"):
        for i, name in enumerate(names):
            rule = bound(
                metric=f"Kolmogorov-Smirnov distance of {properties.WORDS[name]} in {other} from that in train",
                maximum=limits.max_split_drift,
                advice="Mix the splits anew, or raise balance.max_split_drift",
            )
            train, rest = (census.dense(data.manifest.properties[split].all)[i] for split in ("train", other))
            yield judge_distance(rule, train, rest, tests, partial(_median, name))[1]


def served_properties(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Bounds the distance of each image property in train from that of the served model's data.

    Compares all images, and the images of each label. Yields for each property what fails, or else the largest
    distance: labels times properties would be a long list.
    """
    reference = data.reference
    if reference is None or limits.max_property_drift is None:
        return
    now, then = data.manifest.properties["train"], reference.data.properties
    pairs: list[tuple[str | None, Histograms, Histograms]] = [(None, then.all, now.all)]
    common = common_labels(data.manifest, reference)
    pairs += [(name, then.labels.get(name, {}), now.labels.get(name, {})) for name in common]
    names = _measured(data)
    tests = len(pairs) * len(names)
    for i, name in enumerate(names):
        verdicts = []
        for label, before, after in pairs:
            rule = bound(
                metric=f"Kolmogorov-Smirnov distance of {properties.WORDS[name]} in train from that of version "
                f"{reference.version}",
                label=label,
                maximum=limits.max_property_drift,
                advice="Look at the new images; if the change is meant, raise balance.max_property_drift",
            )
            counts = census.dense(before)[i], census.dense(after)[i]
            verdicts.append(judge_distance(rule, *counts, tests, partial(_median, name)))
        yield from failed_or_largest(verdicts)


def _measured(data: GateInput) -> Sequence[str]:
    """The properties that are measured, which come first: of arrays, no colours; see `bands` for their values."""
    return properties.NAMES if data.manifest.arrays is None else properties.OF_ARRAYS


def _median(name: str, histogram: NDArray[np.int64]) -> str:
    return properties.text(name, properties.median(name, histogram))
