"""Rules on copies that hashes miss: crops, mirror images, small rotations, borders and screenshots of another image.

Images with similar features are laid over each other; only those that show the same picture are found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from components.base.text import number, truncated_list
from components.base.verdict import Verdict
from components.gates.data_rules import kept
from components.gates.data_rules.base import Finding, GateInput, bound
from components.gates.judge import judge
from components.gates.settings import DataGateLimits
from components.model.features import neighbours
from components.model.features.agreements import of_pairs

# Measured by `python -m benchmarks.leaks`; see docs/data-gate.md.
LEAST = 0.6  # cosine of the features of two images that are compared
PARTNERS = 3  # that an image is compared with, in other splits and under other labels
_FEW, _MOST = 1_000, 20_000  # pairs that are compared, the most similar ones; between both, half as many as images
# Kinds of findings, and their reasons.
SPLITS_KIND, LABELS_KIND = "changed copy across splits", "changed copy with other labels"
_SPLITS = SPLITS_KIND, "shows the same picture as {}, which is in another split"
_LABELS = LABELS_KIND, "shows the same picture as {}, which has other labels"
_ADVICE = (
    "Keep one of them (list the other in data.exclude; `imagegate check CONFIG -o issues.csv` writes the list), or set "
    "balance.allow_duplicates_across_splits"
)


@dataclass(frozen=True)
class Copy:
    """Two images that show the same picture; `agreement` in [0, 1] as `registration.same` returns it."""

    first: int
    second: int
    agreement: float


def leaking_copies(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Refuses changed copies in different splits, if the data set names the split of one of them."""
    if data.features is None or limits.near_duplicate_distance is None or limits.allow_duplicates_across_splits:
        return
    named = data.images.rows["named"]
    if not named.any():
        return
    pairs = [pair for pair in _between(data, limits, "split") if named[[pair.first, pair.second]].any()]
    left = set(kept.undecided((finding for both in _both(data, pairs, *_SPLITS) for finding in both), limits))
    pairs = [pair for pair, (one, _) in zip(pairs, _both(data, pairs, *_SPLITS), strict=True) if one in left]
    rule = bound(metric="number of changed copies in different predefined splits", maximum=0, advice=_ADVICE)
    paths = data.images.paths(i for pair in pairs for i in (pair.first, pair.second))
    texts = (" ~ ".join(sorted(both)) for both in zip(paths[::2], paths[1::2], strict=True))
    yield judge(rule, len(pairs), detail=truncated_list(texts))


def findings(data: GateInput, limits: DataGateLimits) -> Iterator[Finding]:
    """Yields both images of each pair that is in different splits, or has different labels."""
    if data.features is None or limits.near_duplicate_distance is None:
        return
    found: list[tuple[Finding, Finding]] = []
    if limits.contradictions:
        found += _both(data, _between(data, limits, "truth"), *_LABELS)
    if not limits.allow_duplicates_across_splits:
        found += _both(data, _between(data, limits, "split"), *_SPLITS)
    yield from kept.undecided((finding for both in found for finding in both), limits)


def notes(data: GateInput, limits: DataGateLimits) -> list[str]:
    """Says how many pairs of similar images were not compared."""
    looked = limits.contradictions or not limits.allow_duplicates_across_splits
    if data.features is None or limits.near_duplicate_distance is None or not looked:
        return []
    _, pairs = _compared(data, limits)
    most = _most(len(data.images.rows))
    if pairs <= most:
        return []
    among = f"the {number(most)} most similar of {number(pairs)} pairs of images"
    return [f"changed copies were looked for among {among}; there may be more"]


def _both(data: GateInput, pairs: Sequence[Copy], kind: str, reason: str) -> list[tuple[Finding, Finding]]:
    paths = data.images.paths(i for pair in pairs for i in (pair.first, pair.second))
    found = []
    for pair, *both in zip(pairs, paths[::2], paths[1::2], strict=True):
        one, other = sorted(both)
        told = kind, pair.agreement
        found.append((Finding(one, reason.format(other), *told, other), Finding(other, reason.format(one), *told, one)))
    return found


def _between(data: GateInput, limits: DataGateLimits, field: str) -> list[Copy]:
    """The copies whose `field` of `census.ROW` differs."""
    found, _ = _compared(data, limits)
    rows = data.images.rows[field]
    return [pair for pair in found if rows[pair.first] != rows[pair.second]]


def _compared(data: GateInput, limits: DataGateLimits) -> tuple[list[Copy], int]:
    """All copies in different splits or with different labels, and how many pairs were similar enough to compare."""
    assert data.features is not None
    return data.features.once(("copies", limits.near_duplicate_distance), lambda: _found(data, limits))


def _found(data: GateInput, limits: DataGateLimits) -> tuple[list[Copy], int]:
    """The same, computed; equal and nearly equal files are no changed copies."""
    assert data.features is not None
    rows, described = data.images.rows, neighbours.compact(data.features.rows)
    fields = ["truth"] * limits.contradictions + ["split"] * (not limits.allow_duplicates_across_splits)
    candidates = neighbours.similar(described, [rows[field] for field in fields], LEAST, PARTNERS)
    a, b = candidates.T
    bits = np.bitwise_count(rows["perceptual"][a] ^ rows["perceptual"][b]).sum(axis=1)
    near = rows["comparable"][a] & rows["comparable"][b] & (bits <= (limits.near_duplicate_distance or 0))
    equal = (rows["sha256"][a] == rows["sha256"][b]).all(axis=1)
    candidates = candidates[~near & ~equal]
    cosine = neighbours.cosine(described, candidates)
    chosen = candidates[np.sort(np.argsort(-cosine, kind="stable")[: _most(len(rows))])]
    agreements = of_pairs(data.features, chosen)
    same = ~np.isnan(agreements)
    found = zip(chosen[same].tolist(), agreements[same].tolist(), strict=True)
    return [Copy(one, other, agreement) for (one, other), agreement in found], len(candidates)


def _most(images: int) -> int:
    """How many pairs of a data set are compared, so that the time grows with the data, and never becomes hours."""
    return min(_MOST, max(_FEW, images // 2))
