"""Files that listings leave aside: hidden files, and the project's own folders where they lie inside the data set.

Layouts list the files of a root in many ways, some several times. `watch` collects what all of them left aside, so that
no layout needs to pass it on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass
class Aside:
    """The files that listings left aside since `watch` began.

    Attributes:
        places: folders and files that are skipped: absolute paths or URLs, spelt as the root that they lie in.
        hidden: hidden files and folders, and those of file managers; absolute. A folder's content is not counted.
        met: those of `places` that a listing came across.
        notes: sentences on archives: what had to be guessed or merged.
    """

    places: frozenset[str] = frozenset()
    hidden: set[str] = field(default_factory=set)
    met: set[str] = field(default_factory=set)
    notes: dict[str, None] = field(default_factory=dict)

    def below(self, root: str) -> frozenset[str]:
        """Returns the places inside `root`, relative to it.

        >>> sorted(Aside(frozenset({"/data/runs", "/elsewhere"})).below("/data/"))
        ['runs']
        """
        prefix = root.rstrip("/") + "/"
        return frozenset(place[len(prefix) :] for place in self.places if place.startswith(prefix))


_watching: ContextVar[Aside | None] = ContextVar("watching", default=None)


def current() -> Aside:
    """Returns what `watch` yielded, or else a new object that nobody looks at."""
    return _watching.get() or Aside()


@contextlib.contextmanager
def watch(places: Collection[str] = ()) -> Iterator[Aside]:
    """Lets listings skip `places`, and collects what they leave aside, until the block ends.

    Args:
        places: see `Aside.places`.
    """
    aside = Aside(frozenset(place.rstrip("/") for place in places))
    token = _watching.set(aside)
    try:
        yield aside
    finally:
        _watching.reset(token)
