"""Predictions: what is written of an image comes back, whatever its name."""

from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf

from components.data import features
from components.evaluation import predictions
from components.labels import kinds
from components.model import signatures

SINGLE, MULTI, MASKS = kinds.KINDS.values()

RUNNER = "apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner"


def serialised(path: bytes, labels: list[str], *, unknown: tuple[str, ...] = (), weight: float | None = None) -> bytes:
    texts = {features.PATH: [path], features.SHA256: [b"0a"], features.LABEL: [n.encode() for n in labels]}
    texts[features.UNKNOWN] = [n.encode() for n in unknown]
    feature = {k: tf.train.Feature(bytes_list=tf.train.BytesList(value=v)) for k, v in texts.items()}
    if weight is not None:
        feature[features.WEIGHT] = tf.train.Feature(float_list=tf.train.FloatList(value=[weight]))
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def handed_on(data: bytes) -> np.ndarray:
    """The serialised example as TFMA passes it."""
    return np.array([data], object)


def scored(p: list[float], familiar: float) -> dict[str, np.ndarray]:
    """Outputs as TFMA passes them: without a batch dimension, or with one of size 1."""
    return {
        signatures.PROBABILITIES: np.array(p, np.float32),
        signatures.UNCALIBRATED: np.array([p], np.float32) / 2,
        signatures.DECISIONS: np.array(p) >= 0.5,
        signatures.FAMILIARITY: np.array(familiar, np.float32),
        signatures.ABSTAIN: np.array([familiar < 0.1]),
    }


def round_trip(folder: Path, task: str, rows: list[dict], model: str = "candidate") -> list[dict]:
    with beam.Pipeline(RUNNER) as pipeline:
        _ = pipeline | beam.Create(rows) | predictions.write(str(folder), model, kinds.kind(task))
    return predictions.read(str(folder), model)


def test_predictions_are_read_in_the_order_of_the_paths(tmp_path: Path) -> None:
    rows = [
        predictions.row(
            handed_on(serialised(b"b/2.png", ["cat", "dog"], weight=0.25)),
            scored([0.75, 0.5], 0.5),
            MULTI,
        ),
        predictions.row(handed_on(serialised(b"a/1.png", [], unknown=("dog",))), scored([0.25, 1.0], 0.0), MULTI),
    ]
    assert round_trip(tmp_path, "multi_label", rows) == [
        {
            "path": "a/1.png",
            "sha256": "0a",
            "labels": [],
            "unknown": ["dog"],
            "weight": 1.0,
            "slices": [],
            "familiarity": 0.0,
            "abstain": True,
            "probabilities": [0.25, 1.0],
            "uncalibrated": [0.125, 0.5],
            "decisions": [False, True],
        },
        {
            "path": "b/2.png",
            "sha256": "0a",
            "labels": ["cat", "dog"],
            "unknown": [],
            "weight": 0.25,
            "slices": [],
            "familiarity": 0.5,
            "abstain": False,
            "probabilities": [0.75, 0.5],
            "uncalibrated": [0.375, 0.25],
            "decisions": [True, True],
        },
    ]


def test_pixels_of_a_mask_are_counted_by_truth_and_answer_and_by_certainty(tmp_path: Path) -> None:
    answer = {
        signatures.CONFUSION: np.array([[3, 1], [0, 2]], np.float32),
        signatures.CALIBRATION: np.arange(90, dtype=np.float32).reshape(2, 3, 15),
        signatures.FAMILIARITY: np.float32(0.75),
        signatures.ABSTAIN: np.bool_(False),
    }
    [found] = round_trip(
        tmp_path,
        "segmentation",
        [predictions.row(handed_on(serialised(b"1.png", [])), answer, MASKS)],
    )
    assert found["confusion"] == [3, 1, 0, 2]
    assert (found["familiarity"], found["abstain"]) == (0.75, False)
    assert found["calibration"] == list(range(90))


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("tiere/süß.png".encode(), "tiere/süß.png"),
        ("猫/🐈.png".encode(), "猫/🐈.png"),
        (b"a/\xe4\xff.png", "a/\\xe4\\xff.png"),  # Latin-1
        (b"a/\x00\n.png", "a/\x00\n.png"),
    ],
)
def test_a_name_need_not_be_utf_8(tmp_path: Path, path: bytes, shown: str) -> None:
    row = predictions.row(handed_on(serialised(path, ["süß"])), scored([0.5], 1.0), SINGLE)
    [found] = round_trip(tmp_path, "single_label", [row])
    assert found["path"] == shown
    assert found["labels"] == ["süß"]
    assert predictions.identity(serialised(path, [])) == (shown, "0a")


def test_each_model_has_predictions_of_its_own(tmp_path: Path) -> None:
    for model, p in (("candidate", 0.25), ("baseline", 0.75)):
        row = predictions.row(handed_on(serialised(b"1.png", ["cat"])), scored([p], 1.0), SINGLE)
        round_trip(tmp_path, "single_label", [row], model)
    found = [predictions.read(str(tmp_path), model) for model in ("candidate", "baseline")]
    assert [[row["probabilities"] for row in rows] for rows in found] == [[[0.25]], [[0.75]]]
