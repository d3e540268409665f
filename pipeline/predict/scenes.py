"""The answer for a scene of any size, put together from overlapping windows of the size that the model learnt from."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from components.data.arrays import tiles
from components.data.arrays.stored import Array
from components.data.features import IGNORED_ID
from components.labels import outputs
from components.labels.kind import Answer

_BATCH = 16  # windows


def answered(scene: Array, tile: tiles.Size, ask: Callable[[Sequence[Array]], Answer]) -> Answer:
    """Asks for each window that has a valid pixel.

    Args:
        scene: of any size.
        tile: the size of a window.
        ask: answers some arrays of that size.

    Returns:
        the answer of a batch of one. Pixels of windows without an answer are `features.IGNORED_ID`, with a confidence
        of 0. The familiarity is that of the least familiar window, and the model abstains if it abstains of any.
    """
    size = scene.valid.shape[1], scene.valid.shape[2]
    mask, confidence = np.full(size, IGNORED_ID, np.uint8), np.zeros(size, np.float32)
    familiarity: list[float] = []
    names = np.zeros((1, 0), object)
    abstains, error = False, b"no pixel is valid"
    seen = (
        (place, parts, cut)
        for place, parts in tiles.windows(size, tile)
        if (cut := tiles.cut(scene, place, tile)).valid.any()
    )
    while batch := list(itertools.islice(seen, _BATCH)):
        found = ask([cut for *_, cut in batch])
        for i, ((top, left), (rows, columns), _) in enumerate(batch):
            if found[outputs.ERROR][i]:
                error = found[outputs.ERROR][i]
                continue
            inside = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
            mask[rows, columns] = found[outputs.MASK][i][inside]
            confidence[rows, columns] = found[outputs.CONFIDENCE][i][inside]
            familiarity.append(float(found[outputs.FAMILIARITY][i]))
            abstains = abstains or bool(found[outputs.ABSTAIN][i])
        names = found[outputs.LABELS][:1]
    return {
        outputs.LABELS: names,
        outputs.MASK: mask[np.newaxis],
        outputs.CONFIDENCE: confidence[np.newaxis],
        outputs.FAMILIARITY: np.array([min(familiarity, default=0.0)], np.float32),
        outputs.ABSTAIN: np.array([abstains]),
        outputs.ERROR: np.array([b"" if familiarity else error], object),
        outputs.OBSERVED: np.any(scene.valid, axis=0)[np.newaxis],
    }
