"""The numbers of both models on common labels and images, against scikit-learn and by hand, on literal predictions."""

import math
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from components.evaluation import alignment
from components.evaluation.comparison import Scope
from components.labels import kinds

NEW, OLD = ["zero", "one", "two"], ["three", "two", "one"]  # in common: one, two
SERVED = alignment.aligned(NEW, OLD)


def scope(task: str, labels: list[str] = NEW, served: list[str] = SERVED, **more: Any) -> Scope:
    return Scope(kind=kinds.kind(task), labels=labels, version="5", served=served, **more)


def scored(name: str, applies: list[str], p: list[float], unknown: tuple[str, ...] = (), **more: Any) -> Any:
    row = {"path": name, "sha256": name, "labels": applies, "unknown": list(unknown), "weight": 1.0, "slices": []}
    answer = {"probabilities": p, "uncalibrated": p, "decisions": [x >= 0.5 for x in p]}
    return row | answer | {"familiarity": 1.0, "abstain": False} | more


# The candidate's answers are in the order of NEW, the served model's in that of `aligned`: one, two, three.
TRUTH = ["one", "one", "two", "two", "zero"]
CANDIDATE = [[0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.2, 0.1, 0.7], [0.1, 0.5, 0.4], [0.9, 0.1, 0.0]]
OF_SERVED = [[0.7, 0.2, 0.1], [0.2, 0.1, 0.7], [0.1, 0.8, 0.1], [0.3, 0.6, 0.1], [0.4, 0.3, 0.3]]


def single(probabilities: list[list[float]]) -> list[Any]:
    return [scored(str(i), [truth], p) for i, (truth, p) in enumerate(zip(TRUTH, probabilities, strict=True))]


def test_the_served_models_labels_come_in_the_order_of_the_new_ones() -> None:
    assert SERVED == ["one", "two", "three"]
    assert alignment.aligned(["a", "b"], ["b", "a"]) == ["a", "b"]


@pytest.mark.parametrize(("answers", "labels"), [(CANDIDATE, NEW), (OF_SERVED, SERVED)])
def test_single_labels_are_compared_on_the_images_of_common_labels(answers: list, labels: list[str]) -> None:
    """Four images; an answer with a label that the other model does not know is wrong."""
    [(where, numbers)] = scope("single_label").results(single(answers), labels)
    truth, said = TRUTH[:4], [labels[int(np.argmax(p))] for p in answers[:4]]
    assert where == {}
    assert numbers["example_count"] == 4
    assert numbers["accuracy"] == sk.accuracy_score(truth, said)
    common = ["one", "two"]
    for name, score in (("recall", sk.recall_score), ("precision", sk.precision_score), ("f1", sk.f1_score)):
        expected = score(truth, said, labels=common, average=None, zero_division=np.nan)
        assert [numbers[f"{name}/{label}"] for label in common] == pytest.approx(expected.tolist())
    macro = sk.f1_score(truth, said, labels=common, average="macro")
    assert numbers["macro_f1"] == pytest.approx(macro)
    of_truth = [p[labels.index(label)] for p, label in zip(answers, truth, strict=False)]
    assert numbers["loss"] == pytest.approx(-np.mean(np.log(of_truth)), rel=1e-6)
    one = [p[labels.index("one")] for p in answers[:4]]
    assert numbers["auc/one"] == sk.roc_auc_score([label == "one" for label in truth], one)
    assert not [key for key in numbers if key.endswith(("/zero", "/three"))]


def test_the_same_labels_in_another_order_give_the_same_numbers_to_the_digit() -> None:
    labels = ["two", "zero", "one"]
    moved = [[p[NEW.index(label)] for label in labels] for p in CANDIDATE]
    assert alignment.aligned(NEW, labels) == NEW
    whole = scope("single_label", served=NEW)
    assert whole.whole
    again = scope("single_label", labels=labels, served=labels)
    # Macro means add up in another order; everything else is equal.
    [(_, one)], [(_, other)] = whole.results(single(CANDIDATE), NEW), again.results(single(moved), labels)
    assert {k: v for k, v in one.items() if math.isfinite(v)} == pytest.approx(
        {k: v for k, v in other.items() if math.isfinite(v)}, rel=1e-15
    )


