"""What rules read of features, apart from what computes them, which loads Keras."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Features:
    """What a frozen backbone says of every image, and the images themselves.

    Attributes:
        rows: float32 [n, F], in the order of `census.Images`.
        encoded: indices -> these images as ingest stores them, in this order; see `images.decode`.
        digests: of these images, see `feature_store.digest`.
        folder: where features are kept; "": nowhere.
    """

    rows: NDArray[np.float32]
    encoded: Callable[[Sequence[int]], Iterator[bytes]]
    digests: Sequence[bytes]
    folder: str
    _known: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    def once(self, name: Hashable, compute: Callable[[], T]) -> T:
        """Returns what is computed under this name; rules and findings share it."""
        if name not in self._known:
            self._known[name] = compute()
        found: T = self._known[name]
        return found
