"""Training: when it stops, that it goes on after a kill, that it repeats itself, and what it learns from."""

import json
import math
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from PIL import Image
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils
from tfx.components.trainer.fn_args_utils import FnArgs

from components import features, preprocessing, progress, schema, shards, training
from components.errors import ImagegateError
from components.labels import weights
from components.layouts import folders

ROOT = Path(__file__).parents[2]
RUNNER = "apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner"
LABELS = ["dark", "light"]
COUNTS = {"train": (12, 6), "eval": (4, 4), "test": (2, 2)}  # images of dark, of light
SETTINGS = {
    "backbone": "small",
    "weights": None,
    "image_size": [8, 8],
    "freeze_epochs": 0,
    "epochs": 3,
    "batch_size": 5,
    "learning_rate": 1e-3,
    "label_weights": "median_frequency",
    "augment": False,
    "mixed_precision": "auto",
    "seed": 1,
    "code_fingerprint": "",
}


@dataclass(frozen=True)
class Prepared:
    """The folders that the stages before the Trainer leave."""

    examples: Path
    schema: Path
    transform: Path

    def arguments(self, folder: Path, **changed: object) -> FnArgs:
        config = SETTINGS | {"checkpoints": str(folder / "checkpoints")} | changed
        (folder / "run").mkdir(parents=True, exist_ok=True)
        return FnArgs(
            train_files=[str(self.examples / "Split-train" / "*")],
            transform_output=str(self.transform),
            schema_path=str(self.schema / schema.FILE),
            model_run_dir=str(folder / "run"),
            serving_model_dir=str(folder / "serving"),
            custom_config=config,
        )


def write_images(root: Path) -> None:
    random = np.random.default_rng(0)
    for split, counts in COUNTS.items():
        for label, low, count in zip(LABELS, (0, 150), counts, strict=True):
            (root / split / label).mkdir(parents=True)
            for i in range(count):
                pixels = random.integers(low, low + 100, (8, 8, 3), np.uint8)
                Image.fromarray(pixels).save(root / split / label / f"{i}.png")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    base = tmp_path_factory.mktemp("prepared")
    found = Prepared(base / "examples", base / "schema", base / "transform")
    write_images(base / "images")
    dataset = folders.read(str(base / "images"), {"train": 0.8, "eval": 0.1, "test": 0.1})
    plan, job = shards.plan(dataset.records), shards.job(dataset, 10_000)
    reports = [shards.write(str(found.examples), i, len(plan), r, job, lambda _: None) for i, r in enumerate(plan)]
    shards.write_manifest(str(found.examples), shards.merge(dataset, reports))
    schema.write(str(found.schema), schema.curated("single_label", LABELS))
    write_transform(found)
    return found


def write_transform(prepared: Prepared) -> None:
    """What TFX's Transform does with `preprocessing_fn`."""
    metadata = dataset_metadata.DatasetMetadata(schema.read(str(prepared.schema)))
    records = tf.data.TFRecordDataset([str(p) for p in prepared.examples.glob("Split-train/*")])
    spec = schema_utils.schema_as_feature_spec(metadata.schema).feature_spec
    parsed = [tf.io.parse_single_example(r, spec) for r in records]
    rows = [{name: value.numpy() for name, value in row.items()} for row in parsed]
    with beam.Pipeline(RUNNER) as pipeline, tft_beam.Context(temp_dir=str(prepared.transform / "temporary")):
        told = {"labels": LABELS}
        analyse = tft_beam.AnalyzeDataset(lambda inputs: preprocessing.preprocessing_fn(inputs, told))
        transform = (pipeline | beam.Create(rows), metadata) | analyse
        _ = transform | tft_beam.WriteTransformFn(str(prepared.transform))
        _ = metadata | tft_beam.WriteMetadata(str(prepared.transform / "metadata"), pipeline)


def history(folder: Path) -> dict[str, list[dict[str, float]]]:
    return json.loads((folder / "run" / training.HISTORY).read_text())


