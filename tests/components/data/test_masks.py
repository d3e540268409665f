"""Mask files and regions -> ids and pixel counts."""

import contextlib
import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from trees import encoded, grey

from components.base.errors import ConfigError
from components.data import masks, regions
from components.data.images import BadImage
from components.data.mask_rules import Rule, rule
from components.labels.weights import median_frequency

NAMES = ("sky", "road", "void")
RULE = rule(NAMES, ignore="void")
COLORS = {"sky": (128, 128, 128), "road": (128, 64, 128), "void": (0, 0, 0)}
MOST = 10_000


def ids(mask: masks.Mask) -> list[list[int]]:
    """What stands in the stored mask."""
    image = Image.open(io.BytesIO(mask.encoded))
    assert (image.format, image.mode) == ("PNG", "L")
    pixels: list[list[int]] = np.asarray(image).tolist()
    return pixels


def check(image: Image.Image, rule: Rule = RULE, kind: str = "PNG", **options: Any) -> masks.Mask:
    return masks.check(encoded(image, kind, **options), image.width, image.height, rule, MOST)


def palette(ids: Any) -> Image.Image:
    """A palette image whose colours are nothing like its ids."""
    image = Image.fromarray(np.array(ids, np.uint8)).convert("P")
    image.putpalette(bytes(v for i in range(256) for v in (255 - i, 7, i // 2)))
    return image


def packed_png(rows: list[list[int]], bits: int) -> bytes:
    """A grey PNG of 1, 2 or 4 bit, which Pillow does not write."""
    lines = ["".join(format(v, f"0{bits}b") for v in row) for row in rows]
    width = -(-len(lines[0]) // 8) * 8
    raw = b"".join(b"\0" + int(line.ljust(width, "0"), 2).to_bytes(width // 8, "big") for line in lines)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", len(rows[0]), len(rows), bits, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def test_ids_become_indices_and_are_counted() -> None:
    # Two of sky, one of road, three of void, which is ignored: 2 + 1 + 3 = 3 x 2.
    mask = check(grey([[0, 2, 0], [1, 2, 2]]))
    assert ids(mask) == [[0, 255, 0], [1, 255, 255]]
    assert (mask.pixels, mask.ignored) == ((2, 1), 3)


def test_a_mask_of_ignored_pixels_only_is_a_mask() -> None:
    assert check(grey([[2, 2]])).pixels == (0, 0)


def test_an_ignored_name_in_the_middle_moves_the_indices_behind_it() -> None:
    mask = check(grey([[0, 1, 2]]), rule(("sky", "void", "road"), ignore="void"))
    assert ids(mask) == [[0, 255, 1]]


@pytest.mark.parametrize("ignore", ["void", 2])
def test_a_name_or_an_id_is_ignored(ignore: str | int) -> None:
    assert rule(NAMES, ignore=ignore) == RULE


def test_an_ignored_id_may_lie_beyond_the_names() -> None:
    mask = check(palette([[0, 255], [1, 255]]), rule(("sky", "road"), ignore=255))
    assert (mask.pixels, mask.ignored) == ((1, 1), 2)


def test_the_indices_of_a_palette_are_the_ids() -> None:
    assert ids(check(palette([[0, 1], [2, 0]]))) == [[0, 1], [255, 0]]
    assert ids(check(palette([[0, 1], [2, 0]]), kind="GIF")) == [[0, 1], [255, 0]]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_are_ids_and_not_levels_of_grey(bits: int) -> None:
    last = 2**bits - 1  # Pillow reads it as 255
    names = [f"n{i}" for i in range(max(2, last + 1))]
    mask = masks.check(packed_png([[0, 1, last]], bits), 3, 1, rule(names), MOST)
    assert ids(mask) == [[0, 1, last]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_a_mask_of_one_bit_has_two_ids(kind: str) -> None:
    image = Image.fromarray(np.array([[False, True, True]]))
    assert ids(check(image, rule(("sky", "road")), kind)) == [[0, 1, 1]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_ids_of_sixteen_bits_are_read(kind: str) -> None:
    many = rule(("sky", "road"), ignore=1000)
    assert ids(check(grey([[0, 1, 1000]], np.uint16), many, kind)) == [[0, 1, 255]]
    with pytest.raises(BadImage, match=r"the id 256 at x=2, y=0 means nothing; expected 0 to 1, 1000, from"):
        check(grey([[0, 1, 256]], np.uint16), many, kind)  # 256 is not 0


@pytest.mark.parametrize("strange", [-1, 3, 65536, 65537, 2**31 - 1])
def test_ids_of_thirty_two_bits_are_read(strange: int) -> None:
    assert ids(check(grey([[0, 1, 2]], np.int32), kind="TIFF")) == [[0, 1, 255]]
    with pytest.raises(
        BadImage, match=f"the id {strange} at x=1, y=0 means nothing; expected 0 to 2, from labels.names"
    ):
        check(grey([[0, strange, 2]], np.int32), kind="TIFF")


def test_colours_are_mapped_to_labels() -> None:
    colored = rule(NAMES, ignore="void", colors=COLORS)
    pixels = np.array([[COLORS["road"], COLORS["void"], COLORS["sky"]]], np.uint8)
    image = Image.fromarray(pixels)
    assert ids(check(image, colored)) == [[1, 255, 0]]
    assert ids(check(image.convert("RGBA"), colored)) == [[1, 255, 0]]
    assert ids(check(image.quantize(8), colored)) == [[1, 255, 0]]
    assert rule(("sky", "road"), ignore="void", colors=COLORS).codes == colored.codes  # void needs no id, then


def test_ids_stated_in_the_configuration_are_mapped_to_labels() -> None:
    given_ids = rule(("background", "lesion"), colors={"background": 0, "lesion": 255})
    assert ids(check(grey([[0, 255]]), given_ids)) == [[0, 1]]


@pytest.mark.parametrize(
    ("image", "colors", "message"),
    [
        (grey([[0, 1], [3, 3]]), None, r"the id 3 at x=0, y=1 \(and 1 more pixels\) means nothing; expected 0 to 2,"),
        (palette([[9, 0]]), None, r"the id 9 at x=0, y=0 means nothing"),
        (
            Image.new("RGB", (2, 1), (1, 2, 3)),
            COLORS,
            r"the colour \(1, 2, 3\) at x=0, y=0 \(and 1 more pixels\) is not",
        ),
        (grey([[7]]), COLORS, r"the colour \(7, 7, 7\) at x=0, y=0 is not in labels\.colors"),
        (grey([[0]], np.uint16), COLORS, r"holds grey values of more than 8 bits, but labels\.colors gives each label"),
        (
            Image.new("RGB", (1, 1), (1, 2, 3)),
            None,
            r"holds colours, such as \(1, 2, 3\) at x=0, y=0, not ids; .* labels\.colors, such as NAME: \[1, 2, 3\]",
        ),
        (Image.new("LA", (1, 1)), None, "holds transparent pixels, which leaves open what they mean"),
    ],
)
def test_pixels_without_a_label_are_refused(image: Image.Image, colors: Any, message: str) -> None:
    with pytest.raises(BadImage, match=message):
        check(image, rule(NAMES, ignore="void", colors=colors))


def test_a_mask_of_another_size_than_its_image_is_refused() -> None:
    data = encoded(grey([[0, 1, 0]]))
    with pytest.raises(BadImage, match=r"^the mask has 3 x 1 pixels, but the image has 3 x 2$"):
        masks.check(data, 3, 2, RULE, MOST)
    with pytest.raises(BadImage, match=r"^the mask has 3 x 1 pixels, but the upright image has 3 x 2$"):
        masks.check(data, 3, 2, RULE, MOST, sideways=True)


def test_exif_is_named_only_where_it_turned_the_image() -> None:
    data = encoded(grey([[0, 1, 0]]))
    with pytest.raises(BadImage, match=r"but the image has 1 x 3; width and height seem to be swapped$"):
        masks.check(data, 1, 3, RULE, MOST)
    with pytest.raises(BadImage, match=r"the upright image has 1 x 3; its file stores it as 3 x 1 and its EXIF"):
        masks.check(data, 1, 3, RULE, MOST, sideways=True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (encoded(grey([[0]]), "JPEG"), "JPEG and WebP change pixels, and so labels; save the mask as PNG"),
        (encoded(grey([[0]]), "WEBP"), "JPEG and WebP change pixels"),
        (encoded(grey(np.random.default_rng(0).integers(0, 3, (99, 2))))[:-30], "cannot be decoded: .*truncated"),
        (b"\x89PNG\r\n\x1a\nnonsense", "cannot be decoded"),
        (b"nonsense", r"no mask of a known format \(PNG, TIFF, GIF, BMP, PPM\), or its header is broken"),
        (b"", "empty file"),
        (b"x" * (1 << 21), "2,097,152 bytes are more than a mask of 10,000 pixels needs"),
    ],
)
def test_files_that_are_not_masks_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(BadImage, match=message):
        masks.check(data, 2, 99, RULE, MOST)


def test_a_mask_of_several_frames_is_refused() -> None:
    frames = [grey([[0, 1]]), grey([[1, 0]])]
    with pytest.raises(BadImage, match="holds several pages; expected one mask"):
        check(frames[0], kind="TIFF", save_all=True, append_images=frames[1:])


def test_a_tiff_whose_zero_is_white_is_refused() -> None:
    image = Image.fromarray(np.array([[False, True]]))
    with pytest.raises(BadImage, match="is a TIFF that stores white as 0"):
        check(image, rule(("sky", "road")), "TIFF", tiffinfo={262: 0})


@pytest.mark.parametrize(
    ("names", "more", "message"),
    [
        (("a", "a", "b"), {}, r"labels\.names: expected 2 to 253 different labels"),
        (("a", "void"), {"ignore": "void"}, r"labels\.names: expected 2 to 253 different labels to learn, got 1"),
        ([str(i) for i in range(254)], {}, r"expected 2 to 253 different labels to learn, got 254"),
        (NAMES, {"ignore": "nothing"}, r"labels\.ignore: 'nothing' is not among labels\.names"),
        (NAMES, {"ignore": 70000}, r"labels\.ignore: expected a name or an id from 0 to 65535, got 70000"),
        (NAMES, {"ignore": 9, "colors": COLORS}, r"labels\.ignore: labels\.colors defines .* no name has the id 9"),
        (NAMES, {"colors": COLORS | {"car": (1, 1, 1)}}, r"labels\.colors: 'car' is not among labels\.names"),
        ((*NAMES, "car"), {"colors": COLORS}, r"labels\.colors: 'car' has no colour"),
        (NAMES, {"colors": COLORS | {"void": (128, 128, 128)}}, r"two names have the same colour"),
        (NAMES, {"colors": COLORS | {"void": (0, 0, 256)}}, r"labels\.colors: void: expected \[red, green, blue\]"),
        (
            NAMES,
            {"colors": COLORS | {"void": 7}},
            r"labels\.colors: void: expected .* the same kind for every name, got 7",
        ),
        (NAMES, {"ignore": "void", "background": "void"}, r"labels\.background: 'void' is not a label to learn"),
    ],
)
def test_rules_that_contradict_themselves_are_refused(names: Any, more: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rule(names, **more)


def test_the_largest_id_is_not_everything_beyond_it() -> None:
    largest = rule(("sky", "road"), ignore=65535)
    assert ids(check(grey([[0, 1, 65535]], np.int32), largest, "TIFF")) == [[0, 1, 255]]
    with pytest.raises(BadImage, match="the id 65536 at x=2, y=0"):
        check(grey([[0, 1, 65536]], np.int32), largest, "TIFF")


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=50)
def test_every_pixel_is_counted_once_and_comes_back(width: int, height: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 3, (height, width), dtype=np.uint8)
    mask = check(Image.fromarray(pixels))
    assert sum(mask.pixels) + mask.ignored == width * height
    assert ids(mask) == np.where(pixels == 2, 255, pixels).tolist()
    assert mask == check(Image.fromarray(pixels))  # the same bytes again


# Regions.


def painted(segmentation: Any, width: int, height: int) -> list[list[int]]:
    canvas = np.zeros((height, width), np.uint8)
    regions.paint(canvas, segmentation, 1)
    rows: list[list[int]] = canvas.tolist()
    return rows


def test_a_rectangle_has_as_many_pixels_as_its_area() -> None:
    # From x = 1 to 4 and y = 0 to 2: 3 x 2 pixels.
    assert painted([[1, 0, 4, 0, 4, 2, 1, 2]], 5, 3) == [[0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]]


def test_a_pixel_is_inside_when_its_centre_is() -> None:
    # The edge from (6, 0) to (0, 5) is at x = 6 - 1.2 y: 5.4, 4.2, 3, 1.8, 0.6 at the rows' centres, so centres
    # 0.5 … 4.5, … 3.5, … 2.5, … 1.5 and 0.5 lie left of it.
    assert [sum(row) for row in painted([[0, 0, 6, 0, 0, 5]], 7, 5)] == [5, 4, 3, 2, 1]


def test_polygons_unite_and_one_that_crosses_itself_is_even_odd() -> None:
    assert painted([[0, 0, 1, 0, 1, 1, 0, 1], [2, 0, 3, 0, 3, 1, 2, 1]], 3, 1) == [[1, 0, 1]]
    assert painted([[0, 0, 2, 0, 2, 1, 0, 1], [1, 0, 3, 0, 3, 1, 1, 1]], 3, 1) == [[1, 1, 1]]
    twice_around = [0, 0, 3, 0, 3, 3, 0, 3, 0, 0, 1, 1, 2, 1, 2, 2, 1, 2, 1, 1]
    assert painted([twice_around], 3, 3) == [[1, 1, 1], [1, 0, 1], [1, 1, 1]]


def test_polygons_beyond_the_image_are_cut() -> None:
    assert painted([[-5, -5, 9, -5, 9, 9, -5, 9]], 2, 2) == [[1, 1], [1, 1]]
    assert painted([[5, 5, 9, 5, 9, 9]], 2, 2) == [[0, 0], [0, 0]]
    assert painted([[0.6, 0.6, 0.9, 0.6, 0.9, 0.9]], 2, 2) == [[0, 0], [0, 0]]  # no centre inside


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0, 20)), min_size=4, max_size=4), st.floats(1, 19))
@settings(deadline=None, max_examples=60)
def test_neighbours_neither_overlap_nor_leave_a_gap(points: list[tuple[float, float]], at: float) -> None:
    # A quadrangle with corners on the image's four sides, cut in two by any point inside a side.
    (a, _), (_, b), (c, _), (_, d) = points
    corners = [(a, 0.0), (20.0, b), (c, 20.0), (0.0, d)]
    whole, left, right = np.zeros((3, 20, 20), np.uint8)
    middle = (at, 10.0)
    regions.paint(whole, [[v for p in corners for v in p]], 1)
    regions.paint(left, [[v for p in (corners[0], corners[1], middle) for v in p]], 1)
    regions.paint(right, [[v for p in (corners[1], corners[2], corners[3], corners[0], middle) for v in p]], 1)
    np.testing.assert_array_equal(left ^ right, whole)


# Made with pycocotools 2.0.11: encode() of the pixels below.
RUNS = [11, 3, 2, 3, 2, 3, 6, 1, 4]
TEXT = ";320004NN"
PIXELS = [
    [0, 0, 0, 0, 0, 0, 1],
    [0, 0, 1, 1, 1, 0, 0],
    [0, 0, 1, 1, 1, 0, 0],
    [0, 0, 1, 1, 1, 0, 0],
    [0, 0, 0, 0, 0, 0, 0],
]
LONG_TEXT = "Se01W50dM0i>0mM0TO0f20h90g40bH0[;0YTO0U20X20P`00QUO0b30nL0P`00f10iM0e20RF0[N"  # of 40 x 300
LONG_RUNS = (675, 167, 91, 564, 497, 469, 555, 867, 1018, 780, 1143, 256, 325, 397, 909, 46, 160, 62, 574, 628, 557)


def test_run_lengths_become_a_mask() -> None:
    assert painted({"size": [5, 7], "counts": RUNS}, 7, 5) == PIXELS
    assert painted({"size": [5, 7], "counts": TEXT}, 7, 5) == PIXELS
    long = np.array(painted({"size": [40, 300], "counts": LONG_TEXT}, 300, 40))
    places = np.flatnonzero(long.T)  # down the columns; each run of ones is a single pixel
    assert tuple(np.diff(places, prepend=-1)[: len(LONG_RUNS)] - 1) == LONG_RUNS
    assert len(places) == regions.area({"size": [40, 300], "counts": LONG_TEXT}) == 23


def compressed(counts: list[int]) -> str:
    """Run lengths as COCO's text, after the description in the format's own C code."""
    text = ""
    for i, count in enumerate(counts):
        rest = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            group, rest = rest & 31, rest >> 5
            more = rest != (-1 if group & 16 else 0)
            text += chr(48 + group + 32 * more)
    return text


@given(st.integers(1, 50), st.integers(1, 50), st.sampled_from([0.0, 0.01, 0.5, 1.0]), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=60)
def test_run_lengths_of_any_mask_give_the_mask_back(width: int, height: int, share: float, seed: int) -> None:
    pixels = np.random.default_rng(seed).random((height, width)) < share
    flat = np.concatenate(([False], pixels.T.ravel(), [False]))
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate(([0], edges, [height * width]))).tolist()
    for form in (counts, compressed(counts)):
        segmentation = {"size": [height, width], "counts": form}
        assert painted(segmentation, width, height) == pixels.astype(int).tolist()
        assert regions.area(segmentation) == pixels.sum()
    assert compressed(RUNS) == TEXT


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], "expected a list of polygons, or run lengths"),
        (None, "expected a list of polygons, or run lengths"),
        ([[0, 0, 1, 1]], r"expected polygons \[x1, y1, x2, y2, …\] of 3 points or more, got 4 numbers"),
        ([[0, 0, 1, 1, 2, 0, 3]], "got 7 numbers"),
        ([7], "got 7"),
        ([[0, 0, 1, 1, 2, None]], "expected polygons of finite numbers"),
        ([[0, 0, 1, 1, 2, float("nan")]], "expected polygons of finite numbers"),
        ([[0, 0, 1, 1, 2, 10**400]], "expected polygons of finite numbers"),
        ([[0, 0, 1, 1, 2, 1e7]], "a coordinate is beyond 1,000,000 pixels"),
        ({"size": [2, 3]}, "expected run lengths {size"),
        (
            {"size": [3, 2], "counts": [6]},
            r"run lengths are for \[3, 2\] \(height, width\), but the upright image is \[2, 3\]",
        ),
        ({"size": [2, 3], "counts": [5]}, "must be 0 or more and sum to 6 pixels"),
        ({"size": [2, 3], "counts": [-1, 7]}, "must be 0 or more and sum to 6 pixels"),
        ({"size": [2, 3], "counts": []}, "must be 0 or more and sum to 6 pixels"),
        ({"size": [2, 3], "counts": [6.0]}, "must be whole numbers"),
        ({"size": [2, 3], "counts": "Z"}, "end in the middle of a number"),
        ({"size": [2, 3], "counts": "6 "}, "' ' is not a character of compressed run lengths"),
        ({"size": [2, 3], "counts": "oooooooo0"}, "must be 0 or more and sum to 6 pixels"),
    ],
)
def test_malformed_regions_are_refused(segmentation: Any, message: str) -> None:
    with pytest.raises(BadImage, match=message):
        painted(segmentation, 3, 2)


