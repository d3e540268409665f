"""Rollback: copies an older version to a new number, because TensorFlow Serving loads the largest one."""

from __future__ import annotations

import os

from components.base.errors import ConfigError
from components.push import versions
from components.push.destination import Destination, at
from components.push.versions import Served


def roll_back(destination: str, version: str | None = None) -> tuple[Served, Served]:
    """Copies an older version to a new, larger number, and withdraws the model that was served.

    A withdrawn model is not pushed again, unless a later rollback brings it back.

    Args:
        destination: folder or fsspec URL of the versions.
        version: version to copy; default: the one before the served version, or if that is itself a copy, before its
            original. Withdrawn models are skipped.

    Returns:
        the version that is served now, and the one that was served before.

    Raises:
        ConfigError: there is no such version, or none to go back to.
        ImagegateError: its files are not those that were pushed, or the new one cannot be written.
    """
    place = at(destination)
    with versions.readable_errors(f"cannot write to {destination}"), place.locked():
        pushed = list(versions.newest_first(place))
        if not pushed:
            raise ConfigError(f"{destination}: no version that imagegate pushed, so there is nothing to go back to")
        served, source = pushed[0], _source(pushed, version, destination)
        return _copy(place, served, source), served


def listed(pushed: list[Served]) -> str:
    """Describes versions, newest first: "9 (served, a copy of 3), 7, 3"."""
    texts = []
    for i, one in enumerate(pushed):
        facts = [] if i else ["served"]
        if one.manifest.rolled_back_to is not None:
            facts.append(f"a copy of {one.manifest.rolled_back_to}")
        texts.append(f"{one.version} ({', '.join(facts)})" if facts else one.version)
    return ", ".join(texts)


def _source(pushed: list[Served], version: str | None, destination: str) -> Served:
    served, older = pushed[0], pushed[1:]
    there = f"{destination} holds {listed(pushed)}"
    if version is not None:
        if version == served.version:
            raise ConfigError(f"version {version} is served already; {there}")
        found = next((one for one in older if one.version == version), None)
        if found is None:
            raise ConfigError(f"there is no version {version}; {there}")
        return found
    origin, gone = int(served.manifest.rolled_back_to or served.version), served.manifest.withdrawn
    for one in older:
        identity = versions.identity(one.model)
        if int(one.version) < origin and identity not in gone and identity != versions.identity(served.model):
            return one
    raise ConfigError(f"there is no version before {origin} to go back to; {there}")


def _copy(place: Destination, served: Served, source: Served) -> Served:
    withdrawn = served.manifest.withdrawn | {versions.identity(served.model): served.version}
    withdrawn.pop(versions.identity(source.model), None)  # a damaged version may be replaced by its own equal
    facts = {
        "compared_with": None,
        "rolled_back_from": served.version,
        "rolled_back_to": source.manifest.rolled_back_to or source.version,
        "withdrawn": withdrawn,
    }
    with versions.local(source) as folder:
        files = source.manifest.files
        return versions.add(
            place, {name: os.path.join(folder, name) for name in files}, files, source.manifest.model_copy(update=facts)
        )
