"""The form of an array in a record, which says itself what it holds, and how it becomes one again.

One zlib stream of: the four letters IGA1; the number of the type in `reading.DTYPES`, T, H, W and B, 32 bits each; the
times, 64-bit floats; a byte for each pixel and moment, 1 where it is valid; the values. All little-endian.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.data.arrays.reading import DTYPES
from components.data.formats.bad_image import BadImage

if TYPE_CHECKING:
    import tensorflow as tf

_LEVEL = 1  # of zlib: measurements have noise that no level compresses; higher ones only cost time
_MAGIC, _HEADER = b"IGA1", struct.Struct("<4s5i")
_BEGIN = b"\x78\x01"  # of a zlib stream of this level, and of no photo
_TIME = 8  # bytes
MOST_BYTES = 1 << 31  # of an array that is sent to a model: no string of TensorFlow is larger


@dataclass(frozen=True, slots=True)
class Array:
    """One example.

    Attributes:
        pixels: [T, H, W, B], little-endian.
        valid: bool [T, H, W].
        times: float64 [T], days since 1970, or the number of the moment where no time is known.
    """

    pixels: NDArray[Any]
    valid: NDArray[np.bool_]
    times: NDArray[np.float64]

    @property
    def dtype(self) -> str:
        """Name of the type of the values."""
        return str(self.pixels.dtype.name)

    def encoded(self) -> bytes:
        """The form in a record; the same array gives the same bytes."""
        parts = zlib.compressobj(_LEVEL)
        head = _HEADER.pack(_MAGIC, DTYPES.index(self.dtype), *self.pixels.shape)
        found = [parts.compress(head + self.times.astype("<f8").tobytes())]
        found.append(parts.compress(np.ascontiguousarray(self.valid).view(np.uint8).data))
        found.append(parts.compress(np.ascontiguousarray(self.pixels).data))
        return b"".join([*found, parts.flush()])


def is_stored(encoded: bytes) -> bool:
    """Whether these are the bytes of an array in a record, and not those of a photo."""
    return encoded.startswith(_BEGIN)


def restored(encoded: bytes) -> Array:
    """The array that was `encoded`.

    Raises:
        BadImage: it is none.
    """
    try:
        unpacker = zlib.decompressobj()
        head = unpacker.decompress(encoded, _HEADER.size)
        magic, number, *shape = _HEADER.unpack(head)
        kind = np.dtype(DTYPES[number]).newbyteorder("<")
        moments, height, width, bands = shape
        pixels = moments * height * width
        size = moments * _TIME + pixels * (1 + bands * kind.itemsize)
        if magic != _MAGIC or min(shape) < 1 or size > MOST_BYTES:
            raise ValueError("its header is wrong")
        rest = unpacker.decompress(unpacker.unconsumed_tail, size)
        if len(rest) != size:
            raise ValueError(f"truncated: {len(rest):,} of {size:,} bytes")
    except (ValueError, IndexError, zlib.error, struct.error) as error:
        raise BadImage(f"no stored array: {error}") from None
    times, valid = np.frombuffer(rest, "<f8", moments), np.frombuffer(rest, np.bool_, pixels, moments * _TIME)
    values = np.frombuffer(rest, kind, pixels * bands, moments * _TIME + pixels)
    return Array(values.reshape(shape), valid.reshape(shape[:-1]), times)


def stacked(arrays: Sequence[Array], frames: int | None) -> dict[str, NDArray[Any]]:
    """What a served model takes of some arrays of one size.

    Args:
        arrays: one at least.
        frames: moments, T; those that an array lacks follow the others and are invalid. None: single images.

    Returns:
        "pixels" float32 [n, T, H, W, B], "valid" bool [n, T, H, W] and "days" float32 [n, T], since the first moment;
        without T and days for single images.
    """
    most = frames or 1

    def padded(values: NDArray[Any]) -> NDArray[Any]:
        return np.pad(values, [(0, most - len(values)), *[(0, 0)] * (values.ndim - 1)])

    pixels = np.stack([padded(one.pixels.astype(np.float32)) for one in arrays])
    valid = np.stack([padded(one.valid) for one in arrays])
    if frames is None:
        return {"pixels": pixels[:, 0], "valid": valid[:, 0]}
    days = np.stack([padded((one.times - one.times[0]).astype(np.float32)) for one in arrays])
    return {"pixels": pixels, "valid": valid, "days": days}


def decode(encoded: tf.Tensor, dtype: str, size: tuple[int, int, int, int]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Decodes the form in a record; TensorFlow graph code.

    Args:
        encoded: scalar string.
        dtype: name of the type of the values.
        size: T, H, W and B; of T moments at most. Those that are missing follow the others and are invalid.

    Returns:
        pixels of that type [T, H, W, B], 0 where a moment is missing; valid bool [T, H, W]; days float32 [T], since the
        first moment, 0 where one is missing.

    Raises:
        InvalidArgumentError: at run time, if the record holds another type or size.
    """
    import tensorflow as tf

    most, height, width, bands = size
    raw = tf.io.decode_compressed(encoded, "ZLIB")
    head = tf.io.decode_raw(tf.strings.substr(raw, len(_MAGIC), _HEADER.size - len(_MAGIC)), tf.int32)
    fits = [
        tf.debugging.assert_equal(tf.strings.substr(raw, 0, len(_MAGIC)), _MAGIC, "no stored array"),
        tf.debugging.assert_equal(head[0], DTYPES.index(dtype), f"an array of another type than {dtype}"),
        tf.debugging.assert_equal(head[2:], [height, width, bands], f"an array of another size than {size[1:]}"),
        tf.debugging.assert_less_equal(head[1], most, f"more than {most} moments"),
    ]
    with tf.control_dependencies([check for check in fits if check is not None]):
        moments = tf.identity(head[1])
    times = tf.io.decode_raw(tf.strings.substr(raw, _HEADER.size, moments * _TIME), tf.float64)
    start = _HEADER.size + moments * _TIME
    valid = tf.io.decode_raw(tf.strings.substr(raw, start, moments * height * width), tf.uint8) > 0
    # TensorFlow decodes no unsigned numbers of 32 bits, but takes their bits for such.
    unsigned = dtype == "uint32"
    values = tf.io.decode_raw(
        tf.strings.substr(raw, start + moments * height * width, -1), tf.int32 if unsigned else tf.as_dtype(dtype)
    )
    values = tf.bitcast(values, tf.uint32) if unsigned else values

    def filled(found: tf.Tensor, *shape: int) -> tf.Tensor:
        found = tf.reshape(found, [moments, *shape])
        return tf.ensure_shape(
            tf.pad(found, [[0, tf.maximum(most - moments, 0)], *[[0, 0]] * len(shape)]), [most, *shape]
        )

    days = tf.cast(times - times[0], tf.float32)
    return filled(values, height, width, bands), filled(valid, height, width), filled(days)
