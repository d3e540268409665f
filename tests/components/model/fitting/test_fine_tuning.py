"""A pretrained backbone: its schedule, the average of its weights, and that its training goes on after a kill."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from prepared import Prepared, exported, history, learn
from tfx.components.trainer.fn_args_utils import FnArgs

from components.base import progress
from components.base.artifact_files import DECISIONS_FILE
from components.data import features
from components.model.fitting import training

LABELS = ["dark", "light"]
TOLD = {
    "freeze_epochs": 2,
    "epochs": 3,
    "learning_rate": 0.1,
    "label_weights": "none",
    "batch_size": 8,
    "augment": True,
}


@pytest.fixture(scope="module")
def tuned(dark_and_light: Prepared, backbone: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of the head and of everything."""
    folder = tmp_path_factory.mktemp("tuned")
    training.run_fn(dark_and_light.arguments(folder, backbone=backbone, **TOLD))
    return folder


def fallen(progress: float) -> float:
    """To 0.01 along half a cosine."""
    return 0.99 * (1 + math.cos(math.pi * progress)) / 2 + 0.01


def test_the_head_learns_first_and_then_everything_each_with_the_whole_schedule(tuned: Path) -> None:
    told = history(tuned)
    # Three batches have the 18 images: the head's rate rises over the first, and falls over 5 more. An epoch of
    # everything goes through them 11 times, in 25 batches: the rate rises over 12, and falls over 63 more.
    assert [e["learning_rate"] for e in told["head"]] == pytest.approx([0.1 * fallen(n / 5) for n in (2, 5)])
    assert [e["learning_rate"] for e in told["all"]] == pytest.approx([0.1 * fallen(n / 63) for n in (13, 38, 63)])
    assert told["all"][0]["loss"] < told["head"][0]["loss"]
    # A new BatchNormalization has the moving mean 0 and variance 1, and keeps them; its beta and gamma learn.
    vectors = [value.tolist() for value in exported(tuned).values() if value.shape == (4,)]
    assert vectors.count([0.0] * 4) == 1
    assert vectors.count([1.0] * 4) == 1


def test_the_averaged_weights_of_a_fine_tuned_backbone_are_exported_with_the_decisions(
    dark_and_light: Prepared, tuned: Path
) -> None:
    losses = [epoch["val_loss"] for epoch in history(tuned)["all"]]
    assert min(losses) < min(epoch["val_loss"] for epoch in history(tuned)["head"])
    records = dark_and_light.records("eval")
    answer = tf.saved_model.load(str(tuned / "serving")).signatures["evaluate"](examples=tf.constant(records))
    found = [tf.train.Example.FromString(r).features.feature[features.LABEL].bytes_list.value[0] for r in records]
    p = answer["uncalibrated"].numpy()[range(8), [LABELS.index(name.decode()) for name in found]]
    assert -np.log(p).mean() == pytest.approx(min(losses), rel=1e-3)
    decided = json.loads((tuned / "serving" / "assets.extra" / DECISIONS_FILE).read_text())
    assert list(decided["labels"]) == LABELS
    assert all(0 < label["threshold"] < 1 and label["scale"] > 0 for label in decided["labels"].values())
    assert (decided["abstain_below"], decided["reference_images"]) == (0.01, 18)


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
            learn(arguments)
        except _Stop:
            return True
    return False


# Each of two epochs replaces its weights and then its history: 4 moments of the head; then the same before the first
# epoch of everything and after each of three: 8 more. Between the weights of an epoch and its history is the hardest.
@pytest.mark.parametrize("moment", [pytest.param(n, marks=[] if n == 10 else [pytest.mark.slow]) for n in range(1, 13)])
def test_whenever_an_averaging_training_is_killed_it_ends_with_the_same_weights(
    dark_and_light: Prepared, tmp_path: Path, backbone: str, tuned: Path, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Order of the images, augmentation, dropout, the optimizer's moments and the average of the weights go on."""
    arguments = dark_and_light.arguments(tmp_path, backbone=backbone, **TOLD)
    assert stopped(arguments, monkeypatch, moment)
    begun: list[str] = []
    progress.listen(lambda task, *_: begun.append(task))
    try:
        training.run_fn(arguments)
    finally:
        progress.listen(None)
    assert history(tmp_path) == history(tuned)
    weights = exported(tuned)
    for name, value in exported(tmp_path).items():
        np.testing.assert_array_equal(value, weights[name], err_msg=name)
    if moment > 6:  # everything has begun, so the head is not learnt again
        assert "training" in begun
        assert "training the head" not in begun


def test_the_best_of_three_trainings_are_averaged_also_after_a_kill_in_the_second(
    dark_and_light: Prepared, tmp_path: Path, backbone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each training replaces four files, its begin's and its epoch's; the third of the second is the seventh."""
    told = {"backbone": backbone, "freeze_epochs": None, "recipe": "best", "epochs": 1, "learning_rate": 0.05}
    whole = learn(dark_and_light.arguments(tmp_path / "whole", **told))
    arguments = dark_and_light.arguments(tmp_path / "killed", **told)
    assert stopped(arguments, monkeypatch, 7)
    resumed = learn(arguments)
    assert resumed.history == whole.history
    runs = [epochs for phase, epochs in whole.history.items() if phase.startswith("all")]
    assert [len(epochs) for epochs in runs] == [1, 1, 1]
    assert len({epochs[0]["loss"] for epochs in runs}) == 3  # each has an order of its own
    chosen = whole.chosen
    assert chosen is not None
    assert chosen.loss is not None
    assert chosen.runs == 3
    assert chosen.loss <= min(epochs[0]["val_tempered_loss"] for epochs in runs)
    for one, other in zip(resumed.parts.model.get_weights(), whole.parts.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
