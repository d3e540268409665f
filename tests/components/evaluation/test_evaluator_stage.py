"""The Evaluator stage on shards and a schema: each task's numbers are the accumulator's, for the whole and by slice."""

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
from evaluator_stage import LABELS, TASKS, K, Row, Stage, assert_same, direct, random_rows, rule

from components.evaluation import analysis, predictions
from components.gates.settings import Threshold
from components.labels import kinds


@pytest.fixture(scope="module", params=TASKS)
def compared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Row], Stage]:
    """100 examples: TFMA's batches reach 64 and are cut in parts."""
    task = request.param
    rows = random_rows(task, 100)
    return task, rows, Stage(tmp_path_factory.mktemp(task), task).run(rows, has_baseline=True)


@pytest.mark.parametrize("model", [analysis.CANDIDATE, analysis.BASELINE])
def test_both_models_have_metrics_of_the_whole_and_of_every_slice(
    compared: tuple[str, list[Row], Stage], model: str
) -> None:
    task, rows, stage = compared
    for where, numbers in stage.results(model):
        inside = [row for row in rows if row.lies_in(where)]
        assert_same(numbers, direct(task, inside, backwards=model == analysis.BASELINE))


def test_each_example_is_in_the_slice_of_each_of_its_labels(compared: tuple[str, list[Row], Stage]) -> None:
    _, rows, stage = compared
    crosses = {(camera, label) for row in rows for label in row.label for camera in [row.camera] if camera}
    expected = [{}, {"format": "png"}, *({"camera": c} for c in ("day", "night")), *({"label": n} for n in LABELS)]
    expected += [{"camera": camera, "label": label} for camera, label in sorted(crosses)]
    found = [tuple(sorted(where.items())) for where, _ in stage.results()]
    assert sorted(found) == sorted(tuple(sorted(where.items())) for where in expected)


def test_unlabelled_examples_are_counted(compared: tuple[str, list[Row], Stage]) -> None:
    task, rows, stage = compared
    nothing = {
        "single_label": lambda row: not row.label,
        "multi_label": lambda row: len(row.unknown) == K,
        "segmentation": lambda row: not any(row.answer),
    }[task]
    unlabelled = sum(map(nothing, rows))
    assert unlabelled
    numbers = stage.results()[0][1]
    assert numbers["unlabelled_count"] == unlabelled
    assert numbers["example_count"] == 100 - unlabelled


@pytest.mark.parametrize("model", [analysis.CANDIDATE, analysis.BASELINE])
def test_the_models_answers_stand_beside_the_evaluation(compared: tuple[str, list[Row], Stage], model: str) -> None:
    task, rows, stage = compared
    found, step = predictions.read(stage.evaluation.uri, model), -1 if model == analysis.BASELINE else 1
    name = "confusion" if task == "segmentation" else "probabilities"
    told = [
        # Of a feature without values nothing is told; a weight that nobody gave is 1.
        (
            {"labels": row.label, "unknown": row.unknown, "weight": row.weight or 1.0},
            np.array(row.answer[::step], np.float32),
        )
        for row in sorted(rows, key=lambda row: f"{row.label} {row.answer}")
    ]
    assert len(found) == len(told) == 100
    for row, (labels, answer) in zip(found, told, strict=True):
        assert {key: row[key] for key in labels} == labels
        assert row[name] == answer.tolist()
        assert (row["familiarity"], row["abstain"]) == (answer[0], answer[0] < 0.25)
        if task != "segmentation":
            assert row["uncalibrated"] == (answer * answer).tolist()
            assert row["decisions"] == (answer >= 0.25).tolist()


def test_all_features_may_be_missing_everywhere(tmp_path: Path) -> None:
    """No label applies to a multi-label example without labels."""
    rows = [Row([0.25, 0.75, 0.5]), Row([0.0, 0.25, 0.25])]
    results = Stage(tmp_path, "multi_label").run(rows, has_baseline=False).results()
    assert [where for where, _ in results] == [{}, {"format": "png"}]
    assert results[0][1]["binary_accuracy"] == pytest.approx(4 / 6)
    assert results[0][1]["weighted_count"] == 2


