"""The Trainer's run_fn: shards -> batches -> head on cached features -> everything -> SavedModel."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf
import tensorflow_transform as tft

from components.base import progress
from components.base.artifact_files import TRAINING_HISTORY
from components.base.errors import ImagegateError
from components.base.files import replacing, write_atomically
from components.data import schema
from components.ingest import manifest
from components.labels import kinds
from components.labels.measures import TemperedLoss
from components.labels.weights import stated as stated_weights
from components.model import answers, decisions, signatures
from components.model import network as model
from components.model.batches import Batches

if TYPE_CHECKING:
    from tfx.components.trainer.fn_args_utils import FnArgs

_PATIENCE = 5  # epochs without a better loss on the eval split before training stops
_DECAY = 0.2  # of a pretrained backbone's weights at each step, times the rate
_JUDGED = "tempered_loss"  # on the eval split: which epoch is the best
_SHORTEST = 10  # steps to average weights over, at least
_FINE_TUNING = 0.3  # of the learning rate, once a pretrained backbone learns too


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the Trainer is told; plain values, from `custom_config`. Meanings as in pipeline.config.Training.

    `checkpoints` is a folder that outlives the run; a killed training goes on from there.
    """

    backbone: str
    weights: str | None
    image_size: tuple[int, int]
    freeze_epochs: int
    epochs: int
    batch_size: int
    learning_rate: float
    label_weights: str | dict[str, float]
    augment: bool
    mixed_precision: str | bool
    seed: int
    loss: str
    task: str
    positive: str | None
    decisions: decisions.Settings
    checkpoints: str
    code_fingerprint: str

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> Settings:
        """From the JSON object that TFX hands over."""
        height, width = config["image_size"]
        decided = decisions.Settings(**config["decisions"])
        return Settings(**{**config, "image_size": (height, width), "decisions": decided})


def run_fn(fn_args: FnArgs) -> None:
    """Trains and exports; called by TFX's Trainer.

    Raises:
        ImagegateError: the loss is no longer a number, or the shards changed since ingest.
    """
    settings = Settings.from_config(fn_args.custom_config)
    keras.utils.set_random_seed(settings.seed)
    gpus = _prepare_gpus()
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(_policy(settings.mixed_precision, gpus))
    try:
        _train(fn_args, settings, gpus)
    finally:
        keras.config.set_dtype_policy(policy)


def _train(fn_args: FnArgs, settings: Settings, gpus: int) -> None:
    names = schema.labels(os.path.dirname(fn_args.schema_path))
    folder = os.path.dirname(os.path.dirname(fn_args.train_files[0]))
    data = Batches(
        folder,
        tft.TFTransformOutput(fn_args.transform_output),
        task=settings.task,
        image_size=settings.image_size,
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        seed=settings.seed,
    )
    strategy = tf.distribute.MirroredStrategy() if gpus > 1 else tf.distribute.get_strategy()
    positive = None if settings.positive is None else names.index(settings.positive)
    with strategy.scope():
        parts = model.build(
            settings.backbone,
            weights=settings.weights,
            image_size=settings.image_size,
            classes=len(names),
            augment=settings.augment,
            seed=settings.seed,
            task=settings.task,
            positive=positive,
        )
    stated = stated_weights(settings.label_weights, names)
    weights = data.label_weights() if stated is None else stated
    kind = kinds.kind(settings.task)
    phases = _Phases(
        os.path.join(settings.checkpoints, _job_name(folder, settings)),
        fn_args.model_run_dir,
        learning_rate=settings.learning_rate,
        loss=lambda: kind.loss(settings.loss, weights=weights, positive=positive),
        metrics=lambda: kind.metrics(len(names)),
        strategy=strategy,
        jit=gpus > 0,
        average=parts.pretrained and settings.task != "segmentation",
    )
    detector = decisions.is_detector(settings.task, len(names))
    history = {} if detector else _learn(parts, data, phases, settings)
    with open(os.path.join(fn_args.model_run_dir, TRAINING_HISTORY), "w", encoding="utf-8") as f:
        json.dump(history, f)
    decided = answers.fit(parts, data, settings.task, settings.decisions, settings.seed)
    progress.report("export", 0, None, "writing the SavedModel")
    signatures.export(parts, names, settings.image_size, settings.task, decided, fn_args.serving_model_dir)
    shutil.rmtree(phases.checkpoints, ignore_errors=True)


