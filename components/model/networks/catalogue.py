"""Networks of `keras.applications`: where their ImageNet weights without a head lie, and which are worth a try.

The paths and digests are those of Keras 3.15; a test compares them with what Keras itself would download.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

_SIZES = (96, 128, 160, 192, 224)  # pixels; MobileNet and MobileNetV2 have weights for each, MobileNet not for 96


@dataclass(frozen=True)
class Weights:
    """A file of weights.

    Attributes:
        path: on the server. `{size}` stands for the size of the images where there is a file for each.
        digest: SHA-256, or MD5 where Keras knows no other; "" where it knows none.
        megabytes: of the weights, which is their number times 4 bytes.
        name: of the file in Keras's folder, if it is not that on the server.
    """

    path: str
    digest: str
    megabytes: int
    name: str = ""

    @property
    def file(self) -> str:
        """Name of the file in Keras's folder."""
        return self.name or self.path.rpartition("/")[2]

    def at(self, image_size: tuple[int, int]) -> Weights:
        """The weights that Keras takes for images of this height and width."""
        height, width = image_size
        known = _SIZES if "_v2" in self.path else _SIZES[1:]
        size = height if height == width and height in known else _SIZES[-1]
        return replace(self, path=self.path.replace("{size}", str(size)))


@dataclass(frozen=True)
class Origin:
    """Where Keras converted weights from.

    Attributes:
        repository: on GitHub.
        licence: of that repository.
        source: of the accuracy on ImageNet.
    """

    repository: str
    licence: str
    source: str


@dataclass(frozen=True)
class Recommended:
    """A network that is good for what it costs.

    Attributes:
        name: in keras.applications.
        parameters: millions, without a head.
        top_1: published accuracy on ImageNet's validation images in percent, and the pixels of their sides.
        origin: of the weights.
        speed: images per second of a forward pass at 224 pixels, as a multiple of `REFERENCE`'s.
        training_speed: the same for a step of training everything.
    """

    name: str
    parameters: float
    top_1: tuple[float, int]
    origin: Origin
    speed: float
    training_speed: float


REFERENCE = "EfficientNetV2B0"
# Speeds: `python -m benchmarks.backbones` on one thread of a Xeon with AVX-512, TensorFlow 2.21, rounded: beside other
# work, two runs differ by a tenth, for the smallest network by a quarter.
_SLIM = Origin("tensorflow/models", "Apache-2.0", "docstring of keras.applications.MobileNetV3Small")
_TPU = Origin("tensorflow/tpu", "Apache-2.0", "Tan and Le 2019, arXiv:1905.11946, table 2")
_AUTOML = Origin("google/automl", "Apache-2.0", "README.md of its folder efficientnetv2")
_CONVNEXT = Origin("facebookresearch/ConvNeXt", "MIT", "its README.md")
RECOMMENDED = (
    Recommended("MobileNetV3Small", 0.9, (68.1, 224), _SLIM, speed=6.0, training_speed=4.0),
    Recommended("MobileNetV3Large", 3.0, (75.6, 224), _SLIM, speed=2.2, training_speed=1.6),
    Recommended("EfficientNetB0", 4.0, (77.1, 224), _TPU, speed=1.1, training_speed=0.7),
    Recommended("EfficientNetV2B0", 5.9, (78.7, 224), _AUTOML, speed=1.0, training_speed=1.0),
    Recommended("EfficientNetV2B1", 6.9, (79.8, 240), _AUTOML, speed=0.7, training_speed=0.7),
    Recommended("EfficientNetV2B2", 8.8, (80.5, 260), _AUTOML, speed=0.6, training_speed=0.6),
    Recommended("EfficientNetV2B3", 12.9, (82.1, 300), _AUTOML, speed=0.5, training_speed=0.5),
    Recommended("EfficientNetV2S", 20.3, (83.9, 384), _AUTOML, speed=0.3, training_speed=0.3),
    Recommended("ConvNeXtTiny", 27.8, (82.1, 224), _CONVNEXT, speed=0.04, training_speed=0.05),
)


def _stored(path: str, digest: str, megabytes: int, name: str = "") -> Weights:
    return Weights(f"tensorflow/keras-applications/{path}", digest, megabytes, name)


def _ported(path: str, digest: str, megabytes: int) -> Weights:
    return _stored(f"{path}_weights_tf_dim_ordering_tf_kernels_notop.h5", digest, megabytes)


