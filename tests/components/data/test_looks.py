"""What a single image looks like: each fault in an image that is made for it, and none in plain or dark scenes."""

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from components.data import images, looks


def look(pixels: NDArray[np.uint8] | Image.Image, kind: str = "PNG", **options: object) -> np.void:
    """The look that ingest keeps of an image: `pixels` [h, w, 3], or [h, w] for grey."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    out = io.BytesIO()
    image.save(out, kind, **options)
    checked = images.glance(out.getvalue(), 10**7)
    found: np.void = np.frombuffer(checked.look, looks.LOOK)[0]
    return found


def faults(pixels: NDArray[np.uint8] | Image.Image, kind: str = "PNG") -> list[str]:
    return looks.named(look(pixels, kind)["faults"])


def scene(low: int = 0, high: int = 255, seed: int = 0) -> NDArray[np.uint8]:
    """Coloured squares of 10 pixels, 120 x 160, with levels from `low` to `high`."""
    random = np.random.default_rng(seed).integers(low, high + 1, (12, 16, 3))
    return random.repeat(10, axis=0).repeat(10, axis=1).astype(np.uint8)


def test_a_picture_with_colours_and_edges_has_no_fault() -> None:
    assert faults(scene()) == []
    assert faults(scene(), "JPEG") == []


def test_dark_is_an_image_without_any_light_and_not_a_night_with_a_lamp() -> None:
    night = scene(0, 40)
    assert faults(night) == ["dark"]
    night[:20, :20] = 255  # a lamp: 400 of 19,200 pixels, 2 %
    assert faults(night) == []


def test_bright_is_an_image_without_anything_darker() -> None:
    white = scene(220, 255)
    assert faults(white) == ["bright"]
    white[40:80, 40:80] = 60  # a thing on white: 1,600 of 19,200 pixels, 8 %
    assert faults(white) == []


def test_a_plain_subject_is_sharp_and_its_blurred_copy_is_not() -> None:
    """A square on an even ground has few edges, so the variance of its Laplacian is small, but they are sharp."""
    plain = np.full((120, 160, 3), (180, 200, 220), np.uint8)
    plain[40:80, 60:100] = (60, 40, 20)
    assert faults(plain) == []
    # The step is 138 levels of luma. After a blur of sigma 4, its Laplacian is 0.24 * 138 / 16 = 2.
    assert faults(Image.fromarray(plain).filter(ImageFilter.GaussianBlur(4))) == ["blurred"]
    assert faults(Image.fromarray(scene()).filter(ImageFilter.GaussianBlur(4))) == ["blurred"]


def test_a_large_photo_is_blurred_at_the_size_that_is_looked_at() -> None:
    """600 x 800 pixels are reduced by 7: a blur of sigma 28 there is one of sigma 4 here; one of sigma 3 is none."""
    large = Image.fromarray(scene().repeat(5, axis=0).repeat(5, axis=1))
    assert faults(large.filter(ImageFilter.GaussianBlur(3))) == []
    assert faults(large.filter(ImageFilter.GaussianBlur(28))) == ["blurred"]


def test_nearly_one_level_is_no_information_whatever_the_level() -> None:
    noise = np.random.default_rng(0).integers(0, 5, (90, 90, 3), np.uint8)
    assert faults(noise + np.uint8(120)) == ["uninformative"]
    assert "uninformative" in faults(np.zeros((90, 90, 3), np.uint8))
    assert faults(noise * np.uint8(20) + np.uint8(80)) == []  # levels from 80 to 160


def test_grey_is_without_colour_also_after_jpeg() -> None:
    grey = scene()[..., 0]
    assert faults(grey) == faults(grey, "JPEG") == faults(np.stack([grey] * 3, axis=-1), "JPEG") == ["grey"]
    tinted = np.stack([grey, grey, np.minimum(grey, 245) + 10], axis=-1).astype(np.uint8)
    assert faults(tinted) == []  # blue is 10 more


@pytest.mark.parametrize("level", [0, 255, 128])
def test_bars_and_frames_are_borders(level: int) -> None:
    boxed = scene()
    boxed[:25] = boxed[-25:] = level
    row = look(boxed)
    assert looks.named(row["faults"]) == ["border"]
    assert row["border"] == round(255 * 50 / 120)  # 25 rows above and below, of 120
    framed = np.full((120, 160, 3), level, np.uint8)
    framed[20:100, 20:140] = scene()[20:100, 20:140]
    assert look(framed)["border"] == round(255 * (1 - 80 * 120 / (120 * 160)))
    assert faults(framed, "JPEG") == ["border"]  # although its edge is no longer sharp


def test_an_even_ground_is_no_border() -> None:
    product = np.full((120, 160, 3), 255, np.uint8)
    rows, columns = np.mgrid[:120, :160]
    product[(rows - 60) ** 2 + (columns - 80) ** 2 < 40**2] = (200, 30, 30)  # a disc, whose first row is narrow
    assert look(product)["border"] == 0
    assert look(np.full((90, 90, 3), 7, np.uint8))["border"] == 0  # nothing is framed


def test_tiny_images_have_neither_borders_nor_blur() -> None:
    """As the digits of 8 x 8 and 28 x 28 pixels, which have empty rows and columns around them."""
    digit = np.zeros((28, 28), np.uint8)
    digit[7:21, 4:24] = scene()[:14, :20, 0]
    row = look(np.stack([digit] * 2 + [digit // 2], axis=-1))
    assert (row["border"], looks.named(row["faults"])) == (0, [])
    enlarged = look(np.stack([digit] * 2 + [digit // 2], axis=-1).repeat(2, axis=0).repeat(2, axis=1))
    assert looks.named(enlarged["faults"]) == ["border"]


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (2, 2), (3, 2), (5000, 1)])
def test_images_of_any_size_have_a_look(size: tuple[int, int]) -> None:
    row = look(Image.new("RGB", size, (10, 20, 200)))
    assert (row["width"], row["height"]) == size
    assert "blurred" not in looks.named(row["faults"])


def test_compression_camera_and_day_are_read() -> None:
    coarse, fine = (look(scene(), "JPEG", quality=quality)["encoding"] for quality in (30, 95))
    assert fine < coarse < 240
    assert look(scene())["encoding"] == 240  # PNG is the first format behind the quantisation tables
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0132] = "Canon", "EOS R", "2024:02:29 10:11:12"
    row = look(scene(), "JPEG", exif=exif)
    assert row["day"] == 19782  # 54 years of 365 days, 13 leap days, then 31 + 28: 19,710 + 13 + 59
    other = Image.Exif()
    other[0x010F] = "Nikon"
    assert 0 not in (row["camera"], look(scene(), "JPEG", exif=other)["camera"])
    assert row["camera"] != look(scene(), "JPEG", exif=other)["camera"]
    plain = look(scene(), "JPEG")
    assert (plain["camera"], plain["day"]) == (0, 0)


@pytest.mark.parametrize("time", ["", "0000:00:00 00:00:00", "yesterday", "1850:01:01 00:00:00"])
def test_a_camera_without_a_clock_has_no_day(time: str) -> None:
    exif = Image.Exif()
    exif[0x0132] = time
    assert look(scene(), "JPEG", exif=exif)["day"] == 0


def dimmed(image: Image.Image) -> Image.Image:
    return image.point(lambda level: int(0.15 * level))


def whitened(image: Image.Image) -> Image.Image:
    return Image.blend(image, Image.new("RGB", image.size, "white"), 0.8)


def blurred(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(0.03 * min(image.size)))


def barred(image: Image.Image) -> Image.Image:
    copy, fifth = image.copy(), image.height // 5
    copy.paste((0, 0, 0), (0, 0, image.width, fifth))
    copy.paste((0, 0, 0), (0, image.height - fifth, image.width, image.height))
    return copy


PLANTED = {"dark": dimmed, "bright": whitened, "blurred": blurred, "border": barred, "grey": lambda i: i.convert("L")}


@pytest.mark.real_images
@pytest.mark.parametrize("pattern", ["clothing/*/*.jpg", "miml/images/*.jpg", "camvid/val/*.png"])
def test_photos_have_no_fault_and_their_changed_copies_the_one_that_was_planted(
    real_images: Path, pattern: str
) -> None:
    files = sorted(real_images.glob(pattern))
    some = [Image.open(file).convert("RGB") for file in files[:: max(1, len(files) // 20)]]
    assert len(some) > 10
    assert sum(faults(photo, "JPEG") != [] for photo in some) == 0
    for fault, plant in PLANTED.items():
        rows = [look(plant(photo), "JPEG", quality=92) for photo in some]
        # Bars beside what is black anyway, such as the ground of a sunset, have no edge.
        assert sum(fault in looks.named(row["faults"]) for row in rows) >= 0.8 * len(some), fault
