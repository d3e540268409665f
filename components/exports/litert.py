"""Conversion to LiteRT, formerly TensorFlow Lite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.exports.runtimes import KEY

if TYPE_CHECKING:
    from components.exports.convert import Source


def write(source: Source, calibration: NDArray[np.uint8] | None, path: str) -> None:
    """Converts a model.

    Args:
        source: the model.
        calibration: uint8 [n, H, W, 3], by which the range of each activation is measured for 8-bit integers; None:
            float32.
        path: the file to write.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([source.function], source.loaded)
    if calibration is not None:
        images = calibration

        def representative() -> Iterator[list[NDArray[np.uint8]]]:
            for i in range(len(images)):
                yield [images[i : i + 1]]

        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative
        # Operations without an 8-bit form, such as that of a layer of the user's, stay float32.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS]
    with open(path, "wb") as f:
        f.write(_with_metadata(converter.convert(), source.metadata.to_json()))


def _with_metadata(content: bytes, text: str) -> bytes:
    """Adds an entry to the metadata of a file."""
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model: Any = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    entry, buffer = schema.MetadataT(), schema.BufferT()
    buffer.data = np.frombuffer(text.encode(), np.uint8)
    entry.name, entry.buffer = KEY, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
