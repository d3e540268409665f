"""Shortcuts: labels that can be told from one property, against scikit-learn, and honest data sets that have none."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from counting import Seen, merged
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.naive_bayes import CategoricalNB
from test_data_gate import OFF

from components.gates.data_rules import shortcuts
from components.gates.data_rules.base import Carriers, GateInput
from components.gates.settings import DataGateLimits

RANDOM = np.random.default_rng(0)


def image(label: str, number: int, name: str = "", **look: int) -> Seen:
    """An image with a random hash; `look` changes fields of `looks.LOOK`."""
    fields = {"faults": 0, "brightness": int(RANDOM.integers(80, 180)), "border": 0, "width": 640, "height": 480}
    fields |= {"encoding": 0, "camera": 0, "day": 0} | look
    bits = int.from_bytes(RANDOM.bytes(32), "little")
    path = f"{label}/{name or f'{number:05}.jpg'}"
    return Seen(path, "train", (label,), perceptual=bits, look=tuple(fields.values()))


def found(images: list[Seen], labels: tuple[str, ...] = ("day", "night")) -> dict[tuple[str, str], shortcuts.Shortcut]:
    return {(one.label, one.told): one for one in shortcuts._found(GateInput(*merged(images, labels)))}


def notes(images: list[Seen], labels: tuple[str, ...] = ("day", "night"), **limits: Any) -> list[str]:
    return shortcuts.notes(GateInput(*merged(images, labels)), DataGateLimits(**OFF | limits))


def honest(count: int = 100) -> list[Seen]:
    return [image(label, i) for label in ("day", "night") for i in range(count)]


def test_honest_labels_cannot_be_told_from_any_property() -> None:
    told = found(honest())
    assert list(told) == [("day", "the brightness")]  # nothing else differs at all, and night is as well told as day
    assert 0.35 < told["day", "the brightness"].value < 0.65
    assert notes(honest()) == []


@pytest.mark.parametrize(
    ("told", "day", "night"),
    [
        ("the brightness", {"brightness": 150}, {"brightness": 30}),
        ("the size", {"width": 640}, {"width": 641}),
        ("the format and compression", {"encoding": 240}, {"encoding": 12}),
        ("the border", {"border": 0}, {"border": 40}),
        ("the camera", {"camera": 7}, {"camera": 200}),
        ("the date in the file", {"day": 19_000}, {"day": 19_001}),
        ("the pattern of the file names", {"name": "IMG_{}.jpg"}, {"name": "holiday ({}).jpg"}),
    ],
)
def test_a_label_that_one_property_tells_is_noted(told: str, day: dict[str, Any], night: dict[str, Any]) -> None:
    def made(label: str, i: int, look: dict[str, Any]) -> Seen:
        return image(label, i, **{key: v.format(i) if isinstance(v, str) else v for key, v in look.items()})

    images = [made("day", i, day) for i in range(60)] + [made("night", i, night) for i in range(60)]
    (note,) = notes(images)
    assert note.startswith(f"shortcut: label 'day' can be told from {told} alone, balanced accuracy 1.00 [0.96, 1.00]")
    assert "A model may learn this instead of what the images show" in note


def test_two_labels_of_many_that_a_property_tells_share_a_note() -> None:
    labels = ("a", "b", "c", "d")
    images = [image(label, i, camera=5 * (label == "a") + 9 * (label == "b")) for label in labels for i in range(80)]
    (note,) = notes(images, labels)
    assert "label 'a' can be told from the camera alone" in note
    assert "; likewise 'b'." in note  # c and d have no camera, and cannot be told from each other


def test_what_is_only_likely_is_not_striking() -> None:
    """Sunsets are darker: 80 % of night is dark, and 20 % of day. The balanced accuracy is 0.8."""
    images = [image("day", i, brightness=30 if i % 5 == 0 else 150) for i in range(100)]
    images += [image("night", i, brightness=150 if i % 5 == 0 else 30) for i in range(100)]
    assert found(images)["day", "the brightness"].right == (80, 80)
    assert notes(images) == []
    few = [image("day", i, brightness=150) for i in range(20)] + [image("night", i, brightness=30) for i in range(19)]
    assert found(few) == {}  # 19 images are too few


def test_a_limit_refuses_and_takes_the_place_of_the_note() -> None:
    images = [image("day", i, camera=1) for i in range(80)] + [image("night", i, camera=2) for i in range(80)]
    limits = DataGateLimits(**OFF | {"max_shortcut": 0.8})
    (verdict,) = shortcuts.shortcuts(GateInput(*merged(images, ("day", "night"))), limits)
    assert verdict.reason == (
        "balanced accuracy of the camera alone of label 'day' is 1 (160 images, 95 % interval 0.968 to 1.000), above "
        "the maximum 0.8. Collect images of it with other properties, or raise balance.max_shortcut"
    )
    assert notes(images, max_shortcut=0.8) == []
    (verdict,) = shortcuts.shortcuts(GateInput(*merged(honest(), ("day", "night"))), limits)
    assert verdict.passed


def test_copies_of_one_image_count_once() -> None:
    """Of 100 images of night, 90 are one photo: 11 are left, which are too few."""
    same = image("night", 0)
    copies = [dataclasses.replace(same, content=f"copy {i}", path=f"night/copy {i}.jpg") for i in range(90)]
    images = [image("day", i) for i in range(100)] + copies + [image("night", i) for i in range(10)]
    assert found(images) == {}


@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_answers_are_those_of_scikit_learn(seed: int, size: int) -> None:
    random = np.random.default_rng(seed)
    codes, label, groups = random.integers(size, size=80), random.integers(2, size=80), random.integers(5, size=80)
    codes[0], label[:2] = size - 1, (0, 1)
    members = [np.array([1]), np.array([0])]
    sets = shortcuts._Sets(Carriers(["yes", "no"], label, members, [np.empty(0, np.int64)] * 2), label)
    right, images = shortcuts._told(codes, groups.astype(np.uint64), sets)
    model = CategoricalNB(alpha=1, fit_prior=False, min_categories=size, class_prior=[0.5, 0.5])
    folds = PredefinedSplit(groups)
    for train, _ in folds.split():
        if len(np.unique(label[train])) < 2:
            return
    sure = cross_val_predict(model, codes[:, None], label, cv=folds, method="predict_proba")[:, 1]
    assume((abs(sure - 0.5) > 1e-9).all())  # of two answers that are equally probable, rounding takes either
    assert (right[:, 0] / images[:, 0]).mean() == pytest.approx(balanced_accuracy_score(label, sure > 0.5))


def test_several_labels_of_an_image_are_told_each_by_itself_and_unknown_ones_not_counted() -> None:
    images = [
        Seen(f"{i}", "train", (("sea",) if i % 2 else ()) + (("sun",) if i % 3 else ()),
             unknown=("sky",) if i < 60 else (), look=(0, 20 if i % 2 else 200, 0, 9, 9, 0, 0, 0))
        for i in range(120)
    ]  # fmt: skip
    told = found(images, ("sea", "sun", "sky"))
    assert told["sea", "the brightness"].images == (60, 60)
    assert told["sea", "the brightness"].value == 1
    assert told["sun", "the brightness"].images == (80, 40)
    assert told["sun", "the brightness"].value < 0.7
    assert ("sky", "the brightness") not in told  # 60 images without it, and none with it


def test_the_interval_is_newcombes() -> None:
    """Wilson's intervals of 56/70 and 48/80, and their squares added (Newcombe 1998, method 10, example a)."""
    one = shortcuts.Shortcut("a", "the size", (56, 32), (70, 80))
    # The difference 56/70 - 48/80 = 0.2 has the interval 0.0524 to 0.3339. With 32/80 = 1 - 48/80 it is the sum - 1.
    low, high = (2 * bound - 1 for bound in one.interval)
    assert (low, high) == (pytest.approx(0.0524, abs=1e-4), pytest.approx(0.3339, abs=1e-4))
