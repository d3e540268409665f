"""How far the pictures of pairs of images agree, remembered between runs by the contents of both."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from components.base import fingerprint, machine, progress
from components.ingest.workers import threads
from components.model.features import registration
from components.model.features.feature_store import COMPARED, FeatureStore
from components.model.features.rows import Features

_PICTURES = 1000  # in memory, each 0.3 MB with its features
_READ = 64  # encoded images in memory
_DIFFERENT = np.float32(np.nan)  # as it is stored
_UNKNOWN = -1.0  # no agreement; nothing is stored
_SECONDS = 0.04  # that a pair takes a core, measured on photos of 400 x 533 pixels


def of_pairs(features: Features, pairs: NDArray[np.int64]) -> NDArray[np.float32]:
    """Compares the pictures of pairs of images.

    Those that were compared before, by this code and these versions of the libraries, are not compared again.

    Args:
        features: of all images, and where to keep what is found.
        pairs: int64 [m, 2], indices of images; the fewer pairs lie between two of the same image, the faster.

    Returns:
        float32 [m]: `registration.same` of each pair; NaN for different pictures, and where memory does not suffice to
        decode one now, of which nothing is kept.
    """
    names = [_name(features.digests[one], features.digests[other]) for one, other in pairs.tolist()]
    store = FeatureStore(features.folder, COMPARED + fingerprint.code(registration.__name__)[:32])
    known = store.read(set(names))
    places = np.flatnonzero([name not in known for name in names])
    minutes = round(_SECONDS * len(places) / machine.cores() / 60)
    if minutes > 0:
        progress.announce(f"comparing {len(places):,} pairs of similar images takes about {minutes} min")
    step = _PICTURES // 2
    for start in range(0, len(places), step):
        part = places[start : start + step]
        found = {}
        for done, (place, agreement) in enumerate(zip(part.tolist(), _compared(features, pairs[part]), strict=True), 1):
            if agreement != _UNKNOWN:
                found[names[place]] = np.array([_DIFFERENT if agreement is None else agreement], np.float32)
            progress.report("comparing similar images", start + done, len(places))
        store.add(found)  # what a killed run compared stays
        known |= found
    return np.array([known[name][0] if name in known else _DIFFERENT for name in names], np.float32)


def _name(one: bytes, other: bytes) -> bytes:
    """Names a pair, whichever of its images is first."""
    return hashlib.sha256(min(one, other) + max(one, other)).digest()


def _compared(features: Features, pairs: NDArray[np.int64]) -> Iterator[float | None]:
    """Compares pairs of at most `_PICTURES` images; `_UNKNOWN` if there is too little memory."""
    import cv2

    wanted = np.unique(pairs).tolist()
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)  # its own threads wait for each other within each small picture
    try:
        pictures: dict[int, registration.Picture | None] = {}
        for start in range(0, len(wanted), _READ):
            some = wanted[start : start + _READ]
            opened = threads.ordered(_opened, features.encoded(some), machine.cores())
            pictures |= zip(some, opened, strict=True)
        yield from threads.ordered(
            lambda pair: _same(pictures[pair[0]], pictures[pair[1]]), iter(pairs.tolist()), machine.cores()
        )
    finally:
        cv2.setNumThreads(before)


def _opened(encoded: bytes) -> registration.Picture | None:
    try:
        return registration.opened(encoded)
    except MemoryError:
        return None


def _same(one: registration.Picture | None, other: registration.Picture | None) -> float | None:
    return _UNKNOWN if one is None or other is None else registration.same(one, other)
