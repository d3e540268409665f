"""Predictions of the models for each image of the test split, as Parquet files beside the evaluation."""

from __future__ import annotations

import os
from typing import Any, NotRequired, TypedDict, cast

import numpy as np

from components.base.artifact_files import PREDICTIONS
from components.data import features
from components.labels import outputs
from components.labels.kind import Answer, LabelKind

CANDIDATE, BASELINE = "candidate", "baseline"  # names of the models


class Prediction(TypedDict):
    """A model's prediction for one image; the last five are the outputs of the label kind, as flat lists."""

    path: str
    sha256: str
    labels: list[str]  # label names that apply
    unknown: list[str]  # label names that were not stated
    weight: float
    slices: list[tuple[str, str]]  # column and value, of the file format and the columns of the manifest
    familiarity: float
    abstain: bool
    probabilities: NotRequired[list[float]]
    uncalibrated: NotRequired[list[float]]
    decisions: NotRequired[list[bool]]
    confusion: NotRequired[list[float]]
    calibration: NotRequired[list[float]]


def identity(serialised: bytes) -> tuple[str, str]:
    """Path and SHA-256 of an image, from its tf.Example."""
    import tensorflow as tf

    feature = tf.train.Example.FromString(serialised).features.feature
    return _text(feature[features.PATH]), _text(feature[features.SHA256])


def _text(feature: Any) -> str:
    # Text in Parquet must be UTF-8; a path may contain other bytes.
    return "".join(value.decode("utf-8", "backslashreplace") for value in feature.bytes_list.value)


def row(serialised: Any, answer: Answer, kind: LabelKind) -> Prediction:
    """The prediction for one image.

    Args:
        serialised: the image's tf.Example.
        answer: output of the signature `outputs.EVALUATE` -> array, without a batch dimension.
        kind: of the labels.
    """
    import tensorflow as tf

    [data] = np.ravel(np.asarray(serialised, object))
    feature = tf.train.Example.FromString(data).features.feature

    def names(key: str) -> list[str]:
        return [value.decode() for value in feature[key].bytes_list.value]

    weight = feature[features.WEIGHT].float_list.value
    common = Prediction(
        path=_text(feature[features.PATH]),
        sha256=_text(feature[features.SHA256]),
        labels=names(features.LABEL),
        unknown=names(features.UNKNOWN),
        weight=weight[0] if weight else 1.0,
        slices=_slices(feature),
        familiarity=float(np.ravel(answer[outputs.FAMILIARITY])[0]),
        abstain=bool(np.ravel(answer[outputs.ABSTAIN])[0]),
    )
    return cast("Prediction", {**common, **{name: np.ravel(answer[name]).tolist() for name in kind.outputs}})


def _slices(feature: Any) -> list[tuple[str, str]]:
    """The image's value in each column that slices may be made of, but the label."""
    columns = {name: name.removeprefix(features.SLICE) for name in sorted(feature) if name.startswith(features.SLICE)}
    columns[features.FORMAT] = "format"
    return [(column, _text(feature[name])) for name, column in columns.items() if feature[name].bytes_list.value]


def write(evaluation: str, model: str, kind: LabelKind) -> Any:
    """A Beam transform that writes predictions to Parquet files in the folder of an evaluation."""
    import apache_beam as beam
    import pyarrow as pa

    types = {"float": pa.list_(pa.float32()), "bool": pa.list_(pa.bool_())}
    fields = [("path", pa.string()), ("sha256", pa.string())]
    fields += [("labels", pa.list_(pa.string())), ("unknown", pa.list_(pa.string())), ("weight", pa.float32())]
    fields += [("slices", pa.map_(pa.string(), pa.string()))]
    fields += [(outputs.FAMILIARITY, pa.float32()), (outputs.ABSTAIN, pa.bool_())]
    fields += [(name, types[type_]) for name, type_ in kind.outputs.items()]
    prefix = os.path.join(evaluation, PREDICTIONS, model, "part")
    return beam.io.WriteToParquet(prefix, pa.schema(fields), file_name_suffix=".parquet")


def read(evaluation: str, model: str) -> list[Prediction]:
    """Reads the predictions of one model, sorted by path."""
    import pyarrow.parquet as pq

    rows: list[Prediction] = pq.read_table(os.path.join(evaluation, PREDICTIONS, model)).to_pylist()
    return sorted(rows, key=lambda r: (r["path"], r["sha256"]))
