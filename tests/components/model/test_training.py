"""Training: when it stops, that it goes on after a kill, that it repeats itself, and what it learns from."""

import json
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from prepared import Prepared, prepare
from tfx.components.trainer.fn_args_utils import FnArgs

from components.base import checkpoint, progress
from components.base.artifact_files import CHECKPOINT, DECISIONS_FILE, LABEL_WEIGHTS, TRAINING_HISTORY
from components.base.checkpoint import Checkpoint
from components.base.errors import ImagegateError
from components.data import features
from components.data.dataset import Dataset, Record
from components.data.mask_rules import rule
from components.ingest import manifest
from components.ingest.layouts import folders
from components.labels import kinds, priors
from components.labels.learning.pixels import decode_mask
from components.model.fitting import training
from components.model.fitting.callbacks import Stopping
from components.model.fitting.given import Given
from components.model.fitting.phases import Phases
from components.model.networks import network
from components.model.settings import TrainerSettings

ROOT = Path(__file__).parents[3]
LABELS = ["dark", "light"]
COUNTS = {"train": (12, 6), "eval": (4, 4), "test": (2, 2)}  # images of dark, of light


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
    write_images(base / "images")
    dataset = folders.read(str(base / "images"), {"train": 0.8, "eval": 0.1, "test": 0.1})
    return prepare(base, "single_label", dataset)


def history(folder: Path) -> dict[str, list[dict[str, float]]]:
    return json.loads((folder / "run" / TRAINING_HISTORY).read_text())


# What it learns from.


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


def stopping(folder: Path) -> Stopping:
    """The callback on a model of one weight, which a test can tell the epochs by."""
    folder.mkdir(exist_ok=True)
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    network.compile(optimizer=keras.optimizers.SGD(1.0), loss="mse")
    callback = Stopping(str(folder))
    callback.set_model(network)
    callback.on_train_begin()
    return callback


def feed(callback: Stopping, losses: list[float], start: int = 0) -> list[bool]:
    """Whether it stops after each epoch with such a loss on eval; the weight is the epoch's number."""
    seen = []
    for epoch, loss in enumerate(losses, start):
        callback.model.set_weights([np.full((1, 1), epoch, np.float32)])
        callback.on_epoch_end(epoch, {"loss": 1.0, "val_loss": loss, "val_tempered_loss": loss})
        seen.append(bool(callback.model.stop_training))
    return seen


def test_the_initial_weights_stay_when_no_epoch_is_better(tmp_path: Path) -> None:
    callback = stopping(tmp_path)
    callback.model.set_weights([np.full((1, 1), 77, np.float32)])
    callback.set_start(1.0, 1.0)
    assert feed(callback, [1.1, 1.0, 1.2, 1.3, 1.4])[-1]  # five epochs, none below 1.0: enough
    callback.restore_best()
    assert callback.model.get_weights()[0] == 77
    chosen = callback.choice("all", 20)
    assert (chosen.epoch, chosen.epochs, chosen.loss, chosen.last) == (0, 5, 1.0, 1.4)
    assert chosen.sentence() == (
        "The weights are those from before training all layers, which no epoch of 5 improved (20 were allowed). Of "
        "all, they had the least tempered loss on the eval split: 1; it was 1.4 after the last epoch."
    )
    assert Stopping(str(tmp_path)).start == 1.0  # after a kill, too


def test_an_epoch_better_than_the_beginning_is_the_best(tmp_path: Path) -> None:
    callback = stopping(tmp_path)
    callback.set_start(1.0, 1.0)
    feed(callback, [1.1, 0.9, 1.2])
    callback.restore_best()
    assert callback.model.get_weights()[0] == 1  # the number of the second epoch
    chosen = callback.choice("head", 3)
    assert (chosen.phase, chosen.epoch, chosen.epochs, chosen.allowed) == ("head", 2, 3, 3)
    assert (chosen.measure, chosen.split, chosen.loss, chosen.last) == ("tempered_loss", "eval", 0.9, 1.2)


def test_where_the_best_temperature_leaves_no_loss_the_loss_itself_decides(tmp_path: Path) -> None:
    """All answers are right after every epoch: the second is the least tempered, the third the best by its loss."""
    callback = stopping(tmp_path)
    for epoch, (tempered, loss) in enumerate([(1e-5, 0.3), (0.0, 0.2), (1e-7, 0.1)]):
        callback.on_epoch_end(epoch, {"loss": 1.0, "val_loss": loss, "val_tempered_loss": tempered})
    chosen = callback.choice("all", 3)
    assert (chosen.epoch, chosen.loss) == (3, 1e-7)


