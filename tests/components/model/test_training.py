"""Training: what it learns from and exports, that it repeats itself, and that it goes on after a kill."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from prepared import UNCALIBRATED, Prepared, exported, history, learn
from tfx.components.trainer.fn_args_utils import FnArgs

from components.base import checkpoint, progress
from components.base.artifact_files import CHECKPOINT, LABEL_WEIGHTS
from components.base.checkpoint import Checkpoint
from components.base.errors import ImagegateError
from components.data import features
from components.ingest import manifest
from components.labels import kinds, priors
from components.model.fitting import training
from components.model.fitting.given import Given
from components.model.settings import TrainerSettings

ROOT = Path(__file__).parents[3]
LABELS = ["dark", "light"]


# What it learns from.


def test_a_changed_shard_is_not_trained_on(dark_and_light: Prepared, tmp_path: Path) -> None:
    path = next(p for p in sorted(dark_and_light.examples.glob("Split-train/*")) if p.stat().st_size)
    before = path.read_bytes()
    path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    try:
        with pytest.raises(ImagegateError, match="changed after it was written"):
            training.run_fn(dark_and_light.arguments(tmp_path))
    finally:
        path.write_bytes(before)


def test_a_learning_rate_far_too_high_stops_training_with_that_sentence(
    dark_and_light: Prepared, tmp_path: Path
) -> None:
    with pytest.raises(ImagegateError, match=r"training: the loss.* is (nan|inf) after"):
        training.run_fn(dark_and_light.arguments(tmp_path, learning_rate=1e30, epochs=20))
    assert not (tmp_path / "serving").exists()


# The whole of it.


def test_training_learns_and_exports_the_best_epoch(dark_and_light: Prepared, tmp_path: Path) -> None:
    told: list[str] = []
    progress.listen(lambda task, done, *_: told.append(f"{task} {done:g}") if done in (1, 3) else None, told.append)
    try:
        training.run_fn(dark_and_light.arguments(tmp_path, epochs=30, learning_rate=1e-2, decisions=UNCALIBRATED))
    finally:
        progress.listen(None)
    # Memory comes first, and the duration before the first epoch is over: of its four steps the first compiles, and the
    # others tell the pace. A slow step is told as well as its epoch.
    memory, duration = (one for one in told if "about" in one)
    assert told[0] == memory
    assert re.fullmatch(r"training: about 0\.\d GiB more memory", memory)
    assert re.fullmatch(r"training: about \d+ (seconds|minutes) for 30 epochs, fewer if it stops early", duration)
    assert list(dict.fromkeys(told[told.index(duration) + 1 :])) == ["training 1", "training 3"]
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
    records = dark_and_light.records("eval")
    answer = signature(examples=tf.constant(records))
    found = [tf.train.Example.FromString(r).features.feature[features.LABEL].bytes_list.value[0] for r in records]
    truth = [LABELS.index(name.decode()) for name in found]
    entropy = -np.log(answer["probabilities"].numpy()[range(8), truth])
    # The eval split's weights are those of train: 9/12 for dark, 9/6 for light; a batch has 5, the last the other 3.
    weight = np.array([9 / 12, 9 / 6])[truth]
    batches = [np.average(entropy[part], weights=weight[part]) for part in (slice(5), slice(5, 8))]
    assert np.average(batches, weights=[5, 3]) == pytest.approx(min(losses), rel=1e-3, abs=1e-6)
    assert not any((tmp_path / "checkpoints").iterdir())


# Without label weights and calibration, so that only a retrained head differs.
PLAIN = {"seed": 7, "augment": True, "epochs": 2, "label_weights": None, "imbalance": "none"}
PLAIN |= {"decisions": {"calibrate": False, "abstain_below": None}}


@pytest.fixture(scope="module")
def plain(dark_and_light: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    training.run_fn(dark_and_light.arguments(folder, **PLAIN))
    return folder


def test_the_same_seed_gives_the_same_weights(dark_and_light: Prepared, tmp_path: Path, plain: Path) -> None:
    training.run_fn(dark_and_light.arguments(tmp_path, **PLAIN))
    a, b = exported(plain), exported(tmp_path)
    assert sorted(a) == sorted(b)
    assert sum(value.size for value in a.values()) > 1000
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name], err_msg=name)
    assert history(plain) == history(tmp_path)


def test_a_retrained_head_is_all_that_differs(dark_and_light: Prepared, tmp_path: Path, plain: Path) -> None:
    """The backbone is the one that was trained without any method, and the head is solved on it."""
    training.run_fn(dark_and_light.arguments(tmp_path, **PLAIN | {"imbalance": "retrained_head"}))
    before, retrained = exported(plain), exported(tmp_path)
    changed = [value.shape for name, value in before.items() if not np.array_equal(value, retrained[name])]
    [width] = {shape[0] for shape in changed if len(shape) == 2}
    assert sorted(changed) == [(2,), (width, 2)]
    chosen = checkpoint.read(str(tmp_path / "run"))
    assert chosen is not None
    assert chosen.sentence().endswith("Then the head was solved again.")
    losses = [step["loss"] for step in history(tmp_path)["retrained"]]
    assert sorted(losses, reverse=True) == losses  # a weaker term fits train better


@pytest.mark.parametrize(
    ("weights", "phases"), [("module", {"path", "all"}), pytest.param(None, {"all"}, marks=pytest.mark.slow)]
)
def test_the_documented_network_of_the_users_own_is_trained_and_exported(
    dark_and_light: Prepared, tmp_path: Path, weights: str | None, phases: set[str]
) -> None:
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "own-model.md").read_text(), re.DOTALL)
    (tmp_path / "my_model.py").write_text(code)
    told = {"module": str(tmp_path / "my_model.py"), "weights": weights, "freeze_epochs": None, "epochs": 2}
    training.run_fn(dark_and_light.arguments(tmp_path, **told))
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


@pytest.fixture(scope="module")
def solved(dark_and_light: Prepared, backbone: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder of a training that only solves the head, without label weights; and what it told that it did."""
    folder, told = tmp_path_factory.mktemp("solved"), list[str]()
    progress.listen(lambda task, *_: told.append(task))
    try:
        training.run_fn(dark_and_light.arguments(folder / "none", **solving(folder, backbone)))
    finally:
        progress.listen(None)
    return folder, told


