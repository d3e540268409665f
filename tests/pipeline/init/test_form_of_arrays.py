"""What the headers of arrays say of their bands, moments and axes."""

import pytest

from components.data.arrays.heads import Head
from pipeline.init.arrays.form import Form, conclude

ONE = (30, 30)
TILE = (20, 30)


def form(shapes: list[tuple[int, ...]], masks: tuple[int, int] | None, letters: str = "") -> Form:
    found = conclude([Head(shape, letters, "uint16") for shape in shapes], {masks} - {None})  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("shapes", "masks", "axes", "bands", "moments"),
    [
        ([(30, 30, 6)], ONE, "", 6, 1),
        ([(6, 30, 30)], ONE, "BHW", 6, 1),
        ([(6, 30, 30)], None, "BHW", 6, 1),
        ([(20, 30, 6)], TILE, "", 6, 1),
        ([(6, 20, 30)], TILE, "BHW", 6, 1),
        ([(6, 20, 30)], None, "", 30, 1),
        ([(9, 9, 200)], None, "", 200, 1),
        ([(30, 30, 30)], ONE, "", 30, 1),
        ([(6, 30, 30)], (7, 7), "BHW", 6, 1),
        ([(12, 30, 30, 6)], ONE, "", 6, 12),
        ([(12, 6, 30, 30)], ONE, "TBHW", 6, 12),
        ([(12, 6, 30, 30)], None, "TBHW", 6, 12),
        ([(12, 1, 30, 30)], ONE, "TBHW", 1, 12),
        ([(12, 20, 30, 1)], TILE, "", 1, 12),
        ([(1, 30, 30)], ONE, "BHW", 1, 1),
        ([(30, 30)], ONE, "", 1, 1),
        ([(5, 20, 30), (7, 20, 30)], TILE, "", 1, 7),
        ([(5, 20, 30), (7, 20, 30)], None, "", 1, 7),
        ([(20, 30, 6)] * 20 + [(25, 30, 6)], None, "", 6, 1),
        ([(4, 20, 30, 6), (9, 20, 30, 6)], None, "", 6, 9),
        ([(2000, 3, 3)], None, "", 3, 1),
    ],
)
def test_axes(
    shapes: list[tuple[int, ...]], masks: tuple[int, int] | None, axes: str, bands: int, moments: int
) -> None:
    found = form(shapes, masks)
    assert (found.axes, found.bands, found.moments) == (axes, bands, moments)
    assert bool(found.why) == bool(axes)


@pytest.mark.parametrize(
    ("shape", "letters", "masks", "bands", "moments"),
    [
        ((6, 20, 30), "BHW", None, 6, 1),
        ((20, 30, 6), "HWB", TILE, 6, 1),
        ((6, 20, 30), "?HW", None, 6, 1),
        ((12, 20, 30, 6), "?HWB", None, 6, 12),
        ((12, 6, 20, 30), "??HW", None, 6, 12),
    ],
)
def test_a_tiff_says_its_axes(
    shape: tuple[int, ...], letters: str, masks: tuple[int, int] | None, bands: int, moments: int
) -> None:
    found = form([shape], masks, letters)
    assert (found.axes, found.bands, found.moments) == ("", bands, moments)


@pytest.mark.parametrize(
    ("shape", "letters", "masks", "doubt"),
    [
        ((30, 30, 30), "", ONE, "cannot be told from their lengths"),
        ((6, 20, 30), "", None, "cannot be told from their lengths"),
        ((20, 30, 6), "", ONE, "no order of the axes of the arrays, 20 x 30 x 6, gives height and width of the masks"),
        ((6, 30, 30), "", ONE, "if it is moments of one band, set data.bands: 1 and data.frames: 6, and remove"),
        ((6, 20, 30), "?HW", None, "the 6 pages of each TIFF file are taken for its bands"),
        ((20, 30, 6), "", TILE, ""),
        ((20, 30, 6), "", None, ""),
        ((12, 6, 30, 30), "", ONE, ""),
        ((6, 20, 30), "BHW", None, ""),
    ],
)
def test_what_is_not_certain_is_said(
    shape: tuple[int, ...], letters: str, masks: tuple[int, int] | None, doubt: str
) -> None:
    found = form([shape], masks, letters).doubt
    assert doubt in found
    assert bool(doubt) == bool(found)


def test_names_count_if_there_is_one_for_each_band() -> None:
    named = Head((20, 30, 2), "HWB", "uint16", names=("red", "nir"))
    assert [
        found.bands
        for heads in ([named], [named, named, Head((20, 30, 2), "HWB", "uint16")])
        if (found := conclude(heads, set()))
    ] == [("red", "nir")] * 2


def test_an_axis_that_is_too_long_is_not_the_bands() -> None:
    found = form([(3, 20, 5000)], None)
    assert (found.axes, found.bands) == ("BHW", 3)
    assert found.why == "the last axis is too long for bands, which are 1,024 at most"


def test_five_axes_fit_nothing() -> None:
    assert conclude([Head((2, 3, 4, 5, 6), "", "uint16")], set()) is None
