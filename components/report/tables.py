"""The page's tables, from the numbers of summary.json: plain cells, the template draws them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from components import metrics
from components.base.text import number
from components.labels import kinds
from components.labels.kind import LabelKind

_HEADS = {"auc": "AUC", "ece": "ECE", "average_precision": "average precision", "f1": "F1", "iou": "IoU"}
# Rows of labels within slices; of more, the worst slices are shown.
_DETAILS = 1500
_TILES = 8
_COLUMNS = 4  # metrics of a slice besides the main one
_OPEN = 24  # rules that are shown at once


def gates(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every verdict, as text: those that failed first."""
    made: list[dict[str, Any]] = []
    for i, gate in enumerate(found, 1):
        about = [f"label {gate['label']!r}"] if gate.get("label") is not None else []
        about += [f"{k}={v}" for k, v in (gate.get("slice") or {}).items()]
        interval = gate.get("interval")
        unjudged = gate["passed"] and gate["value"] is None
        made.append(
            {
                "id": f"rule-{i}",
                "gate": {"data_gate": "data", "model_gate": "model", "serving": "serving"}[gate["gate"]],
                "rule": gate["rule"],
                "about": ", ".join(about),
                "reason": _beyond(gate),
                "passed": gate["passed"],
                "mark": "not judged" if unjudged else "held" if gate["passed"] else "failed",
                "value": _plain(gate["value"]),
                "bound": _plain(gate.get("bound")),
                "interval": f"{number(interval[0])} to {number(interval[1])}" if interval else "–",
                "examples": _plain(gate.get("examples")),
            }
        )
    return sorted(made, key=lambda gate: gate["passed"])


def _beyond(gate: Mapping[str, Any]) -> str:
    """What the sentence says that the other cells do not: all of it where the rule failed."""
    reason, rule = str(gate["reason"]), str(gate["rule"])
    said = f": {rule}"
    return reason.split(said, 1)[1].removeprefix(": ") if gate["passed"] and said in reason else reason


