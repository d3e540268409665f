"""The Evaluator stage on shards and a schema: each task's numbers are the accumulator's, for the whole and by slice."""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils, standard_artifacts

from components import metrics
from components.base.artifact_files import VERDICTS
from components.data import features, schema
from components.evaluation import analysis, predictions
from components.ingest import manifest
from components.metrics import mask, multi, single
from components.metrics.scored import Answer
from components.model import signatures
from components.stages import evaluator

LABELS = ["cat", "dog", "eel"]
K = len(LABELS)
RUNNER = ["--runner=apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner"]
# As in `schemas/`: what need not be there has any number of values from 0 on.
SCHEMA = """
feature { name: "image/format" type: BYTES presence { min_fraction: 1.0 min_count: 1 } shape {} }
string_domain { name: "label" value: "cat" value: "dog" value: "eel" }
feature { name: "label" type: BYTES value_count { min: 0 } domain: "label" }
feature { name: "label/unknown" type: BYTES value_count { min: 0 } }
feature { name: "image/weight" type: FLOAT value_count { min: 0 } }
feature { name: "slice/camera" type: BYTES value_count { min: 0 } }
"""
SLICES = [["label"], ["camera"], ["camera", "label"], ["format"]]


@dataclass(frozen=True)
class Row:
    """One example; `answer` is what the candidate says to it, reversed what the baseline says."""

    answer: Sequence[float]
    label: Sequence[str] = ()
    unknown: Sequence[str] = ()
    weight: float | None = None
    camera: str | None = None

    def serialised(self) -> bytes:
        """A feature without values is left out, except that every second example has an empty one."""
        texts = {features.FORMAT: ["png"], features.LABEL: self.label, features.UNKNOWN: self.unknown}
        texts[features.SLICE + "camera"] = [] if self.camera is None else [self.camera]
        raw = {name: [v.encode() for v in values] for name, values in texts.items()}
        raw[features.IMAGE] = [np.array(self.answer, np.float32).tobytes()]
        raw[features.PATH] = [f"{self.label} {self.answer}".encode()]
        feature = {
            name: tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
            for name, values in raw.items()
            if values or sum(self.answer) % 2 < 1
        }
        if self.weight is not None:
            feature[features.WEIGHT] = tf.train.Feature(float_list=tf.train.FloatList(value=[self.weight]))
        return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()

    def lies_in(self, where: dict[str, str]) -> bool:
        label = "label" not in where or where["label"] in self.label
        return label and where.get("camera", self.camera) == self.camera


class _Echo(tf.Module):
    """Answers with the floats that stand in place of the image; as `scored` and `mask_row` do."""

    def __init__(self, output: str, shape: list[int], *, backwards: bool) -> None:
        super().__init__()
        self.output, self.shape, self.step = output, shape, -1 if backwards else 1

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(examples, {features.IMAGE: tf.io.FixedLenFeature([], tf.string)})
        floats = tf.io.decode_raw(parsed[features.IMAGE], tf.float32)[:, :: self.step]
        answer = {
            self.output: tf.reshape(floats, [-1, *self.shape]),
            signatures.FAMILIARITY: floats[:, 0],
            signatures.ABSTAIN: floats[:, 0] < 0.25,
        }
        if self.output == signatures.CONFUSION:
            return answer | {signatures.CALIBRATION: tf.reshape(tf.tile(floats, [1, 10]), [-1, 2, 3, 15])}
        return answer | {signatures.UNCALIBRATED: floats * floats, signatures.DECISIONS: floats >= 0.25}


