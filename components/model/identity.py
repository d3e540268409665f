"""The digest of a SavedModel without what is random in its files: two trainings of the same data have the same."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.base.artifact_files import SAVED_MODEL
from components.push import versions

if TYPE_CHECKING:
    from google.protobuf.message import Message

_FINGERPRINT = "fingerprint.pb"  # digests of the other files, and a random UUID
# TensorFlow ends names of functions with a number that counts what this process has built, so it depends on what ran
# before; captured tensors get such a number for a name.
_LAST, _COUNTED = re.compile(r"_(\d+)$"), re.compile(r"_(\d+)(?!\d)")
_CAPTURED = "_user_specified_name"


def identity(folder: str, digests: Mapping[str, str]) -> str:
    """Computes the identity of a model.

    Args:
        folder: of the SavedModel.
        digests: SHA-256 of each of its files, see `versions.digests`.

    Raises:
        OSError: the graph cannot be read.
    """
    told = {name: digest for name, digest in digests.items() if name != _FINGERPRINT}
    if SAVED_MODEL in told:
        told[SAVED_MODEL] = _graph(os.path.join(folder, SAVED_MODEL)) or told[SAVED_MODEL]
    return versions.identity(told)


def tensorflow_version(folder: str) -> str:
    """Reads which TensorFlow wrote a SavedModel; "" where its graph does not say so."""
    graph = _read(os.path.join(folder, SAVED_MODEL))
    return str(graph.meta_graphs[0].meta_info_def.tensorflow_version) if graph and graph.meta_graphs else ""


def _graph(path: str) -> str:
    """SHA-256 of a graph whose functions are numbered from 0; "" if the file holds no graph."""
    graph = _read(path)
    if graph is None:
        return ""
    for part in graph.meta_graphs:
        functions = part.graph_def.library.function
        _rename(part, _Numbers.of(function.signature.name for function in functions))
        functions.sort(key=lambda function: function.signature.name)
    return hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest()


def _read(path: str) -> Any:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    with open(path, "rb") as f:
        try:
            return saved_model_pb2.SavedModel.FromString(f.read())
        except DecodeError:
            return None


@dataclass(frozen=True)
class _Numbers:
    """For each number at the end of a function's name: the names without it, and what to put in its place."""

    replacements: Mapping[str, Sequence[tuple[str, str]]]

    @classmethod
    def of(cls, names: Iterable[str]) -> _Numbers:
        found = sorted((int(match[1]), name[: match.start()]) for name in names if (match := _LAST.search(name)))
        replacements: dict[str, list[tuple[str, str]]] = {}
        for i, (number, base) in enumerate(found):
            replacements.setdefault(str(number), []).append((base, f"_{i}"))
        return cls(replacements)

    def replaced(self, text: str) -> str:
        """Renumbers each function's name in a text."""

        def number(match: re.Match[str]) -> str:
            before = text[: match.start()]
            named = (new for base, new in self.replacements.get(match[1], ()) if before.endswith(base))
            return next(named, match[0])

        return _COUNTED.sub(number, text) if "_" in text else text


def _rename(message: Message, numbers: _Numbers) -> None:
    """Renumbers the functions in every text of a message, and leaves out the names of captured tensors."""
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _rename_entries(value, numbers)
        elif field.message_type is not None:
            for part in value if field.is_repeated else (value,):
                _rename(part, numbers)
        elif field.cpp_type == field.CPPTYPE_STRING and field.type == field.TYPE_STRING:
            if field.is_repeated:
                value[:] = [numbers.replaced(text) for text in value]
            else:
                setattr(message, field.name, numbers.replaced(value))


def _rename_entries(entries: MutableMapping[Any, Any], numbers: _Numbers) -> None:
    for key in list(entries):
        value = entries[key]
        if key == _CAPTURED:
            del entries[key]
            continue
        if hasattr(value, "ListFields"):
            _rename(value, numbers)
        if isinstance(key, str) and (new := numbers.replaced(key)) != key:
            if hasattr(value, "ListFields"):
                entries[new].CopyFrom(value)
            else:
                entries[new] = numbers.replaced(value) if isinstance(value, str) else value
            del entries[key]
