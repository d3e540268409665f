import numpy as np
import pytest

from components.drawing import legend

COLOURS = np.array([[200, 0, 0], [0, 100, 255]], np.uint8)


def test_each_label_has_a_row_with_its_colour_and_its_name() -> None:
    image = np.asarray(legend.draw(["road", "a much longer name"], COLOURS))
    assert image.shape[0] == 2 * 28
    for i, colour in enumerate(COLOURS):
        line = image[28 * i : 28 * (i + 1)]
        # A square of 20 x 20 pixels, 4 from each edge, and dark writing right of it.
        assert (line[4:24, 4:24] == colour).all()
        assert (line[:4] == 255).all()
        assert np.count_nonzero(line[:, 28:].max(axis=-1) < 100) > 30
    ends = [np.flatnonzero((image[28 * i : 28 * (i + 1)] < 128).any(axis=(0, 2))).max() for i in range(2)]
    assert ends[0] < ends[1] < image.shape[1] - 4  # nothing is cut off


@pytest.mark.parametrize("name", ["Straße", "ключ", "čáp"])
def test_letters_beyond_ascii_are_drawn_and_not_replaced_by_boxes(name: str) -> None:
    drawn = {letter: np.asarray(legend.draw([letter], COLOURS[:1])) for letter in {*name, "\ufffe"}}
    box = drawn.pop("\ufffe")
    assert all(image.shape != box.shape or (image != box).any() for image in drawn.values())


def test_a_name_cannot_break_its_line() -> None:
    image = np.asarray(legend.draw(["a\nb\x1b"], COLOURS[:1]))
    assert (image == np.asarray(legend.draw([r"a\nb\x1b"], COLOURS[:1]))).all()
