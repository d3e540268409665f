"""A SavedModel as an exported file: the function `pixels` that it carries is converted, in a fresh process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

import components
from components.base.errors import ImagegateError
from components.exports.formats import Format
from components.exports.metadata import Metadata
from components.gates.serving_check import last_words

_SECONDS = 3600  # limit of a conversion, with the start of its process. Chosen by hand; not measured
REFUSED = "imagegate: not converted: "  # begins the line in which the process says what the converter said


class NotConverted(ImagegateError):
    """A converter refuses the model, or does not come to an end; the message says why."""


@dataclass(frozen=True)
class Source:
    """What is converted.

    Attributes:
        folder: of the SavedModel.
        loaded: the SavedModel, whose variables the function uses.
        function: uint8 [batch, H, W, 3] -> name of an output -> tensor; a concrete function.
        metadata: what the file is to say of itself.
    """

    folder: str
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


def convert(source: Source, format_: Format, images: str, folder: str) -> str:
    """Writes the file, or files, of one format; returns the path of the first.

    Converters are large programs in other languages, which a model may crash. So each runs in a process of its own,
    see `converter`, and what becomes of that concerns its format alone. It ends with this process, however that ends.

    Args:
        source: the model.
        format_: the format.
        images: path of an array of NumPy's format, uint8 [n, H, W, 3], of the train split, for the ranges of 8-bit
            integers.
        folder: where to.

    Raises:
        NotConverted: the converter refuses the model, crashes, or takes too long.
    """
    path = os.path.join(folder, format_.name + format_.endings[0])
    program = [sys.executable, "-P", "-m", "components.exports.converter"]
    # Where this package is, also if it is not installed.
    root = os.path.dirname(os.path.dirname(components.__file__))
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    searched = os.pathsep.join([*map(os.path.abspath, given), root])
    environment = os.environ | {"PYTHONPATH": searched}
    with tempfile.TemporaryDirectory() as work:
        metadata, log = os.path.join(work, "metadata.json"), os.path.join(work, "log")
        with open(metadata, "w", encoding="utf-8") as f:
            f.write(source.metadata.to_json())
        calibration = os.path.abspath(images) if format_.int8 else ""
        paths = (os.path.abspath(source.folder), format_.runtime, calibration, metadata, os.path.abspath(path))
        with (
            open(log, "wb") as written,
            # Nothing is written to its input, which the system closes when this process ends: then it ends as well.
            # ONNX Runtime leaves files in the current folder where it fails.
            subprocess.Popen(
                [*program, *paths],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=written,
                env=environment,
                cwd=work,
            ) as process,
        ):
            try:
                code = process.wait(_SECONDS)
            except subprocess.TimeoutExpired:
                raise NotConverted(f"its conversion did not end within {_SECONDS:,} seconds") from None
            finally:
                process.kill()  # does nothing if it has ended
        with open(log, encoding="utf-8", errors="replace") as f:
            lines = f.read()
    if code:
        told = [line.removeprefix(REFUSED) for line in lines.splitlines() if line.startswith(REFUSED)]
        why = told[-1] if told else f"the converter broke: {last_words(code, lines)}"
        raise NotConverted(f"it cannot be converted: {why}")
    return path
