"""Rule on images whose label or mask has changed since the served model was trained on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from components.base.text import number, truncated_list
from components.base.verdict import Verdict
from components.data.manifest import LabelCounts
from components.gates.data_rules.base import GateInput, bound, common_labels
from components.gates.judge import failed_or_largest, judge
from components.gates.reference import Reference
from components.gates.settings import DataGateLimits
from components.ingest.counts import census
from components.ingest.counts.census import Images

_ADVICE = "If the new labels are right, raise balance.max_relabelled"

_LabelSets = Mapping[int, tuple[set[str], set[str]]]  # digest of the truth -> labels that apply, unknown labels


def relabelled_images(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Bounds the share of images with another label or mask than when the served model was trained on them.

    Compares equal files only, so there is no sampling and no p-value.
    """
    reference, limit = data.reference, limits.max_relabelled
    if reference is None or limit is None:
        return
    shared, before, after = _shared_truths(data.images, reference)
    if data.manifest.pixels:
        if len(shared):
            changed = shared[before != after]
            rule = bound(
                metric=f"share of images whose mask is not that of version {reference.version}",
                maximum=limit,
                advice=_ADVICE,
            )
            value = ignore_single_correction(len(changed)) / len(shared)
            yield judge(rule, value, detail=_files(data.images, changed, len(shared)))
        return
    sets_then, sets_now = _label_sets(reference.data), _label_sets(data.manifest)
    verdicts = []
    for label in common_labels(data.manifest, reference):
        was, now = _states(before, sets_then, label), _states(after, sets_now, label)
        carriers = int(max((was == 1).sum(), (now == 1).sum()))
        # A label that is unknown now or was unknown then has not changed.
        changed = shared[(was != now) & (was >= 0) & (now >= 0)]
        if not carriers:
            continue
        rule = bound(
            metric=f"share of images relabelled since version {reference.version}",
            label=label,
            maximum=limit,
            advice=_ADVICE,
        )
        value = ignore_single_correction(len(changed)) / carriers
        verdicts.append((value, judge(rule, value, detail=_files(data.images, changed, carriers))))
    yield from failed_or_largest(verdicts)


def ignore_single_correction(count: int) -> int:
    """Counts one changed image as none: it is a correction, however large a share of a rare label it is.

    >>> ignore_single_correction(1), ignore_single_correction(2)
    (0, 2)
    """
    return count if count > 1 else 0


def _shared_truths(
    images: Images, reference: Reference
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint64]]:
    """Finds the images of both data sets: their indices here, and digests of their labels then and now; [n] each."""
    known, rows = reference.known, images.rows
    # `known` is sorted and not empty: a served model was trained on at least one image.
    at = np.minimum(np.searchsorted(known["sha256"], rows["sha256"][:, 0]), len(known) - 1)
    shared = np.flatnonzero(known["sha256"][at] == rows["sha256"][:, 0])
    return shared, known["truth"][at[shared]], rows["truth"][shared]


def _label_sets(data: LabelCounts) -> _LabelSets:
    return {census.truth(labels, unknown): (set(labels), set(unknown)) for _, labels, unknown, _ in data.label_sets}


def _states(truths: NDArray[np.uint64], sets: _LabelSets, label: str) -> NDArray[np.int64]:
    """State of a label for each digest, [n]: 1 it applies, 0 it does not, -1 it is unknown."""
    distinct, index = np.unique(truths, return_inverse=True)

    def state(truth: int) -> int:
        labels, unknown = sets.get(truth, (set(), {label}))
        return -1 if label in unknown else int(label in labels)

    return np.array([state(int(t)) for t in distinct], np.int64)[index] if len(distinct) else np.empty(0, np.int64)


def _files(images: Images, changed: NDArray[np.int64], total: int) -> str:
    if not len(changed):
        return ""
    return f"{number(len(changed))} of {number(total)} images, {truncated_list(images.paths(changed.tolist()))}"