def test_a_polygon_with_too_many_corners_is_refused() -> None:
    zigzag = [float(v) for i in range(10_000) for v in (i % 3, 9000 * (i % 2))]
    with pytest.raises(BadImage, match="10,000 points cross the rows of pixels 90,000,000 times"):
        regions.paint(np.zeros((9000, 4), np.uint8), [zigzag], 1)


SQUARE = [[0, 0, 2, 0, 2, 2, 0, 2]]
PIXEL = [[0, 0, 1, 0, 1, 1, 0, 1]]


def test_later_regions_lie_on_top() -> None:
    text = regions.dump((3, 2), [("road", SQUARE), ("sky", PIXEL)])
    mask = masks.draw(text, 3, 2, RULE)
    assert ids(mask) == [[0, 1, 255], [1, 1, 255]]  # no region: ignored
    assert (mask.pixels, mask.ignored) == ((1, 3), 2)
    assert ids(masks.draw(text, 3, 2, rule(NAMES, ignore="void", background="sky"))) == [[0, 1, 0], [1, 1, 0]]


def test_an_ignored_region_covers_what_lies_below() -> None:
    text = regions.dump((2, 2), [("road", SQUARE), ("void", PIXEL)])
    assert ids(masks.draw(text, 2, 2, RULE)) == [[255, 1], [1, 1]]


