"""Compares a run's metrics with scikit-learn's on the same predictions: `python -m benchmarks.agreement CONFIG`."""

from __future__ import annotations

import argparse
import json
import os
import warnings

import numpy as np
from sklearn import metrics as sk

from components.base.artifact_files import SUMMARY
from components.evaluation import analysis, predictions
from pipeline import config
from pipeline.stages import EVALUATOR


def main() -> None:
    """Prints each metric, scikit-learn's value and their difference; for metrics per label, the largest difference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("config")
    settings = config.load(parser.parse_args().config)
    with open(os.path.join(settings.output_folder, "latest", SUMMARY), encoding="utf-8") as f:
        summary = json.load(f)
    folder = os.path.join(settings.output_folder, "pipeline", EVALUATOR.name, "evaluation")
    rows = predictions.read(os.path.join(folder, max(os.listdir(folder), key=int)), analysis.CANDIDATE)
    names = list(summary["per_label"])
    rows = [row for row in rows if row["labels"] or settings.task == "multi_label"]
    truth = np.array([[name in row["labels"] for name in names] for row in rows])
    p = np.array([row["probabilities"] for row in rows])
    warnings.simplefilter("ignore")  # about labels without examples, for which neither side has a value
    single = settings.task == "single_label"
    print(f"{len(rows)} examples\n{'metric':<32}{'imagegate':>12}{'scikit-learn':>14}{'difference':>12}")
    for metric, value in (_single if single else _multi)(truth, p).items():
        _line(metric, summary["metrics"][metric], value)
    predicted = (p.argmax(axis=1)[:, None] == np.arange(len(names))) if single else p >= 0.5
    for metric, values in _per_label(truth, p, predicted).items():
        ours = [summary["per_label"][name][metric] for name in names]
        both = [(a, b) for a, b in zip(ours, values, strict=True) if a is not None and not np.isnan(b)]
        _line(f"{metric} (all labels)", *max(both, key=lambda pair: abs(pair[0] - pair[1])))


def _line(metric: str, ours: float, theirs: float) -> None:
    print(f"{metric:<32}{ours:>12.6f}{theirs:>14.6f}{abs(ours - theirs):>12.1e}")


def _single(truth: np.ndarray, p: np.ndarray) -> dict[str, float]:
    t, predicted = truth.argmax(axis=1), p.argmax(axis=1)
    return {
        "accuracy": sk.accuracy_score(t, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(t, predicted),
        "macro_f1": sk.f1_score(t, predicted, average="macro"),
        "loss": sk.log_loss(t, np.maximum(p, 1e-7), labels=range(p.shape[1])),
    }


def _multi(truth: np.ndarray, p: np.ndarray) -> dict[str, float]:
    predicted = p >= 0.5
    cosine = sk.pairwise.cosine_similarity(truth, p).diagonal()[truth.any(axis=1)]
    return {
        "binary_accuracy": sk.accuracy_score(truth.ravel(), predicted.ravel()),
        "exact_match": sk.accuracy_score(truth, predicted),
        "hamming_loss": sk.hamming_loss(truth, predicted),
        "cosine_similarity": float(cosine.mean()),
        "micro_f1": sk.f1_score(truth, predicted, average="micro"),
        "macro_f1": sk.f1_score(truth, predicted, average="macro"),
        "mean_average_precision": sk.average_precision_score(truth, p),
        "loss": sk.log_loss(truth.ravel(), p.ravel()),
    }


def _per_label(truth: np.ndarray, p: np.ndarray, predicted: np.ndarray) -> dict[str, list[float]]:
    each = range(truth.shape[1])
    return {
        "precision": [sk.precision_score(truth[:, i], predicted[:, i], zero_division=np.nan) for i in each],
        "recall": [sk.recall_score(truth[:, i], predicted[:, i], zero_division=np.nan) for i in each],
        "f1": [sk.f1_score(truth[:, i], predicted[:, i], zero_division=np.nan) for i in each],
        "specificity": [sk.recall_score(~truth[:, i], ~predicted[:, i], zero_division=np.nan) for i in each],
        "auc": [sk.roc_auc_score(truth[:, i], p[:, i]) if truth[:, i].any() else np.nan for i in each],
        "average_precision": [
            sk.average_precision_score(truth[:, i], p[:, i]) if truth[:, i].any() else np.nan for i in each
        ],
        "support": [float(truth[:, i].sum()) for i in each],
    }


if __name__ == "__main__":
    main()
