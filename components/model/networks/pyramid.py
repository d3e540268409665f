"""The feature maps inside any backbone, one per stride, for the skip connections of a decoder."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras

_MAP_RANK = 4  # [batch, height, width, channels]
_STRIDES = 5  # halvings: strides 2, 4, 8, 16, 32


def build(network: keras.Model, image_size: tuple[int, int]) -> keras.Model:
    """Builds a model whose outputs are the network's own maps and the last map at each finer stride of 2 to 32.

    Args:
        network: images [batch, H, W, 3] -> maps [batch, h, w, channels]; its input size may be left open, and it may
            contain other networks.
        image_size: height and width in pixels.

    Returns:
        a model that shares the network's layers: images -> list of maps, finest first.

    Raises:
        ValueError: the network cannot take images of this size.
    """
    whole = exposed(network)
    maps = whole(keras.Input((*image_size, network.inputs[0].shape[-1])))
    chosen = choose([m.shape[1:3] for m in maps], image_size)
    return keras.Model(whole.inputs, [whole.outputs[i] for i in chosen], name="pyramid")


def activations(network: keras.Model, image_size: tuple[int, int]) -> int:
    """Counts the numbers in all maps of one image, which training keeps for the gradients; 0 if they are not known.

    Args:
        network: see `build`.
        image_size: height and width in pixels.
    """
    if not getattr(network, "inputs", None):  # its layers cannot be seen
        return 0
    *maps, _ = exposed(network)(keras.Input((*image_size, network.inputs[0].shape[-1])))  # the last comes twice
    return sum(math.prod(size or 0 for size in one.shape[1:]) for one in maps)


def activations_of_layers(network: keras.Model) -> int:
    """Counts the numbers that the layers of a functional model with sizes of its own give for one example."""
    outputs = [tensor for layer in network.layers for tensor in keras.tree.flatten(layer.output)]
    return sum(math.prod(size or 0 for size in one.shape[1:]) for one in outputs)


def choose(sizes: Sequence[tuple[int | None, int | None]], image_size: tuple[int, int]) -> list[int]:
    """Chooses the last map of each stride, which has the largest receptive field, and the network's own output.

    Some networks pad a map just before they halve it, or do not pad at all. Such a map, whose size is a little off
    the image's size / stride, is chosen only if its stride has no map of the exact size.

    >>> choose([(32, 32), (32, 32), (16, 16), (8, 8)], (64, 64))
    [1, 2, 3]

    Args:
        sizes: height and width of each map in the order of computation; None if not known.
        image_size: height and width of the image.

    Returns:
        indices, finest map first.
    """
    best: dict[int, tuple[bool, int]] = {}  # halvings -> (whether the size is exact, index)
    deepest, _ = _halvings(sizes[-1], image_size)
    for index, size in enumerate(sizes[:-1]):
        halvings, exact = _halvings(size, image_size)
        if 1 <= halvings <= _STRIDES and halvings < deepest and (exact, index) > best.get(halvings, (False, -1)):
            best[halvings] = (exact, index)
    return [*(index for _, (_, index) in sorted(best.items())), len(sizes) - 1]


def _halvings(size: tuple[int | None, int | None], image_size: tuple[int, int]) -> tuple[int, bool]:
    """Counts how often the image was halved, rounding up, to reach `size`; and whether that is exact."""
    if size[0] is None or size[1] is None:
        return 0, False
    for k in range(_STRIDES + 1):
        if size == (math.ceil(image_size[0] / 2**k), math.ceil(image_size[1] / 2**k)):
            return k, True
    return round(math.log2(image_size[0] * image_size[1] / (size[0] * size[1])) / 2), False


def exposed(network: keras.Model) -> keras.Model:
    """Makes every map an output, in the order of computation; the network's own output is the last."""
    maps: list[keras.KerasTensor] = []

    def call(layer: keras.Operation, *args: object, **kwargs: object) -> object:
        if isinstance(layer, keras.Model) and getattr(layer, "inputs", None):
            *inner, result = exposed(layer)(*args)
            maps.extend(inner)
        else:
            result = layer(*args, **kwargs)
        maps.extend(x for x in keras.tree.flatten(result) if len(x.shape) == _MAP_RANK)
        return result

    # Cloning walks through the graph while the layers stay the same objects. A Sequential ignores `call_function`,
    # so it is wrapped in a functional model first.
    graph = keras.Model(network.inputs, network.outputs)
    run = keras.models.clone_model(graph, clone_function=lambda layer: layer, call_function=call)
    return keras.Model(run.inputs, [*maps, run.outputs[0]])