def held(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rules that held, gate by gate, the model's first."""
    groups = []
    for gate in ("model", "serving", "data"):
        own = [one for one in found if one["passed"] and one["gate"] == gate]
        if own:
            text = f"{len(own)} rule{_s(len(own))} of the {gate} gate held"
            groups.append({"text": text, "gates": own, "open": len(own) <= _OPEN and gate != "data"})
    return groups


def headline(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The first metrics of the whole, with their change since the served model."""
    numbers, served = told.get("metrics") or {}, (told.get("baseline") or {}).get("metrics") or {}
    tiles = []
    for name in (*kinds.kind(told["task"]).overall, *metrics.OUT_OF_DISTRIBUTION):
        if numbers.get(name) is None or name.startswith("uncalibrated_"):
            continue
        change = _change(name, numbers[name], served.get(name))
        tiles.append({"name": _head(name), "text": _three(numbers[name])} | (change or {}))
    return tiles[:_TILES]


def compared(told: Mapping[str, Any]) -> str:
    """Better or worse than the served model, by how much, in a sentence; "" where nothing is compared."""
    served = told.get("baseline")
    if not served or not told.get("metrics") or not served.get("metrics"):
        return ""
    kind = kinds.kind(told["task"])
    name, by_label = kind.main, kind.main_of_label
    own, other = told["metrics"].get(name), served["metrics"].get(name)
    if own is None or other is None:
        return ""
    changes = [
        numbers[by_label] - served["per_label"][label][by_label]
        for label, numbers in (told.get("per_label") or {}).items()
        if numbers.get(by_label) is not None and served.get("per_label", {}).get(label, {}).get(by_label) is not None
    ]
    better, worse = sum(c > 0 for c in changes), sum(c < 0 for c in changes)
    word = "the same as" if own == other else "better than" if own > other else "worse than"
    by = "" if own == other else f" by {_three(abs(own - other))}"
    labels = f"; {_head(by_label)} of {better} label{_s(better)} rose, of {worse} fell" if better or worse else ""
    return (
        f"{_head(name).capitalize()} is {_three(own)}, {word} version {served['version']}, which was served "
        f"({_three(other)}){by}{labels}."
    )


def labels(told: Mapping[str, Any]) -> dict[str, Any] | None:
    """Per label: support, the kind's metrics and the change since the served model."""
    per_label, kind = told.get("per_label") or {}, kinds.kind(told["task"])
    if not per_label:
        return None
    served = (told.get("baseline") or {}).get("per_label") or {}
    main = kind.main_of_label
    heads = ["label", _support(kind), *map(_head, kind.columns), *([f"{_head(main)} change"] if served else [])]
    rows = []
    for label, numbers in per_label.items():
        cells = _cells(numbers, kind)
        if served:
            change = _change(main, numbers.get(main), served.get(label, {}).get(main))
            cells.append(change and {"value": change["value"], "text": change["change"], "mood": change["mood"]})
        rows.append({"name": label, "cells": cells})
    return {"heads": heads, "rows": rows}


def slices(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each column or cross of columns: its slices, the worst by the main metric first, and each one's labels."""
    kind = kinds.kind(told["task"])
    main = kind.main
    by_column: dict[str, list[Mapping[str, Any]]] = {}
    for one in told.get("slices") or []:
        by_column.setdefault(" × ".join(one["slice"]), []).append(one)
    others = [m for m in kind.overall if not m.startswith("uncalibrated_") and m not in ("abstained", main)]
    shown = [main, *others[:_COLUMNS]]
    groups = []
    for column, found in by_column.items():
        found.sort(key=lambda one: (one["metrics"].get(main) is None, one["metrics"].get(main) or 0.0))
        rows = []
        for one in found:
            cells = [_count(one["metrics"].get("example_count"))]
            cells += [_bar(m, one["metrics"].get(m)) for m in shown]
            rows.append({"name": _named(one["slice"]), "cells": cells})
        table = {"heads": [column, "examples", *map(_head, shown)], "rows": rows}
        # Of a slice by label, the label's own row says what matters.
        groups.append({"column": column, "table": table} | (_details(found, kind) if column != "label" else {}))
    return groups


def _details(found: Sequence[Mapping[str, Any]], kind: LabelKind) -> dict[str, Any]:
    details, used = [], 0
    for one in found:
        rows = [
            {"name": label, "cells": _cells(numbers, kind)}
            for label, numbers in one["per_label"].items()
            if numbers.get("support")
        ]
        if len(rows) < 2:  # which says what the slice's own row does
            continue
        if used + len(rows) > _DETAILS:
            break
        used += len(rows)
        heads = ["label", _support(kind), *map(_head, kind.columns)]
        details.append({"name": _named(one["slice"]), "table": {"heads": heads, "rows": rows}})
    full = sum(sum(bool(n.get("support")) for n in one["per_label"].values()) > 1 for one in found)
    more = full - len(details)
    omitted = f"The labels of {more} further slice{_s(more)} are in summary.json." if more else ""
    return {"details": details, "omitted": omitted}


def matrix(confusion: Mapping[str, Any] | None, kind: LabelKind) -> dict[str, Any] | None:
    """Counts and shares of the row of a confusion matrix."""
    if not confusion:
        return None
    rows = []
    for i, (label, counts) in enumerate(zip(confusion["labels"], confusion["counts"], strict=True)):
        total = confusion["totals"][i]
        cells = [
            {
                "count": _short(n),
                "percent": f"{100 * n / total:.0f}" if total else "",
                "share": round(n / total, 3) if total else 0,
                "kind": "hit" if i == j else "miss",
            }
            if n
            else None
            for j, n in enumerate(counts)
        ]
        rows.append({"label": label, "cells": cells})
    return {
        "names": confusion["labels"],
        "rows": rows,
        "omitted": confusion["omitted"],
        "unit": f"{kind.bearer}s",
    }


def cases(found: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Right and wrong decisions per label."""
    rows = [{"name": c["label"], "cells": [_count(c[k]) for k in ("tp", "fn", "fp", "tn")]} for c in found]
    heads = ["label", "applies, found", "applies, missed", "does not, said", "does not, left out"]
    return {"heads": heads, "rows": rows} if rows else None


def stages(found: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Seconds of each stage, and whether it came from the cache."""
    most = max((stage["seconds"] for stage in found), default=0.0) or 1.0
    rows = [
        {
            "name": stage["name"],
            "cells": [
                {
                    "value": stage["seconds"],
                    "text": f"{stage['seconds']:.1f}",
                    "bar": round(stage["seconds"] / most, 3),
                },
                {"value": int(stage["cached"]), "text": "cached" if stage["cached"] else "ran"},
            ],
        }
        for stage in found
    ]
    return {"heads": ["stage", "seconds", "cache"], "rows": rows} if rows else None


def _cells(numbers: Mapping[str, float | None], kind: LabelKind) -> list[dict[str, Any] | None]:
    return [_count(numbers.get("support")), *(_bar(m, numbers.get(m)) for m in kind.columns)]


def _bar(name: str, value: float | None) -> dict[str, Any] | None:
    if value is None:
        return None
    share = None if name == "loss" else round(min(1.0, max(0.0, value)), 3)
    return {"value": value, "text": _three(value), "bar": share}


def _count(value: float | None) -> dict[str, Any] | None:
    return None if value is None else {"value": value, "text": number(value), "bar": None}


def _change(name: str, own: float | None, served: float | None) -> dict[str, Any] | None:
    if own is None or served is None:
        return None
    change = own - served
    mood = "" if not change else "good" if (change < 0) == (name in metrics.SMALLER_IS_BETTER) else "bad"
    arrow = "=" if not change else "▲" if change > 0 else "▼"
    return {"value": change, "change": f"{arrow} {change:+.3f}" if change else "=", "mood": mood}


def _support(kind: LabelKind) -> str:
    return "pixels" if kind.per_pixel else "support"


def _head(name: str) -> str:
    return _HEADS.get(name, name.replace("_", " ").replace("iou", "IoU").replace("f1", "F1"))


def _named(where: Mapping[str, str]) -> str:
    if len(where) == 1:  # its column stands above it
        return next(iter(where.values()))
    return ", ".join(f"{column} = {value}" for column, value in where.items())


def _plain(value: float | None) -> str:
    return "–" if value is None else number(value)


def _three(value: float) -> str:
    return f"{value:.3f}"


def _short(n: float) -> str:
    """A count in the few characters of a cell: 812, 3.4k, 12M."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if n >= unit:
            scaled = n / (1e3 if name == "k" else unit)
            return f"{scaled:.0f}{name}" if scaled >= 10 else f"{scaled:.1f}{name}"
    return number(n) if n == math.floor(n) else f"{n:.1f}"


def _s(n: int) -> str:
    return "" if n == 1 else "s"
