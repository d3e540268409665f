"""The end of an ingest: final splits, once every image has been read, and the counts of all shards.

Which images belong together is known only then, from their perceptual hashes. A few images move: they are counted
again, and the shards that they leave and enter are rewritten. The result is the same, to the byte, as that of an ingest
that knew their split from the start.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from components.base.errors import ImagegateError
from components.data import perceptual
from components.data.arrays import bins, moments
from components.data.arrays.moments import Moments
from components.data.arrays.spec import ByBand
from components.data.dataset import SPLITS, Dataset, Paths, Record, packed
from components.data.manifest import ArrayFacts, DatasetManifest, Histograms
from components.data.storage import bundles
from components.ingest import moves, near_duplicates, shards
from components.ingest.counts import census
from components.ingest.settings import NearLimits
from components.ingest.stored.copies import NO_FILES, Files


class Reports(Protocol):
    """Reports of all shards, perhaps on disk: a list, or `spread.plan.Written`."""

    def __iter__(self) -> Iterator[census.Report]: ...

    def __setitem__(self, number: int, report: census.Report, /) -> None: ...


def merge(
    dataset: Dataset,
    reports: Reports,
    job: shards.Job,
    limits: NearLimits | None,
    folder: str = "",
    there: Files = NO_FILES,
    search: perceptual.Search | None = None,
) -> tuple[DatasetManifest, census.Images]:
    """Adds up the reports of all shards after images that belong together were put into one split.

    Args:
        dataset: the listing.
        reports: of the shards, in any order; they are gone through several times. The images that move are counted
            in their final splits then.
        job: settings of the ingest, with which the images that move are read again.
        limits: which images are nearly equal and how many may move; None: nearly equal images may be in two splits.
        folder: folder of the shards, which are rewritten; "" if none were written.
        there: as in `shards.write`.
        search: where nearly equal images are looked for; see `perceptual.near_pairs`.

    Returns:
        the manifest and the images, see `census.merge`.

    Raises:
        ImagegateError: a file has changed since it was read.
    """
    records = packed(dataset.records)
    rows, kept = census.images(Paths(records), len(records), reports)
    if not kept.all():
        records = packed(itertools.compress(records, kept))
    images, near = census.Images(rows, listed=Paths(records)), None
    if limits is not None or job.earlier:
        settled = near_duplicates.settle(records, rows, dataset.labels, limits, job.earlier, job.fractions, search)
        moving = np.flatnonzero(settled.target != rows["split"])
        changed = {(record := records[i]).path: (record, SPLITS[settled.target[i]]) for i in moving.tolist()}
        for number, report in enumerate(reports) if changed else ():
            mine = {path: changed[path] for path in report.paths if path in changed}
            if mine:
                splits = {path: split for path, (_, split) in mine.items()}
                files = shards.move(folder, report, splits, there) if folder else report.files
                _count_again(report, [mine[path][0] for path in sorted(mine)], job, splits)
                report.files = files
                reports[number] = report
        notes = moves.notes(dataset, records, rows, settled, job.earlier)
        dataset, near = dataclasses.replace(dataset, notes=dataset.notes + notes), settled.found
        rows["split"] = settled.target
    manifest, images = census.merge(dataset, reports, images)
    return manifest.model_copy(update={"near_duplicates": near, "arrays": _arrays(reports, job)}), images


def _arrays(reports: Reports, job: shards.Job) -> ArrayFacts | None:
    """What the arrays have in common; None for photos."""
    if job.expected is None:
        return None
    parts = {split: [one for report in reports for one in report.moments_of(split)] for split in SPLITS}
    expected, train = job.expected, parts["train"]

    def of_files(path: str) -> bool:
        return bundles.find(path.rpartition("@")[0] if expected.bands.tile else path) is not None

    facts = ArrayFacts(
        bands=expected.bands.names,
        frames=expected.bands.frames,
        shown=expected.bands.shown,
        dtype=expected.dtype,
        calendar=expected.calendar if any(of_files(path) for report in reports for path in report.paths) else None,
        height=expected.height,
        width=expected.width,
    )
    if not train:
        return facts
    sums = moments.total(train)
    told = {"mean": sums.mean, "deviation": sums.deviation, "least": sums.least, "most": sums.most}
    whole = (facts.frames or 1) * facts.height * facts.width
    valid = {
        split: float(moments.total(of_split).number[0]) / (whole * len(of_split))
        for split, of_split in parts.items()
        if of_split
    }
    update: dict[str, Any] = {name: tuple(values.tolist()) for name, values in told.items()}
    rule = expected.bands.invalid
    judging = rule.band if isinstance(rule, ByBand) else ""
    flat = zip(facts.bands, sums.least, sums.most, strict=True)
    update["constant"] = tuple(name for name, least, most in flat if least == most and name != judging)
    images = {split: _means(of_split, facts.bands) for split, of_split in parts.items() if of_split}
    told_more = {"valid": valid, "images": images, "copies": _copies(train, facts.bands)}
    return facts.model_copy(update={**update, **told_more})


def _means(parts: Sequence[Moments], names: Sequence[str]) -> Histograms:
    """Histograms of the means of each array's bands."""
    means = np.stack([part.mean for part in parts])  # [arrays, B]
    return {name: bins.histogram(column) for name, column in zip(names, means.T, strict=True)}


def _copies(train: Sequence[Moments], names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Pairs of bands whose sums are equal, to the bit, in every array; of a band with several, each with the first."""
    found: dict[bytes, str] = {}
    pairs = []
    rows = np.stack([np.stack(one) for one in train])  # [arrays, 5, B]
    for band, name in enumerate(names):
        first = found.setdefault(rows[:, :, band].tobytes(), name)
        if first != name:
            pairs.append((first, name))
    return tuple(pairs)


def _count_again(report: census.Report, records: Sequence[Record], job: shards.Job, changed: Mapping[str, str]) -> None:
    """Reads the images that move and corrects the counts of both their splits."""
    before, after = census.Report(), census.Report()
    place = {path: i for i, path in enumerate(report.paths)}
    rows = np.frombuffer(bytes(report.rows), census.ROW).copy()
    for item in shards.examine(records, dataclasses.replace(job, processes=job.careful)):  # they are few
        row = rows[place[item.record.path]]
        if item.problem or bytes.fromhex(item.sha256) != row["sha256"].tobytes():
            raise ImagegateError(f"{item.record.path}: the file changed while the data set was read; run again")
        shards.enter(dataclasses.replace(item, split=SPLITS[row["split"]]), before)
        shards.enter(dataclasses.replace(item, split=changed[item.record.path]), after)
        row["split"] = SPLITS.index(changed[item.record.path])
    report.replace(before, after)
    report.rows = bytearray(rows.tobytes())
