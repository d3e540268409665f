"""When training stops, what it keeps of its epochs, and how the weights and the rate change from step to step."""

import math
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.base.errors import ImagegateError
from components.model.fitting.callbacks import Stopping
from components.model.fitting.phases import Phases


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
