"""Sentences on what the files hold that the stored images do not show: one for each kind, with a count and examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components.base.text import shown

# Bits that cameras and scanners deliver. If no value of a data set reaches 2^14, its files of 16 bits hold 14 or fewer:
# read as 16, they are nearly black.
_LIKELY = (8, 10, 12, 14)


def sentences(remarks: Mapping[str, tuple[int, Sequence[str]]], deep: int, highest: int) -> list[str]:
    """Turns the remarks of ingest into sentences.

    Args:
        remarks: remark -> (images, the first paths of them).
        deep: images of 16 bits of which it is not known how many are in use.
        highest: the highest of their values.

    >>> sentences({"several pages; only the first is used": (2, ["a.tif", "b.tif"])}, 0, 0)
    ['2 images with several pages; only the first is used: a.tif, b.tif']
    >>> print(*sentences({}, 40, 4080))
    40 images of 16 bits hold no value above 4,080 of 65,535, so they are nearly black; if the values have 12 \
bits, set data.bits: 12
    """
    found = [f"{_images(n)} with {remark}: {_few(paths, n)}" for remark, (n, paths) in sorted(remarks.items())]
    if deep and (bits := bits_in_use(highest)):
        verb, they = ("holds", "it is") if deep == 1 else ("hold", "they are")
        found.append(
            f"{_images(deep)} of 16 bits {verb} no value above {highest:,} of 65,535, so {they} nearly black; "
            f"if the values have {bits} bits, set data.bits: {bits}"
        )
    return found


def bits_in_use(highest: int) -> int | None:
    """The number of bits in use, if the values of a data set's images of 16 bits are at most `highest`; None for all.

    >>> bits_in_use(255), bits_in_use(4080), bits_in_use(16383), bits_in_use(16384)
    (8, 12, 14, None)
    """
    return next((bits for bits in _LIKELY if highest < 1 << bits), None)


def _images(count: int) -> str:
    return f"{count:,} image{'' if count == 1 else 's'}"


def _few(paths: Sequence[str], count: int) -> str:
    more = count - len(paths)
    return ", ".join(map(shown, paths)) + (f", and {more:,} more" if more > 0 else "")
