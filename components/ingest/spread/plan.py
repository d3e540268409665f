"""The plan of an ingest as files beside the shards, so that the graph of a Beam job does not grow with the images.

Each worker reads what it needs of the plan, writes its shard, and then the shard's report. The driver counts nothing
that did not come back: `reports` names what is missing. Workers that share no folder with the driver find the same in a
store: the driver puts the plan there (`hand`) and collects the reports (`collect`).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import os
import pickle
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import overload

import numpy as np
from numpy.typing import NDArray

from components.base import digests
from components.base.compact import scratch
from components.base.errors import ConfigError, ImagegateError
from components.base.files import write_atomically
from components.data import storage
from components.data.dataset import Record
from components.data.storage.objects import Objects, each
from components.ingest import reuse, shard_files, shards
from components.ingest.counts import census
from components.ingest.counts.census import Report
from components.ingest.earlier import Earlier
from components.ingest.shards import Job
from components.ingest.stored import copies
from components.ingest.stored.copies import Files, Known

_PLAN, _REPORTS = ".plan", ".reports"
_JOB, _EARLIER = f"{_PLAN}/job", f"{_PLAN}/earlier.npy"
_KEY = "output.artifacts"  # names the store in messages
_row = attrgetter(*(field.name for field in fields(Record)))
SHARED = (
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
        folder: of the shards, or its URL in a store.
        count: number of shards.
        total: number of records.
        digest: SHA-256 of the settings. Only what this run wrote is loaded, because loading it may run code.
    """

    folder: str
    count: int
    total: int
    digest: str


def write(folder: str, plan: Iterable[Sequence[Record]], job: Job, known: Iterable[Known], there: Files) -> Plan:
    """Writes the plan.

    Args:
        folder: of the shards; it is made.
        plan: the records of each shard.
        job: settings that all shards share.
        known: for each shard what an earlier ingest knows of it.
        there: the files of that ingest.
    """
    remove(folder)
    for name in (_PLAN, _REPORTS):
        os.makedirs(os.path.join(folder, name))
    if job.earlier:
        # By itself, so that no process has a copy of what may be of ten million images.
        scratch.save(os.path.join(folder, _EARLIER), job.earlier.rows)
    digest = _write_settings(folder, folder, job, there)
    count = total = 0
    for records, found in zip(plan, known, strict=True):
        text = json.dumps([[_row(record) for record in records], found.plain()])
        _write(folder, _name(_PLAN, count), text)
        count, total = count + 1, total + len(records)
    return Plan(folder, count, total, digest)


def hand(plan: Plan, url: str, job: Job, there: Files) -> Plan:
    """Puts a plan into a store, for workers that see only that.

    Args:
        plan: in a folder.
        url: of the shards in the store.
        job: settings that all shards share.
        there: the files of an earlier ingest, in the store.
    """
    remove(url)
    store = Objects(url, _KEY)
    names = [_name(_PLAN, index) for index in range(plan.count)] + [_EARLIER] * bool(job.earlier)
    each(lambda name: store.put(name, os.path.join(plan.folder, name)), names)
    return replace(plan, folder=url, digest=_write_settings(url, plan.folder, job, there))


def collect(handed: Plan, plan: Plan) -> Written:
    """Fetches the reports of the workers from the store into the folder of the plan; see `reports`.

    Args:
        handed: what `hand` returned.
        plan: what it was given.
    """
    store, there = Objects(handed.folder, _KEY), list[int]()  # of each shard that is there, how many were reused
    sizes = store.names()

    def fetch(index: int) -> None:
        try:
            content = _read(handed.folder, name := _name(_REPORTS, index)).decode()
        except FileNotFoundError:
            return
        report = Report.from_json(content)
        if all(sizes.get(file.name) == file.bytes for file in report.files):
            _write(plan.folder, name, content)
            there.append(report.reused)

    each(fetch, range(plan.count))
    _require(plan.count - len(there), handed)
    return Written(plan, sum(there))


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
    except (ConfigError, OSError) as error:  # of a store
        reason = " ".join(str(error).split())
        raise UnseenError(
            f"worker {socket.gethostname()} does not see {plan.folder} ({reason}); {_CREDENTIALS}"
        ) from None
    if not _is_there(job.root):
        raise UnseenError(f"worker {socket.gethostname()} does not see {job.root}; {SHARED}")
    place, store = (plan.folder, index, plan.count), _store(plan.folder)
    if store is None:
        report = reuse.link(there.folder, known.whole, *place, tick) if known.whole else None
        report = report or shards.write(*place, records, job, tick, there, known)
        _write(plan.folder, _name(_REPORTS, index), report.to_json())
        return
    with _written_there(plan.folder):
        report = reuse.copy(there.folder, known.whole, store, index, plan.count, tick) if known.whole else None
    report = report or _write_and_put(store, index, plan.count, records, job, tick, there.folder, known)
    with _written_there(plan.folder):
        _write(plan.folder, _name(_REPORTS, index), report.to_json())


