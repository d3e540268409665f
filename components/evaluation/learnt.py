"""The test images that the served model has learnt from: they would make it look better than it is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from components.data import perceptual
from components.data.dataset import SPLITS

# The weights of a model follow from train; the epoch that was kept, the calibration and the thresholds from eval.
LEARNT_FROM = ("train", "eval")


def split_of(rows: NDArray[np.void], known: NDArray[np.void], distance: int | None) -> dict[str, str]:
    """Finds the images that are equal or nearly equal to one that the served model has learnt from.

    Args:
        rows: `census.ROW` [n], of the images asked about.
        known: `known_images.ROW` [m], of the images behind the served model.
        distance: number of bits in which the perceptual hashes of nearly equal images may differ; None: only equal
            files count. Pairs are found as `perceptual.near_pairs` does.

    Returns:
        SHA-256, in hexadecimal -> the split of the served model's data that the image, or one like it, was in.
    """
    found: dict[str, str] = {}
    left = rows
    for split in LEARNT_FROM:
        learnt = known[known["split"] == SPLITS.index(split)]
        same = np.isin(left["sha256"][:, 0], learnt["sha256"])
        if distance is not None:
            same |= _nearly_equal(left, learnt, distance)
        found |= dict.fromkeys((digest.tobytes().hex() for digest in left["sha256"][same]), split)
        left = left[~same]
    return found


def counted(found: Mapping[str, str], digests: list[str]) -> dict[str, int]:
    """Counts images by the split that they were in: split -> images, without zeros.

    >>> counted({"a": "train", "b": "eval"}, ["a", "a", "b", "c"])
    {'train': 2, 'eval': 1}
    """
    splits = [found.get(digest) for digest in digests]
    return {split: n for split in LEARNT_FROM if (n := splits.count(split))}


def _nearly_equal(rows: NDArray[np.void], learnt: NDArray[np.void], distance: int) -> NDArray[np.bool_]:
    """Whether each of the rows [n] is nearly equal to any that was learnt."""
    asked, own = np.unique(rows["perceptual"], axis=0, return_inverse=True)
    hashes = learnt["perceptual"][learnt["comparable"]]
    near = np.zeros(len(asked), bool)
    if len(asked) and len(hashes):
        groups = np.repeat([0, 1], [len(asked), len(hashes)])
        pairs = perceptual.near_pairs(np.concatenate([asked, hashes]), groups, distance)
        near[pairs[:, 0]] = True  # the smaller index comes first, and every pair is of both groups
    return np.asarray(near[own.ravel()] & rows["comparable"], bool)
