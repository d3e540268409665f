"""What a search tries: the choices of each setting, and the order in which their combinations come."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from components.labels.kind import LabelKind

Overlay = Mapping[str, Any]  # keys of `training` -> the values of one trial, as JSON
Draw = Callable[[float], Overlay]  # a number in [0, 1) -> an overlay

# What a search without values tries. The names are keys of `training`.
DEFAULTS = ("recipe", "loss", "label_weights", "learning_rate", "image_size", "augment")
BY_DEFAULT = ("loss", "learning_rate")
_RATE = 4.0  # the range of learning rates: from a fourth of the configured one to four times
_SIZES = (0.5, 1.0, 1.5)  # of the configured image size
_SIDE = 16  # sides of images are multiples of so many pixels
_GAMMA, _ALPHA = 2.0, 0.25  # of the paper on focal loss (Lin et al. 2017), for independent labels
_MOST_ALPHA = 0.99  # 1 would leave out all images to which a label does not apply
_ALL = 10_000  # combinations up to this number are listed and shuffled
_STRATA = 8  # parts of a range; each is drawn from before one is drawn from again
_REPEATS = 1000  # combinations that came before, in a row, after which there is nothing new to try


def choices(name: str, kind: LabelKind, training: Mapping[str, Any], shares: Mapping[str, float]) -> list[Overlay]:
    """What a setting without values tries, where it has choices; see `DEFAULTS`.

    Args:
        name: key of `training`, but `learning_rate`.
        kind: the label kind.
        training: the section `training`, complete.
        shares: label -> share of the training images to which it applies.

    >>> from components.labels import kinds
    >>> choices("augment", kinds.kind("single_label"), {}, {})
    [{'augment': True}, {'augment': False}]
    """
    if name == "loss":
        return _losses(kind, shares)
    if name == "image_size":
        sizes = [[max(_SIDE, round(side * f / _SIDE) * _SIDE) for side in training["image_size"]] for f in _SIZES]
        return [{"image_size": size} for size in sizes]
    values: dict[str, tuple[Any, ...]] = {
        "recipe": ("fast", "good", "best"),
        "label_weights": ("none", "square_root", "median_frequency"),
        "augment": (True, False),
    }
    return [{name: value} for value in values[name]]


def _losses(kind: LabelKind, shares: Mapping[str, float]) -> list[Overlay]:
    """Cross-entropy and focal loss, each for all labels alike and by label.

    For independent labels, the cross-entropy is the binary one, and focal loss has the factor alpha: that of the paper,
    or one by label that makes up for how rare it is (section 3.1: by inverse frequency). Where one of several labels
    applies, a factor of the true label is a label weight, and `median_frequency` is one by inverse frequency; what
    makes up for rare labels as configured is tried as well.
    """
    weights: list[Overlay] = [{"label_weights": one} for one in ("none", "median_frequency")]
    if kind.exclusive:
        return [{"loss": loss, **one} for loss in ("cross_entropy", "focal") for one in ({}, *weights)]
    alphas = {label: round(min(_MOST_ALPHA, 1 - share), 3) for label, share in shares.items()}
    focal: Overlay = {"loss": "focal", "label_weights": "none"}
    return [
        *({"loss": "cross_entropy", **one} for one in weights),
        focal,
        {**focal, "focal": {"gamma": _GAMMA, "alpha": _ALPHA}},
        {**focal, "focal": {"gamma": _GAMMA, "alpha": alphas}},
    ]


def rates(rate: float) -> tuple[float, float]:
    """Smallest and largest learning rate that a search without values tries."""
    return rate / _RATE, rate * _RATE


def candidates(
    listed: Sequence[Sequence[Overlay]],
    drawn: Sequence[Draw],
    seed: int,
    resolve: Callable[[Overlay], str | None],
) -> Iterator[Overlay]:
    """Yields what to try, in an order that depends on the seed alone: first the settings as they are, then others.

    Combinations come in random order: with as few trials as a search has, that finds good settings sooner than one
    setting after another (Bergstra & Bengio, "Random search for hyper-parameter optimization", JMLR 2012).

    Args:
        listed: the choices of each setting; of two that hold the same key, the later one counts.
        drawn: settings that take a number of a range.
        seed: of the order.
        resolve: overlay -> the complete settings as text, or None if these contradict each other. What resolves to
            settings that came before is left out.
    """
    seen: set[str] = set()
    repeats = 0
    for overlay in itertools.chain([{}], _combinations(listed, drawn, random.Random(seed))):  # noqa: S311  repeatable
        text = resolve(overlay)
        if text is not None and text not in seen:
            seen.add(text)
            repeats = 0
            yield overlay
        elif (repeats := repeats + 1) >= _REPEATS:
            return


def _combinations(
    listed: Sequence[Sequence[Overlay]], drawn: Sequence[Draw], order: random.Random
) -> Iterator[Overlay]:
    """Yields all combinations of the lists once, or without end if there are ranges or too many of them."""
    size = math.prod(len(one) for one in listed)
    if size <= _ALL and not drawn:
        everything = list(itertools.product(*listed))
        order.shuffle(everything)
        yield from map(_joined, everything)
        return
    piles: list[list[Overlay]] = [[] for _ in listed]
    strata: list[list[int]] = [[] for _ in drawn]
    while True:
        parts = [_next(pile, one, order) for pile, one in zip(piles, listed, strict=True)]
        for pile, draw in zip(strata, drawn, strict=True):
            parts.append(draw((_next(pile, range(_STRATA), order) + order.random()) / _STRATA))
        yield _joined(parts)


def _next(pile: list[Any], of: Sequence[Any], order: random.Random) -> Any:
    """Deals from a shuffled pile, so that of few trials no choice gets more than its share."""
    if not pile:
        pile.extend(of)
        order.shuffle(pile)
    return pile.pop()


def _joined(parts: Sequence[Overlay]) -> Overlay:
    return {key: value for part in parts for key, value in part.items()}
