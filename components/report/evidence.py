"""What the page shows beyond the numbers, from the artifacts of a run: charts, confusions, pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.base.artifact_files import EVIDENCE, PUSHED_MANIFEST, TRAINING_HISTORY
from components.data.manifest import KnownData
from components.drawing import charts, curves
from components.evaluation import predictions
from components.ingest import manifest
from components.labels import kinds
from components.labels.kind import LabelKind
from components.push.manifest import PushedManifest
from components.report import examples

_MATRIX = 80  # labels; of more, those that are confused most


def collect(
    told: Mapping[str, Any], artifacts: Mapping[str, str], *, seed: int, distance: int | None, contradictions: bool
) -> dict[str, Any]:
    """Everything of a page that is costly to make, as JSON.

    Args:
        told: `task` and `data` as in summary.json; a refused run may have no data.
        artifacts: key of each artifact there is -> its folder.
        seed: of the pictures that are drawn by lot.
        distance, contradictions: as in `balance.Limits`, of nearly equal images.

    Returns:
        `charts` [{title, svg}], `confusion` {labels, counts, omitted} or None, `cases` [{label, tp, fp, fn, tn}],
        `examples` as `examples.collect` gives it, `duplicates`, `images` {key: data URI}.
    """
    kind, counts = kinds.kind(told["task"]), told["data"].get("labels") or {}
    labels, images = list(counts), dict[str, str]()
    found: dict[str, Any] = {"charts": [], "confusion": None, "cases": [], "examples": {}, "duplicates": []}
    rows: list[dict[str, Any]] = []
    if "evaluation" in artifacts:
        rows = predictions.read(artifacts["evaluation"], predictions.CANDIDATE)
        found["confusion"] = _confusion(rows, labels, kind)
        found["cases"] = _cases(rows, labels) if not kind.exclusive else []
        found["examples"] = examples.collect(
            artifacts["examples"], artifacts["evaluation"], artifacts["model"], kind, labels, seed
        )
        images |= found["examples"].pop("images")
    if "examples" in artifacts:
        found["duplicates"], more = examples.duplicates(artifacts["examples"], distance, contradictions)
        images |= more
    found["charts"] = [chart for chart in _charts(rows, counts, kind, artifacts) if chart["svg"]]
    return found | {"images": images}


def read(folder: str) -> dict[str, Any]:
    """What the stage `ModelReport` wrote; {} where there is none."""
    try:
        with open(os.path.join(folder, EVIDENCE), encoding="utf-8") as f:
            found: dict[str, Any] = json.load(f)
            return found
    except (OSError, ValueError):
        return {}


def _charts(
    rows: Sequence[Mapping[str, Any]],
    counts: Mapping[str, Mapping[str, int]],
    kind: LabelKind,
    artifacts: Mapping[str, str],
) -> list[dict[str, str]]:
    labels, made = list(counts), []
    if rows and not kind.per_pixel:
        precision_recall, roc = curves.per_label(rows, labels, kind)
        made.append(("Precision and recall", charts.precision_recall(precision_recall, "Precision over recall")))
        made.append(("ROC", charts.roc(roc, "True over false positive rate")))
    if rows:
        made.append(("Reliability", charts.reliability(*curves.reliability(rows, labels, kind), "Reliability")))
    made.append(("Training", charts.training(_history(artifacts), "Training")))
    reference = _reference(artifacts)
    if counts:
        served = {label: n["train"] for label, n in reference.label_counts.items()} if reference else None
        made.append(("Labels", charts.shares(counts, served, "Share of each label")))
    if "examples" in artifacts:
        properties = manifest.read(artifacts["examples"]).properties
        before = reference.properties if reference else None
        made.append(("What the images look like", charts.properties(properties, before)))
    return [{"title": title, "svg": svg} for title, svg in made]


def _history(artifacts: Mapping[str, str]) -> dict[str, Any]:
    return _json(artifacts.get("model_run"), TRAINING_HISTORY)


def _reference(artifacts: Mapping[str, str]) -> KnownData | None:
    """The data of the served model that this one was compared with, or None."""
    served = artifacts.get("baseline_model")
    path = os.path.join(served or "", "Format-Serving", PUSHED_MANIFEST)
    if served is None or not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8") as f:
        return PushedManifest.from_json(f.read()).data


def _json(folder: str | None, name: str) -> dict[str, Any]:
    path = os.path.join(folder or "", name)
    if folder is None or not os.path.isfile(path):
        return {}
    with open(path, encoding="utf-8") as f:
        found: dict[str, Any] = json.load(f)
        return found


def _confusion(rows: Sequence[Mapping[str, Any]], labels: Sequence[str], kind: LabelKind) -> dict[str, Any] | None:
    """Weighted counts by truth (rows) and answer, of images or of pixels; of many labels, the most confused ones."""
    k = len(labels)
    if not kind.exclusive or k < 2:
        return None
    weight = np.array([row["weight"] for row in rows], np.float64)
    counts: NDArray[np.float64]
    if kind.per_pixel:
        counts = (weight @ np.array([row["confusion"] for row in rows], np.float64)).reshape(k, k)
    else:
        index = {label: i for i, label in enumerate(labels)}
        known = np.array([bool(row["labels"]) for row in rows])
        truth = np.array([index[row["labels"][0]] for row in rows if row["labels"]], np.int64)
        said = np.array([np.argmax(row["probabilities"]) for row in rows if row["labels"]], np.int64)
        counts = np.bincount(truth * k + said, weight[known], minlength=k * k).astype(np.float64).reshape(k, k)
    wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
    kept = np.sort(np.argsort(-wrong, kind="stable")[:_MATRIX])
    return {
        "labels": [labels[i] for i in kept],
        "counts": np.nan_to_num(counts)[np.ix_(kept, kept)].tolist(),
        "totals": np.nan_to_num(counts).sum(axis=1)[kept].tolist(),
        "omitted": k - len(kept),
    }


def _cases(rows: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Weighted true and false positives, false and true negatives of each label, decided at 0.5."""
    weight = np.array([row["weight"] for row in rows], np.float64)
    said = np.array([row["probabilities"] for row in rows], np.float64).reshape(len(rows), len(labels)) >= 0.5
    found = []
    for i, label in enumerate(labels):
        hit = np.array([label in row["labels"] for row in rows], bool)
        known = weight * np.array([label not in row["unknown"] for row in rows], bool)
        cases = (hit & said[:, i], ~hit & said[:, i], hit & ~said[:, i], ~hit & ~said[:, i])
        numbers = [float(known[case].sum()) for case in cases]
        found.append({"label": label} | dict(zip(("tp", "fp", "fn", "tn"), numbers, strict=True)))
    return found
