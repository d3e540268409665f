"""Keras callbacks of training: early stopping that survives a kill, and progress."""

from __future__ import annotations

import io
import json
import math
import os
import time
from collections.abc import Mapping
from typing import Any, Literal

import keras

from components.base import digests, progress
from components.base.artifact_files import TRAINING_HISTORY
from components.base.checkpoint import Checkpoint
from components.base.errors import ImagegateError
from components.base.files import replacing, write_atomically

SELECTION_METRIC = "tempered_loss"  # on the eval split, it decides which epoch is the best
# Where all answers are right, the best temperature makes every loss vanish; then the loss itself decides.
_VANISHED = 1e-4
_PATIENCE = 5  # epochs without a better loss on the eval split before training stops
_WEIGHTS = ".weights.h5"  # the ending that Keras demands
_PACE_SECONDS = 3.0  # of steps, by which the duration of a phase is estimated
_MINUTE, _HOUR = 60, 3600
_REPORT_SECONDS = 0.1  # between two reports of progress


class Stopping(keras.callbacks.Callback):
    """Stops early and on NaN, keeps the best weights, and resumes after a kill.

    Keras has a callback for each of these. Restoring a backup resets them, however, so after a restart they would take
    a worse epoch for the best, and a backup that a kill truncated would stop every later run.

    The weights after n epochs are in a file of their own, and the history, which comes last, says which files count.
    So a run that is killed at any moment repeats its last epoch from the weights that it began with. Weights that are
    damaged are not used: the phase begins anew.

    Attributes:
        history: metrics of every finished epoch, including those of a killed run.
        start: measure on the eval split before the first epoch, if `set_start` was called.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder
        told = self._read()
        self.start: float | None = told.get("start")
        self._start_loss: float = told.get("start_loss", math.inf)
        self.history: list[dict[str, float]] = told.get("epochs", [])
        self._seeds: list[list[int]] = told.get("seeds", [])
        self._files: dict[str, str] = told.get("files", {})  # name -> digest

    def set_start(self, tempered: float, loss: float) -> None:
        """Makes the current weights, with this measure and this loss on the eval split, the best so far."""
        self.start, self._start_loss = tempered, loss
        self._write()

    def exhausted(self) -> bool:
        """Reports whether too many epochs have passed without a better loss."""
        return self._epochs_since_best() >= _PATIENCE

    def on_train_begin(self, logs: Any = None) -> None:
        """Resumes a killed run."""
        if self.history:
            # The weights file contains the optimizer's state, which can only be loaded once its variables exist.
            self.model.optimizer.build(self.model.trainable_variables)
            self.model.load_weights(self._path(_weights(len(self.history))))
            for state, value in zip(self._seed_states(), self._seeds, strict=True):
                state.assign(value)

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
        self.model.stop_training = self.exhausted()
        self._write()

    def restore_best(self) -> None:
        """Loads the weights of the best epoch."""
        self.model.load_weights(self._path(_weights(self._best())))

    def choice(self, phase: Literal["head", "all"], allowed: int) -> Checkpoint:
        """Tells which weights are the best, and why; `allowed`: largest number of epochs."""
        losses, best = [tempered for tempered, _ in self._losses()], self._best()
        return Checkpoint(
            split="eval",
            measure=SELECTION_METRIC,
            phase=phase,
            epoch=best,
            epochs=len(self.history),
            allowed=allowed,
            loss=losses[best - (self.start is None)] if losses else None,
            last=losses[-1] if losses else None,
        )

    def _losses(self) -> list[tuple[float, float]]:
        """The measure and the loss of the weights before the first epoch, if known, and after each epoch."""
        start = [] if self.start is None else [(self.start, self._start_loss)]
        return start + [(epoch[f"val_{SELECTION_METRIC}"], epoch["val_loss"]) for epoch in self.history]

    def _best(self) -> int:
        """The number of epochs after which the weights were the best; of equal ones, the first."""
        keys = [(max(tempered, _VANISHED), loss) for tempered, loss in self._losses()]
        return keys.index(min(keys)) + (self.start is None) if keys else 0

    def _epochs_since_best(self) -> int:
        return len(self.history) - self._best()

    def _seed_states(self) -> list[Any]:
        """The variables of random numbers, such as those of dropout; a file of weights lacks them."""
        return [variable for variable in self.model.variables if variable.name == "seed_generator_state"]

    def _write(self) -> None:
        """Writes the current weights, and then the history that counts them; removes weights that no longer count."""
        latest = _weights(len(self.history))
        with replacing(self._path(latest)) as temporary:
            save_weights(self.model, temporary)
        needed = {_weights(self._best()), latest}
        self._files[latest] = digests.of_file(self._path(latest))
        self._files = {name: digest for name, digest in self._files.items() if name in needed}
        self._seeds = [[int(n) for n in state.numpy()] for state in self._seed_states()]
        begun = {} if self.start is None else {"start_loss": self._start_loss}
        told = begun | {"start": self.start, "epochs": self.history, "seeds": self._seeds, "files": self._files}
        write_atomically(self._path(TRAINING_HISTORY), json.dumps(told))
        for name in os.listdir(self._folder):
            if name.endswith(_WEIGHTS) and name not in needed:
                os.unlink(self._path(name))

    def _read(self) -> dict[str, Any]:
        """What a killed run left; nothing if it is damaged."""
        try:
            with open(self._path(TRAINING_HISTORY), encoding="utf-8") as f:
                told: dict[str, Any] = json.load(f)
            intact = all(digests.of_file(self._path(name)) == digest for name, digest in told["files"].items())
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return told if intact else {}

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)


def _weights(epochs: int) -> str:
    return f"{epochs}{_WEIGHTS}"


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


class Averaged(keras.callbacks.Callback):
    """Replaces the weights by their average after the last step of each epoch, before they are evaluated."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Replaces them."""
        if batch + 1 == self.params.get("steps"):
            self.model.optimizer.finalize_variable_values(self.model.trainable_variables)


class Pace(keras.callbacks.Callback):
    """Tells, after the first steps, how long the epochs will take at most; the memory at the begin."""

    def __init__(self, task: str, epochs: int, memory: str) -> None:
        super().__init__()
        self._task, self._epochs, self._memory = task, epochs, memory
        self._begun: float | None = None
        self._steps = 0  # since then; an epoch may have a single one
        self._told = False

    def on_train_begin(self, logs: Any = None) -> None:
        """Tells the memory."""
        if self._memory:
            progress.announce(f"{self._task}: {self._memory}")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Measures the steps after the first, which compiles the network."""
        if self._told:
            return
        if self._begun is None:
            self._begun = time.monotonic()
            return
        self._steps += 1
        seconds, steps = time.monotonic() - self._begun, self.params.get("steps")
        if steps and (seconds >= _PACE_SECONDS or batch + 1 == steps):
            self._told = True
            whole = seconds / self._steps * steps * self._epochs
            progress.announce(f"{self._task}: {_duration(whole)} for {self._epochs} epochs, fewer if it stops early")


def _duration(seconds: float) -> str:
    """A rough duration in words.

    >>> _duration(7.2), _duration(95), _duration(600), _duration(9000)
    ('about 7 seconds', 'about 2 minutes', 'about 10 minutes', 'about 2.5 hours')
    """
    if seconds < _MINUTE:
        return f"about {max(1, round(seconds))} seconds"
    if seconds < _HOUR:
        return f"about {max(2, round(seconds / _MINUTE))} minutes"
    return f"about {seconds / _HOUR:.1f} hours"


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
