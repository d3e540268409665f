"""Reading of array files: TIFF, NumPy's `.npy` and `.npz`, and PNG. Files are untrusted.

The size is read from the header, before any value is; nothing in a file is ever executed.
"""

from __future__ import annotations

import io
import logging
import math
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from components.data.arrays.spec import Bands
from components.data.formats.bad_image import BadImage

# Those whose values float32, in which networks compute, can stand for.
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64")
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
NPY, ZIP, PNG = b"\x93NUMPY", b"PK\3\4", b"\x89PNG\r\n\x1a\n"
PER_PIXEL = 4  # values that each of `data.max_pixels` may have, as a photo with transparency has
_OFFSETS = 8  # bytes before the first offset that are looked at
_MOST_PAGES = 65_536  # of a TIFF file
_MOST_HEADER = 10_000  # bytes of the header of an array
NODATA, _GEO = 42113, 34735  # tags of GDAL and GeoTIFF
_SAMPLES = "SC"  # tifffile's letters for bands: samples of a pixel, channels
_GREY = (0, 4)  # colour types of PNG without palette and colours: grey, and grey with transparency
_PALETTE = 3
_ORDER = "THWB"


@dataclass(frozen=True, slots=True)
class Frames:
    """What a file holds.

    Attributes:
        pixels: [T, H, W, B], little-endian, in C order, with the very values of the file.
        nodata: the value by which the file marks pixels without information, or None.
        remarks: what of the file is not in the pixels; to be counted and told.
    """

    pixels: NDArray[Any]
    nodata: float | None = None
    remarks: tuple[str, ...] = ()


def read(data: bytes, bands: Bands, max_pixels: int) -> Frames:
    """Reads a file.

    Args:
        data: its content.
        bands: what it should hold.
        max_pixels: a file with more than 4 times as many values is refused.

    Raises:
        BadImage: it is of another format, broken, too large, or holds other axes or bands than `bands` says.
    """
    if not data:
        raise BadImage("empty file")
    try:
        return _read(data, bands, max_pixels)
    except BadImage:
        raise
    except MemoryError:
        raise BadImage("reading it needs more memory than there is") from None
    except Exception as error:
        raise BadImage(
            f"cannot be read: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from error


def _read(data: bytes, bands: Bands, max_pixels: int) -> Frames:
    most = PER_PIXEL * max_pixels
    nodata, remarks, letters = None, list[str](), ""
    if data.startswith(TIFF):
        found, letters, nodata = _tiff(data, most, remarks)
    elif data.startswith(NPY):
        found = _array(io.BytesIO(data), len(data), most)
    elif data.startswith(ZIP):
        found = _archive(data, most)
    elif data.startswith(PNG):
        found, letters = _png(data, most)
    else:
        raise BadImage("no TIFF, .npy, .npz or PNG file")
    if found.dtype.name not in DTYPES:
        raise BadImage(f"values of type {found.dtype.name}; expected one of {', '.join(DTYPES)}")
    pixels = _ordered(found, letters, bands)
    if nodata is not None and not _representable(nodata, pixels.dtype):
        remarks.append(
            f"the value {nodata:g} for pixels without information, which {pixels.dtype.name} cannot hold; all its "
            "pixels are valid"
        )
        nodata = None
    return Frames(
        np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)), nodata, tuple(remarks)
    )