def _learn(parts: model.Parts, data: Batches, phases: _Phases, settings: Settings) -> dict[str, list[dict[str, float]]]:
    """Head first, then everything. Returns the metrics of every epoch of both."""
    history: dict[str, list[dict[str, float]]] = {"head": [], "all": []}
    if phases.seen("all"):  # whose backup holds what the head had learnt
        history["head"] = phases.seen("head")
    elif settings.freeze_epochs and settings.task == "segmentation":
        # Feature maps of every stride take more room than the images; they are computed again each epoch.
        parts.extractor.trainable = False
        history["head"] = phases.run(
            "head", parts.model, data.train(parts.augment), data.eval(), settings.freeze_epochs, 1.0
        )
        parts.extractor.trainable = True
    elif settings.freeze_epochs:
        history["head"] = phases.run("head", parts.head, *data.pooled(parts.extractor), settings.freeze_epochs, 1.0)
    if settings.epochs:
        rate = _FINE_TUNING if parts.pretrained else 1.0
        train, evaluation, learnt = data.train(parts.augment), data.eval(), bool(history["head"])
        history["all"] = phases.run("all", parts.model, train, evaluation, settings.epochs, rate, learnt=learnt)
    return history


class _Phases:
    """Runs `fit` with everything a long training needs: stopping, backup, logs, progress."""

    def __init__(
        self,
        checkpoints: str,
        logs: str,
        *,
        learning_rate: float,
        loss: Callable[[], keras.losses.Loss],
        metrics: Callable[[], list[keras.metrics.Metric]],
        strategy: tf.distribute.Strategy,
        jit: bool,
        average: bool,
    ) -> None:
        self.checkpoints, self._logs, self._rate, self._jit = checkpoints, logs, learning_rate, jit
        self._average = average
        self._loss, self._metrics, self._strategy = loss, metrics, strategy

    def seen(self, name: str) -> list[dict[str, float]]:
        """The epochs of this phase that an earlier, killed run got through."""
        return _Stopping(os.path.join(self.checkpoints, name)).history

    def run(
        self,
        name: str,
        network: keras.Model,
        train: tf.data.Dataset,
        evaluation: tf.data.Dataset,
        epochs: int,
        rate: float,
        *,
        learnt: bool = False,
    ) -> list[dict[str, float]]:
        """Trains `network`, puts its best weights back, and returns the metrics of every epoch.

        `learnt`: the network knows the labels already, so that the weights it starts with may be its best.
        """
        folder = os.path.join(self.checkpoints, name)
        os.makedirs(folder, exist_ok=True)
        with self._strategy.scope():
            network.compile(
                optimizer=self._optimizer(rate, int(train.cardinality()), epochs),
                loss=self._loss(),
                metrics=[*self._metrics(), TemperedLoss(self._loss())],
                # Compiling with XLA pays on a GPU; on a CPU a step takes many times longer.
                jit_compile=self._jit,
            )
        stopping = _Stopping(folder)
        stopping.set_model(network)
        if learnt and stopping.start is None:
            stopping.begin(network.evaluate(evaluation, verbose=0, return_dict=True)[_JUDGED])
        done = len(stopping.history)
        network.fit(
            train,
            validation_data=evaluation,
            initial_epoch=done,
            epochs=done if stopping.enough() else epochs,
            verbose=0,
            callbacks=[
                stopping,
                keras.callbacks.TensorBoard(os.path.join(self._logs, name)),
                _Progress(name, epochs),
            ],
        )
        stopping.restore_best()
        return stopping.history

    def _optimizer(self, rate: float, steps: int, epochs: int) -> keras.optimizers.Optimizer:
        """Adam, whose rate rises over half an epoch and falls along half a cosine to nothing over all of them.

        The rise keeps the first steps, which know least, from wrecking a pretrained backbone (Goyal et al. 2017; the
        cosine: Loshchilov & Hutter 2017). The weights of such a backbone are held small (AdamW; Loshchilov & Hutter
        2019), and after every epoch their average over about an epoch takes their place: with little data single steps
        throw them about, and the average is both better and where to go on from (Zhang et al., "Lookahead Optimizer",
        2019). Networks with batch statistics are left out: those of the average are not the average of the steps'.
        """
        rise = max(1, steps // 2)
        schedule = keras.optimizers.schedules.CosineDecay(
            self._rate * rate / 10,
            max(1, steps * epochs - rise),
            alpha=0.01,
            warmup_target=self._rate * rate,
            warmup_steps=rise,
        )
        if not self._average:
            return keras.optimizers.Adam(schedule)
        momentum = 1 - 1 / max(_SHORTEST, steps)
        average = {"use_ema": True, "ema_momentum": momentum, "ema_overwrite_frequency": steps}
        return keras.optimizers.AdamW(schedule, weight_decay=_DECAY, **average)


class _Stopping(keras.callbacks.Callback):
    """Early stopping, best weights, stop on NaN and backup; survives a kill.

    Keras has a callback for each, but they forget what they had seen when a backup is restored, and after a restart
    would take a worse epoch for the best; and a backup that the kill cut short stops every later run.
    """

    _BEST, _LATEST, _START = "best.weights.h5", "latest.weights.h5", "start.json"

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder
        self.start: float | None = None
        if os.path.isfile(self._path(self._START)):
            with open(self._path(self._START), encoding="utf-8") as f:
                self.start = json.load(f)
        self.history: list[dict[str, float]] = []
        if os.path.isfile(self._path(TRAINING_HISTORY)):  # of a killed run
            with open(self._path(TRAINING_HISTORY), encoding="utf-8") as f:
                self.history = json.load(f)

    def begin(self, loss: float) -> None:
        """Takes the weights before the first epoch, with this loss on the eval split, for the best so far."""
        self._save(self._BEST)
        self.start = loss
        self._write(self._START, loss)

    def enough(self) -> bool:
        """Whether further epochs are hopeless."""
        return self._waited() >= _PATIENCE

    def on_train_begin(self, logs: Any = None) -> None:
        """Goes on where a killed run stopped."""
        if self.history:
            self.model.optimizer.build(self.model.trainable_variables)  # its state is loaded, too
            self.model.load_weights(self._path(self._LATEST))

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Stops at once on a loss that is no number: nothing after it can be one."""
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise ImagegateError(
                f"training: the loss is {loss} after {len(self.history)} epochs and {batch + 1} steps; "
                "lower training.learning_rate, or turn training.mixed_precision off"
            )

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Judges the epoch by the loss on the eval split, at its best temperature."""
        numbers = {k: float(v) for k, v in (logs or {}).items()}
        if not math.isfinite(numbers["val_loss"]):
            raise ImagegateError(
                f"training: the loss on the eval split is {numbers['val_loss']} after epoch {epoch + 1}; "
                "lower training.learning_rate, or turn training.mixed_precision off"
            )
        rate = self.model.optimizer.learning_rate
        self.history.append(numbers | {"learning_rate": float(rate)})
        if self._waited() == 0:
            self._save(self._BEST)
        self.model.stop_training = self.enough()
        self._save(self._LATEST)
        self._write(TRAINING_HISTORY, self.history)

    def restore_best(self) -> None:
        """Puts the weights of the best epoch back."""
        self.model.load_weights(self._path(self._BEST))

    def _waited(self) -> int:
        """Epochs since the best one; of equal ones, the first is it."""
        losses = ([] if self.start is None else [self.start]) + [epoch[f"val_{_JUDGED}"] for epoch in self.history]
        return len(losses) - 1 - losses.index(min(losses)) if losses else 0

    def _save(self, name: str) -> None:
        with replacing(self._path(name)) as temporary:
            self.model.save_weights(temporary)

    def _write(self, name: str, value: Any) -> None:
        write_atomically(self._path(name), json.dumps(value))

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)


