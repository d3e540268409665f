"""The end of reading images without labels: leaves out what training must not see, or sees anyway, and counts."""

from __future__ import annotations

import itertools

from components.data.dataset import UNLABELLED, Dataset, Paths, packed
from components.data.manifest import DatasetManifest, LeftOut
from components.ingest import settling, shards
from components.ingest.counts import census
from components.ingest.unlabelled import overlap


def merge(
    dataset: Dataset, reports: settling.Reports, labelled: census.Images, distance: int | None, folder: str
) -> DatasetManifest:
    """Rewrites the shards without the images that are among the labelled ones; see `overlap.find`.

    Args:
        dataset: the listing.
        reports: of the shards, in any order.
        labelled: the labelled images.
        distance: bits in which the perceptual hashes of nearly equal images may differ; None: only equal files count.
        folder: of the shards.

    Returns:
        the manifest; `excluded` has the images that equal or nearly equal one of eval or test.
    """
    records = packed(dataset.records)
    rows, kept = census.images(Paths(records), len(records), reports)
    paths = Paths(records if kept.all() else packed(itertools.compress(records, kept)))
    found = overlap.find(rows, labelled.rows, distance)
    gone = {paths[i] for i in sorted((*found.train, *found.judged))}
    for number, report in enumerate(reports):
        mine = {path: None for path in report.paths if path in gone}
        if mine:
            report.files = shards.move(folder, report, mine)
            reports[number] = report
    reasons = ((paths[i], reason) for i, reason in overlap.reasons(found, labelled).items())
    counted, _ = census.merge(dataset, reports, census.Images(rows, listed=paths))
    known = [f"{len(found.train):,} images are in train with their labels, and were left out"] if found.train else []
    return counted.model_copy(
        update={
            "counts": {UNLABELLED: len(rows) - len(gone)},
            "excluded": tuple(LeftOut(path=path, reason=reason) for path, reason in sorted(reasons)),
            "notes": (*counted.notes, *known),
        }
    )
