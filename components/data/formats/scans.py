"""Scans of JPEG files (ITU-T T.81): passes over the image, of which a photo has ten and a hostile file any number."""

from __future__ import annotations

import re

from components.data.formats.bad_image import BadImage

_FEW = 50  # that any image may have
_MOST_PIXELS = 4_000_000_000  # of all scans; a scan takes about 1.3 ns for each pixel, however few bytes it has
# Markers of segments, which state a length. Behind others there is none: a decoder that looks for its restart marker
# passes over FF 02 to FF BF and reads on behind these two bytes.
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
_START_OF_SCAN, _END = 0xDA, 0xD9


def check(data: bytes, pixels: int) -> None:
    """Refuses a JPEG whose scans take far longer to decode than its size lets one expect.

    Args:
        data: the file.
        pixels: width times height.

    Raises:
        BadImage: it has too many scans.
    """
    most = max(_FEW, _MOST_PIXELS // max(1, pixels))
    # What looks like a scan may be in metadata, or in a film behind the image.
    if data.count(b"\xff\xda") > most and (found := count(data, most)) > most:
        raise BadImage(f"a JPEG of {found:,} scans or more, which would take very long to decode; save it again")


def count(data: bytes, most: int) -> int:
    """The number of scans; stops where there are more than `most`.

    >>> count(b"\\xff\\xd8\\xff\\xda\\0\\2pixels\\xff\\xda\\0\\2pixels\\xff\\xd9", 9)
    2
    """
    found, at = 0, 2
    while found <= most and (marker := _MARKER.search(data, at)) is not None:
        kind, at = data[marker.end() - 1], marker.end()
        if kind == _END:
            break
        found += kind == _START_OF_SCAN
        at += int.from_bytes(data[at : at + 2], "big")
    return found
