"""Trains with each method and seed, and judges each training on the eval split. Nothing is exported."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy import special

from components.base import progress
from components.base.errors import ConfigError, ImagegateError
from components.base.files import replacing
from components.base.text import number
from components.data import features
from components.ingest import manifest
from components.labels import outputs
from components.labels.kind import LabelKind
from components.metrics import curves
from components.metrics.base import Floats
from components.model import decisions
from components.model.comparing import record
from components.model.comparing.figures import Judged, figures, without_groups
from components.model.comparing.methods import SYNTHETIC
from components.model.comparing.record import Measured, MethodComparison
from components.model.comparing.settings import ComparisonSettings
from components.model.fitting import synthetic, training
from components.model.fitting.batches import Batches
from components.model.fitting.given import Given
from components.model.tuning.journal import Journal, Trial
from components.model.tuning.search import Result, Search, Watch
from components.model.tuning.space import Overlay

_JOURNAL = "trials.jsonl"
_PIXELS = 200_000  # sampled from eval, as where the temperature of a model is fitted
_LEAST = 1e-7  # probability, as in the metric `loss`


def conduct(given: Given, settings: ComparisonSettings) -> MethodComparison:
    """Compares the methods, seed by seed; trainings that an earlier process finished are not repeated.

    Args:
        given: what is learnt from.
        settings: of the stage.

    Raises:
        ConfigError: with a single label nothing is trained.
        ImagegateError: no training finished.
        OSError: a disk is full.
    """
    names, plan, seeds = given.names, settings.plan, settings.seeds()
    if given.kind.is_detector(len(names)):
        raise ConfigError(f"compare: with the only label {names[0]!r} nothing is trained and nothing can be compared")
    folders = {name: os.path.join(settings.checkpoints, _key(given, settings, name)) for name in plan.methods}
    searches = {name: _search(folders[name], overlay, seeds) for name, overlay in plan.methods.items()}
    trials: dict[str, list[Trial]] = {name: [] for name in plan.methods}
    total = len(seeds) * len(searches)
    # Seed by seed, so that what a stopped comparison leaves behind is balanced.
    for i, seed in enumerate(seeds):
        for name, search in searches.items():
            overlay = search.following()
            assert overlay is not None
            learn = functools.partial(_learn, given, settings, name, seed, folders[name])
            with progress.within(f"{name}, seed {i + 1} of {len(seeds)}"):
                done = search.conduct(overlay, learn)
            keras.utils.clear_session()
            trials[name].append(done)
            _tell(trials, total, f"{name}, seed {seed}")
    return _compared(given, settings, seeds, folders, trials)


def _search(folder: str, overlay: Overlay, seeds: list[int]) -> Search:
    """The trainings of one method. None of them ends early: each must have the same budget."""
    candidates: Iterator[Overlay] = ({**overlay, "seed": seed} for seed in seeds)
    return Search(Journal(os.path.join(folder, _JOURNAL)), candidates, trials=None, seconds=None, prunes=False)


def _learn(
    given: Given, settings: ComparisonSettings, name: str, seed: int, folder: str, overlay: Overlay, watch: Watch
) -> Result:
    """Trains and judges; keeps the answers beside the journal."""
    del overlay, watch  # the settings hold the first; nothing ends early
    checkpoints = os.path.join(folder, "checkpoints")
    own = settings.of_training(name, seed, checkpoints)
    shutil.rmtree(checkpoints, ignore_errors=True)  # of a training that was killed; it begins anew, to be timed
    try:
        with training.prepared(own) as gpus:
            started = time.monotonic()
            learnt = training.learn(given, own, gpus, judged=False)
            seconds = time.monotonic() - started
            judged = _judged(learnt, given, calibrates=own.decisions.calibrate)
    finally:
        shutil.rmtree(checkpoints, ignore_errors=True)
    found = figures(given.kind, len(given.names), judged)
    if not all(map(np.isfinite, found.values())):
        raise ImagegateError(f"{next(key for key, v in found.items() if not np.isfinite(v))} on eval is undefined")
    os.makedirs(folder, exist_ok=True)
    with replacing(_answers_of(folder, seed)) as temporary, open(temporary, "wb") as f:
        np.savez_compressed(f, rows=judged.rows, losses=judged.losses, seconds=np.array(seconds))
    return Result(found["loss"], found)


def _compared(
    given: Given,
    settings: ComparisonSettings,
    seeds: list[int],
    folders: Mapping[str, str],
    trials: Mapping[str, list[Trial]],
) -> MethodComparison:
    kind, methods = given.kind, []
    first: dict[int, Measured] | None = None
    for place, (name, overlay) in enumerate(settings.plan.methods.items(), 1):
        progress.report("intervals", place, len(folders), name)
        finished = [seed for seed, trial in zip(seeds, trials[name], strict=True) if trial.status == "finished"]
        own = {seed: _measured(kind, len(given.names), _answers_of(folders[name], seed)) for seed in finished}
        reason = next((trial.reason for trial in trials[name] if trial.status != "finished"), "")
        methods.append(record.summarised(name, overlay, kind.compared, own, first, reason))
        first = own if first is None else first
    if not any(method.figures for method in methods):
        raise ImagegateError(f"compare: no training could be finished: {methods[0].reason}")
    images = manifest.read(given.folder).counts["eval"]
    return MethodComparison(figures=kind.compared, seeds=tuple(seeds), images=images, methods=tuple(methods))


def _measured(kind: LabelKind, classes: int, path: str) -> Measured:
    with np.load(path) as kept:
        judged, seconds = Judged(kept["rows"], kept["losses"]), float(kept["seconds"])
    values = np.array(list(figures(kind, classes, judged).values()))
    return Measured(values, without_groups(kind, classes, judged), seconds)


def _judged(learnt: training.Learnt, given: Given, *, calibrates: bool) -> Judged:
    """The network's answers to eval, calibrated on it, as they will be where a model is served."""
    if given.kind.per_pixel:
        return _masks(learnt, given.kind, calibrates=calibrates)
    logits, target, weight = _logits(learnt)
    known = (target >= 0).any(axis=1) & np.isfinite(logits).all(axis=1)
    scale, bias = np.ones(logits.shape[1]), np.zeros(logits.shape[1])
    if calibrates and known.any():
        scale, bias = decisions.calibrate(given.kind, logits[known], target[known], weight[known].astype(np.float64))
    squash = functools.partial(special.softmax, axis=1) if given.kind.exclusive else special.expit
    probabilities, raw = squash(logits * scale + bias), squash(logits.astype(np.float64))
    index = {name: i for i, name in enumerate(given.names)}
    rows = []
    for p, uncalibrated, truth, w in zip(probabilities, raw, target, weight, strict=True):
        applies, unknown = (
            [name for name, own in zip(given.names, truth, strict=True) if own == state] for state in (1, -1)
        )
        answer = {outputs.PROBABILITIES: p, outputs.UNCALIBRATED: uncalibrated}
        answer |= {outputs.DECISIONS: p >= 0.5, outputs.ABSTAIN: False}
        rows.append(given.kind.row(applies, unknown, index, answer, float(w)))
    return Judged(np.stack(rows), np.zeros(0))