def test_five_epochs_without_a_better_loss_stop(tmp_path: Path) -> None:
    assert feed(stopping(tmp_path), [3, 2, 2, 2.5, 2.1, 9, 2]) == [False] * 6 + [True]


def test_a_better_loss_starts_the_count_again(tmp_path: Path) -> None:
    callback = stopping(tmp_path)
    assert not any(feed(callback, [3, 4, 4, 4, 4, 2.9, 3, 3, 3, 3, 2.8]))
    assert [epoch["val_loss"] for epoch in callback.history] == [3, 4, 4, 4, 4, 2.9, 3, 3, 3, 3, 2.8]


def test_the_best_epoch_s_weights_come_back(tmp_path: Path) -> None:
    callback = stopping(tmp_path)
    feed(callback, [3, 1, 2, 1, 5])  # the second of two equal losses is no better
    callback.restore_best()
    assert callback.model.get_weights()[0].item() == 1


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 6])
def test_a_restart_gives_the_same_weights(tmp_path: Path, cut: int) -> None:
    losses = [3, 2, 4, 4, 4, 4, 4]
    whole = feed(stopping(tmp_path / "whole"), losses)
    feed(stopping(tmp_path / "cut"), losses[:cut])
    restarted = stopping(tmp_path / "cut")
    assert restarted.model.get_weights()[0].item() == cut - 1  # the last epoch's
    assert feed(restarted, losses[cut:], start=cut) == whole[cut:]
    assert [epoch["val_loss"] for epoch in restarted.history] == losses
    restarted.restore_best()
    assert restarted.model.get_weights()[0].item() == 1
    assert restarted.exhausted()


def test_files_that_a_kill_cut_short_are_not_read(tmp_path: Path) -> None:
    feed(stopping(tmp_path), [3, 2])
    for name in (".new.2.weights.h5", ".new.3.weights.h5", ".new.history.json"):
        (tmp_path / name).write_bytes(b"half")
    restarted = stopping(tmp_path)
    assert feed(restarted, [1], start=2) == [False]
    assert [epoch["val_loss"] for epoch in restarted.history] == [3, 2, 1]


@pytest.mark.parametrize("name", ["1.weights.h5", "2.weights.h5", "history.json"])
def test_what_a_failing_disk_damaged_is_not_read_and_training_begins_anew(tmp_path: Path, name: str) -> None:
    """The first of the two epochs is the best, the second the latest."""
    feed(stopping(tmp_path), [2, 3])
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-1])
    assert stopping(tmp_path).history == []


def test_only_the_best_and_the_latest_weights_take_room(tmp_path: Path) -> None:
    feed(stopping(tmp_path), [3, 1, 2, 2, 2])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2.weights.h5", "5.weights.h5", "history.json"]


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_loss_of_nan_stops_training_with_a_sentence(tmp_path: Path, wrong: float) -> None:
    callback = stopping(tmp_path)
    with pytest.raises(ImagegateError, match=rf"the loss is {wrong} after 0 epochs and 8 steps; lower training\.learn"):
        callback.on_train_batch_end(7, {"loss": wrong})
    with pytest.raises(ImagegateError, match=rf"the loss on the eval split is {wrong} after epoch 3; lower"):
        feed(callback, [wrong], start=2)


def test_a_learning_rate_far_too_high_stops_training_with_that_sentence(prepared: Prepared, tmp_path: Path) -> None:
    with pytest.raises(ImagegateError, match=r"training: the loss.* is (nan|inf) after"):
        training.run_fn(prepared.arguments(tmp_path, learning_rate=1e30, epochs=20))
    assert not (tmp_path / "serving").exists()


# The average of the weights.


def phases(folder: Path, *, average: bool) -> Phases:
    told = {"learning_rate": 0.1, "strategy": tf.distribute.get_strategy(), "jit": False, "average": average}
    return Phases(str(folder), str(folder), loss=lambda: None, metrics=list, **told)


@pytest.mark.parametrize(("steps", "momentum"), [(1, 0.9), (10, 0.9), (50, 0.98)])
def test_weights_are_averaged_over_an_epoch_and_at_least_ten_steps(tmp_path: Path, steps: int, momentum: float) -> None:
    optimizer = phases(tmp_path, average=True).optimizer(steps, 3)
    assert optimizer.use_ema
    assert optimizer.ema_momentum == pytest.approx(momentum)
    assert not phases(tmp_path, average=False).optimizer(steps, 3).use_ema


