"""The metric through TFMA: what it writes is what the accumulator says directly, for the whole and by slice."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from apache_beam.options.pipeline_options import PipelineOptions

from components import metrics
from components.base import progress
from components.data import features
from components.evaluation import analysis, predictions
from components.labels import kinds
from components.metrics import single
from components.metrics.scored import Answer
from components.model import signatures

LABELS = ["cat", "dog", "eel"]
RUNNER = PipelineOptions(["--runner=apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner"])
# (truth, format, the candidate's probabilities); the baseline answers with each row reversed.
ROWS = [
    ("cat", "png", [0.7, 0.2, 0.1]),
    ("cat", "png", [0.2, 0.5, 0.3]),
    ("dog", "png", [0.1, 0.8, 0.1]),
    ("dog", "jpeg", [0.6, 0.3, 0.1]),
    ("eel", "jpeg", [0.25, 0.25, 0.5]),
    ("cat", "jpeg", [0.9, 0.05, 0.05]),
]


class _Echo(tf.Module):
    """Answers with the floats that stand in place of the image; as `answered` does."""

    def __init__(self, *, backwards: bool) -> None:
        super().__init__()
        self.step = -1 if backwards else 1

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(examples, {features.IMAGE: tf.io.FixedLenFeature([], tf.string)})
        p = tf.io.decode_raw(parsed[features.IMAGE], tf.float32)[:, :: self.step]
        return {
            signatures.PROBABILITIES: p,
            signatures.UNCALIBRATED: p * p,
            signatures.DECISIONS: p >= 0.25,
            signatures.FAMILIARITY: p[:, 0],
            signatures.ABSTAIN: p[:, 0] < 0.25,
        }


def answered(probabilities: list[float]) -> Answer:
    p = np.array(probabilities, np.float32)
    return Answer(p, p * p, p >= 0.25, bool(p[0] < 0.25))


def example(label: str, image_format: str, probabilities: list[float]) -> bytes:
    values = {
        features.IMAGE: np.array(probabilities, np.float32).tobytes(),
        features.LABEL: label.encode(),
        features.FORMAT: image_format.encode(),
    }
    feature = {k: tf.train.Feature(bytes_list=tf.train.BytesList(value=[v])) for k, v in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def analyse(folder: Path, rows: list[tuple], *, has_baseline: bool, labels: list[str] = LABELS) -> str:
    """Uses the user module as TFX's Evaluator does. Returns the folder of results."""
    names = [analysis.CANDIDATE, analysis.BASELINE][: 1 + has_baseline]
    with tf.io.TFRecordWriter(str(folder / "data")) as writer:
        for row in rows:
            writer.write(example(*row))
    slices = [["label"], ["format"], ["format", "label"]]
    config = analysis.eval_config(
        "single_label",
        labels,
        slices,
        served=labels if has_baseline else (),
        examples=len(rows),
        folder=str(folder / "out"),
    )
    models = []
    for name in names:
        echo = _Echo(backwards=name == analysis.BASELINE)
        tf.saved_model.save(echo, str(folder / name), signatures={signatures.EVALUATE: echo.evaluate})
        models.append(analysis.custom_eval_shared_model(str(folder / name), name, config))
    tfma.run_model_analysis(
        eval_shared_model=models if has_baseline else models[0],
        eval_config=config,
        data_location=str(folder / "data"),
        output_path=str(folder / "out"),
        extractors=analysis.custom_extractors(models, config, None),
        pipeline_options=RUNNER,
    )
    return str(folder / "out")


def direct(rows: list[tuple], *, backwards: bool = False) -> dict[str, float]:
    accumulator = single.SingleLabel(len(LABELS))
    step = -1 if backwards else 1
    accumulator.add([single.row(LABELS.index(t), answered(p[::step])) for t, _, p in rows])
    return accumulator.result(LABELS)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> str:
    return analyse(tmp_path_factory.mktemp("alone"), ROWS, has_baseline=False)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> str:
    return analyse(tmp_path_factory.mktemp("compared"), ROWS, has_baseline=True)


