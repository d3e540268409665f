"""What array files say of themselves before any value is read. Files are untrusted."""

from __future__ import annotations

import io
import logging
import zipfile
from dataclasses import dataclass
from typing import Any

from components.data.arrays import reading
from components.data.formats.bad_image import BadImage

_METADATA = 42112  # tag of GDAL: XML, in which bands may be described
_MOST_XML = 100_000  # characters of it
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
    """Reads the header of a TIFF, `.npy` or `.npz` file.

    Raises:
        BadImage: it is of another format, broken, or holds values that arrays cannot have.
    """
    try:
        found = _head(data)
    except BadImage:
        raise
    except Exception as error:
        raise BadImage(f"cannot be read: {type(error).__name__}") from error
    if found.dtype not in reading.DTYPES:
        raise BadImage(f"values of type {found.dtype}; expected one of {', '.join(reading.DTYPES)}")
    if min(found.shape, default=0) < 1:
        raise BadImage("no pixel")
    return found


def _head(data: bytes) -> Head:
    if data.startswith(reading.TIFF):
        return _tiff(data)
    if data.startswith(reading.NPY):
        return _numpy(io.BytesIO(data))
    if data.startswith(reading.ZIP):
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(reading.only_array(archive)) as file:
            return _numpy(file)
    raise BadImage("no TIFF, .npy or .npz file")


def _numpy(file: Any) -> Head:
    shape, _, dtype = reading.numpy_header(file)
    return Head(tuple(shape), "", dtype.name)


def _tiff(data: bytes) -> Head:
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it would print what it finds odd
    with tifffile.TiffFile(io.BytesIO(data)) as file:
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