def test_without_regions_every_pixel_is_ignored() -> None:
    assert masks.draw(regions.dump(None, []), 3, 2, RULE).ignored == 6


def test_regions_of_another_image_size_are_refused() -> None:
    text = regions.dump((3, 2), [("road", SQUARE)])
    with pytest.raises(BadImage, match=r"^the regions are for 3 x 2 pixels, but the image has 2 x 3; width and height"):
        masks.draw(text, 2, 3, RULE)
    with pytest.raises(BadImage, match=r"the upright image has 2 x 3; its file stores it as 3 x 2 and its EXIF"):
        masks.draw(text, 2, 3, RULE, sideways=True)
    with pytest.raises(BadImage, match=r"a region is of 'car', which is not among labels\.names"):
        masks.draw(regions.dump(None, [("car", SQUARE)]), 2, 2, RULE)


def test_regions_are_kept_as_the_same_text() -> None:
    found = [("road", {"size": [2, 3], "counts": [6]}), ("sky", [[0, 0.5, 1, 0, 1, 1]])]
    text = regions.dump((3, 2), found)
    assert regions.load(text) == ((3, 2), found)
    assert text == regions.dump((3, 2), [(a, json.loads(json.dumps(b, indent=1))) for a, b in found])
    assert regions.load(regions.dump(None, [])) == (None, [])


