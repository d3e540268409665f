"""The choice of images: ordered by confidence; unknown labels are neither correct nor wrong."""

import numpy as np
import pytest
from answered import answers, masked, one_hot
from hypothesis import given
from hypothesis import strategies as st

from components.labels import kinds
from components.report import choose

SINGLE, MULTI, _ = kinds.KINDS.values()

NAN = float("nan")


def indices(picks: list[choose.Pick]) -> list[int]:
    return [pick.index for pick in picks]


def probabilities(picks: list[choose.Pick]) -> list[float]:
    return [round(pick.probability, 4) for pick in picks if pick.probability is not None]


CATS = answers(
    [*one_hot([0, 0, 0, 0, 1, 1], 3), [-1, -1, -1]],
    [
        [0.3, 0.6, 0.1],  # missed
        [0.05, 0.05, 0.9],  # missed, more certainly
        [0.5, 0.3, 0.2],  # a hit
        [0.4, 0.35, 0.25],  # a hit, less certain
        [0.97, 0.02, 0.01],  # of 1, answered as 0
        [0.1, 0.8, 0.1],
        [0.9, 0.05, 0.05],  # unknown
    ],
)


def test_missed_images_of_a_label_come_before_those_taken_for_it() -> None:
    found = choose.mistakes(CATS, 0, SINGLE, 9)
    assert indices(found) == [1, 0, 4]
    assert probabilities(found) == [0.9, 0.6, 0.97]  # of the wrong answer
    assert indices(choose.mistakes(CATS, 0, SINGLE, 2)) == [1, 0]
    assert indices(choose.mistakes(CATS, 2, SINGLE, 9)) == [1]  # no image of it, one taken for it


def test_hits_begin_with_the_least_certain() -> None:
    found = choose.hits(CATS, 0, 9)
    assert indices(found) == [3, 2]
    assert probabilities(found) == [0.4, 0.5]
    assert indices(choose.hits(CATS, 0, 1)) == [3]


def test_random_images_have_the_label_and_follow_the_seed() -> None:
    found = choose.at_random(CATS, 0, SINGLE, 1, 3)
    assert len(set(indices(found))) == 3
    assert set(indices(found)) <= {0, 1, 2, 3}
    assert found == choose.at_random(CATS, 0, SINGLE, 1, 3)
    assert len({tuple(indices(choose.at_random(CATS, 0, SINGLE, seed, 3))) for seed in range(9)}) > 1
    assert choose.at_random(CATS, 2, SINGLE, 1, 3) == []


def test_each_of_several_labels_is_a_question_of_its_own() -> None:
    tags = answers(
        [[1, 0], [1, 0], [0, 1], [-1, 1], [1, 1]],
        [[0.1, 0.6], [0.7, 0.1], [0.4, 0.9], [0.9, 0.9], [NAN, 0.9]],
        [[False, True], [True, False], [True, True], [True, True], [False, True]],  # the first label from 0.3 on
    )
    found = choose.mistakes(tags, 0, MULTI, 9)
    # Surely not: 1 - 0.1 = 0.9; surely: 0.4. Of image 3 nobody said, 4 has no answer.
    assert [(p.index, p.note) for p in found] == [(0, "missed"), (2, "false alarm")]
    assert probabilities(found) == [0.1, 0.4]
    assert indices(choose.hits(tags, 0, 9)) == [1]
    assert indices(choose.mistakes(tags, 1, MULTI, 9)) == [0]


def test_a_detector_misses_images_of_its_only_label() -> None:
    seen = answers([[1], [1]], [[0.9], [0.001]], [[True], [False]])
    assert [(p.index, p.note) for p in choose.mistakes(seen, 0, SINGLE, 9)] == [(1, "missed")]
    assert indices(choose.hits(seen, 0, 9)) == [0]


def test_a_nan_answer_is_neither_right_nor_wrong() -> None:
    broken = answers([[1, 0], [1, 0]], [[NAN, NAN], [0.2, 0.8]])
    assert indices(choose.mistakes(broken, 0, SINGLE, 9)) == [1]
    assert choose.hits(broken, 0, 9) == []
    assert {p.index: p.probability for p in choose.at_random(broken, 0, SINGLE, 1, 9)}[0] is None


def test_the_least_familiar_come_first() -> None:
    odd = answers([[1, 0]] * 4, [[0.75, 0.25]] * 4, familiarity=[0.5, 0.001, NAN, 0.25])
    found = choose.unfamiliar(odd, SINGLE)
    assert [(p.index, p.note) for p in found] == [
        (1, "familiarity 0.001"),
        (3, "familiarity 0.25"),
        (0, "familiarity 0.5"),
    ]
    assert probabilities(found) == [0.75] * 3
    assert {p.probability for p in choose.unfamiliar(odd, MULTI)} == {None}


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3)),
        min_size=1,
        max_size=12,
    )
)
def test_every_image_with_a_label_is_either_a_mistake_or_a_hit(rows: list[tuple[int, list[float]]]) -> None:
    labels = [label for label, _ in rows]
    found = answers(one_hot(labels, 3), [p for _, p in rows])
    for k in range(3):
        wrong, right = choose.mistakes(found, k, SINGLE, 99), choose.hits(found, k, 99)
        of_it = [i for i, label in enumerate(labels) if label == k]
        assert sorted(i for i in indices(wrong) + indices(right) if labels[i] == k) == of_it
        assert probabilities(right) == sorted(probabilities(right))


def test_masks_are_ranked_by_the_mean_iou_of_the_labels_that_are_there() -> None:
    found = choose.masks(
        masked(
            [
                [[8, 0], [0, 0]],  # 1.0; the other label is not there
                [[4, 0], [0, 4]],  # 1.0
                [[2, 2], [2, 2]],  # 2 / 6 each
                [[6, 0], [2, 0]],  # 6 / 8 and 0: 0.375
                [[0, 0], [0, 0]],  # all ignored
                [[NAN, NAN], [NAN, NAN]],
            ]
        ),
        ["ground", "it's"],
        1,
    )
    assert [(p.index, p.why, p.note) for p in found] == [
        (5, "worst", "the prediction is not a number"),
        (2, "worst", "mean IoU 0.33, IoU of 'ground' 0.33"),
        (3, "worst", """mean IoU 0.38, IoU of "it's" 0.00"""),
        (0, "worst", "mean IoU 1.00"),
        (1, "random", "mean IoU 1.00"),
    ]


def test_at_most_twenty_of_many_masks_are_shown_and_none_twice() -> None:
    random = np.random.default_rng(0)
    found = choose.masks(masked(random.integers(0, 9, (99, 30, 30))), [str(k) for k in range(30)], 1)
    assert len({p.index for p in found}) == len(found) == 20
    assert [p.why for p in found] == sorted((p.why for p in found), key=["worst", "label", "random", "best"].index)
    assert {p.why for p in found} == {"worst", "label", "random", "best"}


@pytest.mark.parametrize("classes", [1, 2])
def test_without_images_nothing_is_chosen(classes: int) -> None:
    assert choose.masks(masked(np.zeros((0, classes, classes))), ["a", "b"][:classes], 1) == []
    none = answers(np.zeros((0, classes)), np.zeros((0, classes)))
    assert choose.mistakes(none, 0, SINGLE, 9) == choose.hits(none, 0, 9) == []
    assert choose.at_random(none, 0, SINGLE, 1, 9) == choose.unfamiliar(none, SINGLE) == []
