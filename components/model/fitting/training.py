"""The Trainer's run_fn: solves the head on stored features, trains everything, and exports a SavedModel."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components.base import progress
from components.base.artifact_files import CHECKPOINT, IMBALANCE, LABEL_WEIGHTS, POOL, SYNTHETIC, TRAINING_HISTORY
from components.base.checkpoint import Checkpoint
from components.base.errors import ConfigError, ImagegateError
from components.base.files import write_atomically
from components.data.dataset import UNLABELLED
from components.data.manifest import ArrayFacts
from components.ingest import manifest
from components.labels import priors
from components.labels.kind import LabelKind
from components.labels.learning.heads import head_of
from components.labels.weights import applied
from components.model import signatures
from components.model.features import backbone
from components.model.features.feature_store import FeatureStore
from components.model.fitting import answers, memory, recipe, synthetic
from components.model.fitting.batches import Batches
from components.model.fitting.given import FOLDERS, Given
from components.model.fitting.phases import Phases
from components.model.fitting.regression import Examples
from components.model.fitting.synthetic import Synthetic
from components.model.fitting.unlabelled import choice
from components.model.fitting.unlabelled.propagation import Guess
from components.model.fitting.unlabelled.record import Pool
from components.model.networks import network, own
from components.model.networks.bands import parts as parts_of_arrays
from components.model.settings import Focal, Imbalance, TrainerSettings

if TYPE_CHECKING:
    from tfx.components.trainer.fn_args_utils import FnArgs

# Of an epoch that trains a decoder, which starts from random weights, or a pretrained network: fewer teach little,
# however few the images are. Measured in docs/recipe.md.
_LEAST_STEPS = 25


@dataclass(frozen=True)
class Learnt:
    """A trained network with its best weights.

    Attributes:
        parts: the network.
        data: what it learnt from.
        history: metrics of every epoch of each phase; of a solved head, the strengths that were tried.
        chosen: how its weights were chosen; None for a detector, which is not trained.
        weights: label weights [K] in the loss.
        checkpoints: folder of the training's backup.
        features: gives the features of a split, if the backbone is as it was when they were computed; else None.
        pool: what became of images without labels; None if there are none.
        made: what became of synthetic images; None if the configuration wants none.
    """

    parts: network.Parts
    data: Batches
    history: dict[str, list[dict[str, float]]]
    chosen: Checkpoint | None
    weights: Sequence[float]
    checkpoints: str
    features: Callable[[str], Examples] | None
    pool: Pool | None = None
    made: Synthetic | None = None


def run_fn(fn_args: FnArgs) -> None:
    """Trains and exports; called by TFX's Trainer.

    Raises:
        ImagegateError: the loss is not finite, or the shards changed since ingest.
    """
    config = {key: value for key, value in fn_args.custom_config.items() if key not in FOLDERS}
    settings = TrainerSettings.model_validate(config | tuned(fn_args.hyperparameters))
    given = Given.of(fn_args, settings, fn_args.model_run_dir)
    with prepared(settings) as gpus:
        learnt = learn(given, settings, gpus)
        with open(os.path.join(fn_args.model_run_dir, TRAINING_HISTORY), "w", encoding="utf-8") as f:
            json.dump(learnt.history, f)
        # The shortest digits that give these float32 numbers.
        weights = {name: float(str(np.float32(w))) for name, w in zip(given.names, learnt.weights, strict=True)}
        write_atomically(os.path.join(fn_args.model_run_dir, LABEL_WEIGHTS), json.dumps(weights, ensure_ascii=False))
        method = settings.imbalance if learnt.chosen else "none"  # nothing is trained for a single label
        write_atomically(os.path.join(fn_args.model_run_dir, IMBALANCE), json.dumps(method))
        if learnt.pool:
            write_atomically(os.path.join(fn_args.model_run_dir, POOL), learnt.pool.to_json(indent=1))
        if learnt.made:
            write_atomically(os.path.join(fn_args.model_run_dir, SYNTHETIC), learnt.made.to_json(indent=1))
        if learnt.chosen:
            write_atomically(os.path.join(fn_args.model_run_dir, CHECKPOINT), learnt.chosen.to_json(indent=1))
        decided = answers.fit(learnt.parts, learnt.data, given.kind, settings.decisions, settings.seed, learnt.features)
        progress.report("export", 0, None, "writing the SavedModel")
        signatures.export(
            learnt.parts,
            given.names,
            learnt.data.image_size,
            given.kind,
            decided,
            fn_args.serving_model_dir,
            settings.bits,
            (learnt.data.arrays, settings.bands) if learnt.data.arrays and settings.bands else None,
        )
        shutil.rmtree(learnt.checkpoints, ignore_errors=True)


def tuned(hyperparameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """The keys of `training` that the stage Tuner found, with their values; empty without this stage."""
    return {} if hyperparameters is None else dict(hyperparameters["values"])


@contextlib.contextmanager
def prepared(settings: TrainerSettings) -> Iterator[int]:
    """Sets the seed and the arithmetic of Keras for a training; yields the number of GPUs."""
    _begin(settings)
    with backbone.policy(settings.mixed_precision) as gpus:
        yield gpus


def learn(
    given: Given,
    settings: TrainerSettings,
    gpus: int,
    *,
    judged: bool = True,
    metrics: Callable[[], list[keras.metrics.Metric]] = list,
    callbacks: Callable[[str], list[keras.callbacks.Callback]] = lambda _: [],
) -> Learnt:
    """Builds the network and trains it.

    Args:
        given: what it learns from.
        settings: of the Trainer, or of a trial.
        gpus: number of GPUs.
        judged: whether images without labels, and synthetic ones, are used only if that is better than without them.
        metrics: makes metrics besides those of the labels.
        callbacks: name of a phase -> more callbacks of it.

    Raises:
        ImagegateError: the loss is not finite, or the shards changed since ingest; or unless `judged`, there are no
            images without labels for the method that is configured.
        propagation.Refused: unless `judged`, labels cannot be propagated.
    """
    data = _data(given, settings, gpus)

    def train(part: Batches, place: str, made: Callable[[Batches], choice.Extra] | None) -> Learnt:
        return _train(given, settings, gpus, part, place, made and made(part), metrics, callbacks)

    made = synthetic.read(given.synthetic) if given.synthetic and settings.synthetic else None
    if made and not judged:
        if not made.images:
            raise ImagegateError("; ".join(["there are no synthetic images", *made.sentences()]))
        return train(data, "synthetic", choice.joined_by(given.synthetic))
    learnt = _learn(given, settings, data, train, judged=judged)
    if made is None or not judged:
        return learnt
    return choice.with_synthetic(made, given.synthetic, train, data, learnt, given.kind, settings.seed)


def _learn(given: Given, settings: TrainerSettings, data: Batches, train: choice.Train, *, judged: bool) -> Learnt:
    """Trains without synthetic images; see `learn`."""
    names = choice.methods(settings, data, given.kind)
    if not names:
        if not judged and settings.unlabelled not in ("auto", "none"):
            raise ImagegateError("there are no images without labels to learn from")
        learnt = train(data, "", None)
        count = data.count(UNLABELLED)
        return dataclasses.replace(learnt, pool=Pool(images=count, tried=())) if count else learnt
    made = choice.made_of(settings, given.kind, priors.shares(manifest.read(given.folder)))
    if not judged:
        return choice.used(made[names[0]], names[0], train, data)
    learnt, pool = choice.best(names, made, train, data, given.kind, settings.seed)
    return dataclasses.replace(learnt, pool=pool)


def _train(
    given: Given,
    settings: TrainerSettings,
    gpus: int,
    data: Batches,
    place: str,
    extra: choice.Extra | None,
    metrics: Callable[[], list[keras.metrics.Metric]],
    callbacks: Callable[[str], list[keras.callbacks.Callback]],
) -> Learnt:
    """Builds the network and trains it once; `place` names its backup among those of the same settings."""
    kind, names, positive = given.kind, given.names, given.positive
    head, extra = head_of(kind), extra or choice.Extra(data)
    _begin(settings)
    strategy = tf.distribute.MirroredStrategy() if gpus > 1 else tf.distribute.get_strategy()
    with strategy.scope():
        parts = _network(given, settings, data.arrays)
    detects = kind.is_detector(len(names))
    weights = applied(settings.weighting(kind), names, extra.data.label_weights)
    adjustment = _adjustment(kind, extra.data, settings, "logit_adjustment", "balanced_softmax")
    focal = {} if settings.focal is None else _focal(settings.focal, names, kind)
    phases = Phases(
        os.path.join(settings.checkpoints, _job_name(given, settings, weights), place),
        given.logs,
        learning_rate=settings.learning_rate,
        loss=lambda: head.loss(settings.loss, weights=weights, adjustment=adjustment, positive=positive, **focal),
        metrics=lambda: [*head.metrics(len(names)), *metrics()],
        callbacks=callbacks,
        strategy=strategy,
        jit=gpus == 1,  # XLA compiles the steps of several devices into one, which cannot reach their variables
        average=parts.pretrained and not kind.per_pixel,
        plan=_plan(parts, extra.data, settings, kind) if settings.all_epochs and not (gpus or detects) else None,
        wrap=extra.wrap and functools.partial(extra.wrap, parts),
    )
    solving = settings, kind, weights, adjustment, positive, extra.guess
    heads = _heads(parts, extra.data, *solving)
    history: recipe.History = {}
    chosen = None
    if not detects:
        history, chosen = recipe.follow(parts, extra.data, phases, settings, kind, heads)
        # The checkpoints hold the network before it, so that a training that goes on after a kill shifts it once.
        if afterwards := _adjustment(kind, extra.data, settings, "post_hoc_adjustment"):
            recipe.shift(parts.head, positive, afterwards)
    # Those of a backbone that no epoch changed, and those that the head was solved on again.
    unchanged = (detects or not settings.all_epochs) and not kind.per_pixel
    # Synthetic images are for training alone: they are no reference for what is familiar.
    real = heads if extra.data.counted is data.counted else _heads(parts, data, *solving)
    known = real.features if unchanged else real.later if heads.last else None
    return Learnt(parts, data, history, chosen, weights, phases.checkpoints, known)


def _heads(
    parts: network.Parts,
    data: Batches,
    settings: TrainerSettings,
    kind: LabelKind,
    weights: Sequence[float],
    adjustment: Sequence[float] | None,
    positive: int | None,
    guess: Guess | None,
) -> recipe.Heads:
    """Prepares how the head is solved; see `recipe.Heads`."""
    store = FeatureStore(settings.features, "" if kind.per_pixel else _feature_key(parts, settings, data.arrays))
    features = functools.cache(lambda split: data.pooled(split, parts.extractor, store))
    # No other run has the backbone that is trained here, so its features are not stored.
    later = functools.cache(lambda split: data.pooled(split, parts.extractor, FeatureStore("", "")))
    solve = functools.partial(recipe.solve, parts.head, kind, positive, guess)
    first = last = None
    if settings.solves_head and not kind.per_pixel:
        # Images that epochs draw more often count more in the sum over all of them.
        counted = data.label_weights() if settings.imbalance == "balanced_sampling" else weights
        first = functools.partial(solve, features, counted, adjustment)
    if settings.imbalance == "retrained_head":
        last = functools.partial(solve, later if settings.all_epochs else features, data.label_weights(), None)
    return recipe.Heads(features, first, later, last)


def _data(given: Given, settings: TrainerSettings, gpus: int) -> Batches:
    masks = given.kind.per_pixel
    if settings.batch(masks=masks) < gpus:
        raise ConfigError(
            f"training.batch_size: {settings.batch(masks=masks)} images cannot be shared by {gpus} GPUs; raise it, or "
            "hide some GPUs with CUDA_VISIBLE_DEVICES"
        )
    return Batches(
        given.folder,
        tft.TFTransformOutput(given.transform),
        kind=given.kind,
        image_size=settings.image_size,
        batch_size=settings.batch(masks=masks),
        epochs=settings.all_epochs or (settings.head_epochs(masks=True) if masks else 0),
        seed=settings.seed,
        least_steps=_LEAST_STEPS if masks or settings.pretrained else 1,
        balanced=settings.imbalance == "balanced_sampling",
        unlabelled=given.unlabelled,
        devices=max(1, gpus),
    )


def _network(given: Given, settings: TrainerSettings, told: ArrayFacts | None) -> network.Parts:
    if told is not None:
        return parts_of_arrays.build(
            told,
            settings.backbone,
            settings.weights,
            classes=len(given.names),
            augment=settings.augment,
            kind=given.kind,
            positive=given.positive,
        )
    return network.build(
        _backbone(given, settings),
        weights=settings.weights,
        image_size=settings.image_size,
        classes=len(given.names),
        augment=settings.augment,
        seed=settings.seed,
        kind=given.kind,
        positive=given.positive,
    )


def _backbone(given: Given, settings: TrainerSettings) -> str | keras.Model:
    if settings.module is None:
        return settings.backbone
    request = own.Request(settings.image_size, tuple(given.names), settings.task, settings.seed)
    return own.build(settings.module, request, maps=given.kind.per_pixel)


def _plan(parts: network.Parts, data: Batches, settings: TrainerSettings, kind: LabelKind) -> memory.Plan:
    return memory.plan(
        parts.model,
        parts.activations,
        batch=data.batch_size,
        cached=data.kept_bytes(),
        statistics=kind.per_pixel or not parts.pretrained,
    )


def _adjustment(kind: LabelKind, data: Batches, settings: TrainerSettings, *methods: Imbalance) -> list[float] | None:
    """What makes up for the shares of the labels, where one of these methods is configured."""
    if settings.imbalance not in methods:
        return None
    return priors.adjustment(priors.shares(data.counted), exclusive=kind.exclusive)


def _focal(settings: Focal, names: Sequence[str], kind: LabelKind) -> dict[str, Any]:
    return {"gamma": settings.gamma, "alpha": settings.by_label(names, exclusive=kind.exclusive)}


def _feature_key(parts: network.Parts, settings: TrainerSettings, arrays: ArrayFacts | None) -> str:
    """Names what the features of an image depend on besides the image."""
    source = settings.backbone
    if settings.module is not None:
        with open(settings.module, "rb") as f:
            source = hashlib.file_digest(f, "sha256").hexdigest()
    return backbone.key(parts.extractor, source, settings.image_size, arrays)


def _begin(settings: TrainerSettings) -> None:
    """Sets the seed; names of layers, which are in the model, begin to count anew."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(settings.seed)


def _job_name(given: Given, settings: TrainerSettings, weights: Sequence[float]) -> str:
    """Names the backup by data, settings, weights and code: a training resumes only from one with the same name."""
    data = manifest.read(given.folder)
    told = settings.model_dump(exclude={"checkpoints", "features"})
    pool = manifest.read(given.unlabelled).content if given.unlabelled else ""
    made = synthetic.read(given.synthetic).sha256 if given.synthetic else ""
    text = json.dumps([data.content, pool, made, data.labels, told, [float(w) for w in weights]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
