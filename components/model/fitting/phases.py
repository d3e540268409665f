"""The phases of training, such as head first and then everything: each one `fit`, with its optimizer and backup."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Literal

import keras
import tensorflow as tf

from components.base.checkpoint import Checkpoint
from components.base.errors import ImagegateError
from components.labels.learning.measures import TemperedLoss
from components.model.fitting.accumulation import InParts
from components.model.fitting.callbacks import SELECTION_METRIC, Averaged, Pace, Progress, Stopping
from components.model.fitting.memory import Plan

_TASKS = {"head": "training the head", "all": "training"}  # phase -> name of its progress
_WEIGHT_DECAY = 0.2  # of a pretrained backbone's weights at each step, times the learning rate
_MIN_AVERAGED_STEPS = 10  # the average of the weights covers an epoch, but at least so many steps
_WARMUP = 10  # the learning rate rises from a tenth
_FINAL_RATE = 0.01  # of the learning rate, after it has fallen

# `fit` makes an iterator at the begin of an epoch, and where the number of batches is known another at its end. Each
# draws an order of the images.
_ORDERS = 2


class Phases:
    """Runs `fit` for one phase after another, with early stopping, backup, logs and progress.

    Args:
        checkpoints: folder that outlives the run; a killed training resumes from there.
        logs: folder of TensorBoard's logs.
        learning_rate: highest learning rate.
        loss: makes the loss.
        metrics: makes the metrics that training shows.
        callbacks: name of a phase -> more callbacks of it.
        strategy: distribution over GPUs.
        jit: whether to compile with XLA.
        average: whether to average weights and decay them, see `optimizer`.
        plan: how the phase that trains everything goes through a batch; None: as a whole.
        wrap: makes the model that the phase that trains everything fits in place of the network, with the same layers;
            its argument is the size of the parts that a batch is divided into, or None.
    """

    def __init__(
        self,
        checkpoints: str,
        logs: str,
        *,
        learning_rate: float,
        loss: Callable[[], keras.losses.Loss],
        metrics: Callable[[], list[keras.metrics.Metric]],
        callbacks: Callable[[str], list[keras.callbacks.Callback]] = lambda _: [],
        strategy: tf.distribute.Strategy,
        jit: bool,
        average: bool,
        plan: Plan | None = None,
        wrap: Callable[[int | None], keras.Model] | None = None,
    ) -> None:
        self.checkpoints, self._logs, self._rate, self._jit = checkpoints, logs, learning_rate, jit
        self._average, self._plan, self._wrap = average, plan, wrap
        self._loss, self._metrics, self._callbacks, self._strategy = loss, metrics, callbacks, strategy
        self._shared = strategy.num_replicas_in_sync > 1  # whether several devices share each batch

    def finished_epochs(self, name: str) -> list[dict[str, float]]:
        """Returns the metrics of the epochs of this phase that a killed run finished."""
        return Stopping(os.path.join(self.checkpoints, name)).history

    def run(
        self,
        name: Literal["head", "all"],
        network: keras.Model,
        train: tf.data.Dataset,
        evaluation: tf.data.Dataset,
        epochs: int,
        *,
        trained: bool = False,
        again: int = 0,
    ) -> tuple[list[dict[str, float]], Checkpoint]:
        """Trains `network` and restores its best weights.

        Args:
            name: "head" or "all".
            network: the model to train.
            train: batches to train on.
            evaluation: batches of the eval split, which decide the best epoch.
            epochs: largest number of epochs.
            again: how many runs of this phase came before.
            trained: whether the network already knows the labels, so that the weights it starts with may be its best.

        Returns:
            the metrics of every epoch, and how the weights were chosen.

        Raises:
            ImagegateError: the loss is not finite, or a step needs more memory than there is.
        """
        task = f"{_TASKS[name]}, run {again + 1}" if again else _TASKS[name]
        plan = self._plan if name == "all" else None
        network = self._compiled(name, network, plan, int(train.cardinality()), epochs)
        stopping = self._stopping(f"{name}-{again}" if again else name, network, evaluation if trained else None)
        done = len(stopping.history)
        for _ in range(_ORDERS * done):
            iter(train)  # draws the order of an epoch that is over, so that the next is as without the interruption
        callbacks = [
            stopping,
            keras.callbacks.TensorBoard(os.path.join(self._logs, name)),
            Progress(task, epochs),
            Pace(task, epochs, "" if plan is None or again else plan.sentence()),
            *([Averaged()] if self._average and self._shared else []),
            *self._callbacks(name),
        ]
        last = done if stopping.exhausted() else epochs
        try:
            network.fit(
                train,
                validation_data=evaluation,
                initial_epoch=done,
                epochs=last,
                verbose=0,
                callbacks=callbacks,
            )
        except tf.errors.ResourceExhaustedError as error:
            reason = next((line.strip() for line in str(error).splitlines() if "OOM" in line), "ResourceExhausted")
            raise ImagegateError(
                f"{task}: a step needs more memory than there is ({reason}); lower training.batch_size or "
                "training.image_size, or choose a smaller training.backbone"
            ) from error
        stopping.restore_best()
        return stopping.history, stopping.choice(name, epochs)

    def _compiled(self, name: str, network: keras.Model, plan: Plan | None, steps: int, epochs: int) -> keras.Model:
        """The model that is fitted in place of the network, with the same layers, ready for so many steps an epoch."""
        with self._strategy.scope():
            part = None if plan is None else plan.divided
            if name == "all" and self._wrap is not None:
                network = self._wrap(part)
            elif part is not None:
                network = InParts(network.input, network.output, part=part)
            network.compile(
                optimizer=self.optimizer(steps, epochs),
                loss=self._loss(),
                metrics=[*self._metrics(), TemperedLoss(self._loss())],
                # Compiling with XLA pays on a GPU; on a CPU a step takes many times longer.
                jit_compile=self._jit,
            )
            # `fit` would make its variables in the first step, and then trace the step a second time without that.
            network.optimizer.build(network.trainable_variables)
        return network

    def _stopping(self, folder: str, network: keras.Model, evaluation: tf.data.Dataset | None) -> Stopping:
        """What keeps the best weights; with `evaluation`, those that the network begins with may be the best."""
        path = os.path.join(self.checkpoints, folder)
        os.makedirs(path, exist_ok=True)
        stopping = Stopping(path)
        stopping.set_model(network)
        if evaluation is not None and stopping.start is None:
            found = network.evaluate(evaluation, verbose=0, return_dict=True)
            stopping.set_start(found[SELECTION_METRIC], found["loss"])
        return stopping

    def measure(self, network: keras.Model, evaluation: tf.data.Dataset) -> float:
        """The measure by which weights are chosen, on the eval split."""
        with self._strategy.scope():
            network.compile(loss=self._loss(), metrics=[TemperedLoss(self._loss())], jit_compile=self._jit)
        return float(network.evaluate(evaluation, verbose=0, return_dict=True)[SELECTION_METRIC])

    def optimizer(self, steps: int, epochs: int) -> keras.optimizers.Optimizer:
        """Makes Adam with a learning rate that rises over half an epoch, and then falls along half a cosine.

        The rise keeps the first steps, whose gradients are the least reliable, from damaging a pretrained backbone
        (Goyal et al. 2017; the cosine: Loshchilov & Hutter 2017). With `average`, the weights decay (AdamW; Loshchilov
        & Hutter 2019), and after every epoch their average over about an epoch replaces them. With little data, single
        steps scatter the weights; their average is better, and a better point to continue from (Zhang et al.,
        "Lookahead Optimizer", 2019). Networks that learn batch statistics must not average, because the statistics at
        the average differ from the average of the statistics.

        Args:
            steps: steps per epoch.
            epochs: epochs until the learning rate has fallen.
        """
        rise = max(1, steps // 2)
        schedule = keras.optimizers.schedules.CosineDecay(
            self._rate / _WARMUP,
            max(1, steps * epochs - rise),
            alpha=_FINAL_RATE,
            warmup_target=self._rate,
            warmup_steps=rise,
        )
        if not self._average:
            return keras.optimizers.Adam(schedule)
        momentum = 1 - 1 / max(_MIN_AVERAGED_STEPS, steps)
        # On several devices, Keras cannot replace the weights within a step; `Averaged` does it between steps.
        often = None if self._shared else steps
        average = {"use_ema": True, "ema_momentum": momentum, "ema_overwrite_frequency": often}
        return keras.optimizers.AdamW(schedule, weight_decay=_WEIGHT_DECAY, **average)
