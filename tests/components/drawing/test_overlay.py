import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from components.data import features
from components.drawing import overlay


def test_colours_are_mixed_by_opacity_and_ignored_pixels_stay() -> None:
    image = Image.new("RGB", (2, 1), (100, 0, 200))
    mask = np.array([[0, features.IGNORED_ID]], np.uint8)
    colours = np.array([[0, 40, 100]], np.uint8)
    # 0.75 x (100, 0, 200) + 0.25 x (0, 40, 100) = (75, 10, 175)
    assert np.asarray(overlay.draw(image, mask, colours, 0.25)).tolist() == [[[75, 10, 175], [100, 0, 200]]]


def test_a_smaller_mask_is_brought_to_the_images_size_by_its_nearest_pixels() -> None:
    mask = np.array([[0, 1]], np.uint8)
    drawn = np.asarray(overlay.draw(Image.new("L", (4, 2)), mask, np.array([[10, 0, 0], [0, 20, 0]], np.uint8), 1.0))
    assert drawn[..., 0].tolist() == [[10, 10, 0, 0]] * 2
    assert drawn[..., 1].tolist() == [[0, 0, 20, 20]] * 2


@given(st.integers(1, 60))
def test_every_label_has_a_colour_of_its_own_and_keeps_it(classes: int) -> None:
    colours = overlay.palette(classes)
    assert len(np.unique(colours, axis=0)) == classes
    assert (colours == overlay.palette(classes + 5)[:classes]).all()
