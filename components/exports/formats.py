"""The formats that a model is exported to, and what each needs. Importing this loads nothing."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from components.base.artifact_files import EXPORTS_FOLDER


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        name: as in `push.formats`, such as "litert-int8".
        runtime: what converts and runs it; also the extra of imagegate that installs this.
        int8: whether weights and activations are 8-bit integers, as far as the runtime has such operations.
        endings: of its files; the first is the one that is opened.
        modules: that must be installed.
    """

    name: str
    runtime: str
    int8: bool
    endings: tuple[str, ...]
    modules: tuple[str, ...]

    @property
    def files(self) -> list[str]:
        """Names of its files in the folder of a version."""
        return [f"{EXPORTS_FOLDER}/{self.name}{ending}" for ending in self.endings]


_RUNTIMES = {
    "litert": ((".tflite",), ("ai_edge_litert",), ("ai_edge_litert",)),
    "onnx": ((".onnx",), ("onnx", "onnxruntime", "tf2onnx"), ("onnx", "onnxruntime", "tf2onnx")),
    "openvino": ((".xml", ".bin"), ("openvino",), ("openvino", "nncf")),
}
FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        f"{runtime}{'-int8' if int8 else ''}": Format(
            f"{runtime}{'-int8' if int8 else ''}", runtime, int8, endings, quantised if int8 else plain
        )
        for runtime, (endings, plain, quantised) in _RUNTIMES.items()
        for int8 in (False, True)
    }
)


def is_export(path: str) -> bool:
    """Whether a path has the ending of an exported file."""
    return os.path.splitext(path)[1].lower() in {one.endings[0] for one in FORMATS.values()}


def missing(names: Iterable[str]) -> Iterator[str]:
    """Yields a sentence for each format whose runtime is not installed."""
    for name in names:
        lacking = [module for module in FORMATS[name].modules if importlib.util.find_spec(module) is None]
        if lacking:
            extra = FORMATS[name].runtime
            yield (
                f"{name} needs {', '.join(lacking)}, not installed here; install the extra {extra}: "
                f"pip install 'imagegate[{extra}]'"
            )
