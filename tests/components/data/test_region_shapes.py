"""Shapes beyond COCO's: each is compared with the mask that NumPy says."""

import base64
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from components.data import regions
from components.data.images import BadImage
from components.data.regions import brushes, shapes

Bools = NDArray[np.bool_]


def painted(shape: Any, height: int, width: int) -> Bools:
    canvas = np.zeros((height, width), np.uint8)
    regions.paint(canvas, shape, 1)
    return canvas == 1


def runs(flat: Bools) -> list[int]:
    """Run lengths of 0 and 1 in turn, starting with 0, one value after the other."""
    counts, current = [0], False
    for value in flat:
        if value == current:
            counts[-1] += 1
        else:
            counts.append(1)
            current = not current
    return counts


def packed(values: list[int], sizes: tuple[int, ...] = (3, 4, 8, 16), literal: bool = False) -> bytes:
    """Packs values as Label Studio does: 32 bits, 5, four times 4, then runs; an encoder of our own, bit by bit."""
    bits = f"{len(values):032b}{8 - 1:05b}" + "".join(f"{size - 1:04b}" for size in sizes)
    at = 0
    while at < len(values):
        same = 1
        while at + same < len(values) and values[at + same] == values[at] and same < 2 ** sizes[-1]:
            same += 1
        if literal:
            same = min(len(values) - at, 2 ** sizes[0])
        kind = next(k for k, size in enumerate(sizes) if same <= 2**size)
        bits += "0" if literal else "1"
        bits += f"{kind:02b}{same - 1:0{sizes[kind]}b}"
        bits += "".join(f"{v:08b}" for v in (values[at : at + same] if literal else [values[at]]))
        at += same
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


def masks(most: int = 9) -> st.SearchStrategy[Bools]:
    side = st.integers(1, most)
    return st.tuples(side, side).flatmap(
        lambda shape: st.lists(st.booleans(), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]).map(
            lambda flat: np.array(flat).reshape(shape)
        )
    )


@given(masks(), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_the_same_mask_by_rows_in_its_box_and_by_columns_of_the_image(
    mask: Bools, left: int, right: int, top: int, bottom: int
) -> None:
    whole = np.pad(mask, ((top, bottom), (left, right)))
    height, width = mask.shape
    in_box = shapes.rows(left, top, width, height, ", ".join(map(str, runs(mask.ravel()))))
    by_columns = {"size": list(whole.shape), "counts": runs(whole.ravel(order="F"))}
    assert (painted(in_box, *whole.shape) == whole).all()
    assert (painted(by_columns, *whole.shape) == whole).all()


def test_run_lengths_by_rows_are_not_run_lengths_by_columns() -> None:
    # 2 rows of 3: one pixel off, two on, three off -> the first row's last two.
    assert painted(shapes.rows(0, 0, 3, 2, "1,2,3"), 2, 3).tolist() == [[False, True, True], [False] * 3]
    # COCO's, by columns: (0, 0) off; (1, 0) and (0, 1) on.
    coco = painted({"size": [2, 3], "counts": [1, 2, 3]}, 2, 3)
    assert coco.tolist() == [[False, True, False], [True, False, False]]


@given(masks(), st.booleans(), st.sampled_from([(3, 4, 8, 16), (1, 2, 3, 4), (16, 16, 16, 16)]))
@settings(max_examples=200, deadline=None)
def test_label_studios_packed_masks(mask: Bools, literal: bool, sizes: tuple[int, ...]) -> None:
    values = np.zeros((*mask.shape, 4), int)
    values[..., 3] = mask * 200  # only alpha counts: red is set elsewhere
    values[..., 0] = ~mask * 90
    data = packed(values.ravel().tolist(), sizes, literal)
    assert (brushes.unpack(data, *mask.shape) == mask).all()
    assert (painted(shapes.brush(mask.shape[1], mask.shape[0], data), *mask.shape) == mask).all()


def test_a_long_run_of_a_large_packed_mask() -> None:
    mask = np.zeros((200, 300), bool)
    mask[50:150] = True
    data = packed(np.repeat(mask.ravel() * 255, 4).tolist())
    assert (brushes.unpack(data, 200, 300) == mask).all()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "ends too early"),
        (packed([0] * 16), r"it holds 16 values, but an image of 3 x 2 pixels has 24"),
        (packed([0] * 24)[:8], "ends too early"),
        # 24 values of 8 bits, sizes of 16 bits; one run of 2 ** 16.
        (bytes([0, 0, 0, 24, 0b00111_111, 0b1_1111_111, 0b1_1111_1_00, 255, 255, 0, 0]), "longer than the image"),
    ],
)
def test_malformed_packed_masks_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(BadImage, match=reason):
        brushes.unpack(data, 2, 3)


