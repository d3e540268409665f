"""Opens exported files with their own runtimes; as a script, runs one over many images in a process of its own.

Usage: `runtimes.py FILE PIXELS ANSWER`. Asks the file for all images of the array PIXELS.npy, uint8 [n, H, W, 3], and
writes the array of each output to a file of its own, ANSWER.0.npy and so on, and their names and the latency to
ANSWER.json. It must not import anything of this project, nor TensorFlow: an exported file has to do without.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KEY = "imagegate"  # of the JSON in the metadata of a file
BATCH = 32
# Number of calls with one image: untimed ones first; those of the serving check. Chosen by hand; not measured.
_WARM_UP, _SINGLE = 3, 20


class Opened(NamedTuple):
    """An exported file, ready to answer.

    Attributes:
        metadata: see `metadata.Metadata`.
        ask: pixels uint8 [n, H, W, 3] -> name of an output -> array [n, ...].
    """

    metadata: dict[str, Any]
    ask: Callable[[NDArray[np.uint8]], dict[str, NDArray[Any]]]


def open_file(path: str) -> Opened:
    """Opens a file by its ending.

    Raises:
        Exception: its runtime cannot open it, or imagegate did not write it; each runtime has errors of its own.
    """
    return _OPENERS[os.path.splitext(path)[1].lower()](path)


def _cores() -> int:
    """Cores that this process may use."""
    known = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(known(0)) if known else os.cpu_count() or 1


def _litert(path: str) -> Opened:
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter

    with open(path, "rb") as f:
        content = f.read()
    # The interpreter reads from this copy for as long as it lives, and refuses what is no model.
    run = Interpreter(model_content=content, num_threads=_cores()).get_signature_runner()
    model = schema.Model.GetRootAsModel(content, 0)
    named = {model.Metadata(i).Name(): model.Metadata(i).Buffer() for i in range(model.MetadataLength())}
    metadata = model.Buffers(named[KEY.encode()]).DataAsNumpy().tobytes()
    return Opened(json.loads(metadata), lambda pixels: dict(run(pixels=pixels)))


def _onnx(path: str) -> Opened:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return Opened(
        json.loads(session.get_modelmeta().custom_metadata_map[KEY]),
        lambda pixels: dict(zip(names, session.run(names, {"pixels": pixels}), strict=True)),
    )


def _openvino(path: str) -> Opened:
    # Without this package, nothing that is opened is reported to the maker of OpenVINO.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    # Some processors would compute float32 in 16 bits.
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    metadata = json.loads(model.get_rt_info(KEY).astype(str))
    return Opened(
        metadata,
        lambda pixels: {output.get_any_name(): array for output, array in compiled({"pixels": pixels}).items()},
    )


_OPENERS: dict[str, Callable[[str], Opened]] = {".tflite": _litert, ".onnx": _onnx, ".xml": _openvino}


def main(path: str, pixels: str, answer: str) -> None:
    """Asks for every image, and measures. Any error ends the process, and the caller reads its exit code and log."""
    import numpy as np

    images = np.load(pixels, mmap_mode="r")
    ask = open_file(path).ask
    names: list[str] = []
    written: list[NDArray[Any]] = []
    for start in range(0, len(images), BATCH):
        block = np.array(images[start : start + BATCH])
        part = ask(block)
        if not start:
            names = list(part)
            # On disk, because the masks of a test split may be larger than the memory.
            written = [
                np.lib.format.open_memmap(f"{answer}.{i}.npy", "w+", array.dtype, (len(images), *array.shape[1:]))
                for i, array in enumerate(part.values())
            ]
        for name, array in zip(names, written, strict=True):
            if part[name].shape != (len(block), *array.shape[1:]):  # which NumPy might spread over the images
                raise ValueError(f"output {name!r} has the shape {part[name].shape} for {len(block)} images")
            array[start : start + len(block)] = part[name]
    for array in written:
        array.flush()  # type: ignore[attr-defined]
    single = np.array(images[:1])
    seconds = []
    for _ in range(_WARM_UP + _SINGLE):
        started = time.perf_counter()
        ask(single)
        seconds.append(time.perf_counter() - started)
    timed = 1000 * np.array(seconds[_WARM_UP:])
    with open(f"{answer}.json", "w", encoding="utf-8") as f:
        latency = {"median": float(np.median(timed)), "p95": float(np.quantile(timed, 0.95))}
        json.dump({"outputs": names, "latency_ms": latency}, f)


if __name__ == "__main__":
    main(*sys.argv[1:])
