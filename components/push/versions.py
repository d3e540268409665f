"""Versions of a model in a push destination, where TensorFlow Serving finds them: pushed, and removed when too many."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from components.base.digests import of_file
from components.base.errors import ImagegateError
from components.push import aliases, history
from components.push.destination import Content, Destination, NoNumber, at, digests
from components.push.manifest import PushedManifest
from components.push.refusals import (
    AnotherName,
    NoChampion,
    NotPushed,
    Superseded,
    Withdrawn,
    another_name,
    superseded,
    withdrawn,
)
from components.push.served import (
    Damaged,
    Served,
    challenger,
    challengers,
    content,
    current,
    identity,
    intact,
    local,
    newest_first,
    read,
    readable_errors,
    usable,
    verify,
)

__all__ = [
    "AnotherName",
    "Damaged",
    "NoChampion",
    "NoNumber",
    "NotPushed",
    "Served",
    "Superseded",
    "Withdrawn",
    "add",
    "at_start",
    "challenger",
    "challengers",
    "content",
    "current",
    "digests",
    "identity",
    "intact",
    "local",
    "newest_first",
    "push",
    "read",
    "readable_errors",
    "require_champion",
    "require_evaluated",
    "require_name",
    "require_number",
    "tidy",
    "usable",
    "verify",
]

# A challenger is numbered by its time, too, but 10^9 seconds (32 years) less, so that versions by time are larger.
_BELOW = 10**9
_NOTHING: Mapping[str, Content] = MappingProxyType({})


def at_start(root: str, version: str) -> Served | None:
    """Reads the version that was served when a run began: everything in the run is compared with that one.

    Args:
        root: folder or fsspec URL of the versions.
        version: its number, "" for none.

    Raises:
        Superseded: it was removed since.
        Damaged: its manifest cannot be used.
    """
    if not version:
        return None
    found = read(f"{root.rstrip('/')}/{version}")
    if found is None:
        raise superseded(version, current(root))
    return found


def require_number(destination: str) -> None:
    """Requires that there is a number for one more version, whatever lies in the destination.

    Raises:
        NoNumber: TensorFlow Serving reads no number that is larger than one that is there.
        ImagegateError: the destination cannot be read.
    """
    with readable_errors(f"cannot read {destination}"):
        at(destination).next_version()


def require_name(served: Served | None, name: str, *, take_over: bool) -> None:
    """Requires that what is served was pushed under the name of the configuration.

    Args:
        served: the version, or None.
        name: of the configuration.
        take_over: `push.take_over`, which allows another name.

    Raises:
        AnotherName: another configuration pushed it.
    """
    if served is not None and not take_over and served.manifest.name not in ("", name):
        raise another_name(served, name)


def push(
    model: str,
    destination: str,
    manifest: PushedManifest,
    beside: Mapping[str, Content] = _NOTHING,
    evaluated: Mapping[str, str] | None = None,
    compared: str | None = None,
    *,
    take_over: bool = False,
    as_challenger: bool = False,
) -> Served:
    """Copies a SavedModel to a new version below `destination`; a reader sees the whole version or none.

    Version numbers are seconds since 1970, or one more than the largest where that is not more. Everything that the
    push depends on is read under the destination's lock. A model that is served already, intact, is not pushed again.

    Args:
        model: folder of the SavedModel.
        destination: folder or fsspec URL; made if missing.
        manifest: what to write beside the model; files, version, `beside`, `withdrawn` and `compared_with` are added.
        beside: name -> content, or path, of further files to put there. If the served version is this model, but
            lacks one of them, a version with it follows.
        evaluated: SHA-256 of each file of the model as it was judged; default: as it is.
        compared: the version that was served when the model was judged, "" for none. It must still be the one served,
            unless that is this model already. None: push whatever is served.
        take_over: whether it may replace a version that was pushed under another name.
        as_challenger: whether it stands beside the served version, with a smaller number, instead of replacing it.

    Returns:
        the new version, or the served one or the challenger if that is this model already; see `Served.new`.

    Raises:
        NoChampion: it is a challenger, and no version is served.
        Withdrawn: this model was rolled back.
        AnotherName: the version served now was pushed under another name.
        Superseded: another version than `compared` is served.
        ImagegateError: what arrived is not that model, or the disk is full.
    """
    place = at(destination)
    with readable_errors(f"cannot read {model}"):
        there = digests(model)
    with readable_errors(f"cannot write to {destination}"), place.locked():
        wanted = dict(there if evaluated is None else evaluated)
        served, own = usable(next(newest_first(place), None)), manifest.identity or identity(wanted)
        gone = {} if served is None else served.manifest.withdrawn
        if own in gone:
            raise withdrawn(gone[own])
        facts: dict[str, Any] = {"beside": tuple(sorted(beside)), "withdrawn": gone}
        if compared is not None:
            require_name(served, manifest.name, take_over=take_over)
            if served is not None and served.identity == own and intact(served) and beside.keys() <= _beside(served):
                return served
            if compared != (served.version if served else ""):
                raise superseded(compared, served)
            facts["compared_with"] = compared
        number = None
        if as_challenger:
            beside_it = list(challengers(place))
            old = beside_it[0] if beside_it else None
            if (
                old is not None
                and old.identity == own
                # One that was compared with another version could not be promoted, so it is pushed anew.
                and (compared is None or old.manifest.compared_with in (None, compared))
                and beside.keys() <= _beside(old)
                and intact(old)
            ):
                return old
            number = _challenger_number(place, served, beside_it)
            facts["challenger"] = True
        files: dict[str, Content] = {name: os.path.join(model, name) for name in there}
        wanted |= {name: _digest(content) for name, content in beside.items()}
        return add(place, {**files, **beside}, wanted, manifest.model_copy(update=facts), number)


def require_champion(served: Served | None) -> Served:
    """Requires that a version is served, beside which a challenger can stand.

    Raises:
        NoChampion: none is.
    """
    if served is None:
        raise NoChampion(
            "push.as: challenger: no version is served yet that it could stand beside; push the first one with "
            "push.as: champion"
        )
    return served


def _challenger_number(place: Destination, served: Served | None, there: Sequence[Served]) -> str:
    """The name of the next challenger: larger than those of others, smaller than the served one's."""
    champion = require_champion(served)
    taken = set(place.versions())
    wanted = max(int(time.time()) - _BELOW, *(int(one.version) + 1 for one in there), 1)
    while str(wanted) in taken:
        wanted += 1
    if wanted >= int(champion.version):
        raise NoNumber(
            f"push.destination: version {champion.version}, which is served, has a number that leaves none for a "
            f"challenger, which would be {wanted}: a server loads the largest; push a champion first"
        )
    return str(wanted)


