"""Copies and collapse, on images of one colour, whose distances are those of their colours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.model.synthesis import checks, mixing


def flat(*greys: float) -> np.ndarray:
    """Images of 8 x 8 pixels of one grey each: two are apart by sqrt(192) times the difference of their greys."""
    return np.stack([np.full((8, 8, 3), grey, np.uint8) for grey in greys])


TRAIN = flat(0, 40, 80, 120)  # each 40 from its nearest other one; the six pairs are 40 (3), 80 (2) and 120 (1) apart


def refusal(generated: np.ndarray) -> str:
    return checks.refusal(checks.thumbnails(generated), checks.thumbnails(TRAIN))


def test_distances_are_euclidean() -> None:
    thumbnails = checks.thumbnails(flat(0, 10))
    assert thumbnails.shape == (2, 192)
    found = checks.distances(thumbnails, thumbnails)
    assert found == pytest.approx(np.array([[0, 10 * np.sqrt(192)], [10 * np.sqrt(192), 0]]))


def test_a_thumbnail_averages_fields() -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    image[0, 0] = 200  # one of the four pixels of the first field
    assert checks.thumbnails(image[None])[0, :4].tolist() == [50, 50, 50, 0]


def test_new_images_are_taken() -> None:
    assert refusal(flat(20, 60, 100, 140)) == ""  # 20 from the nearest, half of 40


def test_images_of_train_are_copies() -> None:
    assert refusal(TRAIN).startswith("100% of the images are copies, expected at most 10%")


@pytest.mark.parametrize(("apart", "copies"), [(9, True), (11, False)])
def test_a_copy_is_nearer_than_a_quarter_of_what_is_usual(apart: int, copies: bool) -> None:
    generated = flat(*(grey + apart for grey in (0, 40, 80, 120)))  # a quarter of 40 is 10
    assert ("copies" in refusal(generated)) == copies


@pytest.mark.parametrize(("copies", "refused"), [(1, False), (2, True)])
def test_a_tenth_may_be_copies(copies: int, refused: bool) -> None:
    greys = [0] * copies + [20, 60, 100, 140, 20, 60, 100, 140, 20][: 10 - copies]
    assert ("copies" in refusal(flat(*greys))) == refused


def test_one_image_again_and_again_has_collapsed() -> None:
    said = refusal(flat(60, 60, 60, 60))
    # The median of the six pairs is (40 + 80) / 2 = 60 greys.
    assert said == (
        f"the generator collapsed: two of its images differ by 0, two training images by {60 * np.sqrt(192):.0f}, "
        "expected at least 20% of that"
    )


@pytest.mark.parametrize(("step", "collapsed"), [(11, True), (13, False)])
def test_collapse_is_less_than_a_fifth_of_the_usual_spread(step: int, collapsed: bool) -> None:
    assert ("collapsed" in refusal(flat(56, 56 + step))) == collapsed  # a fifth of 60 is 12; 16 and more from 40 and 80


def test_a_single_image_is_no_collapse() -> None:
    assert refusal(flat(60)) == ""


def test_a_mixture_is_a_share_of_each_image() -> None:
    mixed = mixing.mix(flat(0, 100), 50, seed=1)
    assert mixed.shape == (50, 8, 8, 3)
    assert all(len(np.unique(image)) == 1 for image in mixed)
    greys = mixed[:, 0, 0, 0]
    assert greys.min() >= 30
    assert greys.max() <= 70
    assert len(np.unique(greys)) > 10


@given(count=st.integers(2, 6), seed=st.integers(0, 1000))
def test_images_are_never_mixed_with_themselves(count: int, seed: int) -> None:
    images = np.stack([np.full((1, 1, 3), 2**i, np.uint8) for i in range(count)])
    pure = {2**i for i in range(count)}
    mixed = mixing.mix(images.astype(np.uint8) * 4, 20, seed)[:, 0, 0, 0] / 4
    # A mixture of 2^a and 2^b, a < b, with shares of 0.3 and more is above 2^a and below 2^b by at least 0.3 of 2^a.
    assert not (set(mixed.tolist()) & {min(pure), max(pure)})


def test_the_same_seed_gives_the_same_images() -> None:
    first, again, other = (mixing.mix(TRAIN, 9, seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()
