"""Pulling: the served version of a push destination, copied to a folder from which a server beside it loads it.

For servers that cannot read the destination themselves, such as TensorFlow Serving of an object store. What arrives is
checked before a rename makes it visible: against the manifest, which itself is taken for hostile.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from components.base.artifact_files import PUSHED_MANIFEST, SIGNATURE
from components.base.errors import ConfigError, ImagegateError
from components.base.text import truncated_list
from components.base.values import parsed_json
from components.push import versions
from components.push.destination import (
    PULLED,
    UNLISTED,
    Content,
    Destination,
    Fetch,
    Folder,
    at,
    is_local,
    local_path,
    number,
)
from components.push.served import Damaged, Served
from components.push.signing.trust import NOBODY, Trust


@dataclass(frozen=True)
class Pulled:
    """What a pull came to.

    Attributes:
        version: that is served.
        path: its folder here.
        new: whether it was copied now.
        removed: versions that were removed from the folder.
        note: what is wrong nevertheless, as a sentence, or "".
    """

    version: str
    path: str
    new: bool
    removed: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class _Origin:
    """What the file `PULLED` in a folder says: where its versions are from, and which of them were pulled."""

    source: str = ""
    versions: tuple[str, ...] = ()


def pull(source: str, folder: str, keep: int, trust: Trust = NOBODY) -> Pulled:
    """Copies the served version to `folder`, unless it is there; a reader sees the whole version or none.

    Pulls into the same folder exclude each other. A kill leaves the old version or the new one, and the next pull
    removes what else it left. Versions that were pulled before are removed if they are larger than the served one,
    which a server would load instead; of the others, the newest `keep` stay. Only what was pulled is ever removed.

    Args:
        source: folder or fsspec URL of the versions.
        folder: of this machine; made if missing. Nothing is written outside of it.
        keep: number of versions.
        trust: whose signature the version needs. One that is there is copied, whether it is needed or not.

    Raises:
        ConfigError: see `require_own`; or no version was pushed there.
        Damaged: what arrived is not what was pushed, or the manifest names files that it must not name.
        ImagegateError: the source cannot be read, or the folder cannot be written.
    """
    require_own(source, folder)
    there, here = at(source, trust), Folder(os.path.abspath(local_path(folder)))
    with versions.readable_errors(f"cannot write to {folder}"), here.locked():
        served = versions.current(source, trust)
        if served is None:
            raise ConfigError(f"{source}: no version that imagegate pushed, so there is nothing to pull")
        require_own(source, folder)  # again, now that nobody else writes
        problems = [f"{path} cannot be removed" for path in here.clean()]
        new = not _is_here(there, here, served)
        if new:
            _copy(there, here, served, _whole_name(source))
        removed, unremoved = _tidy(here, served, keep)
    return Pulled(
        served.version,
        os.path.join(here.root, served.version),
        new,
        tuple(removed),
        "; ".join(filter(None, (*problems, *unremoved, _in_the_way(here, served)))),
    )


def require_own(source: str, folder: str) -> None:
    """Requires that the folder is for versions from this source alone, because what is not served there is removed.

    Raises:
        ConfigError: it is a URL, lies in the source, belongs to another one, or is itself pushed to.
    """
    if not is_local(folder):
        raise ConfigError(f"{folder}: expected a folder of this machine to pull to, not a URL")
    path, source = os.path.abspath(local_path(folder)), _whole_name(source)
    if is_local(source) and os.path.commonpath([source, os.path.realpath(path)]) == source:
        raise ConfigError(f"{folder} is or lies in {source}; name a folder elsewhere to pull to")
    here = Folder(path)
    origin = _origin(here)
    if origin.source != source and (pulled := _pulled(here)):
        raise ConfigError(
            f"{folder} holds versions pulled from {origin.source}, expected {source}; name another folder, or remove "
            f"{os.path.join(folder, PULLED)} and {truncated_list(pulled)} if it is to change its source"
        )
    pushed = [one.version for one in versions.newest_first(here) if one.manifest.version == one.version]
    if foreign := next((name for name in pushed if name not in origin.versions), None):
        raise ConfigError(
            f"{folder} holds version {foreign}, which was not pulled; it may be pushed to. Name a folder that is for "
            "pulled versions alone"
        )


def is_current(source: str, pulled: Pulled, trust: Trust = NOBODY) -> bool:
    """Whether the version that was pulled is still the one served, and there; reads little.

    Raises:
        Damaged: nobody knows what is served.
        ImagegateError: the source cannot be read.
    """
    served = versions.current(source, trust)
    there = os.path.join(pulled.path, PUSHED_MANIFEST)
    return served is not None and served.version == pulled.version and os.path.exists(there)


def check_names(names: Iterable[str], path: str) -> None:
    """Requires that the files that a manifest names lie in its version, each under one name.

    Args:
        names: relative to the version.
        path: of the version, for the message.

    Raises:
        Damaged: one does not.
    """
    wrong = [name for name in names if not _is_below(name) or name in UNLISTED]
    if wrong:
        raise Damaged(
            f"{path}/{PUSHED_MANIFEST} names files that no version may hold: {truncated_list(map(ascii, wrong))}; "
            "nothing was copied. Find out who wrote it, and roll back or remove that version"
        )


def _is_below(name: str) -> bool:
    """Whether a name is that of a file in a folder, and has no other spelling."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    parts = name.split("/")
    return "\0" not in name and not {"", ".", ".."} & set(parts)


