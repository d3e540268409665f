"""Training on several devices: TensorFlow's strategy for GPUs, over a processor that is divided into two devices."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from prepared import Prepared, prepare

from components.data.dataset import Dataset, Record
from components.data.mask_rules import rule

# Devices are divided before TensorFlow does anything, so in a process of its own.
_TRAIN = """
import json, sys
import tensorflow as tf
from components.labels import kinds
from components.labels.learning import softmax
from components.model.fitting import training
from components.model.fitting.given import Given
from components.model.settings import TrainerSettings

told = json.loads(sys.argv[1])
half = tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [half, half])
mirrored = tf.distribute.MirroredStrategy
tf.distribute.MirroredStrategy = lambda: mirrored(["CPU:0", "CPU:1"])  # in place of all GPUs
softmax.DROPOUT = 0.0  # each device would leave out others
settings = TrainerSettings.model_validate(told["settings"])
given = Given(told["examples"], told["transform"], told["logs"], kinds.kind(told["task"]), told["names"], None)
with training.prepared(settings):
    learnt = training.learn(given, settings, told["devices"])
weights = [weight.tolist() for weight in learnt.parts.model.get_weights()]
json.dump({"history": learnt.history["all"], "weights": weights}, open(told["out"], "w"))
"""
# Without batch normalisation, whose means differ between devices that see different images.
_NETWORK = """
import keras

def build(settings):
    image = keras.Input((*settings.image_size, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    return keras.Model(image, keras.layers.Flatten()(x))
"""


def trained(prepared: Prepared, names: list[str], folder: Path, devices: int, **told: Any) -> Any:
    folder.mkdir()
    config = {"epochs": 2, "batch_size": 4, "learning_rate": 0.01, "imbalance": "weights", "label_weights": None} | told
    given = {
        "settings": prepared.arguments(folder, **config).custom_config,
        "examples": str(prepared.examples),
        "transform": str(prepared.transform),
        "logs": str(folder / "logs"),
        "task": prepared.task,
        "names": names,
        "devices": devices,
        "out": str(folder / "learnt.json"),
    }
    # On some processors, oneDNN returns the result of a convolution of no images in the shape of its input; a GPU, for
    # which the processor stands in here, has no oneDNN.
    done = subprocess.run(
        [sys.executable, "-c", _TRAIN, json.dumps(given)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "learnt.json").read_text())


@pytest.fixture
def photos(tmp_path: Path) -> Prepared:
    """Eight images of train and four of eval, dark and light."""
    random, records = np.random.default_rng(0), []
    for split, count in (("train", 8), ("eval", 4), ("test", 1)):
        for i in range(count):
            light = i in (0, 3, 5)
            low = 120 * light
            Image.fromarray(random.integers(low, low + 130, (8, 8, 3), np.uint8)).save(tmp_path / f"{split}-{i}.png")
            records.append(Record(f"{split}-{i}.png", (("dark", "light")[light],), split, 1, ""))
    return prepare(tmp_path, "single_label", Dataset(str(tmp_path), ("dark", "light"), tuple(records), {}))


def test_two_devices_learn_what_one_learns(photos: Prepared, tmp_path: Path) -> None:
    (tmp_path / "network.py").write_text(_NETWORK)
    # All of train in one batch: its order, which differs between the two, does not matter then.
    told = {"module": str(tmp_path / "network.py"), "backbone": "small", "batch_size": 8, "epochs": 4}
    told["label_weights"] = {"dark": 1, "light": 10}  # whose sums differ between the devices
    one, two = (trained(photos, ["dark", "light"], tmp_path / str(n), n, **told) for n in (1, 2))
    for a, b in zip(one["weights"], two["weights"], strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)
    for a, b in zip(one["history"], two["history"], strict=True):
        assert a == pytest.approx(b, abs=2e-3)  # losses, accuracies, and the measure that chooses the weights


def test_the_best_of_several_runs_on_two_devices_are_averaged(photos: Prepared, tmp_path: Path) -> None:
    (tmp_path / "network.py").write_text(_NETWORK)
    told = {"module": str(tmp_path / "network.py"), "weights": "module", "recipe": "best", "epochs": 1}
    history = trained(photos, ["dark", "light"], tmp_path / "best", 2, **told)["history"]
    assert history
    assert all(np.isfinite(epoch["val_loss"]) for epoch in history)


def test_masks_are_trained_on_two_devices(tmp_path: Path) -> None:
    """With batches of 5, of which 4 can be shared, a last one of one image, and batch normalisation."""
    random, meaning, records = np.random.default_rng(0), rule(["ground", "thing"]), []
    for split, count in (("train", 9), ("eval", 5), ("test", 1)):
        for i in range(count):
            mask = np.zeros((8, 8), np.uint8)
            mask[:, i % 5 :] = 1
            pixels = np.where(mask[..., None] == 1, 180, 40) + random.integers(-20, 20, (8, 8, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{split}-{i}.png")
            Image.fromarray(mask).save(tmp_path / f"{split}-{i}-mask.png")
            records.append(Record(f"{split}-{i}.png", (), split, 1, "", mask=f"{split}-{i}-mask.png"))
    made = prepare(tmp_path, "segmentation", Dataset(str(tmp_path), meaning.labels, tuple(records), {}), meaning)
    history = trained(made, ["ground", "thing"], tmp_path / "two", 2, batch_size=5)["history"]
    assert len(history) == 2
    assert all(np.isfinite(epoch["val_loss"]) for epoch in history)
    assert history[1]["loss"] < history[0]["loss"]
