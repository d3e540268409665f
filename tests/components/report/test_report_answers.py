"""Predictions as arrays, sorted by path."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.base.artifact_files import PREDICTIONS
from components.labels import kinds
from components.report import answers

NAN = float("nan")
ROWS = [
    # path, labels, unknown, probabilities, decisions
    ("b.png", ["dog"], [], [0.25, 0.625, 0.125], [True, False, False]),
    ("a.png", ["cat"], ["elk"], [0.5, 0.25, 0.25], [True, True, False]),
    ("c.png", [], ["cat", "dog", "elk"], [NAN, NAN, NAN], [False, True, False]),
    ("ä.png", [], [], [0.125, 0.25, 0.625], [False, False, True]),
]


def written(folder: Path, rows: list[tuple]) -> str:
    """Writes two files, because Beam keeps no order."""
    for i, part in enumerate((rows[:1], rows[1:])):
        table = pa.table(
            {
                "path": [row[0] for row in part],
                "sha256": [f"0{row[0]}" for row in part],
                "labels": pa.array([row[1] for row in part], pa.list_(pa.string())),
                "unknown": pa.array([row[2] for row in part], pa.list_(pa.string())),
                "familiarity": pa.array([len(row[1]) / 4 for row in part], pa.float32()),
                "probabilities": pa.array([row[3] for row in part], pa.list_(pa.float32())),
                "decisions": pa.array([row[4] for row in part], pa.list_(pa.bool_())),
            }
        )
        (folder / PREDICTIONS / "candidate").mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / PREDICTIONS / "candidate" / f"part-{i}.parquet")
    return str(folder)


@pytest.mark.parametrize(
    ("task", "truth", "decided"),
    [
        # The most probable one; without a label all are unknown.
        ("single_label", [[1, 0, -1], [0, 1, 0], [-1] * 3, [-1] * 3], [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]]),
        # The decisions; without a label none applies, unless they are unknown.
        ("multi_label", [[1, 0, -1], [0, 1, 0], [-1] * 3, [0] * 3], [[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 1]]),
    ],
)
def test_predictions_of_labels_are_read_as_arrays(
    tmp_path: Path, task: str, truth: list[list[int]], decided: list[list[int]]
) -> None:
    found = answers.read(written(tmp_path, ROWS), "candidate", kinds.kind(task), ["cat", "dog", "elk"])
    assert found.paths == ["a.png", "b.png", "c.png", "ä.png"]
    assert found.sha256 == ["0a.png", "0b.png", "0c.png", "0ä.png"]
    assert found.truth.tolist() == truth
    assert found.decided.astype(int).tolist() == decided
    assert found.familiarity.tolist() == [0.25, 0.25, 0, 0]
    np.testing.assert_array_equal(found.probabilities, [ROWS[i][3] for i in (1, 0, 2, 3)])
    assert found.confusion.shape == (4, 0, 0)


def test_the_only_label_of_a_detector_is_decided_on(tmp_path: Path) -> None:
    rows = [("a.png", ["cat"], [], [0.9], [True]), ("b.png", ["cat"], [], [0.001], [False])]
    assert answers.read(written(tmp_path, rows), "candidate", kinds.kind("single_label"), ["cat"]).decided.tolist() == [
        [True],
        [False],
    ]


def test_predictions_of_masks_are_read_as_arrays(tmp_path: Path) -> None:
    folder = tmp_path / PREDICTIONS / "candidate"
    folder.mkdir(parents=True)
    confusion = [[1, 2, 0, 0], [0, 0, 0, 0]]  # by truth and answer: all is 0, a part answered as 1; all is ignored
    calibration = np.arange(180).reshape(2, 90)
    table = {"path": ["1", "2"], "sha256": ["a", "b"], "familiarity": [1.0, 0.5]}
    table |= {"confusion": confusion, "calibration": calibration.tolist()}
    pq.write_table(pa.table(table), folder / "part.parquet")
    found = answers.read(str(tmp_path), "candidate", kinds.kind("segmentation"), ["ground", "thing"])
    assert found.truth.tolist() == [[1, 0], [0, 0]]
    assert found.decided.tolist() == [[True, True], [False, False]]
    assert found.confusion.tolist() == [[[1, 2], [0, 0]], [[0, 0], [0, 0]]]
    np.testing.assert_array_equal(found.calibration, calibration.reshape(2, 2, 3, 15))
    assert found.probabilities.shape == (2, 0)
