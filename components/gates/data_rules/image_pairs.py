"""Rules on equal and nearly equal images that contradict one another or leak between splits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from components.base.text import truncated_list
from components.base.verdict import Verdict
from components.data import duplicates
from components.data.dataset import SPLITS
from components.gates.data_rules.base import GateInput, bound
from components.gates.judge import judge
from components.gates.settings import DataGateLimits
from components.ingest.census import Images

_KEEP_ONE_NEAR = "Keep one of them, or lower balance.near_duplicate_distance"
_ALLOW_LEAKS = "or set balance.allow_duplicates_across_splits"


def contradictory_pairs(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Refuses equal and nearly equal images that have different labels or masks."""
    images = data.images
    pairs, _ = data.equal_files
    yield _no_pair(images, pairs, "equal files under different labels", "Keep the file under the label that is right")
    if limits.near_duplicate_distance is not None and limits.contradictions:
        pairs = duplicates.nearly_equal_images(images.rows, "truth", limits.near_duplicate_distance)
        yield _no_pair(images, pairs, "nearly equal images under different labels", _KEEP_ONE_NEAR)


def leaking_pairs(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Refuses equal images in different splits, and bounds the nearly equal ones."""
    if limits.allow_duplicates_across_splits:
        return
    images = data.images
    _, pairs = data.equal_files
    yield _no_pair(images, pairs, "equal files in different splits", f"Keep one of them, {_ALLOW_LEAKS}")
    if limits.near_duplicate_distance is not None:
        pairs = duplicates.nearly_equal_images(images.rows, "split", limits.near_duplicate_distance)
        yield from _near_leaks(images, pairs, limits.max_near_duplicates)


def _near_leaks(images: Images, pairs: Sequence[duplicates.Pair], limit: float | None) -> Iterable[Verdict]:
    """Judges nearly equal images in different splits.

    Predefined splits must contain no such pair. Hash splits cannot see near-duplicates, so a small share is tolerated.
    """
    rows, advice = images.rows, f"{_KEEP_ONE_NEAR}, {_ALLOW_LEAKS}"
    predefined = [pair for pair in pairs if rows["named"][[pair.first, pair.second]].any()]
    yield _no_pair(images, predefined, "nearly equal images in different predefined splits", advice)
    evaluated = int((rows["split"] != SPLITS.index("train")).sum())
    if limit is None or not evaluated:
        return
    by_hash = [pair for pair in pairs if pair not in predefined]
    leaked = {i for pair in by_hash for i in (pair.first, pair.second) if SPLITS[rows["split"][i]] != "train"}
    rule = bound(
        metric="share of eval and test that is nearly equal to an image of another split",
        maximum=limit,
        advice=f"{advice}, or raise balance.max_near_duplicates",
    )
    yield judge(rule, len(leaked) / evaluated, detail=_named(images, by_hash))


def _no_pair(images: Images, pairs: Sequence[duplicates.Pair], subject: str, advice: str) -> Verdict:
    rule = bound(metric=f"number of {subject}", maximum=0, advice=advice)
    return judge(rule, len(pairs), detail=_named(images, pairs))


def _named(images: Images, pairs: Sequence[duplicates.Pair]) -> str:
    """Lists pairs by the paths of their files: "a.png = b.png, c.png ~ d.png (3 of 256 bits differ)"."""
    paths = images.paths(i for pair in pairs for i in (pair.first, pair.second))
    named = []
    for pair, *both in zip(pairs, paths[::2], paths[1::2], strict=True):
        one, other = sorted(both)
        named.append(f"{one} = {other}" if pair.bits is None else f"{one} ~ {other} ({pair.bits} of 256 bits differ)")
    return truncated_list(named)