def assert_same(numbers: dict, expected: dict) -> None:
    assert {*numbers, metrics.CONFUSION} == set(kinds.kind("single_label").metric_names(LABELS))
    for name, value in expected.items():
        if name != metrics.CONFUSION:
            np.testing.assert_allclose(numbers[name], value, rtol=1e-9, err_msg=name)


def test_one_model_gives_the_accumulators_numbers(alone: str) -> None:
    where, numbers = analysis.results(alone, analysis.CANDIDATE)[0]
    assert where == {}
    assert_same(numbers, direct(ROWS))
    # The largest probability is the truth's in rows 1, 3, 5 and 6.
    assert numbers["accuracy"] == pytest.approx(4 / 6)
    assert analysis.confusion(alone, analysis.CANDIDATE) == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    "where",
    [{"label": "cat"}, {"label": "eel"}, {"format": "png"}, {"format": "jpeg", "label": "dog"}],
    ids=str,
)
def test_a_slice_gives_the_accumulators_numbers_of_its_rows(alone: str, where: dict[str, str]) -> None:
    inside = [row for row in ROWS if where.get("label", row[0]) == row[0] and where.get("format", row[1]) == row[1]]
    found = [numbers for slice_, numbers in analysis.results(alone, analysis.CANDIDATE) if slice_ == where]
    assert len(found) == 1
    assert_same(found[0], direct(inside))


def test_every_slice_that_has_examples_and_no_other(alone: str) -> None:
    found = [where for where, _ in analysis.results(alone, analysis.CANDIDATE)]
    expected = [{}, *({"format": f} for f in ("jpeg", "png")), *({"label": name} for name in LABELS)]
    crosses = sorted({(row[1], row[0]) for row in ROWS})  # no (png, eel)
    assert found == expected + [{"format": f, "label": label} for f, label in crosses]


@pytest.mark.parametrize("model", [analysis.CANDIDATE, analysis.BASELINE])
def test_two_models_keep_their_own_numbers(compared: str, model: str) -> None:
    backwards = model == analysis.BASELINE
    results = analysis.results(compared, model)
    assert_same(results[0][1], direct(ROWS, backwards=backwards))
    for where, numbers in results[1:]:
        of_slice = [r for r in ROWS if {"format": r[1], "label": r[0]} | where == {"format": r[1], "label": r[0]}]
        assert_same(numbers, direct(of_slice, backwards=backwards))
    assert len(results) == 11  # 1 + 2 formats + 3 labels + 5 crosses


@pytest.mark.parametrize(
    ("which", "model"), [("alone", "candidate"), ("compared", "candidate"), ("compared", "baseline")]
)
def test_the_models_answers_stand_beside_their_numbers(request: pytest.FixtureRequest, which: str, model: str) -> None:
    found, step = predictions.read(request.getfixturevalue(which), model), -1 if model == "baseline" else 1
    answers = sorted((row["labels"], row["probabilities"]) for row in found)
    assert answers == sorted(([label], np.array(p[::step], np.float32).tolist()) for label, _, p in ROWS)
    for row in found:
        expected = answered(row["probabilities"])
        assert row["uncalibrated"] == expected.uncalibrated.tolist()
        assert row["decisions"] == expected.decisions.tolist()
        assert (row["familiarity"], row["abstain"]) == (row["probabilities"][0], expected.abstain)


def test_tfma_s_own_loader_reads_the_same(compared: str) -> None:
    loaded = tfma.load_eval_result(compared, model_name=analysis.BASELINE)
    numbers = loaded.get_metrics_for_slice(())
    expected = direct(ROWS, backwards=True)
    assert numbers["accuracy"]["doubleValue"] == pytest.approx(expected["accuracy"])
    assert numbers["recall/dog"]["doubleValue"] == pytest.approx(1 / 2)  # row 3 is symmetric, row 4 becomes eel 0.6
    assert set(kinds.kind("single_label").metric_names(LABELS)) <= set(numbers)
    assert (("label", "cat"),) in [tuple(name) for name in loaded.get_slice_names()]


