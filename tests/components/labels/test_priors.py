"""Adjustments of logits by how common labels are, against the formulas of the papers, worked by hand."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from components.data.manifest import LabelCounts
from components.labels import kinds, priors
from components.labels.learning import pixels, sigmoid, softmax
from components.model.settings import Training


def counts(**given: Any) -> LabelCounts:
    """Of eight images of train: 6 cats; 1 dog, and for 4 images nobody said whether there is one."""
    nobody = {"cat": {"train": 0}, "dog": {"train": 4}}
    told = {"label_counts": {"cat": {"train": 6}, "dog": {"train": 1}}, "unknown": nobody, "pixels": {}}
    return LabelCounts(**{"counts": {"train": 8}} | told | given)


def test_shares_are_of_the_images_whose_label_is_known() -> None:
    assert priors.shares(counts()) == [6 / 8, 1 / (8 - 4)]


def test_shares_of_pixels_are_of_all_known_pixels() -> None:
    """60 pixels of cat, 20 of dog and 20 ignored, which are the last."""
    cells = ((60, 80, 100), (20, 80, 100), (20, 80, 100))
    assert priors.shares(counts(pixels={"train": cells})) == [0.75, 0.25]
    assert priors.shares(counts(pixels={"eval": cells})) == [0.0, 0.0]


def test_a_label_without_images_is_treated_like_the_most_common_one() -> None:
    assert priors.adjustment([0.6, 0.0, 0.4], exclusive=True) == list(np.log([0.6, 0.6, 0.4]))
    assert priors.adjustment([0.0, 0.0], exclusive=True) == [0.0, 0.0]
    assert priors.adjustment([0.0, 1.0, 0.2], exclusive=False) == [0.0, 0.0, pytest.approx(np.log(0.25))]


def test_the_loss_of_exclusive_labels_is_that_of_menon_et_al_and_of_balanced_softmax() -> None:
    """With counts n: -log(n_y e^z_y / sum n e^z). Equal logits give the share; for the second, e^z = [1, 2, 4]."""
    n, z = np.array([4.0, 3.0, 1.0]), np.log(np.array([[1.0, 1, 1], [1, 2, 4]]))
    target = np.array([[0.0, 0, 1], [0, 1, 0]])
    adjusted = softmax.loss(adjustment=priors.adjustment(list(n / n.sum()), exclusive=True))
    by_hand = [-np.log(1 / 8), -np.log(3 * 2 / (4 * 1 + 3 * 2 + 1 * 4))]
    np.testing.assert_allclose(float(adjusted(target, z.astype("float32"))), np.mean(by_hand), rtol=1e-6)


def test_the_loss_of_independent_labels_takes_the_odds() -> None:
    """A logit of 0 stands for the share 0.2, whether the label applies or not; an unknown entry takes no part."""
    target, zeros = np.array([[1.0, 0.0], [0.0, -1.0]]), np.zeros((2, 2), "float32")
    adjusted = sigmoid.loss(adjustment=priors.adjustment([0.2, 0.5], exclusive=False))
    by_hand = [-np.log(0.2), -np.log(0.5), -np.log(0.8)]
    np.testing.assert_allclose(float(adjusted(target, zeros)), np.mean(by_hand), rtol=1e-6)


def test_the_loss_of_pixels_is_that_of_exclusive_labels() -> None:
    target = np.array([[[0, 1, 255]]], "uint8")
    adjusted = pixels.loss(adjustment=list(np.log([0.9, 0.1])))
    by_hand = [-np.log(0.9), -np.log(0.1)]
    np.testing.assert_allclose(float(adjusted(target, np.zeros((1, 1, 3, 2), "float32"))), np.mean(by_hand), rtol=1e-6)


def test_another_method_takes_the_place_of_weights() -> None:
    kind = kinds.kind("single_label")
    assert Training(imbalance="weights").weighting(kind) == "median_frequency"
    assert Training(imbalance="weights", label_weights="square_root").weighting(kind) == "square_root"
    assert Training(imbalance="balanced_sampling").weighting(kind) == "none"
    told = "remove one of training.imbalance and training.label_weights"
    with pytest.raises(ValidationError, match=told):
        Training(imbalance="logit_adjustment", label_weights="none")


@pytest.mark.parametrize(
    ("task", "training", "method", "weighting"),
    [
        ("single_label", {}, "logit_adjustment", "none"),
        ("multi_label", {}, "weights", "median_frequency"),
        ("segmentation", {}, "weights", "square_root"),
        ("single_label", {"label_weights": "square_root"}, "weights", "square_root"),
        ("single_label", {"label_weights": {"cat": 2.0}}, "weights", {"cat": 2.0}),
        ("segmentation", {"imbalance": "none"}, "none", "none"),
    ],
)
def test_the_default_depends_on_the_task_and_on_weights_that_are_written_down(
    task: str, training: dict[str, Any], method: str, weighting: object
) -> None:
    kind, told = kinds.kind(task), Training(**training)
    assert (told.method(kind), told.weighting(kind)) == (method, weighting)