def _masks(learnt: training.Learnt, kind: LabelKind, *, calibrates: bool) -> Judged:
    """Counts the pixels of each image; the loss is that of the same number of pixels of each."""
    draw = np.random.default_rng(0)  # the same pixels for all methods
    each = max(1, _PIXELS // learnt.data.count("eval"))
    rows, samples, truths = [], [], []
    nothing = np.zeros((2, 3, curves.CALIBRATION_BINS))
    for logits, masks, weight in _batches(learnt.parts.model, learnt.data):
        classes = logits.shape[-1]
        for z, mask, w in zip(
            logits.reshape(len(logits), -1, classes), masks.reshape(len(masks), -1), weight, strict=True
        ):
            known = np.flatnonzero(mask != features.IGNORED_ID)
            cells = mask[known].astype(np.int64) * classes + z[known].argmax(axis=1)
            confusion: Any = np.bincount(cells, minlength=classes**2).astype(np.float64)
            if not np.isfinite(z).all():
                confusion = np.full(classes**2, np.nan)
            answer = {outputs.CONFUSION: confusion, outputs.CALIBRATION: nothing, outputs.ABSTAIN: False}
            rows.append(kind.row((), (), {}, answer, float(w)))
            drawn = known if len(known) <= each else draw.choice(known, each, replace=False)
            samples.append(z[drawn])
            truths.append(mask[drawn].astype(np.int64))
    stacked, truth = np.concatenate(samples), np.concatenate(truths)
    scale = np.ones(stacked.shape[1])
    if calibrates and len(stacked):
        repeated = np.repeat([float(row[0]) for row in rows], list(map(len, samples)))
        target = np.eye(stacked.shape[1], dtype=np.float32)[truth]
        scale, _ = decisions.calibrate(kind, stacked, target, repeated)
    losses = [
        float(_cross_entropy(z * scale, own).mean()) if len(own) else np.nan
        for z, own in zip(samples, truths, strict=True)
    ]
    return Judged(np.stack(rows), np.array(losses))


def _cross_entropy(logits: Floats, truth: NDArray[np.int64]) -> Floats:
    p = special.softmax(logits, axis=1)[np.arange(len(truth)), truth]
    return np.asarray(-np.log(np.maximum(p, _LEAST)), np.float64)


def _logits(learnt: training.Learnt) -> tuple[Any, Any, Any]:
    """Logits [n, K], targets and weights of eval; from the features of the backbone where these are known."""
    if learnt.features is not None:
        examples = learnt.features("eval")
        return learnt.parts.head.predict(examples.features, verbose=0), examples.target, examples.weight
    columns = zip(*_batches(learnt.parts.model, learnt.data), strict=True)
    logits, target, weight = (np.concatenate(column) for column in columns)
    return logits, target, weight


def _batches(model: keras.Model, data: Batches) -> Iterator[tuple[Any, Any, Any]]:
    apply = tf.function(lambda pixels: tf.cast(model(pixels, training=False), tf.float32), reduce_retracing=True)
    done, total = 0, data.count("eval")
    for pixels, target, weight in data.once("eval"):
        yield apply(pixels).numpy(), target.numpy(), weight.numpy()
        done += len(weight)
        progress.report("answers for eval", done, total)


def _tell(trials: Mapping[str, list[Trial]], total: int, what: str) -> None:
    """Reports a training, and how long the others may take."""
    done = [trial for own in trials.values() for trial in own]
    left = sum(trial.seconds for trial in done) / len(done) * (total - len(done))
    progress.report("trainings", len(done), total, f"{what}; about {number(left / 60, 2)} minutes left")


def _answers_of(folder: str, seed: int) -> str:
    return os.path.join(folder, f"{seed}.npz")


def _key(given: Given, settings: ComparisonSettings, name: str) -> str:
    """Names the trainings of a method by data, settings and code: with more seeds, or beside others, they stay."""
    told = settings.model_dump(mode="json", exclude={"checkpoints": True, "plan": True})
    pool = manifest.read(given.unlabelled).content if given.unlabelled else ""
    made = synthetic.read(given.synthetic).sha256 if given.synthetic and name == SYNTHETIC else ""
    parts = [manifest.read(given.folder).content, pool, made, given.names, settings.plan.methods[name], told]
    return f"{name}-{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]}"
