"""The files of a data set as `init` sees them, and the form of a proposal how to read it."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from components.data import storage
from components.data.storage import File
from components.ingest.layouts.listing import endings


@dataclass(frozen=True)
class Sight:
    """The files of a data set. Only names and sizes are known until a recogniser reads one.

    Attributes:
        root: folder, archive or fsspec URL.
        files: path below `root` -> file, sorted by path; hidden files and those with a `problem` are not among them.
        start: path of the file that the user named, such as a table or an annotation file; "" for a folder or archive.
    """

    root: str
    files: Mapping[str, File]
    start: str = ""

    @cached_property
    def images(self) -> tuple[str, ...]:
        """Paths whose ending is that of an image: of a photo or, within `listing.arrays_too`, also of an array."""
        return self.ending(*(endings() - {""}))

    @cached_property
    def top(self) -> tuple[str, ...]:
        """Names of the folders at the top that hold files at any depth, sorted."""
        return tuple(sorted({path.partition("/")[0] for path in self.files if "/" in path}))

    def ending(self, *endings: str) -> tuple[str, ...]:
        """Returns the paths that end so, sorted; endings are in lower case and hold the dot."""
        return tuple(path for path in self.files if posixpath.splitext(path)[1].lower() in endings)

    def read(self, path: str) -> bytes:
        """Reads a file of `files`.

        Raises:
            OSError: it cannot be read.
        """
        return storage.read(self.root, path)


@dataclass(frozen=True)
class Proposal:
    """One way to read a data set: values for the sections `data` and `labels`, and what they were concluded from.

    Attributes:
        layout: value of `data.layout`.
        tasks: values of `task` that this layout and these labels allow, the most likely first.
        reason: one clause that completes "reads it as LAYOUT, since …": what was seen.
        data, labels: keys of the sections, without `root` and `layout`; values as in YAML.
        comments: dotted key ("data.separator") -> the conclusion to write behind it.
        below: folder below `Sight.root` that becomes part of `data.root`; "" for the root itself.
        notes: sentences for the head of the file and the terminal: what was seen but left aside.
        last: whether it is worth naming only if there is no other proposal.
        unnamed: tasks that are possible, too, but not worth naming unless asked for.
        problem: why it cannot be used, as a sentence; said where nothing else fits. Such a proposal has no tasks.
    """

    layout: str
    tasks: tuple[str, ...]
    reason: str
    data: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)
    comments: Mapping[str, str] = field(default_factory=dict)
    below: str = ""
    notes: Sequence[str] = ()
    last: bool = False
    unnamed: Sequence[str] = ()
    problem: str = ""


# Yields nothing where the files do not fit, and several proposals where they can be read in several ways.
Recogniser = Callable[[Sight], Iterable[Proposal]]
