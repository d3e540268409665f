"""What array files say of themselves before any value is read. Files are untrusted."""

from __future__ import annotations

import io
import logging
import struct
import zipfile
from dataclasses import dataclass
from typing import IO, Any

from components.data.arrays import reading
from components.data.arrays.spec import Bands
from components.data.formats.bad_image import BadImage

_METADATA = 42112  # tag of GDAL: XML, in which bands may be described
_MOST_XML = 100_000  # characters of it
_BEGIN = 26  # bytes of a file by which its format is known, and the size of a PNG
_MOST_NAME = 40  # characters of the name of a band


@dataclass(frozen=True, slots=True)
class Head:
    """The header of a file.

    Attributes:
        shape: of the array; of a TIFF without axes of length one, besides height and width.
        letters: what a TIFF says of these axes: "H", "W", "B", and "?" for pages and the like. "": NumPy's files say
            nothing.
        dtype: name of the type of the values, one of `reading.DTYPES`.
        marked: whether a TIFF says which value marks pixels without information.
        names: of the bands, where a TIFF describes all of them; else ().
    """

    shape: tuple[int, ...]
    letters: str
    dtype: str
    marked: bool = False
    names: tuple[str, ...] = ()


def head(data: bytes) -> Head:
    """Reads the header in the content of a file; see `head_of`."""
    return head_of(io.BytesIO(data))


def head_of(file: IO[bytes]) -> Head:
    """Reads the header of a TIFF, `.npy`, `.npz` or PNG file.

    Raises:
        BadImage: it is of another format, broken, or holds values that arrays cannot have.
    """
    try:
        found = _head(file)
    except BadImage:
        raise
    except Exception as error:
        raise BadImage(f"cannot be read: {type(error).__name__}") from error
    if found.dtype not in reading.DTYPES:
        raise BadImage(f"values of type {found.dtype}; expected one of {', '.join(reading.DTYPES)}")
    if min(found.shape, default=0) < 1:
        raise BadImage("no pixel")
    return found


def size(found: Head, bands: Bands) -> tuple[int, int]:
    """The height and width of an array.

    Raises:
        BadImage: its axes are not those of `bands`.
    """
    several, moments = len(bands.names) > 1, bands.frames is not None
    axes = bands.axes or reading.usual_axes(found.shape, found.letters, several=several, moments=moments)
    if len(axes) != len(found.shape) or not {"H", "W"} <= set(axes):
        raise BadImage(f"shape {' x '.join(map(str, found.shape))}; expected other axes")
    return found.shape[axes.index("H")], found.shape[axes.index("W")]


def _head(file: IO[bytes]) -> Head:
    begin = file.read(_BEGIN)
    file.seek(0)
    if begin.startswith(reading.TIFF):
        return _tiff(file)
    if begin.startswith(reading.NPY):
        return _numpy(file)
    if begin.startswith(reading.ZIP):
        with zipfile.ZipFile(file) as archive, archive.open(reading.only_array(archive)) as inner:
            return _numpy(inner)
    if begin.startswith(reading.PNG):
        return _png(begin)
    raise BadImage("no TIFF, .npy, .npz or PNG file")


def _png(begin: bytes) -> Head:
    if len(begin) < _BEGIN:
        raise BadImage("a PNG file that is cut off in its header")
    width, height, depth, colours = struct.unpack(">IIBB", begin[16:26])
    bands = {2: 3, 4: 2, 6: 4}.get(colours, 1)
    dtype = "uint16" if depth == 16 else "uint8"
    return Head((height, width) if bands == 1 else (height, width, bands), "HWB"[: 2 + (bands > 1)], dtype)


def _numpy(file: Any) -> Head:
    shape, _, dtype = reading.numpy_header(file)
    return Head(tuple(shape), "", dtype.name)


def _tiff(file_: IO[bytes]) -> Head:
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it would print what it finds odd
    reading.check_pages(file_)
    with tifffile.TiffFile(file_) as file:
        first = reading.main_series(file)[0]
        shape, letters = reading.axes_of(first)
        tags = first.keyframe.tags
        bands = shape[letters.index("B")] if "B" in letters else 1
        names = described_bands(str(tags[_METADATA].value), bands) if _METADATA in tags else ()
        return Head(shape, letters, first.dtype.name, reading.NODATA in tags, names)


def described_bands(xml: str, bands: int) -> tuple[str, ...]:
    """The names of the bands in GDAL's metadata, if all have one of their own of short printable text; else ().

    >>> item = '<Item name="DESCRIPTION" sample="{}" role="description">{}</Item>'
    >>> described_bands(f"<GDALMetadata>{item.format(1, 'nir')}{item.format(0, 'red')}</GDALMetadata>", 2)
    ('red', 'nir')
    """
    from defusedxml import ElementTree

    if len(xml) > _MOST_XML:
        return ()
    try:
        items = ElementTree.fromstring(xml.strip("\0 \n")).iter("Item")
    except (ElementTree.ParseError, ValueError):  # defusedxml's errors are ValueErrors
        return ()
    found = {item.get("sample"): (item.text or "").strip() for item in items if item.get("role") == "description"}
    names = tuple(found.get(str(band), "") for band in range(bands))
    usable = all(0 < len(name) <= _MOST_NAME and name.isprintable() for name in names)
    return names if usable and len(set(names)) == bands else ()
