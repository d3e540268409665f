"""Rules on single images: too dark, too bright, blurred, without information, grey, of odd size, mostly border.

What makes an image a finding is fixed (`components.data.looks`, and `_odd_sizes` here). The limits are shares of a
label's images: a few night scenes are no fault of the data, but a camera that fails makes a share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.base.text import number, truncated_list
from components.base.verdict import Verdict
from components.data import looks
from components.gates.data_rules import kept
from components.gates.data_rules.base import Finding, GateInput, bound
from components.gates.judge import CHANCE, judge
from components.gates.settings import DataGateLimits
from components.ingest.counts.census import Images

_ODD = "odd size"
# Kind -> (key of the limit, how sure a finding is, what is wrong). The certainty puts the list in order: of a nearly
# constant image nothing can be learnt, while an odd size may be meant. Chosen by hand; not measured.
_KINDS = {
    "uninformative": ("max_uninformative", 0.8, "nearly of one level, mean luma {brightness:.2f}"),
    "dark": ("max_dark", 0.7, "too dark, mean luma {brightness:.2f}"),
    "bright": ("max_bright", 0.7, "too bright, mean luma {brightness:.2f}"),
    "blurred": ("max_blurred", 0.7, "blurred: it has no sharp edge"),
    "border": ("max_border", 0.6, "{border:.0%} of it is border"),
    "grey": ("max_grey", 0.5, "grey, while most images have colours"),
    _ODD: ("max_odd_size", 0.4, "{width} x {height} pixels, unlike nearly all other images"),
}
_WORDS = {"border": "mostly border", _ODD: "of odd size"}  # in a sentence
_NAMED = 5  # files in a sentence
# An odd size or aspect ratio is beyond the nearer quartile by this factor, and by this many interquartile ranges of its
# logarithm (three: far out; Tukey, Exploratory Data Analysis, 1977). No photo of the sets in docs/data-gate.md is; the
# nearest to it has 2.9 times the usual aspect ratio.
_FACTOR, _RANGES = 3.0, 3.0


class _Share(NamedTuple):
    """Images of one label with one fault; `first` are the first of them, as many as a sentence names."""

    kind: str
    label: str | None
    faulty: int
    total: int
    chance: float
    first: list[int]


def faulty_images(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Bounds the share of each label's images that have a fault; of masks, the share of all images.

    Yields for each fault the labels that fail, or else the one with the largest share.
    """
    shares = [share for shares in _shares(data, limits) for share in shares]
    paths = iter(data.images.paths(i for share in shares for i in share.first))  # in one reading of the file
    for kind, label, faulty, total, chance, first in shares:
        setting = _KINDS[kind][0]
        rule = bound(
            metric=f"share of images that are {_WORDS.get(kind, kind)}",
            label=label,
            maximum=getattr(limits, setting),
            advice="Exclude or keep them (`imagegate check CONFIG -o issues.csv` writes the list), or raise "
            f"balance.{setting}",
        )
        named = truncated_list([next(paths) for _ in first], faulty)
        detail = f"{number(faulty)} of {number(total)} images, {named}" if faulty else ""
        yield judge(rule, faulty / total, chance=chance, detail=detail)


def _shares(data: GateInput, limits: DataGateLimits) -> Iterator[list[_Share]]:
    """For each fault, the labels whose share is beyond the limit and beyond chance; or else the largest share."""
    found, totals = _faulty(data, limits), data.carriers.count()
    tests = len(found) * sum(map(bool, totals))
    for kind, indices in found.items():
        limit = getattr(limits, _KINDS[kind][0])
        shares = []
        for group, (faulty, total) in enumerate(zip(data.carriers.count(indices), totals, strict=True)):
            if total:
                # Bonferroni: the p-value is multiplied by the number of labels and faults judged.
                chance = tests * _chance(faulty, total, limit) if faulty > limit * total else 1.0
                shares.append((group, _Share(kind, data.carriers.labels[group], faulty, total, chance, [])))
        shares.sort(key=lambda pair: -pair[1].faulty / pair[1].total)
        chosen = [pair for pair in shares if pair[1].chance < CHANCE] or shares[:1]
        yield [
            share._replace(first=indices[data.carriers.of(group)[indices]][:_NAMED].tolist()) for group, share in chosen
        ]