class Written(Sequence[Report]):
    """The reports of all shards, each read when it is asked for; a report may be replaced by another.

    Attributes:
        reused: images in them that were known from an earlier ingest.
    """

    def __init__(self, plan: Plan, reused: int = 0) -> None:
        self._plan, self.reused = plan, reused

    def __len__(self) -> int:
        return self._plan.count

    @overload
    def __getitem__(self, index: int) -> Report: ...

    @overload
    def __getitem__(self, index: slice) -> list[Report]: ...

    def __getitem__(self, index: int | slice) -> Report | list[Report]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return Report.from_json(_read(self._plan.folder, _name(_REPORTS, range(len(self))[index])).decode())

    def __setitem__(self, index: int, report: Report) -> None:
        _write(self._plan.folder, _name(_REPORTS, index), report.to_json())

    def planned(self) -> Iterator[list[Record]]:
        """Yields the records of each shard."""
        return (_planned(self._plan, index)[0] for index in range(len(self)))


def reports(plan: Plan) -> Written:
    """The reports of all shards, whose files are there as they say.

    Raises:
        UnseenError: a report or a file is missing, though the job ended well.
    """
    written, missing, reused = Written(plan), 0, 0
    for index in range(plan.count):
        try:
            report = written[index]
            files, reused = report.files, reused + report.reused
            missing += any(os.path.getsize(os.path.join(plan.folder, file.name)) != file.bytes for file in files)
        except FileNotFoundError:
            missing += 1
    _require(missing, plan)
    return Written(plan, reused)


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


def _require(missing: int, plan: Plan) -> None:
    if missing and _store(plan.folder) is not None:
        raise UnseenError(
            f"{missing:,} of {plan.count:,} shards are not in {plan.folder} as the workers wrote them; run again with "
            "--force"
        )
    if missing:
        raise UnseenError(
            f"{missing:,} of {plan.count:,} shards that the workers wrote are not in {plan.folder}, so the "
            f"workers wrote them to disks of their own; {SHARED}"
        )


def _planned(plan: Plan, index: int) -> tuple[list[Record], Known]:
    """The records of a shard, and what an earlier ingest knows of it."""
    rows, known = json.loads(_read(plan.folder, _name(_PLAN, index)))
    return [Record(*map(census.tupled, row)) for row in rows], copies.of_plain(known)


@functools.lru_cache(maxsize=2)
def _settings(folder: str, digest: str) -> tuple[Job, Files]:
    """Reads the settings once in a process.

    Raises:
        ImagegateError: they are not those that the driver wrote.
    """
    content = _read(folder, _JOB)
    if hashlib.sha256(content).hexdigest() != digest:
        raise ImagegateError(f"{folder}/{_JOB} is not what this run wrote; run again")
    job, there, rows = pickle.loads(content)  # noqa: S301  known by its digest
    if rows:
        job = replace(job, earlier=replace(job.earlier, rows=_earlier_rows(folder, rows)))
    return job, there


def _earlier_rows(folder: str, digest: str) -> NDArray[np.void]:
    """The rows of the splits of earlier runs, which stay in their file where that is on this machine."""
    if _store(folder) is None:
        path = os.path.join(folder, _EARLIER)
        found, rows = digests.of_file(path), scratch.load(path)
    else:
        content = _read(folder, _EARLIER)
        found, rows = hashlib.sha256(content).hexdigest(), np.load(io.BytesIO(content), allow_pickle=False)
    if found != digest:
        raise ImagegateError(f"{folder}/{_EARLIER} is not what this run wrote; run again")
    return rows


def _is_there(root: str) -> bool:
    return storage.is_url(root) or storage.in_archive(root) or os.path.exists(root)


def _write_settings(folder: str, here: str, job: Job, there: Files) -> str:
    """Writes what `_settings` reads, with the digest of the splits of earlier runs `here`; returns its digest."""
    rows = digests.of_file(os.path.join(here, _EARLIER)) if job.earlier else ""
    job = replace(job, earlier=Earlier(loose=job.earlier.loose))
    settings = pickle.dumps((job, there, rows))
    _write(folder, _JOB, settings)
    return hashlib.sha256(settings).hexdigest()


def _write_and_put(
    store: Objects,
    index: int,
    count: int,
    records: Sequence[Record],
    job: Job,
    tick: Callable[[int], None],
    source: str,
    known: Known,
) -> Report:
    """Writes a shard to a folder of this worker, and its files to the store; `source` has the earlier shards."""
    with tempfile.TemporaryDirectory(prefix="imagegate-") as folder:
        there = Files(os.path.join(folder, "earlier"))
        try:
            if known.kept:
                copies.fetch(Objects(source, _KEY), known, there.folder)
        except OSError:
            shutil.rmtree(there.folder, ignore_errors=True)
            known = copies.NOTHING  # what it takes more to read the images is less than to give up
        report = shards.write(folder, index, count, records, job, tick, there, known)
        with _written_there(store.url):
            for file in report.files:
                store.put(file.name, os.path.join(folder, file.name))
    return report


@contextlib.contextmanager
def _written_there(url: str) -> Iterator[None]:
    """Turns an error of the store into a sentence."""
    try:
        yield
    except OSError as error:
        reason = " ".join(str(error).split())
        raise UnseenError(f"worker {socket.gethostname()} cannot write {url} ({reason}); {_CREDENTIALS}") from None


def _store(folder: str) -> Objects | None:
    return Objects(folder, _KEY) if storage.is_url(folder) else None


def _write(folder: str, name: str, content: str | bytes) -> None:
    if (store := _store(folder)) is not None:
        store.put(name, content.encode() if isinstance(content, str) else content)
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
