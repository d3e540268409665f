"""Rule on shortcuts: labels that can be told from one property of the files alone, such as their brightness or camera.

A network learns whatever tells the labels apart (Geirhos et al., Nature Machine Intelligence 2020); if all images of a
label come from one camera, it learns the camera, and the test split, which has the same property, cannot show it.
"""

from __future__ import annotations

import collections
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.base.text import truncated_list
from components.base.verdict import Verdict
from components.gates import intervals
from components.gates.data_rules.base import Carriers, GateInput, bound
from components.gates.judge import CHANCE, failed_or_largest, judge
from components.gates.settings import DataGateLimits
from components.ingest.counts.census import Images

_FOLDS = 5
_LEVELS = 16  # that a number is cut into, at its quantiles
_CATEGORIES = 64  # of the most common file name patterns; others are one more
_FEWEST = 20  # images with the label, and without
_MOST = 2_000  # images of one set of labels that are looked at
# A note needs a balanced accuracy of this, and beyond chance of `_SURELY`. Honest labels have to do with brightness,
# such as sunset: docs/data-gate.md has the largest accuracy of each property on clean photos.
_STRIKING, _SURELY = 0.9, 0.8
# What cameras and programs begin names with. Other words of a name are one, since names are often made of the label.
_PREFIXES = ("img", "dsc", "dscn", "dscf", "pxl", "gopr", "dji", "vid", "mvimg", "screenshot", "whatsapp", "image")
_WORD = re.compile(r"[^\W_]+")


class Shortcut(NamedTuple):
    """How well one property tells one label.

    Attributes:
        label, told: of the label, and of the property in words.
        right: images whose label was told, with the label and without.
        images: how many there are, with the label and without.
    """

    label: str
    told: str
    right: tuple[int, int]
    images: tuple[int, int]

    @property
    def value(self) -> float:
        """Balanced accuracy: the mean of the shares told of both."""
        return sum(k / n for k, n in zip(self.right, self.images, strict=True)) / 2

    @property
    def interval(self) -> intervals.Interval:
        """Of the balanced accuracy, from Wilson's intervals of both shares (Newcombe 1998, square-and-add)."""
        z = intervals.two_sided(intervals.SHOWN)
        shares = [k / n for k, n in zip(self.right, self.images, strict=True)]
        bounds = [intervals.wilson(share, n, z) for share, n in zip(shares, self.images, strict=True)]
        below, above = (
            sum((share - side[end]) ** 2 for share, side in zip(shares, bounds, strict=True)) ** 0.5 / 2
            for end in (0, 1)
        )
        return self.value - below, self.value + above

    def chance(self, limit: float) -> float:
        """p-value of a balanced accuracy no larger than `limit` in truth, by the normal distribution.

        Two right and two wrong answers are added to each share, without which it would be too small (Agresti & Coull
        1998).
        """
        shares = [(k + 2) / (n + 4) for k, n in zip(self.right, self.images, strict=True)]
        variance = sum(share * (1 - share) / (n + 4) for share, n in zip(shares, self.images, strict=True)) / 4
        return 1 - NormalDist(limit, variance**0.5).cdf(sum(shares) / 2)

    def sentence(self) -> str:
        """Such as "label 'night' can be told from brightness alone, balanced accuracy 0.97 [0.95, 0.98]"."""
        low, high = self.interval
        return f"label {self.label!r} can be told from {self.told} alone, {self._accuracy(low, high)}"

    def _accuracy(self, low: float, high: float) -> str:
        return f"balanced accuracy {self.value:.2f} [{low:.2f}, {high:.2f}]"


