"""Equal and nearly equal images are found where they contradict one another."""

from typing import Any

import pytest
from counting import Seen, merged

from components.data.duplicates import Pair, equal_files, nearly_equal_images
from components.data.perceptual import DEFAULT_DISTANCE


def test_each_copy_is_paired_with_the_first() -> None:
    _, images = merged(
        [
            Seen("1", labels=("cat",), path="0"),
            Seen("1", labels=("dog",), path="1"),  # another label
            Seen("2", labels=("cat",), path="2"),
            Seen("1", "test", ("cat",), path="3"),  # another split
            Seen("2", labels=("cat",), path="4"),  # a mere copy
            Seen("1", "eval", ("dog",), path="5"),  # both
        ]
    )
    assert equal_files(images.rows) == ([Pair(0, 1), Pair(0, 5)], [Pair(0, 3), Pair(0, 5)])
    assert equal_files(images.rows[:0]) == ([], [])


@pytest.mark.parametrize(
    ("other", "is_conflict"),
    [
        ({}, False),
        ({"labels": ()}, True),
        ({"unknown": ("dog",)}, True),
        ({"pixels": (2, 1), "mask": b"2"}, True),
        ({"weight": 3.0}, False),
        ({"slices": (("camera", "day"),)}, False),
    ],
    ids=str,
)
def test_equal_images_must_have_equal_labels_and_masks(other: dict[str, Any], is_conflict: bool) -> None:
    annotations = {"labels": ("cat",), "pixels": (2, 1), "mask": b"1"} if "mask" in other else {"labels": ("cat",)}
    _, images = merged([Seen("1", **annotations), Seen("1", **(annotations | other))])
    assert equal_files(images.rows) == ([Pair(0, 1)] * is_conflict, [])


def test_nearly_equal_images_are_those_whose_hashes_differ_in_few_bits() -> None:
    far = (1 << DEFAULT_DISTANCE + 1) - 1  # one bit too many
    _, images = merged(
        [
            Seen("0", perceptual=0),
            Seen("1", "test", ("cat",), perceptual=0b111),
            Seen("2", "test", perceptual=far << 128),
            Seen("3", "test"),  # too small to say anything
            Seen("4", labels=("cat",), perceptual=0b11),
        ]
    )
    assert nearly_equal_images(images.rows, "split", DEFAULT_DISTANCE) == [Pair(0, 1, 3), Pair(1, 4, 1)]
    assert nearly_equal_images(images.rows, "split", 2) == [Pair(1, 4, 1)]
    assert {(p.first, p.second) for p in nearly_equal_images(images.rows, "truth", 2)} == {(0, 4)}


def test_equal_files_are_not_reported_twice() -> None:
    _, images = merged([Seen("1", perceptual=0), Seen("1", "test", perceptual=0)])
    assert equal_files(images.rows) == ([], [Pair(0, 1)])
    assert nearly_equal_images(images.rows, "split", DEFAULT_DISTANCE) == []
    assert nearly_equal_images(images.rows[:0], "split", DEFAULT_DISTANCE) == []
