"""TFMA's own metrics beside ours: their values are scikit-learn's, and ours stay what they were."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow_model_analysis as tfma
from evaluator_stage import LABELS, Row, Stage, assert_same, direct, random_rows, rule
from sklearn import metrics as sk

from components.evaluation import analysis, tfma_standard
from components.evaluation.settings import StandardMetric

SCORED = ["single_label", "multi_label"]
# Those that a class cannot do without.
NEEDED = {
    "ConfusionMatrixAtThresholds": {"thresholds": [0.5]},
    "PrecisionAtRecall": {"recall": 0.5},
    "RecallAtPrecision": {"precision": 0.5},
    "SensitivityAtSpecificity": {"specificity": 0.5},
    "SpecificityAtSensitivity": {"sensitivity": 0.5},
}


def asked(*names: str) -> list[StandardMetric]:
    return [StandardMetric(class_name=name, config=NEEDED.get(name, {})) for name in names]


@pytest.fixture(scope="module", params=SCORED)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Row], Stage]:
    """All of them at once, for two models."""
    rows = random_rows(request.param, 40)
    stage = Stage(tmp_path_factory.mktemp(request.param), request.param)
    return request.param, rows, stage.run(rows, has_baseline=True, standard=asked(*tfma_standard.available()))


def expected(rows: Sequence[Row], step: int) -> dict[str, float]:
    """scikit-learn's, of all labels' entries together, from the examples of which every label is known."""
    known = [row for row in rows if not row.unknown]
    truth = np.array([[label in row.label for label in LABELS] for row in known]).ravel()
    score = np.array([row.answer[::step] for row in known], np.float32).ravel()
    weight = np.repeat([row.weight or 1.0 for row in known], len(LABELS))
    said = score > 0.5
    return {
        "example_count": weight.sum() / len(LABELS),
        "auc": sk.roc_auc_score(truth, score, sample_weight=weight),
        "precision": sk.precision_score(truth, said, sample_weight=weight),
        "recall": sk.recall_score(truth, said, sample_weight=weight),
        "f1_score": sk.f1_score(truth, said, sample_weight=weight),
        "binary_accuracy": sk.accuracy_score(truth, said, sample_weight=weight),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, said, sample_weight=weight),
        "matthews_correlation_coefficient": sk.matthews_corrcoef(truth, said, sample_weight=weight),
        "binary_crossentropy": sk.log_loss(truth, score.astype(np.float64), sample_weight=weight),
        "mean_squared_error": sk.mean_squared_error(truth, score, sample_weight=weight),
        "mean_label": np.average(truth, weights=weight),
    }


@pytest.mark.parametrize(("model", "step"), [(analysis.CANDIDATE, 1), (analysis.BASELINE, -1)])
def test_the_values_are_scikit_learns(run: tuple[str, list[Row], Stage], model: str, step: int) -> None:
    _, rows, stage = run
    found = analysis.standard_results(stage.evaluation.uri, model)
    for name, value in expected(rows, step).items():
        # TFMA's AUC counts scores of one of its 10,000 bins as equal.
        assert found[name] == pytest.approx(value, abs=1e-3 if name == "auc" else 1e-5), name


def test_each_metric_that_can_be_configured_gives_a_value(run: tuple[str, list[Row], Stage]) -> None:
    found = analysis.standard_results(run[2].evaluation.uri, analysis.CANDIDATE)
    assert len(found) == len(tfma_standard.available()) > 40
    assert {"AUC", "Precision", "ExampleCount", "MultiClassConfusionMatrixAtThresholds"} <= set(
        tfma_standard.available()
    )
    assert [name for name, value in found.items() if value is None] == []


@pytest.mark.parametrize("task", SCORED)
def test_no_metric_fails_on_a_slice_with_a_single_label(task: str, tmp_path: Path) -> None:
    """All right, all wrong, sure, undecided, of which nothing is known, without and with all labels."""
    answers = [[1, 0, 0], [0, 1, 0], [0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5]]
    rows = [Row(answer, ["cat"], camera=f"cat {i}") for i, answer in enumerate(answers)]
    rows += [Row([0.25, 0.25, 0.5], [], LABELS, camera="unknown")]
    if task == "multi_label":
        rows += [Row(answer, [], camera=f"none {i}") for i, answer in enumerate(answers)]
        rows += [Row(answer, LABELS, camera=f"all {i}") for i, answer in enumerate(answers)]
    stage = Stage(tmp_path, task).run(rows, has_baseline=True, standard=asked(*tfma_standard.available()))
    loaded = tfma.load_eval_result(stage.evaluation.uri, model_name=analysis.CANDIDATE)
    whole = set(loaded.get_metrics_for_slice(()))
    assert len([name for name in whole if name.startswith("tfma/")]) >= len(tfma_standard.available())
    # The truth is cat alone, three entries; an entry is answered with yes above 0.5.
    by_hand = {
        "cat 0": (1, 1, 1),
        "cat 1": (0, 0, 1 / 3),  # dog for cat: one miss, one false alarm
        "cat 2": (math.nan, 0, 2 / 3),  # no label: one miss, and no answer whose precision could be measured
        "cat 3": (1 / 3, 1, 1 / 3),  # every label: one hit, two false alarms
        "cat 4": (math.nan, 0, 2 / 3),  # 0.5 is not above 0.5
    }
    for camera, values in by_hand.items():
        numbers = loaded.get_metrics_for_slice((("slice/camera", camera),))
        assert set(numbers) == whole
        found = [float(numbers[f"tfma/{name}"]["doubleValue"]) for name in ("precision", "recall", "binary_accuracy")]
        assert found == pytest.approx(list(values), nan_ok=True), camera


def test_our_metrics_do_not_change_when_standard_metrics_are_added(run: tuple[str, list[Row], Stage]) -> None:
    task, rows, stage = run
    for model in (analysis.CANDIDATE, analysis.BASELINE):
        for where, numbers in stage.results(model):
            inside = [row for row in rows if row.lies_in(where)]
            assert_same(numbers, direct(task, inside, backwards=model == analysis.BASELINE))


def test_tfma_s_own_loader_reads_both_by_name_and_slice(run: tuple[str, list[Row], Stage]) -> None:
    task, rows, stage = run
    loaded = tfma.load_eval_result(stage.evaluation.uri, model_name=analysis.CANDIDATE)
    whole = loaded.get_metrics_for_slice(())
    assert whole["tfma/auc"]["doubleValue"] == pytest.approx(expected(rows, 1)["auc"], abs=1e-3)
    slices = dict.fromkeys(loaded.get_slice_names())
    assert {(), (("label", "cat"),), (("slice/camera", "day"),), (("image/format", "png"),)} <= set(slices)
    for name in slices:
        where = {column.removeprefix("slice/").removeprefix("image/"): value for column, value in name}
        ours = direct(task, [row for row in rows if row.lies_in(where)])
        numbers = loaded.get_metrics_for_slice(name)
        for metric in ("example_count", "loss", "recall/cat", "effective_known/dog"):
            found = numbers[metric]["doubleValue"]
            assert float(found) == pytest.approx(ours[metric], nan_ok=True), (name, metric)  # NaN comes as text


def test_a_model_that_answers_nan_is_refused_with_standard_metrics_too(tmp_path: Path) -> None:
    rows = [*random_rows("single_label", 10), Row([math.nan] * 3, ["cat"])]
    stage = Stage(tmp_path, "single_label")
    stage.run(rows, has_baseline=False, standard=asked("AUC"), thresholds=[rule("accuracy", min=0)])
    assert stage.blessed == 0
    assert stage.results()[0][1]["invalid_predictions"] == 1
    found = analysis.standard_results(stage.evaluation.uri, analysis.CANDIDATE)
    assert found == {"auc": pytest.approx(expected(rows[:-1], 1)["auc"], abs=1e-3)}


def test_without_standard_metrics_none_are_written(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "single_label").run(random_rows("single_label", 3), has_baseline=False)
    assert analysis.standard_results(stage.evaluation.uri, analysis.CANDIDATE) == {}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (asked("Accuracy"), "'Accuracy' is not one of AUC, AUCPrecisionRecall, "),
        (asked("NDCG"), "'NDCG' is not one of "),  # needs queries
        (asked("CategoricalCrossEntropy"), "'CategoricalCrossEntropy' is not one of "),  # changes what others see
        ([StandardMetric(class_name="AUC", config={"bins": 3})], "AUC: config: .*unexpected keyword argument 'bins'"),
        (
            [StandardMetric(class_name="PrecisionAtRecall", config={})],
            "PrecisionAtRecall: config: .*missing.* 'recall'",
        ),
        (asked("AUC", "AUC"), "AUC: another metric has the name 'auc'; set another name in its config"),
    ],
)
def test_a_metric_that_cannot_be_computed_is_refused(given: list[StandardMetric], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tfma_standard.specs(given)


def test_two_metrics_of_one_class_have_their_own_names() -> None:
    settings = ({"thresholds": 0.3}, {"thresholds": 0.7, "name": "sure"})
    spec = tfma_standard.specs([StandardMetric(class_name="Precision", config=one) for one in settings])
    assert ['"name": "tfma/precision"' in m.config for m in spec.metrics] == [True, False]
    assert '"name": "tfma/sure"' in spec.metrics[1].config
