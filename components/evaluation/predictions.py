"""What the models answered to each image of the test split: Parquet files beside the evaluation, for any tool."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from components.base.artifact_files import PREDICTIONS
from components.data import features
from components.labels import outputs
from components.labels.kind import LabelKind

CANDIDATE, BASELINE = "candidate", "baseline"  # the models


def identity(serialised: bytes) -> tuple[str, str]:
    """(path, sha256) of a row, from the image's tf.Example."""
    import tensorflow as tf

    found = tf.train.Example.FromString(serialised).features.feature
    return _text(found[features.PATH]), _text(found[features.SHA256])


def _text(feature: Any) -> str:
    # A path need not be UTF-8; Parquet's text must be.
    return "".join(value.decode("utf-8", "backslashreplace") for value in feature.bytes_list.value)


def row(serialised: Any, answer: Mapping[str, Any], kind: LabelKind) -> dict[str, Any]:
    """One image.

    Args:
        serialised: its tf.Example.
        answer: output of the signature `outputs.EVALUATE` -> array, without a batch dimension.
        kind: what the labels are.

    Returns:
        path, sha256, labels, unknown (label names), weight, familiarity, abstain, and each of
        `LabelKind.outputs` as a flat list.
    """
    import tensorflow as tf

    [data] = np.ravel(np.asarray(serialised, object))
    found = tf.train.Example.FromString(data).features.feature

    def names(feature: str) -> list[str]:
        return [value.decode() for value in found[feature].bytes_list.value]

    weight = found[features.WEIGHT].float_list.value
    return {
        "path": _text(found[features.PATH]),
        "sha256": _text(found[features.SHA256]),
        "labels": names(features.LABEL),
        "unknown": names(features.UNKNOWN),
        "weight": weight[0] if weight else 1.0,
        outputs.FAMILIARITY: float(np.ravel(answer[outputs.FAMILIARITY])[0]),
        outputs.ABSTAIN: bool(np.ravel(answer[outputs.ABSTAIN])[0]),
    } | {name: np.ravel(answer[name]).tolist() for name in kind.outputs}


def write(evaluation: str, model: str, kind: LabelKind) -> Any:
    """A Beam transform that writes rows as `row` makes them to Parquet files below the folder of an evaluation."""
    import apache_beam as beam
    import pyarrow as pa

    types = {"float": pa.list_(pa.float32()), "bool": pa.list_(pa.bool_())}
    fields = [("path", pa.string()), ("sha256", pa.string())]
    fields += [("labels", pa.list_(pa.string())), ("unknown", pa.list_(pa.string())), ("weight", pa.float32())]
    fields += [(outputs.FAMILIARITY, pa.float32()), (outputs.ABSTAIN, pa.bool_())]
    fields += [(name, types[type_]) for name, type_ in kind.outputs.items()]
    prefix = os.path.join(evaluation, PREDICTIONS, model, "part")
    return beam.io.WriteToParquet(prefix, pa.schema(fields), file_name_suffix=".parquet")


def read(evaluation: str, model: str) -> list[dict[str, Any]]:
    """The rows that `write` wrote of one model, sorted by path."""
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(os.path.join(evaluation, PREDICTIONS, model)).to_pylist()
    return sorted(rows, key=lambda r: (r["path"], r["sha256"]))
