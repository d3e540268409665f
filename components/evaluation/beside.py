"""What is found out about a candidate beside its metrics, from its predictions and the shards; and its file."""

from __future__ import annotations

import os
from collections.abc import Sequence

from components.base.artifact_files import BESIDE
from components.base.files import write_atomically
from components.evaluation import predictions, trivial
from components.evaluation.comparison import Scope
from components.evaluation.groups import find, seen
from components.evaluation.predictions import Prediction
from components.gates.compared import Numbers
from components.gates.found import Beside
from components.gates.settings import Threshold
from components.ingest import manifest
from components.labels.kind import LabelKind
from components.model.features.settings import FeatureSettings


def measure(
    folder: str,
    examples: str,
    labels: Sequence[str],
    kind: LabelKind,
    rules: Sequence[Threshold],
    settings: FeatureSettings | None,
) -> Beside:
    """Looks for weak groups and measures trivial methods.

    Args:
        folder: of the evaluation, with the predictions.
        examples: folder of the shards.
        labels: in the order of the model's outputs.
        kind: of the labels.
        rules: the thresholds; only for one with `min_gain`, features of train are looked at.
        settings: a pretrained network, or None: no features.

    Raises:
        ConfigError: the network cannot be loaded.
        ImagegateError: the shards changed since ingest.
    """
    rows = predictions.read(folder, predictions.CANDIDATE)
    if not rows or kind.is_detector(len(labels)):
        return Beside()
    looked = seen.look(examples, rows, settings)
    near = None
    if settings is not None and any(rule.min_gain is not None for rule in rules):
        near = seen.neighbours(examples, labels, settings)

    def numbers(members: Sequence[Prediction]) -> Numbers:
        [(_, whole)] = Scope(kind=kind, labels=labels, served=labels).results(members, labels)
        return whole

    return Beside(
        weak=find.find(rows, labels, kind, looked, numbers),
        trivial=trivial.measure(rows, labels, kind, manifest.read(examples), looked, near),
    )


def write(folder: str, beside: Beside) -> None:
    """Writes it into the folder of an evaluation."""
    write_atomically(os.path.join(folder, BESIDE), beside.to_json(indent=1))


def read(folder: str) -> Beside:
    """Reads it from the folder of an evaluation; nothing if an earlier release wrote the folder."""
    path = os.path.join(folder, BESIDE)
    if not os.path.exists(path):
        return Beside()
    with open(path, encoding="utf-8") as f:
        return Beside.from_json(f.read())
