"""Arrays as pictures for people, and for the comparison of images; no network sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.data.arrays.stored import Array

SHARES = (2, 98)  # percentiles of the valid values that become black and white
_SEEN = 4096  # values from which the percentiles are taken; more would only cost time
_HATCH = (64, 96)  # greys of the stripes over invalid pixels
_STRIPE = 3  # pixels


def picture(array: Array, shown: Sequence[int], moment: int | None = None) -> NDArray[np.uint8]:
    """Draws one moment: uint8 [H, W, 3]; see `frames`.

    Args:
        array: the array.
        shown: three bands for red, green and blue, or one for grey.
        moment: which; None: the one with the most valid pixels, of several the first.
    """
    return frames(array, shown, [int(array.valid.sum(axis=(1, 2)).argmax()) if moment is None else moment])[0]


def frames(array: Array, shown: Sequence[int], chosen: Sequence[int]) -> NDArray[np.uint8]:
    """Draws some moments: uint8 [N, H, W, 3].

    In all of them alike, each band is stretched from the 2nd to the 98th percentile of its valid values of all moments,
    or of some thousand of them; invalid pixels are hatched.

    Args:
        array: the array.
        shown: three bands for red, green and blue, or one for grey.
        chosen: N moments.
    """
    bands = [_stretched(array.pixels[..., band], array.valid, chosen) for band in shown]
    rgb = np.stack(bands * (1 if len(bands) == 3 else 3), axis=-1)
    rows, columns = np.indices(rgb.shape[1:3])
    stripes = np.where((rows + columns) // _STRIPE % 2 == 0, *_HATCH).astype(np.uint8)
    return np.where(array.valid[list(chosen), ..., np.newaxis], rgb, stripes[..., np.newaxis])


def _stretched(values: NDArray[Any], valid: NDArray[np.bool_], chosen: Sequence[int]) -> NDArray[np.uint8]:
    there = values[valid]
    there = there[:: max(1, there.size // _SEEN)].astype(np.float64)
    low, high = np.percentile(there, SHARES) if there.size else (0.0, 1.0)
    span = high - low if high > low else 1.0
    inside = np.where(valid[list(chosen)], values[list(chosen)], low).astype(np.float64)
    found: NDArray[np.uint8] = np.clip(np.round((inside - low) / span * 255), 0, 255).astype(np.uint8)
    return found
