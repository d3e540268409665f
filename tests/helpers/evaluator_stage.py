"""The Evaluator stage on examples whose images are the model's answers, and what the accumulators make of them."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import counting
import numpy as np
import tensorflow as tf
from counting import Seen
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils, standard_artifacts

from components import metrics
from components.base.artifact_files import KNOWN_IMAGES, PUSHED_MANIFEST, VERDICTS
from components.data import features, known_images, schema
from components.evaluation import analysis
from components.evaluation.settings import Evaluation, StandardMetric
from components.gates.settings import Threshold
from components.ingest import manifest, splits
from components.labels import kinds
from components.metrics import mask, multi, single
from components.metrics.scored import Answer
from components.model import identity, signatures
from components.push import versions
from components.push.manifest import PushedManifest
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
    perceptual: int | None = None

    def serialised(self) -> bytes:
        """A feature without values is left out, except that every second example has an empty one."""
        texts = {features.FORMAT: ["png"], features.LABEL: self.label, features.UNKNOWN: self.unknown}
        texts[features.SLICE + "camera"] = [] if self.camera is None else [self.camera]
        raw = {name: [v.encode() for v in values] for name, values in texts.items()}
        raw[features.IMAGE] = [np.array(self.answer, np.float32).tobytes()]
        raw[features.MASK] = [tf.io.encode_png(np.zeros((1, 1, 1), np.uint8)).numpy()]
        raw[features.PATH] = [self.name.encode()]
        raw[features.SHA256] = [splits.digest(self.name.encode()).encode()]
        feature = {
            name: tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
            for name, values in raw.items()
            if values or sum(self.answer) % 2 < 1
        }
        if self.weight is not None:
            feature[features.WEIGHT] = tf.train.Feature(float_list=tf.train.FloatList(value=[self.weight]))
        return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()

    @property
    def name(self) -> str:
        return f"{self.label} {self.answer}"

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
        served: Sequence[str] = LABELS,
        known: Sequence[Seen] = (),
        distance: int = 32,
        change: Callable[[Path], None] = lambda _: None,
        thresholds: Sequence[Threshold] = (),
        without_thresholds: bool = False,
        broken: str = "",
        equal: bool = False,
        standard: Sequence[StandardMetric] = (),
    ) -> "Stage":
        context = base_beam_executor.BaseBeamExecutor.Context(
            beam_pipeline_args=RUNNER, tmp_dir=str(self._folder / "tmp"), unique_id="1"
        )
        inputs = {"examples": self._examples(rows), "model": self._model("model"), "schema": self._schema()}
        if has_baseline:
            inputs["baseline_model"] = self._baseline(served, known)
            change(Path(inputs["baseline_model"].uri) / "Format-Serving")
        elif broken:
            inputs["baseline_model"] = self._artifact(standard_artifacts.Model, "baseline_model")
            inputs["baseline_model"].set_string_custom_property("broken", broken)
            folder = f"{inputs['model'].uri}/Format-Serving"
            known = identity.identity(folder, versions.digests(folder)) if equal else "another"
            inputs["baseline_model"].set_string_custom_property("identity", known)
        self.evaluation = self._artifact(standard_artifacts.ModelEvaluation, "evaluation")
        self.blessing = self._artifact(standard_artifacts.ModelBlessing, "blessing")
        evaluator.Executor(context).Do(
            {name: [artifact] for name, artifact in inputs.items()},
            {"evaluation": [self.evaluation], "blessing": [self.blessing]},
            {
                "task": self._task,
                "settings": Evaluation(slices=SLICES, thresholds=thresholds, tfma_metrics=standard).to_json(),
                "features": "",
                "max_pixels": 0,
                "bits": 0,
                "near_duplicate_distance": distance,
                "out_of_distribution_fingerprint": "",
                "without_thresholds": int(without_thresholds),
            },
        )
        return self

    def results(self, model: str = analysis.CANDIDATE) -> list[tuple[dict[str, str], dict]]:
        """The numbers of each slice, with the confusion matrix if labels are exclusive."""
        results = analysis.results(self.evaluation.uri, model)
        if not kinds.kind(self._task).exclusive:
            return results
        name = metrics.CONFUSION
        return [(where, n | {name: analysis.confusion(self.evaluation.uri, model, where)}) for where, n in results]

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
        content = path.read_bytes()
        file = {"name": name, "split": "test", "sha256": hashlib.sha256(content).hexdigest()}
        file |= {"records": len(rows), "bytes": len(content)}
        # Train is not among the shards: cat is its most frequent label, and most of its images are cats.
        counts = {"train": 5, "test": len(rows)}
        told = {label: {"train": n} for label, n in zip(LABELS, (3, 1, 1), strict=True)}
        unknown = {label: {"train": 0} for label in LABELS}
        pixels = {"train": ((6, 9, 9), (2, 9, 9), (1, 9, 9), (0, 0, 0))}
        facts = counting.manifest(files=(file,), counts=counts, label_counts=told, unknown=unknown, pixels=pixels)
        manifest.write(artifact.uri, facts)
        counting.merged([Seen(row.name, "test", perceptual=row.perceptual) for row in rows])[1].write(artifact.uri)
        return artifact

    def _schema(self):
        artifact = self._artifact(standard_artifacts.Schema, "schema")
        schema.write(artifact.uri, text_format.Parse(SCHEMA, schema_pb2.Schema()))
        return artifact

    def _baseline(self, served: Sequence[str], known: Sequence[Seen]):
        """What the stage Baseline makes of a model that was pushed with these labels and images."""
        artifact = self._model("baseline_model", len(served))
        folder = Path(artifact.uri) / "Format-Serving"
        (folder / KNOWN_IMAGES).write_bytes(known_images.to_bytes(counting.merged(known)[1].rows))
        told = PushedManifest(task=self._task, labels=served, files=versions.digests(str(folder))).to_json()
        (folder / PUSHED_MANIFEST).write_text(told)
        for key, value in {"version": "5", "manifest": splits.digest(told.encode())}.items():
            artifact.set_string_custom_property(key, value)
        return artifact

    def _model(self, name: str, classes: int = K):
        artifact = self._artifact(standard_artifacts.Model, name)
        shape = [classes] * len(self._shape)
        echo = _Echo(self._output, shape, backwards=name != "model")
        tf.saved_model.save(echo, f"{artifact.uri}/Format-Serving", signatures={signatures.EVALUATE: echo.evaluate})
        return artifact


def scored(row: Row) -> Answer:
    p = np.array(row.answer, np.float32)
    return Answer(p, p * p, p >= 0.25, bool(p[0] < 0.25))


def rule(metric: str, **given: Any) -> Threshold:
    return Threshold(metric=metric, **given)


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
    accumulator = kinds.kind(task).accumulator(K)
    step = -1 if backwards else 1
    accumulator.add([TASKS[task](Row(r.answer[::step], r.label, r.unknown, r.weight)) for r in rows])
    return accumulator.result(LABELS)


def assert_same(numbers: dict, expected: metrics.base.Result) -> None:
    assert sorted(numbers) == sorted(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(numbers[name], value, rtol=1e-9, atol=1e-12, err_msg=name)
