"""Reads files that name the values in masks: `classes.txt`, `label_colors.txt`, `_classes.csv`, `labelmap.txt`."""

from __future__ import annotations

import codecs
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from pipeline.init.recognise.sight import Sight

_ENDINGS = (".txt", ".csv", ".names")
_NAME = re.compile(r"class|label|names|code|categor|colou?r|palette|objectinfo|legend", re.IGNORECASE)
_MOST_BYTES = 1 << 18
_MOST_FILES = 20
_MOST_CLASSES = 253
_COLOUR = re.compile(r"(\d{1,3})[\s,;]+(\d{1,3})[\s,;]+(\d{1,3})")

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class ClassNames:
    """The names in one file.

    Attributes:
        path: of the file.
        names: in the order of the lines.
        ids: name -> id, where the file states ids.
        colours: name -> colour, where the file states colours.
    """

    path: str
    names: Sequence[str]
    ids: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    colours: Mapping[str, Colour] = field(default_factory=lambda: MappingProxyType({}))


def find(sight: Sight) -> Iterator[ClassNames]:
    """Yields the files that name classes, those nearest to the root first."""
    paths = [path for path in sight.ending(*_ENDINGS) if _NAME.search(posixpath.basename(path))]
    for path in sorted(paths, key=lambda path: (path.count("/"), path))[:_MOST_FILES]:
        if sight.files[path].size > _MOST_BYTES:
            continue
        try:
            text = sight.read(path).removeprefix(codecs.BOM_UTF8).decode()
        except (OSError, UnicodeDecodeError):
            continue
        if (found := parse(path, text)) is not None:
            yield found


def parse(path: str, text: str) -> ClassNames | None:
    r"""Reads one file: a name on each line, with an id or a colour before or behind it; None if it is something else.

    >>> parse("classes.txt", "cat\ndog\n").names
    ['cat', 'dog']
    >>> parse("label_colors.txt", "64 128 64\tAnimal\n192 0 128\tArchway\n").colours
    {'Animal': (64, 128, 64), 'Archway': (192, 0, 128)}
    >>> parse("_classes.csv", "Pixel Value, Class\n0, ground\n1, cat\n").ids
    {'ground': 0, 'cat': 1}
    """
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if lines and _is_header(lines[0]):
        lines = lines[1:]
    if not 2 <= len(lines) <= _MOST_CLASSES:
        return None
    for reader in (_coloured, _numbered, _plain):
        found = reader(path, lines)
        if found is not None and len(set(found.names)) == len(lines):
            return found
    return None


def _is_header(line: str) -> bool:
    words = {word.strip().lower() for word in re.split(r"[,;\t]", line)}
    return (
        len(words) > 1
        and bool(words & {"name", "class", "r", "red", "label", "pixel value", "idx", "id"})
        and not any(word.isdecimal() for word in words)
    )


def _coloured(path: str, lines: Sequence[str]) -> ClassNames | None:
    colours: dict[str, Colour] = {}
    for line in lines:
        match = _COLOUR.search(line)
        name = "" if match is None else (line[: match.start()] + line[match.end() :]).strip(" \t,;:\"'")
        if match is None or not name or name.isdecimal():
            return None
        red, green, blue = (int(part) for part in match.groups())
        if max(red, green, blue) > 255:
            return None
        colours[name] = (red, green, blue)
    return ClassNames(path, list(colours), colours=colours)


def _numbered(path: str, lines: Sequence[str]) -> ClassNames | None:
    ids: dict[str, int] = {}
    for line in lines:
        parts = [part.strip(" \"'") for part in line.split("\t")] if "\t" in line else _cells(line)
        numbers = [part for part in parts if part.isdecimal()]
        words = [part for part in parts if part and not re.fullmatch(r"[-\d.]+", part)]
        if not numbers or not words:
            return None
        # "screen, CRT screen" names the label by several words; the first that is free is taken.
        synonyms = [word.strip() for word in re.split("[;,]", words[-1])]
        ids[next((word for word in synonyms if word not in ids), words[-1])] = int(numbers[0])
    if len(set(ids.values())) < len(lines):
        return None
    return ClassNames(path, list(ids), ids=ids)


def _cells(line: str) -> list[str]:
    """Cuts "3: sky", "3,sky", "3 sky" or "sky 3" in two."""
    match = re.fullmatch(r"(\d+)\s*[,;:= ]\s*(.+)|(.+?)\s*[,;:= ]\s*(\d+)", line)
    return [part.strip(" \"'") for part in match.groups() if part] if match else []


def _plain(path: str, lines: Sequence[str]) -> ClassNames | None:
    if any(len(line) > 60 or re.search(r"[,;\t/\\]", line) or not line.isprintable() for line in lines):
        return None
    return ClassNames(path, list(lines))