WEIGHTS = {
    "ConvNeXtBase": _stored(
        "convnext/convnext_base_notop.h5",
        "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45",
        351,
    ),
    "ConvNeXtLarge": _stored(
        "convnext/convnext_large_notop.h5",
        "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd",
        785,
    ),
    "ConvNeXtSmall": _stored(
        "convnext/convnext_small_notop.h5",
        "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab",
        198,
    ),
    "ConvNeXtTiny": _stored(
        "convnext/convnext_tiny_notop.h5",
        "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
        112,
    ),
    "ConvNeXtXLarge": _stored(
        "convnext/convnext_xlarge_notop.h5",
        "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05",
        1393,
    ),
    "DenseNet121": _ported("densenet/densenet121", "30ee3e1110167f948a6b9946edeeb738", 29),
    "DenseNet169": _ported("densenet/densenet169", "b8c4d4c20dd625c148057b9ff1c1176b", 51),
    "DenseNet201": _ported("densenet/densenet201", "c13680b51ded0fb44dff2d8f86ac8bb1", 74),
    "EfficientNetB0": Weights("keras-applications/efficientnetb0_notop.h5", "50bc09e76180e00e4465e1a485ddc09d", 17),
    "EfficientNetB1": Weights("keras-applications/efficientnetb1_notop.h5", "74c4e6b3e1f6a1eea24c589628592432", 27),
    "EfficientNetB2": Weights("keras-applications/efficientnetb2_notop.h5", "111f8e2ac8aa800a7a99e3239f7bfb39", 32),
    "EfficientNetB3": Weights("keras-applications/efficientnetb3_notop.h5", "af6d107764bb5b1abb91932881670226", 44),
    "EfficientNetB4": Weights("keras-applications/efficientnetb4_notop.h5", "ebc24e6d6c33eaebbd558eafbeedf1ba", 71),
    "EfficientNetB5": Weights("keras-applications/efficientnetb5_notop.h5", "38879255a25d3c92d5e44e04ae6cec6f", 115),
    "EfficientNetB6": Weights("keras-applications/efficientnetb6_notop.h5", "9ecce42647a20130c1f39a5d4cb75743", 164),
    "EfficientNetB7": Weights("keras-applications/efficientnetb7_notop.h5", "cbcfe4450ddf6f3ad90b1b398090fe4a", 257),
    "EfficientNetV2B0": _stored("efficientnet_v2/efficientnetv2-b0_notop.h5", "893217f2bb855e2983157299931e43ff", 24),
    "EfficientNetV2B1": _stored("efficientnet_v2/efficientnetv2-b1_notop.h5", "0e80663031ca32d657f9caa404b6ec37", 28),
    "EfficientNetV2B2": _stored("efficientnet_v2/efficientnetv2-b2_notop.h5", "1dfe2e7a5d45b6632553a8961ea609eb", 36),
    "EfficientNetV2B3": _stored("efficientnet_v2/efficientnetv2-b3_notop.h5", "f6abf7b5849ac99a89b50dd3fd532856", 52),
    "EfficientNetV2L": _stored("efficientnet_v2/efficientnetv2-l_notop.h5", "b0b66b5c863aef5b46e8608fe1711615", 471),
    "EfficientNetV2M": _stored("efficientnet_v2/efficientnetv2-m_notop.h5", "1b8dc055df72dde80d614482840fe342", 213),
    "EfficientNetV2S": _stored("efficientnet_v2/efficientnetv2-s_notop.h5", "af0682fb74e8c54910f2d4393339c070", 82),
    "InceptionResNetV2": _ported("inception_resnet_v2/inception_resnet_v2", "d19885ff4a710c122648d3b5c3b684e4", 218),
    "InceptionV3": _ported("inception_v3/inception_v3", "bcbd6486424b2319ff4ef7d526e38f63", 88),
    "MobileNet": _stored("mobilenet/mobilenet_1_0_{size}_tf_no_top.h5", "", 13),
    "MobileNetV2": _stored("mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_{size}_no_top.h5", "", 9),
    "MobileNetV3Large": _stored(
        "mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
        "07fb09a5933dd0c8eaafa16978110389",
        12,
    ),
    "MobileNetV3Small": _stored(
        "mobilenet_v3/weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
        "d3e8ec802a04aa4fc771ee12a9a9b836",
        4,
    ),
    "NASNetLarge": _stored(
        "nasnet/NASNet-large-no-top.h5",
        "d81d89dc07e6e56530c4e77faddd61b5",
        340,
        "nasnet_large_no_top.h5",
    ),
    "NASNetMobile": _stored(
        "nasnet/NASNet-mobile-no-top.h5",
        "1ed92395b5b598bdda52abe5c0dbfd63",
        18,
        "nasnet_mobile_no_top.h5",
    ),
    "ResNet101": _ported("resnet/resnet101", "88cf7a10940856eca736dc7b7e228a21", 171),
    "ResNet101V2": _ported("resnet/resnet101v2", "c0ed64b8031c3730f411d2eb4eea35b5", 171),
    "ResNet152": _ported("resnet/resnet152", "ee4c566cf9a93f14d82f913c2dc6dd0c", 234),
    "ResNet152V2": _ported("resnet/resnet152v2", "ed17cf2e0169df9d443503ef94b23b33", 234),
    "ResNet50": _ported("resnet/resnet50", "4d473c1dd8becc155b73f8504c6f6626", 95),
    "ResNet50V2": _ported("resnet/resnet50v2", "fac2f116257151a9d068a22e544a4917", 95),
    "VGG16": _ported("vgg16/vgg16", "6d6bbae143d832006294945121d1f1fc", 59),
    "VGG19": _ported("vgg19/vgg19", "253f8cb515780f3b799900260a226db6", 81),
    "Xception": _ported("xception/xception", "b0042744bf5b25fce3cb969f33bebb97", 84),
}