class _Progress(keras.callbacks.Callback):
    """Tells epochs, steps and the latest numbers."""

    def __init__(self, name: str, epochs: int) -> None:
        super().__init__()
        self._what = {"head": "training the head", "all": "training"}[name]
        self._epochs, self._epoch, self._note, self._last = epochs, 0, "", 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if time.monotonic() - self._last > 0.1:
            self._last = time.monotonic()
            steps = self.params.get("steps") or batch + 1
            progress.report(
                self._what,
                self._epoch + min(1.0, (batch + 1) / steps),
                self._epochs,
                f"step {batch + 1}{self._note}",
            )

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        numbers = logs or {}
        told = {
            k[4:].replace("_", " "): v for k, v in numbers.items() if k.startswith("val_") and not k.endswith(_JUDGED)
        }
        self._note = ", eval " + ", ".join(f"{name} {value:.3f}" for name, value in told.items())
        progress.report(self._what, epoch + 1, self._epochs, f"epoch {epoch + 1}{self._note}")


def _job_name(folder: str, settings: Settings) -> str:
    """Same data, settings and code -> same name: only then may a training go on from another's backup."""
    data = manifest.read(folder)
    told = {k: v for k, v in asdict(settings).items() if k != "checkpoints"}
    text = json.dumps([data.content, data.labels, told], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _prepare_gpus() -> int:
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    return len(gpus)


def _policy(mixed_precision: str | bool, gpus: int) -> str:
    """bfloat16 needs no loss scaling; GPUs without it (before compute capability 8) get float16."""
    if not gpus or mixed_precision is False:
        return "float32"
    details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
    major = details.get("compute_capability", (0, 0))[0]
    if major >= 8:
        return "mixed_bfloat16"
    return "mixed_float16" if major >= 7 or mixed_precision is True else "float32"
