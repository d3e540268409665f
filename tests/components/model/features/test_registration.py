"""Which pictures are the same: drawn ones, so that what was done to them is known."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps
from tensorflow.io import decode_image

from components.model.features import registration


def drawn(seed: int, size: tuple[int, int] = (400, 300)) -> Image.Image:
    """Two hundred shapes."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", size, tuple(random.integers(0, 256, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for _ in range(200):
        x, y = random.integers(0, size[0]), random.integers(0, size[1])
        w, h = random.integers(5, 60, 2)
        shape = draw.ellipse if random.random() < 0.5 else draw.rectangle
        shape((x, y, x + w, y + h), fill=tuple(random.integers(0, 256, 3).tolist()))
    return image


def same(one: Image.Image, other: Image.Image) -> float | None:
    stored = io.BytesIO()
    other.save(stored, "JPEG", quality=85)
    return registration.same(registration.picture(np.asarray(one)), registration.opened(stored.getvalue()))


def crop(share: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.crop((round(share * image.width), round(share * image.height), *image.size))


@pytest.mark.parametrize(
    "change",
    [
        crop(0.02),
        crop(0.3),
        ImageOps.mirror,
        lambda image: image.rotate(5, resample=Image.Resampling.BICUBIC),
        lambda image: ImageOps.expand(image, 40, fill="white"),
        lambda image: image.resize((200, 150)),
        lambda image: crop(0.1)(ImageOps.mirror(image)).resize((300, 250)),
    ],
    ids=["cropped by 2 %", "cropped by 30 %", "mirrored", "turned", "framed", "half the size", "all at once"],
)
def test_a_changed_copy_is_the_same_picture_in_either_order(change: Callable[[Image.Image], Image.Image]) -> None:
    image = drawn(1)
    for pair in ((image, change(image)), (change(image), image)):
        agreement = same(*pair)
        assert agreement is not None
        assert 0.9 <= agreement <= 1


def test_features_of_a_mirror_image_are_those_of_the_mirrored_pixels() -> None:
    """Nearly: a point at the edge of two directions, or of two scales, may be described another way."""
    picture = registration.picture(np.asarray(drawn(1)))
    found, expected = picture.mirrored, registration.picture(np.asarray(ImageOps.mirror(drawn(1))))
    np.testing.assert_array_equal(found.grey, picture.grey[:, ::-1])
    nearest = abs(found.places[:, None] - expected.places).sum(axis=2).argmin(axis=1)
    assert np.median(abs(found.places - expected.places[nearest])) < 0.1  # pixels
    cosine = (found.descriptors * expected.descriptors[nearest]).sum(axis=1)  # both have length 1
    assert np.median(cosine) > 0.98


def test_different_pictures_are_not_the_same() -> None:
    pictures = [drawn(seed) for seed in range(6)]
    assert [same(one, other) for i, one in enumerate(pictures) for other in pictures[:i]] == [None] * 15


def test_two_things_before_one_wall_are_two_pictures() -> None:
    """Most matches agree on the wall; a third of the picture, where the things are, does not."""
    wall = drawn(1)
    found = []
    for seed in (2, 3):
        image = wall.copy()
        image.paste(drawn(seed, (240, 180)), (80, 60))  # 240 * 180 of 400 * 300 pixels: 36 %
        found.append(image)
    assert same(*found) is None


def test_a_watermark_does_not_make_another_picture() -> None:
    """It covers 90 of 400 columns and 30 of 300 rows: at most 3 x 2 of 8 x 8 blocks."""
    image = drawn(1)
    other = image.copy()
    ImageDraw.Draw(other).rectangle((300, 260, 390, 290), fill="black")
    assert same(image, other) is not None


@pytest.mark.parametrize("pixels", [np.zeros((64, 64, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)])
def test_a_picture_without_anything_to_see_is_the_same_as_none(pixels: np.ndarray) -> None:
    blank = registration.picture(pixels)
    assert registration.same(blank, blank) is None
    assert registration.same(blank, registration.picture(np.asarray(drawn(1)))) is None


def test_a_file_that_only_pillow_cannot_read_is_like_no_other() -> None:
    """A compressed text behind the pixels, which TensorFlow does not read, is larger than Pillow allows."""
    stream = io.BytesIO()
    drawn(1).save(stream, "PNG")
    content = stream.getvalue()
    text = b"a\0\0" + zlib.compress(bytes(3 << 20))
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    hostile = content[:-12] + chunk + content[-12:]  # before the last chunk, IEND
    assert decode_image(hostile).shape == (300, 400, 3)
    assert registration.same(registration.opened(hostile), registration.opened(content)) is None
    assert registration.same(registration.opened(content), registration.opened(content)) == 1
