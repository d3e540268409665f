"""One example from its files: read, put together, compared with what the data set holds."""

from __future__ import annotations

import collections
import datetime
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from components.data import looks
from components.data.arrays import composite, moments, reading, validity
from components.data.arrays.reading import Frames
from components.data.arrays.spec import Bands
from components.data.arrays.stored import Array
from components.data.formats.bad_image import BadImage
from components.data.images import Checked, described
from components.data.storage.bundles import Part

# A date in a file's name, with a time of day or without: 2015-07-11T100008, 20150711, 2015_07.
_DAY_OF = r"((?:19|20)\d\d)([-_.]?)(0[1-9]|1[0-2])(?:\2(0[1-9]|[12]\d|3[01])"
_DATE = re.compile(rf"(?<!\d){_DAY_OF}(?:[T_ -]?(\d\d):?(\d\d):?(\d\d))?)?(?!\d)")
_EPOCH = datetime.datetime(1970, 1, 1)
_DAY = 86_400.0


@dataclass(frozen=True)
class Expected:
    """What all examples of a data set have in common.

    Attributes:
        bands: what they hold.
        dtype: name of the type of the values.
        height, width: in pixels, those of tiles where scenes are cut into such.
        calendar: the dates of the moments of all sequences whose moments are files of their own, if they fit into
            `bands.frames`; else ().
    """

    bands: Bands
    dtype: str
    height: int
    width: int
    calendar: tuple[float, ...] = ()


def assemble(files: Sequence[Part], bands: Bands, max_pixels: int) -> tuple[Array, tuple[str, ...]]:
    """Reads the files of an example, one that holds all moments or one for each of them.

    Args:
        files: in the order of the moments, which counts if not all of them have a time or a date in their names.
        bands: what they should hold.
        max_pixels: see `reading.read`.

    Returns:
        the example, and remarks on its files.

    Raises:
        BadImage: a file cannot be read, or they do not fit together.
    """
    if not files:
        raise BadImage("no file of a moment")
    if len(files) > (bands.frames or 1):
        raise BadImage(f"{len(files)} moments are more than data.frames, {bands.frames or 1}")
    dates = [moment(file.name) if file.time is None else file.time for file in files]
    known = [date for date in dates if date is not None]
    if len(known) == len(files):
        order = [int(i) for i in np.argsort(known, kind="stable")]
        files, dates = [files[i] for i in order], [dates[i] for i in order]
    seen: dict[float, int] = {}
    for i, date in enumerate(dates):
        if date is not None and (other := seen.setdefault(date, i)) != i:
            raise BadImage(f"{files[other].name} and {files[i].name} have the same date")
    parts = [_named(file.name, file.content, bands, max_pixels, alone=len(files) == 1) for file in files]
    first = parts[0].pixels
    for (name, *_), part in zip(files, parts, strict=True):
        if part.pixels.shape[1:3] != first.shape[1:3]:
            raise BadImage(f"{name}: {_size(part)} pixels, but {files[0][0]} has {_size(parts[0])}")
        if part.pixels.dtype != first.dtype:
            raise BadImage(f"{name}: values of type {part.pixels.dtype.name}, but {files[0][0]} has {first.dtype.name}")
    valid = np.concatenate([validity.valid(part.pixels, bands, part.nodata) for part in parts])
    pixels = np.concatenate([part.pixels for part in parts])
    remarks = tuple(dict.fromkeys(remark for part in parts for remark in part.remarks))
    return Array(pixels, valid, times(dates, len(pixels))), remarks


def examined(files: Sequence[Part], expected: Expected, max_pixels: int) -> Checked:
    """Reads the files of an example for a record.

    Args:
        files: see `assemble`.
        expected: what all examples have in common.
        max_pixels: see `reading.read`.

    Raises:
        BadImage: it cannot be used.
    """
    array, remarks = prepared(files, expected, max_pixels)
    if expected.bands.tile is not None:
        raise BadImage("it could not be read when its tiles were planned, but can be now; run again")
    return checked(array, expected, remarks)


def prepared(files: Sequence[Part], expected: Expected, max_pixels: int) -> tuple[Array, tuple[str, ...]]:
    """Reads the files of an example, or of a scene that is still to be cut into tiles; see `examined`."""
    array, remarks = assemble(files, expected.bands, max_pixels)
    fits(array, expected)
    return placed(array, expected.calendar) if len(files) > 1 or expected.calendar else array, remarks


