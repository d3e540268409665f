"""Scans of JPEG files are counted as libjpeg reads them, also where a file hides them."""

import io

import pytest
from PIL import Image

from components.data.formats import scans
from components.data.formats.bad_image import BadImage

SIDE, HIDDEN = 2000, 6000


def progressive(**options: int) -> bytes:
    out = io.BytesIO()
    Image.new("L", (SIDE, SIDE), 99).save(out, "JPEG", progressive=True, **options)
    return out.getvalue()


def with_hidden(marker: bytes) -> bytes:
    """Scans in the pixels of another one, where a restart marker is expected, behind a marker without a segment."""
    data = progressive(restart_marker_rows=1)
    at = data.rindex(b"\xff\xda")
    scan = data[at : at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")]
    return data[:at] + scan + b"\0" + marker + b"\xff\xff" + scan * HIDDEN + b"\xff\xd9"


def test_the_scans_of_a_photo_are_counted() -> None:
    """libjpeg writes a grey progressive image in six scans: one of means, two and three of details and their bits."""
    assert scans.count(progressive(), 50) == scans.count(progressive(restart_marker_rows=1), 50) == 6


@pytest.mark.parametrize("marker", [b"\xff\x02", b"\xff\x01", b"\xff\xbf", b"\xff\x00"])
def test_scans_behind_a_marker_without_a_segment_are_counted(marker: bytes) -> None:
    """The last of the six scans begins here, too, and the hidden ones are behind it."""
    data = with_hidden(marker)
    assert scans.count(data, 10_000) == 6 + HIDDEN
    with pytest.raises(BadImage, match=r"a JPEG of 1,001 scans or more"):  # 4,000,000,000 / (2000 * 2000) = 1,000
        scans.check(data, SIDE * SIDE)


def test_what_looks_like_a_scan_in_a_segment_is_none() -> None:
    data = progressive()
    comment = b"\xff\xfe" + (2 + 2 * 5000).to_bytes(2, "big") + b"\xff\xda" * 5000
    assert scans.count(data[:2] + comment + data[2:], 50) == 6
    scans.check(data[:2] + comment + data[2:], SIDE * SIDE)