# What it learns from.


def batches(prepared: Prepared, **changed: object) -> training.Batches:
    settings = training.Settings.from_config(SETTINGS | {"checkpoints": ""} | changed)
    output = tft.TFTransformOutput(str(prepared.transform))
    return training.Batches(str(prepared.examples), output, LABELS, settings)


def test_an_epoch_has_every_image_once_with_its_label_and_weight(prepared: Prepared) -> None:
    data = list(batches(prepared).train())
    assert [len(x) for x, _, _ in data] == [5, 5, 5, 3]  # 18 images
    pixels, one_hot, weight = (np.concatenate(column) for column in zip(*data, strict=True))
    assert pixels.dtype == np.uint8
    assert pixels.shape == (18, 8, 8, 3)
    light = pixels.mean(axis=(1, 2, 3)) > 125
    np.testing.assert_array_equal(one_hot, np.stack([~light, light], axis=1))
    # Frequencies 12/18 and 6/18, median 9/18: weights 9/12 and 9/6.
    np.testing.assert_allclose(weight, np.where(light, 9 / 6, 9 / 12))
    np.testing.assert_allclose(weights.class_weights([12, 6]), [9 / 12, 9 / 6])
    assert len(np.unique(pixels.reshape(18, -1), axis=0)) == 18


@pytest.mark.parametrize(
    ("told", "expected"), [("none", [1, 1]), ({"light": 3.0}, [1, 3]), ({"dark": 0.0, "light": 2.5}, [0, 2.5])]
)
def test_configured_label_weights(prepared: Prepared, told: object, expected: list[float]) -> None:
    for _, one_hot, weight in batches(prepared, label_weights=told).eval():
        np.testing.assert_allclose(weight, one_hot.numpy() @ expected)


def test_train_is_shuffled_anew_each_epoch_and_the_same_for_the_same_seed(prepared: Prepared) -> None:
    def epochs(seed: int) -> list[np.ndarray]:
        train = batches(prepared, seed=seed).train()
        return [np.concatenate([x for x, _, _ in train]) for _ in range(2)]

    first, again, other = epochs(1), epochs(1), epochs(2)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], other[0])


def test_pooled_features_are_those_of_the_images(prepared: Prepared) -> None:
    data = batches(prepared)
    extractor = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()])
    _, evaluation = data.pooled(extractor)
    for (pooled, one_hot, weight), (pixels, *rest) in zip(evaluation, data.eval(), strict=True):
        np.testing.assert_allclose(pooled, pixels.numpy().mean(axis=(1, 2)), rtol=1e-5)
        np.testing.assert_array_equal(one_hot, rest[0])
        np.testing.assert_array_equal(weight, rest[1])


def test_a_changed_shard_is_not_trained_on(prepared: Prepared, tmp_path: Path) -> None:
    path = next(p for p in sorted(prepared.examples.glob("Split-train/*")) if p.stat().st_size)
    before = path.read_bytes()
    path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    try:
        with pytest.raises(ImagegateError, match="changed after it was written"):
            training.run_fn(prepared.arguments(tmp_path))
    finally:
        path.write_bytes(before)


# When it stops.


def stopping(folder: Path) -> training._Stopping:
    """The callback on a model of one weight, which a test can tell the epochs by."""
    folder.mkdir(exist_ok=True)
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    network.compile(optimizer=keras.optimizers.SGD(1.0), loss="mse")
    callback = training._Stopping(str(folder))
    callback.set_model(network)
    callback.on_train_begin()
    return callback


def feed(callback: training._Stopping, losses: list[float], start: int = 0) -> list[tuple[float, bool]]:
    """(learning rate, stop) after each epoch with such a loss on eval; the weight is the epoch's number."""
    seen = []
    for epoch, loss in enumerate(losses, start):
        callback.model.set_weights([np.full((1, 1), epoch, np.float32)])
        callback.on_epoch_end(epoch, {"loss": 1.0, "val_loss": loss, "val_accuracy": 0.5})
        seen.append((round(float(callback.model.optimizer.learning_rate), 6), bool(callback.model.stop_training)))
    return seen


