"""What a training does, one phase after another: the head, then everything, once or several times."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from components.base import progress
from components.base.checkpoint import Checkpoint
from components.data.dataset import UNLABELLED
from components.labels.kind import LabelKind
from components.model.fitting import averaging, solver
from components.model.fitting.batches import Batches
from components.model.fitting.phases import Phases
from components.model.fitting.regression import Examples
from components.model.fitting.solver import Solution
from components.model.fitting.unlabelled.propagation import Guess
from components.model.networks import network
from components.model.settings import TrainerSettings

History = dict[str, list[dict[str, float]]]


@dataclass(frozen=True)
class Heads:
    """How the head is solved.

    Attributes:
        features: split -> features of the backbone as it is at the begin.
        first: solves the head on them; None: gradients train it.
        later: split -> features of the backbone as it is when they are asked for, at the end.
        last: solves the head again at the end; None: it stays as it is.
    """

    features: Callable[[str], Examples]
    first: Callable[[], Solution] | None
    later: Callable[[str], Examples]
    last: Callable[[], Solution] | None


def follow(
    parts: network.Parts,
    data: Batches,
    phases: Phases,
    settings: TrainerSettings,
    kind: LabelKind,
    heads: Heads,
) -> tuple[History, Checkpoint | None]:
    """Learns the head first, then everything, as often as the recipe says.

    Args:
        parts: the network.
        data: what it learns from.
        phases: trains.
        settings: of the Trainer.
        kind: the label kind.
        heads: how the head is solved.

    Returns:
        metrics of every epoch of each phase, of a solved head the strengths that were tried as "path"; and how the
        weights were chosen.
    """
    history: History = {"head": [], "all": []}
    chosen, head_epochs = None, settings.head_epochs(masks=kind.per_pixel)
    if heads.first is not None:
        solution = heads.first()
        history["path"] = [dataclasses.asdict(step) for step in solution.path]
        least = min(step.val_loss for step in solution.path)
        chosen = Checkpoint(solved=True, split=solution.split, measure="loss", loss=least)
    elif settings.runs == 1 and phases.finished_epochs("all"):  # its backup contains the trained head
        history["head"] = phases.finished_epochs("head")
    elif head_epochs and kind.per_pixel:
        # Feature maps of every stride need more memory than the images, so they are computed again each epoch.
        parts.extractor.trainable = False
        history["head"], chosen = phases.run("head", parts.model, data.train(parts.augment), data.eval(), head_epochs)
        parts.extractor.trainable = True
    elif head_epochs:
        train = data.of_features(heads.features("train"), shuffle=True)
        evaluation = data.of_features(heads.features("eval"), shuffle=False)
        history["head"], chosen = phases.run("head", parts.head, train, evaluation, head_epochs)
    if settings.all_epochs:
        trained = bool(history["head"] or history.get("path"))
        all_layers, chosen = _all(parts, data, phases, settings, trained=trained)
        history |= all_layers
    if heads.last is not None:
        history["retrained"] = [dataclasses.asdict(step) for step in heads.last().path]
        chosen = chosen and chosen.model_copy(update={"retrained": True})
    return history, chosen


def _all(
    parts: network.Parts, data: Batches, phases: Phases, settings: TrainerSettings, *, trained: bool
) -> tuple[History, Checkpoint]:
    """Trains the whole network, once or several times from the same weights; then averages the best of them."""
    model, evaluation, epochs = parts.model, data.eval(), settings.all_epochs
    start, runs = averaging.weights(model), []
    for again in range(settings.runs):
        averaging.assign(model, start)
        train = data.train(parts.augment, again)
        history, chosen = phases.run("all", model, train, evaluation, epochs, trained=trained, again=again)
        runs.append((history, chosen, averaging.weights(model)))
    if settings.runs == 1:
        return {"all": history}, chosen

    def measure(weights: averaging.Weights) -> float:
        averaging.assign(model, weights)
        return phases.measure(model, evaluation)

    measured = [(math.inf if chosen.loss is None else chosen.loss, weights) for _, chosen, weights in runs]
    averaged, loss = averaging.greedy(measured, measure)
    averaging.assign(model, averaging.mean([measured[index][1] for index in averaged]))
    history, chosen, _ = runs[averaged[0]]
    others = {f"all, run {index + 1}": run[0] for index, run in enumerate(runs) if index != averaged[0]}
    chosen = chosen.model_copy(update={"runs": settings.runs, "averaged": len(averaged), "loss": loss})
    return {"all": history} | others, chosen


def shift(head: keras.Model, positive: int | None, adjustment: Sequence[float]) -> None:
    """Subtracts from the logits of a trained head what an adjusted loss would have added to them.

    Args:
        head: features -> logits, for masks of each pixel; its last layer has one bias per unit.
        positive: index of the label that one sigmoid unit stands for, or None.
        adjustment: [K], see `labels.priors`.
    """
    last = head.get_layer("logits" if positive is None else "logit")
    kernel, bias = last.get_weights()
    # The other of two labels has the logit 0, and its own adjustment.
    added = adjustment if positive is None else [adjustment[positive] - adjustment[1 - positive]]
    last.set_weights([kernel, bias - np.asarray(added, bias.dtype)])


def solve(
    head: keras.Model,
    kind: LabelKind,
    positive: int | None,
    guess: Guess | None,
    features: Callable[[str], Examples],
    weights: Sequence[float],
    adjustment: Sequence[float] | None,
) -> Solution:
    """Solves the last layer and sets its weights.

    Args:
        head: features -> logits.
        kind: the label kind.
        positive: index of the label that one sigmoid unit stands for, or None.
        guess: labels that were guessed for images without labels, or None.
        features: split -> features.
        weights: label weights [K].
        adjustment: [K], added to the logits in the loss, or None.
    """
    train, evaluation = features("train"), features("eval")
    guessed = None if guess is None else Examples(features(UNLABELLED).features, guess.target, guess.weight)
    progress.report("training the head", 0, None, "solving it")
    if positive is None:
        solution = solver.solve(
            train,
            evaluation,
            exclusive=kind.exclusive,
            label_weights=weights,
            adjustment=adjustment,
            guessed=guessed,
        )
    else:
        solution = solver.solve_one_of_two(train, evaluation, positive, weights, adjustment, guessed)
    last = next(layer for layer in head.layers if isinstance(layer, keras.layers.Dense))
    last.set_weights([solution.kernel.astype(np.float32), solution.bias.astype(np.float32)])
    return solution