def solving(folder: Path, backbone: str) -> dict[str, Any]:
    features_of = {"backbone": backbone, "features": str(folder / "features")}
    return features_of | {"freeze_epochs": None, "epochs": 0, "label_weights": None, "imbalance": "none"}


def test_a_solved_head_is_that_of_the_stored_features(
    dark_and_light: Prepared, tmp_path: Path, backbone: str, solved: tuple[Path, list[str]]
) -> None:
    """The second run computes no feature, and its model is the same; 8 eval images are too few to decide."""
    folder, computed = solved
    assert "features of train" in computed
    again: list[str] = []
    progress.listen(lambda task, *_: again.append(task))
    try:
        training.run_fn(dark_and_light.arguments(tmp_path, **solving(folder, backbone)))
    finally:
        progress.listen(None)
    assert "features of train" not in again
    first, second = exported(folder / "none"), exported(tmp_path)
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value)
    found = history(folder / "none")
    assert (found["head"], found["all"]) == ([], [])
    strengths = [step["strength"] for step in found["path"]]
    assert strengths == sorted(strengths, reverse=True)
    record = json.loads((folder / "none" / "run" / CHECKPOINT).read_text())
    assert (record["solved"], record["split"]) == (True, "train")
    assert record["loss"] == min(step["val_loss"] for step in found["path"])
    records = dark_and_light.records("train")
    answer = tf.saved_model.load(str(folder / "none/serving")).signatures["evaluate"](examples=tf.constant(records))
    names = [tf.train.Example.FromString(r).features.feature[features.LABEL].bytes_list.value[0] for r in records]
    right = answer["uncalibrated"].numpy().argmax(axis=1) == [LABELS.index(name.decode()) for name in names]
    assert right.mean() > 0.9


def test_an_adjusted_head_answers_as_if_all_labels_were_as_common(
    dark_and_light: Prepared, backbone: str, solved: tuple[Path, list[str]]
) -> None:
    """Its odds are those of the plain head, divided by those of the shares in train."""
    folder, _ = solved
    told = solving(folder, backbone) | {"imbalance": "logit_adjustment"}
    training.run_fn(dark_and_light.arguments(folder / "logit_adjustment", **told))
    answers = {}
    for method in ("none", "logit_adjustment"):
        served = tf.saved_model.load(str(folder / method / "serving")).signatures["evaluate"]
        answers[method] = served(examples=tf.constant(dark_and_light.records("train")))["uncalibrated"].numpy()
        weights = json.loads((folder / method / "run" / LABEL_WEIGHTS).read_text())
        assert set(weights.values()) == {1.0}
    shares = np.array(priors.shares(manifest.read(str(dark_and_light.examples))))
    assert shares.tolist() == [12 / 18, 6 / 18]
    odds = {method: np.log(answer[:, 0] / answer[:, 1]) for method, answer in answers.items()}
    np.testing.assert_allclose(odds["logit_adjustment"] + np.log(12 / 6), odds["none"], atol=1e-3)


def test_everything_begins_with_the_solved_head(dark_and_light: Prepared, tmp_path: Path, backbone: str) -> None:
    """At a rate of almost 0, everything is as good as the solved head; a head that knows nothing has a loss of 0.69."""
    told = {"backbone": backbone, "freeze_epochs": None, "epochs": 1, "learning_rate": 1e-12}
    found = learn(dark_and_light.arguments(tmp_path, **told)).history
    assert len(found["all"]) == 1
    assert found["all"][0]["val_loss"] < 0.1


def test_with_no_epochs_of_everything_the_backbone_stays_as_it_was(
    dark_and_light: Prepared, tmp_path: Path, backbone: str
) -> None:
    learnt = learn(dark_and_light.arguments(tmp_path, backbone=backbone, freeze_epochs=2, epochs=0))
    assert [len(learnt.history[phase]) for phase in ("head", "all")] == [2, 0]
    kernel = keras.saving.load_model(backbone).layers[2].kernel.numpy()
    assert any(np.array_equal(value, kernel) for value in learnt.parts.extractor.get_weights())


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


def test_a_killed_training_resumes_where_it_was(dark_and_light: Prepared, tmp_path: Path) -> None:
    arguments = dark_and_light.arguments(tmp_path, epochs=5)
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


def test_other_settings_do_not_resume_a_killed_training(dark_and_light: Prepared, tmp_path: Path) -> None:
    """What a killed training left is for the same data, settings, weights and code alone."""
    arguments = dark_and_light.arguments(tmp_path, epochs=2)
    settings = TrainerSettings.model_validate(arguments.custom_config)
    kind = kinds.kind("single_label")
    given = Given(str(dark_and_light.examples), str(dark_and_light.transform), "", kind, ["dark", "light"], None)
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