def test_after_every_epoch_the_average_takes_the_weights_place(tmp_path: Path) -> None:
    """Two steps an epoch: in between the weight goes its own way, w = 0.9 · average + 0.1 · weight at the end."""
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    optimizer = phases(tmp_path, average=True).optimizer(2, 3)
    network.compile(optimizer=optimizer, loss="mse")
    seen: list[tuple[float, float]] = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            [average] = optimizer._model_variables_moving_average
            seen.append((network.get_weights()[0].item(), np.asarray(average).item()))

    data = tf.data.Dataset.from_tensor_slices((np.ones((2, 1)), np.full((2, 1), 5.0))).batch(1)
    network.fit(data, epochs=3, verbose=0, callbacks=[Look()])
    assert [weight == average for weight, average in seen[1:]] == [True, False, True, False, True]


def test_the_rate_rises_over_half_an_epoch_and_falls_along_half_a_cosine(tmp_path: Path) -> None:
    """8 steps an epoch, 3 epochs: 4 up, 20 down."""
    optimizer, rates = phases(tmp_path, average=False).optimizer(8, 3), []
    for step in (0, 2, 4, 14, 24, 100):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    # From a tenth of 0.1 to all of it; half way down (0.99 · 1/2 + 0.01) of it, and a hundredth at the end.
    assert rates == pytest.approx([0.01, 0.055, 0.1, 0.1 * 0.505, 0.001, 0.001])


# The whole of it.

UNCALIBRATED = {"calibrate": False, "threshold": "f1", "abstain_below": 0.01}  # for logits as training's loss saw them


def test_training_learns_and_exports_the_best_epoch(prepared: Prepared, tmp_path: Path) -> None:
    training.run_fn(prepared.arguments(tmp_path, epochs=30, learning_rate=1e-2, decisions=UNCALIBRATED))
    epochs = history(tmp_path)["all"]
    losses = [epoch["val_loss"] for epoch in epochs]
    assert min(losses) < 0.05
    best = losses.index(min(losses))
    assert best == len(losses) - 6 or len(losses) == 30  # five more, then enough
    assert checkpoint.read(str(tmp_path / "run")) == Checkpoint(
        measure="tempered_loss",
        phase="all",
        epoch=best + 1,
        epochs=len(epochs),
        allowed=30,
        loss=epochs[best]["val_tempered_loss"],
        last=epochs[-1]["val_tempered_loss"],
    )
    signature = tf.saved_model.load(str(tmp_path / "serving")).signatures["examples"]
    records = prepared.records("eval")
    answer = signature(examples=tf.constant(records))
    found = [tf.train.Example.FromString(r).features.feature[features.LABEL].bytes_list.value[0] for r in records]
    truth = [LABELS.index(name.decode()) for name in found]
    entropy = -np.log(answer["probabilities"].numpy()[range(8), truth])
    # The eval split's weights are those of train: 9/12 for dark, 9/6 for light; a batch has 5, the last the other 3.
    weight = np.array([9 / 12, 9 / 6])[truth]
    batches = [np.average(entropy[part], weights=weight[part]) for part in (slice(5), slice(5, 8))]
    assert np.average(batches, weights=[5, 3]) == pytest.approx(min(losses), rel=1e-3, abs=1e-6)
    assert not any((tmp_path / "checkpoints").iterdir())


def test_memory_and_duration_are_told_first(prepared: Prepared, tmp_path: Path) -> None:
    """18 images are 4 steps, and the duration is that of 3 epochs by what the later steps of the first took."""
    told: list[str] = []
    progress.listen(lambda task, done, *_: told.append(f"{task} {done:g}") if done in (1, 3) else None, told.append)
    try:
        training.run_fn(prepared.arguments(tmp_path, epochs=3))
    finally:
        progress.listen(None)
    assert re.fullmatch(r"training: about 0\.\d GiB more memory", told[0])
    assert re.fullmatch(r"training: about \d+ seconds for 3 epochs, fewer if it stops early", told[1])
    assert told[2:4] == ["training 1", "training 3"]


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


def test_the_head_learns_first_and_then_everything_each_with_the_whole_schedule(
    prepared: Prepared, tmp_path: Path, backbone: str
) -> None:
    training.run_fn(prepared.arguments(tmp_path, backbone=backbone, freeze_epochs=3, epochs=6, learning_rate=0.1))
    told = history(tmp_path)
    # 18 images are 4 batches, 2 of which the rate rises; the head has 10 more, everything 22.
    assert [e["learning_rate"] for e in told["head"]] == pytest.approx([0.1 * fallen(n / 10) for n in (2, 6, 10)])
    assert [e["learning_rate"] for e in told["all"]] == pytest.approx(
        [0.1 * fallen(n / 22) for n in (2, 6, 10, 14, 18, 22)]
    )
    assert told["all"][0]["loss"] < told["head"][0]["loss"]
    # A new BatchNormalization has the moving mean 0 and variance 1, and keeps them; its beta and gamma learn.
    vectors = [value.tolist() for value in exported(tmp_path).values() if value.shape == (4,)]
    assert vectors.count([0.0] * 4) == 1
    assert vectors.count([1.0] * 4) == 1


