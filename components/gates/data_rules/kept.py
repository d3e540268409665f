"""Findings that somebody looked at and decided to keep: they are not reported again, nor counted against a limit."""

from __future__ import annotations

import collections
from collections.abc import Iterable

from components.gates.data_rules.base import Finding
from components.gates.settings import DataGateLimits
from components.ingest.exclusion import Paths, normal
from components.ingest.settings import Exclusion


def undecided(found: Iterable[Finding], limits: DataGateLimits) -> list[Finding]:
    """The findings that no row of `data.exclude` keeps, in order.

    A row keeps the findings of its path or pattern; with a kind, those of this kind; with another file, the pair. A
    pair is decided for both of its files by a row for either.
    """
    found = list(found)
    if not limits.kept:
        return found
    paths = Paths(finding.path for finding in found)
    rows: dict[str, list[Exclusion]] = collections.defaultdict(list)
    for row in limits.kept:
        for path in paths.matches(row.path):
            rows[path].append(row)
    decided = {_subject(one) for one in found if any(_keeps(row, one) for row in rows[one.path])}
    return [one for one in found if _subject(one) not in decided]


def _keeps(row: Exclusion, finding: Finding) -> bool:
    return row.kind in ("", finding.kind) and (not row.other or normal(row.other) == normal(finding.other))


def _subject(finding: Finding) -> tuple[str, frozenset[str]]:
    return finding.kind, frozenset((finding.path, finding.other))
