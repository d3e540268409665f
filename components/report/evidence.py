"""Evidence for the page from the artifacts of a run: charts, confusion matrix, pictures."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from components.base.artifact_files import EVIDENCE, PUSHED_MANIFEST, SYNTHETIC_PICTURE, TRAINING_HISTORY
from components.data.manifest import KnownData
from components.drawing import charts, curves
from components.evaluation import predictions
from components.evaluation.predictions import Prediction
from components.ingest import manifest
from components.labels import kinds
from components.labels.kind import LabelKind
from components.push.manifest import PushedManifest
from components.report import examples
from components.report.arrays import bands
from components.report.records import Chart, Confusion, Decisions, Evidence
from components.report.run_summary import RunSummary

_MATRIX = 80  # labels of a confusion matrix; of more, the most confused are shown

History = dict[str, list[dict[str, float]]]  # phase -> for each epoch, metric -> value


def collect(
    summary: RunSummary, artifacts: Mapping[str, str], *, seed: int, distance: int | None, contradictions: bool
) -> Evidence:
    """Content of the page that is expensive to compute.

    Args:
        summary: a refused run may have no data.
        artifacts: key of each artifact that exists -> its folder.
        seed: of the choice of random pictures.
        distance, contradictions: see `examples.duplicates`.
    """
    kind, counts = kinds.kind(summary.task), summary.data.labels
    labels = list(counts)
    rows: list[Prediction] = []
    evidence = Evidence(confusion=None, cases=[], duplicates=[], images={})
    if "evaluation" in artifacts:
        evaluation = artifacts["evaluation"]
        groups = summary.weak_groups.groups if summary.weak_groups else ()
        lost = summary.baseline.regressions if summary.baseline else None
        regressed = lost.images if lost else ()
        rows = predictions.read(evaluation, predictions.CANDIDATE)
        evidence["confusion"] = _confusion(rows, labels, kind)
        evidence["cases"] = _cases(rows, labels) if not kind.exclusive else []
        evidence["examples"], evidence["images"] = examples.collect(
            artifacts["examples"], evaluation, artifacts["model"], kind, labels, seed, groups, regressed
        )
    if "examples" in artifacts:
        evidence["duplicates"], images = examples.duplicates(artifacts["examples"], distance, contradictions)
        evidence["findings"], others = examples.findings(artifacts["examples"], summary.data.findings)
        evidence["images"] = evidence["images"] | images | others
        evidence["bands"] = bands.collect(artifacts["examples"], kind)
    if "synthetic" in artifacts:
        evidence["synthetic"] = _synthetic(artifacts["synthetic"])
    evidence["charts"] = [chart for chart in _charts(rows, counts, kind, artifacts) if chart["svg"]]
    return evidence


def _synthetic(folder: str) -> str:
    """The picture of synthetic images, as a data URI; "" if none were made."""
    path = os.path.join(folder, SYNTHETIC_PICTURE)
    if not os.path.exists(path):
        return ""
    with open(path, "rb") as f:
        return f"data:image/jpeg;base64,{base64.b64encode(f.read()).decode()}"


def read(folder: str) -> Evidence:
    """Reads the evidence that the stage ModelReport wrote; empty if there is none."""
    try:
        with open(os.path.join(folder, EVIDENCE), encoding="utf-8") as f:
            evidence: Evidence = json.load(f)
            return evidence
    except (OSError, ValueError):
        return {}


def _charts(
    rows: Sequence[Prediction],
    counts: Mapping[str, Mapping[str, int]],
    kind: LabelKind,
    artifacts: Mapping[str, str],
) -> list[Chart]:
    labels, drawn = list(counts), []
    if rows and not kind.per_pixel:
        precision_recall, roc = curves.per_label(rows, labels, kind)
        drawn.append(("Precision and recall", charts.precision_recall(precision_recall, "Precision over recall")))
        drawn.append(("ROC", charts.roc(roc, "True over false positive rate")))
    if rows:
        drawn.append(("Reliability", charts.reliability(*curves.reliability(rows, labels, kind), "Reliability")))
    drawn.append(("Training", charts.training(_history(artifacts.get("model_run")), "Training")))
    served = _served_data(artifacts.get("baseline_model"))
    if counts:
        served_counts = {label: n["train"] for label, n in served.label_counts.items()} if served else None
        drawn.append(("Labels", charts.shares(counts, served_counts, "Share of each label")))
    told = manifest.read(artifacts["examples"]) if "examples" in artifacts else None
    if told is not None and told.arrays is None:  # arrays have one size, and `bands` shows their values
        drawn.append(("Image properties", charts.properties(told.properties, served.properties if served else None)))
    return [{"title": title, "svg": svg} for title, svg in drawn]


def _history(folder: str | None) -> History:
    path = os.path.join(folder or "", TRAINING_HISTORY)
    if folder is None or not os.path.isfile(path):
        return {}
    with open(path, encoding="utf-8") as f:
        history: History = json.load(f)
        return history


def _served_data(folder: str | None) -> KnownData | None:
    """The data of the served model that the candidate was compared with, or None."""
    path = os.path.join(folder or "", "Format-Serving", PUSHED_MANIFEST)
    if folder is None or not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8") as f:
        return PushedManifest.from_json(f.read()).data


def _confusion(rows: Sequence[Prediction], labels: Sequence[str], kind: LabelKind) -> Confusion | None:
    """The weighted confusion matrix of images or pixels; None unless exactly one of several labels applies."""
    k = len(labels)
    if not kind.exclusive or k < 2:
        return None
    counts = _confusion_counts(rows, labels, kind)
    wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
    kept = np.sort(np.argsort(-wrong, kind="stable")[:_MATRIX])
    return {
        "labels": [labels[i] for i in kept],
        "counts": np.nan_to_num(counts)[np.ix_(kept, kept)].tolist(),
        "totals": np.nan_to_num(counts).sum(axis=1)[kept].tolist(),
        "omitted": k - len(kept),
    }


def _confusion_counts(rows: Sequence[Prediction], labels: Sequence[str], kind: LabelKind) -> NDArray[np.float64]:
    """Weighted counts by true label and prediction [K, K]."""
    k = len(labels)
    weight = np.array([row["weight"] for row in rows], np.float64)
    if kind.per_pixel:
        return (weight @ np.array([row["confusion"] for row in rows], np.float64)).reshape(k, k)
    index = {label: i for i, label in enumerate(labels)}
    known = np.array([bool(row["labels"]) for row in rows])
    truth = np.array([index[row["labels"][0]] for row in rows if row["labels"]], np.int64)
    predicted = np.array([np.argmax(row["probabilities"]) for row in rows if row["labels"]], np.int64)
    return np.bincount(truth * k + predicted, weight[known], minlength=k * k).astype(np.float64).reshape(k, k)


def _cases(rows: Sequence[Prediction], labels: Sequence[str]) -> list[Decisions]:
    """Weighted true and false positives, false and true negatives of each label, at a threshold of 0.5."""
    weight = np.array([row["weight"] for row in rows], np.float64)
    probabilities = np.array([row["probabilities"] for row in rows], np.float64)
    predicted = probabilities.reshape(len(rows), len(labels)) >= 0.5
    cases: list[Decisions] = []
    for label, positive in zip(labels, predicted.T, strict=True):
        applies = np.array([label in row["labels"] for row in rows], bool)
        known = weight * np.array([label not in row["unknown"] for row in rows], bool)
        cases.append(
            {
                "label": label,
                "tp": float(known[applies & positive].sum()),
                "fp": float(known[~applies & positive].sum()),
                "fn": float(known[applies & ~positive].sum()),
                "tn": float(known[~applies & ~positive].sum()),
            }
        )
    return cases