def test_the_weights_it_began_with_stay_when_no_epoch_is_better(tmp_path: Path) -> None:
    callback = stopping(tmp_path)
    callback.model.set_weights([np.full((1, 1), 77, np.float32)])
    callback.begin(1.0)
    assert feed(callback, [1.1, 1.0, 1.2, 1.3, 1.4])[-1][1]  # five epochs, none below 1.0: enough
    callback.restore_best()
    assert callback.model.get_weights()[0] == 77
    assert training._Stopping(str(tmp_path)).start == 1.0  # after a kill, too


def test_an_epoch_better_than_the_beginning_is_the_best(tmp_path: Path) -> None:
    callback = stopping(tmp_path)
    callback.begin(1.0)
    feed(callback, [1.1, 0.9, 1.2])
    callback.restore_best()
    assert callback.model.get_weights()[0] == 1  # the number of the second epoch


def test_five_epochs_without_a_better_loss_stop_and_every_second_one_lowers_the_rate(tmp_path: Path) -> None:
    seen = feed(stopping(tmp_path), [3, 2, 2, 2.5, 2.1, 9, 2])
    assert seen == [(1, False), (1, False), (1, False), (0.3, False), (0.3, False), (0.09, False), (0.09, True)]


def test_a_better_loss_starts_the_count_again(tmp_path: Path) -> None:
    callback = stopping(tmp_path)
    seen = feed(callback, [3, 4, 4, 4, 4, 2.9, 3, 3, 3, 3, 2.8])
    assert not any(stop for _, stop in seen)
    assert [rate for rate, _ in seen] == pytest.approx(
        [1, 1, 0.3, 0.3, 0.09, 0.09, 0.09, 0.027, 0.027, 0.0081, 0.0081], rel=1e-3
    )
    assert [epoch["val_loss"] for epoch in callback.history] == [3, 4, 4, 4, 4, 2.9, 3, 3, 3, 3, 2.8]


def test_the_best_epoch_s_weights_come_back(tmp_path: Path) -> None:
    callback = stopping(tmp_path)
    feed(callback, [3, 1, 2, 1, 5])  # the second of two equal losses is no better
    callback.restore_best()
    assert callback.model.get_weights()[0].item() == 1


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 6])
def test_a_restart_changes_nothing(tmp_path: Path, cut: int) -> None:
    losses = [3, 2, 4, 4, 4, 4, 4]
    whole = feed(stopping(tmp_path / "whole"), losses)
    feed(stopping(tmp_path / "cut"), losses[:cut])
    restarted = stopping(tmp_path / "cut")
    assert restarted.model.get_weights()[0].item() == cut - 1  # the last epoch's
    assert feed(restarted, losses[cut:], start=cut) == whole[cut:]
    assert [epoch["val_loss"] for epoch in restarted.history] == losses
    restarted.restore_best()
    assert restarted.model.get_weights()[0].item() == 1
    assert restarted.enough()


def test_files_that_a_kill_cut_short_are_not_read(tmp_path: Path) -> None:
    feed(stopping(tmp_path), [3, 2])
    for name in ("new.weights.h5", "new.json"):
        (tmp_path / name).write_bytes(b"half")
    restarted = stopping(tmp_path)
    assert feed(restarted, [1], start=2) == [(1, False)]
    assert [epoch["val_loss"] for epoch in restarted.history] == [3, 2, 1]


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_with_a_sentence(tmp_path: Path, wrong: float) -> None:
    callback = stopping(tmp_path)
    with pytest.raises(ImagegateError, match=rf"the loss is {wrong} after 0 epochs and 8 steps; lower training\.learn"):
        callback.on_train_batch_end(7, {"loss": wrong})
    with pytest.raises(ImagegateError, match=rf"the loss on the eval split is {wrong} after epoch 3; lower"):
        feed(callback, [wrong], start=2)


