"""Rules on how images look: brightness and other properties, against the served model's data and between splits."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from components.base.text import number
from components.base.verdict import Verdict
from components.data import properties
from components.data.manifest import Histograms
from components.gates import drift
from components.gates.data_rules.base import GateInput, bound, common_labels
from components.gates.judge import Rule, failed_or_largest, judge
from components.gates.settings import DataGateLimits
from components.ingest import census


def split_properties(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Bounds the distance of each image property of eval and of test from that of train."""
    if limits.max_split_drift is None:
        return
    tests = 2 * len(properties.NAMES)
    for other in ("eval", "test"):
        for i, name in enumerate(properties.NAMES):
            rule = bound(
                metric=f"Kolmogorov-Smirnov distance of {properties.WORDS[name]} in {other} from that in train",
                maximum=limits.max_split_drift,
                advice="Mix the splits anew, or raise balance.max_split_drift",
            )
            train, rest = (census.dense(data.manifest.properties[split].all)[i] for split in ("train", other))
            yield _judge_distance(rule, name, train, rest, tests)[1]


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
    tests = len(pairs) * len(properties.NAMES)
    for i, name in enumerate(properties.NAMES):
        verdicts = []
        for label, before, after in pairs:
            rule = bound(
                metric=f"Kolmogorov-Smirnov distance of {properties.WORDS[name]} in train from that of version "
                f"{reference.version}",
                label=label,
                maximum=limits.max_property_drift,
                advice="Look at the new images; if the change is meant, raise balance.max_property_drift",
            )
            verdicts.append(_judge_distance(rule, name, census.dense(before)[i], census.dense(after)[i], tests))
        yield from failed_or_largest(verdicts)


def _judge_distance(
    rule: Rule, name: str, before: NDArray[np.int64], after: NDArray[np.int64], tests: int
) -> tuple[float, Verdict]:
    """Distance of two histograms of a property, and the verdict on it; the p-value is multiplied by `tests`."""
    distance = drift.kolmogorov_smirnov(before, after)
    beyond = rule.maximum is not None and distance > rule.maximum
    chance = tests * drift.kolmogorov_smirnov_p(before, after) if beyond else 1.0
    detail = ""
    if before.sum() and after.sum():
        detail = " -> ".join(
            f"median {properties.text(name, properties.median(name, h))} of {number(h.sum())} images"
            for h in (before, after)
        )
    return distance, judge(rule, distance, chance=chance, detail=detail)
