"""The plan of an ingest as files beside the shards, so that the graph of a Beam job does not grow with the images.

Each worker reads what it needs of the plan, writes its shard, and then the shard's report. The driver counts nothing
that did not come back: `reports` names what is missing.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import pickle
import shutil
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from components.base.errors import ImagegateError
from components.base.files import write_atomically
from components.data import storage
from components.data.dataset import Record
from components.ingest import census, reuse, shard_files, shards
from components.ingest.census import Report
from components.ingest.shards import Job

_PLAN, _REPORTS = ".plan", ".reports"
_JOB = "job"
_SHARED = (
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
    folder: str, plan: Sequence[Sequence[Record]], job: Job, known: Sequence[str | None], there: reuse.Files
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
    for i, (records, report) in enumerate(zip(plan, known, strict=True)):
        text = json.dumps([[dataclasses.astuple(record) for record in records], report])
        write_atomically(_path(folder, _PLAN, i), text)
    return Plan(folder, len(plan), sum(map(len, plan)), hashlib.sha256(settings).hexdigest())


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
        with open(_path(plan.folder, _PLAN, index), encoding="ascii") as f:
            rows, known = json.load(f)
    except FileNotFoundError:
        raise UnseenError(f"worker {socket.gethostname()} does not see {plan.folder}; {_SHARED}") from None
    if not _is_there(job.root):
        raise UnseenError(f"worker {socket.gethostname()} does not see {job.root}; {_SHARED}")
    place = plan.folder, index, plan.count
    report = reuse.link(there.folder, known, *place, tick) if known else None
    if report is None:
        records = [Record(*map(census.tupled, row)) for row in rows]
        report = shards.write(*place, records, job, tick, there.paths)
    write_atomically(_path(plan.folder, _REPORTS, index), report.to_json())


def reports(plan: Plan) -> list[Report]:
    """The reports of all shards, whose files are there as they say.

    Raises:
        UnseenError: a report or a file is missing, though the job ended well.
    """
    found, missing = [], []
    for index in range(plan.count):
        try:
            with open(_path(plan.folder, _REPORTS, index), encoding="ascii") as f:
                report = Report.from_json(f.read())
            whole = all(os.path.getsize(os.path.join(plan.folder, file.name)) == file.bytes for file in report.files)
        except FileNotFoundError:
            whole = False
        if whole:
            found.append(report)
        else:
            missing.append(index)
    if missing:
        raise UnseenError(
            f"{len(missing):,} of {plan.count:,} shards that the workers wrote are not in {plan.folder}, so the "
            f"workers wrote them to disks of their own; {_SHARED}"
        )
    return found


def remove(folder: str) -> None:
    """Removes the plan, the reports, and what killed workers left half written."""
    for name in (_PLAN, _REPORTS):
        shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if name.startswith(shard_files.PARTIAL):
            os.unlink(os.path.join(folder, name))


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
