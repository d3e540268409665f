"""Pretrained networks that are at hand, so that nothing has to be downloaded."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator

from components.base.values import parsed_json
from components.model.networks import catalogue, weights

# Those that keras.applications has, the preferred first.
_PREFERRED = (
    "EfficientNetV2B0",
    "EfficientNetB0",
    "ConvNeXtTiny",
    "MobileNetV3Large",
    "ResNet50V2",
    "ResNet50",
    "DenseNet121",
    "MobileNetV3Small",
    "VGG16",
)
_LARGEST = 64 << 20  # bytes of the description of a network; what is cut off is no JSON
# Last layers of networks that answer with numbers instead of feature maps.
_HEADS = ("Dense", "Flatten", "Global", "Softmax", "Reshape")


def at_hand(folder: str) -> tuple[str, str]:
    """Returns `training.backbone` and why: a `.keras` file in `folder`, weights that Keras has, or `small`.

    Args:
        folder: that of the configuration.
    """
    files = list(_files(folder))
    if files:
        others = f"; also here: {', '.join(files[1:])}" if files[1:] else ""
        return files[0], f"a network without a head, beside this file{others}"
    for name in _PREFERRED:
        if weights.cached(catalogue.WEIGHTS[name]):
            return name, f"its ImageNet weights are in {weights.folder()}"
    return "small", (
        "starts from random weights; a few hundred images are learnt far better by a pretrained network: write "
        "EfficientNetV2B0 here (`imagegate backbone list` has more), or the path of a .keras file"
    )


def _files(folder: str) -> Iterator[str]:
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".keras") and not name.startswith("."))
    except OSError:
        return
    yield from (name for name in names if _is_backbone(os.path.join(folder, name)))


def _is_backbone(path: str) -> bool:
    """Whether a `.keras` file describes a network from RGB images to feature maps, as far as its description says."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("config.json") as f:
            config = parsed_json(f.read(_LARGEST))["config"]
        layers = {layer["name"]: layer for layer in config["layers"]}
        first = next(layer for layer in config["layers"] if layer["class_name"] == "InputLayer")
        shape = first["config"].get("batch_shape") or first["config"]["batch_input_shape"]
        output = config.get("output_layers") or [config["layers"][-1]["name"]]
        last = layers[output[0] if isinstance(output[0], str) else output[0][0]]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, StopIteration, zipfile.BadZipFile):
        return False
    except (NotImplementedError, RuntimeError, EOFError, zlib.error):  # an unknown compression, encrypted, cut, damaged
        return False
    return len(shape) == 4 and shape[-1] == 3 and not str(last["class_name"]).startswith(_HEADS)
