"""Bands, moments and the order of the axes, concluded from the headers of some files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from components.data.arrays import reading
from components.data.arrays.heads import Head
from components.data.arrays.spec import MOST_BANDS

_MOST = 0.9  # of the files: a few of another size or with other bands, which go to quarantine, say nothing

Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Form:
    """What arrays hold.

    Attributes:
        bands: how many, or their names.
        moments: the most in one file.
        axes: value of `data.axes`; "" for the usual order.
        why: why the axes are in this order, as a comment; "" for the usual order.
        doubt: what is not certain, as a sentence; or "".
    """

    bands: int | tuple[str, ...]
    moments: int
    axes: str = ""
    why: str = ""
    doubt: str = ""


@dataclass(frozen=True)
class _Order:
    """One way to read the axes, and what the files then hold.

    Attributes:
        axes: value of `data.axes`.
        share: of the files that have the most frequent size and number of bands.
        size, bands: these.
        moments: the most in one file.
    """

    axes: str
    share: float
    size: Size
    bands: int
    moments: int


def conclude(heads: Sequence[Head], masks: Collection[Size]) -> Form | None:
    """Concludes what the files hold; None if they fit no order of the axes.

    The usual order is kept unless another one is certain: the only one that gives the height and width of the masks,
    or without masks, the only one that gives squares, from an axis at the front that is much shorter than their sides.

    Args:
        heads: of some files.
        masks: heights and widths of some masks.
    """
    found = list(_orders(heads))
    most = max((order.share for order in found), default=0)
    found = [order for order in found if order.share >= _MOST * most]
    if not found:
        return None
    usual = found[0]
    fitting = [order for order in found if order.size in masks]
    if fitting:
        chosen = fitting[0]
        why = f"the masks have {_text(chosen.size)} pixels"
    else:
        chosen = next((order for order in found if _is_clear(order, usual)), usual)
        height, width = chosen.size
        equal = f"height and width are then equal, {_text(chosen.size)} pixels"
        why = equal if height == width else f"the last axis is too long for bands, which are {MOST_BANDS:,} at most"
    names = Counter(head.names for head in heads).most_common(1)[0][0]
    return Form(
        names if len(names) == chosen.bands and names else chosen.bands,
        chosen.moments,
        chosen.axes,
        why if chosen.axes else "",
        _doubt(chosen, found, masks, Counter(heads).most_common(1)[0][0]),
    )


# Ways to read the axes, the usual ones first: `data.axes`, whether there are several bands, and whether three axes of
# one band are [T, H, W] rather than [H, W, 1].
_WAYS = (
    ("", True, False),
    ("", False, False),
    *((axes, True, False) for axes in ("BHW", "TBHW", "HWB", "THWB")),
    *((axes, False, False) for axes in ("BHW", "TBHW")),
    ("", False, True),
)


def _orders(heads: Sequence[Head]) -> Iterator[_Order]:
    """Yields the ways to read the axes by which there are as many bands as the way says."""
    for axes, several, moments in _WAYS:
        shapes = [shape for head in heads if (shape := _shape(head, axes, several=several, moments=moments))]
        if not shapes:
            continue
        (height, width, bands), count = Counter(shape[1:] for shape in shapes).most_common(1)[0]
        if (bands > 1) == several and bands <= MOST_BANDS:
            yield _Order(axes, count / len(heads), (height, width), bands, max(shape[0] for shape in shapes))


def _shape(head: Head, axes: str, *, several: bool, moments: bool) -> tuple[int, int, int, int] | None:
    """The moments, height, width and bands of a file; None if it has another number of axes."""
    order = axes or reading.usual_axes(head.shape, head.letters, several=several, moments=moments)
    if len(order) != len(head.shape):
        return None
    size = dict(zip(order, head.shape, strict=True))
    return size.get("T", 1), size["H"], size["W"], size.get("B", 1)


def _is_clear(order: _Order, usual: _Order) -> bool:
    """Whether an order, other than the usual one, gives squares of which the bands' axis is clearly no side."""
    height, width = order.size
    front = order.axes in ("BHW", "TBHW")
    return front and height == width and usual.size[0] != usual.size[1] and 2 * order.bands <= height


def _doubt(chosen: _Order, found: Sequence[_Order], masks: Collection[Size], head: Head) -> str:
    """What is not certain of the order that was chosen; `head` is that of most files."""
    shape = f"the arrays, {' x '.join(map(str, head.shape))}"
    if masks and chosen.size not in masks:
        sizes = ", ".join(map(_text, sorted(masks)))
        return f"no order of the axes of {shape}, gives height and width of the masks, {sizes}; the usual one is taken"
    if chosen.axes == "BHW" and chosen.bands > 1:
        return (
            f"the first axis of {shape}, is taken for the bands; if it is moments of one band, set data.bands: 1 and "
            f"data.frames: {chosen.bands}, and remove data.axes"
        )
    if chosen.axes or chosen.bands == 1 or "B" in head.letters:
        return ""
    # Of as many bands as a side has pixels, or more, any axis may be the bands.
    alike = any(order.axes[-2:] == "HW" and order.size == chosen.size for order in found)
    if alike if masks else chosen.bands >= min(chosen.size):
        return (
            f"the order of the axes of {shape}, cannot be told from their lengths; the usual one is taken, "
            f"{_text(chosen.size)} pixels with {chosen.bands} bands; data.axes says another"
        )
    if head.letters and chosen.moments == 1:
        return (
            f"the {chosen.bands} pages of each TIFF file are taken for its bands; if they are moments of one band, set "
            f"data.bands: 1 and data.frames: {chosen.bands}"
        )
    return ""


def _text(size: Size) -> str:
    return f"{size[0]} x {size[1]}"
