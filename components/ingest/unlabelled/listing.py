"""Lists a folder of images without labels."""

from __future__ import annotations

from components.base import proof
from components.base.compact.packed import Packed
from components.base.text import truncated_list
from components.data import images, storage
from components.data.dataset import UNLABELLED, Dataset, Record, packed
from components.data.storage import File
from components.ingest import splits
from components.ingest.layouts import own
from components.ingest.layouts.paths import sidecars
from components.ingest.settings import Pool

KEY = "data.unlabelled"


def read(pool: Pool, key: str = KEY) -> Dataset:
    """Lists the images below `pool.root`, in any folder; opens none, except one of each unknown ending.

    Args:
        pool: the folder.
        key: what names it, for messages.

    Returns:
        a data set without labels, whose records are in the split `UNLABELLED`.

    Raises:
        ConfigError: there is no such folder.
    """
    places = {place: key for key, place in pool.skipped}
    with storage.watch(tuple(places)) as left:
        listed = Packed.ordered(File, storage.files(pool.root, key), key=lambda file: file.path)
    found, others = sidecars.without(pool.root, listed)
    notes = []
    beside = sorted(file.path for file in others if not file.problem)
    if beside:
        notes.append(f"{len(beside):,} files are no images by their names and were ignored: {truncated_list(beside)}")
    return Dataset(
        root=pool.root,
        labels=(),
        records=packed(
            Record(file.path, (), UNLABELLED, file.size, file.version) for file in found if not file.problem
        ),
        fractions={},
        rejected=tuple(sorted((file.path, file.problem) for file in (*found, *others) if file.problem)),
        ignored=tuple(beside),
        notes=(*notes, *own.notes(left, places, pool.root)),
    )


def fingerprint(pool: Pool | None) -> str:
    """A digest that changes with the listing and, where the listing proves nothing, with the content; "" for None.

    Raises:
        ConfigError: there is no such folder.
    """
    if pool is None:
        return ""
    dataset, largest = read(pool), images.max_file_bytes(pool.max_pixels)

    def version(record: Record) -> str:
        if proof.proves(record.version) or record.size > largest:
            return record.version
        try:
            return splits.digest(storage.read(pool.root, record.path))
        except OSError as error:
            return f"cannot be read: {error.strerror or error}"

    return dataset.fingerprint(map(version, dataset.records))
