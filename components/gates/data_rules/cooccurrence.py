"""Rule on pairs of labels that carry the same information: they always come together, or always exclude each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.base.text import number
from components.base.verdict import Verdict
from components.data.manifest import DatasetManifest
from components.gates import drift
from components.gates.data_rules.base import GateInput, bound
from components.gates.judge import judge
from components.gates.settings import DataGateLimits

_ROWS = 4096  # label sets that are multiplied at once, to bound the memory; chosen by hand; not measured


@dataclass(frozen=True)
class _PairCounts:
    """Images of train for which two labels are known, int64 [K, K] each.

    Attributes:
        both: images that have the label of the row and that of the column.
        first, second: images that have the label of the row; that of the column.
        known: all images for which both are known.
    """

    both: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    known: NDArray[np.int64]


def cooccurrence(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Bounds the phi coefficient of every pair of labels in train.

    Yields the pairs that fail, strongest first, or else the strongest pair: K labels have K (K - 1) / 2 pairs.
    """
    limit, labels = limits.max_cooccurrence, data.manifest.labels
    i, j = np.triu_indices(len(labels), 1)
    if limit is None or not len(i):
        return
    counts = _pair_counts(data.manifest)
    tables = [table[i, j] for table in (counts.both, counts.first, counts.second, counts.known)]
    phi, given_second, given_first = drift.association(*tables)
    order = np.argsort(-np.abs(phi), kind="stable")
    verdicts = []
    for n in [n for n in order if abs(phi[n]) > limit] or order[:1]:
        a, b = labels[i[n]], labels[j[n]]
        cells = [int(table[n]) for table in tables]
        rule = bound(
            metric=f"{'co-occurrence' if phi[n] >= 0 else 'mutual exclusion'} (phi) of labels {a!r} and {b!r} in train",
            maximum=limit,
            advice="Merge or drop one of them, add images of one without the other, or raise balance.max_cooccurrence",
        )
        both, has_a, has_b, known = map(number, cells)
        detail = (
            f"{both} of {known} images have both, {has_a} have {a!r}, {has_b} have {b!r}; of those with {b!r} "
            f"{number(100 * given_second[n])} % have {a!r}, of those with {a!r} {number(100 * given_first[n])} % {b!r}"
        )
        # Bonferroni: the p-value is multiplied by the number of pairs tested.
        chance = len(i) * drift.association_p(*cells) if abs(phi[n]) > limit else 1.0
        verdicts.append(judge(rule, abs(float(phi[n])), chance=chance, detail=detail))
    yield from [verdict for verdict in verdicts if not verdict.passed] or verdicts[:1]


def _pair_counts(manifest: DatasetManifest) -> _PairCounts:
    """Counts the images of every pair of labels, by matrix products of the distinct label sets.

    The sums are whole numbers below 2^53, so the floating-point products are exact.
    """
    labels = manifest.labels
    index = {label: i for i, label in enumerate(labels)}
    sets = [row[1:] for row in manifest.label_sets if row[0] == "train"]
    both, first, total = (np.zeros((len(labels), len(labels))) for _ in range(3))
    for start in range(0, len(sets), _ROWS):
        part = sets[start : start + _ROWS]
        applies, known = np.zeros((len(part), len(labels))), np.ones((len(part), len(labels)))
        for row, (names, unknown, _) in enumerate(part):
            applies[row, [index[name] for name in names]] = 1
            known[row, [index[name] for name in unknown]] = 0
        images = np.array([n for _, _, n in part], np.float64)[:, None]
        both += applies.T @ (applies * images)
        first += (applies * images).T @ known
        total += known.T @ (known * images)
    return _PairCounts(*(table.astype(np.int64) for table in (both, first, first.T, total)))
