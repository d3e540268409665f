"""Rules on arrays: enough valid pixels, and no band that says nothing, or what another one says."""

from __future__ import annotations

from collections.abc import Iterable

from components.base.verdict import Verdict
from components.gates.data_rules.base import GateInput, bound
from components.gates.judge import judge
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