def test_several_labels_are_compared_by_the_common_ones_of_every_image() -> None:
    """Targets of (one, two): 1 0, 1 unknown, 0 1, 0 0. Known entries: 7."""
    images = [(["one", "zero"], ()), (["one"], ("two",)), (["two"], ()), ([], ())]
    p = [[0.9, 0.8, 0.6], [0.1, 0.3, 0.9], [0.5, 0.1, 0.7], [0.2, 0.2, 0.2]]
    rows = [scored(str(i), applies, p[i], unknown) for i, (applies, unknown) in enumerate(images)]
    [(_, numbers)] = scope("multi_label").results(rows, NEW)
    truth, said = [1, 0, 1, 0, 1, 0, 0], [1, 1, 0, 0, 1, 0, 0]  # image by image, one then two
    assert numbers["binary_accuracy"] == sk.accuracy_score(truth, said)
    assert numbers["micro_f1"] == pytest.approx(sk.f1_score(truth, said))
    assert numbers["exact_match"] == 2 / 4  # of images 2 and 3 every known entry is right
    assert numbers["recall/one"] == sk.recall_score([1, 1, 0, 0], [1, 0, 0, 0])
    assert numbers["hamming_loss"] == pytest.approx(sk.hamming_loss(truth, said))
    assert "recall/zero" not in numbers


def test_masks_are_compared_by_the_pixels_of_common_labels() -> None:
    """Confusion by truth and answer, of zero, one, two. Pixels of zero do not count; a pixel called zero is wrong."""
    confusion = [[9, 1, 1], [2, 5, 1], [0, 1, 3]]
    answer = {"confusion": np.ravel(confusion).tolist(), "calibration": [1.0] * 90}
    row = {"path": "", "sha256": "", "labels": [], "unknown": [], "weight": 1.0, "slices": [], "abstain": False}
    [(_, numbers)] = scope("segmentation").results([row | answer], NEW)  # type: ignore[list-item]
    truth = np.repeat(["one", "two"], [8, 4])
    said = ["zero"] * 2 + ["one"] * 5 + ["two"] + ["one"] + ["two"] * 3
    ious = sk.jaccard_score(truth, said, labels=["one", "two"], average=None)
    assert [numbers["iou/one"], numbers["iou/two"]] == pytest.approx(ious.tolist())
    assert ious.tolist() == pytest.approx([5 / 9, 3 / 5])
    assert numbers["mean_iou"] == pytest.approx(ious.mean())
    assert numbers["pixel_accuracy"] == sk.accuracy_score(truth, said)
    assert "ece" not in numbers  # of zero's pixels as well
    [(_, same)] = scope("segmentation", served=["zero", "one", "two", "three"]).results([row | answer], NEW)  # type: ignore[list-item]
    assert "ece" in same  # the candidate knows no label that the served model does not


def test_images_are_left_out_of_the_whole_and_of_every_slice() -> None:
    cameras = ["day", "day", "night", "night", "night"]
    rows = [row | {"slices": [("camera", camera)]} for row, camera in zip(single(CANDIDATE), cameras, strict=True)]
    found = scope(
        "single_label",
        served=NEW,
        left_out={"1": "train", "4": "eval"},
        counts={"train": 1, "eval": 1},
        slices={("camera",), ("camera", "label")},
    ).results(rows, NEW)
    accuracy = {tuple(sorted(where.items())): (n["example_count"], n["accuracy"]) for where, n in found}
    assert accuracy == {
        (): (3, pytest.approx(2 / 3)),  # images 0, 2 and 3, of which the last is wrong
        (("camera", "day"),): (1, 1.0),
        (("camera", "night"),): (2, 0.5),
        (("camera", "day"), ("label", "one")): (1, 1.0),
        (("camera", "night"), ("label", "two")): (2, 0.5),
    }
