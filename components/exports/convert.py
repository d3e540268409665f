"""A SavedModel as an exported file: the function `pixels` that it carries is converted."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.base.errors import ImagegateError
from components.exports import litert, onnx, openvino
from components.exports.formats import Format
from components.exports.metadata import Metadata

_WRITERS = {"litert": litert.write, "onnx": onnx.write, "openvino": openvino.write}


class NotConverted(ImagegateError):
    """A converter refuses the model; the message says why."""


@dataclass(frozen=True)
class Source:
    """What is converted.

    Attributes:
        loaded: the SavedModel, whose variables the function uses.
        function: uint8 [batch, H, W, 3] -> name of an output -> tensor; a concrete function.
        metadata: what the file is to say of itself.
    """

    loaded: Any
    function: Any
    metadata: Metadata

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return image_size(self.function)


def load(folder: str) -> tuple[Any, Any]:
    """Loads a SavedModel of `signatures.export`: the whole, and its concrete function `pixels`."""
    import tensorflow as tf

    loaded = tf.saved_model.load(folder)
    return loaded, loaded.pixels.get_concrete_function()


def image_size(function: Any) -> tuple[int, int]:
    """Height and width of the function's input."""
    [spec] = function.structured_input_signature[0]
    _, height, width, _ = spec.shape
    return int(height), int(width)


def convert(source: Source, format_: Format, images: NDArray[np.uint8], folder: str) -> str:
    """Writes the file, or files, of one format; returns the path of the first.

    Args:
        source: the model.
        format_: the format.
        images: uint8 [n, H, W, 3], of the train split, for the ranges of 8-bit integers.
        folder: where to.

    Raises:
        NotConverted: the converter refuses the model.
    """
    path = os.path.join(folder, format_.name + format_.endings[0])
    try:
        _WRITERS[format_.runtime](source, images if format_.int8 else None, path)
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise NotConverted(f"it cannot be converted: {lines[0][:300]}") from error
    return path
