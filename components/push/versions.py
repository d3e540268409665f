"""Versions of a model in a push destination, where TensorFlow Serving finds them: pushed, and removed when too many."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from components.base.artifact_files import EXPORTS_FOLDER, WARM_UP
from components.base.digests import of_file
from components.base.errors import ConfigError, ImagegateError
from components.push import aliases, history
from components.push.destination import PULLED, Content, Destination, NoNumber, at, digests, is_local, local_path
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
    find,
    identity,
    intact,
    local,
    newest_first,
    read,
    readable_errors,
    usable,
    verify,
)
from components.push.signing.trust import NOBODY, Trust

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
    "find",
    "identity",
    "intact",
    "is_signed",
    "local",
    "newest_first",
    "push",
    "read",
    "readable_errors",
    "require_champion",
    "require_evaluated",
    "require_name",
    "require_not_pulled",
    "require_number",
    "tidy",
    "usable",
    "verify",
]

# A challenger is numbered by its time, too, but 10^9 seconds (32 years) less, so that versions by time are larger.
_BELOW = 10**9
_NOTHING: Mapping[str, Content] = MappingProxyType({})


def at_start(root: str, version: str, trust: Trust = NOBODY) -> Served | None:
    """Reads the version that was served when a run began: everything in the run is compared with that one.

    Args:
        root: folder or fsspec URL of the versions.
        version: its number, "" for none.
        trust: whose signature it needs.

    Raises:
        Superseded: it was removed since.
        Damaged: its manifest cannot be used, or nobody who is trusted signed it.
    """
    if not version:
        return None
    found = read(f"{root.rstrip('/')}/{version}", trust)
    if found is None:
        raise superseded(version, current(root, trust))
    return found


def require_number(destination: str) -> None:
    """Requires that there is a number for one more version, whatever lies in the destination.

    Raises:
        NoNumber: TensorFlow Serving reads no number that is larger than one that is there.
        ImagegateError: the destination cannot be read.
    """
    with readable_errors(f"cannot read {destination}"):
        at(destination).next_version()


def require_not_pulled(destination: str) -> None:
    """Requires that versions are not pulled to this destination: the next pull would take a pushed one for its own.

    Raises:
        ConfigError: they are.
    """
    if is_local(destination) and os.path.lexists(note := os.path.join(local_path(destination), PULLED)):
        raise ConfigError(
            f"push.destination: {destination} holds versions that imagegate pull copied there, so nothing is pushed to "
            f"it; choose another folder, or remove {note} if nothing is pulled there any more"
        )


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
    trust: Trust = NOBODY,
) -> Served:
    """Copies a SavedModel to a new version below `destination`; a reader sees the whole version or none.

    Version numbers are seconds since 1970, or one more than the largest where that is not more. Everything that the
    push depends on is read under the destination's lock. A model that is served already, intact, is not pushed again.

    Args:
        model: folder of the SavedModel.
        destination: folder or fsspec URL; made if missing.
        manifest: what to write beside the model; files, version, `beside`, `withdrawn` and `compared_with` are added.
        beside: name -> content, or path, of further files to put there. If the served version is this model, but
            does not hold what is wanted beside it, a version that does follows; see `_holds`.
        evaluated: SHA-256 of each file of the model as it was judged, and of those of `beside` that were; default: as
            they are.
        compared: the version that was served when the model was judged, "" for none. It must still be the one served,
            unless that is this model already. None: push whatever is served.
        take_over: whether it may replace a version that was pushed under another name.
        as_challenger: whether it stands beside the served version, with a smaller number, instead of replacing it.
        trust: whose signature the served version needs, and with which key this one is signed. The same model is
            pushed again if another key signed it, or none.

    Returns:
        the new version, or the served one or the challenger if that is this model already; see `Served.new`.

    Raises:
        NoChampion: it is a challenger, and no version is served.
        Withdrawn: this model was rolled back.
        AnotherName: the version served now was pushed under another name.
        Superseded: another version than `compared` is served.
        ImagegateError: what arrived is not that model, or the disk is full.
    """
    place = at(destination, trust)
    with readable_errors(f"cannot read {model}"):
        there = digests(model)
    with readable_errors(f"cannot write to {destination}"), place.locked():
        wanted = {name: _digest(content) for name, content in beside.items()} | dict(
            there if evaluated is None else evaluated
        )
        served = usable(next(newest_first(place), None))
        own = manifest.identity or identity({name: wanted[name] for name in wanted if name not in beside})
        gone = {} if served is None else served.manifest.withdrawn
        if own in gone:
            raise withdrawn(gone[own])
        facts: dict[str, Any] = {"beside": tuple(sorted(beside)), "withdrawn": gone}
        if compared is not None:
            require_name(served, manifest.name, take_over=take_over)
            same = served is not None and served.identity == own and _holds(served, beside, wanted, trust)
            if served is not None and same and intact(served):
                return served
            if compared != (served.version if served else ""):
                raise superseded(compared, served)
            facts["compared_with"] = compared
        number = None
        if as_challenger:
            beside_it = list(challengers(place))
            newest = beside_it[0] if beside_it else None
            if (
                newest is not None
                and newest.identity == own
                # One that was compared with another version could not be promoted, so it is pushed anew.
                and (compared is None or newest.manifest.compared_with in (None, compared))
                and _holds(newest, beside, wanted, trust)
                and intact(newest)
            ):
                return newest
            number = _challenger_number(place, served, beside_it)
            facts["challenger"] = True
        files: dict[str, Content] = {name: os.path.join(model, name) for name in there}
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


def _holds(version: Served, beside: Collection[str], wanted: Mapping[str, str], trust: Trust) -> bool:
    """Whether a version holds what is wanted beside its model, so that the same model need not be pushed again.

    It holds every wanted file, the wanted exports and no others, and warm-up requests, which are images of the test
    split, only if they are wanted. The key that signs now has signed it. What differs with each run, such as the date
    in the model card, does not count.

    Args:
        version: of the same model.
        beside: names of the files.
        wanted: SHA-256 of each of them, and of others.
        trust: with the key that signs.
    """

    def exports(names: Collection[str], digests: Mapping[str, str]) -> dict[str, str | None]:
        return {name: digests.get(name) for name in names if name.startswith(f"{EXPORTS_FOLDER}/")}

    there = version.manifest.beside
    return (
        set(beside) <= set(there)
        and is_signed(version, trust)
        and (WARM_UP in beside or WARM_UP not in there)
        and exports(beside, wanted) == exports(there, version.manifest.files)
    )


def is_signed(version: Served, trust: Trust) -> bool:
    """Whether the key that signs new versions has signed this one, too; true where there is no such key."""
    return trust.signer is None or version.signed_by == trust.signer.public.fingerprint


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
    """Writes a new version, signed where the destination's `trust` has a key for that; the destination is locked.

    Args:
        place: where to.
        files: relative path -> the file or its content.
        wanted: SHA-256 that each file must have there.
        manifest: what to write beside them.
        number: of the version; None: a new one that is larger than all others.

    Raises:
        ConfigError: see `require_not_pulled`.
    """
    require_not_pulled(place.root)
    version = number or place.next_version()  # larger also than what is removed now
    place.clean()
    told = {
        "version": version,
        "pushed": history.time_of_push(place),
        "files": {name: wanted[name] for name in sorted(wanted)},
    }
    full = manifest.model_copy(update=told)
    sealed = full.to_json(indent=1).encode()
    signature = place.trust.sign(version, sealed, full.files)

    def seal(arrived: Mapping[str, str]) -> bytes:
        require_evaluated(arrived, wanted)
        return sealed

    place.put(version, {**files, **signature}, seal)
    signer = place.trust.signer
    signed_by, digest = signer.public.fingerprint if signer else "", hashlib.sha256(sealed).hexdigest()
    return Served(version, f"{place.root.rstrip('/')}/{version}", full, signed_by=signed_by, digest=digest, new=True)


def tidy(destination: str, keep: int | None, trust: Trust = NOBODY) -> tuple[list[str], str]:
    """Removes what killed pushes left, of the versions that imagegate pushed all but the newest `keep`, and of the
    challengers all but the newest one. Versions that nobody who is trusted signed are neither counted nor removed.

    Returns:
        the versions that were removed, and a sentence where something could not be: that is no reason to fail.
    """
    removed, problems = [], []
    try:
        place = at(destination, trust)
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