def fallen(progress: float) -> float:
    """To 0.01 along half a cosine."""
    return 0.99 * (1 + math.cos(math.pi * progress)) / 2 + 0.01


def test_the_averaged_weights_of_a_fine_tuned_backbone_are_exported_with_the_decisions(
    prepared: Prepared, tmp_path: Path, backbone: str
) -> None:
    told = {"freeze_epochs": 1, "epochs": 4, "learning_rate": 0.1, "label_weights": "none", "batch_size": 8}
    training.run_fn(prepared.arguments(tmp_path, backbone=backbone, **told))
    losses = [epoch["val_loss"] for epoch in history(tmp_path)["all"]]
    assert min(losses) < min(epoch["val_loss"] for epoch in history(tmp_path)["head"])
    records = prepared.records("eval")
    answer = tf.saved_model.load(str(tmp_path / "serving")).signatures["evaluate"](examples=tf.constant(records))
    found = [tf.train.Example.FromString(r).features.feature[features.LABEL].bytes_list.value[0] for r in records]
    p = answer["uncalibrated"].numpy()[range(8), [LABELS.index(name.decode()) for name in found]]
    assert -np.log(p).mean() == pytest.approx(min(losses), rel=1e-3)
    decided = json.loads((tmp_path / "serving" / "assets.extra" / DECISIONS_FILE).read_text())
    assert list(decided["labels"]) == LABELS
    assert all(0 < label["threshold"] < 1 and label["scale"] > 0 for label in decided["labels"].values())
    assert (decided["abstain_below"], decided["reference_images"]) == (0.01, 18)


@pytest.mark.parametrize(
    ("weights", "phases"), [("module", {"path", "all"}), pytest.param(None, {"all"}, marks=pytest.mark.slow)]
)
def test_the_documented_network_of_the_users_own_is_trained_and_exported(
    prepared: Prepared, tmp_path: Path, weights: str | None, phases: set[str]
) -> None:
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "own-model.md").read_text(), re.DOTALL)
    (tmp_path / "my_model.py").write_text(code)
    told = {"module": str(tmp_path / "my_model.py"), "weights": weights, "freeze_epochs": None, "epochs": 2}
    training.run_fn(prepared.arguments(tmp_path, **told))
    assert {phase for phase, epochs in history(tmp_path).items() if epochs} == phases
    # The export needs neither the file nor its classes.
    (tmp_path / "my_model.py").unlink()
    ask = "import sys, tensorflow as tf\n"
    ask += "model = tf.saved_model.load(sys.argv[1]).signatures['serving_default']\n"
    ask += "image = tf.io.encode_png(tf.fill((8, 8, 3), tf.constant(200, tf.uint8)))\n"
    ask += "print(model(image_bytes=image[None])['probabilities'].numpy().sum().round(4))"
    command = [sys.executable, "-c", ask, str(tmp_path / "serving")]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout.split()[-1] == "1.0"


def test_a_solved_head_is_that_of_the_stored_features(prepared: Prepared, tmp_path: Path, backbone: str) -> None:
    """The second run computes no feature, and its model is the same; 8 eval images are too few to decide."""
    computed: list[str] = []
    progress.listen(lambda task, *_: computed.append(task))
    told = {"backbone": backbone, "freeze_epochs": None, "epochs": 0, "features": str(tmp_path / "features")}
    try:
        for name in ("a", "b"):
            computed.clear()
            training.run_fn(prepared.arguments(tmp_path / name, **told))
            assert ("features of train" in computed) == (name == "a")
    finally:
        progress.listen(None)
    first, second = exported(tmp_path / "a"), exported(tmp_path / "b")
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value)
    found = history(tmp_path / "a")
    assert (found["head"], found["all"]) == ([], [])
    strengths = [step["strength"] for step in found["path"]]
    assert strengths == sorted(strengths, reverse=True)
    record = json.loads((tmp_path / "a" / "run" / CHECKPOINT).read_text())
    assert (record["solved"], record["split"]) == (True, "train")
    assert record["loss"] == min(step["val_loss"] for step in found["path"])
    records = prepared.records("train")
    answer = tf.saved_model.load(str(tmp_path / "a/serving")).signatures["evaluate"](examples=tf.constant(records))
    names = [tf.train.Example.FromString(r).features.feature[features.LABEL].bytes_list.value[0] for r in records]
    right = answer["uncalibrated"].numpy().argmax(axis=1) == [LABELS.index(name.decode()) for name in names]
    assert right.mean() > 0.9