def shortcuts(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Bounds how well each label can be told from one property alone. Yields what fails, or else the largest."""
    if limits.max_shortcut is None:
        return
    found = _found(data)
    verdicts = []
    for one in found:
        rule = bound(
            metric=f"balanced accuracy of {one.told} alone",
            label=one.label,
            maximum=limits.max_shortcut,
            advice="Collect images of it with other properties, or raise balance.max_shortcut",
        )
        chance = len(found) * one.chance(limits.max_shortcut) if one.value > limits.max_shortcut else 1.0
        verdict = judge(rule, one.value, examples=sum(one.images), interval=one.interval, unit="image", chance=chance)
        verdicts.append((one.value, verdict))
    yield from failed_or_largest(verdicts)


def notes(data: GateInput, limits: DataGateLimits) -> list[str]:
    """Sentences on striking shortcuts, unless a limit judges them: one for each property, the best told label first."""
    if limits.max_shortcut is not None:
        return []
    found = _found(data)
    striking = [one for one in found if one.value >= _STRIKING and len(found) * one.chance(_SURELY) < CHANCE]
    sentences = []
    for told in dict.fromkeys(one.told for one in striking):
        first, *others = sorted((one for one in striking if one.told == told), key=lambda one: -one.value)
        more = f"; likewise {truncated_list(repr(one.label) for one in others)}" if others else ""
        sentences.append(f"shortcut: {first.sentence()}{more}. A model may learn this instead of what the images show")
    return sentences


def _found(data: GateInput) -> list[Shortcut]:
    """How well each property tells each label; empty for masks and arrays, and with few images or one label."""
    carriers, rows, labels = data.carriers, data.images.rows, data.manifest.labels
    if data.manifest.pixels or data.manifest.arrays is not None or len(labels) < 2 or not len(rows):
        return []
    chosen = _sample(rows, carriers.states)
    sets = _Sets(carriers, carriers.states[chosen])
    judged = np.flatnonzero(np.minimum(*sets.count(np.zeros(len(chosen), np.int64), 1)).ravel() >= _FEWEST)
    if len(labels) == 2 and sets.exclusive:
        judged = judged[:1]  # the other one is as well told
    if not len(judged):
        return []
    found = []
    for told, codes in _properties(data.images, chosen, labels):
        if codes.max() > codes.min():
            right, images = _told(codes, _groups(rows[chosen]), sets)
            for label in judged:
                k, n = right[:, label].tolist(), images[:, label].tolist()
                found.append(Shortcut(labels[label], told, (k[0], k[1]), (n[0], n[1])))
    return found


class _Sets:
    """Counts images by label from their sets of labels.

    Args:
        carriers: of all images.
        states: int64 [m], of the images that are counted.
    """

    def __init__(self, carriers: Carriers, states: NDArray[np.int64]) -> None:
        self._states, self._size = states, int(carriers.states.max(initial=0)) + 1
        self._applies, self._unknown = (self._matrix(sets) for sets in (carriers.members, carriers.unknown))

    def _matrix(self, sets: Sequence[NDArray[np.int64]]) -> Any:
        """A sparse matrix [L, sets of labels] of ones."""
        from scipy import sparse

        rows = np.repeat(np.arange(len(sets)), [len(one) for one in sets])
        columns = np.concatenate(sets)
        return sparse.csr_array((np.ones(len(rows), np.int64), (rows, columns)), (len(sets), self._size))

    @property
    def exclusive(self) -> bool:
        """Whether each image has exactly one label, and all are known."""
        return bool((self._applies.sum(axis=0)[self._states] == 1).all()) and not self._unknown.nnz

    def count(
        self, codes: NDArray[np.int64], size: int, among: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Images of each code to which each label applies, [L, size], and to which it does not."""
        places = self._states * size + codes
        table = np.bincount(places if among is None else places[among], minlength=self._size * size)
        table = table.reshape(self._size, size)
        applies = self._applies @ table
        return applies, table.sum(axis=0) - applies - self._unknown @ table


def _told(
    codes: NDArray[np.int64], groups: NDArray[np.uint64], sets: _Sets
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tells each label from one property, out of fold: images told rightly, and all, [2, L] with and without the label.

    An image is said to have the label if its code is more frequent among the other folds' images with the label than
    among those without: naive Bayes of one category with equal priors and Laplace's correction.

    Args:
        codes: of the property, [m].
        groups: what belongs together, and so is in one fold, [m].
        sets: the labels of the same images.
    """
    size = int(codes.max()) + 1
    folds = groups % np.uint64(_FOLDS)
    whole = np.stack(sets.count(codes, size))  # [2, L, size]
    right = np.zeros(whole.shape[:2], np.int64)
    for fold in range(_FOLDS):
        own = np.stack(sets.count(codes, size, folds == fold))
        learnt = whole - own
        shares = (learnt + 1) / (learnt.sum(axis=2, keepdims=True) + size)
        says = shares[0] > shares[1]
        right += np.stack([(own[0] * says).sum(axis=1), (own[1] * ~says).sum(axis=1)])
    return right, whole.sum(axis=2)


def _sample(rows: NDArray[np.void], states: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices of at most `_MOST` images of each set of labels, chosen by their digests, one of each group."""
    order = np.lexsort((rows["sha256"][:, 0], states))
    first = np.searchsorted(states[order], states[order])
    some = order[np.arange(len(order)) - first < _MOST]
    pairs = np.stack([states[some].astype(np.uint64), _groups(rows[some])], axis=1)
    return np.sort(some[np.unique(pairs, axis=0, return_index=True)[1]])


def _groups(rows: NDArray[np.void]) -> NDArray[np.uint64]:
    """Equal numbers for equal files, and for images whose 64 lowest frequencies agree, as those of near-duplicates."""
    own = np.where(rows["comparable"], rows["perceptual"][:, 0], rows["sha256"][:, 0])
    return (own * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)  # Knuth's multiplicative hash


def _properties(
    images: Images, chosen: NDArray[np.int64], labels: Sequence[str]
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Each property in words, and its code for each image chosen."""
    rows = images.rows[chosen]
    yield "the brightness", _levels(rows["brightness"])
    yield "the size", _levels(rows["width"]) * _LEVELS + _levels(rows["height"])
    yield "the format and compression", rows["encoding"].astype(np.int64)
    yield "the border", _levels(rows["border"])
    yield "the camera", rows["camera"].astype(np.int64)
    yield "the date in the file", _levels(rows["day"])
    patterns = name_patterns(images.paths(chosen.tolist()), labels)
    common = [pattern for pattern, _ in collections.Counter(patterns).most_common(_CATEGORIES)]
    place = {pattern: i for i, pattern in enumerate(common)}
    yield "the pattern of the file names", np.array([place.get(pattern, _CATEGORIES) for pattern in patterns])


def _levels(values: NDArray[Any]) -> NDArray[np.int64]:
    """Cuts numbers at their quantiles into at most `_LEVELS`; equal numbers stay together."""
    edges = np.unique(np.quantile(values, np.arange(1, _LEVELS) / _LEVELS, method="higher"))
    return np.searchsorted(edges, values, "right").astype(np.int64)


def name_patterns(paths: Sequence[str], labels: Sequence[str]) -> list[str]:
    """What names look like, without what is made of the label: digits are 0, words are a, and others are x.

    >>> name_patterns(["cat/IMG_0012.JPG", "cat/cat (3).jpg", "dog/hot dog_4.png", "dog/a8f3.png"], ["cat", "hot dog"])
    ['img_0.jpg', 'a (0).jpg', 'a_0.png', 'x.png']
    """
    # Digits and signs are in names for other reasons than the label.
    spoken = {label.lower() for label in labels if any(map(str.isalpha, label))}
    longest = sorted(spoken, key=len, reverse=True)
    named = re.compile("|".join(re.sub(r"[\W_]+", r"[\\W_]*", re.escape(label)) for label in longest) or r"(?!)")

    def shape(word: re.Match[str]) -> str:
        text = word[0]
        return text if text in _PREFIXES else "0" if text.isdigit() else "a" if text.isalpha() else "x"

    names = (posixpath.splitext(posixpath.basename(path).lower()) for path in paths)
    return [_WORD.sub(shape, named.sub("a", stem)) + ending for stem, ending in names]
