"""The search for nearly equal images on several machines: each worker compares the hashes that agree in one band.

The hashes go to a file beside the shards once. What a worker finds goes to a file of its band, and the driver joins the
files to the same pairs as a search in one process finds.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.base.compact import scratch
from components.base.files import replacing
from components.data import perceptual
from components.ingest.spread.plan import SHARED, UnseenError

# Up to this number of hashes, the search takes a minute or less and stays where it is.
ALONE = 2_000_000
_FOLDER, _HASHES, _GROUPS = ".search", "hashes.npy", "groups.npy"
_CHUNK = 1 << 18  # hashes written at once


@dataclass(frozen=True)
class Task:
    """One search.

    Attributes:
        folder: that all workers see.
        count: number of bands.
        distance: see `perceptual.connected`.
        grouped: whether partners are looked for in other groups, as by `perceptual.near_pairs`.
    """

    folder: str
    count: int
    distance: int
    grouped: bool


def spread(folder: str, run: Callable[[Task], None]) -> perceptual.Search:
    """A search that runs elsewhere.

    Args:
        folder: that all workers see; what is written to it is removed again.
        run: has `work` called for each band of a task.
    """

    def search(
        hashes: NDArray[np.uint64], places: NDArray[np.int64], groups: NDArray[Any] | None, distance: int
    ) -> Iterator[perceptual.Found]:
        try:
            task = write(folder, hashes, places, groups, distance)
            run(task)
            yield from results(task)
        finally:
            shutil.rmtree(os.path.join(folder, _FOLDER), ignore_errors=True)

    return search


def write(
    folder: str,
    hashes: NDArray[np.uint64],
    places: NDArray[np.int64],
    groups: NDArray[Any] | None,
    distance: int,
) -> Task:
    """Writes the hashes [n, 4] at these places [m], and the group [m] of each or None, for the workers."""
    place = os.path.join(folder, _FOLDER)
    shutil.rmtree(place, ignore_errors=True)
    os.makedirs(place)
    with open(os.path.join(place, _HASHES), "wb") as f:
        told = {"descr": "<u8", "fortran_order": False, "shape": (len(places), 4)}
        np.lib.format.write_array_header_1_0(f, told)
        for start in range(0, len(places), _CHUNK):
            f.write(np.ascontiguousarray(hashes[places[start : start + _CHUNK]], "<u8").data)
    if groups is not None:
        scratch.save(os.path.join(place, _GROUPS), groups)
    return Task(folder, len(perceptual.bands(len(places))), distance, groups is not None)


def work(task: Task, index: int) -> None:
    """Compares the hashes that agree in a band; called on a worker, perhaps more than once for a band.

    Raises:
        UnseenError: this worker does not see the hashes.
    """
    place = os.path.join(task.folder, _FOLDER)
    try:
        hashes = np.load(os.path.join(place, _HASHES), mmap_mode="r", allow_pickle=False)
        groups = np.load(os.path.join(place, _GROUPS), allow_pickle=False) if task.grouped else None
    except FileNotFoundError:
        raise UnseenError(f"worker {socket.gethostname()} does not see {task.folder}; {SHARED}") from None
    found = perceptual.of_band(hashes, groups, perceptual.bands(len(hashes))[index], task.distance)
    with replacing(_result(task, index), shared=True) as temporary:
        scratch.save(temporary, np.stack(found))


def results(task: Task) -> Iterator[perceptual.Found]:
    """What the workers found, band by band.

    Raises:
        UnseenError: a result is missing, though the job ended well.
    """
    for index in range(task.count):
        try:
            one, other = np.load(_result(task, index), allow_pickle=False)
        except FileNotFoundError:
            raise UnseenError(
                f"{_result(task, index)} is missing, so the workers wrote it to disks of their own; {SHARED}"
            ) from None
        yield one, other


def _result(task: Task, index: int) -> str:
    return os.path.join(task.folder, _FOLDER, f"{index:04}.npy")