def checked(array: Array, expected: Expected, remarks: tuple[str, ...] = ()) -> Checked:
    """Makes of an array what a record needs.

    Raises:
        BadImage: no pixel is valid.
    """
    seen: NDArray[np.bool_] = np.any(array.valid, axis=0)
    if not seen.any():
        raise BadImage("no pixel is valid")
    shown = Image.fromarray(composite.picture(array, expected.bands.shown))
    found = Checked(
        array.encoded(),
        array.dtype,
        expected.width,
        expected.height,
        remarks=remarks,
        moments=moments.of(array.pixels, array.valid),
        unseen=None if seen.all() else ~seen,
    )
    # The picture is stretched for each example, so that its brightness and colours say nothing of the values.
    size = float(expected.width), float(expected.height), expected.width / expected.height
    found = described(found, shown)
    # Tiles of water or of one field look alike, and their scenes are no copies of each other.
    known = None if expected.bands.tile else found.perceptual
    properties = (*size, *[0.0] * (len(found.properties) - len(size)))
    return replace(found, properties=properties, look=looks.UNKNOWN, perceptual=known)


def _named(name: str, content: bytes, bands: Bands, max_pixels: int, *, alone: bool) -> Frames:
    """Reads a file; names it in the error if it is one of several."""
    try:
        found = reading.read(content, bands, max_pixels)
    except BadImage as error:
        raise error if alone else BadImage(f"{name}: {error}") from None
    if not alone and len(found.pixels) != 1:
        raise BadImage(f"{name}: {len(found.pixels)} moments; expected 1 in each file of a sequence")
    return found


def _size(part: Frames) -> str:
    return f"{part.pixels.shape[2]} x {part.pixels.shape[1]}"


def placed(array: Array, calendar: Sequence[float]) -> Array:
    """Puts each moment into its place in the calendar; what the sequence lacks is 0 and invalid.

    An array whose times are none of the calendar stays as it is.
    """
    where = [calendar.index(time) for time in array.times.tolist() if time in calendar]
    if len(where) < len(array.times):
        return array
    pixels = np.zeros((len(calendar), *array.pixels.shape[1:]), array.pixels.dtype)
    valid = np.zeros(pixels.shape[:-1], bool)
    pixels[where], valid[where] = array.pixels, array.valid
    return Array(pixels, valid, np.array(calendar))


def calendar(times: Iterable[float | None], frames: int | None) -> tuple[float, ...]:
    """The times of all files in order, if there are no more than `frames` different ones; else ()."""
    dates = {time for time in times if time is not None}
    return tuple(sorted(dates)) if len(dates) <= (frames or 1) else ()


def fits(array: Array, expected: Expected) -> None:
    """Compares an example with the others.

    Raises:
        BadImage: its type or its size is another one.
    """
    if array.dtype != expected.dtype:
        raise BadImage(f"values of type {array.dtype}; most files have {expected.dtype}")
    _, height, width, _ = array.pixels.shape
    if expected.bands.tile is None and (height, width) != (expected.height, expected.width):
        raise BadImage(f"{width} x {height} pixels; most files have {expected.width} x {expected.height}")


def expect(samples: Sequence[Array], bands: Bands) -> Expected:
    """What most of some examples have in common; of equally common ones, the first.

    Args:
        samples: the examples; with none, what does not matter, because no file can be read.
        bands: what they hold.
    """
    if not samples:
        return Expected(bands, "float32", *(bands.tile or (1, 1)))
    found = collections.Counter((one.dtype, *one.pixels.shape[1:3]) for one in samples)
    dtype, height, width = found.most_common(1)[0][0]
    height, width = bands.tile or (height, width)
    return Expected(bands, dtype, height, width)


def moment(name: str) -> float | None:
    """The date in a file's name, in days since 1970; None if there is none.

    >>> moment("a/2015-07-11T120000.tif"), moment("s2_19700103.npy"), moment("2017-01.npy"), moment("frame_12.npy")
    (16627.5, 2.0, 17167.0, None)
    """
    found = _DATE.search(name.rpartition("/")[2])
    if found is None:
        return None
    year, _, month, day, *clock = found.groups()
    hour, minute, second = (int(part or 0) for part in clock)
    try:
        when = datetime.datetime(int(year), int(month), int(day or 1), hour, minute, second)
    except ValueError:
        return None
    return (when - _EPOCH).total_seconds() / _DAY


def times(dates: Sequence[float | None], count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The times of `count` moments: those of their files, or their numbers if one is unknown, [count]."""
    if len(dates) == count and None not in dates:
        return np.array(dates, np.float64)
    return np.arange(count, dtype=np.float64)
