"""Compares the cost of the vectorised TFMA metric of the model gate with TFMA's own metrics, on the same predictions.

`python -m benchmarks.evaluation` evaluates 50,000 examples with 10 labels, in 10 slices and as a whole, without a
model or files. TFMA computes AUC, precision, recall and the confusion matrix, binarised for each label; our metric
computes everything that it can. Each side runs in its own process, and the processor time of the whole process is
measured. A third process with ExampleCount alone measures the floor: what Beam and TFMA cost without any metric.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

_LABELS = [f"label{i}" for i in range(10)]
_SIDES = ("floor", "ours", "tfma")
_CHUNK = 500  # examples generated at once


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=50_000)
    options = parser.parse_args()
    results = {}
    for side in _SIDES:
        # Imported instead of run as a script, so that Beam uses `_collect` of this module and not of a copy of it.
        code = f"from benchmarks import evaluation; evaluation.measure({side!r}, {options.examples})"
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        results[side] = json.loads(done.stdout.splitlines()[-1])
        print(f"{side:<6} {results[side]['seconds']:8.1f} s of processor time", flush=True)
    floor, ours, tfma = (results[side]["seconds"] for side in _SIDES)
    print(f"TFMA's metrics take {tfma / ours:.1f} times the processor time of ours; {_beyond(floor, ours, tfma)}")
    for name, difference in results["ours"]["differences"].items():
        print(f"largest difference from scikit-learn, {name}: {difference:.1e}")


def _beyond(floor: float, ours: float, tfma: float) -> str:
    return f"beyond the floor {(tfma - floor) / max(ours - floor, 0.1):.0f} times"


@cache
def _examples(count: int) -> tuple[Any, Any, Any]:
    """Returns labels int [n], probabilities float32 [n, 10] and slices int [n]."""
    random = np.random.default_rng(0)
    truth = random.integers(0, len(_LABELS), count)
    logits = 2 * (random.normal(size=(count, len(_LABELS))) + np.eye(len(_LABELS))[truth])
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return truth, (e / e.sum(axis=1, keepdims=True)).astype(np.float32), random.integers(0, 10, count)


_collected: list[Any] = []


def _collect(result: Any) -> None:
    _collected.append(result)


def measure(side: str, count: int) -> None:
    """Measures one side of `_SIDES` and prints the result as JSON."""
    print(json.dumps(_measure(side, count)))


def _measure(side: str, count: int) -> dict[str, Any]:
    import apache_beam as beam
    import tensorflow_model_analysis as tfma
    from apache_beam.options.pipeline_options import PipelineOptions
    from tensorflow_model_analysis.extractors import slice_key_extractor

    config = _config(side)
    runner = "apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner"
    before = _processor_seconds()
    with beam.Pipeline(options=PipelineOptions([f"--runner={runner}", "--no_pipeline_type_check"])) as pipeline:
        evaluations = (
            pipeline
            # Generated in the graph, because passing them in would cost more than their evaluation.
            | beam.Create(range(0, count, _CHUNK), reshuffle=False)
            | beam.FlatMap(_rows, count)
            | tfma.ExtractAndEvaluate(
                extractors=[slice_key_extractor.SliceKeyExtractor(eval_config=config, materialize=False)],
                evaluators=tfma.default_evaluators(eval_config=config),
            )
        )
        _ = evaluations[tfma.METRICS_KEY] | beam.Map(_collect)
    seconds = _processor_seconds() - before
    truth, p, _ = _examples(count)
    return {"seconds": seconds} | ({"differences": _differences(truth, p)} if side == "ours" else {})


def _rows(start: int, count: int) -> Iterator[dict[str, Any]]:
    """Yields one chunk of examples in the form that TFMA's extractors produce."""
    import tensorflow_model_analysis as tfma

    from components.data import features
    from components.model import signatures

    each = zip(*(column[start : start + _CHUNK] for column in _examples(count)), strict=True)
    for truth, p, camera in each:
        yield {
            tfma.FEATURES_KEY: {
                features.LABEL: np.array([_LABELS[truth].encode()]),
                "slice/camera": np.array([f"camera{camera}".encode()]),
            },
            tfma.LABELS_KEY: np.array([truth]),
            tfma.EXAMPLE_WEIGHTS_KEY: np.array([1.0]),
            tfma.PREDICTIONS_KEY: {
                signatures.PROBABILITIES: p,
                signatures.UNCALIBRATED: p,
                signatures.DECISIONS: p >= 0.5,
                signatures.ABSTAIN: np.array([False]),
            },
        }


def _config(side: str) -> Any:
    import tensorflow_model_analysis as tfma
    from tensorflow_model_analysis.proto import config_pb2

    from components.evaluation import analysis
    from components.model import signatures

    if side == "ours":
        return analysis.eval_config("single_label", _LABELS, [["camera"]], has_baseline=False)
    config = config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(
                name=analysis.CANDIDATE, signature_name=signatures.EVALUATE, prediction_key=signatures.PROBABILITIES
            )
        ]
    )
    config.slicing_specs.add()
    config.slicing_specs.add(feature_keys=["slice/camera"])
    if side == "floor":
        config.metrics_specs.extend(tfma.metrics.specs_from_metrics([tfma.metrics.ExampleCount()]))
        return config
    standard = [
        tfma.metrics.AUC(name="auc"),
        tfma.metrics.Precision(name="precision"),
        tfma.metrics.Recall(name="recall"),
        tfma.metrics.ConfusionMatrixAtThresholds(thresholds=[0.5], name="confusion"),
    ]
    by_label = config_pb2.BinarizationOptions(class_ids={"values": range(len(_LABELS))})
    config.metrics_specs.extend(tfma.metrics.specs_from_metrics(standard, binarize=by_label))
    return config


def _differences(truth: Any, p: Any) -> dict[str, float]:
    """Returns the largest differences of our metrics over all examples from scikit-learn's."""
    from sklearn import metrics as sk

    numbers = next(
        {key.name: value for key, value in result.items()} for slice_key, result in _collected if not slice_key
    )
    each = range(len(_LABELS))
    predicted = p.argmax(axis=1)
    per_label = {
        "auc": [sk.roc_auc_score(truth == i, p[:, i]) for i in each],
        "average_precision": [sk.average_precision_score(truth == i, p[:, i]) for i in each],
        "precision": [sk.precision_score(truth == i, predicted == i) for i in each],
        "recall": [sk.recall_score(truth == i, predicted == i) for i in each],
        "f1": [sk.f1_score(truth == i, predicted == i) for i in each],
        "support": [(truth == i).sum() for i in each],
    }
    differences = {
        name: max(abs(numbers[f"{name}/{label}"] - value) for label, value in zip(_LABELS, values, strict=True))
        for name, values in per_label.items()
    }
    confusion = np.abs(
        np.asarray(numbers["confusion_matrix"]) - sk.confusion_matrix(truth, predicted, labels=list(each))
    )
    differences["accuracy"] = abs(numbers["accuracy"] - sk.accuracy_score(truth, predicted))
    differences["loss"] = abs(numbers["loss"] - sk.log_loss(truth, p.astype(np.float64), labels=list(each)))
    return {name: float(value) for name, value in (differences | {"confusion_matrix": confusion.max()}).items()}


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


if __name__ == "__main__":
    main()
