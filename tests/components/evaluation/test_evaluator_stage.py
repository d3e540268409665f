"""The Evaluator stage on shards and a schema: each task's numbers are the accumulator's, for the whole and by slice."""

import dataclasses
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
from counting import Seen
from evaluator_stage import LABELS, TASKS, K, Row, Stage, assert_same, direct, multi_row, random_rows, rule

from components.base.errors import ImagegateError
from components.base.text import number
from components.evaluation import analysis, beside, comparison, predictions
from components.gates.compared import results, whole
from components.gates.intervals import two_sided, wilson
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


def test_regressions_are_the_images_that_only_the_served_model_has_right(
    compared: tuple[str, list[Row], Stage],
) -> None:
    """Counted anew from the rows: the served model's answer is the candidate's, reversed."""
    task, rows, stage = compared
    if task != "single_label":
        pytest.skip("the rules of the other tasks are tested on literal answers")
    known = [row for row in rows if row.label]
    said = {step: [LABELS[int(np.argmax(row.answer[::step]))] for row in known] for step in (1, -1)}
    lost = [row for row, now, before in zip(known, said[1], said[-1], strict=True) if [before] == row.label != [now]]
    found = comparison.read(stage.evaluation.uri).regressions
    assert found is not None
    assert lost
    assert sorted(image.path for image in found.images) == sorted(row.name for row in lost)
    counts = whole(found.numbers)
    assert (counts["regressions"], counts["example_count"]) == (len(lost), len(known))
    for label in LABELS:
        assert counts[f"regressions/{label}"] == sum(row.label == [label] for row in lost)


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
    # Cat is in images of weight 1 and 2, worth 9 / 5 images; so few count as one answer each. Others are in one image.
    low, high = zip(
        *(wilson(share, n, two_sided(0.95)) for share, n in ((5 / 8, 1.8), (2 / 3, 1), (0, 1))), strict=True
    )
    told = [f"95 % interval {a:.2f} to {b:.2f}" for a, b in zip(low, high, strict=True)]
    assert [v["reason"] for v in stage.verdicts()] == [
        f"iou of label 'cat' is 0.625 (1.8 examples, {told[0]}): iou >= 0.6",
        f"iou of label 'dog' is 0.6667 (1 example, {told[1]}): iou >= 0.6",
        f"iou of label 'eel' is 0 (1 example, {told[2]}), below the minimum 0.6",
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


@pytest.mark.parametrize("task", ["single_label", "segmentation"])
def test_the_served_models_labels_in_another_order_are_compared_to_the_digit(tmp_path: Path, task: str) -> None:
    """The served model answers backwards and its labels are backwards, so that both say the same of each label."""
    rows = random_rows(task, 30)
    rules = [rule(kinds.kind(task).main, max_drop=0.0), rule("recall", label="*", max_drop=0.0)]
    stage = Stage(tmp_path, task).run(rows, has_baseline=True, served=LABELS[::-1], thresholds=rules)
    for (where, own), (_, served) in zip(stage.results(), stage.results(analysis.BASELINE), strict=True):
        # What follows no label is backwards.
        apart = {"abstained", *(("ece", "uncalibrated_ece") if task == "segmentation" else ())}
        same = {name: value for name, value in own.items() if name not in apart}
        np.testing.assert_equal(same, {name: served[name] for name in same}, err_msg=str(where))
    assert comparison.read(stage.evaluation.uri).whole
    assert comparison.read(stage.evaluation.uri).sentences() == []
    assert [(v["label"], v["passed"]) for v in stage.verdicts()] == [(None, True), *((name, True) for name in LABELS)]
    assert all(v["value"] is not None for v in stage.verdicts())


def test_what_the_served_model_has_learnt_from_and_labels_that_it_does_not_know_are_not_compared(
    tmp_path: Path,
) -> None:
    """The first three images were in its train split, the fourth looks like one of its eval split; cat is new."""
    rows = [dataclasses.replace(row, perceptual=1 << 9 * i) for i, row in enumerate(random_rows("multi_label", 24))]
    known = [Seen(row.name, "train") for row in rows[:3]] + [Seen("like it", "eval", perceptual=1 << 27)]
    known += [Seen(row.name, "test") for row in rows[4:6]]
    wanted = {"served": ["fox", "eel", "dog"], "known": known, "distance": 1}
    rules = [rule("recall", label="*", min=0.0, max_drop=1.0), rule("binary_accuracy", max_drop=1.0)]
    stage = Stage(tmp_path, "multi_label").run(rows, has_baseline=True, thresholds=rules, **wanted)
    told = comparison.read(stage.evaluation.uri)
    # Of the 20 others, those of which dog or eel is known.
    judged = sum(not {"dog", "eel"} <= set(row.unknown) for row in rows[4:])
    assert (told.left_out, told.images, told.labels) == ({"train": 3, "eval": 1}, judged, ("dog", "eel"))
    assert (told.new, told.gone) == (("cat",), ("fox",))
    assert told.sentences() == [
        "3 test images were in the served model's train split, 1 in its eval split: left out of the comparison",
        "not compared, because version 5 does not know it: label 'cat'",
        "not compared, because only version 5 knows it: label 'fox'",
    ]
    # Backwards, the served model answers fox, eel, dog with the third, second and first number.
    kind = kinds.kind("multi_label")
    for part, columns in ((told.candidate, [1, 2]), (told.served, [0, 1])):
        accumulator = kind.accumulator(2)
        for row in rows[4:]:
            whole = multi_row(Row([row.answer[i] for i in (*columns, 0)], row.label, row.unknown, row.weight))
            places = [0, *(1 + LABELS.index(name) for name in ("dog", "eel")), 4, 5, 7, 8, 10, 11]
            # The weight, the targets of dog and eel, their answers three times, and whether the model abstains.
            abstains = float(row.answer[0 if part is told.candidate else -1] < 0.25)
            accumulator.add([np.append(whole[places], np.float32(abstains))])
        [(_, numbers)] = results(part)
        assert_same(numbers, accumulator.result(["dog", "eel"]))
    assert [(v["rule"], v["label"], v["value"] is None) for v in stage.verdicts()] == [
        *(("recall >= 0", label, False) for label in LABELS),
        *(("recall >= served model's - 1", label, False) for label in ("dog", "eel")),
        ("recall >= served model's - 1", None, True),
        ("binary_accuracy >= served model's - 1", None, False),
    ]
    assert stage.blessed == 1


def test_of_too_few_remaining_images_nothing_is_compared_and_nothing_counts_as_held(tmp_path: Path) -> None:
    rows = [Row([0.75, 0.25, i / 64], ["cat"]) for i in range(12)]
    known = [Seen(row.name, "train") for row in rows[:3]]
    stage = Stage(tmp_path, "single_label").run(
        rows, has_baseline=True, known=known, thresholds=[rule("accuracy", max_drop=0.0)]
    )
    [verdict] = stage.verdicts()
    why = "version 5 has learnt from all test images but 9, and fewer than 10 are not compared"
    assert verdict["reason"] == f"accuracy is not judged: {why}"
    assert (verdict["passed"], verdict["value"]) == (True, None)
    assert not (Path(stage.evaluation.uri) / "predictions" / "baseline").exists()


def test_a_copy_of_the_served_model_that_was_changed_is_not_loaded(tmp_path: Path) -> None:
    def change(folder: Path) -> None:
        (folder / "saved_model.pb").write_bytes(b"another")

    with pytest.raises(ImagegateError, match=r"saved_model.pb does not match .*; run again with --force"):
        Stage(tmp_path, "single_label").run(TWO, has_baseline=True, change=change)


@pytest.mark.parametrize("task", TASKS)
def test_trivial_methods_and_weak_groups_stand_beside_the_evaluation(task: str, tmp_path: Path) -> None:
    """The images of this stage are the model's answers, not photos: no property of theirs can be measured."""
    rows, metric = random_rows(task, 40), {"multi_label": "binary_accuracy", "segmentation": "pixel_accuracy"}
    name = metric.get(task, "accuracy")
    limits = [Threshold(metric=name, min_gain=0.9), Threshold(metric=name, slice="found", min=1)]
    stage = Stage(tmp_path, task).run(rows, has_baseline=False, thresholds=limits)
    told = beside.read(stage.evaluation.uri)
    [method] = told.trivial.methods
    assert method.name == (
        "the most frequent answer of each label" if task == "multi_label" else "always answering 'cat'"
    )
    if task == "single_label":
        labels = [row.label[0] for row in rows if row.label]
        weights = [row.weight or 1.0 for row in rows if row.label]
        share = sum(w for w, label in zip(weights, labels, strict=True) if label == "cat") / sum(weights)
        assert method.numbers[name] == pytest.approx(share)
    gain, found = stage.verdicts()
    value = stage.results()[0][1][name]
    better = "better" if value > method.numbers[name] else "worse"
    assert f"{better} than {method.name} ({number(method.numbers[name])}); at least 0.9 is demanded" in gain["reason"]
    assert method.paired[name].gain == pytest.approx(value - method.numbers[name])
    assert (found["passed"], found["value"]) == (True, None)
    assert told.weak.tried == 0
    assert stage.blessed == 0