@pytest.mark.real_images
def test_odd_files_are_read_as_masks_or_refused_with_a_reason(real_images: Path) -> None:
    many = rule([str(i) for i in range(253)], ignore=255)
    colored = rule(NAMES, ignore="void", colors=COLORS)
    for file in sorted((real_images / "nasty").rglob("*")):
        if file.is_file():
            for meaning in (many, colored):
                with contextlib.suppress(BadImage):  # nothing else may come
                    mask = masks.check(file.read_bytes(), 32, 32, meaning, MOST)
                    assert sum(mask.pixels) + mask.ignored == 32 * 32


STREET = [
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
    "void",
]
SEGNET = [0.2595, 0.1826, 4.5640, 0.1417, 0.9051, 0.3826, 9.6446, 1.8418, 0.6823, 6.2478, 7.3614]
TODAY = [0.2565, 0.1853, 4.3963, 0.1369, 0.9185, 0.3873, 3.5331, 1.8127, 0.7246, 5.8550, 8.1365]


@pytest.mark.real_images
@pytest.mark.parametrize(("folder", "published"), [("trainannot_2015_11_10", SEGNET), ("trainannot", TODAY)])
def test_the_weights_are_those_that_were_published(real_images: Path, folder: str, published: list[float]) -> None:
    street = rule(STREET, ignore="void")
    own, total = np.zeros(12), np.zeros(12)
    files = sorted((real_images / "camvid" / folder).glob("*.png"))
    for file in files:
        mask = masks.check(file.read_bytes(), 480, 360, street, 480 * 360)
        pixels = np.array([*mask.pixels, mask.ignored])
        own += pixels
        total += np.where(pixels > 0, pixels.sum(), 0)
    assert len(files) == 367
    # SegNet took the median over all twelve classes, void included.
    assert np.round(median_frequency(own, total)[:11], 4).tolist() == published