def _ordered(found: NDArray[Any], letters: str, bands: Bands) -> NDArray[Any]:
    """Turns an array with axes in any order into [T, H, W, B].

    Args:
        found: the array.
        letters: what the file says of its axes: "H", "W", "B", and "?" for others; "": nothing.
        bands: what it should hold.
    """
    several = len(bands.names) > 1
    axes = bands.axes or usual_axes(found.shape, letters, several=several, moments=bands.frames is not None)
    if len(axes) != found.ndim:
        expected = f"the axes {bands.axes} of data.axes" if bands.axes else _expected(bands)
        raise BadImage(f"shape {_text(found.shape)}; expected {expected}")
    whole = found
    for missing in (letter for letter in _ORDER if letter not in axes):
        whole, axes = whole[..., np.newaxis], axes + missing
    pixels = whole.transpose([axes.index(letter) for letter in _ORDER])
    moments, height, width, held = pixels.shape
    if held != len(bands.names):
        raise BadImage(f"{held} band{'s' * (held != 1)}; expected {len(bands.names)}: {', '.join(bands.names)}")
    if moments > (bands.frames or 1):
        limit = (
            f"data.frames, {bands.frames}" if bands.frames else "1; data.frames says how many a sequence has at most"
        )
        raise BadImage(f"{moments} moments are more than {limit}")
    if not moments or not height or not width:
        raise BadImage(f"shape {_text(found.shape)}: no pixel")
    return pixels


def usual_axes(shape: Sequence[int], letters: str, *, several: bool, moments: bool) -> str:
    """The axes of an array of which the configuration does not say them; of another length if they are unknown.

    Args:
        shape: of the array.
        letters: what the file says, see `_ordered`.
        several: whether there are several bands.
        moments: whether there are moments, `data.frames`.

    >>> usual_axes((6, 30, 30), "?HW", several=True, moments=False)
    'BHW'
    >>> usual_axes((6, 30, 30), "", several=False, moments=True)
    'THW'
    """
    if letters:
        unknown = letters.count("?")
        if unknown and "B" not in letters and several:  # bands one after the other, as pages or planes
            letters, unknown = letters[: letters.rindex("?")] + "B" + letters[letters.rindex("?") + 1 :], unknown - 1
        return letters.replace("?", "T") if unknown <= 1 else ""
    if len(shape) == 3 and not several and moments:
        return "THW"
    return {2: "HW", 3: "HWB", 4: "THWB"}.get(len(shape), "")


def _expected(bands: Bands) -> str:
    moments = "moments, " if bands.frames else ""
    return f"{moments}height, width, {len(bands.names)} bands; or say the order in data.axes"


def _tiff(data: bytes, most: int, remarks: list[str]) -> tuple[NDArray[Any], str, float | None]:
    """Reads the first series of a TIFF file; returns its axes and the value without information, too."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it would print what it finds odd
    check_pages(io.BytesIO(data))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        first, *others = main_series(file)
        _bounded(first.shape, most)
        if others:
            remarks.append("several images of different sizes in a TIFF; only the first is used")
        tags = first.keyframe.tags
        if _GEO in tags:
            remarks.append("a GeoTIFF; where it lies is not used")
        text = str(tags[NODATA].value).strip("\0 ") if NODATA in tags else ""
        found = first.asarray()
        shape, letters = axes_of(first)
    try:
        nodata = float(text) if text else None
    except ValueError:
        remarks.append(f"the value {text[:20]!a} for pixels without information, which is no number; it is not used")
        nodata = None
    return found.reshape(shape), letters, nodata


def check_pages(file: IO[bytes]) -> None:
    """Follows the pages of a TIFF file, which tifffile does without end where they form a circle.

    Raises:
        BadImage: they do, or there are too many.
    """
    begin = file.read(_OFFSETS)
    order = "<" if begin.startswith(b"II") else ">"
    large = begin[2:4] in (b"+\0", b"\0+")  # BigTIFF
    counts, offsets, entry = ("Q", "Q", 20) if large else ("H", "I", 12)
    seen: set[int] = set()

    def number(kind: str, at: int) -> int:
        file.seek(at)
        size = struct.calcsize(kind)
        found = file.read(size)
        return int(struct.unpack(order + kind, found)[0]) if len(found) == size else 0

    at = number(offsets, 8 if large else 4)
    while at:
        if at in seen or len(seen) >= _MOST_PAGES:
            raise BadImage(f"its pages form a circle, or are more than {_MOST_PAGES:,}")
        seen.add(at)
        at = number(offsets, at + struct.calcsize(counts) + entry * number(counts, at))
    file.seek(0)


def main_series(file: Any) -> list[Any]:
    """The series of a `TiffFile` without smaller copies and masks of another one; all, if nothing else is there."""
    return [one for one in file.series if not (one.keyframe.is_reduced or one.keyframe.is_mask)] or list(file.series)


def axes_of(series: Any) -> tuple[tuple[int, ...], str]:
    """The shape of a series without axes of length one, and a letter for each axis, see `_ordered`."""
    shape, axes = series.shape, str(series.axes)
    kept = [i for i, size in enumerate(shape) if size > 1 or axes[i] in "YX"]
    letters = "".join({"Y": "H", "X": "W"}.get(axes[i], "B" if axes[i] in _SAMPLES else "?") for i in kept)
    return tuple(int(shape[i]) for i in kept), letters


def _array(file: Any, size: int, most: int) -> NDArray[Any]:
    """Reads NumPy's format from a file of so many bytes."""
    shape, fortran, dtype = numpy_header(file)
    _bounded(shape, most)
    wanted = math.prod(shape) * dtype.itemsize
    content = file.read(wanted)
    if len(content) < wanted:
        raise BadImage(f"truncated: {len(content):,} of {wanted:,} bytes of values")
    flat = np.frombuffer(content, dtype)
    return flat.reshape(shape[::-1]).transpose() if fortran else flat.reshape(shape)