def test_a_learning_rate_far_too_high_ends_in_that_sentence(prepared: Prepared, tmp_path: Path) -> None:
    with pytest.raises(ImagegateError, match=r"training: the loss.* is (nan|inf) after"):
        training.run_fn(prepared.arguments(tmp_path, learning_rate=1e30, epochs=20))
    assert not (tmp_path / "serving").exists()


# The whole of it.


def eval_records(prepared: Prepared) -> list[bytes]:
    paths = [str(p) for p in sorted(prepared.examples.glob("Split-eval/*"))]
    return [record.numpy() for record in tf.data.TFRecordDataset(paths)]


def test_it_learns_and_exports_the_best_epoch(prepared: Prepared, tmp_path: Path) -> None:
    training.run_fn(prepared.arguments(tmp_path, epochs=30, learning_rate=1e-2))
    losses = [epoch["val_loss"] for epoch in history(tmp_path)["all"]]
    assert min(losses) < 0.05
    assert losses.index(min(losses)) == len(losses) - 6 or len(losses) == 30  # five more, then enough
    signature = tf.saved_model.load(str(tmp_path / "serving")).signatures["examples"]
    records = eval_records(prepared)
    answer = signature(examples=tf.constant(records))
    found = [tf.train.Example.FromString(r).features.feature[features.LABEL].bytes_list.value[0] for r in records]
    truth = [LABELS.index(name.decode()) for name in found]
    entropy = -np.log(answer["probabilities"].numpy()[range(8), truth])
    # The eval split's weights are those of train: 9/12 for dark, 9/6 for light; a batch has 5, the last the other 3.
    weight = np.array([9 / 12, 9 / 6])[truth]
    batches = [np.average(entropy[part], weights=weight[part]) for part in (slice(5), slice(5, 8))]
    assert np.average(batches, weights=[5, 3]) == pytest.approx(min(losses), rel=1e-3, abs=1e-6)
    assert not any((tmp_path / "checkpoints").iterdir())


def exported(folder: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(folder / "serving/variables/variables"))
    found = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    return {name: value for name, value in found.items() if isinstance(value, np.ndarray)}


def test_the_same_seed_gives_the_same_weights(prepared: Prepared, tmp_path: Path) -> None:
    for name in "ab":
        training.run_fn(prepared.arguments(tmp_path / name, seed=7, augment=True, epochs=2))
    a, b = (exported(tmp_path / name) for name in "ab")
    assert sorted(a) == sorted(b)
    assert sum(value.size for value in a.values()) > 1000
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name], err_msg=name)
    assert history(tmp_path / "a") == history(tmp_path / "b")


@pytest.fixture
def backbone(tmp_path: Path) -> str:
    pixels = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(keras.layers.Rescaling(1 / 255)(pixels))
    path = str(tmp_path / "backbone.keras")
    keras.Model(pixels, keras.layers.BatchNormalization(name="norm")(x)).save(path)
    return path


def test_the_head_learns_first_and_then_everything_at_a_tenth_of_the_rate(
    prepared: Prepared, tmp_path: Path, backbone: str
) -> None:
    training.run_fn(prepared.arguments(tmp_path, backbone=backbone, freeze_epochs=3, epochs=2, learning_rate=0.1))
    told = history(tmp_path)
    assert [round(e["learning_rate"], 6) for e in told["head"]] == [0.1, 0.1, 0.1]
    assert [round(e["learning_rate"], 6) for e in told["all"]] == [0.01, 0.01]
    assert told["all"][0]["loss"] < told["head"][0]["loss"]
    # A new BatchNormalization has the moving mean 0 and variance 1, and keeps them; its beta and gamma learn.
    vectors = [value.tolist() for value in exported(tmp_path).values() if value.shape == (4,)]
    assert vectors.count([0.0] * 4) == 1
    assert vectors.count([1.0] * 4) == 1


