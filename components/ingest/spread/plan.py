"""The plan of an ingest as files beside the shards, so that the graph of a Beam job does not grow with the images.

Each worker reads what it needs of the plan, writes its shard, and then the shard's report. The driver counts nothing
that did not come back: `reports` names what is missing.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import pickle
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import overload

from components.base.errors import ImagegateError
from components.base.files import write_atomically
from components.data import storage
from components.data.dataset import Record
from components.ingest import census, reuse, shard_files, shards
from components.ingest.census import Report
from components.ingest.shards import Job

_PLAN, _REPORTS = ".plan", ".reports"
_JOB = "job"
_row = attrgetter(*(field.name for field in fields(Record)))
SHARED = (
    "all workers must see the folders of data.root and output: put them on a shared disk, or data.root behind a URL"
)


class UnseenError(ImagegateError):
    """A worker does not see what the driver sees; the sentence begins with the worker's name."""


@dataclass(frozen=True)
class Plan:
    """Where the plan is, and what a worker may believe of it.

    Attributes:
        folder: of the shards.
        count: number of shards.
        total: number of records.
        digest: SHA-256 of the settings. Only what this run wrote is loaded, because loading it may run code.
    """

    folder: str
    count: int
    total: int
    digest: str


def write(
    folder: str, plan: Iterable[Sequence[Record]], job: Job, known: Iterable[str | None], there: reuse.Files
) -> Plan:
    """Writes the plan.

    Args:
        folder: of the shards; it is made.
        plan: the records of each shard.
        job: settings that all shards share.
        known: for each shard the report of an equal one of an earlier ingest, as JSON, or None.
        there: the files of that ingest.
    """
    remove(folder)
    for name in (_PLAN, _REPORTS):
        os.makedirs(os.path.join(folder, name))
    settings = pickle.dumps((job, there))
    write_atomically(os.path.join(folder, _PLAN, _JOB), settings)
    count = total = 0
    for records, report in zip(plan, known, strict=True):
        text = json.dumps([[_row(record) for record in records], report])
        write_atomically(_path(folder, _PLAN, count), text)
        count, total = count + 1, total + len(records)
    return Plan(folder, count, total, hashlib.sha256(settings).hexdigest())


def work(plan: Plan, index: int, tick: Callable[[int], None]) -> None:
    """Writes a shard and then its report; called on a worker, perhaps more than once for a shard.

    Args:
        plan: where the plan is.
        index: of the shard, from 0.
        tick: called repeatedly with the number of records done since the last call.

    Raises:
        UnseenError: this worker does not see the plan or the images.
    """
    try:
        job, there = _settings(plan.folder, plan.digest)
        records, known = _planned(plan, index)
    except FileNotFoundError:
        raise UnseenError(f"worker {socket.gethostname()} does not see {plan.folder}; {SHARED}") from None
    if not _is_there(job.root):
        raise UnseenError(f"worker {socket.gethostname()} does not see {job.root}; {SHARED}")
    place = plan.folder, index, plan.count
    report = reuse.link(there.folder, known, *place, tick) if known else None
    if report is None:
        report = shards.write(*place, records, job, tick, there.paths)
    write_atomically(_path(plan.folder, _REPORTS, index), report.to_json())


class Written(Sequence[Report]):
    """The reports of all shards, each read when it is asked for; a report may be replaced by another."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def __len__(self) -> int:
        return self._plan.count

    @overload
    def __getitem__(self, index: int) -> Report: ...

    @overload
    def __getitem__(self, index: slice) -> list[Report]: ...

    def __getitem__(self, index: int | slice) -> Report | list[Report]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        with open(_path(self._plan.folder, _REPORTS, range(len(self))[index]), encoding="ascii") as f:
            return Report.from_json(f.read())

    def __setitem__(self, index: int, report: Report) -> None:
        write_atomically(_path(self._plan.folder, _REPORTS, index), report.to_json())

    def planned(self) -> Iterator[list[Record]]:
        """Yields the records of each shard."""
        return (_planned(self._plan, index)[0] for index in range(len(self)))


def reports(plan: Plan) -> Written:
    """The reports of all shards, whose files are there as they say.

    Raises:
        UnseenError: a report or a file is missing, though the job ended well.
    """
    written, missing = Written(plan), 0
    for index in range(plan.count):
        try:
            files = written[index].files
            missing += any(os.path.getsize(os.path.join(plan.folder, file.name)) != file.bytes for file in files)
        except FileNotFoundError:
            missing += 1
    if missing:
        raise UnseenError(
            f"{missing:,} of {plan.count:,} shards that the workers wrote are not in {plan.folder}, so the "
            f"workers wrote them to disks of their own; {SHARED}"
        )
    return written


def remove(folder: str) -> None:
    """Removes the plan, the reports, and what killed workers left half written."""
    for name in (_PLAN, _REPORTS):
        shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if name.startswith(shard_files.PARTIAL):
            os.unlink(os.path.join(folder, name))


def _planned(plan: Plan, index: int) -> tuple[list[Record], str | None]:
    """The records of a shard, and the report of an equal one of an earlier ingest."""
    with open(_path(plan.folder, _PLAN, index), encoding="ascii") as f:
        rows, known = json.load(f)
    return [Record(*map(census.tupled, row)) for row in rows], known


@functools.lru_cache(maxsize=2)
def _settings(folder: str, digest: str) -> tuple[Job, reuse.Files]:
    """Reads the settings once in a process.

    Raises:
        ImagegateError: they are not those that the driver wrote.
    """
    path = os.path.join(folder, _PLAN, _JOB)
    with open(path, "rb") as f:
        content = f.read()
    if hashlib.sha256(content).hexdigest() != digest:
        raise ImagegateError(f"{path} is not what this run wrote; run again")
    found: tuple[Job, reuse.Files] = pickle.loads(content)  # noqa: S301  known by its digest
    return found


def _is_there(root: str) -> bool:
    return storage.is_url(root) or storage.in_archive(root) or os.path.exists(root)


def _path(folder: str, kind: str, index: int) -> str:
    return os.path.join(folder, kind, f"{index:07}.json")
