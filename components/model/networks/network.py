"""The network: a backbone and a head. Only `keras` and `keras.ops`, so it runs on every Keras backend."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from components.base.errors import ConfigError
from components.labels.kind import LabelKind
from components.labels.learning.defaults import BATCH_NORM_MOMENTUM
from components.labels.learning.heads import head_of
from components.labels.learning.refusals import refuse_positive
from components.model.networks import augmentation, pyramid
from components.model.networks import weights as stored

_CHANNELS = 3
# Sizes of the network `small` and strengths of the augmentation: chosen by hand; not measured.
_LARGE = 96  # pixels of the shorter side from which `small` begins with a strided convolution
_SMALLEST_MAP = 8  # pixels of the shorter side below which `small` adds no block
_SHIFT = 0.1  # largest shift, as a share of the height and width
_ZOOM = (-0.15, 0.1)  # change of the height and width in view: negative values enlarge the image
_CONTRAST = 0.2  # largest relative change of contrast
_MAP_RANK = 4  # feature maps: [batch, height, width, channels]


@dataclass(frozen=True)
class Parts:
    """One network in the three forms that training and serving use, with shared layers.

    Attributes:
        extractor: images float32 [batch, H, W, 3] in 0-255 -> features: pooled [batch, F]; for masks a list of
            maps [batch, h, w, channels], finest first, together larger than the images.
        head: features -> logits float32 [batch, K]; for masks [batch, H, W, K].
        model: images uint8 [batch, H, W, 3] -> logits; augments while training only, except for masks.
        pretrained: whether the backbone starts from trained weights.
        augment: for masks, changes images and masks in `tf.data` while training, see `augmentation.pairs`;
            None: no changes.
        activations: numbers in the feature maps of one image, which training keeps for the gradients; 0: not known.
    """

    extractor: keras.Model
    head: keras.Model
    model: keras.Model
    pretrained: bool
    augment: Callable[..., Any] | None = None
    activations: int = 0


def build(
    backbone: str | keras.Model,
    *,
    weights: str | None,
    image_size: tuple[int, int],
    classes: int,
    augment: bool,
    seed: int,
    kind: LabelKind,
    positive: int | None = None,
) -> Parts:
    """Builds the network.

    Args:
        backbone: "small", a name of keras.applications, the path of a `.keras` file, or a network, see `own.build`.
        weights: "imagenet" or None, for keras.applications; "module" for a network with trained weights.
        image_size: height and width in pixels.
        classes: number of labels, K.
        augment: whether training changes images at random.
        seed: seed of the augmentation; for masks, each call of `Parts.augment` gets its own.
        kind: what the labels are.
        positive: index of the label that a single sigmoid unit predicts, see `softmax.head`.

    Raises:
        ConfigError: there is no such backbone, it does not map RGB images to feature maps, or this kind of labels
            cannot have such a head.
    """
    head_module, masks = head_of(kind), kind.per_pixel
    pretrained = is_pretrained(backbone, weights)
    images = keras.Input((*image_size, _CHANNELS), name="pixels")
    network, x = opened(backbone, weights, images)
    maps = _maps(network, x, backbone, frozen=pretrained, every=masks)
    extracted = maps if masks else _pooling(maps)(maps)
    extractor = keras.Model(images, extracted, name="extractor")

    features = keras.tree.map_structure(lambda t: keras.Input(t.shape[1:], dtype=t.dtype), extracted)
    if masks:
        refuse_positive(positive, kind.task)
        logits = head_module.decoder(features, image_size, classes)
    elif kind.is_detector(classes):  # there is nothing to classify; see `decisions.fit`
        logits = keras.ops.zeros_like(features[:, :1])
    else:
        logits = head_module.head(features, classes, positive=positive)
    head = keras.Model(features, logits, name="head")

    encoded = keras.Input((*image_size, _CHANNELS), dtype="uint8", name="images")
    x = keras.ops.cast(encoded, "float32")
    if augment and not masks:
        x = _augmentation(seed)(x)
    whole = keras.Model(encoded, head(extractor(x)), name="imagegate")
    return Parts(
        extractor,
        head,
        whole,
        pretrained,
        augment=augmentation.pairs if augment and masks else None,
        activations=pyramid.activations(network, image_size) + pyramid.activations_of_layers(head),
    )


def pooled(maps: Any) -> Any:
    """Pools an extractor's outputs to features [batch, F].

    Pooled features are returned unchanged; a list of maps becomes the mean over the pixels of the coarsest one.
    """
    coarsest = maps[-1] if isinstance(maps, list) else maps  # Keras gives a single map without its list
    if len(coarsest.shape) < _MAP_RANK:
        return coarsest
    return keras.ops.mean(keras.ops.cast(coarsest, "float32"), axis=(1, 2))


def is_pretrained(backbone: str | keras.Model, weights: str | None) -> bool:
    """Whether a backbone starts from trained weights; see `build`."""
    if isinstance(backbone, keras.Model):
        return weights == "module"
    return backbone != "small" and (backbone.endswith(".keras") or weights is not None)


def _pooling(maps: keras.KerasTensor) -> keras.layers.Layer:
    if len(maps.shape) < _MAP_RANK:  # pooled already, by a network of the user's own
        return keras.layers.Activation("linear", dtype="float32")
    return keras.layers.GlobalAveragePooling2D(dtype="float32")


def opened(
    backbone: str | keras.Model, weights: str | None, images: keras.KerasTensor
) -> tuple[keras.Model, keras.KerasTensor]:
    """Builds the backbone; returns it with the images as it expects them."""
    if isinstance(backbone, keras.Model):
        return backbone, images
    if backbone == "small":
        return _small(images), images
    if backbone.endswith(".keras"):
        return _from_file(backbone), images
    return _from_applications(backbone, weights, images)


def inference(network: keras.Model) -> keras.layers.Layer:
    """The network as a layer that is in inference mode even while training; its weights stay trainable."""
    return _Inference(network)


def _maps(network: keras.Model, x: keras.KerasTensor, backbone: str | keras.Model, *, frozen: bool, every: bool) -> Any:
    """Applies the network to x; returns its feature maps, or with `every` a list of the maps at each stride."""
    size = tuple(x.shape[1:3])
    try:
        used = pyramid.build(network, size) if every else network
        maps = inference(used)(x) if frozen else used(x)
    except ValueError as error:
        name = backbone if isinstance(backbone, str) else "the network of training.module"
        raise ConfigError(
            f"training.image_size: {name} cannot take images of {list(size)} pixels; its input shape is "
            f"{network.input_shape}, and its layers may need larger images"
        ) from error
    return [maps] if every and not isinstance(maps, list) else maps  # Keras unpacks a list of one


def _small(images: keras.KerasTensor) -> keras.Model:
    """Builds blocks of two 3x3 convolutions and a halving: four, or fewer once the maps are less than 8 pixels wide."""
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images)
    height, width = images.shape[1:3]
    if min(height, width) >= _LARGE:
        x = keras.layers.Conv2D(32, 5, strides=2, padding="same", use_bias=False)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM)(x))
    for filters in (32, 64, 128, 256):
        if filters > 32 and min(x.shape[1:3]) < _SMALLEST_MAP:
            break
        for _ in range(2):
            x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
            x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM)(x))
        x = keras.layers.MaxPooling2D(padding="same")(x)
    return keras.Model(images, x, name="small")


class _Inference(keras.layers.Layer):
    """Calls a network in inference mode even while training; its weights stay trainable.

    The statistics of small batches would ruin ImageNet's batch normalisation. Calling `network(x, training=False)`
    while building is not enough, because training calls the whole model with `training=True` again.
    """

    def __init__(self, network: keras.Model) -> None:
        super().__init__()
        self.network = network

    def call(self, images: keras.KerasTensor) -> keras.KerasTensor:
        return self.network(images, training=False)


def _from_file(path: str) -> keras.Model:
    try:
        network = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise ConfigError(f"training.backbone: {path} cannot be loaded: {error}") from error
    shape_in, shape_out = network.input_shape, network.output_shape
    if not isinstance(shape_out, tuple) or len(shape_out) != _MAP_RANK or shape_in[-1] != _CHANNELS:
        raise ConfigError(
            f"training.backbone: {path} maps {shape_in} to {shape_out}; expected a network that maps RGB images "
            "(batch, height, width, 3) to feature maps (batch, height, width, channels)"
        )
    return network


def _from_applications(
    name: str, weights: str | None, images: keras.KerasTensor
) -> tuple[keras.Model, keras.KerasTensor]:
    factory = getattr(keras.applications, name, None)
    if factory is None or not callable(factory):
        known = sorted(n for n in dir(keras.applications) if n[0].isupper())
        raise ConfigError(
            f"training.backbone: {name!r} is neither small, nor the path of a .keras file, nor in "
            f"keras.applications, which has {', '.join(known)}"
        )
    size = tuple(images.shape[1:])
    # Keras would fetch the weights by itself, in place and without a sentence where that fails.
    path = None if weights is None else stored.ensure(name, size[:2])
    try:
        network = factory(include_top=False, weights=path or weights, input_shape=size)
    except Exception as error:
        raise ConfigError(f"training.backbone: {name} with weights {weights} cannot be built: {error}") from error
    # Each family defines its own normalisation in its module.
    return network, sys.modules[factory.__module__].preprocess_input(images)


def _augmentation(seed: int) -> keras.Sequential:
    """Builds random changes that keep a photo's label."""
    return keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal", seed=seed),
            keras.layers.RandomTranslation(_SHIFT, _SHIFT, fill_mode="reflect", seed=seed + 1),
            keras.layers.RandomZoom(_ZOOM, fill_mode="reflect", seed=seed + 2),
            keras.layers.RandomContrast(_CONTRAST, value_range=(0, 255), seed=seed + 3),
        ],
        name="augmentation",
    )