class Stage:
    """Runs the stage in a folder of its own."""

    def __init__(self, folder: Path, task: str) -> None:
        self._folder, self._task = folder, task
        mask_task = task == "segmentation"
        self._output = signatures.CONFUSION if mask_task else signatures.PROBABILITIES
        self._shape = [K, K] if mask_task else [K]

    def run(
        self,
        rows: Sequence[Row],
        *,
        has_baseline: bool,
        thresholds: Sequence[dict] = (),
        without_thresholds: bool = False,
        broken: str = "",
        standard: Sequence[dict] = (),
    ) -> "Stage":
        context = base_beam_executor.BaseBeamExecutor.Context(
            beam_pipeline_args=RUNNER, tmp_dir=str(self._folder / "tmp"), unique_id="1"
        )
        inputs = {"examples": self._examples(rows), "model": self._model("model"), "schema": self._schema()}
        if has_baseline:
            inputs["baseline_model"] = self._model("baseline_model")
        elif broken:
            inputs["baseline_model"] = self._artifact(standard_artifacts.Model, "baseline_model")
            inputs["baseline_model"].set_string_custom_property("broken", broken)
        self.evaluation = self._artifact(standard_artifacts.ModelEvaluation, "evaluation")
        self.blessing = self._artifact(standard_artifacts.ModelBlessing, "blessing")
        evaluator.Executor(context).Do(
            {name: [artifact] for name, artifact in inputs.items()},
            {"evaluation": [self.evaluation], "blessing": [self.blessing]},
            {
                "task": self._task,
                "slices": json.dumps(SLICES),
                "standard_metrics": json.dumps(standard),
                "thresholds": json.dumps(thresholds),
                "out_of_distribution": "",
                "without_thresholds": int(without_thresholds),
            },
        )
        return self

    def results(self, model: str = analysis.CANDIDATE) -> list[tuple[dict[str, str], dict]]:
        return analysis.results(self.evaluation.uri, model)

    def verdicts(self) -> list[dict]:
        return json.loads((Path(self.evaluation.uri) / VERDICTS).read_text())

    @property
    def blessed(self) -> int:
        files = set(Path(self.blessing.uri).iterdir())
        blessed = self.blessing.get_int_custom_property("blessed")
        assert [file.name for file in files] == ["BLESSED" if blessed else "NOT_BLESSED"]
        return blessed

    def _artifact(self, kind: type, name: str):
        artifact = kind()
        artifact.uri = str(self._folder / name)
        Path(artifact.uri).mkdir()
        return artifact

    def _examples(self, rows: Sequence[Row]):
        artifact = self._artifact(standard_artifacts.Examples, "examples")
        artifact.split_names = artifact_utils.encode_split_names(["test"])
        name = "Split-test/data-00000-of-00001.tfrecord"
        path = Path(artifact.uri) / name
        path.parent.mkdir()
        with tf.io.TFRecordWriter(str(path)) as writer:
            for row in rows:
                writer.write(row.serialised())
        file = {"name": name, "split": "test", "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        manifest.write(artifact.uri, {"files": [file], "counts": {"test": len(rows)}})
        return artifact

    def _schema(self):
        artifact = self._artifact(standard_artifacts.Schema, "schema")
        schema.write(artifact.uri, text_format.Parse(SCHEMA, schema_pb2.Schema()))
        return artifact

    def _model(self, name: str):
        artifact = self._artifact(standard_artifacts.Model, name)
        echo = _Echo(self._output, self._shape, backwards=name != "model")
        tf.saved_model.save(echo, f"{artifact.uri}/Format-Serving", signatures={signatures.EVALUATE: echo.evaluate})
        return artifact


def scored(row: Row) -> Answer:
    p = np.array(row.answer, np.float32)
    return Answer(p, p * p, p >= 0.25, bool(p[0] < 0.25))


def rule(metric: str, **given: object) -> dict:
    keys = ("label", "slice", "min", "max", "max_drop", "min_examples", "confidence")
    return {"metric": metric, **dict.fromkeys(keys)} | given


def single_row(row: Row) -> np.ndarray:
    return single.row(LABELS.index(row.label[0]) if row.label else -1, scored(row), row.weight or 1.0)


def multi_row(row: Row) -> np.ndarray:
    target = [-1 if label in row.unknown else int(label in row.label) for label in LABELS]
    return multi.row(target, scored(row), row.weight or 1.0)


def mask_row(row: Row) -> np.ndarray:
    return mask.row(row.answer, np.tile(row.answer, 10), row.answer[0] < 0.25, row.weight or 1.0)


def random_rows(task: str, n: int) -> list[Row]:
    """Some without a label, a weight, a camera or an unknown label; labels of a mask are those in its truth."""
    random = np.random.default_rng(0)
    rows = []
    for i in range(n):
        labels = [label for label in LABELS if random.random() < 0.5]
        answer = random.random(K)
        unknown = [label for label in LABELS if label not in labels and random.random() < 0.3]
        if task == "multi_label" and i % 10 == 0:
            labels, unknown = [], LABELS
        if task == "single_label":
            labels, unknown = labels[:1], [] if labels else LABELS
        if task == "segmentation":
            answer, unknown = random.integers(0, 9, (K, K)), []
            answer[[label not in labels for label in LABELS]] = 0
        weight = None if i % 3 == 0 else int(random.integers(1, 9)) / 4
        rows.append(Row(answer.ravel().tolist(), labels, unknown, weight, (None, "day", "night")[i % 3 or i % 5 % 3]))
    return rows


TASKS: dict[str, Callable[[Row], np.ndarray]] = {
    "single_label": single_row,
    "multi_label": multi_row,
    "segmentation": mask_row,
}


def direct(task: str, rows: Sequence[Row], *, backwards: bool = False) -> metrics.base.Result:
    accumulator = metrics.accumulator(task, K)
    step = -1 if backwards else 1
    accumulator.add([TASKS[task](Row(r.answer[::step], r.label, r.unknown, r.weight)) for r in rows])
    return accumulator.result(LABELS)


def assert_same(numbers: dict, expected: metrics.base.Result) -> None:
    assert sorted(numbers) == sorted(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(numbers[name], value, rtol=1e-9, atol=1e-12, err_msg=name)


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
    """Of a multi-label example that says nothing it is known that no label applies."""
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
            assert all(math.isnan(numbers[name]) for name in metrics.OVERALL[task])


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
    tmp_path: Path, thresholds: list[dict], without: bool, blessed: int
) -> None:
    stage = Stage(tmp_path, "single_label").run(
        TWO, has_baseline=False, thresholds=thresholds, without_thresholds=without
    )
    assert stage.blessed == blessed
    assert len(stage.verdicts()) == (2 if thresholds and thresholds[0]["slice"] else len(thresholds))


def test_a_served_model_that_is_broken_refuses_what_is_to_be_compared_with_it(tmp_path: Path) -> None:
    why = "version 5 is damaged"
    rules = [rule("accuracy", min=0.5), rule("accuracy", max_drop=1.0)]
    stage = Stage(tmp_path, "single_label").run(TWO, has_baseline=False, thresholds=rules, broken=why)
    assert [v["passed"] for v in stage.verdicts()] == [True, False]
    assert why in stage.verdicts()[1]["reason"]
    assert stage.blessed == 0
