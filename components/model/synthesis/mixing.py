"""Images between two images of a label: mixup (Zhang et al., ICLR 2018) within the label, which therefore stays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

# Zhang et al. draw a share from a beta distribution, which is mostly near 0 or 1: hardly another image than the one.
_SHARES = 0.3, 0.7


def mix(images: Pixels, count: int, seed: int) -> Pixels:
    """Mixes pairs of different images.

    Args:
        images: uint8 [n, H, W, 3], two or more.
        count: how many to make.
        seed: of the pairs and shares.

    Returns:
        uint8 [count, H, W, 3].
    """
    draw = np.random.default_rng(seed)
    first = draw.integers(len(images), size=count)
    second = (first + draw.integers(1, len(images), size=count)) % len(images)
    mixed = np.empty((count, *images.shape[1:]), np.uint8)
    # One by one: as numbers with fractions, all of them would need eight times the memory.
    for i, share in enumerate(draw.uniform(*_SHARES, size=count)):
        mixed[i] = np.rint(share * images[first[i]] + (1 - share) * images[second[i]])
    return mixed