def test_a_prediction_that_is_not_a_number_voids_the_metrics(tmp_path: Path) -> None:
    rows = [*ROWS, ("eel", "png", [math.nan, 0.5, 0.5])]
    evaluation = analyse(tmp_path, rows, has_baseline=False)
    results = analysis.results(evaluation, analysis.CANDIDATE)
    whole = results[0][1]
    assert math.isnan(whole["accuracy"])
    assert math.isnan(whole["recall/cat"])
    assert whole["invalid_predictions"] == 1
    jpeg = next(numbers for where, numbers in results if where == {"format": "jpeg"})
    assert jpeg["accuracy"] == pytest.approx(2 / 3)  # no such row among them
    only = analysis.confusion(evaluation, analysis.CANDIDATE, {"format": "png", "label": "eel"})
    assert only == [[0, 0, 0]] * 3


def test_a_model_of_other_labels_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="gives 3 numbers as probabilities, expected 2 for 2 labels"):
        analyse(tmp_path, ROWS, has_baseline=False, labels=["cat", "dog"])


def test_batches_are_bounded_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[float, float | None]] = []
    progress.listen(lambda task, done, total, note: told.append((done, total)))
    progress.start(analysis.TASK)
    try:
        batch = pa.RecordBatch.from_arrays([pa.array(range(70))], ["n"])
        parts = list(analysis._bounded({tfma.ARROW_RECORD_BATCH_KEY: batch, "kept": 1}, 70))
    finally:
        progress.listen(None)
    rows = [part[tfma.ARROW_RECORD_BATCH_KEY].column(0).to_pylist() for part in parts]
    assert [len(r) for r in rows] == [24, 24, 22]
    assert [n for r in rows for n in r] == list(range(70))
    assert all(part["kept"] == 1 for part in parts)
    assert told == [(24, 70), (48, 70), (70, 70)]


@pytest.mark.parametrize("call", [lambda f, x: f(x), lambda f, x: f(examples=x)], ids=["position", "keyword"])
def test_signatures_answer_either_way_of_calling(tmp_path: Path, call: Callable) -> None:
    echo = _Echo(backwards=False)
    tf.saved_model.save(echo, str(tmp_path), signatures={signatures.EVALUATE: echo.evaluate})
    signature = analysis._Model(str(tmp_path), None).signatures[signatures.EVALUATE]
    answer = call(signature, tf.constant([example("cat", "png", [0.25, 0.5, 0.25])]))
    assert answer[signatures.PROBABILITIES].numpy().tolist() == [[0.25, 0.5, 0.25]]


class _Dense(tf.Module):
    """One dense layer over the floats that stand in place of the image."""

    def __init__(self, features_of_one: int) -> None:
        super().__init__()
        weights = np.random.default_rng(1).normal(size=(features_of_one, 3))
        self.weights = tf.Variable(weights.astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(examples, {features.IMAGE: tf.io.FixedLenFeature([], tf.string)})
        logits = tf.io.decode_raw(parsed[features.IMAGE], tf.float32) @ self.weights
        return {signatures.PROBABILITIES: tf.nn.softmax(logits)}


def test_answers_are_the_same_to_the_bit_whatever_the_batch(tmp_path: Path) -> None:
    """A Beam engine divides the examples as it likes."""
    dense = _Dense(1024)
    tf.saved_model.save(dense, str(tmp_path), signatures={signatures.EVALUATE: dense.evaluate})
    signature = analysis._Model(str(tmp_path), None).signatures[signatures.EVALUATE]
    rows = [example("cat", "png", row.tolist()) for row in np.random.default_rng(0).normal(size=(45, 1024))]

    def answers(size: int) -> np.ndarray:
        parts = [rows[i : i + size] for i in range(0, len(rows), size)]
        return np.concatenate([signature(tf.constant(part))[signatures.PROBABILITIES].numpy() for part in parts])

    assert len(answers(45)) == 45
    assert [int((answers(size) != answers(45)).sum()) for size in (1, 2, 7, 32)] == [0, 0, 0, 0]