def test_an_adjusted_head_answers_as_if_all_labels_were_as_common(
    prepared: Prepared, tmp_path: Path, backbone: str
) -> None:
    """Its odds are those of the plain head, divided by those of the shares in train."""
    told = {"backbone": backbone, "freeze_epochs": None, "epochs": 0, "label_weights": None}
    answers = {}
    for method in ("none", "logit_adjustment"):
        training.run_fn(prepared.arguments(tmp_path / method, imbalance=method, **told))
        served = tf.saved_model.load(str(tmp_path / method / "serving")).signatures["evaluate"]
        answers[method] = served(examples=tf.constant(prepared.records("train")))["uncalibrated"].numpy()
        weights = json.loads((tmp_path / method / "run" / LABEL_WEIGHTS).read_text())
        assert set(weights.values()) == {1.0}
    shares = np.array(priors.shares(manifest.read(str(prepared.examples))))
    assert shares.tolist() == [12 / 18, 6 / 18]
    odds = {method: np.log(answer[:, 0] / answer[:, 1]) for method, answer in answers.items()}
    np.testing.assert_allclose(odds["logit_adjustment"] + np.log(12 / 6), odds["none"], atol=1e-3)


def test_a_retrained_head_is_all_that_differs(prepared: Prepared, tmp_path: Path) -> None:
    """The backbone is the one that was trained without any method, and the head is solved on it."""
    for method in ("none", "retrained_head"):
        told = {"label_weights": None, "imbalance": method, "decisions": {"calibrate": False, "abstain_below": None}}
        training.run_fn(prepared.arguments(tmp_path / method, **told))
    plain, retrained = exported(tmp_path / "none"), exported(tmp_path / "retrained_head")
    changed = [value.shape for name, value in plain.items() if not np.array_equal(value, retrained[name])]
    [width] = {shape[0] for shape in changed if len(shape) == 2}
    assert sorted(changed) == [(2,), (width, 2)]
    chosen = checkpoint.read(str(tmp_path / "retrained_head" / "run"))
    assert chosen is not None
    assert chosen.sentence().endswith("Then the head was solved again.")
    losses = [step["loss"] for step in history(tmp_path / "retrained_head")["retrained"]]
    assert sorted(losses, reverse=True) == losses  # a weaker term fits train better


def test_everything_begins_with_the_solved_head(prepared: Prepared, tmp_path: Path, backbone: str) -> None:
    """At a rate of almost 0, everything is as good as the solved head; a head that knows nothing has a loss of 0.69."""
    told = {"backbone": backbone, "freeze_epochs": None, "epochs": 1, "learning_rate": 1e-12}
    training.run_fn(prepared.arguments(tmp_path, **told))
    found = history(tmp_path)
    assert len(found["all"]) == 1
    assert found["all"][0]["val_loss"] < 0.1


def test_with_no_epochs_of_everything_the_backbone_stays_as_it_was(
    prepared: Prepared, tmp_path: Path, backbone: str
) -> None:
    training.run_fn(prepared.arguments(tmp_path, backbone=backbone, freeze_epochs=2, epochs=0))
    assert [len(history(tmp_path)[phase]) for phase in ("head", "all")] == [2, 0]
    kernel = keras.saving.load_model(backbone).layers[2].kernel.numpy()
    assert any(np.array_equal(value, kernel) for value in exported(tmp_path).values())


# What each task has of its own.


def last_loss(folder: Path) -> float:
    """The best epoch's on the eval split, whose weights are exported."""
    return min(epoch["val_loss"] for epoch in history(folder)["all"])


def test_one_sigmoid_unit_decides_between_two_names(prepared: Prepared, tmp_path: Path) -> None:
    training.run_fn(
        prepared.arguments(
            tmp_path, positive="dark", epochs=30, learning_rate=1e-2, batch_size=8, decisions=UNCALIBRATED
        )
    )
    # A single unit, not two of which one is thrown away.
    shapes = [value.shape for value in exported(tmp_path).values()]
    assert sorted(shape for shape in shapes if shape[-1:] in ((1,), (2,))) == [(1,), (32, 1)]
    records = prepared.records("eval")
    answer = tf.saved_model.load(str(tmp_path / "serving")).signatures["examples"](examples=tf.constant(records))
    z = answer["logits"].numpy()[:, 0].astype(np.float64)
    np.testing.assert_array_equal(answer["logits"].numpy()[:, 1], 0)
    np.testing.assert_allclose(
        answer["probabilities"], np.stack([1 / (1 + np.exp(-z)), 1 / (1 + np.exp(z))], 1), rtol=1e-5
    )
    assert answer["labels"].numpy()[0].tolist() == [b"dark", b"light"]
    found = [tf.train.Example.FromString(r).features.feature[features.LABEL].bytes_list.value[0] for r in records]
    is_dark = np.array(found) == b"dark"
    np.testing.assert_array_equal(z > 0, is_dark)
    # Binary cross-entropy with the weights 3/4 for dark and 3/2 for light.
    entropy = np.log1p(np.exp(np.where(is_dark, -z, z)))
    assert np.average(entropy, weights=np.where(is_dark, 3 / 4, 3 / 2)) == pytest.approx(
        last_loss(tmp_path), rel=1e-3, abs=1e-6
    )


