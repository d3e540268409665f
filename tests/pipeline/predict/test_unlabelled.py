"""Which images are labelled already, and what the model's answers become."""

import numpy as np

from components.data.dataset import Dataset, Record
from components.data.images import Checked
from components.labels import kinds, outputs
from pipeline.predict import unlabelled

SINGLE, MULTI, MASK = kinds.KINDS.values()
CHECKED = [("a.png", Checked(b"", "png", 8, 8)), ("b.png", Checked(b"", "png", 8, 8))]
COMMON = {outputs.LABELS: np.array([[b"x", b"y"]] * 2), outputs.ERROR: np.array([b"", b"too large"])}


def test_a_known_label_is_one_that_applies_or_is_known_not_to() -> None:
    records = (
        Record("a", ("x",), None, 1, ""),
        Record("b", (), None, 1, "", unknown=("x", "y")),
        Record("c", (), None, 1, "", unknown=("y",)),
    )
    dataset = Dataset("root", ("x", "y"), records, {})
    assert [r.path for r in unlabelled.known(dataset, MULTI)] == ["a", "c"]
    assert [r.path for r in unlabelled.known(dataset, SINGLE)] == ["a"]
    assert [r.path for r in unlabelled.known(dataset, MASK)] == ["a", "b", "c"]


def test_masks_become_shares_and_an_image_that_the_model_refuses_is_named() -> None:
    masks = np.array([[[0, 1], [1, 1]], [[0, 0], [0, 0]]], np.uint8)
    confidence = np.array([[[0.75, 0.75], [1.0, 1.0]], [[np.nan, np.nan], [np.nan, np.nan]]])
    found = unlabelled.Found()
    found.add(CHECKED, COMMON | {outputs.MASK: masks, outputs.CONFIDENCE: confidence}, MASK, "|")
    assert (found.paths, found.guesses, found.unsure) == (["a.png"], ["y 75%, x 25%"], [0.25])
    assert found.vectors[0].tolist() == [0.25, 0.75]
    assert found.unusable == [("b.png", "the model refuses it: too large")]


def test_several_labels_are_joined_as_the_table_separates_them() -> None:
    decided = {outputs.PROBABILITIES: np.array([[0.5, 1.0]] * 2), outputs.DECISIONS: np.array([[True, True]] * 2)}
    found = unlabelled.Found()
    found.add(CHECKED, COMMON | decided, MULTI, ";")
    assert (found.guesses, found.unsure) == (["x;y"], [0.5])
