"""From bytes to pixels: what `check` lets through, TensorFlow decodes to the pixels that Pillow sees in it."""

import io
import json
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from components.data import images
from components.data.untrusted import rows

Pixels = NDArray[np.uint8]
MAX_PIXELS = 200_000
HEIGHT, WIDTH = 17, 23

ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]
PICTURE: Pixels = np.stack([COLUMNS * 11, ROWS * 15, ROWS * COLUMNS % 256], axis=-1).astype(np.uint8)
GREY: Pixels = PICTURE[..., 0]


def encode(pixels: NDArray[np.generic] | Image.Image, kind: str, **options: object) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def pillow(data: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def decode(checked: images.Checked) -> Pixels:
    """Eagerly, to its own size: no resizing takes part."""
    pixels: Pixels = images.decode(tf.constant(checked.encoded), (checked.height, checked.width)).numpy()
    return pixels


def check(data: bytes) -> images.Checked:
    return images.check(data, MAX_PIXELS)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    colour: int, depth: int, width: int, height: int, rows: bytes, *chunks: bytes, end: bytes | None = None
) -> bytes:
    """A PNG by the letter of the specification; `rows` as they are before compression."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    last = chunk(b"IEND", b"") if end is None else end
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", zlib.compress(rows)) + last


KEPT = {
    "JPEG": (encode(PICTURE, "JPEG", quality=90), "jpeg"),
    "grey JPEG": (encode(GREY, "JPEG"), "jpeg"),
    "progressive JPEG": (encode(PICTURE, "JPEG", progressive=True), "jpeg"),
    "JPEG with restarts": (encode(PICTURE, "JPEG", subsampling=0, restart_marker_rows=1), "jpeg"),
    "PNG": (encode(PICTURE, "PNG"), "png"),
    "grey PNG": (encode(GREY, "PNG"), "png"),
    "BMP": (encode(PICTURE, "BMP"), "bmp"),
    "WebP": (encode(PICTURE, "WEBP"), "webp"),
    "lossless WebP": (encode(PICTURE, "WEBP", lossless=True), "webp"),
}


@pytest.mark.parametrize(("data", "kind"), KEPT.values(), ids=KEPT)
def test_an_image_that_tensorflow_decodes_is_stored_byte_for_byte(data: bytes, kind: str) -> None:
    checked = check(data)

    assert checked == images.Checked(data, kind, WIDTH, HEIGHT, "")
    np.testing.assert_array_equal(decode(checked), pillow(data))


RED = np.zeros((HEIGHT, WIDTH, 3), np.uint8) + np.uint8([200, 0, 0])
FRAMES = {"save_all": True, "append_images": [Image.fromarray(RED)], "duration": 50}
PALETTE_IMAGE = Image.fromarray(PICTURE).quantize(16)
PALETTE_RGB = np.reshape(PALETTE_IMAGE.getpalette(), (-1, 3)).astype(np.uint8)[np.asarray(PALETTE_IMAGE)]
BITS = (ROWS + COLUMNS) % 2 == 0
# 0xFF00 and above are white in 8 bit; Pillow's own conversion calls everything above 0x00FF white.
WIDE = (GREY.astype(np.uint16) << 8) + COLUMNS.astype(np.uint16)
DOUBLE = np.stack([GREY] * 3, axis=-1)

CHANGED = {
    "GIF": (encode(PALETTE_IMAGE, "GIF"), "GIF", PALETTE_RGB),
    "animated GIF": (encode(PALETTE_IMAGE, "GIF", **FRAMES), "GIF", PALETTE_RGB),
    "animated WebP": (encode(PICTURE, "WEBP", lossless=True, **FRAMES), "animated WEBP", PICTURE),
    "animated PNG": (encode(PICTURE, "PNG", **FRAMES), "animated PNG", PICTURE),
    "TIFF": (encode(PICTURE, "TIFF"), "TIFF", PICTURE),
    "LZW TIFF of 16 bit": (encode(WIDE, "TIFF", compression="tiff_lzw"), "TIFF", DOUBLE),
    "TIFF of two pages": (encode(PICTURE, "TIFF", **FRAMES), "TIFF", PICTURE),
    "palette PNG": (encode(PALETTE_IMAGE, "PNG"), "palette", PALETTE_RGB),
    "palette BMP": (encode(PALETTE_IMAGE, "BMP"), "palette", PALETTE_RGB),
    "16 bit PNG": (encode(WIDE, "PNG"), "16 bit", DOUBLE),
    "1 bit PNG": (encode(Image.fromarray(BITS), "PNG"), "1 bit", np.stack([BITS * np.uint8(255)] * 3, axis=-1)),
    "grey BMP": (encode(GREY, "BMP"), "mode L", DOUBLE),
    "32 bit BMP": (encode(Image.fromarray(PICTURE).convert("RGBA"), "BMP"), "BMP of other than 24 bit", PICTURE),
}


@pytest.mark.parametrize(("data", "reason", "pixels"), CHANGED.values(), ids=CHANGED)
def test_an_image_that_tensorflow_decodes_differently_is_stored_as_a_png(
    data: bytes, reason: str, pixels: Pixels
) -> None:
    checked = check(data)

    assert (checked.format, checked.width, checked.height) == ("png", WIDTH, HEIGHT)
    assert checked.changed == reason
    np.testing.assert_array_equal(decode(checked), pixels)


def test_a_multi_picture_jpeg_is_read_as_its_first_picture() -> None:
    checked = check(encode(PICTURE, "MPO", **FRAMES))

    assert checked.changed == "MPO"
    # Another quantisation than this encoder's default would show; a red second picture even more.
    np.testing.assert_array_equal(decode(checked), pillow(encode(PICTURE, "JPEG")))


def test_cmyk_is_mixed_from_its_inks() -> None:
    inks = np.zeros((16, 16, 4), np.uint8) + np.uint8([51, 102, 0, 128])
    checked = check(encode(Image.fromarray(inks, "CMYK"), "JPEG", quality=100))

    assert checked.changed == "CMYK"
    # What neither ink nor black takes: (255 - C) (255 - K) / 255 = 204 * 127 / 255 = 101.6, and so on.
    np.testing.assert_allclose(decode(checked)[8, 8], [204 * 127 / 255, 153 * 127 / 255, 127], atol=2)


# How the upright picture comes out of the stored one, by EXIF's definition of the eight orientations.
UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: a.transpose(1, 0, 2)[::-1],
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_images_of_every_orientation_are_turned_upright(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(PICTURE, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    checked = check(data)

    upright = UPRIGHT[orientation](pillow(data) if kind != "TIFF" else PICTURE)
    assert (checked.height, checked.width) == upright.shape[:2]
    np.testing.assert_array_equal(decode(checked), upright)
    if kind != "TIFF":
        assert checked.changed == ("" if orientation == 1 else f"EXIF orientation {orientation}")


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_orientation_that_does_not_exist_turns_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(PICTURE, "PNG", exif=exif)
    assert check(data) == images.Checked(data, "png", WIDTH, HEIGHT)


def over_white(colour: NDArray[np.generic], alpha: NDArray[np.generic]) -> Pixels:
    """round((c a + 255 (255 - a)) / 255), in whole numbers."""
    total = colour.astype(np.int64) * alpha + 255 * (255 - alpha.astype(np.int64))
    return ((2 * total + 255) // 510).astype(np.uint8)


ALL_LEVELS, ALL_ALPHAS = (a.astype(np.uint8) for a in np.mgrid[:256, :256])


def test_alpha_is_laid_over_white_for_every_level_and_alpha() -> None:
    rgba = np.stack([ALL_LEVELS, 255 - ALL_LEVELS, np.full_like(ALL_LEVELS, 9), ALL_ALPHAS], axis=-1)
    data = encode(rgba, "PNG")
    expected = over_white(rgba[..., :3], rgba[..., 3:])

    checked = check(data)
    assert checked.changed == "alpha"
    np.testing.assert_array_equal(decode(checked), expected)
    # Serving gets such a file unchecked, and must see the same.
    np.testing.assert_array_equal(rows.decode(tf.constant([data]), (256, 256))[0][0], expected)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_of_other_kinds_is_laid_over_white(kind: str, mode: str) -> None:
    alpha = (COLUMNS * 11).astype(np.uint8)
    colour = PICTURE if mode == "RGBA" else GREY[..., None]
    image = Image.fromarray(np.concatenate([colour, alpha[..., None]], axis=-1), mode)
    checked = check(encode(image, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {})))

    expected = np.broadcast_to(over_white(colour, alpha[..., None]), (HEIGHT, WIDTH, 3))
    np.testing.assert_array_equal(decode(checked), expected)


TRANSPARENT = {
    # colour type, bit depth, levels of a row as they are packed, the transparent colour -> the row's 8-bit RGB
    "2 bit": (0, 2, b"\x1b", (1,), [0, 255, 170, 255]),  # levels 0, 1, 2, 3 of 3
    "4 bit": (0, 4, b"\x05\x0f", (5,), [0, 255, 0, 255]),  # levels 0, 5, 0, 15 of 15
    "8 bit": (0, 8, bytes([0, 1, 2, 3]), (1,), [0, 255, 2, 3]),
    "16 bit": (0, 16, struct.pack(">4H", 0x1234, 0x1235, 0x0100, 0xFFFF), (0x1234,), [255, 0x12, 1, 255]),
    "8 bit RGB": (2, 8, bytes([1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]), (2, 2, 2), [1, 255, 3, 4]),
    "16 bit RGB": (
        2,
        16,
        struct.pack(">12H", *[v for v in (0x0100, 0x0203, 0x0300, 0x0400) for _ in "rgb"]),
        (0x0203,) * 3,
        [1, 255, 3, 4],
    ),
}


@pytest.mark.parametrize(("colour", "depth", "row", "key", "expected"), TRANSPARENT.values(), ids=TRANSPARENT)
def test_the_colour_that_a_png_calls_transparent_is_white(
    colour: int, depth: int, row: bytes, key: tuple[int, ...], expected: list[int]
) -> None:
    data = png(colour, depth, 4, 1, b"\0" + row, chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)))
    checked = check(data)

    assert checked.changed == "alpha"
    np.testing.assert_array_equal(decode(checked), np.repeat(expected, 3).reshape(1, 4, 3))


def bmp(pixels: Pixels, *, top_down: bool = False, os2: bool = False, behind: bytes = b"") -> bytes:
    """A 24-bit BMP; rows are padded to four bytes and stand upside down unless `top_down`."""
    height, width = pixels.shape[:2]
    rows = [row[:, ::-1].tobytes() + b"\0" * (-3 * width % 4) for row in (pixels if top_down else pixels[::-1])]
    if os2:
        header = struct.pack("<IHHHH", 12, width, height, 1, 24)
    else:
        header = struct.pack("<IiiHHIIiiII", 40, width, -height if top_down else height, 1, 24, 0, 0, 0, 0, 0, 0)
    start = 14 + len(header)
    body = header + b"".join(rows) + behind
    return b"BM" + struct.pack("<IHHI", 14 + len(body), 0, 0, start) + body


def test_bitmaps_that_tensorflow_reads_stay_unchanged() -> None:
    for data in (bmp(PICTURE), bmp(PICTURE, top_down=True)):
        checked = check(data)
        assert (checked.encoded, checked.format) == (data, "bmp")
        np.testing.assert_array_equal(decode(checked), PICTURE)


# Byte 28 of the old header is a pixel: here it looks like the "24 bit" of the new one.
LIKE_24_BIT = np.uint8([[[24, 0, 0], [0, 0, 0]], [[7, 8, 24], [9, 9, 0]]])


@pytest.mark.parametrize(
    ("data", "pixels"),
    [
        (bmp(PICTURE, behind=b"\0\0"), PICTURE),
        (bmp(PICTURE, os2=True), PICTURE),
        (bmp(LIKE_24_BIT, os2=True), LIKE_24_BIT),
    ],
    ids=["two bytes behind, as Photoshop writes", "OS/2", "OS/2 that looks like Windows"],
)
def test_bitmaps_that_only_pillow_reads_become_png(data: bytes, pixels: Pixels) -> None:
    checked = check(data)
    assert checked.format == "png"
    assert checked.changed in ("BMP of a rare kind", "BMP of other than 24 bit")
    np.testing.assert_array_equal(decode(checked), pixels)


def test_a_webp_animation_of_one_frame_becomes_a_png() -> None:
    animated = encode(PICTURE, "WEBP", lossless=True, **FRAMES)
    start = animated.index(b"ANMF")
    second = animated.index(b"ANMF", start + 4)
    one = b"RIFF" + struct.pack("<I", second - 8) + animated[8:second]
    assert getattr(Image.open(io.BytesIO(one)), "n_frames", 1) == 1

    checked = check(one)
    assert (checked.format, checked.changed) == ("png", "animated WEBP")
    np.testing.assert_array_equal(decode(checked), PICTURE)


def lossless_jpeg(levels: Pixels) -> bytes:
    """ITU T.81, process 14: each pixel is the difference to its left (in the first column, upper) neighbour.

    The Huffman code of "n bits follow" is n itself in five bits.
    """

    def segment(marker: int, content: bytes) -> bytes:
        return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content

    bits = ""
    for (y, x), level in np.ndenumerate(levels.astype(int)):
        before = int(levels[y, x - 1] if x else levels[y - 1, 0] if y else 128)
        size = int(abs(level - before)).bit_length()
        difference = level - before if level >= before else level - before + (1 << size) - 1
        bits += f"{size:05b}" + (f"{difference:0{size}b}" if size else "")
    bits += "1" * (-len(bits) % 8)
    codes = segment(0xC4, bytes([0, *(17 if length == 5 else 0 for length in range(1, 17)), *range(17)]))
    frame = segment(0xC3, struct.pack(">BHHB", 8, *levels.shape, 1) + b"\1\x11\0")
    body = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    return b"\xff\xd8" + frame + codes + segment(0xDA, bytes([1, 1, 0, 1, 0, 0])) + body + b"\xff\xd9"


def test_a_lossless_jpeg_becomes_a_png() -> None:
    checked = check(lossless_jpeg(GREY))
    assert (checked.format, checked.changed) == ("png", "JPEG of a rare kind")
    np.testing.assert_array_equal(decode(checked), DOUBLE)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


HUGE = 30_000  # squared: 900 million pixels
BOMB = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1 << 24)))
BLACK = bytes(10 * (1 + 30))  # ten rows of ten black pixels, no filter

REFUSED = {
    "nothing": (b"", "empty file"),
    "text": (b"GET / HTTP/1.0", r"no image of a known format \(JPEG, PNG, .* AVIF or JPEG 2000\), but text$"),
    "icon": (encode(PICTURE, "ICO"), r"no image of a known format \(.*\), but an icon \(ICO\)$"),
    "bytes": (bytes(8 * MAX_PIXELS + (1 << 20) + 1), "2,648,577 bytes are more than an image of 200,000 pixels needs"),
    "PNG header": (flipped(KEPT["PNG"][0], 20), "starts like a PNG file, but its header is broken"),
    "GIF header": (b"GIF89a", "starts like a GIF file, but its header is broken"),
    "WebP header": (b"RIFF\0\0\0\0WEBP", "WebP"),
    "BMP header": (b"BM\0\0", "BMP"),
    "TIFF header": (b"II*\0\0\0", "TIFF"),
    "JPEG header": (KEPT["JPEG"][0][:200], "cannot be decoded: Truncated"),
    "JPEG cut": (KEPT["JPEG"][0][:-20], "cannot be decoded: .*truncated"),
    "JPEG without end": (KEPT["JPEG"][0][:-2], "cannot be decoded: .*truncated"),
    "PNG cut": (KEPT["PNG"][0][:-40], "cannot be decoded: Invalid PNG data"),
    "PNG flipped": (flipped(KEPT["PNG"][0], 60), "cannot be decoded: Invalid PNG data"),
    "palette PNG flipped": (flipped(CHANGED["palette PNG"][0], -20), "cannot be decoded: Invalid PNG data"),
    "PNG without end": (png(2, 8, 10, 10, BLACK, end=b""), "cannot be decoded: Invalid PNG data"),
    "PNG with half an end": (png(2, 8, 10, 10, BLACK, end=b"\0\0\0\0IEND"), "cannot be decoded: Invalid PNG data"),
    "PNG without rows": (png(2, 8, 10, 11, BLACK), "cannot be decoded: Invalid PNG data"),
    "WebP cut": (KEPT["WebP"][0][:-40], "cannot be decoded|header is broken"),
    "BMP cut": (KEPT["BMP"][0][:-40], "cannot be decoded: .*truncated"),
    "GIF cut": (CHANGED["GIF"][0][:60], "cannot be decoded|header is broken"),
    "text bomb": (png(2, 8, 10, 10, BLACK, BOMB), "cannot be decoded: Decompressed data too large"),
    "32 bit": (encode(GREY.astype(np.float32), "TIFF"), "32-bit float values from 0 to 242, whose range is not stated"),
}


@pytest.mark.parametrize(("data", "reason"), REFUSED.values(), ids=REFUSED)
def test_an_unusable_image_is_refused_with_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(images.BadImage, match=reason):
        check(data)


def header_only(kind: str) -> bytes:
    """The first bytes of an image of 30,000 x 30,000 pixels; there are no pixels behind them."""
    if kind == "PNG":
        return png(2, 8, HUGE, HUGE, b"")
    if kind == "BMP":
        return struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, HUGE, HUGE, 1, 24, 0, 0, 0, 0, 0, 0)
    if kind == "GIF":
        return encode(GREY, "GIF")[:6] + struct.pack("<HH", HUGE, HUGE) + encode(GREY, "GIF")[10:]
    small = encode(PICTURE, "JPEG")
    return small.replace(struct.pack(">HH", HEIGHT, WIDTH), struct.pack(">HH", HUGE, HUGE), 1)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "JPEG"])
def test_a_decompression_bomb_is_refused_from_its_header(kind: str) -> None:
    with pytest.raises(images.BadImage, match=r"^30,000 x 30,000 pixels are more than data\.max_pixels \(200,000\)$"):
        check(header_only(kind))


def test_an_image_with_exactly_the_most_pixels_passes() -> None:
    data = encode(PICTURE, "PNG")
    assert images.check(data, HEIGHT * WIDTH).encoded == data
    with pytest.raises(images.BadImage, match=r"23 x 17 pixels are more than data.max_pixels \(390\)"):
        images.check(data, HEIGHT * WIDTH - 1)


def test_threads_do_not_disturb_each_other() -> None:
    files = [data for data, *_ in [*KEPT.values(), *CHANGED.values()]] * 20
    random.Random(0).shuffle(files)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(check, files)) == list(map(check, files))


# Damage of every kind: any bytes changed, cut, added or torn out.
SEEDS = [data for data, *_ in [*KEPT.values(), *CHANGED.values()]]
DAMAGE = st.one_of(
    st.tuples(st.just("flip"), st.integers(0, 4000), st.integers(1, 255)),
    st.tuples(st.just("flip"), st.integers(0, 64), st.integers(1, 255)),  # headers are where it matters most
    st.tuples(st.just("cut"), st.integers(0, 4000), st.just(0)),
    st.tuples(st.just("tail"), st.integers(1, 40), st.just(0)),
    st.tuples(st.just("add"), st.integers(1, 80), st.integers(0, 255)),
)


def damaged(data: bytes, damage: Iterable[tuple[str, int, int]]) -> bytes:
    for kind, at, value in damage:
        if not data:
            break
        place = at % len(data)
        match kind:
            case "flip":
                data = data[:place] + bytes([data[place] ^ value]) + data[place + 1 :]
            case "cut":
                data = data[:place]
            case "tail":
                data = data[: -min(at, len(data))]
            case "add":
                data += bytes([value]) * at
    return data


FILES = st.builds(damaged, st.sampled_from(SEEDS), st.lists(DAMAGE, min_size=1, max_size=3))


def usable(data: bytes, max_pixels: int = MAX_PIXELS) -> images.Checked | None:
    try:
        return images.check(data, max_pixels)
    except images.BadImage as bad:
        reason = str(bad)
    assert reason
    return None


def is_progressive(data: bytes) -> bool:
    return data.startswith(b"\xff\xd8\xff") and b"\xff\xc2" in data


@settings(max_examples=100)
@given(files=st.lists(FILES, min_size=8, max_size=8))
def test_a_damaged_file_is_refused_or_decodes_to_what_pillow_sees(files: list[bytes]) -> None:
    for checked in filter(None, map(usable, files)):
        pixels = decode(checked)
        assert pixels.shape == (checked.height, checked.width, 3)
        # Where scans of a progressive JPEG are missing, versions of the decoder smooth blocks differently.
        if not is_progressive(checked.encoded):
            np.testing.assert_array_equal(pixels, pillow(checked.encoded))


@settings(max_examples=12)
@given(files=st.lists(FILES, min_size=24, max_size=24))
def test_damaged_files_that_pass_decode_inside_tf_data(files: list[bytes]) -> None:
    passed = [c for c in map(usable, [*SEEDS, *files]) if c and (c.height, c.width) == (HEIGHT, WIDTH)]
    dataset = tf.data.Dataset.from_tensor_slices([c.encoded for c in passed])
    dataset = dataset.map(lambda encoded: images.decode(encoded, (HEIGHT, WIDTH)), num_parallel_calls=2)

    assert dataset.element_spec == tf.TensorSpec((HEIGHT, WIDTH, 3), tf.uint8)
    for checked, pixels in zip(passed, dataset.as_numpy_iterator(), strict=True):
        if not is_progressive(checked.encoded):
            np.testing.assert_array_equal(pixels, pillow(checked.encoded))


@given(data=st.binary(max_size=200))
@example(b"\xff\xd8\xff")
def test_any_bytes_are_refused_or_decode(data: bytes) -> None:
    checked = usable(data)
    assert checked is None or decode(checked).shape == (checked.height, checked.width, 3)


@pytest.mark.parametrize("data", [b"", b"text", b"\xff\xd8\xff\xe0", b"\x89PNG", b"RIFF"])
def test_decode_refuses_bytes_that_are_not_an_image(data: bytes) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        images.decode(tf.constant(data), (4, 4))
    dataset = tf.data.Dataset.from_tensors(data).map(lambda encoded: images.decode(encoded, (4, 4)))
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(dataset)


def test_decode_takes_the_first_frame_in_serving() -> None:
    gif = encode(PALETTE_IMAGE, "GIF", **FRAMES)
    np.testing.assert_array_equal(rows.decode(tf.constant([gif]), (HEIGHT, WIDTH))[0][0], PALETTE_RGB)


@pytest.mark.parametrize(("height", "width"), [(8, 11), (5, 23), (34, 46), (17, 40)])
def test_resizing_interpolates_bilinearly(height: int, width: int) -> None:
    resized = images.decode(tf.constant(encode(PICTURE, "PNG")), (height, width)).numpy()

    # Pillow's filter widens as the image shrinks, which is what averaging is; it rounds after each direction.
    expected = np.asarray(Image.fromarray(PICTURE).resize((width, height), Image.Resampling.BILINEAR), int)
    assert resized.dtype == np.uint8
    np.testing.assert_allclose(resized.astype(int), expected, atol=1)


def test_shrinking_averages_pixels_instead_of_skipping_them() -> None:
    board = np.zeros((32, 32, 3), np.uint8)
    board[::2, ::2] = board[1::2, 1::2] = 255  # a chessboard, half of it white: 127.5 on average
    shrunk = images.decode(tf.constant(encode(board, "PNG")), (8, 8)).numpy()
    np.testing.assert_allclose(shrunk.astype(int), 127.5, atol=1)


@pytest.mark.parametrize(("factor", "size"), [(1, (33, 48)), (2, (32, 48)), (4, (16, 24)), (8, (8, 12))])
def test_a_large_jpeg_is_decoded_at_the_smallest_scale_that_is_no_smaller(factor: int, size: tuple[int, int]) -> None:
    y, x = np.mgrid[:64, :96]
    data = encode(np.stack([x * 2, y * 3, (x + y) % 256], axis=-1).astype(np.uint8), "JPEG")
    decoded = images.decode(tf.constant(data), size).numpy()

    image = Image.open(io.BytesIO(data))
    image.draft("RGB", (96 // factor, 64 // factor))  # the decoder's own scales
    scaled = image.convert("RGB").resize((size[1], size[0]), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(decoded.astype(int), np.asarray(scaled, int), atol=0 if factor > 1 else 3)


def nasty(folder: Path) -> list[Path]:
    return sorted(p for p in (folder / "nasty").rglob("*.*"))


@pytest.mark.real_images
def test_every_nasty_file_is_usable_or_refused_with_a_reason(real_images: Path) -> None:
    files = nasty(real_images)
    passed = [(path, checked) for path in files if (checked := usable(path.read_bytes(), 100_000_000))]

    assert len(files) > 200
    assert len(passed) > 150
    for path, checked in passed:
        np.testing.assert_array_equal(decode(checked), pillow(checked.encoded), err_msg=path.name)


@pytest.mark.real_images
def test_pngsuite_is_judged_as_its_author_says(real_images: Path) -> None:
    served = tf.function(rows.decode, autograph=False, reduce_retracing=True)
    for path in sorted((real_images / "nasty" / "pngsuite").glob("*.png")):
        checked = usable(path.read_bytes())
        assert (checked is None) == path.name.startswith("x"), path.name  # x: "corrupted files"
        # Serving gets the file unchecked.
        (pixels,), (error,) = served(tf.constant([path.read_bytes()]), (32, 32))
        assert bool(error) == (checked is None), path.name
        if checked:
            stored = images.decode(tf.constant(checked.encoded), (32, 32))
            np.testing.assert_array_equal(pixels, stored, err_msg=path.name)


@pytest.mark.real_images
def test_photographs_with_an_orientation_look_like_the_upright_one(real_images: Path) -> None:
    for orientation in range(2, 9):
        data = (real_images / "nasty" / "pillow" / f"hopper_orientation_{orientation}.jpg").read_bytes()
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
        checked = check(data)
        assert checked.changed == f"EXIF orientation {orientation}"
        np.testing.assert_array_equal(decode(checked), np.asarray(upright))


PEAK = """
import json, resource, sys
import tensorflow as tf
from components.data import images
image = tf.io.encode_png(tf.zeros([8, 8, 3], tf.uint8))
images.decode(image, (8, 8))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        checked = images.check(open(path, "rb").read(), 100_000_000)
        images.decode(tf.constant(checked.encoded), (64, 64))
    except images.BadImage:
        pass
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps((after - before) * (1 if sys.platform == "darwin" else 1024)))
"""


def peak(paths: Iterable[Path]) -> int:
    """Bytes that a fresh process needs more for these files, one after the other."""
    command = [sys.executable, "-c", PEAK, *map(str, paths)]
    process = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    return int(json.loads(process.stdout))


def test_a_large_png_costs_a_few_bytes_a_pixel(tmp_path: Path) -> None:
    Image.new("RGB", (6000, 4000)).save(tmp_path / "large.png")
    assert peak([tmp_path / "large.png"]) < 16 * 6000 * 4000


@pytest.mark.real_images
def test_nasty_files_cost_less_than_a_gigabyte(real_images: Path) -> None:
    assert peak(nasty(real_images)) < 1 << 30


@pytest.mark.parametrize("data", [data for data, _ in KEPT.values()], ids=KEPT)
def test_a_glance_sees_what_a_check_sees(data: bytes) -> None:
    assert images.glance(data, MAX_PIXELS) == check(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_glance_finds_what_is_missing(kind: str) -> None:
    with pytest.raises(images.BadImage, match="cannot be decoded"):
        images.glance(encode(PICTURE, kind)[:-60], MAX_PIXELS)
