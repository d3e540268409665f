"""HEIC, AVIF and JPEG 2000 become PNG: their pixels, their orientation, and what of them is not stored."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import Image

from components.data import images
from components.data.formats import opening
from components.data.images import BadImage

ROWS, COLUMNS = np.mgrid[:48, :64]
PICTURE = np.stack([COLUMNS * 4, ROWS * 5, np.full_like(ROWS, 90)], axis=-1).astype(np.uint8)
# Red where the upright picture is turned clockwise: above right.
CORNER = np.zeros((48, 64, 3), np.uint8)
CORNER[:24, :32] = (255, 0, 0)
MOST = 48 * 64
NAMES = {"HEIF": "HEIC", "AVIF": "AVIF", "JPEG2000": "JPEG 2000"}


@pytest.fixture(autouse=True)
def writes_heic() -> None:
    pillow_heif.register_heif_opener()


def encode(pixels: NDArray[np.uint8], kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def stored(checked: images.Checked) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(checked.encoded)))


@pytest.mark.parametrize("kind", NAMES)
def test_newer_formats_are_stored_as_png(kind: str) -> None:
    checked = images.check(encode(PICTURE, kind), MOST)
    assert (checked.format, checked.changed, checked.remarks) == ("png", NAMES[kind], ())
    assert (checked.width, checked.height) == (64, 48)
    assert np.abs(stored(checked).astype(int) - PICTURE).mean() < 3  # they are lossy


def test_jpeg_2000_without_loss_is_exact() -> None:
    checked = images.check(encode(PICTURE, "JPEG2000", irreversible=False), MOST)
    np.testing.assert_array_equal(stored(checked), PICTURE)


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_the_orientation_is_applied_once(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    checked = images.check(encode(CORNER, kind, exif=exif.tobytes()), MOST)

    assert (checked.width, checked.height) == (48, 64)
    pixels = stored(checked).astype(int)
    assert pixels[16, 36, 0] > 200  # above right
    assert pixels[16, 12, 0] < 50
    assert pixels[48, 36, 0] < 50


@pytest.mark.parametrize("kind", NAMES)
def test_their_size_is_checked_from_the_header(kind: str) -> None:
    with pytest.raises(BadImage, match=r"^64 x 48 pixels are more than data\.max_pixels \(3,071\)$"):
        images.check(encode(PICTURE, kind), MOST - 1)


@pytest.mark.parametrize("kind", NAMES)
def test_their_alpha_is_blended_over_white_and_told(kind: str) -> None:
    alpha = np.where(COLUMNS < 32, 0, 255).astype(np.uint8)
    checked = images.check(encode(np.dstack([CORNER, alpha]), kind), MOST)
    assert checked.remarks == ("transparency; it was blended over white",)
    assert stored(checked)[:, :24].min() > 245


def test_several_pictures_are_told() -> None:
    second = Image.fromarray(PICTURE[::-1].copy())
    file = pillow_heif.from_pillow(Image.fromarray(PICTURE))
    file.add_from_pillow(second)
    out = io.BytesIO()
    file.save(out)
    for data in (out.getvalue(), encode(PICTURE, "AVIF", save_all=True, append_images=[second])):
        assert images.check(data, MOST).remarks == ("several pages or frames; only the first is used",)


def test_more_than_eight_bits_are_told() -> None:
    wide = (ROWS * 64 + COLUMNS).astype(np.uint16) * 21  # up to 64,491
    out = io.BytesIO()
    pillow_heif.from_bytes("I;16", (64, 48), wide.tobytes()).save(out, quality=-1)
    jpeg_2000 = io.BytesIO()
    Image.fromarray(wide).save(jpeg_2000, "JPEG2000", irreversible=False)
    for data in (out.getvalue(), jpeg_2000.getvalue()):
        checked = images.check(data, MOST)
        assert checked.remarks == ("more than 8 bits per value; the upper 8 are used",)
        assert checked.highest == 0  # these formats state their range
        np.testing.assert_allclose(stored(checked)[..., 0].astype(int), wide >> 8, atol=1)


@pytest.mark.parametrize("kind", NAMES)
def test_a_damaged_file_is_refused(kind: str) -> None:
    data = encode(PICTURE, kind)
    for cut in (20, 60, len(data) // 2):
        with pytest.raises(BadImage):
            images.check(data[:cut], MOST)


def test_without_its_library_a_format_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    heic, avif = encode(PICTURE, "HEIF"), encode(PICTURE, "AVIF")
    monkeypatch.setattr(opening, "_registers_heif", lambda: False)
    monkeypatch.setattr(opening, "_single_threaded_avif", lambda: False)
    with pytest.raises(BadImage, match=r"^HEIC, which needs the library pillow-heif; install it, or save"):
        images.check(heic, MOST)
    with pytest.raises(BadImage, match=r"^AVIF, which this build of Pillow cannot read"):
        images.check(avif, MOST)


def test_importing_loads_no_library_of_a_format() -> None:
    code = "import sys, components.data.images; print([m for m in ('pillow_heif', 'tifffile') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[4]
    )
    assert done.stdout == "[]\n"
