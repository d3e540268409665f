"""Where the workers of an ingest write: into the folder of the shards, or to a store that they reach themselves."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass
class Place:
    """A store to which the workers write; the folder of the shards, on the driver, is filled from it.

    Attributes:
        url: of the shards.
        url_of: gives the URL of another folder of shards on this machine, those of an earlier ingest.
        fetch: downloads files to the folder: their paths in it, and their SHA-256.
        there: SHA-256 of the files that are in the store, by their paths.
    """

    url: str
    url_of: Callable[[str], str]
    fetch: Callable[[Collection[str], Mapping[str, str]], None]
    there: dict[str, str] = field(default_factory=dict)


_current: ContextVar[Place | None] = ContextVar("place", default=None)


def current() -> Place | None:
    """The store, within `at`; None where workers write into the folder."""
    return _current.get()


@contextlib.contextmanager
def at(place: Place) -> Iterator[None]:
    """Has an ingest within it let its workers write to a store."""
    token = _current.set(place)
    try:
        yield
    finally:
        _current.reset(token)
