"""What rules read of features. Apart from what computes them, so that no stage depends on code that it does not run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Features:
    """What a frozen backbone says of every image, and the images themselves.

    Attributes:
        rows: float32 [n, F], in the order of `census.Images`.
        encoded: indices -> these images as ingest stores them, in this order; see `images.decode`.
    """

    rows: NDArray[np.float32]
    encoded: Callable[[Sequence[int]], Iterator[bytes]]
