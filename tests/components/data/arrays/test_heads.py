"""Headers of array files, which are untrusted."""

import io
import zipfile
from typing import Any

import numpy as np
import pytest
import tifffile

from components.data.arrays import heads, reading
from components.data.arrays.heads import Head
from components.data.arrays.spec import Bands
from components.data.images import BadImage


def npy(array: np.ndarray[Any, Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def npz(**arrays: np.ndarray[Any, Any]) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def tiff(array: np.ndarray[Any, Any], **options: Any) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, array, **options)
    return out.getvalue()


def test_numpy_says_shape_and_type() -> None:
    array = np.zeros((4, 5, 2), np.float32)
    assert heads.head(npy(array)) == heads.head(npz(x=array)) == Head((4, 5, 2), "", "float32")


def test_the_values_are_not_needed() -> None:
    """Of 8 TB, the header alone is there."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)})
    assert heads.head(header.getvalue()).shape == (10**6, 10**6)


def test_a_tiff_says_axes_and_tags() -> None:
    pages = tiff(np.zeros((6, 4, 5), np.uint16), photometric="minisblack")
    side_by_side = np.zeros((4, 5, 2), np.int16)
    marked = tiff(side_by_side, photometric="minisblack", planarconfig="contig", extratags=[(42113, 2, 0, "-1", True)])
    moments = tiff(np.zeros((3, 4, 5, 2), np.uint8), photometric="minisblack", planarconfig="contig")
    assert heads.head(pages) == Head((6, 4, 5), "?HW", "uint16")
    assert heads.head(marked) == Head((4, 5, 2), "HWB", "int16", marked=True)
    assert heads.head(moments) == Head((3, 4, 5, 2), "?HWB", "uint8")


def item(band: int, name: str) -> str:
    return f'<Item name="DESCRIPTION" sample="{band}" role="description">{name}</Item>'


@pytest.mark.parametrize(
    ("inside", "names"),
    [
        (item(0, "red") + item(1, " nir ") + '<Item name="x">y</Item>', ("red", "nir")),
        (item(1, "nir"), ()),
        (item(0, "red") + item(1, "red"), ()),
        (item(0, "red") + item(1, ""), ()),
        (item(0, "red") + item(1, "n" * 41), ()),
        (item(0, "red") + item(1, "n&#10;ir"), ()),
        (item(0, "red") + item(1, "nir") + "<", ()),
    ],
)
def test_bands_have_names_if_all_have_one(inside: str, names: tuple[str, ...]) -> None:
    assert heads.described_bands(f"<GDALMetadata>{inside}</GDALMetadata>\0", 2) == names


def test_entities_are_not_expanded() -> None:
    bomb = f'<!DOCTYPE x [<!ENTITY a "red">]><GDALMetadata>{item(0, "&a;")}</GDALMetadata>'
    assert heads.described_bands(bomb, 1) == ()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (npy(np.zeros((4, 5), np.int64)), "values of type int64; expected one of uint8"),
        (npy(np.array([print], object)), "values of type object"),
        (npy(np.zeros((4, 0, 2), np.uint8)), "no pixel"),
        (npz(x=np.zeros((4, 5)), y=np.zeros((4, 5))), "2 arrays in the file, x, y; expected one"),
        (b"\x93NUMPY\1\0", "cannot be read: "),
        (b"II*\0\xff\xff\xff\xff", "cannot be read: "),
        (b"\x89PNG\r\n\x1a\n", "a PNG file that is cut off in its header"),
        (b"", "no TIFF, .npy, .npz or PNG file"),
    ],
)
def test_other_files_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(BadImage, match=reason):
        heads.head(data)


def test_a_zip_file_that_is_no_array_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "x")
    with pytest.raises(BadImage, match="cannot be read"):
        heads.head(out.getvalue())


def circle() -> bytes:
    """A TIFF file whose second page is followed by its first."""
    out = io.BytesIO()
    tifffile.imwrite(out, np.zeros((2, 4, 5), np.uint16), photometric="minisblack")
    data = bytearray(out.getvalue())
    first = int.from_bytes(data[4:8], "little")
    second_at = first + 2 + 12 * int.from_bytes(data[first : first + 2], "little")
    second = int.from_bytes(data[second_at : second_at + 4], "little")
    last = second + 2 + 12 * int.from_bytes(data[second : second + 2], "little")
    assert data[last : last + 4] == bytes(4)
    data[last : last + 4] = first.to_bytes(4, "little")
    return bytes(data)


def test_pages_in_a_circle_and_headers_without_end_are_refused_at_once() -> None:
    with pytest.raises(BadImage, match="its pages form a circle"):
        heads.head(circle())
    with pytest.raises(BadImage, match="its pages form a circle"):
        reading.read(circle(), Bands(names=("a",), frames=2), 1000)
    long = b"\x93NUMPY\x02\x00" + (512 << 20).to_bytes(4, "little") + b" " * 100
    with pytest.raises(BadImage, match="a header of 536,870,912 bytes; expected 10,000 at most"):
        heads.head(long)
