"""Tables of the page: metrics by label and slice, the confusion matrix, decisions and stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NotRequired, TypedDict

from components import metrics
from components.gates.compared import whole
from components.labels import kinds
from components.labels.kind import LabelKind
from components.model.fitting.synthetic import Synthetic
from components.report.cells import Cell, Row, Table, bar, change, count, head, plural, short_count
from components.report.records import Confusion, Decisions
from components.report.run_summary import Numbers, RunSummary, SliceResult, Stage

_LABEL_ROWS = 1500  # rows of labels within slices; beyond that, only the worst slices are detailed
_COLUMNS = 4  # metrics of a slice besides the main one


class SliceDetail(TypedDict):
    """The labels within one slice."""

    name: str
    table: Table


class SliceGroup(TypedDict):
    """The slices by one column or cross of columns."""

    column: str
    table: Table
    details: NotRequired[list[SliceDetail]]
    omitted: NotRequired[str]


class MatrixCell(TypedDict):
    """A count of a confusion matrix; `kind` is "hit" or "miss"."""

    count: str
    percent: str
    share: float
    kind: str


class MatrixRow(TypedDict):
    """A row of a confusion matrix; empty cells are None."""

    label: str
    cells: list[MatrixCell | None]


class Matrix(TypedDict):
    """A confusion matrix."""

    names: list[str]
    rows: list[MatrixRow]
    omitted: int
    unit: str


def synthetic(made: Synthetic | None) -> Table | None:
    """How many images were made of each label, and of which none is used; None if none were wanted."""
    if made is None:
        return None
    rows: list[Row] = []
    for name, one in made.labels.items():
        outcome: Cell = {"value": 0, "text": "none is used", "mood": "bad"}  # why, a sentence above the table says
        rows.append({"name": name, "cells": [count(one.train), count(one.images), outcome if one.reason else None]})
    return {"heads": ["label", "train", "made", "outcome"], "rows": rows}


def labels(summary: RunSummary) -> Table | None:
    """Support, metrics and change since the served model of each label; None without metrics."""
    if not summary.per_label:
        return None
    kind = kinds.kind(summary.task)
    served, main = summary.baseline.per_label if summary.baseline else {}, kind.main_of_label
    part = summary.same_part.per_label
    heads = _label_heads(kind)
    rows = []
    for label, numbers in summary.per_label.items():
        row = _label_row(label, numbers, kind)
        if served:
            row["cells"].append(change(main, part.get(label, {}).get(main), served.get(label, {}).get(main)))
        rows.append(row)
    return {"heads": [*heads, f"{head(main)} change"] if served else heads, "rows": rows}


def slices(summary: RunSummary) -> list[SliceGroup]:
    """One group per column or cross of columns; within it, the worst slice by the main metric comes first."""
    kind = kinds.kind(summary.task)
    by_column: dict[str, list[SliceResult]] = {}
    for result in summary.slices:
        by_column.setdefault(" × ".join(result.slice), []).append(result)
    return [_slice_group(column, results, kind) for column, results in by_column.items()]


def _slice_group(column: str, results: Sequence[SliceResult], kind: LabelKind) -> SliceGroup:
    main = kind.main
    others = [m for m in kind.overall if not m.startswith("uncalibrated_") and m not in ("abstained", main)]
    shown = [main, *others[:_COLUMNS]]
    ranked = sorted(results, key=lambda r: (r.metrics.get(main) is None, r.metrics.get(main) or 0.0))
    rows: list[Row] = [
        {
            "name": _slice_name(result.slice),
            "cells": [count(result.metrics.get("example_count")), *(bar(m, result.metrics.get(m)) for m in shown)],
        }
        for result in ranked
    ]
    group: SliceGroup = {"column": column, "table": {"heads": [column, "examples", *map(head, shown)], "rows": rows}}
    # In a slice by label, the row of that label says everything.
    if column != "label":
        group["details"], group["omitted"] = _details(ranked, kind)
    return group


def _details(results: Sequence[SliceResult], kind: LabelKind) -> tuple[list[SliceDetail], str]:
    """The labels within each slice, and a sentence on slices left out."""
    detailed = [
        (result.slice, rows)
        for result in results
        # A single label would only repeat the slice's own row.
        if len(rows := [_label_row(name, n, kind) for name, n in result.per_label.items() if n.get("support")]) > 1
    ]
    details: list[SliceDetail] = []
    used = 0
    for where, rows in detailed:
        used += len(rows)
        if used > _LABEL_ROWS:
            break
        details.append({"name": _slice_name(where), "table": {"heads": _label_heads(kind), "rows": rows}})
    more = len(detailed) - len(details)
    return details, f"The labels of {more} further slice{plural(more)} are in summary.json." if more else ""


def weak_groups(summary: RunSummary) -> Table | None:
    """How the model does on each weak group and on the rest; None without any."""
    groups = summary.weak_groups.groups if summary.weak_groups else ()
    rows: list[Row] = [
        {
            "name": group.name,
            "cells": [
                count(group.count),
                {"value": group.value, "text": f"{group.measure} {group.value:.3f}", "bar": round(group.value, 3)},
                {"value": group.rest, "text": f"{group.measure} {group.rest:.3f}", "bar": round(group.rest, 3)},
                {"value": group.chance, "text": f"{group.chance:.1g}"},
            ],
        }
        for group in groups
    ]
    return {"heads": ["group", "images", "here", "on the rest", "by chance"], "rows": rows} if rows else None


def regressions(summary: RunSummary) -> Table | None:
    """Images that the served model had right, by label; None without any."""
    found = summary.baseline.regressions if summary.baseline else None
    counts = whole(found.numbers) if found else {}
    labels = [label for label in summary.data.labels if counts.get(metrics.key(metrics.REGRESSIONS, label))]
    rows: list[Row] = [
        {
            "name": label,
            "cells": [
                count(counts[metrics.key("effective_positives", label)]),
                count(counts[metrics.key(metrics.REGRESSIONS, label)]),
            ],
        }
        for label in labels
    ]
    return {"heads": ["label", "images compared", "right before, wrong now"], "rows": rows} if rows else None


def trivial(summary: RunSummary) -> Table | None:
    """The model beside trivial methods, by the metrics that these have; None without any."""
    methods = summary.trivial.methods if summary.trivial else ()
    shown = [metric for metric in kinds.kind(summary.task).overall if metric in metrics.OF_ANSWERS]
    compared = [("this model", summary.metrics), *((method.name, method.numbers) for method in methods)]
    rows: list[Row] = [
        {"name": name, "cells": [bar(metric, numbers.get(metric)) for metric in shown]} for name, numbers in compared
    ]
    return {"heads": ["method", *map(head, shown)], "rows": rows} if methods else None


def exports(summary: RunSummary) -> tuple[Table, Table] | None:
    """Size, latency and agreement of each export, and the change of each label's metric; None without exports."""
    if not summary.exports:
        return None
    kind = kinds.kind(summary.task)
    measured = [one for one in summary.exports if one.agreement is not None]
    rows: list[Row] = []
    for one in summary.exports:
        outcome: Cell = {"value": float(one.passed), "text": "passed", "mood": "good"}
        if not one.passed:
            outcome |= {"text": "not pushed", "mood": "bad"}
        numbers = [
            _figure(one.megabytes, "{:.1f}"),
            _figure(one.latency_ms.median if one.latency_ms else None, "{:.1f}"),
            _figure(one.agreement, "{:.2%}"),
            _figure(one.largest_difference, "{:.2g}"),
            _figure(one.mean_difference, "{:.2g}"),
            bar(kind.main, one.metrics.get(kind.main)),
        ]
        rows.append({"name": one.format, "cells": [*numbers, outcome]})
    heads = ["format", "MB", "ms for one image", "same decisions", "largest difference", "mean difference"]
    by_label: list[Row] = [
        {
            "name": label,
            "cells": [change(kind.main_of_label, one.changes.get(label), 0.0) for one in measured],
        }
        for label in summary.per_label
    ]
    return (
        {"heads": [*heads, head(kind.main), "outcome"], "rows": rows},
        {"heads": ["label", *(one.format for one in measured)], "rows": by_label if measured else []},
    )


