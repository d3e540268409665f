"""Decodes files with TensorFlow, which will decode them later, too: one, or many at once on all cores.

Whoever examines a file is a generator that asks for its pixels. So the same code examines one file, or many that are
decoded in one call, on all cores and without Python's lock.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from components.data.formats.bad_image import BadImage

if TYPE_CHECKING:
    import tensorflow as tf

# Properties and perceptual hash are computed after the image is reduced by a whole number to at least this many pixels
# on its shorter side: networks do not see finer detail either, and a JPEG decodes faster at 1/2, 1/4 or 1/8. Chosen by
# hand; not measured.
REDUCED = 80
_AT_ONCE = 16  # photos that are decoded in a call
# Pixels of a photo that is decoded with others, and of all other files of a batch that are decoded ahead: larger ones
# would take much memory at once. So a batch of 16 files takes 112 MB at most: a pixel of a photo is 3 bytes, another 4.
_SMALL, _AHEAD = 1 << 20, 1 << 24
# TensorFlow puts the name of the op around its message.
_NOISE = re.compile(r"\{\{.*?\}\} *|\[Op:.*?\].*", re.DOTALL)

Pixels = NDArray[np.uint8]
Found = TypeVar("Found")


class Undecoded(NamedTuple):
    """A file whose pixels are wanted.

    Attributes:
        data: its content.
        kind: Pillow's name of the format: "JPEG", "PNG", "BMP" or "WEBP".
        width, height: by its header, in pixels.
    """

    data: bytes
    kind: str
    width: int
    height: int

    @property
    def ratio(self) -> int:
        """The fraction at which a JPEG is decoded that is only looked at: 1, 2, 4 or 8."""
        return next((r for r in (8, 4, 2) if min(self.width, self.height) >= r * REDUCED), 1)

    @property
    def pixels(self) -> int:
        """How many pixels decoding it gives, about."""
        return self.width * self.height // (self.ratio**2 if self.kind == "JPEG" else 1)


# What examines a file: it yields it at most once, is sent its pixels or thrown the error, and returns what it found.
Steps = Generator[Undecoded, Pixels, Found]


def decode(file: Undecoded) -> Pixels:
    """Decodes the pixels [h, w, 3] with TensorFlow.

    A JPEG is decoded at a fraction of its size: this reads every byte and saves most of the arithmetic.

    Raises:
        BadImage: TensorFlow refuses the file.
    """
    import tensorflow as tf

    try:
        if file.kind == "JPEG":
            pixels = tf.io.decode_jpeg(file.data, channels=3, ratio=file.ratio)
        elif file.kind == "PNG":
            pixels = tf.io.decode_png(file.data, channels=4)
        else:
            pixels = tf.io.decode_image(file.data, channels=3, expand_animations=False)
    except tf.errors.InvalidArgumentError as error:
        refused = _NOISE.sub("", error.message).strip()
        raise BadImage(f"cannot be decoded: {refused}") from None
    array: Pixels = pixels.numpy()
    return (array if array.ndim == 3 else array[0])[..., :3]  # WebP comes with a leading dimension of frames


def alone(steps: Steps[Found], decoded: Callable[[Undecoded], Pixels] = decode) -> Found:
    """What a generator returns that examines one file."""
    try:
        file = next(steps)
    except StopIteration as done:
        found: Found = done.value
        return found
    return _finished(steps, functools.partial(decoded, file))


class Batch(Generic[Found]):
    """Files that are examined together: each up to its pixels, then all are decoded, then each to its end.

    Args:
        many: a generator for each file. Nothing else may go on with them.
    """

    def __init__(self, many: Sequence[Steps[Found]]) -> None:
        self._many = many
        self._found: dict[int, Found] = {}
        self._asked: dict[int, Undecoded] = {}
        self._pixels: dict[int, Pixels] = {}
        for i, steps in enumerate(many):
            try:
                self._asked[i] = next(steps)
            except StopIteration as done:
                self._found[i] = done.value

    def decode(self) -> None:
        """Decodes what does not take much memory; another thread may do it. Without it, `finish` decodes everything."""
        room = _AHEAD
        photos = {}
        for i, file in self._asked.items():
            if file.pixels <= _SMALL and file.kind == "JPEG":
                photos[i] = file
            elif (room := room - file.pixels) >= 0:
                with contextlib.suppress(Exception):  # found again, and judged, by whoever examines that file
                    self._pixels[i] = decode(file)
        self._pixels |= _photos(photos)

    def finish(self) -> list[Found]:
        """What each generator returns."""
        for i, file in self._asked.items():
            decoded = functools.partial(self._pixels.pop, i) if i in self._pixels else functools.partial(decode, file)
            self._found[i] = _finished(self._many[i], decoded)
        return [self._found[i] for i in range(len(self._many))]


def _finished(steps: Steps[Found], pixels: Callable[[], Pixels]) -> Found:
    """What a generator returns once it has the pixels that it asked for, or the error."""
    try:
        try:
            array = pixels()
        except Exception as error:  # noqa: BLE001  the generator says what it means
            steps.throw(error)
        else:
            steps.send(array)
    except StopIteration as done:
        found: Found = done.value
        return found
    raise RuntimeError("it asked for the pixels of two files")


def _photos(files: Mapping[int, Undecoded]) -> dict[int, Pixels]:
    """The pixels of JPEG files; of none of them that are decoded in one call with one that TensorFlow refuses."""
    import tensorflow as tf

    ready: dict[int, Pixels] = {}
    for ratio in {file.ratio for file in files.values()}:
        places = [i for i, file in files.items() if file.ratio == ratio]
        while len(places) > 1:
            count = min(_AT_ONCE, 1 << len(places).bit_length() - 1)  # a power of two, so that there are few functions
            some, places = places[:count], places[count:]
            with contextlib.suppress(Exception):  # the file that it is about is found as above
                decoded = _function(count, ratio)(*(tf.constant(files[i].data) for i in some))
                ready |= zip(some, (pixels.numpy() for pixels in decoded), strict=True)
    return ready


@functools.cache
def _function(count: int, ratio: int) -> Callable[..., list[tf.Tensor]]:
    """Decodes so many JPEG files at this fraction of their size, in parallel."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)] * count, autograph=False)
    def decoded(*files: tf.Tensor) -> list[tf.Tensor]:
        return [tf.io.decode_jpeg(data, channels=3, ratio=ratio) for data in files]

    function: Callable[..., list[tf.Tensor]] = decoded.get_concrete_function()
    return function
