"""The program that converts a SavedModel to one format; `convert` starts it."""

from __future__ import annotations

import sys

import numpy as np

from components.base.errors import print_trace
from components.exports import convert, litert, onnx, openvino
from components.exports.metadata import Metadata

_WRITERS = {"litert": litert.write, "onnx": onnx.write, "openvino": openvino.write}


def main(model: str, runtime: str, images: str, path: str) -> int:
    """Converts, with the metadata of the file on standard input. Returns the exit code.

    Args:
        model: folder of the SavedModel.
        runtime: a key of `_WRITERS`.
        images: path of an array, uint8 [n, H, W, 3], for 8-bit integers; "": float32.
        path: the file to write.
    """
    source = convert.Source(model, *convert.load(model), Metadata.from_json(sys.stdin.read()))
    try:
        _WRITERS[runtime](source, np.load(images, mmap_mode="r") if images else None, path)
    except Exception as error:  # noqa: BLE001  whatever a converter raises is told in a line
        print_trace()
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        print(f"{convert.REFUSED}{lines[0][:300]}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
