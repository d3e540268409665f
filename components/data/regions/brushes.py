"""Label Studio's packed masks.

Our own decoder rather than label-studio-converter's: that one is slow, brings large libraries, and trusts the file.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.data.images import BadImage

Bools = NDArray[np.bool_]

_CHANNELS = 4  # red, green, blue, alpha; a pixel is painted where alpha is above 0


def unpack(packed: bytes, height: int, width: int) -> Bools:
    """Decodes a mask to bool [height, width].

    The bits, the highest of each byte first, are: the number of values (32 bits), their size in bits less 1 (5), four
    sizes of run lengths less 1 (4 each); then runs until there are so many values. A run is: whether it repeats one
    value (1), which size its length has (2), its length less 1, and that one value, or all the values. The values are
    the image's channels red, green, blue and alpha, pixel by pixel, by rows. The format is that of the JavaScript
    package @thi.ng/rle-pack.

    Raises:
        BadImage: it is malformed, or of another number of pixels.
    """
    bits = _Bits(packed)
    total, size = bits.read(32), bits.read(5) + 1
    if total != height * width * _CHANNELS:
        raise BadImage(
            f"a malformed region: it holds {total:,} values, but an image of {width} x {height} pixels has "
            f"{height * width * _CHANNELS:,}"
        )
    sizes = [bits.read(4) + 1 for _ in range(4)]
    values = np.zeros(total, np.bool_)
    at = 0
    while at < total:
        repeats = bits.read(1)
        length = bits.read(sizes[bits.read(2)]) + 1
        if at + length > total:
            raise BadImage("a malformed region: its run lengths are longer than the image")
        values[at : at + length] = bits.read(size) > 0 if repeats else bits.nonzero(length, size)
        at += length
    return values.reshape(height, width, _CHANNELS)[..., -1]


class _Bits:
    """Reads numbers from bits, the highest first."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def read(self, size: int) -> int:
        """Reads a number of `size` bits."""
        start, end = self._advance(size)
        word = int.from_bytes(self._data[start >> 3 : (end + 7) >> 3], "big")
        return word >> (-end % 8) & ((1 << size) - 1)

    def nonzero(self, count: int, size: int) -> Bools:
        """Reads `count` numbers of `size` bits; whether each is not 0."""
        start, end = self._advance(count * size)
        data = np.frombuffer(self._data[start >> 3 : (end + 7) >> 3], np.uint8)
        bits = np.unpackbits(data)[start % 8 : start % 8 + count * size]
        return np.asarray(bits.reshape(count, size).any(axis=1))

    def _advance(self, size: int) -> tuple[int, int]:
        start, self._at = self._at, self._at + size
        if self._at > 8 * len(self._data):
            raise BadImage("a malformed region: its packed mask ends too early")
        return start, self._at
