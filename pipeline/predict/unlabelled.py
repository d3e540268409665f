"""The images below `data.unlabelled` that may be labelled next, each with the answer of the served model."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.base import progress
from components.base.text import truncated_list
from components.data import images, storage
from components.data.dataset import Dataset, Record
from components.data.storage import parquet
from components.evaluation import next_images
from components.ingest import splits
from components.ingest.settings import Pool
from components.ingest.unlabelled import listing
from components.labels import outputs
from components.labels.kind import Answer, LabelKind, PlainAnswer
from components.push.versions import Served
from pipeline.predict import predict

if TYPE_CHECKING:
    from pipeline.config import Config

_BATCH = 32
_THREADS = 8  # for reading images; each holds one decoded image in memory
_SHARES = 3  # labels of a mask that are named


@dataclass
class Found:
    """Images that may be labelled, and what became of the others.

    Attributes:
        paths: below `data.unlabelled`.
        guesses: what the model takes each for.
        unsure, vectors, hashes: one for each, see `next_images`.
        unusable: (path, reason).
        labelled: number of images that equal one with a known label.
        equal: number of further copies of an image.
        notes: of the listing.
    """

    paths: list[str] = field(default_factory=list)
    guesses: list[str] = field(default_factory=list)
    unsure: list[float] = field(default_factory=list)
    vectors: list[NDArray[np.float64]] = field(default_factory=list)
    hashes: list[NDArray[np.uint64] | None] = field(default_factory=list)
    unusable: list[tuple[str, str]] = field(default_factory=list)
    labelled: int = 0
    equal: int = 0
    notes: tuple[str, ...] = ()

    def add(self, checked: Sequence[tuple[str, images.Checked]], arrays: Answer, kind: LabelKind, between: str) -> None:
        """Adds a batch of images with the model's answers; those that the model refuses are unusable."""
        rows = zip(
            checked,
            kind.answers(arrays),
            next_images.uncertainty(arrays, kind).tolist(),
            next_images.description(arrays, kind),
            arrays[outputs.ERROR],
            strict=True,
        )
        for (path, image), answer, unsure, vector, error in rows:
            if error:
                self.unusable.append((path, f"the model refuses it: {error.decode()}"))
                continue
            self.paths.append(path)
            self.guesses.append(guess(answer, between))
            self.unsure.append(unsure)
            self.vectors.append(vector)
            self.hashes.append(image.perceptual)


def find(config: Config, pool: Pool, dataset: Dataset, served: Served) -> Found:
    """Reads every image below `data.unlabelled` once and lets the served model answer.

    Args:
        config: the settings.
        pool: the images without labels.
        dataset: the labelled data set.
        served: the pushed version.

    Raises:
        ConfigError: there is no folder `data.unlabelled`.
        ImagegateError: the model cannot be used, see `predict.model`.
    """
    listed = listing.read(pool)
    found = Found(unusable=list(listed.rejected), notes=listed.notes)
    seen = dict.fromkeys(_digests(dataset, known(dataset, config.kind), {r.size for r in listed.records}), True)
    with predict.model(served) as answers:
        for batch in batches(pool, listed.records):
            fresh: list[tuple[str, images.Checked]] = []
            for path, digest, image in batch:
                if digest in seen:
                    found.labelled += seen[digest]
                    found.equal += not seen[digest]
                elif isinstance(image, str):
                    found.unusable.append((path, image))
                else:
                    seen[digest] = False
                    fresh.append((path, image))
            if fresh:
                arrays = answers([image.encoded for _, image in fresh])
                found.add(fresh, arrays, config.kind, config.data.separator)
    return found


def known(dataset: Dataset, kind: LabelKind) -> list[Record]:
    """Returns the records of which at least one label is known, or the mask."""
    if kind.per_pixel:
        return list(dataset.records)
    return [r for r in dataset.records if r.labels or (not kind.exclusive and len(r.unknown) < len(dataset.labels))]


def guess(answer: PlainAnswer, between: str) -> str:
    """The answer of a model in a few words.

    >>> guess({"label": "cat", "probabilities": {"cat": 0.9, "dog": 0.1}}, "|")
    'cat'
    >>> guess({"labels": ["cat", "dog"], "probabilities": {"cat": 0.9, "dog": 0.6}}, "|")
    'cat|dog'
    >>> guess({"shares": {"road": 0.25, "sky": 0.75, "tree": 0.0}}, "|")
    'sky 75%, road 25%'
    """
    if "shares" in answer:
        largest = sorted(answer["shares"].items(), key=lambda item: -item[1])[:_SHARES]
        return ", ".join(f"{label} {share:.0%}" for label, share in largest if share > 0)
    return str(answer["label"]) if "label" in answer else between.join(answer["labels"])


def unusable_lines(files: Iterable[tuple[str, str]]) -> list[str]:
    """One line for each reason, with its files; of many, the first ones and the number of the others.

    >>> unusable_lines([("b.png", "empty file"), ("a.png", "empty file")])
    ['left out, cannot be used: empty file: a.png, b.png']
    """
    paths: dict[str, list[str]] = {}
    for path, reason in sorted(files):
        paths.setdefault(reason, []).append(path)
    return [f"left out, cannot be used: {reason}: {truncated_list(names)}" for reason, names in paths.items()]


def _digests(dataset: Dataset, records: Sequence[Record], sizes: set[int]) -> Iterator[str]:
    """Yields SHA-256 of the files that may equal one of these sizes; others are not read."""
    alike = [r for r in records if r.size in sizes or parquet.find(r.path)]  # sizes in Parquet files are estimates

    def digest(record: Record) -> str:
        try:
            return splits.digest(storage.read(dataset.root, record.path))
        except OSError:  # an image that nobody can read equals no other
            return ""

    with ThreadPoolExecutor(_THREADS) as threads:
        for number, found in enumerate(threads.map(digest, alike), 1):
            progress.report("labelled images", number, len(alike))
            if found:
                yield found


_Read = tuple[str, str, images.Checked | str]


def batches(pool: Pool, records: Sequence[Record]) -> Iterator[list[_Read]]:
    """Yields batches of (path, SHA-256 or "", the image or why it cannot be used); reads one batch ahead."""
    read = functools.partial(_read, pool)
    with ThreadPoolExecutor(_THREADS) as threads:
        ahead = threads.map(read, records[:_BATCH])
        for start in range(0, len(records), _BATCH):
            batch = list(ahead)
            ahead = threads.map(read, records[start + _BATCH : start + 2 * _BATCH])
            yield batch
            progress.report("images", start + len(batch), len(records))


def _read(pool: Pool, record: Record) -> _Read:
    if record.size > images.max_file_bytes(pool.max_pixels):
        return record.path, "", f"{record.size:,} bytes are more than data.max_pixels allows for"
    digest = ""
    try:
        content = storage.read(pool.root, record.path)
        digest = splits.digest(content)
        return record.path, digest, images.check(content, pool.max_pixels, pool.bits)
    except OSError as error:
        return record.path, digest, f"cannot be read: {error.strerror or error}"
    except images.BadImage as error:
        return record.path, digest, str(error)
