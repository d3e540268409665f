"""The section of the page on the bands of arrays: figures of each band and label, curves over time, histograms."""

from __future__ import annotations

import math
from collections.abc import Sequence

from components.base.text import percent, truncated_list
from components.data.arrays import curves
from components.data.arrays.curves import Labelled, OverTime
from components.data.arrays.moments import Moments
from components.data.manifest import ArrayFacts, DatasetManifest
from components.drawing import band_charts
from components.drawing.band_charts import amount
from components.ingest import manifest
from components.labels.kind import LabelKind
from components.report.arrays import sample
from components.report.cells import Cell, Row, Table, count
from components.report.records import BandEvidence, Chart

_LABELS, _BANDS = 12, 12  # that are drawn: so many lines can be told apart, and so many panels looked at


def collect(folder: str, kind: LabelKind) -> BandEvidence | None:
    """What the arrays of train look like; None for photos, and without any array.

    Args:
        folder: of the shards.
        kind: of the labels.

    Raises:
        ImagegateError: the shards differ from the manifest.
    """
    told = manifest.read(folder)
    facts = told.arrays
    if facts is None or not facts.mean:
        return None
    chosen = _frequent(told, kind)
    bands, labels = facts.bands[:_BANDS], [told.labels[k] for k in chosen]
    read = sample.read(folder, told, facts, len(bands), kind.per_pixel)
    valid = percent(round(facts.valid.get(sample.SPLIT, math.nan), 4))
    lacking = f" of {facts.frames} moments, of which those that a sequence lacks are not valid" if facts.frames else ""
    return {
        "exact": f"Over the valid pixels of train, which are {valid} of all its pixels{lacking}. A pixel is valid "
        f"in all bands or in none. Values are those of the files ({facts.dtype}).",
        "bands": _of_bands(facts),
        "sampled": _sampled(told, facts, labels, len(read)),
        "figures": _about_figures(facts, kind),
        "labels": _of_labels([curves.summary(read, k) for k in chosen], labels, bands),
        "charts": _charts(read, chosen, facts, labels),
    }


def _frequent(told: DatasetManifest, kind: LabelKind) -> list[int]:
    """The most frequent labels in train that occur at all, in the order of the labels."""
    if kind.per_pixel:
        numbers = [row[0] for row in told.pixels.get(sample.SPLIT, ())[: len(told.labels)]]
    else:
        numbers = [told.label_counts[name][sample.SPLIT] for name in told.labels]
    order = sorted(range(len(numbers)), key=lambda k: -numbers[k])[:_LABELS]
    return sorted(k for k in order if numbers[k])


def _of_bands(facts: ArrayFacts) -> Table:
    columns = (facts.mean, facts.deviation, facts.least, facts.most)
    rows: list[Row] = [
        {"name": name, "cells": [_cell(value) for value in values]}
        for name, values in zip(facts.bands, zip(*columns, strict=True), strict=True)
    ]
    return {"heads": ["band", "mean", "deviation", "least", "most"], "rows": rows}


def _cell(value: float, more: str = "") -> Cell | None:
    return {"value": value, "text": amount(value) + more, "bar": None} if math.isfinite(value) else None


def _of_labels(sums: Sequence[tuple[Moments, float]], labels: Sequence[str], bands: Sequence[str]) -> Table:
    rows: list[Row] = []
    for name, (found, valid) in zip(labels, sums, strict=True):
        share: Cell | None = None
        if math.isfinite(valid):
            share = {"value": valid, "text": percent(round(valid, 4)), "bar": round(valid, 3)}
        means = zip(found.mean.tolist(), found.deviation.tolist(), strict=True)
        figures = [_cell(mean, f" ± {amount(deviation)}") for mean, deviation in means]
        rows.append({"name": name, "cells": [count(float(found.number[0])), share, *figures]})
    return {"heads": ["label", "valid pixels", "share", *bands], "rows": rows}


def _about_figures(facts: ArrayFacts, kind: LabelKind) -> str:
    moments = ", at the moments that there are" if facts.frames else ""
    seen = " A pixel that is never valid has no label." if kind.per_pixel else ""
    return (
        "Mean ± standard deviation of each band over the valid pixels of a label, and how many of its pixels are "
        f"valid{moments}.{seen}"
    )


def _sampled(told: DatasetManifest, facts: ArrayFacts, labels: Sequence[str], read: int) -> str:
    whole = told.counts[sample.SPLIT]
    part = f"all {whole:,} arrays of train"
    if read < whole:
        part = f"{read:,} of the {whole:,} arrays of train, evenly spread over the shards"
    sentences = [f"What follows is of {part}."]
    others = [name for name in told.labels if name not in labels]
    if others:
        sentences.append(
            f"It shows {len(labels)} labels, the most frequent in train, of {len(told.labels)}, and not: "
            f"{truncated_list(others)}."
        )
    if len(facts.bands) > _BANDS:
        sentences.append(f"It shows the first {_BANDS} of {len(facts.bands)} bands.")
    return " ".join(sentences)


def _charts(read: Sequence[Labelled], chosen: Sequence[int], facts: ArrayFacts, labels: Sequence[str]) -> list[Chart]:
    if not read or not chosen:
        return []
    bands, charts = facts.bands[:_BANDS], list[Chart]()
    if facts.frames:
        found = curves.over_time(read, chosen)
        drawn = band_charts.over_time(found, bands, labels, "Means over time, by label")
        charts.append({"title": "Means over time, by label", "svg": drawn, "note": _time_note(found)})
    drawn = band_charts.values(curves.histograms(read, chosen), bands, labels, "Distribution of the values, by label")
    low, high = (f"{100 * share:g}" for share in curves.ENDS)
    note = (
        f"Share of the valid values of a label in each of up to {curves.BINS} equal bins, from the {low} to the {high} "
        "percentile of the values of all these arrays; what lies outside is not drawn."
    )
    charts.append({"title": "Distribution of the values, by label", "svg": drawn, "note": note})
    return charts


def _time_note(found: OverTime) -> str:
    if found.span and found.dated:
        at = f"in each of {len(found.at)} spans of {amount(found.span)} days"
    elif found.span:
        at = f"in each of {len(found.at)} spans of {amount(found.span)} moments"
    else:
        at = "at each moment"
    return f"Mean over the valid pixels of a label {at}. Below all bands: the share of all pixels that are valid."
