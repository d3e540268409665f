"""A backbone for photos that takes any number of bands: its first convolution is widened.

A band named red, green or blue gets the kernels of this colour, any other band the mean of the three. All are
multiplied by 3 / B, so that a map is as large as it was for photos. Bands are normalised, and the kernels scaled as if
each had the mean and deviation of ImageNet's pixels. The convolution is renormalised where pixels are invalid, see
`masked`; what follows is the network as it is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from components.base.errors import ConfigError
from components.model.networks import network, pyramid
from components.model.networks.bands import masked

_COLOURS = ("red", "green", "blue")
# Of the pixels of ImageNet's photos, as torchvision has them, in 0 to 255.
_MEAN, _DEVIATION = np.array([0.485, 0.456, 0.406]) * 255, np.array([0.229, 0.224, 0.225]) * 255
_TOLERANCE = 1e-3  # of what a network computes of a pixel before its first convolution, relative


class _Beginning(NamedTuple):
    """What a network does first.

    Attributes:
        before: images [n, H, W, 3] -> what the convolution takes.
        convolution: the first one.
        after: its result -> the network's maps.
        pads: rows and columns of zeros around what it takes, ((top, bottom), (left, right)).
    """

    before: keras.Model
    convolution: Any
    after: keras.Model
    pads: NDArray[np.int64]


def maps(
    x: Any, valid: Any, names: tuple[str, ...], backbone: str, weights: str | None, *, frozen: bool
) -> list[tuple[Any, Any]]:
    """Applies a backbone to single images.

    Args:
        x: normalised bands float32 [n, H, W, B]; what stands in invalid pixels has no influence.
        valid: float32 [n, H, W, 1], 1 or 0.
        names: of the bands, B.
        backbone, weights: see `network.build`.
        frozen: whether batch normalisation keeps its statistics, as those of pretrained weights should.

    Returns:
        maps and where any pixel below is valid, finest first.

    Raises:
        ConfigError: there is no such backbone, or its first convolution cannot be widened.
    """
    size: tuple[int, int] = tuple(x.shape[1:3])
    images = keras.Input((*size, 3))
    begins = _begins(backbone, *network.opened(backbone, weights, images), images)
    kernel = widened(begins.convolution.kernel, *_colours(backbone, begins.before, size), names)
    first, there = Stem(begins.convolution, kernel, begins.pads, name="widened")(x, valid)
    inner = pyramid.exposed(begins.after)
    found = network.inference(inner)(first) if frozen else inner(first)
    chosen = [found[i] for i in pyramid.choose([one.shape[1:3] for one in found], size)]
    return [(one, _at(there, tuple(one.shape[1:3]))) for one in chosen]


def widened(
    kernel: Any, colours: NDArray[np.float64], black: NDArray[np.float64], names: tuple[str, ...]
) -> NDArray[np.float32]:
    """The kernels for normalised bands, and for the constant 1 behind them.

    With k, the kernels of what the network makes of colours c: colours[k, c] c + black[k], a band b gets the sum over k
    of kernel[k] * (colours[k] . share[b] deviation), where share[b] is 1 for its own colour, or 1/3 for each, times 3 /
    B; and the constant gets that of kernel[k] * (colours[k] . mean + black[k]).

    Args:
        kernel: [h, w, 3, filters].
        colours: [3, 3], of a pixel of 0 to 255.
        black: [3], of a black pixel.
        names: of the bands, B.

    Returns:
        [h, w, B + 1, filters].
    """
    told = np.asarray(ops.convert_to_numpy(kernel), np.float64)
    shares = np.full((len(names), 3), 1 / 3)
    for band, name in enumerate(names):
        if (colour := name.strip().lower()) in _COLOURS:
            shares[band] = np.eye(3)[_COLOURS.index(colour)]
    shares *= 3 / len(names)
    of_bands = (shares * _DEVIATION) @ colours.T  # [B, 3]
    constant = colours @ _MEAN + black
    mixed = np.concatenate([of_bands, constant[np.newaxis]])
    return np.einsum("hwkf,bk->hwbf", told, mixed).astype(np.float32)


class Stem(keras.layers.Layer):
    """The first convolution of a network, widened and renormalised.

    Args:
        convolution: of the network; its strides, padding and bias stay.
        kernel: float32 [h, w, B + 1, filters], see `widened`.
        pads: rows and columns of zeros around the image, which are no part of it.
    """

    def __init__(self, convolution: Any, kernel: NDArray[np.float32], pads: NDArray[np.int64], name: str) -> None:
        super().__init__(name=name)
        self._kernel, self._pads = kernel, ((0, 0), *map(tuple, pads.tolist()), (0, 0))
        self._how = {
            "strides": convolution.strides,
            "padding": convolution.padding,
            "dilation_rate": convolution.dilation_rate,
            "data_format": "channels_last",
        }
        self._bias = np.asarray(convolution.bias) if convolution.use_bias else None

    def build(self, x_shape: Any, valid_shape: Any = None) -> None:
        """Creates the weights for x [n, h, w, B]."""

        def given(values: NDArray[np.float32], name: str) -> Any:
            return self.add_weight(shape=values.shape, initializer=keras.initializers.Constant(values), name=name)

        self.kernel = given(self._kernel, "kernel")
        self.bias = None if self._bias is None else given(self._bias, "bias")

    def call(self, x: Any, valid: Any) -> tuple[Any, Any]:
        """Returns the convolved map [n, h, w, filters], and where it is valid."""
        bands = ops.concatenate([masked.kept(x, valid), ops.cast(valid, x.dtype)], axis=-1)
        total = ops.conv(ops.pad(bands, self._pads), ops.cast(self.kernel, x.dtype), **self._how)
        held, inside = self._counted(valid), self._counted(ops.ones_like(valid))
        total = total * ops.cast(inside / ops.maximum(held, 1.0), total.dtype)
        there = ops.cast(held > 0, valid.dtype)
        return masked.kept(total if self.bias is None else total + ops.cast(self.bias, total.dtype), there), there

    def _counted(self, valid: Any) -> Any:
        window = ops.ones((*self._kernel.shape[:2], 1, 1), "float32")
        return ops.conv(ops.pad(ops.cast(valid, "float32"), self._pads), window, **self._how)

    def compute_output_spec(self, x: Any, valid: Any) -> tuple[Any, Any]:
        """The shapes of the results."""
        counted = keras.KerasTensor((*valid.shape[:3], 1), "float32")
        size = ops.conv(ops.pad(counted, self._pads), np.ones((*self._kernel.shape[:2], 1, 1)), **self._how).shape
        return keras.KerasTensor((*size[:3], self._kernel.shape[-1]), x.dtype), keras.KerasTensor(size, valid.dtype)


def _at(valid: Any, size: tuple[int, int]) -> Any:
    """Where any pixel is valid, at a coarser size."""
    while valid.shape[1] > 2 * size[0] - 1 and valid.shape[2] > 2 * size[1] - 1:
        valid = ops.max_pool(valid, 2, 2, padding="same", data_format="channels_last")
    if tuple(valid.shape[1:3]) == size:
        return valid
    return ops.image.resize(valid, size, interpolation="nearest", data_format="channels_last")


def _begins(backbone: str, inner: keras.Model, taken: Any, images: Any) -> _Beginning:
    """Cuts a network at its first convolution.

    Args:
        backbone: its name, for messages.
        inner: the network.
        taken: what it takes of `images`.
        images: an input.
    """
    calls: list[tuple[Any, Any, Any]] = []

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, keras.Model) and getattr(layer, "inputs", None):
            return _replayed(layer, call, args[0])
        result = layer(*args, **kwargs)
        calls.append((layer, args[0] if args else None, result))
        return result

    output = _replayed(keras.Model(images, inner(taken)), call, images)
    place = next((i for i, (layer, *_) in enumerate(calls) if isinstance(layer, keras.layers.Conv2D)), None)
    if place is None or calls[place][0].kernel.shape[2] != 3 or calls[place][0].groups != 1:
        raise ConfigError(
            f"training.backbone: {backbone} does not begin with a convolution of the three colours, so it cannot be "
            "widened for data.bands; choose another backbone, or small"
        )
    convolution, given, result = calls[place]
    pads = np.zeros((2, 2), np.int64)
    for layer, *_ in calls[:place]:
        if isinstance(layer, keras.layers.ZeroPadding2D):
            pads += np.array(layer.padding)
    before, after = keras.Model(images, _same(given)), keras.Model(result, _same(output))
    return _Beginning(before, convolution, after, pads)


def _replayed(graph: keras.Model, call: Any, given: Any) -> Any:
    """The output of a graph for another input, with every layer applied by `call`."""
    # `clone_model`, which does this for `pyramid`, would cut the result off from what comes before `given`.
    whole = keras.Model(graph.inputs, graph.outputs)
    return keras.tree.flatten(whole._run_through_graph([given], call_fn=call))[0]


def _same(x: Any) -> Any:
    """The same map, as a model needs whose output would be its input."""
    return keras.layers.Activation("linear")(x)


def _colours(
    backbone: str, before: keras.Model, size: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What a network makes of a pixel before its first convolution: see `widened`.

    Raises:
        ConfigError: it is no linear function of the pixel.
    """
    asked = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3), np.full((1, 3), 100.0)])
    images = np.broadcast_to(asked[:, np.newaxis, np.newaxis], (5, *size, 3)).astype(np.float32)
    found = np.asarray(ops.convert_to_numpy(before(images)), np.float64)
    pixel = found[:, found.shape[1] // 2, found.shape[2] // 2]
    black, colours = pixel[0], (pixel[1:4] - pixel[0]).T / 255
    if np.abs(colours @ asked[4] + black - pixel[4]).max() > _TOLERANCE * max(1.0, np.abs(pixel).max()):
        raise ConfigError(
            f"training.backbone: {backbone} changes its images before its first convolution in a way that is not "
            "linear, so it cannot be widened for data.bands; choose another backbone, or small"
        )
    return colours, black
