"""Files that are examined together come to what each comes to alone, whatever they are."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.data import images
from components.data.formats import proof
from components.data.formats.bad_image import BadImage
from components.data.formats.proof import Pixels, Undecoded

MOST = 10_000_000


def picture(kind: str, width: int, height: int, mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, kind)
    return out.getvalue()


# At all four fractions of a JPEG, more than one call decodes, and ones that a call cannot decode.
SIZES = ((20, 10), (170, 200), (330, 400), (700, 650), (90, 80), (160, 160))
FILES = [picture("JPEG", *SIZES[i % len(SIZES)]) for i in range(40)]
FILES[5:5] = [picture("PNG", 30, 20), picture("WEBP", 40, 30), picture("BMP", 8, 9), picture("GIF", 9, 8)]
FILES[12:12] = [FILES[0][:-100], b"", b"no image", picture("JPEG", 50, 60, "CMYK"), picture("PNG", 30, 20)[:-30]]


def found(data: bytes) -> proof.Steps[images.Checked | str]:
    """What `images.check` says of a file, also if that is an error."""
    try:
        return (yield from images.steps(data, MOST))
    except BadImage as error:
        return str(error)


def alone(data: bytes) -> images.Checked | str:
    try:
        return images.check(data, MOST)
    except BadImage as error:
        return str(error)


def together(decode: bool = True) -> list[images.Checked | str]:
    batch = proof.Batch([found(data) for data in FILES])
    if decode:
        batch.decode()
    return batch.finish()


def test_what_is_decoded_together_is_what_is_decoded_alone() -> None:
    expected = [alone(data) for data in FILES]
    assert sum(isinstance(one, str) for one in expected) == 4  # cut twice, empty, no image
    for one, other in zip(together(), expected, strict=True):
        assert one == other
        if isinstance(one, images.Checked) and isinstance(other, images.Checked):
            assert (one.properties, one.look) == (other.properties, other.look)
            np.testing.assert_array_equal(one.perceptual, other.perceptual)


@pytest.mark.parametrize("changes", [{"_SMALL": 0}, {"_SMALL": 0, "_AHEAD": 0}, {"_AT_ONCE": 1}])
def test_what_would_take_much_memory_at_once_is_decoded_one_by_one(
    changes: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = together()
    for name, value in changes.items():
        monkeypatch.setattr(proof, name, value)
    assert together() == expected
    assert together(decode=False) == expected


@pytest.mark.parametrize("small", [0, 1 << 20])
@pytest.mark.parametrize(
    "error", [MemoryError(), tf.errors.ResourceExhaustedError(None, None, "OOM"), ValueError("of any kind")]
)
def test_an_error_of_one_is_found_when_it_is_decoded_alone(
    monkeypatch: pytest.MonkeyPatch, error: Exception, small: int
) -> None:
    """Memory, for example, may be short while many are decoded, and suffice for each."""
    expected = together()
    usual = proof.decode

    def ahead(*_: object) -> Pixels:
        monkeypatch.setattr(proof, "decode", usual)  # once
        raise error

    def full(*_: object) -> Callable[..., object]:
        raise error

    monkeypatch.setattr(proof, "_SMALL", small)
    monkeypatch.setattr(proof, "_function", full)
    monkeypatch.setattr(proof, "decode", ahead)
    assert together() == expected


def test_whoever_examines_is_thrown_the_error_and_asks_once() -> None:
    file = Undecoded(b"", "JPEG", 1, 1)

    def refused(_: Undecoded) -> Pixels:
        raise BadImage("refused")

    def steps() -> proof.Steps[str]:
        try:
            yield file
        except BadImage as error:
            return str(error)
        return ""

    assert proof.alone(steps(), refused) == "refused"

    def twice() -> proof.Steps[str]:
        yield file
        yield file
        return ""

    with pytest.raises(RuntimeError, match="two files"):
        proof.alone(twice(), lambda _: np.zeros((1, 1, 3), np.uint8))