def test_the_configured_focal_loss_is_used(prepared: Prepared, tmp_path: Path) -> None:
    told = {"label_weights": "none", "batch_size": 8, "decisions": UNCALIBRATED}
    training.run_fn(prepared.arguments(tmp_path, loss="focal", **told))
    records = prepared.records("eval")
    answer = tf.saved_model.load(str(tmp_path / "serving")).signatures["examples"](examples=tf.constant(records))
    found = [tf.train.Example.FromString(r).features.feature[features.LABEL].bytes_list.value[0] for r in records]
    p = answer["probabilities"].numpy().astype(np.float64)[range(8), [LABELS.index(name.decode()) for name in found]]
    assert last_loss(tmp_path) == pytest.approx(np.mean((1 - p) ** 2 * -np.log(p)), rel=1e-4)


@pytest.fixture(scope="module")
def multi(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Red, green and blue: what of them is bright; blue is unknown of every third, and the weights are 1, 2, 3."""
    base, names = tmp_path_factory.mktemp("multi"), ("red", "green", "blue")
    random, records = np.random.default_rng(0), []
    for split, count in (("train", 24), ("eval", 8), ("test", 2)):
        (base / split).mkdir()
        for i in range(count):
            bright = [bool(i & 1), bool(i & 2), bool(i & 4)]
            Image.fromarray((random.integers(0, 60, (8, 8, 3)) + 150 * np.array(bright)).astype(np.uint8)).save(
                base / split / f"{i}.png"
            )
            unknown = ("blue",) if i % 3 == 0 else ()
            applies = tuple(n for n, b in zip(names, bright, strict=True) if b and n not in unknown)
            told = {"unknown": unknown, "weight": 1.0 + i % 3}
            records.append(Record(f"{split}/{i}.png", applies, split, 1, "", **told))
    return prepare(base, "multi_label", Dataset(str(base), names, tuple(records), {}))


def test_several_labels_are_learnt_from_their_known_entries(multi: Prepared, tmp_path: Path) -> None:
    told = {"label_weights": {"red": 2.0, "blue": 0.5}, "decisions": UNCALIBRATED}
    training.run_fn(multi.arguments(tmp_path, epochs=30, learning_rate=1e-2, batch_size=8, **told))
    loaded = tf.saved_model.load(str(tmp_path / "serving"))
    answer = loaded.signatures["examples"](examples=tf.constant(multi.records("eval")))
    z = answer["logits"].numpy().astype(np.float64)
    total = weights = 0.0
    for logits, record in zip(z, multi.records("eval"), strict=True):
        feature = tf.train.Example.FromString(record).features.feature
        for i, name in enumerate([b"red", b"green", b"blue"]):
            if name in feature[features.UNKNOWN].bytes_list.value:
                continue
            applies = name in feature[features.LABEL].bytes_list.value
            assert (logits[i] > 0) == applies
            weight = feature[features.WEIGHT].float_list.value[0] * ([2.0, 1.0, 0.5][i] if applies else 1)
            total += weight * np.log1p(np.exp(-logits[i] if applies else logits[i]))
            weights += weight
    # 1, 2 and 3 take turns: of eight images 1+2+3+1+2+3+1+2 = 15, three times; without blue of images 0, 3, 6.
    # Applies: red of 1, 3, 5, 7 twice, blue of 4, 5, 7 half: + (2+1+3+2) - (2+3+2) / 2.
    assert weights == 15 * 3 - 3 + 8 - 3.5
    assert total / weights == pytest.approx(last_loss(tmp_path), rel=1e-3, abs=1e-6)
    told_of_it = history(tmp_path)["all"][-1]
    assert {"val_binary_accuracy", "val_cosine_similarity"} <= told_of_it.keys()


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """A bright half on dark ground, in one of four places; a row between them is ignored."""
    base, records = tmp_path_factory.mktemp("masks"), []
    random, meaning = np.random.default_rng(0), rule(["ground", "thing"], ignore=7)
    for split, count in (("train", 16), ("eval", 4), ("test", 4)):
        (base / split).mkdir()
        for i in range(count):
            ids = np.zeros((8, 8), np.uint8)
            ids[:3], ids[3] = 1, 7
            ids = np.rot90(ids, i % 4)
            pixels = random.integers(0, 60, (8, 8, 3)) + 150 * (ids == 1)[..., np.newaxis]
            Image.fromarray(pixels.astype(np.uint8)).save(base / split / f"{i}.png")
            Image.fromarray(np.ascontiguousarray(ids)).save(base / split / f"{i}-mask.png")
            told = {"mask": f"{split}/{i}-mask.png", "weight": 1.0 + i}
            records.append(Record(f"{split}/{i}.png", (), split, 1, "", **told))
    return prepare(base, "segmentation", Dataset(str(base), meaning.labels, tuple(records), {}), meaning)


def test_masks_are_learnt_without_their_ignored_pixels(masks: Prepared, tmp_path: Path) -> None:
    training.run_fn(masks.arguments(tmp_path, epochs=30, learning_rate=1e-2, batch_size=4))
    loaded = tf.saved_model.load(str(tmp_path / "serving"))
    records = masks.records("eval")
    found = loaded.signatures["evaluate"](examples=tf.constant(records))["confusion"].numpy()
    # Of 8 x 8 pixels 3 x 8 are thing, 8 ignored, 32 ground.
    assert found.sum(axis=2).tolist() == [[32, 24]] * 4
    assert np.trace(found.sum(axis=0)) / found.sum() > 0.9
    kind = kinds.kind(masks.task)
    parts = network.build("small", weights=None, image_size=(8, 8), classes=2, augment=False, seed=1, kind=kind)
    saved = str(tmp_path / "serving" / "variables" / "variables")
    tf.train.Checkpoint(extractor=parts.extractor, head=parts.head).restore(saved).expect_partial()
    # Frequencies 32/56 and 24/56, median 28/56; and the images' weights 1 to 4.
    weights, total, divisor = [28 / 32, 28 / 24], 0.0, 0.0
    for record, confusion in zip(records, found, strict=True):
        feature = tf.train.Example.FromString(record).features.feature
        ids = decode_mask(tf.constant(feature[features.MASK].bytes_list.value[0]), (8, 8)).numpy()
        pixels = tf.io.decode_png(feature[features.IMAGE].bytes_list.value[0])[tf.newaxis]
        logits = parts.model(pixels, training=False).numpy()[0].astype(np.float64)
        said = logits.argmax(axis=-1)[ids == 1]
        np.testing.assert_array_equal(np.bincount(said, minlength=2), confusion[1])  # or it is another network
        entropy = np.log(np.exp(logits).sum(axis=-1)) - np.where(ids == 1, logits[..., 1], logits[..., 0])
        own = feature[features.WEIGHT].float_list.value[0] * np.where(ids == 1, weights[1], weights[0])
        total += (own * entropy)[ids != features.IGNORED_ID].sum()
        divisor += own[ids != features.IGNORED_ID].sum()
    assert divisor == pytest.approx((1 + 2 + 3 + 4) * 56)
    assert total / divisor == pytest.approx(last_loss(tmp_path), rel=1e-3, abs=1e-6)
    assert history(tmp_path)["all"][-1]["val_mean_iou"] > 0.8


def test_a_decoder_learns_first_while_the_backbone_stays_as_it_was(
    masks: Prepared, tmp_path: Path, backbone: str
) -> None:
    training.run_fn(masks.arguments(tmp_path, backbone=backbone, freeze_epochs=2, epochs=0, augment=True))
    assert [len(history(tmp_path)[phase]) for phase in ("head", "all")] == [2, 0]
    kernel = keras.saving.load_model(backbone).layers[2].kernel.numpy()
    assert any(np.array_equal(value, kernel) for value in exported(tmp_path).values())
    training.run_fn(masks.arguments(tmp_path / "b", backbone=backbone, freeze_epochs=1, epochs=1, augment=True))
    assert not any(np.array_equal(value, kernel) for value in exported(tmp_path / "b").values())


def test_training_on_masks_with_the_same_seed_gives_the_same_weights(masks: Prepared, tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        training.run_fn(masks.arguments(tmp_path / name, seed=seed, augment=True, epochs=2))
    assert history(tmp_path / "a") == history(tmp_path / "b") != history(tmp_path / "c")


# After a kill.

KILLED = """
import json, os, signal, sys
from tfx.components.trainer.fn_args_utils import FnArgs
from components.base import progress
from components.model.fitting import training

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


def test_a_killed_training_resumes_where_it_was(prepared: Prepared, tmp_path: Path) -> None:
    arguments = prepared.arguments(tmp_path, epochs=5)
    assert killed(arguments, "training") == -signal.SIGKILL
    assert not (tmp_path / "serving").exists()
    [left] = (tmp_path / "checkpoints").glob("*/all/history.json")
    before = json.loads(left.read_text())["epochs"]
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


def stopped(arguments: FnArgs, monkeypatch: pytest.MonkeyPatch, moment: int) -> bool:
    """Trains, but stops as it replaces a file for the `moment`-th time; returns whether it came so far."""
    replaced: list[str] = []

    def replace(source: str, target: str) -> None:
        replaced.append(target)
        if len(replaced) == moment:
            raise _Stop
        rename(source, target)

    rename = os.replace
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        try:
            training.run_fn(arguments)
        except _Stop:
            return True
    return False


# Each of three epochs replaces its weights and then its history: 6 moments of the head; then the same before the first
# epoch of everything and after each of two: 6 more. Between the weights of an epoch and its history is the hardest.
@pytest.mark.parametrize("moment", [pytest.param(n, marks=[] if n == 12 else [pytest.mark.slow]) for n in range(1, 13)])
def test_whenever_an_averaging_training_is_killed_it_ends_with_the_same_weights(
    prepared: Prepared, tmp_path: Path, backbone: str, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Order of the images, augmentation, dropout, the optimizer's moments and the average of the weights go on."""
    told = {"backbone": backbone, "freeze_epochs": 3, "epochs": 2, "learning_rate": 0.05, "augment": True}
    training.run_fn(prepared.arguments(tmp_path / "whole", **told))
    arguments = prepared.arguments(tmp_path / "killed", **told)
    assert stopped(arguments, monkeypatch, moment)
    training.run_fn(arguments)
    assert history(tmp_path / "killed") == history(tmp_path / "whole")
    weights = exported(tmp_path / "whole")
    for name, value in exported(tmp_path / "killed").items():
        np.testing.assert_array_equal(value, weights[name], err_msg=name)


def test_the_best_of_three_trainings_are_averaged_also_after_a_kill_in_the_second(
    prepared: Prepared, tmp_path: Path, backbone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each training replaces four files, its begin's and its epoch's; the third of the second is the seventh."""
    told = {"backbone": backbone, "freeze_epochs": None, "recipe": "best", "epochs": 1, "learning_rate": 0.05}
    training.run_fn(prepared.arguments(tmp_path / "whole", **told))
    arguments = prepared.arguments(tmp_path / "killed", **told)
    assert stopped(arguments, monkeypatch, 7)
    training.run_fn(arguments)
    found = history(tmp_path / "whole")
    assert history(tmp_path / "killed") == found
    runs = [epochs for phase, epochs in found.items() if phase.startswith("all")]
    assert [len(epochs) for epochs in runs] == [1, 1, 1]
    assert len({epochs[0]["loss"] for epochs in runs}) == 3  # each has an order of its own
    chosen = checkpoint.read(str(tmp_path / "whole" / "run"))
    assert chosen is not None
    assert chosen.loss is not None
    assert chosen.runs == 3
    assert chosen.loss <= min(epochs[0]["val_tempered_loss"] for epochs in runs)
    weights = exported(tmp_path / "whole")
    for name, value in exported(tmp_path / "killed").items():
        np.testing.assert_array_equal(value, weights[name], err_msg=name)


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


def test_other_settings_do_not_resume_a_killed_training(prepared: Prepared, tmp_path: Path) -> None:
    """What a killed training left is for the same data, settings, weights and code alone."""
    arguments = prepared.arguments(tmp_path, epochs=2)
    settings = TrainerSettings.model_validate(arguments.custom_config)
    kind = kinds.kind("single_label")
    given = Given(str(prepared.examples), str(prepared.transform), "", kind, ["dark", "light"], None)
    names = {training._job_name(given, settings, [1.0, 1.0])}
    for changed in (
        {"seed": 2},
        {"image_size": [8, 9]},
        {"code_fingerprint": "x"},
        {"label_weights": {"dark": 2.0}},
        {"loss": "focal"},
        {"loss": "focal", "focal": {"alpha": 0.3}},
        {"decisions": UNCALIBRATED},
    ):
        told = TrainerSettings.model_validate(arguments.custom_config | changed)
        names.add(training._job_name(given, told, [1.0, 1.0]))
    names.add(training._job_name(given, settings, [1.0, 2.0]))
    assert len(names) == 9
    moved = TrainerSettings.model_validate(arguments.custom_config | {"checkpoints": "elsewhere"})
    assert training._job_name(given, moved, [1.0, 1.0]) in names