# An id is an id.


def test_with_ids_in_colors_the_ignored_id_is_the_label_that_has_it() -> None:
    # Pets: 1 is the pet, 2 the background, which covers most pixels, 3 the border.
    pets = rule(["pet", "background", "border"], colors={"pet": 1, "background": 2, "border": 3}, ignore=2)
    assert (pets.labels, pets.ignored) == (("pet", "border"), ("background",))
    mask = check(grey([[2, 2, 2], [1, 2, 3]]), pets)
    assert (mask.pixels, mask.ignored) == ((1, 1), 4)


def test_an_ignored_id_without_a_name_is_added_to_the_ids_in_colors() -> None:
    scene = rule(["wall", "building", "sky"], colors={"wall": 1, "building": 2, "sky": 3}, ignore=0)
    assert scene.labels == ("wall", "building", "sky")
    assert ids(check(grey([[0, 1, 2, 3]]), scene)) == [[255, 0, 1, 2]]


def test_names_come_from_colors_in_their_order_where_there_are_none() -> None:
    assert rule([], colors={"bg": [0, 0, 0], "Cat": [48, 112, 32]}) == rule(
        ["bg", "Cat"], colors={"bg": [0, 0, 0], "Cat": [48, 112, 32]}
    )
    assert rule((), colors={"z": 9, "a": 4, "void": 0}, ignore="void").labels == ("z", "a")


def test_an_id_in_quotes_is_a_name_and_the_message_says_so() -> None:
    with pytest.raises(ConfigError, match=r"'255' is not among .*; for the id 255, write it without quotes"):
        rule(["sky", "road"], ignore="255")
