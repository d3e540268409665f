"""The Trainer's run_fn: trains the head on cached features, then everything, and exports a SavedModel."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
import tensorflow as tf
import tensorflow_transform as tft

from components.base import progress
from components.base.artifact_files import TRAINING_HISTORY
from components.data import schema
from components.ingest import manifest
from components.labels import kinds
from components.labels.kind import LabelKind
from components.labels.learning.heads import head_of
from components.labels.weights import configured_weights
from components.model import answers, network, signatures
from components.model.batches import Batches
from components.model.phases import Phases
from components.model.settings import TrainerSettings

if TYPE_CHECKING:
    from tfx.components.trainer.fn_args_utils import FnArgs

_FINE_TUNING = 0.3  # factor of the learning rate, once a pretrained backbone is trained too


def run_fn(fn_args: FnArgs) -> None:
    """Trains and exports; called by TFX's Trainer.

    Raises:
        ImagegateError: the loss is not finite, or the shards changed since ingest.
    """
    settings = TrainerSettings.model_validate(fn_args.custom_config)
    keras.utils.clear_session(free_memory=False)  # names of layers, which are in the model, begin to count anew
    keras.utils.set_random_seed(settings.seed)
    gpus = _prepare_gpus()
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(_policy(settings.mixed_precision, gpus))
    try:
        _train(fn_args, settings, gpus)
    finally:
        keras.config.set_dtype_policy(policy)


def _train(fn_args: FnArgs, settings: TrainerSettings, gpus: int) -> None:
    names = schema.labels(os.path.dirname(fn_args.schema_path))
    folder = os.path.dirname(os.path.dirname(fn_args.train_files[0]))
    kind = kinds.kind(settings.task)
    head = head_of(kind)
    data = Batches(
        folder,
        tft.TFTransformOutput(fn_args.transform_output),
        kind=kind,
        image_size=settings.image_size,
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        seed=settings.seed,
    )
    strategy = tf.distribute.MirroredStrategy() if gpus > 1 else tf.distribute.get_strategy()
    positive = None if settings.positive is None else names.index(settings.positive)
    with strategy.scope():
        parts = network.build(
            settings.backbone,
            weights=settings.weights,
            image_size=settings.image_size,
            classes=len(names),
            augment=settings.augment,
            seed=settings.seed,
            kind=kind,
            positive=positive,
        )
    stated = configured_weights(settings.label_weights, names)
    weights = data.label_weights() if stated is None else stated
    phases = Phases(
        os.path.join(settings.checkpoints, _job_name(folder, settings, weights)),
        fn_args.model_run_dir,
        learning_rate=settings.learning_rate,
        loss=lambda: head.loss(settings.loss, weights=weights, positive=positive),
        metrics=lambda: head.metrics(len(names)),
        strategy=strategy,
        jit=gpus > 0,
        average=parts.pretrained and not kind.per_pixel,
    )
    history = {} if kind.is_detector(len(names)) else _learn(parts, data, phases, settings, kind)
    with open(os.path.join(fn_args.model_run_dir, TRAINING_HISTORY), "w", encoding="utf-8") as f:
        json.dump(history, f)
    decided = answers.fit(parts, data, kind, settings.decisions, settings.seed)
    progress.report("export", 0, None, "writing the SavedModel")
    signatures.export(parts, names, settings.image_size, kind, decided, fn_args.serving_model_dir, settings.bits)
    shutil.rmtree(phases.checkpoints, ignore_errors=True)


def _learn(
    parts: network.Parts, data: Batches, phases: Phases, settings: TrainerSettings, kind: LabelKind
) -> dict[str, list[dict[str, float]]]:
    """Trains the head first, then everything; returns the metrics of every epoch of each phase."""
    history: dict[str, list[dict[str, float]]] = {"head": [], "all": []}
    if phases.finished_epochs("all"):  # its backup contains the trained head
        history["head"] = phases.finished_epochs("head")
    elif settings.freeze_epochs and kind.per_pixel:
        # Feature maps of every stride need more memory than the images, so they are computed again each epoch.
        parts.extractor.trainable = False
        history["head"] = phases.run(
            "head", parts.model, data.train(parts.augment), data.eval(), settings.freeze_epochs, 1.0
        )
        parts.extractor.trainable = True
    elif settings.freeze_epochs:
        history["head"] = phases.run("head", parts.head, *data.pooled(parts.extractor), settings.freeze_epochs, 1.0)
    if settings.epochs:
        rate = _FINE_TUNING if parts.pretrained else 1.0
        train, evaluation, trained = data.train(parts.augment), data.eval(), bool(history["head"])
        history["all"] = phases.run("all", parts.model, train, evaluation, settings.epochs, rate, trained=trained)
    return history


def _job_name(folder: str, settings: TrainerSettings, weights: Sequence[float]) -> str:
    """Names the backup by data, settings, weights and code: a training resumes only from one with the same name."""
    data = manifest.read(folder)
    told = settings.model_dump(exclude={"checkpoints"})
    text = json.dumps([data.content, data.labels, told, [float(w) for w in weights]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _prepare_gpus() -> int:
    """Lets every GPU allocate memory as needed; returns their number."""
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    return len(gpus)


def _policy(mixed_precision: str | bool, gpus: int) -> str:
    """Chooses the dtype policy: bfloat16, which needs no loss scaling, or float16 before compute capability 8."""
    if not gpus or mixed_precision is False:
        return "float32"
    details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
    major = details.get("compute_capability", (0, 0))[0]
    if major >= 8:
        return "mixed_bfloat16"
    return "mixed_float16" if major >= 7 or mixed_precision is True else "float32"