def png(mask: Any) -> str:
    out = io.BytesIO()
    Image.fromarray(np.array(mask, np.uint8)).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def test_a_bitmap_lies_in_its_box() -> None:
    shape = shapes.bitmap(1, 0, 2, 2, png([[0, 1], [255, 0]]))
    assert painted(shape, 2, 4).astype(int).tolist() == [[0, 0, 1, 0], [0, 1, 0, 0]]


def test_a_polygon_in_shares_of_the_image() -> None:
    # The left half of 4 x 2 pixels.
    shape = shapes.relative([0, 0, 0.5, 0, 0.5, 1, 0, 1])
    assert painted(shape, 2, 4).astype(int).tolist() == [[1, 1, 0, 0], [1, 1, 0, 0]]


def test_a_circle_holds_the_pixels_whose_centres_are_inside() -> None:
    # Around (2, 2) with radius 1.6: centres are 0.71 or 1.58 away from it in the middle 4 x 4, but 2.12 in its corners.
    assert painted(shapes.ellipse(2, 2, 1.6, 1.6), 4, 4).astype(int).tolist() == [
        [0, 1, 1, 0],
        [1, 1, 1, 1],
        [1, 1, 1, 1],
        [0, 1, 1, 0],
    ]
    # 2 wide and 0.5 high, upright after a quarter turn.
    assert painted(shapes.ellipse(1.5, 2, 2, 0.6, 90), 4, 3).astype(int).tolist() == [[0, 1, 0]] * 4
    # Half outside.
    assert painted(shapes.ellipse(0, 0, 1, 1), 2, 2).astype(int).tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        (shapes.rows(0, 0, 2, 2, "1,2"), "sum to 4 pixels of its box"),
        (shapes.rows(0, 0, 2, 2, "-1,5"), "must be 0 or more"),
        (shapes.rows(0, 0, 2, 2, "1,x"), "must be whole numbers"),
        (shapes.rows(0, 0, 2, 2, "9" * 30), "must be whole numbers"),
        (shapes.rows(3, 0, 2, 2, "4"), "is not inside the image"),
        (shapes.rows(-1, 0, 2, 2, "4"), "is not inside the image"),
        (shapes.rows(0, 0, 10**9, 10**9, "4"), "is not inside the image"),
        (shapes.rows(0, 0, 0, 2, "0"), "is not inside the image"),
        (shapes.ellipse(1, 1, 0, 1), "radii of a circle or ellipse must be above 0"),
        (shapes.bitmap(0, 0, 1, 1, png([[0, 1]])), r"its mask has the size \(2, 1\), its box \(1, 1\)"),
        (shapes.bitmap(0, 0, 1, 1, "?"), "not in base64"),
        (shapes.bitmap(0, 0, 1, 1, base64.b64encode(b"GIF89a").decode()), "not a PNG file"),
        (shapes.brush(3, 4, b""), r"a region is for \[3, 4\] pixels \(width, height\), not for \[4, 4\]"),
    ],
)
def test_malformed_shapes_are_refused(shape: Any, reason: str) -> None:
    with pytest.raises(BadImage, match=reason):
        painted(shape, 4, 4)