def _figure(value: float | None, form: str) -> Cell | None:
    return None if value is None else {"value": value, "text": form.format(value)}


def matrix(confusion: Confusion | None, kind: LabelKind) -> Matrix | None:
    """Counts of a confusion matrix and their shares of the row."""
    if not confusion:
        return None
    rows: list[MatrixRow] = [
        {"label": label, "cells": [_matrix_cell(n, total, hit=i == j) for j, n in enumerate(counts)]}
        for i, (label, counts, total) in enumerate(
            zip(confusion["labels"], confusion["counts"], confusion["totals"], strict=True)
        )
    ]
    return {
        "names": confusion["labels"],
        "rows": rows,
        "omitted": confusion["omitted"],
        "unit": f"{kind.bearer}s",
    }


def _matrix_cell(n: float, total: float, *, hit: bool) -> MatrixCell | None:
    if not n:
        return None
    return {
        "count": short_count(n),
        "percent": f"{100 * n / total:.0f}" if total else "",
        "share": round(n / total, 3) if total else 0,
        "kind": "hit" if hit else "miss",
    }


def cases(decisions: Iterable[Decisions]) -> Table | None:
    """True and false positives, true and false negatives of each label; None without labels."""
    rows: list[Row] = [
        {"name": d["label"], "cells": [count(d["tp"]), count(d["fn"]), count(d["fp"]), count(d["tn"])]}
        for d in decisions
    ]
    heads = ["label", "true positives", "false negatives", "false positives", "true negatives"]
    return {"heads": heads, "rows": rows} if rows else None


def stages(stages: Sequence[Stage]) -> Table | None:
    """Duration and memory of each stage, and whether its result came from the cache."""
    most = max((stage.seconds for stage in stages), default=0.0) or 1.0
    rows: list[Row] = [
        {
            "name": stage.name,
            "cells": [
                {"value": stage.seconds, "text": f"{stage.seconds:.1f}", "bar": round(stage.seconds / most, 3)},
                {"value": int(stage.cached), "text": "cached" if stage.cached else "ran"},
                None
                if stage.peak_memory is None
                else {"value": stage.peak_memory, "text": f"{stage.peak_memory / 2**20:,.0f} MiB"},
            ],
        }
        for stage in stages
    ]
    return {"heads": ["stage", "seconds", "cache", "memory of the process"], "rows": rows} if rows else None


def _label_heads(kind: LabelKind) -> list[str]:
    return ["label", "pixels" if kind.per_pixel else "support", *map(head, kind.columns)]


def _label_row(label: str, numbers: Numbers, kind: LabelKind) -> Row:
    return {"name": label, "cells": [count(numbers.get("support")), *(bar(m, numbers.get(m)) for m in kind.columns)]}


def _slice_name(where: Mapping[str, str]) -> str:
    if len(where) == 1:  # the column is in the table's head
        return next(iter(where.values()))
    return ", ".join(f"{column} = {value}" for column, value in where.items())
