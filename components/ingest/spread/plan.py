"""The plan of an ingest as files beside the shards, so that the graph of a Beam job does not grow with the images.

Each worker reads what it needs of the plan, writes its shard, and then the shard's report. The driver counts nothing
that did not come back: `reports` names what is missing. All of this lies in a folder, or in a store that the workers
reach; there, a worker writes its shard to a folder of its own first.
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
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from components.base.errors import ConfigError, ImagegateError
from components.base.files import write_atomically
from components.data import storage
from components.data.dataset import Record
from components.data.storage.objects import Objects, each
from components.ingest import census, reuse, shard_files, shards
from components.ingest.census import Report
from components.ingest.shards import Job

_PLAN, _REPORTS = ".plan", ".reports"
_JOB = "job"
_SHARED = (
    "all workers must see the folders of data.root and output: put them on a shared disk, or name URLs in data.root "
    "and output.artifacts"
)
_CREDENTIALS = "workers need the packages and, in their environment, the credentials of the store"


class UnseenError(ImagegateError):
    """A worker does not see what the driver sees; the sentence begins with the worker's name."""


@dataclass(frozen=True)
class Plan:
    """Where the plan is, and what a worker may believe of it.

    Attributes:
        folder: of the shards, or their URL in a store.
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
        folder: of the shards, or their URL; it is made.
        plan: the records of each shard.
        job: settings that all shards share.
        known: for each shard the report of an equal one of an earlier ingest, as JSON, or None.
        there: the files of that ingest.
    """
    remove(folder)
    settings, store = pickle.dumps((job, there)), _store(folder)
    for name in (_PLAN, _REPORTS) if store is None else ():
        os.makedirs(os.path.join(folder, name))
    _write(folder, f"{_PLAN}/{_JOB}", settings)

    def write_part(i: int) -> None:
        text = json.dumps([[dataclasses.astuple(record) for record in plan[i]], known[i]])
        _write(folder, _name(_PLAN, i), text.encode())

    if store is None:
        for i in range(len(plan)):
            write_part(i)
    else:
        each(write_part, range(len(plan)))
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
        rows, known = json.loads(_read(plan.folder, _name(_PLAN, index)))
    except FileNotFoundError:
        raise UnseenError(f"worker {socket.gethostname()} does not see {plan.folder}; {_SHARED}") from None
    except (ConfigError, OSError) as error:  # of a store
        reason = " ".join(str(error).split())
        raise UnseenError(
            f"worker {socket.gethostname()} does not see {plan.folder} ({reason}); {_CREDENTIALS}"
        ) from None
    if not _is_there(job.root):
        raise UnseenError(f"worker {socket.gethostname()} does not see {job.root}; {_SHARED}")
    place, store = (plan.folder, index, plan.count), _store(plan.folder)
    if store is None:
        report = reuse.link(there.folder, known, *place, tick) if known else None
    else:
        report = reuse.copy(there.folder, known, store, index, plan.count, tick) if known else None
    if report is None:
        records = [Record(*map(census.tupled, row)) for row in rows]
        if store is None:
            report = shards.write(*place, records, job, tick, there.paths)
        else:
            report = _write_and_put(store, index, plan.count, records, job, tick)
    _write(plan.folder, _name(_REPORTS, index), report.to_json().encode())


def reports(plan: Plan) -> list[Report]:
    """The reports of all shards, whose files are there as they say.

    Raises:
        UnseenError: a report or a file is missing, though the job ended well.
    """
    store, there = _store(plan.folder), dict[int, Report]()
    sizes = {} if store is None else store.names()

    def size(name: str) -> int | None:
        return os.path.getsize(os.path.join(plan.folder, name)) if store is None else sizes.get(name)

    def look(index: int) -> None:
        try:
            report = Report.from_json(_read(plan.folder, _name(_REPORTS, index)).decode())
            if all(size(file.name) == file.bytes for file in report.files):
                there[index] = report
        except FileNotFoundError:
            pass

    if store is None:
        for index in range(plan.count):
            look(index)
    else:
        each(look, range(plan.count))
    if missing := plan.count - len(there):
        raise UnseenError(
            f"{missing:,} of {plan.count:,} shards that the workers wrote are not in {plan.folder}, so the "
            f"workers wrote them to disks of their own; {_SHARED}"
        )
    return [there[index] for index in range(plan.count)]


def remove(folder: str) -> None:
    """Removes the plan, the reports, and what killed workers left half written."""
    if (store := _store(folder)) is not None:
        for name in (_PLAN, _REPORTS):
            store.remove_folder(name)
        return
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
    name = f"{_PLAN}/{_JOB}"
    content = _read(folder, name)
    if hashlib.sha256(content).hexdigest() != digest:
        raise ImagegateError(f"{folder}/{name} is not what this run wrote; run again")
    found: tuple[Job, reuse.Files] = pickle.loads(content)  # noqa: S301  known by its digest
    return found


def _is_there(root: str) -> bool:
    return storage.is_url(root) or storage.in_archive(root) or os.path.exists(root)


def _write_and_put(
    store: Objects, index: int, count: int, records: Sequence[Record], job: Job, tick: Callable[[int], None]
) -> Report:
    """Writes a shard to a folder of this worker, and its files to the store."""
    with tempfile.TemporaryDirectory(prefix="imagegate-") as folder:
        report = shards.write(folder, index, count, records, job, tick)
        for file in report.files:
            store.put(file.name, os.path.join(folder, file.name))
    return report


def _store(folder: str) -> Objects | None:
    return Objects(folder, "output.artifacts") if storage.is_url(folder) else None


def _write(folder: str, name: str, content: bytes) -> None:
    if (store := _store(folder)) is not None:
        store.put(name, content)
    else:
        # A worker that an engine has given up may live on, and write the same report at the same time.
        write_atomically(os.path.join(folder, name), content, shared=True)


def _read(folder: str, name: str) -> bytes:
    """Reads a file; raises FileNotFoundError if there is none."""
    if (store := _store(folder)) is None:
        with open(os.path.join(folder, name), "rb") as f:
            return f.read()
    content = store.read(name)
    if content is None:
        raise FileNotFoundError(f"{folder}/{name}")
    return content


def _name(kind: str, index: int) -> str:
    return f"{kind}/{index:07}.json"
