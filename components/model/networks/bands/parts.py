"""The network for arrays in the three forms that training and serving use."""

from __future__ import annotations

import functools
import math
from typing import Any

import keras
from keras import ops

from components.base.errors import ConfigError
from components.data.manifest import ArrayFacts
from components.labels.kind import LabelKind
from components.labels.learning.heads import head_of
from components.labels.learning.refusals import need_two, refuse_positive
from components.model.networks import augmentation, network
from components.model.networks.bands import DAYS, PIXELS, SEQUENCES, SINGLE, VALID, masked, pretrained
from components.model.networks.bands import build as networks
from components.model.networks.bands.build import Inputs
from components.model.networks.network import Parts

_INSIDE = 4  # numbers that a layer of several convolutions keeps for each of its result; estimated


def build(
    told: ArrayFacts,
    backbone: str,
    weights: str | None = None,
    *,
    classes: int,
    augment: bool,
    kind: LabelKind,
    positive: int | None = None,
) -> Parts:
    """Builds the network; see `network.build` for photos.

    Args:
        told: what the arrays have in common, and the mean and deviation of each band.
        backbone: `SINGLE` or one of `SEQUENCES`; for single images also those of `network.build`.
        weights: see `network.build`.
        classes: number of labels, K.
        augment: whether training changes arrays at random.
        kind: what the labels are.
        positive: index of the label that a single sigmoid unit predicts, see `softmax.head`.

    Raises:
        ConfigError: there is no such backbone for these arrays.
    """
    backbone = _fitting(told, backbone)
    size = told.height, told.width
    given = networks.inputs(told.frames, size, len(told.bands))
    own = backbone in (SINGLE, *SEQUENCES)
    trained = not own and network.is_pretrained(backbone, weights)
    normalised = networks.normalised(given, told.mean, told.deviation)
    if own:
        levels = networks.maps(given, *normalised, backbone)
    else:
        levels = pretrained.maps(*normalised, told.bands, backbone, weights, frozen=trained)
    named = _named(given)
    # The coarsest features come last, as familiarity expects them; where they are valid comes before.
    extracted: Any = [part for x, valid in levels for part in (valid, x)]
    if not kind.per_pixel:
        extracted = masked.mean(*levels[-1])
    elif not own:
        extracted = [x for x, _ in levels]
    extractor = keras.Model(named, extracted, name="extractor")
    features = keras.tree.map_structure(lambda t: keras.Input(t.shape[1:], dtype=t.dtype), extracted)
    if kind.per_pixel:
        refuse_positive(positive, kind.task)
        need_two(classes)
        if own:
            logits = networks.decoder(list(zip(features[1::2], features[::2], strict=True)), classes)
        else:
            logits = head_of(kind).decoder(features, size, classes)
    else:
        logits = head_of(kind).head(features, classes, positive=positive)
    head = keras.Model(features, logits, name="head")
    whole = keras.Model(*_whole(told, given, extractor, head), name="imagegate")
    return Parts(
        extractor,
        head,
        whole,
        pretrained=trained,
        augment=functools.partial(augmentation.arrays, masks=kind.per_pixel) if augment else None,
        activations=_INSIDE * (_numbers(extractor) + _numbers(head)),
    )


def _fitting(told: ArrayFacts, backbone: str) -> str:
    """The backbone for these arrays, by the name that it has for them; raises ConfigError as `build` does."""
    if told.frames is None:
        if backbone in SEQUENCES:
            raise ConfigError(f"training.backbone: {backbone!r} takes sequences alone, and there is no data.frames")
        return backbone
    if backbone not in (SINGLE, *SEQUENCES):
        expected = " or ".join(SEQUENCES)
        raise ConfigError(f"training.backbone: {backbone!r} takes no arrays of sequences; expected {expected}")
    return SEQUENCES[0] if backbone == SINGLE else backbone


def _named(given: Inputs) -> dict[str, Any]:
    named = {PIXELS: given.pixels, VALID: given.valid}
    return named if given.days is None else {**named, DAYS: given.days}


def _whole(told: ArrayFacts, given: Inputs, extractor: keras.Model, head: keras.Model) -> tuple[dict[str, Any], Any]:
    """The inputs as batches have them, in the type of the files, and the logits."""
    types = {PIXELS: told.dtype, VALID: "bool", DAYS: "float32"}
    inputs = {name: keras.Input(t.shape[1:], dtype=types[name], name=name) for name, t in _named(given).items()}
    return inputs, head(extractor({name: ops.cast(t, "float32") for name, t in inputs.items()}))


def _numbers(network: keras.Model) -> int:
    outputs = [tensor for layer in network.layers for tensor in keras.tree.flatten(layer.output)]
    return sum(math.prod(size or 0 for size in one.shape[1:]) for one in outputs)