def _copy(there: Destination, here: Folder, served: Served, source: str) -> None:
    """Copies a version to the folder, which is locked. It is noted once all of it has arrived, before it shows."""
    version, wanted = served.version, served.manifest.files
    check_names(wanted, served.path)
    with versions.readable_errors(f"cannot read {served.path}"):
        manifest, signature = there.read(version, PUSHED_MANIFEST), there.read(version, SIGNATURE)
        names = there.names(version)
    if manifest is None or hashlib.sha256(manifest).hexdigest() != served.digest:
        raise ImagegateError(f"{served.path}/{PUSHED_MANIFEST} was changed while it was read; pull again")
    _require_same(dict.fromkeys(names, ""), dict.fromkeys(wanted, ""), served.path)

    def seal(arrived: Mapping[str, str]) -> bytes:
        _require_same(arrived, wanted, served.path)
        names = [*_pulled(here), version]
        here.write(PULLED, json.dumps({"source": source, "versions": names}, indent=1).encode())
        return manifest

    files: dict[str, Content | Fetch] = {name: functools.partial(_get, there, served, name) for name in sorted(wanted)}
    if there.trust.keys:
        there.trust.signed_by(manifest, wanted, signature)  # the very bytes that are written
    here.put(version, files | ({} if signature is None else {SIGNATURE: signature}), seal)


def _get(there: Destination, served: Served, name: str, path: str) -> None:
    with versions.readable_errors(f"cannot read {served.path}/{name}"):
        there.get(served.version, name, path)


def _require_same(found: Mapping[str, str], wanted: Mapping[str, str], path: str) -> None:
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            what = "is missing, but is in" if name not in found else "does not match" if name in wanted else "is not in"
            raise Damaged(f"{path}/{ascii(name)[1:-1]} {what} its {PUSHED_MANIFEST}; nothing was copied")


def _is_here(there: Destination, here: Folder, served: Served) -> bool:
    """Whether the version is in the folder already, intact.

    Raises:
        Damaged: something else is there under its number.
    """
    if served.version not in here.versions():
        return False
    with versions.readable_errors(f"cannot read {served.path}"):
        wanted = [there.read(served.version, name) for name in (PUSHED_MANIFEST, SIGNATURE)]
    found = [here.read(served.version, name) for name in (PUSHED_MANIFEST, SIGNATURE)]
    if found != wanted or here.digests(served.version) != served.manifest.files:
        raise Damaged(
            f"{here.root}/{served.version} is there already, and is not the version that is served; a server may have "
            "loaded it, so it is not replaced. Remove it, and pull again"
        )
    return True


def _tidy(here: Folder, served: Served, keep: int) -> tuple[list[str], list[str]]:
    """Removes versions that were pulled, and are larger than the served one or too many; the folder is locked.

    Returns:
        what was removed, and a sentence for each version that is only too many and could not be removed.

    Raises:
        OSError: a larger version cannot be removed, which a server would load.
    """
    pulled = _pulled(here)
    removed = [name for name in pulled if _number(name) > _number(served.version)]
    for name in removed:
        here.remove(name)
    problems = []
    for name in pulled[len(removed) :][keep:]:
        try:
            here.remove(name)
            removed.append(name)
        except OSError as error:
            problems.append(f"{here.root}/{name} cannot be removed: {error.strerror or error}")
    return removed, problems


def _pulled(here: Folder) -> list[str]:
    """The versions in the folder that were pulled, the newest first."""
    noted = _origin(here).versions
    return [name for name in here.versions() if name in noted]


def _origin(here: Folder) -> _Origin:
    """What is noted in the folder; nothing where no version was pulled.

    Raises:
        ConfigError: the note cannot be used.
    """
    path = os.path.join(here.root, PULLED)
    try:
        with open(path, encoding="utf-8") as f:
            noted = parsed_json(f.read())
        return _Origin(str(noted["source"]), tuple(map(str, noted["versions"])))
    except FileNotFoundError:
        return _Origin()
    except (ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{path} is damaged, so nobody knows which versions were pulled; remove it and these versions, or name "
            "another folder"
        ) from None


def _whole_name(source: str) -> str:
    """The name of a destination that is the same from whichever folder it is looked at."""
    return os.path.realpath(local_path(source)) if is_local(source) else source.rstrip("/")


def _in_the_way(here: Folder, served: Served) -> str:
    larger = [name for name in here.versions() if _number(name) > _number(served.version)]
    if not larger:
        return ""
    return (
        f"{here.root} also holds {truncated_list(larger)}, which imagegate did not put there and servers load instead"
    )


def _number(name: str) -> int:
    value = number(name)
    assert value is not None  # names of versions are numbers
    return value
