"""The program that converts a SavedModel to one format; `convert` starts it, and it ends when its input does."""

from __future__ import annotations

import os
import sys
import threading

import numpy as np

from components.base.errors import print_trace
from components.exports import convert, litert, onnx, openvino
from components.exports.metadata import Metadata

_WRITERS = {"litert": litert.write, "onnx": onnx.write, "openvino": openvino.write}


def main(model: str, runtime: str, images: str, metadata: str, path: str) -> int:
    """Converts. Returns the exit code.

    Args:
        model: folder of the SavedModel.
        runtime: a key of `_WRITERS`.
        images: path of an array, uint8 [n, H, W, 3], for 8-bit integers; "": float32.
        metadata: path of what the file is to say of itself, as JSON.
        path: the file to write.
    """
    with open(metadata, encoding="utf-8") as f:
        source = convert.Source(model, *convert.load(model), Metadata.from_json(f.read()))
    try:
        _WRITERS[runtime](source, np.load(images, mmap_mode="r") if images else None, path)
    except Exception as error:  # noqa: BLE001  whatever a converter raises is told in a line
        print_trace()
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        print(f"{convert.REFUSED}{lines[0][:300]}", file=sys.stderr, flush=True)
        return 1
    return 0


def _end_with_input() -> None:
    os.read(0, 1)  # not sys.stdin, whose lock would be held when the interpreter ends
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_input, daemon=True).start()
    raise SystemExit(main(*sys.argv[1:]))