def numpy_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Reads shape, order and type of an array in NumPy's format; `file` then stands at its values.

    Raises:
        BadImage: the values are no plain numbers.
    """
    first = np.lib.format.read_magic(file) == (1, 0)
    header, kind = (np.lib.format.read_array_header_1_0, "<H") if first else (np.lib.format.read_array_header_2_0, "<I")
    length = file.read(struct.calcsize(kind))
    size = struct.unpack(kind, length)[0]
    if size > _MOST_HEADER:  # NumPy would read it first
        raise BadImage(f"a header of {size:,} bytes; expected {_MOST_HEADER:,} at most")
    shape, fortran, dtype = header(io.BytesIO(length + file.read(size)), max_header_size=_MOST_HEADER)
    if dtype.name not in DTYPES:  # also texts and raw bytes, of which one value may be gigabytes
        raise BadImage(f"values of type {dtype}; expected one of {', '.join(DTYPES)}")
    return shape, fortran, dtype


def _archive(data: bytes, most: int) -> NDArray[Any]:
    """Reads the one array of a `.npz` file."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        name = only_array(archive)
        with archive.open(name) as file:
            return _array(file, archive.getinfo(name).file_size, most)


def only_array(archive: zipfile.ZipFile) -> str:
    """The name of the one array in a `.npz` file.

    Raises:
        BadImage: there is none, or several.
    """
    names = archive.namelist()
    if len(names) != 1:
        listed = ", ".join(name.removesuffix(".npy") for name in names[:5])
        raise BadImage(f"{len(names)} arrays in the file, {listed}; expected one" if names else "no array in the file")
    return names[0]


def _png(data: bytes, most: int) -> tuple[NDArray[Any], str]:
    import imagecodecs

    width, height, _, colour = struct.unpack(">IIBB", data[16:26])
    _bounded((height, width), most)
    if colour == _PALETTE:
        raise BadImage("a PNG with a palette, whose values are no measurements")
    found = imagecodecs.png_decode(data)
    return found, "HWB"[: found.ndim]


def _bounded(shape: Sequence[int], most: int) -> None:
    if min(shape, default=1) < 1:
        raise BadImage(f"shape {_text(shape)}: no pixel")
    if math.prod(shape) > most:
        raise BadImage(f"{math.prod(shape):,} values are more than 4 times data.max_pixels ({most // PER_PIXEL:,})")


def _representable(value: float, dtype: np.dtype[Any]) -> bool:
    if dtype.kind == "f":
        return True
    limits = np.iinfo(dtype)
    return value == math.floor(value) and limits.min <= value <= limits.max if math.isfinite(value) else False


def _text(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
