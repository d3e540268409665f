"""Rollback: copies an older version to a new number, because TensorFlow Serving loads the largest one."""

from __future__ import annotations

import dataclasses
import os

from components.base.errors import ConfigError
from components.push import aliases, versions
from components.push.destination import Destination, at
from components.push.signing.trust import NOBODY, Trust
from components.push.versions import Served


def roll_back(
    destination: str,
    version: str | None = None,
    *,
    name: str = "",
    take_over: bool = False,
    trust: Trust = NOBODY,
) -> tuple[Served, Served]:
    """Copies an older version to a new, larger number, and withdraws the model that was served.

    A withdrawn model is not pushed again, unless a later rollback brings it back. Where the named version or an intact
    copy of its model is served already, signed by the key that signs now, nothing is done.

    Args:
        destination: folder or fsspec URL of the versions.
        version: version to copy; default: the one before the served version, or if that is itself a copy, before its
            original. Withdrawn models are skipped, and versions that cannot be used; see `Served.passed_over`.
        name: of the configuration, which must have pushed both versions; "": any may have.
        take_over: `push.take_over`, which allows another name.
        trust: whose signature the older version needs, and with which key the copy is signed anew: it has a number and
            a manifest of its own. The version that is served needs none, since going back is the way out.

    Returns:
        the version that is served now, and the one that was served before: the same where nothing was done.

    Raises:
        ConfigError: there is no such version, or none to go back to, or another configuration pushed it.
        ImagegateError: its files are not those that were pushed, or the new one cannot be written.
    """
    place, any_name = at(destination, trust), take_over or not name
    with versions.readable_errors(f"cannot write to {destination}"), place.locked():
        pushed = list(versions.newest_first(place))
        if not pushed:
            raise ConfigError(f"{destination}: no version that imagegate pushed, so there is nothing to go back to")
        served, source = pushed[0], _source(pushed, version, destination)
        for one in (served, source):
            versions.require_name(one, name, take_over=any_name)
        if source.problem:
            raise versions.Damaged(f"{source.problem}; it is not brought back")
        if _is_served(source, served) and versions.is_signed(served, trust):
            aliases.update(place)  # the call before may have ended before it did
            return served, served
        now = _copy(place, pushed, source)
        aliases.update(place)
        if version is not None:
            return now, served
        newer = pushed[1 : pushed.index(source)]
        return dataclasses.replace(now, passed_over=tuple(one.version for one in newer if one.problem)), served


def listed(pushed: list[Served]) -> str:
    """Describes versions, newest first: "9 (served, a copy of 3), 7, 3"."""
    texts = []
    for i, one in enumerate(pushed):
        facts = [] if i else ["served"]
        if one.manifest.rolled_back_to is not None:
            facts.append(f"a copy of {one.manifest.rolled_back_to}")
        if one.flaw:
            facts.append(one.flaw)
        texts.append(f"{one.version} ({', '.join(facts)})" if facts else one.version)
    return ", ".join(texts)


def _source(pushed: list[Served], version: str | None, destination: str) -> Served:
    served, older = pushed[0], pushed[1:]
    there = f"{destination} holds {listed(pushed)}"
    if version is not None:
        found = next((one for one in pushed if one.version == version), None)
        if found is None:
            raise ConfigError(f"there is no version {version}; {there}")
        return found
    origin, gone = int(served.manifest.rolled_back_to or served.version), _withdrawn(pushed)
    for one in older:
        usable = not one.problem and one.identity not in gone and one.identity != served.identity
        if usable and int(one.version) < origin:
            return one
    raise ConfigError(f"there is no version before {origin} to go back to; {there}")


def _is_served(source: Served, served: Served) -> bool:
    """Whether the served version is the source or a copy of its model, and intact.

    Raises:
        Damaged: the source itself is served and damaged, so there is nothing to copy.
    """
    if source == served:
        versions.verify(served)
        return True
    return not served.problem and source.identity == served.identity and versions.intact(served)


def _withdrawn(pushed: list[Served]) -> dict[str, str]:
    """The models that are withdrawn, by the newest manifest that can be read."""
    return dict(next((one.manifest.withdrawn for one in pushed if not one.problem), {}))


def _copy(place: Destination, pushed: list[Served], source: Served) -> Served:
    served, gone = pushed[0], _withdrawn(pushed)
    if not served.problem:
        gone[served.identity] = served.version
    gone.pop(source.identity, None)  # a damaged version may be replaced by its own equal
    facts = {
        "challenger": False,  # the source may be one that somebody copied by hand
        "compared_with": None,
        "promoted_from": None,
        "rolled_back_from": served.version,
        "rolled_back_to": source.manifest.rolled_back_to or source.version,
        "withdrawn": gone,
    }
    with versions.local(source) as folder:
        files = source.manifest.files
        return versions.add(
            place, {name: os.path.join(folder, name) for name in files}, files, source.manifest.model_copy(update=facts)
        )
