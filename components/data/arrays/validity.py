"""Which pixels carry information."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from components.data.arrays.spec import Bands, ByBand, ByValue


def valid(pixels: Any, bands: Bands, nodata: float | None = None, xp: Any = np) -> Any:
    """Says which pixels carry information.

    A pixel does not, if a band is not finite, or by `bands.invalid` or `nodata`. A 0 is often a measurement, such as
    that of one band in a shadow, so it marks a pixel only where all bands have it; any other value was chosen because
    no measurement has it, so one band is enough. A limit concerns one band.

    Args:
        pixels: [..., B].
        bands: what they are.
        nodata: the value by which a file marks pixels without information, or None.
        xp: array namespace: `numpy` or `tf.experimental.numpy`.

    Returns:
        bool [...].
    """
    rule = bands.invalid
    found = _bandwise(xp.logical_and, xp.isfinite(pixels))
    values = {0.0} if rule == "zero" else {rule.value} if isinstance(rule, ByValue) else set()
    for value in values | ({nodata} if nodata is not None and math.isfinite(nodata) else set()):
        marked = pixels == _like(pixels, value)
        found = found & ~_bandwise(xp.logical_and if value == 0 else xp.logical_or, marked)
    if isinstance(rule, ByBand):
        band = pixels[..., bands.names.index(rule.band)]
        above, below = rule.above, rule.below
        found = found & ~(band > above) if above is not None else found & ~(band < below)
    return found


def _bandwise(combine: Any, marked: Any) -> Any:
    """Combines the bands of bool [..., B]; for the few that there mostly are, six times as fast as NumPy's `all`."""
    return functools.reduce(combine, [marked[..., band] for band in range(marked.shape[-1])])


def _like(pixels: Any, value: float) -> Any:
    """The value in the type of the pixels: -9999.9 is not the float64 of that name where a file has float32."""
    if isinstance(pixels, np.ndarray):
        if pixels.dtype.kind == "f":
            return pixels.dtype.type(value)
        limits = np.iinfo(pixels.dtype)
        inside = value == int(value) and limits.min <= value <= limits.max
        return pixels.dtype.type(int(value)) if inside else np.nan
    return value
