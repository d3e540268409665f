"""Small pictures: of the right image, of the right size, and nothing of the file but its pixels."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from answered import ingested
from PIL import Image
from trees import encoded

from components.base.errors import ImagegateError
from components.data import features
from components.evaluation import predictions
from components.report import pictures


def opened(uri: str) -> Image.Image:
    kind, data = uri.split(",")
    assert kind == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)), formats=["WEBP"])


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((640, 480), (112, 84)),
        ((100, 1000), (11, 112)),
        ((113, 1), (112, 1)),
        ((112, 50), (112, 50)),
        ((100, 50), (100, 50)),
        ((8, 8), (112, 112)),  # 14 times as large
        ((50, 30), (100, 60)),
        ((3000, 2), (112, 1)),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_is_scaled_by_its_longer_side(size: tuple[int, int], expected: tuple[int, int], kind: str) -> None:
    found = pictures.small(encoded(Image.new("RGB", size, (0, 0, 200)), kind))
    assert (found.size, found.mode) == (expected, "RGB")
    np.testing.assert_allclose(np.asarray(found).reshape(-1, 3).mean(axis=0), [0, 0, 200], atol=3)


def test_a_tiny_image_keeps_its_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    found = np.asarray(pictures.small(encoded(Image.fromarray(pixels)), 10))
    np.testing.assert_array_equal(found, pixels.repeat(2, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_contains_no_metadata(kind: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = "secret description"
    image = Image.new("RGB", (300, 200), (9, 9, 9))
    data = encoded(image, kind, exif=exif, icc_profile=b"secret profile" * 20, xmp=b"secret packet")
    assert b"secret" in data or kind == "PNG"  # a PNG's profile is compressed
    album = pictures.Album()
    key = album.add(pictures.small(data))
    found = opened(album.images[key])
    assert b"secret" not in base64.b64decode(album.images[key].split(",")[1])
    assert not {"exif", "icc_profile", "xmp", "comment"} & set(found.info)


def test_only_formats_of_images_are_opened() -> None:
    out = io.BytesIO()
    Image.new("RGB", (5, 5)).save(out, "PPM")
    with pytest.raises(OSError, match="cannot identify"):
        pictures.small(out.getvalue())


def test_equal_pictures_are_stored_once() -> None:
    album = pictures.Album()
    red, other = Image.new("RGB", (9, 9), "red"), Image.new("RGB", (9, 9), "blue")
    assert album.add(red) == album.add(red.copy()) != album.add(other)
    assert len(album.images) == 2
    again = pictures.Album()
    assert again.add(red) == album.add(red)  # so that two albums can be merged


def hued(seed: int) -> bytes:
    return encoded(Image.new("RGB", (20, 10), tuple(np.random.default_rng(seed).integers(0, 256, 3).tolist())))


def stored(base: Path, names: list[str]) -> str:
    return ingested(base, {f"test/hat/{name}": hued(seed) for seed, name in enumerate(names)})


def test_the_requested_records_are_read(tmp_path: Path) -> None:
    names = [f"{i}.png" for i in range(40)] + ["süß.png"]
    examples = stored(tmp_path, names)
    every = dict(identities(examples))
    assert set(every) == {f"test/hat/{name}" for name in names}
    wanted = {(path, every[path]) for path in ("test/hat/7.png", "test/hat/süß.png")}
    found = dict(pictures.records(examples, "test", wanted))
    assert set(found) == wanted
    for (path, _), told in found.items():
        assert told[features.IMAGE].bytes_list.value[0] == (tmp_path / "data" / path).read_bytes()
    assert not list(pictures.records(examples, "test", {("test/hat/7.png", every["test/hat/8.png"])}))
    assert not list(pictures.records(examples, "eval", wanted))  # empty shards


def identities(examples: str) -> list[tuple[str, str]]:
    paths = [str(p) for p in sorted(Path(examples).glob("Split-test/*"))]
    return [predictions.identity(r) for r in tf.data.TFRecordDataset(paths).as_numpy_iterator()]


def test_a_damaged_shard_is_not_read(tmp_path: Path) -> None:
    examples = stored(tmp_path, ["1.png"])
    [shard] = [p for p in Path(examples).glob("Split-test/*") if p.stat().st_size]
    wanted = set(identities(examples))
    whole = shard.read_bytes()
    shard.write_bytes(whole.replace(b"PNG", b"PNg"))
    with pytest.raises(ImagegateError, match=r"record at byte 12 of shard Split-test/data-.* changed after it was"):
        list(pictures.records(examples, "test", wanted))
    shard.write_bytes(whole[:-5])
    with pytest.raises(ImagegateError, match="changed after it was written"):
        list(pictures.records(examples, "test", wanted))
    shard.write_bytes(whole)
    assert len(list(pictures.records(examples, "test", wanted))) == 1


def test_a_damaged_index_is_not_used(tmp_path: Path) -> None:
    examples = stored(tmp_path, ["1.png", "2.png"])
    path = Path(examples, "records.bin")
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(ImagegateError, match=r"records\.bin changed after it was written: expected SHA-256"):
        list(pictures.records(examples, "test", {("test/hat/1.png", "0a" * 32)}))
    path.unlink()
    with pytest.raises(ImagegateError, match=r"records\.bin cannot be read: No such file"):
        list(pictures.records(examples, "test", {("test/hat/1.png", "0a" * 32)}))


def test_many_images_have_the_pictures_that_each_has_alone(tmp_path: Path) -> None:
    examples = stored(tmp_path, [f"{i}.png" for i in range(80)])  # more than are in memory at once
    found = {path: picture for (path, _), _, picture in pictures.reduced(examples, "test", set(identities(examples)))}
    assert len(found) == 80
    for path, picture in found.items():
        expected = Image.open(tmp_path / "data" / path).getpixel((0, 0))
        assert picture.getpixel((0, 0)) == expected
        assert picture.size == (100, 50)
