"""The record of the images behind a pushed model, which lies beside it as `images.npy`."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

# 50 bytes for each image. sha256: the first 64 bits of the file's digest. truth: digest of its labels, see
# `census.truth`. perceptual: see `perceptual.perceptual_hash`; comparable: whether that is meaningful. split: index in
# SPLITS.
ROW = np.dtype([("sha256", "<u8"), ("truth", "<u8"), ("perceptual", "<u8", 4), ("split", "u1"), ("comparable", "?")])


def to_bytes(rows: NDArray[np.void]) -> bytes:
    """Content of the file: the rows, sorted by digest.

    Args:
        rows: `census.ROW` [n].
    """
    known, digests = np.zeros(len(rows), ROW), rows["sha256"][:, 0]
    order = np.lexsort((rows["split"], rows["truth"], digests))
    known["sha256"] = digests[order]
    for name in ("truth", "perceptual", "split", "comparable"):
        known[name] = rows[name][order]
    again = np.zeros(len(known), bool)
    again[1:] = np.logical_and.reduce([known[name][1:] == known[name][:-1] for name in ("split", "truth", "sha256")])
    del order
    out = io.BytesIO()
    np.save(out, known[~again] if again.any() else known, allow_pickle=False)
    del known
    return out.getvalue()


def of_bytes(content: bytes) -> NDArray[np.void]:
    """Reads the content of `to_bytes`: `ROW` [n].

    Raises:
        ValueError: it is something else.
    """
    try:
        known = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError):
        known = None
    if not isinstance(known, np.ndarray):
        raise ValueError("holds no array")
    if known.dtype != ROW:
        raise ValueError(f"holds rows of {known.dtype}, expected {ROW}")
    return known
