"""Text files that list images: one name per line, in the spellings of Pascal VOC and its relatives."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from components.base.text import truncated_list
from components.data.dataset import LayoutError
from components.ingest.layouts.listing import endings
from components.ingest.layouts.paths.pairs import near

_FLAGS = {"-1", "0", "1"}  # of VOC's lists for one class: absent, hard to say, present
_LONGEST = 4096  # characters of a path
_CUT = re.compile(r"[\s,;]+")


@dataclass(frozen=True)
class Names:
    """The images that lines may name.

    Attributes:
        keys: paths of the images without folder, suffix and extension.
        image_suffix, mask_suffix: the ends of file names before the extension.
    """

    keys: Collection[str]
    image_suffix: str = ""
    mask_suffix: str = ""

    def __post_init__(self) -> None:
        by_name: dict[str, list[str]] = defaultdict(list)
        for key in self.keys:
            by_name[posixpath.basename(key)].append(key)
        object.__setattr__(self, "_by_name", dict(by_name))

    def find(self, name: str, suffix: str | None = None) -> str | None:
        """Returns the key of the image that a path names: with or without folders in front, suffix and extension."""
        if len(name) > _LONGEST:
            return None
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
        for start in range(len(parts)):
            for spelling in _spellings("/".join(parts[start:]), self.image_suffix if suffix is None else suffix):
                if spelling in self.keys:
                    return spelling
        for spelling in _spellings(parts[-1], self.image_suffix if suffix is None else suffix) if parts else ():
            same = self._by_name.get(spelling, [])  # type: ignore[attr-defined]
            if len(same) == 1:
                return str(same[0])
        return None


@dataclass(frozen=True)
class Listed:
    """The images that a list names.

    Attributes:
        keys: of the images, in order, each once.
        missing: lines that name no image.
        flagged: number of lines with a flag behind the name, which was not used.
        paths: number of lines with a path, extension or second file, of which the name was used.
    """

    keys: tuple[str, ...]
    missing: tuple[str, ...]
    flagged: int = 0
    paths: int = 0

    def notes(self, path: str) -> list[str]:
        """Says in sentences what of the list at `path` was not used, or read in another way."""
        sentences = []
        if self.flagged:
            sentences.append(f"{path}: {self.flagged:,} lines have 1, 0 or -1 behind the name, which is not used")
        if self.paths:
            sentences.append(f"{path}: {self.paths:,} lines have a path or an extension; images are found by name")
        return sentences


def parse(text: str, path: str, names: Names, where: str) -> Listed:
    """Reads a list.

    Each line names an image: `x`, `x.jpg`, a path, one of these and VOC's flag (`x -1`), or an image and its mask.

    Args:
        text: content of the list.
        path: of the list, for messages.
        names: the images.
        where: describes the image files, for messages.

    Raises:
        LayoutError: most lines name no image, a line pairs an image with the mask of another, or two lines mean one
            image by different paths.
    """
    named: dict[str, str] = {}
    missing: list[str] = []
    flagged = paths = 0
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    for line in lines:
        first, other = _parted(line, names)
        key = names.find(first)
        if key is None:
            missing.append(line)
            continue
        if named.setdefault(key, first) != first:
            raise LayoutError(f"{path}: the lines {named[key]!r} and {first!r} mean the same image {key!r}; remove one")
        flagged += other in _FLAGS
        paths += first != key
        if other and other not in _FLAGS and names.find(other, names.mask_suffix) != key:
            raise LayoutError(
                f"{path}: {line!r} pairs an image with a file of another name, but a mask is found by the name of its "
                "image; rename one of the two"
            )
    if len(missing) * 2 > len(lines):
        raise LayoutError(_refusal(path, missing, len(lines), names, where))
    return Listed(tuple(named), tuple(missing), flagged, paths)


def _parted(line: str, names: Names) -> tuple[str, str]:
    """Cuts a line into the image and a flag or second file, or ""; names may hold blanks."""
    parts = _CUT.split(line)
    if len(parts) != 2 or any(spelling in names.keys for spelling in _spellings(line, names.image_suffix)):
        return line, ""
    known = names.find(parts[0]) is not None
    second = parts[1] in _FLAGS or names.find(parts[1], names.mask_suffix) is not None
    return (parts[0], parts[1]) if known and second else (line, "")


def _refusal(path: str, missing: list[str], count: int, names: Names, where: str) -> str:
    example = min(names.keys, default="x")
    likely = next(filter(None, (near(posixpath.basename(line), sorted(names.keys)) for line in missing[:5])), "")
    shown = truncated_list(repr(line[:_LONGEST]) for line in missing)
    return (
        f"{path}: {len(missing):,} of {count:,} lines name no image {where}: {shown}; "
        f"expected one name per line, such as {example!r}" + (f"; did you mean {likely!r}?" if likely else "")
    )


def _spellings(name: str, suffix: str) -> Iterable[str]:
    """Yields the name as it is, and without extension and suffix."""
    yield name
    stem, ending = posixpath.splitext(name)
    stem = stem if ending.lower() in endings() else name
    yield stem
    if suffix and stem.endswith(suffix):
        yield stem[: len(stem) - len(suffix)]
