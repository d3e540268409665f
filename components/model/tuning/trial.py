"""One trial: the Trainer's training with other settings, judged on the eval split. Nothing is exported."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras

from components.data import features
from components.ingest import manifest
from components.labels.kind import LabelKind
from components.labels.learning.heads import head_of
from components.labels.learning.measures import MeanIou, TemperedLoss
from components.model.fitting import training
from components.model.fitting.given import Given
from components.model.settings import TrainerSettings
from components.model.tuning.search import Result, Watch

if TYPE_CHECKING:
    from tfx.components.trainer.fn_args_utils import FnArgs

# Name of the metric. Losses differ in how sure a network gets, and calibration makes up for that before a model is
# served. So they are compared at the best temperature, which may be below 1, as focal loss needs it.
MEASURE = "measure"


def name_of_measure(kind: LabelKind, *, balanced: bool) -> str:
    """What `measure` is, for people; `balanced` if it is given counts."""
    if kind.per_pixel:
        return "1 - mean IoU"
    return "balanced calibrated cross-entropy" if balanced else "calibrated cross-entropy"


def measure(
    kind: LabelKind, classes: int, positive: int | None, counts: Sequence[int] | None = None
) -> keras.metrics.Metric:
    """The metric by which trials are compared; smaller is better. It depends on no setting that a trial may change.

    For labels of images, it is the cross-entropy at the best temperature: it is a proper score, it uses the
    probabilities and not only the decisions, and so it tells models apart with few images. With `counts`, it is the
    mean over the labels of the cross-entropy of their images, else over all images. Of pixels there are enough, and
    their cross-entropy hardly sees rare labels, so it is the mean IoU, subtracted from 1.

    Args:
        kind: the label kind.
        classes: number of labels K.
        positive: index of the positive label, or None.
        counts: images of each label in what is judged, [K], where one label applies to each image.
    """
    if kind.per_pixel:
        return _Missed(classes, features.IGNORED_ID, MEASURE)
    given = {} if positive is None else {"positive": positive}
    head = head_of(kind)
    if counts is None:
        return TemperedLoss(head.loss("cross_entropy", **given), name=MEASURE)
    share = sum(counts) / max(1, sum(count > 0 for count in counts))
    weights = [share / count if count else 0.0 for count in counts]
    return TemperedLoss(_summed(head.loss("cross_entropy", weights=weights, **given)), name=MEASURE)


def _summed(loss: Any) -> Callable[..., Any]:
    """The loss divided by the number of images of a batch, not by their weights: its mean is that over all batches."""

    def of_batch(target: Any, logits: Any, weight: Any = None) -> Any:
        size = keras.ops.cast(keras.ops.shape(logits)[0], "float32")
        return loss(target, logits, weight) * loss.total_weight(target, weight) / size

    return of_batch


class _Missed(MeanIou):
    def result(self) -> Any:
        return 1 - super().result()


def learn(fn_args: FnArgs, settings: TrainerSettings, watch: Watch, *, balanced: bool) -> Result:
    """Trains with these settings.

    Args:
        fn_args: TFX's, of the Tuner.
        settings: of the trial; its checkpoints are removed.
        watch: follows the epochs.
        balanced: whether each label counts as much as another in `measure`.

    Raises:
        search.Stopped: the trial ended early.
        ImagegateError: the settings cannot be learnt with.
    """
    shutil.rmtree(settings.checkpoints, ignore_errors=True)  # of a trial that was killed; it begins anew
    given = Given.of(fn_args, settings, settings.checkpoints)
    known = manifest.read(given.folder)
    counts = [known.label_counts[name]["eval"] for name in given.names] if balanced else None
    judging = functools.partial(measure, given.kind, len(given.names), given.positive, counts)
    last = "all" if settings.all_epochs else "head"
    try:
        with training.prepared(settings) as gpus:
            learnt = training.learn(
                given,
                settings,
                gpus,
                metrics=lambda: [judging()],
                callbacks=lambda phase: [_Follow(watch, ends=phase == last)],
            )
            return _judged(learnt, given, judging())
    finally:
        shutil.rmtree(settings.checkpoints, ignore_errors=True)


def _judged(learnt: training.Learnt, given: Given, judged: keras.metrics.Metric) -> Result:
    head = head_of(given.kind)
    learnt.parts.model.compile(
        loss=head.loss("cross_entropy"), metrics=[judged, *head.metrics(len(given.names))], jit_compile=False
    )
    numbers = learnt.parts.model.evaluate(learnt.data.eval(), verbose=0, return_dict=True)
    shown = {key: float(value) for key, value in numbers.items() if key not in (MEASURE, "loss")}
    return Result(float(numbers[MEASURE]), shown)


class _Follow(keras.callbacks.Callback):
    """Tells the watch of every step, and in the last phase of every epoch."""

    def __init__(self, watch: Watch, *, ends: bool) -> None:
        super().__init__()
        self._watch, self._ends = watch, ends

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self._watch.step()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        if self._ends:
            self._watch.epoch(float((logs or {})[f"val_{MEASURE}"]))
