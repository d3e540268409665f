"""Masks of two models: what is counted, and what the picture shows."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.drawing import overlay
from components.drawing.two_masks import TwoMasks


def write(path: Path, rows: list[list[int]]) -> str:
    Image.fromarray(np.array(rows, np.uint8)).save(path)
    return str(path)


def test_pixels_are_compared_by_the_names_of_their_labels(tmp_path: Path) -> None:
    """The models have the labels road, sky and sky, road, tree. In names (r, s, t, - for none), image a is

        r r s s      r s s s
        r r s -      t r s s

    so of the 7 pixels that both answer 2 differ. Image b is all sky in one and all road in the other: 4 of 4 differ.
    Road: both 2, first 4 + 0, second 2 + 4: 2 / (4 + 6 - 2) = 0.25. Sky: both 3, first 3 + 4, second 4: 3 / 8. Tree is
    known to one model alone: 0 of 1.
    """
    both = TwoMasks(["road", "sky"], ["sky", "road", "tree"])
    first = write(tmp_path / "1.png", [[0, 0, 1, 1], [0, 0, 1, 255]])
    second = write(tmp_path / "2.png", [[1, 0, 0, 0], [2, 1, 0, 0]])
    assert both.add("a", first, second) == pytest.approx(2 / 7)
    assert both.add("b", write(tmp_path / "3.png", [[1, 1], [1, 1]]), write(tmp_path / "4.png", [[1, 1], [1, 1]])) == 1
    assert both.overlaps() == {"road": 2 / 8, "sky": 3 / 8, "tree": 0.0}


def test_an_image_without_a_pixel_that_both_answer_is_not_compared(tmp_path: Path) -> None:
    both = TwoMasks(["road"], ["road"])
    assert both.add("a", write(tmp_path / "1.png", [[255, 0]]), write(tmp_path / "2.png", [[0, 255]])) is None
    assert both.overlaps() == {}


def test_more_labels_than_a_palette_has_are_drawn_in_their_colours(tmp_path: Path) -> None:
    """200 labels in one model and 200 others in the second: 55 and 56 of it are 255 and 256 of both."""
    both = TwoMasks([f"a{i}" for i in range(200)], [f"b{i}" for i in range(200)])
    both.add("a", write(tmp_path / "1.png", [[0, 199, 255]]), write(tmp_path / "2.png", [[55, 56, 199]]))
    pixels = np.asarray(both.draw("a", Image.new("RGB", (3, 1), (100, 100, 100))))[0].astype(int)
    colours = overlay.palette(400)
    drawn = [0.55 * colours[i] + 0.45 * 100 for i in (0, 199, 255, 256, 399)]  # overlay's opacity
    assert np.abs(pixels[[0, 1, 3, 4, 5]] - drawn).max() <= 1  # rounded down
    assert pixels[2].tolist() == [100] * 3
    assert both.legend().height == 400 * 28


def test_a_mask_without_any_answer_leaves_the_image_as_it_is(tmp_path: Path) -> None:
    both = TwoMasks(["road"], ["road"])
    both.add("a", write(tmp_path / "1.png", [[255]]), write(tmp_path / "2.png", [[255]]))
    assert np.asarray(both.draw("a", Image.new("RGB", (1, 1), (100, 90, 80)))).tolist()[0][:2] == [[100, 90, 80]] * 2


def test_masks_of_other_sizes_are_compared_at_the_size_of_the_first(tmp_path: Path) -> None:
    both = TwoMasks(["road", "sky"], ["road", "sky"])
    first = write(tmp_path / "1.png", [[0, 0, 1, 1]] * 4)
    assert both.add("a", first, write(tmp_path / "2.png", [[0, 1], [0, 0]])) == 4 / 16  # the lower right quarter


def test_the_third_picture_is_red_where_the_masks_differ(tmp_path: Path) -> None:
    both = TwoMasks(["road", "sky"], ["road", "sky"])
    both.add("a", write(tmp_path / "1.png", [[0, 1], [0, 1]]), write(tmp_path / "2.png", [[0, 0], [0, 255]]))
    pixels = np.asarray(both.draw("a", Image.new("RGB", (2, 2), (100, 100, 100))))
    assert pixels.shape == (2, 6, 3)
    left, middle, right = pixels[:, :2], pixels[:, 2:4], pixels[:, 4:]
    assert (left[:, 0] == middle[:, 0]).all()
    assert (left[0, 1] != middle[0, 1]).any()
    assert middle[1, 1].tolist() == [100, 100, 100]  # without an answer
    # 0.8 of the red (220, 0, 60) and 0.2 of the grey: 196, 20, 68.
    assert right.tolist() == [[[100] * 3, [196, 20, 68]], [[100] * 3, [100] * 3]]
