"""Versions of a model in a push destination, where TensorFlow Serving finds them: pushed, and removed when too many."""

from __future__ import annotations

import datetime
import hashlib
import os
from collections.abc import Mapping
from types import MappingProxyType

from components.base.digests import of_file
from components.base.errors import ImagegateError
from components.push import history
from components.push.destination import Content, Destination, NoNumber, at, digests
from components.push.manifest import PushedManifest
from components.push.refusals import AnotherName, NotPushed, Superseded, Withdrawn, another_name, superseded, withdrawn
from components.push.served import (
    Damaged,
    Served,
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
    "NoNumber",
    "NotPushed",
    "Served",
    "Superseded",
    "Withdrawn",
    "add",
    "at_start",
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
    "require_evaluated",
    "require_name",
    "require_number",
    "tidy",
    "verify",
]

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

    Returns:
        the new version, or the one served if that is this model already; see `Served.new`.

    Raises:
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
        facts = {"beside": tuple(sorted(beside)), "withdrawn": gone}
        if compared is not None:
            require_name(served, manifest.name, take_over=take_over)
            if served is not None and served.identity == own and intact(served) and beside.keys() <= _beside(served):
                return served
            if compared != (served.version if served else ""):
                raise superseded(compared, served)
            facts["compared_with"] = compared
        files: dict[str, Content] = {name: os.path.join(model, name) for name in there}
        wanted |= {name: _digest(content) for name, content in beside.items()}
        return add(place, {**files, **beside}, wanted, manifest.model_copy(update=facts))


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
    place: Destination, files: Mapping[str, Content], wanted: Mapping[str, str], manifest: PushedManifest
) -> Served:
    """Writes a new version; the destination is locked.

    Args:
        place: where to.
        files: relative path -> the file or its content.
        wanted: SHA-256 that each file must have there.
        manifest: what to write beside them.
    """
    version = place.next_version()  # larger also than what is removed now
    place.clean()
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    told = {"version": version, "pushed": now, "files": {name: wanted[name] for name in sorted(wanted)}}
    full = manifest.model_copy(update=told)
    sealed = full.to_json(indent=1).encode()

    def seal(arrived: Mapping[str, str]) -> bytes:
        require_evaluated(arrived, wanted)
        return sealed

    place.put(version, files, seal)
    return Served(version, f"{place.root.rstrip('/')}/{version}", full, new=True)


def tidy(destination: str, keep: int | None) -> tuple[list[str], str]:
    """Removes what killed pushes left, and of the versions that imagegate pushed all but the newest `keep`.

    Returns:
        the versions that were removed, and a sentence where something could not be: that is no reason to fail.
    """
    removed, problems = [], []
    try:
        place = at(destination)
        with place.locked():
            problems += [f"{path} cannot be removed" for path in place.clean()]
            ours = [served for served in newest_first(place) if served.manifest.version == served.version]
            for served in ours[keep:] if keep else ():
                try:
                    history.keep(place, served)
                    place.remove(served.version)
                    removed.append(served.version)
                except OSError as error:
                    problems.append(f"{served.path} cannot be removed: {error.strerror or error}")
    except OSError as error:
        problems.append(f"{destination} cannot be tidied: {error.strerror or error}")
    return removed, "; ".join(problems)