def findings(data: GateInput, limits: DataGateLimits) -> Iterator[Finding]:
    """Yields every image that has a fault, whether a limit is broken or not."""
    for kind, indices in _faulty(data, limits).items():
        yield from _described(data.images, kind, indices)


def notes(data: GateInput, limits: DataGateLimits) -> list[str]:
    """Sentences on faults that most images have, and that are therefore none."""
    if data.manifest.arrays is not None:
        return []
    return [
        f"{number(n)} of {number(len(data.images.rows))} images are {_WORDS.get(kind, kind)}: so most of this data set "
        "look, and none of them is a finding"
        for kind, n in _usual(data).items()
        if getattr(limits, _KINDS[kind][0]) is not None and kind != "grey"
    ]


def _faulty(data: GateInput, limits: DataGateLimits) -> dict[str, NDArray[np.int64]]:
    """Kind -> indices of the images with this fault, but for those that somebody decided to keep.

    Empty for arrays, whose pictures are stretched, and which all have one size.
    """
    rows = data.images.rows
    if data.manifest.arrays is not None or not len(rows):
        return {}
    flags = {kind: rows["faults"] & (1 << bit) > 0 for bit, kind in enumerate(looks.FAULTS)}
    flags[_ODD] = _odd_sizes(rows)
    for kind in _usual(data):
        flags[kind] = np.zeros(len(rows), bool)
    found = {
        kind: np.flatnonzero(flags[kind]) for kind, (key, *_) in _KINDS.items() if getattr(limits, key) is not None
    }
    if not limits.kept:
        return found
    return {kind: _undecided(data.images, kind, indices, limits) for kind, indices in found.items()}


def _usual(data: GateInput) -> dict[str, int]:
    """Fault -> images that have it, where these are most of each label: so this data set looks, and none is at fault.

    Ultrasound is dark and smooth, and digits are grey. But a label whose camera failed is not how the others look, and
    of images of one level nothing can be learnt. Grey is judged over all images, among which few are then coloured.
    """
    rows, totals, found = data.images.rows, data.carriers.count(), dict[str, int]()
    for bit, kind in enumerate(looks.FAULTS):
        faulty = np.flatnonzero(rows["faults"] & (1 << bit))
        if 2 * len(faulty) <= len(rows) or kind == "uninformative":
            continue
        shares = zip(data.carriers.count(faulty), totals, strict=True)
        if kind == "grey" or all(2 * some > total for some, total in shares if total):
            found[kind] = len(faulty)
    return found


def _undecided(images: Images, kind: str, indices: NDArray[np.int64], limits: DataGateLimits) -> NDArray[np.int64]:
    each = list(_described(images, kind, indices))
    left = set(kept.undecided(each, limits))
    return indices[np.array([finding in left for finding in each], bool)]


def _described(images: Images, kind: str, indices: NDArray[np.int64]) -> Iterator[Finding]:
    _, certainty, reason = _KINDS[kind]
    for path, row in zip(images.paths(indices.tolist()), images.rows[indices], strict=True):
        told = {"brightness": row["brightness"] / 255, "border": row["border"] / 255}
        text = reason.format(**told, width=row["width"], height=row["height"])
        yield Finding(path, text, kind, certainty)


def _odd_sizes(rows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Which images have another size, or another aspect ratio, than nearly all images, [n]."""
    width, height = (np.log(np.maximum(1, rows[name].astype(np.float32))) for name in ("width", "height"))
    odd = np.zeros(len(rows), bool)
    for value in ((width + height) / 2, width - height):
        low, high = np.quantile(value, (0.25, 0.75))
        far = max(_RANGES * (high - low), np.log(_FACTOR))
        odd |= (value < low - far) | (value > high + far)
    return odd


def _chance(faulty: int, total: int, limit: float) -> float:
    """The probability of at least so many faulty images of `total`, if the limit is their share in truth.

    >>> round(_chance(2, 2, 0.2), 4), round(_chance(1, 2, 0.2), 4)
    (0.04, 0.36)
    """
    from scipy import special

    return float(special.bdtrc(faulty - 1, total, limit)) if limit < 1 else 1.0
