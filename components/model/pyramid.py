"""The feature maps inside any backbone, one per stride, for a decoder's skip connections."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras

_MAP_RANK = 4  # [batch, height, width, channels]
_STRIDES = 5  # halvings: strides 2, 4, 8, 16, 32


def build(network: keras.Model, image_size: tuple[int, int]) -> keras.Model:
    """The last map at each of the strides 2, 4, 8, 16 and 32 that is finer than the network's own, and the latter.

    Args:
        network: images [batch, H, W, 3] -> maps [batch, h, w, channels]; its input size may be left open, and it may
            hold other networks.
        image_size: height and width in pixels.

    Returns:
        a model with the same layers: images -> list of maps, finest first.

    Raises:
        ValueError: the network cannot take such images.
    """
    opened = _opened(network)
    maps = opened(keras.Input((*image_size, network.inputs[0].shape[-1])))
    chosen = choose([m.shape[1:3] for m in maps], image_size)
    return keras.Model(opened.inputs, [opened.outputs[i] for i in chosen], name="pyramid")


def choose(sizes: Sequence[tuple[int | None, int | None]], image_size: tuple[int, int]) -> list[int]:
    """Which maps to take: of each stride the last one, which has seen most; and the very last, whatever it is.

    Some networks pad a map just before they halve it, or do not pad at all; of such sizes, a little off the image's
    size / stride, one is taken only where no exact one is.

    Args:
        sizes: height and width of each map in the order of computation; None where it is not known.
        image_size: of the image.

    Returns:
        indices, finest map first.
    """
    found: dict[int, tuple[bool, int]] = {}
    deepest, _ = _halvings(sizes[-1], image_size)
    for index, size in enumerate(sizes[:-1]):
        halvings, exact = _halvings(size, image_size)
        if 1 <= halvings <= _STRIDES and halvings < deepest and (exact, index) > found.get(halvings, (False, -1)):
            found[halvings] = (exact, index)
    return [*(index for _, (_, index) in sorted(found.items())), len(sizes) - 1]


def _halvings(size: tuple[int | None, int | None], image_size: tuple[int, int]) -> tuple[int, bool]:
    """How often the image was halved, rounding up, to come to `size`; and whether that is exact."""
    if size[0] is None or size[1] is None:
        return 0, False
    for k in range(_STRIDES + 1):
        if size == (math.ceil(image_size[0] / 2**k), math.ceil(image_size[1] / 2**k)):
            return k, True
    return round(math.log2(image_size[0] * image_size[1] / (size[0] * size[1])) / 2), False


def _opened(network: keras.Model) -> keras.Model:
    """The network with every map in it as an output, in the order of computation; its own output is the last."""
    maps: list[keras.KerasTensor] = []

    def call(layer: keras.Operation, *args: object, **kwargs: object) -> object:
        if isinstance(layer, keras.Model) and getattr(layer, "inputs", None):
            *inner, result = _opened(layer)(*args)
            maps.extend(inner)
        else:
            result = layer(*args, **kwargs)
        maps.extend(x for x in keras.tree.flatten(result) if len(x.shape) == _MAP_RANK)
        return result

    # Cloning runs through the graph; the layers stay the same ones. A Sequential would not let itself be watched.
    graph = keras.Model(network.inputs, network.outputs)
    run = keras.models.clone_model(graph, clone_function=lambda layer: layer, call_function=call)
    return keras.Model(run.inputs, [*maps, run.outputs[0]])
