"""Whether two images show the same picture: cropped, mirrored, turned by a few degrees, framed, or in a screenshot.

SIFT features of both are matched (Lowe, IJCV 2004), which RANSAC explains by an affine map; the pictures are then laid
over each other by it and compared block by block. Matches alone do not do: two photos in front of one wall match too.
OpenCV does all three.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from components.data import images

# Measured by `python -m benchmarks.leaks`; see docs/data-gate.md.
SIDE = 256  # pixels of the longer side of the pictures that are compared
_SMALL = 128  # pixels that a smaller picture is enlarged to
_RATIO = 0.8  # of the distances of the best and the second best match (Lowe 2004, section 7.1)
_REACH = 3.0  # pixels by which a match may miss the map
_MATCHES = 8  # that the map must explain
_SCALES = (0.2, 5.0)  # of lengths under the map, least and most
_STRETCH = 1.6  # of one direction against the other, at most
_OVERLAP = 0.2  # share of the smaller picture that the other must show, at least
_GRID = 8  # blocks in a row
_COVERED = 0.9  # share of a block that must be in the overlap for it to be compared
_TEXTURE = 3.0  # deviation in grey levels below which a block says nothing
_ALIKE = 0.8  # correlation from which a block is the same
_BLOCKS = 6  # blocks that must be compared
_AGREEMENT = 0.9  # share of them that must be the same; captions and watermarks cover some


@dataclass(frozen=True, eq=False)
class Picture:
    """A grey picture and its features.

    Attributes:
        grey: uint8 [h, w]; see `picture`.
        places: float32 [m, 2], x and y of what the features describe.
        descriptors: float32 [m, 128].
    """

    grey: NDArray[np.uint8]
    places: NDArray[np.float32]
    descriptors: NDArray[np.float32]

    @property
    def mirrored(self) -> Picture:
        """The same, left and right exchanged; its features follow from those of this picture."""
        # OpenCV's places are a quarter of a pixel too far right: https://github.com/opencv/opencv/issues/23123
        across = np.stack([self.grey.shape[1] - 0.5 - self.places[:, 0], self.places[:, 1]], axis=1).astype(np.float32)
        # A descriptor has 4 rows along the direction of its point, 4 columns, and 8 directions relative to it. In a
        # mirror, the rows change places, and directions turn the other way.
        turned = self.descriptors.reshape(-1, 4, 4, 8)[:, ::-1, :, -np.arange(8) % 8].reshape(-1, 128)
        return Picture(np.ascontiguousarray(self.grey[:, ::-1]), across, np.ascontiguousarray(turned))


def picture(pixels: NDArray[np.uint8]) -> Picture:
    """Scales an RGB image [H, W, 3] to `SIDE` pixels, makes it grey, and describes it."""
    import cv2

    longer = max(pixels.shape[:2])
    wanted = SIDE if longer >= _SMALL else _SMALL
    scale = wanted / longer
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    scaled = np.asarray(cv2.resize(grey, size, interpolation=how), np.uint8)
    return Picture(scaled, *_features(scaled))


def opened(encoded: bytes) -> Picture:
    """The picture of an encoded image as ingest stores it; one of a single pixel, which is like none, if Pillow cannot.

    TensorFlow, with which ingest checked it, ignores what comes after the pixels; Pillow also reads texts there.

    Raises:
        MemoryError: there is too little of it now.
    """
    import cv2

    try:
        with Pillow.open(io.BytesIO(encoded), formats=images.FORMATS) as image:
            image.draft("RGB", (2 * SIDE, 2 * SIDE))
            return picture(np.asarray(image.convert("RGB")))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  whatever another decoder than the one of ingest finds
        if isinstance(error, cv2.error) and error.code == cv2.Error.StsNoMem:
            raise MemoryError(str(error)) from None
        return picture(np.zeros((1, 1, 3), np.uint8))


def same(one: Picture, other: Picture) -> float | None:
    """How far two pictures agree where they overlap.

    Returns:
        share of the compared blocks that are the same, at least `_AGREEMENT`; None if the pictures are different.
    """
    # The larger one is laid over the smaller, whatever their names and so their order.
    one, other = sorted((one, other), key=lambda each: (each.grey.size, each.grey.tobytes()), reverse=True)
    found = [_agreement(one, turned) for turned in (other, other.mirrored)]
    best = max(found)
    return best if best >= _AGREEMENT else None


def _features(grey: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    import cv2

    points, descriptors = cv2.SIFT.create(nfeatures=400, contrastThreshold=0.02).detectAndCompute(grey, None)
    if descriptors is None:
        return np.empty((0, 2), np.float32), np.empty((0, 128), np.float32)
    # The square root of the shares compares better (Arandjelovic & Zisserman, CVPR 2012).
    shares = descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-12)
    return np.array([point.pt for point in points], np.float32), np.sqrt(shares).astype(np.float32)


def _agreement(one: Picture, other: Picture) -> float:
    """Share of the compared blocks that are the same; 0 if no map lays one picture over the other."""
    mapped = _map(one, other)
    if mapped is None:
        return 0.0
    import cv2

    height, width = other.grey.shape
    laid = cv2.warpAffine(one.grey, mapped, (width, height), flags=cv2.INTER_AREA)
    inside = cv2.warpAffine(np.full(one.grey.shape, 255, np.uint8), mapped, (width, height)) == 255
    area = abs(float(np.linalg.det(mapped[:, :2])))
    if inside.sum() < _OVERLAP * min(height * width, area * one.grey.size):
        return 0.0
    # What a smaller scale or stronger compression took from one is taken from both; what is around is no part of it.
    sigma = max(1.5, math.sqrt(area))
    reach = 2 * math.ceil(2 * sigma) + 1
    inner = cv2.erode(inside.astype(np.uint8), np.ones((reach, reach), np.uint8), borderValue=0) == 1
    return _alike(cv2.GaussianBlur(laid, (0, 0), sigma), cv2.GaussianBlur(other.grey, (0, 0), sigma), inner)


def _map(one: Picture, other: Picture) -> NDArray[np.float64] | None:
    """The affine map [2, 3] from one picture to the other that enough matches support; None: there is none."""
    here, own, there, others = one.places, one.descriptors, other.places, other.descriptors
    if min(len(own), len(others)) < _MATCHES:
        return None
    import cv2

    pairs = [
        (best.queryIdx, best.trainIdx)
        for best, second in cv2.BFMatcher().knnMatch(own, others, k=2)
        if best.distance < _RATIO * second.distance
    ]
    if len(pairs) < _MATCHES:
        return None
    source, target = here[[i for i, _ in pairs]], there[[j for _, j in pairs]]
    cv2.setRNGSeed(0)
    mapped, inliers = cv2.estimateAffine2D(source, target, method=cv2.RANSAC, ransacReprojThreshold=_REACH)
    if mapped is None or len(np.unique(target[inliers.ravel() == 1].round(), axis=0)) < _MATCHES:
        return None
    large, small = np.linalg.svd(mapped[:, :2], compute_uv=False)
    plausible = _SCALES[0] <= small and large <= _SCALES[1] and large <= _STRETCH * small
    return mapped if plausible and np.linalg.det(mapped[:, :2]) > 0 else None


def _alike(one: Any, other: Any, inside: NDArray[np.bool_]) -> float:
    """Share of the blocks of the overlap that correlate; 0 if there are too few with anything to see."""
    top, left = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(top):
        return 0.0
    alike = []
    for rows in np.array_split(np.arange(top[0], top[-1] + 1), _GRID):
        for columns in np.array_split(np.arange(left[0], left[-1] + 1), _GRID):
            block = np.ix_(rows, columns)
            within = inside[block]
            if not within.size or within.mean() < _COVERED:
                continue
            a, b = one[block][within].astype(np.float64), other[block][within].astype(np.float64)
            a, b = a - a.mean(), b - b.mean()
            if max(a.std(), b.std()) < _TEXTURE:
                continue
            alike.append((a @ b) / max(1e-9, math.sqrt((a @ a) * (b @ b))) >= _ALIKE)
    return float(np.mean(alike)) if len(alike) >= _BLOCKS else 0.0
