"""Rules on arrays: enough valid pixels, no band that says nothing or what another one says, and no drift of a band."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from components.base.verdict import Verdict
from components.data.arrays import bins
from components.gates.data_rules.base import GateInput, bound, judge_distance
from components.gates.judge import Rule, judge
from components.gates.settings import DataGateLimits


def invalid_pixels(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Bounds the share of pixels without information in each split."""
    told = data.manifest.arrays
    if told is None or limits.max_invalid is None:
        return
    for split, valid in told.valid.items():
        rule = bound(
            metric=f"share of the pixels of {split} without information",
            maximum=limits.max_invalid,
            advice="Look at data.invalid, which says what these pixels are, or raise balance.max_invalid",
        )
        yield judge(rule, 1 - valid)


def useless_bands(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Refuses bands of one value, and bands that are equal in every array of train."""
    told = data.manifest.arrays
    if told is None or limits.allow_useless_bands:
        return
    for metric, names, advice in (
        ("number of bands with one value in all of train", told.constant, "Remove the band from the files"),
        (
            "number of bands that are copies of another",
            [f"{b} of {a}" for a, b in told.copies],
            "Remove one of the two",
        ),
    ):
        rule = bound(metric=metric, maximum=0, advice=f"{advice}, or set balance.allow_useless_bands")
        yield judge(rule, len(names), detail=", ".join(names))


def split_bands(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Bounds the distance of each band's means in eval and in test from those in train; an image is one mean."""
    told = data.manifest.arrays
    if told is None or limits.max_split_drift is None:
        return
    train, others = told.images.get("train", {}), [split for split in ("eval", "test") if split in told.images]
    for other in others:
        for band in told.bands:
            rule = bound(
                metric=f"Kolmogorov-Smirnov distance of band {band} in {other} from that in train",
                maximum=limits.max_split_drift,
                advice="Mix the splits anew, or raise balance.max_split_drift",
            )
            yield _judged(rule, train.get(band, {}), told.images[other][band], len(others) * len(told.bands))


def served_bands(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Bounds the distance of each band's means in train from those of the served model's data."""
    told, reference = data.manifest.arrays, data.reference
    if told is None or reference is None or limits.max_property_drift is None:
        return
    common = [band for band in told.bands if band in reference.data.bands]
    for band in common:
        rule = bound(
            metric=f"Kolmogorov-Smirnov distance of band {band} in train from that of version {reference.version}",
            maximum=limits.max_property_drift,
            advice="Look at the new images; if the change is meant, raise balance.max_property_drift",
        )
        yield _judged(rule, reference.data.bands[band], told.images.get("train", {}).get(band, {}), len(common))


def _judged(rule: Rule, before: Mapping[str, int], after: Mapping[str, int], tests: int) -> Verdict:
    found, counts = bins.aligned(before, after)
    return judge_distance(rule, counts[0], counts[1], tests, partial(_median, found))[1]


def _median(found: list[int], counts: NDArray[np.int64]) -> str:
    return f"{bins.median(found, counts):.4g}"