def test_metrics_of_masks_match_a_calculation_by_hand(tmp_path: Path) -> None:
    rows = [
        Row([3, 1, 0, 0, 2, 0, 0, 0, 0], ["cat", "dog"], camera="day"),
        Row([1, 0, 1, 0, 0, 0, 0, 0, 0], ["cat"], weight=2.0),
    ]
    at_least = rule("iou", label="*", min=0.6)
    stage = Stage(tmp_path, "segmentation").run(rows, has_baseline=False, thresholds=[at_least])
    numbers = stage.results()[0][1]
    assert numbers["confusion_matrix"] == [[5, 1, 2], [0, 2, 0], [0, 0, 0]]
    assert numbers["mean_iou"] == pytest.approx((5 / 8 + 2 / 3) / 2)  # no eel in the truth
    assert [v["reason"] for v in stage.verdicts()] == [
        "iou of label 'cat' is 0.625 (8 pixels): iou >= 0.6",
        "iou of label 'dog' is 0.6667 (2 pixels): iou >= 0.6",
        "iou of label 'eel' is 0 (0 pixels), below the minimum 0.6",
    ]
    assert stage.blessed == 0


@pytest.mark.parametrize("task", ["multi_label", "segmentation"])
def test_an_answer_that_is_not_a_number_voids_the_metrics(tmp_path: Path, task: str) -> None:
    rows = [*random_rows(task, 3), Row([math.nan] * (9 if task == "segmentation" else 3), ["cat"], camera="dawn")]
    results = Stage(tmp_path, task).run(rows, has_baseline=False).results()
    for where, numbers in results:
        if where in ({}, {"camera": "dawn"}):
            assert numbers["invalid_predictions"] == 1
            assert all(math.isnan(numbers[name]) for name in kinds.kind(task).overall)


def test_a_single_label_example_with_two_labels_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="single-label task has the labels"):
        Stage(tmp_path, "single_label").run([Row([0.5, 0.5, 0.0], ["cat", "dog"])], has_baseline=False)


def test_the_digests_of_the_evaluated_model_are_recorded(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "single_label").run([Row([0.5, 0.5, 0.0], ["cat"])], has_baseline=True)
    model = tmp_path / "model" / "Format-Serving"
    files = {str(p.relative_to(model)): p for p in model.rglob("*") if p.is_file()}
    expected = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    assert json.loads((Path(stage.evaluation.uri) / "model_digests.json").read_text()) == expected
    assert "saved_model.pb" in expected


TWO = [Row([0.75, 0.25, 0.0], ["cat"], camera="day"), Row([0.0, 0.75, 0.25], ["cat"], camera="night")]


@pytest.mark.parametrize(
    ("thresholds", "without", "blessed"),
    [
        ([], False, 0),
        ([], True, 1),
        ([rule("accuracy", min=0.5)], False, 1),
        ([rule("accuracy", min=0.6)], True, 0),  # what is configured is judged
        ([rule("accuracy", slice={"camera": "*"}, min=0.5)], False, 0),  # right by day, wrong by night
    ],
)
def test_only_a_model_that_passes_every_threshold_is_blessed(
    tmp_path: Path, thresholds: list[Threshold], without: bool, blessed: int
) -> None:
    stage = Stage(tmp_path, "single_label").run(
        TWO, has_baseline=False, thresholds=thresholds, without_thresholds=without
    )
    assert stage.blessed == blessed
    assert len(stage.verdicts()) == (2 if thresholds and thresholds[0].slice else len(thresholds))


def test_a_served_model_that_is_broken_refuses_what_is_to_be_compared_with_it(tmp_path: Path) -> None:
    why = "version 5 is damaged"
    rules = [rule("accuracy", min=0.5), rule("accuracy", max_drop=1.0)]
    stage = Stage(tmp_path, "single_label").run(TWO, has_baseline=False, thresholds=rules, broken=why)
    assert [v["passed"] for v in stage.verdicts()] == [True, False]
    assert why in stage.verdicts()[1]["reason"]
    assert stage.blessed == 0


def test_a_damaged_served_model_is_replaced_by_its_equal(tmp_path: Path) -> None:
    """It has the metrics that the damaged one had, so it is no worse: the accuracy of one right answer in two, 0.5."""
    rules = [rule("accuracy", min=0.5), rule("accuracy", max_drop=0.0)]
    stage = Stage(tmp_path, "single_label").run(
        TWO, has_baseline=False, thresholds=rules, broken="version 5 is damaged", equal=True
    )
    assert [(v["passed"], v["value"]) for v in stage.verdicts()] == [(True, 0.5), (True, 0.5)]
    assert stage.blessed == 1
