"""Which version was served when, from the manifests in the destination and the record of versions that are gone.

Before imagegate removes a version, it writes what the history needs of its manifest to a file of its own in the folder
`RECORD`, which nothing removes or changes. So writers cannot lose entries of each other, also in an object store.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Sequence

from pydantic import Field, ValidationError

from components.base.values import Sparse
from components.push.destination import Destination, at
from components.push.destination.base import number
from components.push.manifest import PushedManifest
from components.push.served import Served, newest_first, readable_errors
from components.push.signing.trust import NOBODY, Trust

RECORD = ".imagegate-history"  # a folder in the destination; servers ignore names that are not numbers
_BEGIN = datetime.datetime(2015, 1, 1, tzinfo=datetime.UTC)  # an older number is no time of a push


class Entry(Sparse):
    """A version that is or was served."""

    version: str
    pushed: str | None = Field(None, description="time of the push, RFC 3339 in UTC; null: unknown")
    until: str | None = Field(None, description="when the next version took its place; null: unknown, or it is served")
    name: str = Field("", description="of the configuration")
    data_fingerprint: str = ""
    code_fingerprint: str = ""
    configuration_fingerprint: str = ""
    identity: str = Field("", description="digest of the model: equal for equal models")
    written_by: dict[str, str] = Field({}, description="releases of imagegate and TensorFlow")
    compared_with: str | None = Field(None, description='the version that it was compared with; "": none')
    promoted_from: str | None = Field(None, description="of a copy: the challenger that it was")
    rolled_back_from: str | None = Field(None, description="of a copy: the version that was served until then")
    rolled_back_to: str | None = Field(None, description="of a copy: the version that it is a copy of")
    served: bool = Field(False, description="whether it is served now")
    removed: bool = Field(False, description="whether its model is no longer in the destination")
    problem: str = Field("", description="why nothing else is known of it")

    @property
    def origin(self) -> str:
        """Where the model came from, in words."""
        if self.problem:
            return self.problem
        if self.rolled_back_to is not None:
            return f"rolled back from {self.rolled_back_from} to {self.rolled_back_to}"
        begun = "pushed" if self.promoted_from is None else f"promoted from challenger {self.promoted_from}"
        return begun + (f", compared with {self.compared_with}" if self.compared_with else "")


_KEPT = tuple(key for key in Entry.model_fields if key in PushedManifest.model_fields)


def keep(place: Destination, served: Served) -> None:
    """Records a version that is about to be removed; the destination is locked."""
    place.write(f"{RECORD}/{served.version}.json", _entry(served).to_json(indent=1).encode())


def time_of_push(place: Destination) -> str:
    """The time for the manifest of a version that is written now, RFC 3339 in UTC.

    Pushes come from machines whose clocks differ. So it is never before the push of the version that is served.
    """
    now = datetime.datetime.now(datetime.UTC)
    served = next(newest_first(place), None)
    before = None if served is None else _time(_entry(served).pushed)
    return max(now, before or now).isoformat(timespec="seconds")


def read(root: str, trust: Trust = NOBODY) -> list[Entry]:
    """Every version that is or was served, the oldest first.

    Args:
        root: folder or fsspec URL of the versions.
        trust: of a version that nobody trusted signed, nothing but that is told. What is recorded of versions that are
            gone is not signed.

    Raises:
        ImagegateError: the destination cannot be read.
    """
    place = at(root, trust)
    with readable_errors(f"cannot read {root}"):
        names = [name for name in place.beside(RECORD) if number(name.removesuffix(".json")) is not None]
        recorded = [_recorded(place, name) for name in names]
        there = [_entry(served) for served in newest_first(place)]
    known = {entry.version for entry in there}
    entries = sorted([*there, *(e for e in recorded if e.version not in known)], key=lambda e: int(e.version))
    following = [entry.pushed for entry in entries[1:]]
    now = there[0].version if there else ""
    return [
        entry.model_copy(update={"until": end, "served": entry.version == now})
        for entry, end in itertools.zip_longest(entries, following)
    ]


def during(entries: Sequence[Entry], begin: datetime.datetime, end: datetime.datetime) -> list[Entry]:
    """The versions that were served at some time from `begin` until before `end`, which is later.

    A version whose time is unknown may have been served at any time between its neighbours.

    Args:
        entries: see `read`.
        begin, end: with a time zone.
    """
    found = []
    earliest = datetime.datetime.min.replace(tzinfo=datetime.UTC)
    for i, entry in enumerate(entries):
        earliest = _time(entry.pushed) or earliest
        latest = next((time for later in entries[i + 1 :] if (time := _time(later.pushed))), None)
        if earliest < end and (latest is None or latest > begin):
            found.append(entry)
    return found


def _entry(served: Served) -> Entry:
    if served.problem:
        return Entry(version=served.version, pushed=_of_number(served.version), problem=served.problem)
    told = {key: getattr(served.manifest, key) for key in _KEPT}
    told |= {"version": served.version, "identity": served.identity, "pushed": _of_number(served.version)}
    if served.manifest.version not in ("", served.version):
        told["pushed"] = None  # somebody has copied it by hand
    elif served.manifest.pushed:
        told["pushed"] = served.manifest.pushed
    return Entry(**told)


def _recorded(place: Destination, name: str) -> Entry:
    version = name.removesuffix(".json")
    try:
        told = {"version": version, "removed": True}
        return Entry.from_json(place.read(RECORD, name) or b"").model_copy(update=told)
    except (ValidationError, ValueError):
        problem = f"{place.root}/{RECORD}/{name} is damaged, or another release wrote it"
        return Entry(version=version, pushed=_of_number(version), problem=problem, removed=True)


def _of_number(version: str) -> str | None:
    """The time that a version is named by, which releases wrote nowhere else; None if the number is no time."""
    seconds = int(version)
    if not _BEGIN.timestamp() < seconds < datetime.datetime.now(datetime.UTC).timestamp() + 1:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()


def _time(text: str | None) -> datetime.datetime | None:
    try:
        time = datetime.datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return time if time.tzinfo else None