def _beside(served: Served) -> set[str]:
    return set(served.manifest.beside)


def _digest(content: Content) -> str:
    return of_file(content) if isinstance(content, str) else hashlib.sha256(content).hexdigest()


def require_evaluated(found: Mapping[str, str], evaluated: Mapping[str, str]) -> None:
    """Requires that the files of a model are those that were evaluated; both are SHA-256 by path.

    Raises:
        ImagegateError: a file is missing, was changed, or is new.
    """
    for name in sorted(evaluated.keys() | found.keys()):
        expected, is_there = evaluated.get(name, "no such file"), found.get(name, "no such file")
        if expected != is_there:
            raise ImagegateError(
                f"push: {name} is not the file of the model that was evaluated: expected SHA-256 {expected}, "
                f"found {is_there}; nothing was pushed, run again with --force"
            )


def add(
    place: Destination,
    files: Mapping[str, Content],
    wanted: Mapping[str, str],
    manifest: PushedManifest,
    number: str | None = None,
) -> Served:
    """Writes a new version; the destination is locked.

    Args:
        place: where to.
        files: relative path -> the file or its content.
        wanted: SHA-256 that each file must have there.
        manifest: what to write beside them.
        number: of the version; None: a new one that is larger than all others.
    """
    version = number or place.next_version()  # larger also than what is removed now
    place.clean()
    told = {
        "version": version,
        "pushed": history.time_of_push(place),
        "files": {name: wanted[name] for name in sorted(wanted)},
    }
    full = manifest.model_copy(update=told)
    sealed = full.to_json(indent=1).encode()

    def seal(arrived: Mapping[str, str]) -> bytes:
        require_evaluated(arrived, wanted)
        return sealed

    place.put(version, files, seal)
    return Served(version, f"{place.root.rstrip('/')}/{version}", full, new=True)


def tidy(destination: str, keep: int | None) -> tuple[list[str], str]:
    """Removes what killed pushes left, of the versions that imagegate pushed all but the newest `keep`, and of the
    challengers all but the newest one.

    Returns:
        the versions that were removed, and a sentence where something could not be: that is no reason to fail.
    """
    removed, problems = [], []
    try:
        place = at(destination)
        with place.locked():
            problems += [f"{path} cannot be removed" for path in place.clean()]
            ours = [served for served in newest_first(place) if served.manifest.version == served.version]
            leave = (*(ours[keep:] if keep else ()), *list(challengers(place))[1:])
            # First, so that the aliases never name a version that is gone.
            aliases.update(place, without={served.version for served in leave})
            for served in leave:
                try:
                    if not served.manifest.challenger:
                        history.keep(place, served)
                    place.remove(served.version)
                    removed.append(served.version)
                except OSError as error:
                    problems.append(f"{served.path} cannot be removed: {error.strerror or error}")
    except OSError as error:
        problems.append(f"{destination} cannot be tidied: {error.strerror or error}")
    return removed, "; ".join(problems)
