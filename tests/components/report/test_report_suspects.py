"""Suspected label errors: planted errors are found first, and no unusual test split causes a failure."""

import numpy as np
import pytest
from answered import answers, masked, one_hot

from components.labels import kinds
from components.metrics.curves import CALIBRATION_BINS
from components.report import suspects

SINGLE, MULTI, MASKS = kinds.KINDS.values()

NAN = float("nan")
LABELS = ["hat", "cap", "shoe"]


def sure(labels: list[int], classes: int, p: float = 0.9) -> np.ndarray:
    """[n, K]: p for the label, the rest evenly."""
    rest = (1 - p) / (classes - 1)
    return np.where(np.eye(classes, dtype=bool)[labels], p, rest)


def test_changed_labels_are_suspected_with_the_least_probable_first() -> None:
    true = [0, 1, 2] * 20
    p = sure(true, 3)
    p[3] = [0.98, 0.01, 0.01]
    given = list(true)
    given[3], given[7] = 1, 2  # image 3 is surely a hat (0.98), 7 a cap (0.9)
    found = suspects.find(answers(one_hot(given, 3), p), SINGLE, LABELS)
    assert [(s.index, s.note) for s in found] == [
        (3, "labelled 'cap', predicted 'hat' (0.98)"),
        (7, "labelled 'shoe', predicted 'cap' (0.90)"),
    ]
    assert found[0].probability == pytest.approx(0.98)
    assert suspects.find(answers(one_hot(true, 3), p), SINGLE, LABELS) == []


@pytest.mark.parametrize(("p", "expected"), [(0.45, []), (0.55, [3, 7])])
def test_a_label_that_is_more_probable_than_not_is_not_suspected(p: float, expected: list[int]) -> None:
    true = [0, 1, 2] * 20
    given = list(true)
    given[3], given[7] = 1, 2
    found = suspects.find(answers(one_hot(given, 3), sure(true, 3, p)), SINGLE, LABELS)
    assert [s.index for s in found] == expected


def test_each_of_several_labels_is_judged_on_images_where_it_is_known() -> None:
    applies = np.array([[1, 0], [0, 1]] * 20)
    p = np.where(applies == 1, 0.9, 0.1)
    p[6:10] = [[0.97, 0.1], [0.1, 0.02], [0.97, 0.1], [0.9, 0.02]]
    given = applies.copy()
    given[6] = [0, 0]  # the model is sure of 'hat'
    given[7] = [0, 1]  # and of this that it is no 'cap'
    given[8] = [-1, 0]  # nobody said
    given[9] = [0, 1]  # both are wrong
    found = suspects.find(answers(given, p, p >= 0.5), MULTI, ["hat", "cap"])
    assert [(s.index, s.note) for s in found] == [
        (7, "labelled 'cap', predicted probability 0.02"),
        (9, "labelled 'cap', predicted probability 0.02; not labelled 'hat', predicted probability 0.90"),
        (6, "not labelled 'hat', predicted probability 0.97"),
    ]


@pytest.mark.parametrize(
    ("truth", "p"),
    [
        (np.zeros((0, 3)), np.zeros((0, 3))),  # no image
        ([[1, 0, 0], [0, 1, 0]], [[0.1, 0.8, 0.1], [0.8, 0.1, 0.1]]),  # two
        ([[1, 0, 0]] * 5, [[0.1, 0.8, 0.1]] * 5),  # one label only
        ([[-1, -1, -1]] * 5, [[0.1, 0.8, 0.1]] * 5),  # none known
        (one_hot([0, 1] * 5, 3), sure([0, 2] * 5, 3)),  # a label without a test example, often answered
        (one_hot([0, 1] * 5, 3), [[NAN] * 3] * 10),
        (one_hot([0, 1, 1], 3), [[NAN] * 3, [0.9, 0.1, 0.0], [0.1, 0.9, 0.0]]),
        (one_hot([0, 1, 2] * 3, 3), [[1.0, 0.0, 0.0]] * 9),  # always the same, and certain
        (one_hot([0, 1, 2] * 3, 3), [[1 / 3] * 3] * 9),
    ],
    ids=["none", "two", "one label", "unknown", "missing label", "nan", "some nan", "certain", "undecided"],
)
@pytest.mark.parametrize("task", ["single_label", "multi_label"])
@pytest.mark.filterwarnings("error")
def test_odd_test_splits_cause_no_warnings(
    truth: list[list[int]], p: list[list[float]], task: str, capsys: pytest.CaptureFixture
) -> None:
    found = suspects.find(answers(truth, p), kinds.kind(task), LABELS)
    assert all(np.isfinite(p[s.index]).all() and -1 not in truth[s.index] for s in found)
    assert capsys.readouterr() == ("", "")


def test_a_detector_has_no_suspects_and_a_single_tag_has() -> None:
    truth, p = [[1]] * 9 + [[0]] * 9, [[0.9]] * 8 + [[0.01]] + [[0.1]] * 9
    decided = np.array(p) >= 0.5
    assert suspects.find(answers(truth, p, decided), SINGLE, ["hat"]) == []
    found = suspects.find(answers(truth, p, decided), MULTI, ["hat"])
    assert [(s.index, s.note) for s in found] == [(8, "labelled 'hat', predicted probability 0.01")]


def test_only_as_many_suspects_are_shown_as_fit() -> None:
    true = [0, 1] * 100
    given = [1 - t if i < 60 else t for i, t in enumerate(true)]
    found = suspects.find(answers(one_hot(given, 2), sure(true, 2)), SINGLE, ["hat", "cap"])
    assert len(found) == suspects.MOST
    assert all(s.index < 60 for s in found)


def test_masks_are_suspected_where_the_model_is_sure_of_something_else() -> None:
    calibration = np.zeros((5, 2, 3, CALIBRATION_BINS))
    # weight, score and hits of the last bin, and of another one; 200 pixels are known
    calibration[:, 0, :, -1] = [[100, 98, 100], [100, 98, 60], [100, 98, 90], [100, 98, 99], [100, 98, 0]]
    calibration[:, 0, :, 5] = [100, 35, 0]  # not sure
    calibration[:, 1, :, -1] = [100, 98, 0]  # without calibration: not looked at
    counts = np.ones((5, 2, 2))
    counts[4] = NAN
    found = suspects.find(masked(counts, calibration), MASKS, ["ground", "hat"])
    text = "the mask contradicts a confident prediction (probability above 0.93) for {} of the pixels"
    # 40 / 200, 10 / 200; 1 / 200 is no more than an edge
    assert [(s.index, s.note) for s in found] == [(1, text.format("20.0%")), (2, text.format("5.0%"))]
    assert suspects.find(masked(np.zeros((0, 2, 2))), MASKS, ["ground", "hat"]) == []
