"""Which ways to learn from images without labels are tried, and which of them is used."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from components.base import progress
from components.data.dataset import UNLABELLED
from components.labels.kind import LabelKind
from components.model.fitting.batches import HELD_OUT, Batches, Others
from components.model.fitting.synthetic import Synthetic
from components.model.fitting.tried import Name, Tried
from components.model.fitting.unlabelled import autoencoder, contest, propagation
from components.model.fitting.unlabelled.consistency import Consistent
from components.model.fitting.unlabelled.contest import Judged
from components.model.fitting.unlabelled.propagation import Guess
from components.model.fitting.unlabelled.record import Pool
from components.model.networks import network
from components.model.settings import TrainerSettings

if TYPE_CHECKING:
    from components.model.fitting.training import Learnt

Wrap = Callable[[network.Parts, int | None], keras.Model]

_LEAST = 100  # images without labels from which on `auto` uses them, if there are as many as labelled ones
_STEPS = 25  # most batches of an epoch, of which each has images without labels


@dataclass(frozen=True)
class Extra:
    """What a method adds to a training.

    Attributes:
        data: batches that hold images without labels as well.
        wrap: makes of the network the one that is fitted, with the same layers; the second argument is the size of the
            parts that a batch is divided into, or None. None: the network is fitted itself.
        guess: labels that were guessed, from which a head is solved as well; or None.
    """

    data: Batches
    wrap: Wrap | None = None
    guess: Guess | None = None


Train = Callable[[Batches, str, Callable[[Batches], Extra] | None], "Learnt"]
Made = Callable[[Batches, Callable[[], "Learnt"]], Extra]


def methods(settings: TrainerSettings, data: Batches, kind: LabelKind) -> tuple[Name, ...]:
    """The methods to try for the images without labels that there are."""
    count = data.count(UNLABELLED)
    if not count or settings.unlabelled == "none" or kind.is_detector(data.labels):
        return ()
    if settings.unlabelled != "auto":
        return (settings.unlabelled,)
    if count < max(_LEAST, data.labelled("train")):
        return ()
    return () if kind.per_pixel else ("propagation",)


def best(
    names: Sequence[Name], made: dict[Name, Made], train: Train, data: Batches, kind: LabelKind, seed: int
) -> tuple[Learnt, Pool]:
    """Trains without images without labels and with them, and returns what is better beyond chance.

    With few eval images, cross-validation on train decides first, and only the better way is trained on all of it.

    Args:
        names: methods to try, in order.
        made: name -> what makes the method's additions, from the batches and what gives a training on them without it.
        train: trains on batches; the second argument names its checkpoints, the third makes a method's additions.
        data: the batches.
        kind: the label kind.
        seed: of the bootstrap.
    """
    tried: list[Tried] = []
    if data.labelled("eval") >= contest.FEW:
        plain = chosen = train(data, "", None)
        judged = _judged(plain, data, "eval", kind)
        for name in names:
            other, outcome = _against(name, made[name], train, data, plain, judged, kind, seed)
            tried.append(outcome)
            if outcome.used and other is not None:
                chosen, judged = other, _judged(other, data, "eval", kind)
        return chosen, Pool(images=data.count(UNLABELLED), tried=tuple(tried))
    tried += [_crossed(name, made[name], train, data, kind, seed) for name in names]
    plain = train(data, "", None)
    used = next((one.method for one in tried if one.used), None)
    if used is not None:
        try:
            plain = train(data, used, lambda part: made[used](part, lambda: plain))
        except propagation.Refused as refused:  # on all of train, though not on its folds
            refusal = Tried(method=used, used=False, reason=f"not used: {refused}")
            tried = [refusal if one.method == used else one for one in tried]
    return plain, Pool(images=data.count(UNLABELLED), tried=tuple(tried))


def joined_by(folder: str) -> Callable[[Batches], Extra]:
    """Makes the additions of synthetic images: train has them as well."""
    return lambda part: Extra(part.with_synthetic(folder))


def with_synthetic(
    made: Synthetic, folder: str, train: Train, data: Batches, best: Learnt, kind: LabelKind, seed: int
) -> Learnt:
    """Trains with synthetic images, if there are any, and returns what is better beyond chance.

    Eval decides, however few its images are: the generator has learnt from all of train, so that no fold of it can.

    Args:
        made: the synthetic images.
        folder: where they are.
        train, data, kind, seed: see `best`.
        best: the training without them.
    """
    if not made.images or not data.labelled("eval") or kind.is_detector(data.labels):
        return dataclasses.replace(best, made=made)
    judged, join = _judged(best, data, "eval", kind), joined_by(folder)
    other, outcome = _against("synthetic", lambda part, _: join(part), train, data, best, judged, kind, seed)
    made = made.model_copy(update={"tried": outcome})
    if other is None or not outcome.used:
        return dataclasses.replace(best, made=made)
    passed = {"used": False, "reason": "not used: synthetic images are better still"}
    tried = [one.model_copy(update=passed) if one.used else one for one in (best.pool.tried if best.pool else ())]
    pool = best.pool and best.pool.model_copy(update={"tried": tuple(tried)})
    return dataclasses.replace(other, made=made, pool=pool)


def _against(
    name: Name, made: Made, train: Train, data: Batches, plain: Learnt, judged: Judged, kind: LabelKind, seed: int
) -> tuple[Learnt | None, Tried]:
    """Trains with a method and compares on eval."""
    with progress.within(f"{name}"):
        try:
            other = train(data, name, lambda part: made(part, lambda: plain))
        except propagation.Refused as refused:
            return None, Tried(method=name, used=False, reason=f"not used: {refused}")
    return other, _told(name, contest.compare(judged, _judged(other, data, "eval", kind), seed), "eval")


def _crossed(name: Name, made: Made, train: Train, data: Batches, kind: LabelKind, seed: int) -> Tried:
    """Compares on folds of train, each of which was held out from its two trainings."""
    sides: tuple[list[Judged], list[Judged]] = [], []
    for index in range(contest.FOLDS):
        part = data.fold(index, contest.FOLDS)
        if not part.count("train") or not part.count(HELD_OUT):
            continue
        with progress.within(f"comparison {index + 1} of {contest.FOLDS}"):
            plain = train(part, f"fold-{index}", None)
            try:
                other = train(part, f"fold-{index}-{name}", functools.partial(_made, made, plain))
            except propagation.Refused as refused:
                return Tried(method=name, used=False, reason=f"not used: {refused}")
        for side, learnt in zip(sides, (plain, other), strict=True):
            side.append(_judged(learnt, part, HELD_OUT, kind))
    if not sides[0]:
        return Tried(method=name, used=False, reason="not used: there are too few images with labels to compare")
    outcome = contest.compare(contest.joined(sides[0]), contest.joined(sides[1]), seed)
    return _told(name, outcome, "train in cross-validation")


def _made(made: Made, plain: Learnt, data: Batches) -> Extra:
    return made(data, lambda: plain)


def used(made: Made, name: Name, train: Train, data: Batches) -> Learnt:
    """Trains with a method, whether or not it is better; without it first, if the method begins with that.

    Args:
        made, train, data: see `best`.
        name: of the method.

    Raises:
        propagation.Refused: labels cannot be propagated.
    """
    learnt = train(data, name, lambda part: made(part, lambda: train(data, "", None)))
    return dataclasses.replace(learnt, pool=Pool(images=data.count(UNLABELLED)))


def _told(name: Name, outcome: contest.Outcome, where: str) -> Tried:
    lower, high, low = -outcome.difference, -outcome.low, -outcome.high
    facts = (
        f"on {outcome.images} images of {where}, the loss is lower by {lower:.3f} (95% interval {low:.3f} to "
        f"{high:.3f}), and {outcome.gain:+.1%} of the answers are right"
    )
    reason = f"used: {facts}" if outcome.better else f"not used, since it is not better beyond chance: {facts}"
    return Tried(
        method=name,
        used=outcome.better,
        reason=reason,
        images=outcome.images,
        difference=outcome.difference,
        interval=(outcome.low, outcome.high),
    )


def _answers(learnt: Learnt, data: Batches, split: str) -> tuple[Any, Any, Any]:
    """Logits, targets and weights of a split, by a trained network."""
    if learnt.features is not None:
        examples = learnt.features(split)
        return learnt.parts.head.predict(examples.features, verbose=0), examples.target, examples.weight
    logits, target, weight = map(np.concatenate, zip(*_batches(learnt, data, split), strict=True))
    return logits, target, weight


def _batches(learnt: Learnt, data: Batches, split: str) -> Iterator[tuple[Any, Any, Any]]:
    """Yields logits, targets and weights of each batch of a split, by a trained network."""
    apply = tf.function(lambda pixels: learnt.parts.model(pixels, training=False), reduce_retracing=True)
    done = 0
    for pixels, target, weight in data.once(split):
        yield apply(pixels).numpy(), target.numpy(), weight.numpy()
        done += len(weight)
        progress.report(f"answers for {split}", done, data.count(split))


def _judged(learnt: Learnt, data: Batches, split: str, kind: LabelKind) -> Judged:
    if kind.per_pixel:  # one batch at a time: the logits of all pixels would need too much memory
        return contest.joined([Judged.of_masks(*batch) for batch in _batches(learnt, data, split)])
    return Judged.of(*_answers(learnt, data, split), kind.exclusive)


def made_of(settings: TrainerSettings, kind: LabelKind, shares: Sequence[float]) -> dict[Name, Made]:
    """Makes of each method what it adds.

    Args:
        settings: of the Trainer.
        kind: the label kind.
        shares: of each label among what is labelled, see `labels.priors`.
    """
    each = settings.batch(masks=kind.per_pixel)

    def consistent(data: Batches, _: Callable[[], Learnt]) -> Extra:
        beside = data.beside(Others(each, _STEPS))

        def wrap(parts: network.Parts, part: int | None) -> keras.Model:
            model, steps = parts.model, int(beside.train().cardinality())
            told: dict[str, Any] = {"kind": kind, "shares": shares, "steps": steps, "seed": settings.seed}
            return Consistent(model.input, model.output, **told, part=part)

        return Extra(beside, wrap)

    def reconstructing(data: Batches, _: Callable[[], Learnt]) -> Extra:
        return Extra(data.beside(Others(each, _STEPS)), autoencoder.build)

    return {
        "propagation": _propagated(settings, kind),
        "consistency": consistent,
        "autoencoder": reconstructing,
    }


def _propagated(settings: TrainerSettings, kind: LabelKind) -> Made:
    """Makes what label propagation adds: the guesses follow from the network that was trained without them."""

    def made(data: Batches, without: Callable[[], Learnt]) -> Extra:
        learnt = without()
        points, target, _ = _answers(learnt, data, "train")
        others, _, _ = _answers(learnt, data, UNLABELLED)
        progress.report("propagating labels", 0, None, "along the graph of nearest neighbours")
        guess = propagation.spread(points, target, others, exclusive=kind.exclusive)
        beside = Others(settings.batch(masks=False), _STEPS, guess.target, guess.weight)
        return Extra(data.beside(beside), guess=guess)

    return made
