"""Finds the images without labels that are among the labelled ones, or would show training what it is judged on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.data import perceptual
from components.data.dataset import SPLITS
from components.ingest.counts.census import Images

_TRAIN = SPLITS.index("train")


@dataclass(frozen=True)
class Overlap:
    """Images without labels that are left out, each with the labelled image that is the reason, by index.

    Attributes:
        train: those that equal an image of train, which training sees anyway.
        judged: those that equal or nearly equal an image of eval or test.
    """

    train: dict[int, int]
    judged: dict[int, int]


def find(rows: NDArray[np.void], labelled: NDArray[np.void], distance: int | None) -> Overlap:
    """Compares images without labels with labelled ones.

    Args:
        rows: `census.ROW` [n], of images without labels.
        labelled: `census.ROW` [m].
        distance: bits in which the perceptual hashes of nearly equal images may differ; None: only equal files count.
    """
    judged = labelled["split"] != _TRAIN
    equal = _equal(rows, labelled)
    found = {i: j for i, j in equal.items() if judged[j]}
    if distance is not None:
        found = _near(rows, labelled, judged, distance) | found
    return Overlap({i: j for i, j in equal.items() if not judged[j] and i not in found}, found)


def _equal(rows: NDArray[np.void], labelled: NDArray[np.void]) -> dict[int, int]:
    """Index of a row -> that of a labelled image with the same digest; of several, one of eval or test."""
    order = np.argsort(labelled["split"], kind="stable")  # train comes first, so that the others take its place
    place = {labelled["sha256"][j].tobytes(): int(j) for j in order}
    found = ((i, place.get(digest.tobytes())) for i, digest in enumerate(rows["sha256"]))
    return {i: j for i, j in found if j is not None}


def _near(
    rows: NDArray[np.void], labelled: NDArray[np.void], judged: NDArray[np.bool_], distance: int
) -> dict[int, int]:
    mine, theirs = np.flatnonzero(rows["comparable"]), np.flatnonzero(judged & labelled["comparable"])
    # `near_pairs` names one of several equal hashes only.
    different, which = np.unique(rows["perceptual"][mine], axis=0, return_inverse=True)
    groups = np.repeat([0, 1], [len(different), len(theirs)])
    pairs = perceptual.near_pairs(np.concatenate([different, labelled["perceptual"][theirs]]), groups, distance)
    partner = {int(one): int(theirs[other - len(different)]) for one, other in pairs}
    return {int(i): partner[int(one)] for i, one in zip(mine, which.ravel(), strict=True) if int(one) in partner}


def reasons(overlap: Overlap, images: Images) -> dict[int, str]:
    """Says for each image of eval or test that an image without labels equals or nearly equals, which one it is.

    Returns:
        index of the image without labels -> a sentence for people.
    """
    paths = images.paths(overlap.judged.values())
    split_of = images.rows["split"]
    return {
        i: f"equals or nearly equals {path}, which is in {SPLITS[int(split_of[j])]}"
        for (i, j), path in zip(overlap.judged.items(), paths, strict=True)
    }
