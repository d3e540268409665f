"""YOLO's `data.yaml`, or a list of names: which label each class id means, and where the images are.

Read with ruamel.yaml down to the text of each value, because YAML would turn the names `no`, `010` and `null` into
something else. Nothing outside the data set is read, and `download:` is never followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.data.dataset import LayoutError, label_name
from components.ingest.layouts.annotated.shared import files
from components.ingest.layouts.annotated.shared.entries import Malformed
from components.ingest.layouts.listing import Listing
from components.ingest.layouts.rules import first_twice

_LARGEST = 1_000_000  # bytes; 21,841 names of 20 characters have 650 KB and take 3.4 s, a megabyte of brackets 26 s
_SPLITS = {"train": "train", "val": "eval", "valid": "eval", "validation": "eval", "test": "test"}


@dataclass(frozen=True)
class Described:
    """The contents of a `data.yaml`.

    Attributes:
        path: of the file itself.
        names: class id -> label.
        base: its `path`, or "".
        places: split -> folders, lists of images, or images, as the file spells them.
        keypoints: number of values that follow the box of an object in a line, for poses.
    """

    path: str
    names: Mapping[int, str]
    base: str = ""
    places: Mapping[str | None, Sequence[str]] = field(default_factory=dict)
    keypoints: int = 0


def load(listing: Listing, path: str) -> Described:
    """Reads a `.yaml` file, or a text file with one name per line, such as `classes.txt` or `obj.names`.

    Raises:
        ConfigError: there is no such file.
        LayoutError: it cannot be read, or a name is missing, empty or there twice.
    """
    file = files.chosen(listing, path, "data.annotations")
    try:
        text = files.text(listing, file, _LARGEST)
    except Malformed as error:
        raise files.as_layout_error(error) from None
    return parse(text, file.path)


def parse(text: str, path: str) -> Described:
    """Does the same for text that was read from `path`.

    Raises:
        LayoutError: a name is missing, empty or there twice.
    """
    if path.lower().endswith((".yaml", ".yml")):
        return _described(text, path)
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return Described(path, _names(enumerate(lines), path))


def _described(text: str, path: str) -> Described:
    keys = dict(_mapping(_compose(text, path)))
    if "names" not in keys:
        raise LayoutError(f"{path}: the key names is missing; expected the name of each class id")
    names = _names(_numbered(keys["names"], path), path)
    count = _scalar(keys.get("nc"))
    if count and count != str(len(names)):
        raise LayoutError(f"{path}: nc is {count}, but names has {len(names)} entries; make them agree")
    places: dict[str | None, Sequence[str]] = {}
    for key, split in _SPLITS.items():
        values = [value for value in _scalars(keys.get(key)) if value not in ("", "null", "~")]
        if values and split in places:
            raise LayoutError(f"{path}: {key} names a split that another key names already; remove one")
        if values:
            places[split] = values
    base = _scalar(keys.get("path"))
    return Described(path, names, "" if base in ("null", "~") else base, places, _keypoints(keys.get("kpt_shape")))


def _compose(text: str, path: str) -> Any:
    """Parses YAML to nodes, which keep the text of each value."""
    import ruamel.yaml
    from ruamel.yaml.error import YAMLError

    try:
        return ruamel.yaml.YAML(typ="safe", pure=True).compose(text)
    except RecursionError:
        raise LayoutError(f"{path}: is nested too deeply") from None
    except (YAMLError, ValueError) as error:
        raise LayoutError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def _mapping(node: Any) -> Iterator[tuple[str, Any]]:
    """Yields the keys and nodes of a mapping; nothing for another node."""
    if getattr(node, "id", "") == "mapping":
        yield from ((_scalar(key), value) for key, value in node.value)


def _scalar(node: Any) -> str:
    """The text of a node as it is spelt, or ""."""
    return str(node.value) if getattr(node, "id", "") == "scalar" else ""


def _scalars(node: Any) -> list[str]:
    return [_scalar(entry) for entry in node.value] if getattr(node, "id", "") == "sequence" else [_scalar(node)]


def _numbered(node: Any, path: str) -> Iterator[tuple[int, str]]:
    if getattr(node, "id", "") == "sequence":
        yield from enumerate(_scalars(node))
        return
    pairs = list(_mapping(node))
    if not pairs:
        raise LayoutError(f"{path}: names: expected a list of names, or a mapping from class ids to names")
    for key, value in pairs:
        if not (key.isascii() and key.isdigit() and len(key) < 10):
            raise LayoutError(f"{path}: names: expected class ids as keys, got {key!r}")
        yield int(key), _scalar(value)


def _names(numbered: Iterator[tuple[int, str]] | enumerate[str], path: str) -> dict[int, str]:
    names: dict[int, str] = {}
    for key, name in numbered:
        if key in names:
            raise LayoutError(f"{path}: names: the class id {key} is there twice; remove one")
        if not name.strip():
            raise LayoutError(f"{path}: names: class {key} has no name; write one, and quote it if it is unusual")
        names[key] = label_name(name, f"{path}: names: class {key}")
    if not names:
        raise LayoutError(f"{path}: names no class; expected one name for each class id")
    if twice := first_twice(names.values()):
        raise LayoutError(f"{path}: names: {twice!r} is the name of two classes; rename one")
    return names


def _keypoints(node: Any) -> int:
    values = [value for value in _scalars(node) if value.isdigit() and len(value) < 5]
    return int(values[0]) * int(values[1]) if len(values) == 2 else 0
