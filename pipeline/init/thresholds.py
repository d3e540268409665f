"""Thresholds to start with: a model must be better than one that always gives the same answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from components.base.text import number
from components.data.dataset import SPLITS
from components.data.manifest import DatasetManifest
from components.labels.kind import LabelKind

Entry = tuple[dict[str, Any], str]  # an entry of evaluation.thresholds, and its comment
_Part = tuple[Sequence[str], str]  # splits that are counted, and what their images are called
_Answer = tuple[str, float, str]  # a constant answer: metric or "" for the main one, its value, and why

_UNEVEN = 1.5  # times an even share, from which the most frequent label makes the labels uneven; chosen by hand

_MAX_DROP = 0.02
_JUDGED = 10  # test images with a label, and without it, from which its own metric says something
_ABSTAINED = 0.2  # by a detector of one label, which has nothing else to judge
_GUESSING = 0.51  # just above the area under the curve of a guess


def thresholds(kind: LabelKind, manifest: DatasetManifest, *, exact: bool = True) -> list[Entry]:
    """Returns the entries of `evaluation.thresholds`; none if there is nothing to tell apart.

    Args:
        kind: what the labels are.
        manifest: counts of the data set.
        exact: whether the sizes of the splits are counted; estimates are not used.
    """
    if kind.is_detector(len(manifest.labels)):
        label = manifest.labels[0]
        return [({"metric": "abstained", "max": _ABSTAINED}, f"share of the test images taken for no {label!r}")]
    parts = [(SPLITS, "images"), *([(("test",), "test images")] if exact else [])]
    return [*_better_than_constant(kind, manifest, parts), *_each_label(kind, manifest), _no_drop(kind)]


def above(share: float) -> float:
    """Returns the next number of two digits above a share; of more digits, if it would be 1.

    >>> above(0.258), above(0.5), above(0.991), above(0.9995), above(0.0)
    (0.26, 0.51, 0.992, 0.9996, 0.01)
    """
    for digits in (2, 3, 4):
        result = (int(share * 10**digits + 1e-9) + 1) / 10**digits
        if result < 1:
            return result
    return 1.0


def _better_than_constant(kind: LabelKind, manifest: DatasetManifest, parts: Sequence[_Part]) -> Iterator[Entry]:
    if kind.per_pixel:
        answer = _constant_mask(manifest)
    elif kind.exclusive:
        answer = _most_frequent(manifest, parts)
    else:
        answer = _mean_prevalence(manifest, parts)
    if answer is not None:
        metric, share, why = answer
        yield {"metric": metric or kind.main, "min": above(share)}, why


def _each_label(kind: LabelKind, manifest: DatasetManifest) -> Iterator[Entry]:
    # The model gate counts the rarer ones: the images with the label, or those without it.
    stated = {label: manifest.counts["test"] - unknown["test"] for label, unknown in manifest.unknown.items()}
    with_it = {label: by_split["test"] for label, by_split in manifest.label_counts.items()}
    rarer = [min(count, stated.get(label, 0) - count) for label, count in with_it.items()]
    if not kind.per_pixel and max(rarer, default=0) >= _JUDGED:
        entry = {"metric": "auc", "label": "*", "min": _GUESSING, "min_examples": _JUDGED}
        yield (
            entry,
            f"for each label that {_JUDGED} test images have and {_JUDGED} have not; guessing reaches 0.5",
        )


def _no_drop(kind: LabelKind) -> Entry:
    return {"metric": kind.main, "max_drop": _MAX_DROP}, "at most this much worse than the served model"


def _most_frequent(manifest: DatasetManifest, parts: Sequence[_Part]) -> _Answer | None:
    """The score of the answer that is right most often.

    Of nearly even labels, it is the accuracy on the test split or on all images, whichever is larger. Of uneven ones,
    it is the balanced accuracy: the loss weighs rare labels up, and accuracy would reward a model that ignores them.
    """
    answers = []
    for splits, words in parts:
        counts = {label: sum(n[s] for s in splits) for label, n in manifest.label_counts.items()}
        total, there = sum(counts.values()), sum(n > 0 for n in counts.values())
        if total:
            label = max(counts, key=counts.__getitem__)
            share = counts[label] / total
            why = f"always answering {label!r} is right for {number(counts[label])} of {number(total)} {words}"
            answers.append((share, there, why))
    if not answers:
        return None
    (share, _, why), (_, there, _) = answers[0], answers[-1]
    if share * len(manifest.labels) > _UNEVEN:
        return "balanced_accuracy", 1 / there, f"{why}, but only for 1 of {there} labels: {1 / there:.3f}"
    share, _, why = max(answers)
    return "", share, f"{why}: {share:.3f}"


def _mean_prevalence(manifest: DatasetManifest, parts: Sequence[_Part]) -> _Answer | None:
    """The expected average precision of a constant answer, which is the share of the images that a label applies to."""
    answers = []
    for splits, words in parts:
        shares = []
        for label, counts in manifest.label_counts.items():
            known = sum(manifest.counts[s] - manifest.unknown[label][s] for s in splits)
            applies = sum(counts[s] for s in splits)
            if known and applies:
                shares.append(applies / known)
        if shares:
            answers.append((sum(shares) / len(shares), words))
    if not answers:
        return None
    share, words = max(answers)
    return "", share, f"the same answer for every image has {share:.3f}: the labels' mean share of the {words}"


def _constant_mask(manifest: DatasetManifest) -> _Answer | None:
    """The mean IoU of a mask of one label: the share of its pixels, divided by the number of labels in the truth."""
    split = next((s for s in ("test", "train") if s in manifest.pixels), None)
    if split is None:
        return None
    pixels = [own for own, _, _ in manifest.pixels[split][:-1]]
    total, there = sum(pixels), sum(own > 0 for own in pixels)
    if not total:
        return None
    largest = max(pixels)
    label = manifest.labels[pixels.index(largest)]
    share = largest / total
    why = f"always answering {label!r} is right for {share:.3f} of the {split} pixels; divided by {there} labels"
    return "", share / there, f"{why}, {share / there:.3f}"
