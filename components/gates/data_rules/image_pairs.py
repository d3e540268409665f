"""Rules on equal and nearly equal images that contradict one another or leak between splits."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from components.base.text import number, truncated_list
from components.base.verdict import Verdict
from components.data import duplicates
from components.data.dataset import SPLITS
from components.data.manifest import NearDuplicates
from components.gates.data_rules import kept
from components.gates.data_rules.base import Finding, GateInput, bound
from components.gates.judge import judge
from components.gates.settings import DataGateLimits
from components.ingest import near_duplicates
from components.ingest.counts.census import Images

_EXCLUDE = "(list the other in data.exclude; `imagegate check CONFIG -o issues.csv` writes the list)"
_KEEP_ONE_NEAR = f"Keep one of them {_EXCLUDE}, or lower balance.near_duplicate_distance"
_GROUP = (
    "Images like these, such as frames of one video, must stay in one split: name the column that tells what belongs "
    "together in data.columns.group, or raise balance.max_near_duplicates to move them all to train"
)
_Pairs = Sequence[duplicates.Pair]
_What = tuple[str, str]  # kind of finding; the reason, with the other file's path for {}
_SAME_OTHER_LABELS = "equal files with other labels", "the same file as {}, which has other labels"
_NEAR_OTHER_LABELS = "nearly equal with other labels", "nearly equal to {}, which has other labels"
_SAME_OTHER_SPLIT = "equal files across splits", "the same file as {}, which is in another split"
_NEAR_OTHER_SPLIT = "nearly equal across splits", "nearly equal to {}, which is in another split"
_ALLOW_LEAKS = "or set balance.allow_duplicates_across_splits"
KINDS = frozenset(kind for kind, _ in (_SAME_OTHER_LABELS, _NEAR_OTHER_LABELS, _SAME_OTHER_SPLIT, _NEAR_OTHER_SPLIT))


def contradictory_pairs(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Refuses equal and nearly equal images that have different labels or masks."""
    equal, near = _contradictory(data, limits)
    advice = f"Keep the file under the label that is right {_EXCLUDE}"
    yield _no_pair(data.images, equal, "equal files under different labels", advice)
    if near is not None:
        yield _no_pair(data.images, near, "nearly equal images under different labels", _KEEP_ONE_NEAR)


def leaking_pairs(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Refuses equal images in different splits, and nearly equal ones that ingest could not move to train."""
    if limits.allow_duplicates_across_splits:
        return
    equal, predefined, by_hash = _leaking(data, limits)
    advice = f"Keep one of them {_EXCLUDE}, {_ALLOW_LEAKS}"
    yield _no_pair(data.images, equal, "equal files in different splits", advice)
    if predefined is None:
        return
    subject = "nearly equal images in different predefined splits"
    yield _no_pair(data.images, predefined, subject, f"{_KEEP_ONE_NEAR}, {_ALLOW_LEAKS}")
    near = data.manifest.near_duplicates
    if near is not None and limits.max_near_duplicates is not None:
        yield from _moves(data.images, by_hash, near, limits.max_near_duplicates)


def findings(data: GateInput, limits: DataGateLimits) -> Iterator[Finding]:
    """Yields both images of each pair that a rule refuses; the reason names the other one."""
    equal, near = _contradictory(data, limits)
    yield from _findings(data.images, equal, _SAME_OTHER_LABELS)
    yield from _findings(data.images, near or (), _NEAR_OTHER_LABELS)
    if not limits.allow_duplicates_across_splits:
        equal, predefined, by_hash = _leaking(data, limits)
        yield from _findings(data.images, equal, _SAME_OTHER_SPLIT)
        yield from _findings(data.images, [*(predefined or ()), *by_hash], _NEAR_OTHER_SPLIT)


def _contradictory(data: GateInput, limits: DataGateLimits) -> tuple[_Pairs, _Pairs | None]:
    """Pairs of equal and of nearly equal images with different labels; None if the latter are not looked for."""
    equal = _undecided(data.images, data.equal_files[0], _SAME_OTHER_LABELS, limits)
    if limits.near_duplicate_distance is None or not limits.contradictions:
        return equal, None
    near = data.images.near_pairs("truth", limits.near_duplicate_distance)
    return equal, _undecided(data.images, near, _NEAR_OTHER_LABELS, limits)


def _leaking(data: GateInput, limits: DataGateLimits) -> tuple[_Pairs, _Pairs | None, _Pairs]:
    """Pairs in different splits: equal files; nearly equal images by name of the splits, and by hash.

    By name means that the data set names the split of one at least; None if these are not looked for.
    """
    rows, near = data.images.rows, data.manifest.near_duplicates
    equal = _undecided(data.images, data.equal_files[1], _SAME_OTHER_SPLIT, limits)
    if limits.near_duplicate_distance is None:
        return equal, None, []
    if not rows["named"].any() and (near is None or near.moved):  # none is left, and the search takes seconds
        return equal, [], []
    pairs = data.images.near_pairs("split", limits.near_duplicate_distance)
    pairs = _undecided(data.images, pairs, _NEAR_OTHER_SPLIT, limits)
    named = [bool(rows["named"][[pair.first, pair.second]].any()) for pair in pairs]
    by_hash = [pair for pair, by_name in zip(pairs, named, strict=True) if not by_name]
    return equal, list(itertools.compress(pairs, named)), by_hash


def _undecided(images: Images, pairs: _Pairs, what: _What, limits: DataGateLimits) -> list[duplicates.Pair]:
    """The pairs that nobody decided to keep."""
    if not limits.kept:
        return list(pairs)
    each = list(_both(images, pairs, what))
    left = set(kept.undecided((finding for both in each for finding in both), limits))
    return [pair for pair, both in zip(pairs, each, strict=True) if both[0] in left]


def _findings(images: Images, pairs: _Pairs, what: _What) -> Iterator[Finding]:
    yield from itertools.chain.from_iterable(sorted(_both(images, pairs, what)))


def _both(images: Images, pairs: _Pairs, what: _What) -> Iterator[tuple[Finding, Finding]]:
    """Two findings for each pair. The certainty is the share of the bits of their hashes that agree."""
    kind, reason = what
    paths = images.paths(i for pair in pairs for i in (pair.first, pair.second))
    for pair, *both in zip(pairs, paths[::2], paths[1::2], strict=True):
        one, other = sorted(both)
        certainty = 1 - (pair.bits or 0) / 256
        yield (
            Finding(one, reason.format(other), kind, certainty, other),
            Finding(other, reason.format(one), kind, certainty, one),
        )


def _moves(images: Images, pairs: Sequence[duplicates.Pair], near: NearDuplicates, limit: float) -> Iterable[Verdict]:
    """Bounds the share of eval, and of test, that belongs to images of other splits and so should be in train."""
    for split, found in near.found.items():
        rule = bound(
            metric=f"share of {split} that is nearly equal to images of other splits",
            maximum=limit,
            advice=_GROUP,
        )
        count = f"{number(found)} of {number(near.assigned[split])} images"
        index, splits = SPLITS.index(split), images.rows["split"]
        own = [pair for pair in pairs if index in (splits[pair.first], splits[pair.second])]
        named = f", such as {_named(images, own)}" if own else ""
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
