"""Wrong labels that were planted among clusters, each of which is a label."""

import numpy as np
import pytest

from components.model import label_errors
from components.model.features import neighbours

PER_LABEL, LABELS, WIDTH = 80, 3, 64


def clusters(apart: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Rows around the centre of their label, so many deviations apart in each coordinate; and their labels."""
    random = np.random.default_rng(0)
    centres = apart * random.normal(size=(LABELS, WIDTH))
    own = np.repeat(np.arange(LABELS), PER_LABEL)
    return neighbours.compact(centres[own] + random.normal(size=(len(own), WIDTH))), own


def test_planted_errors_are_suspected_first_and_nothing_else_is_certain() -> None:
    rows, own = clusters()
    wrong = np.arange(0, len(own), 20)  # 12 of 240 are 5 %
    stated = own.copy()
    stated[wrong] = (own[wrong] + 1) % LABELS
    found = label_errors.search(rows, np.eye(LABELS, dtype=np.float32)[stated], np.arange(len(own)), exclusive=True)
    probability = found.stated[np.arange(len(own)), stated]
    assert set(np.argsort(probability)[: len(wrong)]) == set(wrong)
    sure = np.flatnonzero(label_errors.certain(found).any(axis=1))
    assert set(sure) <= set(wrong)
    assert len(sure) >= 10
    # 5 % of the 228 labels that are not suspected
    assert (found.planted, found.recall > 0.8) == (11, True)
    np.testing.assert_allclose(found.probability.sum(axis=1), 1)
    assert np.isnan(np.delete(found.stated[0], stated[0])).all()


def test_labels_without_errors_are_not_certainly_wrong() -> None:
    rows, own = clusters()
    found = label_errors.search(rows, np.eye(LABELS, dtype=np.float32)[own], np.arange(len(own)), exclusive=True)
    assert not label_errors.certain(found).any()


def test_labels_that_say_nothing_are_not_found_wrong() -> None:
    """Features of noise: no error can be found, and the recall says so."""
    random = np.random.default_rng(1)
    target = np.eye(LABELS, dtype=np.float32)[random.integers(0, LABELS, 300)]
    rows = neighbours.compact(random.normal(size=(300, WIDTH)))
    found = label_errors.search(rows, target, np.arange(300), exclusive=True)
    assert label_errors.certain(found).sum() <= 3
    assert found.recall < 0.2


def test_each_of_several_labels_is_judged_where_it_is_known() -> None:
    """Label 0 of ten images is wrong; unknown entries are no errors, whatever the head says."""
    rows, own = clusters()
    target = np.eye(LABELS, dtype=np.float32)[own]
    wrong, unknown = np.arange(0, PER_LABEL, 8), np.arange(1, PER_LABEL, 8)
    target[wrong, 0], target[unknown, 0] = 0, -1
    found = label_errors.search(rows, target, np.arange(len(own)), exclusive=False)
    assert np.isnan(found.stated[unknown, 0]).all()
    assert not found.suspected[unknown, 0].any()
    ranked = np.argsort(np.nan_to_num(found.stated, nan=1.0).ravel())[: len(wrong)]
    assert {divmod(int(i), LABELS) for i in ranked} == {(int(i), 0) for i in wrong}
    np.testing.assert_allclose(found.stated[wrong, 0], 1 - found.probability[wrong, 0])


def test_copies_with_the_same_error_do_not_vouch_for_one_another() -> None:
    """Six equal images with a wrong label: in different folds, each would be taught by the others."""
    rows, own = clusters(apart=1.0)
    copies = np.arange(6)
    rows[copies] = 3 * rows[0]
    stated = own.copy()
    stated[copies] = 1
    sets = np.arange(len(own))
    target = np.eye(LABELS, dtype=np.float32)[stated]
    apart = label_errors.search(rows, target, sets, exclusive=True).stated[copies, 1]
    sets[copies] = 0
    together = label_errors.search(rows, target, sets, exclusive=True).stated[copies, 1]
    assert together.max() < apart.min()


@pytest.mark.parametrize("exclusive", [True, False])
def test_one_label_for_all_has_no_errors(exclusive: bool) -> None:
    rows, own = clusters()
    found = label_errors.search(rows, np.ones((len(own), 1), np.float32), np.arange(len(own)), exclusive=exclusive)
    assert not found.suspected.any()


@pytest.mark.parametrize("chained", [PER_LABEL, 9])
def test_a_label_whose_images_are_all_alike_is_not_accused(chained: int) -> None:
    """All 80 images of the first label, or 9 of 9, are nearly equal: a head that saw none would know no such label."""
    rows, own = clusters()
    kept = np.concatenate([np.arange(chained), np.arange(PER_LABEL, len(own))])
    rows, own = rows[kept], own[kept]
    sets = np.arange(len(own))
    sets[:chained] = 0
    found = label_errors.search(rows, np.eye(LABELS, dtype=np.float32)[own], sets, exclusive=True)
    assert not label_errors.certain(found).any()
