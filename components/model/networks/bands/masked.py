"""Layers over maps that are valid only in part: whatever stands in the other pixels has no influence, bit for bit.

Invalid values are replaced by 0 before any arithmetic, so that not even NaN or infinity gets through, neither forward
nor into a gradient.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from components.labels.learning.defaults import BATCH_NORM_MOMENTUM


def kept(x: Any, valid: Any) -> Any:
    """x where it is valid, else 0. Multiplication would keep NaN."""
    return ops.where(valid > 0, x, ops.zeros_like(x))


class Convolution(keras.layers.Layer):
    """A partial convolution: windows with invalid pixels are renormalised (Liu et al., ECCV 2018, equation 1).

    Where a window of the image holds n pixels, m of them valid, the sum over the valid ones is multiplied by n / m.
    Pixels outside the image are no part of the window; so, where all is valid, this is a plain convolution with zeros
    around the image. The result is valid where m > 0.

    Args:
        filters: channels of the result.
        width: height and width of the window, an odd number.
        bias: whether there is one; batch normalisation makes it pointless.
    """

    def __init__(self, filters: int, width: int, *, bias: bool = False, name: str | None = None) -> None:
        super().__init__(name=name)
        self._filters, self._width, self._bias = filters, width, bias

    def build(self, x_shape: Any, valid_shape: Any = None) -> None:
        """Creates the weights for x [n, h, w, channels]."""
        shape = (self._width, self._width, x_shape[-1], self._filters)
        self.kernel = self.add_weight(shape=shape, initializer="glorot_uniform", name="kernel")
        self.bias = self.add_weight(shape=(self._filters,), initializer="zeros", name="bias") if self._bias else None

    def call(self, x: Any, valid: Any) -> tuple[Any, Any]:
        """Returns the convolved map, [n, h, w, filters], and where it is valid."""
        total = ops.conv(kept(x, valid), ops.cast(self.kernel, x.dtype), padding="same", data_format="channels_last")
        if self._width > 1:
            held, inside = counted(valid, self._width), counted(ops.ones_like(valid), self._width)
            total = total * ops.cast(inside / ops.maximum(held, 1.0), total.dtype)
            valid = ops.cast(held > 0, valid.dtype)
        return kept(total if self.bias is None else total + ops.cast(self.bias, total.dtype), valid), valid

    def compute_output_spec(self, x: Any, valid: Any) -> tuple[Any, Any]:
        """The shapes of the results."""
        return keras.KerasTensor((*x.shape[:3], self._filters), x.dtype), keras.KerasTensor(valid.shape, valid.dtype)


def counted(valid: Any, width: int) -> Any:
    """How many pixels of the window around each pixel are valid: float32 [n, h, w, 1]."""
    window = ops.ones((width, width, 1, 1), "float32")
    return ops.conv(ops.cast(valid, "float32"), window, padding="same", data_format="channels_last")


class Normalisation(keras.layers.Layer):
    """Batch normalisation whose statistics are those of the valid pixels, then a rectifier."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name=name)
        self._norm = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM)

    def build(self, x_shape: Any, valid_shape: Any = None) -> None:
        """Creates the weights for x [n, h, w, channels]."""
        self._norm.build(x_shape)

    def call(self, x: Any, valid: Any, training: bool | None = None) -> Any:
        """Returns the normalised map, 0 where it is not valid."""
        normalised = self._norm(kept(x, valid), training=training, mask=valid[..., 0] > 0)
        return kept(ops.relu(normalised), valid)

    def compute_output_spec(self, x: Any, valid: Any, training: bool | None = None) -> Any:
        """The shape of the result."""
        return keras.KerasTensor(x.shape, x.dtype)


class Block(keras.layers.Layer):
    """Convolutions of width 3, each normalised over the valid pixels and rectified."""

    def __init__(self, filters: int, times: int = 2, width: int = 3, name: str | None = None) -> None:
        super().__init__(name=name)
        self._filters = filters
        self._convolutions = [Convolution(filters, width) for _ in range(times)]
        self._norms = [Normalisation() for _ in range(times)]

    def build(self, x_shape: Any, valid_shape: Any = None) -> None:
        """Creates the weights for x [n, h, w, channels]."""
        for convolution, norm in zip(self._convolutions, self._norms, strict=True):
            convolution.build(x_shape)
            x_shape = (*x_shape[:3], self._filters)
            norm.build(x_shape)

    def call(self, x: Any, valid: Any, training: bool | None = None) -> tuple[Any, Any]:
        """Returns the new map, [n, h, w, filters], and where it is valid."""
        for convolution, norm in zip(self._convolutions, self._norms, strict=True):
            x, valid = convolution(x, valid)
            x = norm(x, valid, training=training)
        return x, valid

    def compute_output_spec(self, x: Any, valid: Any, training: bool | None = None) -> tuple[Any, Any]:
        """The shapes of the results."""
        return keras.KerasTensor((*x.shape[:3], self._filters), x.dtype), keras.KerasTensor(valid.shape, valid.dtype)


def halved(x: Any, valid: Any) -> tuple[Any, Any]:
    """The largest of the valid pixels of each 2 x 2; valid where one of them is. Odd sizes are rounded up.

    Args:
        x: [n, h, w, channels], not negative.
        valid: [n, h, w, 1].
    """
    pooled = ops.max_pool(kept(x, valid), 2, 2, padding="same", data_format="channels_last")
    there = ops.max_pool(valid, 2, 2, padding="same", data_format="channels_last")
    return kept(pooled, there), there


def enlarged(x: Any, valid: Any, size: tuple[int, int]) -> tuple[Any, Any]:
    """Repeats the pixels of a map of half the size, rounded up, to `size`."""

    def repeated(map_: Any) -> Any:
        twice = ops.repeat(ops.repeat(map_, 2, axis=1), 2, axis=2)
        return twice[:, : size[0], : size[1]]

    return repeated(x), repeated(valid)


def joined(x: Any, valid: Any, other: Any, other_valid: Any) -> tuple[Any, Any]:
    """Puts two maps of one size one behind the other; valid where one of them is, and 0 where one is not."""
    both = ops.concatenate([kept(x, valid), kept(other, other_valid)], axis=-1)
    return both, ops.maximum(valid, other_valid)


def mean(x: Any, valid: Any) -> Any:
    """The mean over the valid pixels, float32 [n, channels]; 0 where none is."""
    x, weight = ops.cast(kept(x, valid), "float32"), ops.cast(valid, "float32")
    return ops.sum(x, axis=(1, 2)) / ops.maximum(ops.sum(weight, axis=(1, 2)), 1.0)
