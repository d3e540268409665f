"""Recognises tables of images: CSV, JSON and Parquet, alone or one per split, with labels in one or several columns."""

from __future__ import annotations

from collections.abc import Iterator

from components.ingest.layouts.listing import Listing
from components.ingest.layouts.table.lookup import Lookup
from pipeline.init.recognise.sight import Proposal, Sight
from pipeline.init.recognise.tabular import problems
from pipeline.init.recognise.tabular.candidates import Unparsed, candidates
from pipeline.init.recognise.tabular.draft import Draft
from pipeline.init.recognise.tabular.places import is_somewhere, place

_LEAST_SHARE = 4  # a table that names less than a quarter of the images is about something else


def recognise(sight: Sight) -> Iterator[Proposal]:
    """Proposes the layout `manifest` for tables whose cells name images, or hold them.

    Of several columns that may be the labels, one that is called so is preferred, then 0/1 columns, then others.
    """
    listing = Listing(sight.root, sight.files)
    lookup = Lookup(listing, [""])
    for candidate in candidates(sight, lambda name: lookup.is_file(name) or is_somewhere(name, listing)):
        if isinstance(candidate, Unparsed):
            yield from _unusable(problems.of_unparsed(sight, candidate, listing))
            continue
        tables = [table for _, table in candidate.tables]
        found = place(tables, listing)
        if found is None or found.share < 0.5:
            yield from _unusable(problems.of_names(tables[0]) if sight.images else "")
            continue
        rows = [cells for table in tables for _, cells in table.rows]
        if not found.embedded and not sight.start and _LEAST_SHARE * len(rows) < len(sight.images):
            yield from _unusable(problems.of_share(tables[0], rows, sight))
            continue
        yield from Draft(candidate, found, rows).proposals()


def _unusable(problem: str) -> Iterator[Proposal]:
    if problem:
        yield Proposal("manifest", (), "", problem=problem)
