"""Which of several ways to train is used: the one that is better beyond chance, on images that none learnt from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest

from components.labels import kinds
from components.model.fitting.regression import Examples
from components.model.fitting.synthetic import OfLabel, Synthetic
from components.model.fitting.training import Learnt
from components.model.fitting.unlabelled import choice
from components.model.fitting.unlabelled.propagation import Refused
from components.model.networks.network import Parts

KIND = kinds.kind("single_label")


@dataclass
class Images:
    """Stands for the batches of a data set: `sizes` of the splits; a fold of train holds out a third of it."""

    sizes: dict[str, int]
    place: str = "all"
    labels: int = 2

    def labelled(self, split: str) -> int:
        return self.sizes[split]

    count = labelled

    def fold(self, index: int, of: int) -> Images:
        held = self.sizes["train"] // of
        return Images(self.sizes | {"held_out": held, "train": self.sizes["train"] - held}, f"fold {index}")


def head() -> keras.Model:
    """Gives its input, so that the features of a split are a network's logits."""
    inputs = keras.Input((2,))
    return keras.Model(inputs, inputs * 1.0)


class Trainings:
    """Trains networks of which a share `right` of the answers is right, and equally sure ones."""

    def __init__(self, right: dict[str, float]) -> None:
        self.right, self.done, self._head = right, list[str](), head()

    def __call__(self, data: Any, place: str, made: Callable[[Any], Any] | None) -> Learnt:
        method = made(data) if made else "plain"
        self.done.append(f"{method} on {data.place}")

        def features(split: str) -> Examples:
            n = data.labelled(split)
            truth = np.arange(n) % 2
            answer = np.where(np.arange(n) < self.right[method] * n, truth, 1 - truth)
            logits = np.eye(2, dtype=np.float32)[answer]
            return Examples(logits, np.eye(2, dtype=np.float32)[truth], np.ones(n, np.float32))

        # Only the head of the network is used where features are known.
        parts = Parts(self._head, self._head, self._head, pretrained=True)
        return Learnt(parts, data, {method: []}, None, (1.0, 1.0), "", features)


def made(*names: str, refused: tuple[str, str] = ("", "")) -> dict[Any, Any]:
    """Methods by name, of which one may be refused, everywhere or on "all" images of train only."""

    def maker(name: str) -> Callable[[Any, Any], str]:
        def make(data: Images, plain: Callable[[], Learnt]) -> str:
            assert "plain" in plain().history
            if refused[0] == name and data.place.startswith(refused[1]):
                raise Refused("the graph falls apart")
            return name

        return make

    return {name: maker(name) for name in names}


def best(trainings: Trainings, methods: dict[Any, Any], data: Images) -> tuple[str, list[tuple[str, bool]], list[str]]:
    """The method that is used, what is told of each, and the reasons."""
    chosen, pool = choice.best(list(methods), methods, trainings, data, KIND, seed=1)
    [name] = chosen.history
    return name, [(one.method, one.used) for one in pool.tried], [one.reason for one in pool.tried]


ENOUGH = Images({"train": 300, "eval": 200, "unlabelled": 500})
FEW = Images({"train": 300, "eval": 99, "unlabelled": 500})


def test_a_method_is_used_if_it_is_better_beyond_chance_and_else_not() -> None:
    """0.9 right of 200 against 0.6 is far beyond chance; 0.61 against 0.6 is not, nor is 0.5."""
    for right, wanted in ((0.9, "propagation"), (0.61, "plain"), (0.5, "plain")):
        trainings = Trainings({"plain": 0.6, "propagation": right})
        name, told, [reason] = best(trainings, made("propagation"), ENOUGH)
        assert (name, told) == (wanted, [("propagation", wanted != "plain")])
        assert reason.startswith("used: on 200" if wanted != "plain" else "not used, since")
        assert trainings.done == ["plain on all", "propagation on all"]


def test_the_second_method_has_to_be_better_than_the_first_that_is_used() -> None:
    methods = made("propagation", "consistency")
    name, told, _ = best(Trainings({"plain": 0.6, "propagation": 0.9, "consistency": 0.8}), methods, ENOUGH)
    assert (name, told) == ("propagation", [("propagation", True), ("consistency", False)])


def test_a_refused_method_is_named_and_the_plain_training_stays() -> None:
    name, told, [reason] = best(
        Trainings({"plain": 0.6, "propagation": 0.9}), made("propagation", refused=("propagation", "")), ENOUGH
    )
    assert (name, told, reason) == ("plain", [("propagation", False)], "not used: the graph falls apart")


def test_with_few_eval_images_folds_of_train_decide_and_only_the_better_way_is_trained_on_all_of_it() -> None:
    folds = [f"{method} on fold {i}" for i in range(3) for method in ("plain", "propagation")]
    trainings = Trainings({"plain": 0.6, "propagation": 0.9})
    name, told, [reason] = best(trainings, made("propagation"), FEW)
    assert (name, told) == ("propagation", [("propagation", True)])
    assert reason.startswith("used: on 300 images of train in cross-validation, ")
    assert trainings.done == [*folds, "plain on all", "propagation on all"]
    trainings = Trainings({"plain": 0.6, "propagation": 0.61})
    assert best(trainings, made("propagation"), FEW)[:2] == ("plain", [("propagation", False)])
    assert trainings.done == [*folds, "plain on all"]


@pytest.mark.parametrize("where", ["fold", "all"])
def test_with_few_eval_images_too_a_refused_method_is_not_used(where: str) -> None:
    methods = made("propagation", refused=("propagation", where))
    name, told, [reason] = best(Trainings({"plain": 0.6, "propagation": 0.9}), methods, FEW)
    assert (name, told, reason) == ("plain", [("propagation", False)], "not used: the graph falls apart")


@pytest.mark.parametrize(("right", "used"), [(0.95, True), (0.81, False)])
def test_synthetic_images_have_to_be_better_than_what_is_used_without_them(right: float, used: bool) -> None:
    """Where they are used, no training with images without labels is any longer."""
    trainings = Trainings({"plain": 0.6, "propagation": 0.8, "synthetic": right})
    methods = made("propagation")
    without, pool = choice.best(["propagation"], methods, trainings, ENOUGH, KIND, seed=1)
    before = dataclasses.replace(without, pool=pool)
    images = Synthetic(method="mixup", labels={"cat": OfLabel(train=4, images=6)})

    def train(data: Any, place: str, extra: Callable[[Any], Any] | None) -> Learnt:
        return trainings(data, place, lambda _: place)

    chosen = choice.with_synthetic(images, "folder", train, ENOUGH, before, KIND, seed=1)
    assert list(chosen.history) == (["synthetic"] if used else ["propagation"])
    assert chosen.pool is not None
    assert chosen.made is not None
    assert chosen.made.tried is not None
    assert (chosen.made.tried.used, chosen.pool.tried[0].used) == (used, not used)
