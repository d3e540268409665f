"""Promotion: a challenger becomes the champion, which is served."""

from __future__ import annotations

import os

from components.base.errors import ConfigError
from components.push import aliases, versions
from components.push.destination import Destination, at
from components.push.refusals import NoChampion, superseded, withdrawn
from components.push.rollback import listed
from components.push.signing.trust import NOBODY, Trust
from components.push.versions import Served


def promote(
    destination: str,
    version: str | None = None,
    *,
    name: str = "",
    take_over: bool = False,
    trust: Trust = NOBODY,
) -> tuple[Served, Served, str]:
    """Makes a challenger the champion: copies it to a new, largest number, and removes it from beside.

    If an intact copy of it is served already, with all that lies beside it and signed by the key that signs now,
    nothing is added, so the call may be repeated.

    Args:
        destination: folder or fsspec URL of the versions.
        version: of the challenger; None: the newest.
        name: of the configuration, which must have pushed both versions; "": any may have.
        take_over: `push.take_over`, which allows another name.
        trust: whose signatures both versions need, and with which key the copy is signed anew.

    Returns:
        the version that is served now; the one that was served before, the same where nothing was added; and a
        sentence where the aliases could not be written or the original not be removed, which a repeated call mends.

    Raises:
        ConfigError: there is no such challenger, or another configuration pushed it.
        NotPushed: it was compared with another version than the one that is served, or was rolled back.
        ImagegateError: its files are not those that were pushed, or the new version cannot be written.
    """
    place = at(destination, trust)
    with versions.readable_errors(f"cannot write to {destination}"), place.locked():
        champion = versions.usable(next(versions.newest_first(place), None))
        if champion is None:
            raise NoChampion(f"push.destination: {destination}: no version is served, so there is no challenger either")
        versions.require_name(champion, name, take_over=take_over or not name)
        there = list(versions.challengers(place))
        source = next((one for one in there if version in (None, one.version)), None)
        if source is None:
            if version is not None and version in (champion.version, champion.manifest.promoted_from):
                return champion, champion, _finish(place, None)
            raise _unusable(place, version) or _none(place, version, there)
        versions.require_name(source, name, take_over=take_over or not name)
        now = champion
        lacking = set(source.manifest.beside) - set(champion.manifest.beside)
        same = source.identity == champion.identity and not lacking and versions.is_signed(champion, trust)
        if not same or not versions.intact(champion):
            now = _copy(place, source, champion)
        return now, champion, _finish(place, source)


def _finish(place: Destination, source: Served | None) -> str:
    """Writes the aliases and then removes the original, which they must not name; returns what could not be done."""
    try:
        aliases.update(place, without=() if source is None else (source.version,))
        if source is not None:
            place.remove(source.version)
    except OSError as error:
        kept = "" if source is None else f", and challenger {source.version} may still be there"
        file = f"{place.root.rstrip('/')}/{aliases.FOLDER}/{aliases.CONFIG_FILE}"
        return f"{file} may be out of date{kept}: {error.strerror or error}; run imagegate promote again"
    return ""


def _unusable(place: Destination, version: str | None) -> versions.Damaged | None:
    """Why the wanted version cannot be a challenger, if it is there and nothing is known of it."""
    if version is None and not place.trust.keys:
        return None
    found = (one for one in versions.newest_first(place) if one.problem and version in (None, one.version))
    return next((versions.Damaged(f"{one.problem}; it is not promoted") for one in found), None)


def _none(place: Destination, version: str | None, there: list[Served]) -> ConfigError:
    served = listed(list(versions.newest_first(place)))
    if version is None:
        return ConfigError(f"{place.root}: there is no challenger; push.as: challenger pushes one")
    known = ", ".join(one.version for one in there) or "none"
    return ConfigError(
        f"there is no challenger {version}; {place.root} holds the challengers: {known}; and the versions {served}, of "
        "which `imagegate rollback CONFIG VERSION` brings back an older one"
    )


def _copy(place: Destination, source: Served, champion: Served) -> Served:
    gone = champion.manifest.withdrawn
    if source.identity in gone:
        raise withdrawn(gone[source.identity])
    compared = source.manifest.compared_with
    if compared not in (None, champion.version, champion.manifest.rolled_back_to):
        raise superseded(compared or "", champion)
    facts = {
        "challenger": False,
        "promoted_from": source.version,
        "compared_with": champion.version,
        "rolled_back_from": None,
        "rolled_back_to": None,
        "withdrawn": gone,
    }
    with versions.local(source) as folder:
        files = source.manifest.files
        paths = {name: os.path.join(folder, name) for name in files}
        return versions.add(place, paths, files, source.manifest.model_copy(update=facts))