def test_with_no_epochs_of_everything_the_backbone_stays_as_it_was(
    prepared: Prepared, tmp_path: Path, backbone: str
) -> None:
    training.run_fn(prepared.arguments(tmp_path, backbone=backbone, freeze_epochs=2, epochs=0))
    assert [len(history(tmp_path)[phase]) for phase in ("head", "all")] == [2, 0]
    kernel = keras.saving.load_model(backbone).layers[2].kernel.numpy()
    assert any(np.array_equal(value, kernel) for value in exported(tmp_path).values())


# After a kill.

KILLED = """
import json, os, signal, sys
from tfx.components.trainer.fn_args_utils import FnArgs
from components import progress, training

def listen(task, done, total, note):
    if (task, done) == (sys.argv[2], 2):
        os.kill(os.getpid(), signal.SIGKILL)

progress.listen(listen)
training.run_fn(FnArgs(**json.loads(sys.argv[1])))
"""


def killed(arguments: FnArgs, task: str) -> int:
    """Trains in another process, which kills itself after epoch 2 of `task`; returns its exit status."""
    told = {name: value for name, value in vars(arguments).items() if value is not None}
    command = [sys.executable, "-c", KILLED, json.dumps(told), task]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode


def test_a_killed_training_goes_on_where_it_was(prepared: Prepared, tmp_path: Path) -> None:
    arguments = prepared.arguments(tmp_path, epochs=5)
    assert killed(arguments, "training") == -signal.SIGKILL
    assert not (tmp_path / "serving").exists()
    [left] = (tmp_path / "checkpoints").glob("*/all/history.json")
    before = json.loads(left.read_text())
    assert len(before) == 2
    started: list[float] = []
    progress.listen(lambda task, done, total, note: started.append(done) if task == "training" else None)
    try:
        training.run_fn(arguments)
    finally:
        progress.listen(None)
    assert min(started) > 2  # epoch 3 is the first
    after = history(tmp_path)["all"]
    assert len(after) == 5
    assert after[:2] == before
    assert after[2]["loss"] < before[0]["loss"]
    assert not left.exists()


class _Stop(BaseException):
    """Stands in for a kill."""


def test_a_training_killed_after_its_head_does_not_learn_the_head_again(
    prepared: Prepared, tmp_path: Path, backbone: str
) -> None:
    told: list[str] = []

    def listen(task: str, done: float, total: float | None, note: str) -> None:
        told.append(task)
        if (task, done) == ("training", 1):
            raise _Stop

    arguments = prepared.arguments(tmp_path, backbone=backbone, freeze_epochs=2, epochs=2)
    progress.listen(listen)
    try:
        with pytest.raises(_Stop):
            training.run_fn(arguments)
        assert "training the head" in told
        told.clear()
        training.run_fn(arguments)
    finally:
        progress.listen(None)
    assert "training the head" not in told
    assert "features of train" not in told
    assert [len(history(tmp_path)[phase]) for phase in ("head", "all")] == [2, 2]


def test_other_settings_do_not_go_on_from_there(prepared: Prepared, tmp_path: Path) -> None:
    """What a killed training left is for the same data, settings and code alone."""
    arguments = prepared.arguments(tmp_path, epochs=2)
    settings = training.Settings.from_config(arguments.custom_config)
    names = {training._job_name(str(prepared.examples), settings)}
    for changed in ({"seed": 2}, {"image_size": [8, 9]}, {"code_fingerprint": "x"}, {"label_weights": {"dark": 2.0}}):
        told = training.Settings.from_config(arguments.custom_config | changed)
        names.add(training._job_name(str(prepared.examples), told))
    assert len(names) == 5
    moved = training.Settings.from_config(arguments.custom_config | {"checkpoints": "elsewhere"})
    assert training._job_name(str(prepared.examples), moved) in names
