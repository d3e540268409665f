"""Keras callbacks of training: early stopping that survives a kill, and progress."""

from __future__ import annotations

import io
import json
import math
import os
import time
from collections.abc import Mapping
from typing import Any

import keras

from components.base import progress
from components.base.artifact_files import TRAINING_HISTORY
from components.base.errors import ImagegateError
from components.base.files import replacing, write_atomically

SELECTION_METRIC = "tempered_loss"  # on the eval split, it decides which epoch is the best
_PATIENCE = 5  # epochs without a better loss on the eval split before training stops
_REPORT_SECONDS = 0.1  # between two reports of progress


class Stopping(keras.callbacks.Callback):
    """Stops early and on NaN, keeps the best weights, and resumes after a kill.

    Keras has a callback for each of these. Restoring a backup resets them, however, so after a restart they would take
    a worse epoch for the best, and a backup that a kill truncated would stop every later run.

    Attributes:
        history: metrics of every finished epoch, including those of a killed run.
        start: loss on the eval split before the first epoch, if `set_start` was called.
    """

    _BEST, _LATEST, _START = "best.weights.h5", "latest.weights.h5", "start.json"

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder
        self.start: float | None = self._read(self._START)
        self.history: list[dict[str, float]] = self._read(TRAINING_HISTORY) or []

    def set_start(self, loss: float) -> None:
        """Makes the current weights, with this loss on the eval split, the best so far."""
        self._save(self._BEST)
        self.start = loss
        self._write(self._START, loss)

    def exhausted(self) -> bool:
        """Reports whether too many epochs have passed without a better loss."""
        return self._epochs_since_best() >= _PATIENCE

    def on_train_begin(self, logs: Any = None) -> None:
        """Resumes a killed run."""
        if self.history:
            # The weights file contains the optimizer's state, which can only be loaded once its variables exist.
            self.model.optimizer.build(self.model.trainable_variables)
            self.model.load_weights(self._path(self._LATEST))

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Stops at once if the loss is not finite, because it cannot recover."""
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise ImagegateError(
                f"training: the loss is {loss} after {len(self.history)} epochs and {batch + 1} steps; "
                "lower training.learning_rate, or turn training.mixed_precision off"
            )

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Compares the epoch with the best one, and writes a backup."""
        numbers = {k: float(v) for k, v in (logs or {}).items()}
        if not math.isfinite(numbers["val_loss"]):
            raise ImagegateError(
                f"training: the loss on the eval split is {numbers['val_loss']} after epoch {epoch + 1}; "
                "lower training.learning_rate, or turn training.mixed_precision off"
            )
        rate = self.model.optimizer.learning_rate
        self.history.append(numbers | {"learning_rate": float(rate)})
        if self._epochs_since_best() == 0:
            self._save(self._BEST)
        self.model.stop_training = self.exhausted()
        self._save(self._LATEST)
        # The history comes last: a run that is killed before this line repeats the epoch.
        self._write(TRAINING_HISTORY, self.history)

    def restore_best(self) -> None:
        """Loads the weights of the best epoch."""
        self.model.load_weights(self._path(self._BEST))

    def _epochs_since_best(self) -> int:
        """Counts the epochs since the best one, which is the first of equal ones."""
        losses = [] if self.start is None else [self.start]
        losses += [epoch[f"val_{SELECTION_METRIC}"] for epoch in self.history]
        return len(losses) - 1 - losses.index(min(losses)) if losses else 0

    def _save(self, name: str) -> None:
        with replacing(self._path(name)) as temporary:
            save_weights(self.model, temporary)

    def _write(self, name: str, value: Any) -> None:
        write_atomically(self._path(name), json.dumps(value))

    def _read(self, name: str) -> Any:
        if not os.path.isfile(self._path(name)):
            return None
        with open(self._path(name), encoding="utf-8") as f:
            return json.load(f)

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)


def save_weights(model: keras.Model, path: str) -> None:
    """Writes the weights as Keras does, but by way of memory: HDF5 crashes the process where a disk is full or broken.

    Args:
        model: any model.
        path: of the file.

    Raises:
        OSError: the file cannot be written; it names the file.
    """
    memory = _Memory()
    model.save_weights(memory)
    with open(path, "wb") as f:
        try:
            f.write(memory.getbuffer())
            f.flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from None


class _Memory(io.BytesIO):
    def __str__(self) -> str:
        return "memory.weights.h5"  # Keras insists on a name with this ending


class Progress(keras.callbacks.Callback):
    """Reports epochs, steps and the latest metrics of the eval split."""

    def __init__(self, task: str, epochs: int) -> None:
        super().__init__()
        self._task, self._epochs, self._epoch, self._note, self._last = task, epochs, 0, "", 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if time.monotonic() - self._last > _REPORT_SECONDS:
            self._last = time.monotonic()
            steps = self.params.get("steps") or batch + 1
            done = self._epoch + min(1.0, (batch + 1) / steps)
            progress.report(self._task, done, self._epochs, f"step {batch + 1}{self._note}")

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        shown = {
            name.removeprefix("val_").replace("_", " "): value
            for name, value in (logs or {}).items()
            if name.startswith("val_") and not name.endswith(SELECTION_METRIC)
        }
        self._note = ", eval " + ", ".join(f"{name} {value:.3f}" for name, value in shown.items())
        progress.report(self._task, epoch + 1, self._epochs, f"epoch {epoch + 1}{self._note}")
