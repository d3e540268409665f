"""Rules on equal and nearly equal images that contradict one another or leak between splits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from components.base.text import number, truncated_list
from components.base.verdict import Verdict
from components.data import duplicates
from components.data.manifest import NearDuplicates
from components.gates.data_rules.base import GateInput, bound
from components.gates.judge import judge
from components.gates.settings import DataGateLimits
from components.ingest import near_duplicates
from components.ingest.census import Images

_EXCLUDE = "(list the other in data.exclude; `imagegate check CONFIG -o issues.csv` writes the list)"
_KEEP_ONE_NEAR = f"Keep one of them {_EXCLUDE}, or lower balance.near_duplicate_distance"
_GROUP = (
    "Images like these, such as frames of one video, must stay in one split: name the column that tells what belongs "
    "together in data.columns.group, or raise balance.max_near_duplicates to move them all to train"
)
_ALLOW_LEAKS = "or set balance.allow_duplicates_across_splits"


def contradictory_pairs(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Refuses equal and nearly equal images that have different labels or masks."""
    images = data.images
    pairs, _ = data.equal_files
    yield _no_pair(
        images, pairs, "equal files under different labels", f"Keep the file under the label that is right {_EXCLUDE}"
    )
    if limits.near_duplicate_distance is not None and limits.contradictions:
        pairs = duplicates.nearly_equal_images(images.rows, "truth", limits.near_duplicate_distance)
        yield _no_pair(images, pairs, "nearly equal images under different labels", _KEEP_ONE_NEAR)


def leaking_pairs(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Refuses equal images in different splits, and nearly equal ones that ingest could not move to train."""
    if limits.allow_duplicates_across_splits:
        return
    images = data.images
    _, pairs = data.equal_files
    yield _no_pair(images, pairs, "equal files in different splits", f"Keep one of them {_EXCLUDE}, {_ALLOW_LEAKS}")
    near, named = data.manifest.near_duplicates, images.rows["named"]
    if limits.near_duplicate_distance is None:
        return
    pairs = []
    if named.any() or (near is not None and not near.moved):  # else there is none left: the search takes seconds
        pairs = duplicates.nearly_equal_images(images.rows, "split", limits.near_duplicate_distance)
    predefined = [pair for pair in pairs if named[[pair.first, pair.second]].any()]
    subject = "nearly equal images in different predefined splits"
    yield _no_pair(images, predefined, subject, f"{_KEEP_ONE_NEAR}, {_ALLOW_LEAKS}")
    if near is not None and limits.max_near_duplicates is not None:
        by_hash = [pair for pair in pairs if not named[[pair.first, pair.second]].any()]
        yield from _moves(images, by_hash, near, limits.max_near_duplicates)


def _moves(images: Images, pairs: Sequence[duplicates.Pair], near: NearDuplicates, limit: float) -> Iterable[Verdict]:
    """Bounds the share of eval, and of test, that belongs to images of other splits and so should be in train."""
    for split, found in near.found.items():
        rule = bound(
            metric=f"share of {split} that is nearly equal to images of other splits",
            maximum=limit,
            advice=_GROUP,
        )
        count = f"{number(found)} of {number(near.assigned[split])} images"
        named = f", such as {_named(images, pairs)}" if pairs else ""
        detail = f"{count}, which were moved to train" if near.moved else f"{count}{named}"
        yield judge(rule, near_duplicates.share(found, near.assigned[split]), detail=detail if found else "")


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
