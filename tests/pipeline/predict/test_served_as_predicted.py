"""The served model answers any file as `imagegate predict` does, or refuses that row and no other."""

import functools
import io
import itertools
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from components.data import images
from components.data.decoding import MAX_PIXELS
from components.data.untrusted import rows
from components.labels import kinds
from components.model import signatures
from components.model.networks import network
from components.push import versions
from components.push.manifest import PushedManifest
from pipeline.predict import inputs, predict

SIZE, LABELS = (20, 28), ["zebra", "ant", "fox"]
NOISE = np.random.default_rng(0).integers(0, 256, (20, 28, 3), np.uint8)
RGB = Image.fromarray(NOISE)
LARGE = RGB.resize(
    (90, 70), Image.Resampling.BICUBIC
)  # more than twice SIZE: ingest keeps a JPEG, and it is decoded small
OTHER = Image.fromarray(255 - NOISE)


def slow(task: str) -> Any:
    return pytest.param(task, marks=pytest.mark.slow)


def saved(image: Image.Image, kind: str, **told: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **told)
    return out.getvalue()


def exif(orientation: int, order: str = "<") -> bytes:
    """One entry: tag 0x0112, type 3 (16 bits), one value, the value and two bytes of padding."""
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return b"Exif\0\0" + head + struct.pack(order + "H", 1) + entry + bytes(4)


def xmp(orientation: int) -> str:
    return f'<x:xmpmeta><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    depth: int, colour: int, levels: np.ndarray, *extra: tuple[bytes, bytes], size: tuple[int, int] = (28, 20)
) -> bytes:
    """A PNG of any depth and colour type: its bits, row by row from the left."""
    raw = b""
    for row in levels.reshape(levels.shape[0], -1):
        bits = "".join(format(int(level), f"0{depth}b") for level in row)
        bits += "0" * (-len(bits) % 8)
        raw += b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    inner = b"".join(chunk(*each) for each in extra)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + inner + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    )


def pngs() -> Iterator[tuple[str, bytes]]:
    random = np.random.default_rng(1)
    grey, rgb, palette, grey_alpha, rgba = 0, 2, 3, 4, 6
    for colour, bands, depths in (
        (grey, 1, (1, 2, 4, 8, 16)),
        (rgb, 3, (8, 16)),
        (palette, 1, (1, 2, 4, 8)),
        (grey_alpha, 2, (8, 16)),
        (rgba, 4, (8, 16)),
    ):
        for depth in depths:
            levels = random.integers(0, 2**depth, (20, 28, bands))
            name = f"PNG of colour type {colour} and {depth} bits"
            table = [(b"PLTE", random.bytes(3 * 2**depth))] if colour == palette else []
            yield name, png(depth, colour, levels, *table)
            if colour == palette:
                yield f"{name}, translucent", png(depth, colour, levels, *table, (b"tRNS", random.bytes(2**depth)))
                # As opaque as TensorFlow's own mistake for files without alpha.
                faint = bytes([2**depth - 1] * 2**depth)
                yield f"{name}, nearly clear", png(depth, colour, levels, *table, (b"tRNS", faint))
            if colour in (grey, rgb):
                clear = struct.pack(f">{bands}H", *map(int, levels[0, 0]))
                yield f"{name}, one colour clear", png(depth, colour, levels, (b"tRNS", clear))
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp(6))
    yield "PNG turned by XMP", saved(RGB, "PNG", pnginfo=text)
    yield "animated PNG", saved(RGB, "PNG", save_all=True, append_images=[OTHER])


def others() -> Iterator[tuple[str, bytes]]:
    for orientation in range(1, 9):
        yield f"JPEG with orientation {orientation}", saved(LARGE, "JPEG", quality=90, exif=exif(orientation))
        yield f"PNG with orientation {orientation}", saved(RGB, "PNG", exif=exif(orientation, ">"))
        yield f"WebP with orientation {orientation}", saved(RGB, "WEBP", exif=exif(orientation))
    yield "JPEG turned by XMP", saved(LARGE, "JPEG", xmp=xmp(6).encode())
    yield "grey JPEG", saved(LARGE.convert("L"), "JPEG")
    yield "progressive JPEG", saved(LARGE, "JPEG", progressive=True)
    yield "JPEG with all of its colours", saved(LARGE, "JPEG", subsampling=0)
    yield "JPEG of two pictures", saved(LARGE, "MPO", save_all=True, append_images=[LARGE])
    yield "GIF", saved(RGB, "GIF")
    yield "interlaced GIF", saved(RGB.quantize(64), "GIF", interlace=1)
    moving = {"save_all": True, "append_images": [OTHER.quantize(256)], "comment": b"long" * 300}
    yield "animated GIF", saved(RGB.quantize(256), "GIF", **moving)
    bmp = saved(RGB, "BMP")
    yield "BMP", bmp
    # Of a negative height: the first row is the upper one.
    yield "BMP from top to bottom", bmp[:22] + struct.pack("<i", -20) + bmp[26:]
    clear = RGB.convert("RGBA")
    clear.putalpha(RGB.convert("L"))
    yield "lossy WebP", saved(LARGE, "WEBP")
    yield "lossless WebP", saved(RGB, "WEBP", lossless=True)
    yield "lossy WebP with alpha", saved(clear, "WEBP")
    yield "lossless WebP with alpha", saved(clear, "WEBP", lossless=True, exact=True)


def refused_only_by_the_model() -> Iterator[tuple[str, bytes, str]]:
    yield "CMYK JPEG", saved(LARGE.convert("CMYK"), "JPEG"), "CMYK"
    clear = RGB.quantize(64)
    yield "GIF with a clear colour", saved(clear, "GIF", transparency=3), "GIF with transparency"
    yield "animated WebP", saved(RGB, "WEBP", save_all=True, append_images=[OTHER]), "animated WebP"
    for name, image in {"a palette": clear, "grey": RGB.convert("L"), "32 bits": RGB.convert("RGBA")}.items():
        yield f"BMP of {name}", saved(image, "BMP"), "BMP of another kind"
    yield "TIFF", saved(RGB, "TIFF"), "TIFF, which the model does not read"
    yield "AVIF", saved(RGB, "AVIF"), "AVIF"
    yield "JPEG 2000", saved(RGB, "JPEG2000"), "JPEG 2000"
    yield "PPM", saved(RGB, "PPM"), "no image of a known format"
    packed = PngInfo()
    packed.add_itxt("XML:com.adobe.xmp", xmp(6), zip=True)
    yield "PNG turned by packed XMP", saved(RGB, "PNG", pnginfo=packed), "metadata cannot be read"


def huge() -> Iterator[tuple[str, bytes, str]]:
    """Files that claim 60,000 x 60,000 pixels: 10.8 GB, if they were believed."""
    side = 60_000
    yield "huge PNG", png(8, 2, NOISE, size=(side, side)), "60000 x 60000"
    jpeg = saved(RGB, "JPEG")
    at = jpeg.index(b"\xff\xc0") + 5
    yield "huge JPEG", jpeg[:at] + struct.pack(">HH", side, side) + jpeg[at + 4 :], "60000 x 60000"
    gif = saved(RGB, "GIF")
    frame = gif.index(b"," + bytes(4) + struct.pack("<HH", 28, 20)) + 5
    big = struct.pack("<HH", side, side)
    yield "huge GIF", gif[:6] + big + gif[10:frame] + big + gif[frame + 4 :], "60000 x 60000"
    bmp = saved(RGB, "BMP")
    yield "huge BMP", bmp[:18] + struct.pack("<ii", side, -side) + bmp[26:], "60000 x 60000"
    webp = saved(RGB, "WEBP", exif=exif(1))
    wide = (2**24 - 1).to_bytes(3, "little")  # the extended header states one less than the size
    yield "huge WebP", webp[:24] + wide + wide + webp[30:], "16777216 x 16777216"


def broken() -> Iterator[tuple[str, bytes, str]]:
    yield "nothing", b"", "empty"
    yield "text", b"hello", "no image"
    yield "one byte of a JPEG", b"\xff", "no image"
    for name, data in {
        "JPEG": saved(RGB, "JPEG"),
        "PNG": saved(RGB, "PNG"),
        "GIF": saved(RGB, "GIF"),
        "BMP": saved(RGB, "BMP"),
        "WebP": saved(RGB, "WEBP"),
    }.items():
        yield f"{name} cut off in its pixels", data[: len(data) * 7 // 10], ""
        yield f"{name} cut off in its header", data[:20], ""
    yield "JPEG without its last byte", saved(RGB, "JPEG")[:-1], "damaged or cut off"
    yield "PNG without its last byte", saved(RGB, "PNG")[:-1], "damaged or cut off"
    yield "WebP without its last byte", saved(RGB, "WEBP")[:-1], "damaged or cut off"
    yield "PNG with a damaged body", saved(RGB, "PNG").replace(b"IDAT", b"IDAT\xff\xff", 1), "damaged or cut off"
    for number, head in enumerate(
        (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a", b"RIFF\xff\xff\xff\xffWEBPVP8X")
    ):
        yield f"a signature and noise {number}", head + np.random.default_rng(number).bytes(3000), ""
        yield f"a signature and the largest numbers {number}", head + b"\xff" * 3000, ""


EQUAL = dict(itertools.chain(pngs(), others()))
REFUSED = {name: (data, why) for name, data, why in itertools.chain(refused_only_by_the_model(), huge(), broken())}


@pytest.fixture(scope="module")
def decoded() -> dict[str, tuple[np.ndarray, str]]:
    """Every file, in one batch: pixels and the reason why not."""
    files = EQUAL | {name: data for name, (data, _) in REFUSED.items()}
    pixels, errors = tf.function(lambda batch: rows.decode(batch, SIZE))(tf.constant(list(files.values())))
    return {name: (p, e.decode()) for name, p, e in zip(files, pixels.numpy(), errors.numpy(), strict=True)}


@pytest.mark.parametrize("name", EQUAL)
def test_a_file_becomes_the_pixels_that_ingest_and_predict_give_it(decoded: dict, name: str) -> None:
    pixels, error = decoded[name]
    assert error == ""
    stored = images.check(EQUAL[name], MAX_PIXELS).encoded
    np.testing.assert_array_equal(pixels, images.decode(tf.constant(stored), SIZE))
    assert pixels.any()


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_model_cannot_answer_is_refused_with_a_sentence(decoded: dict, name: str) -> None:
    pixels, error = decoded[name]
    assert error
    assert REFUSED[name][1] in error
    assert not pixels.any()


@pytest.mark.parametrize("bits", [None, 12])
def test_values_above_the_bits_of_training_are_refused(bits: int | None) -> None:
    """12 bits end at 4,095."""
    fits, above = (png(16, 0, np.full((20, 28, 1), level)) for level in (4095, 4096))
    pixels, errors = rows.decode(tf.constant([fits, above]), SIZE, bits)
    # Of 16 bits the upper 8 are used: 4,095 / 256 = 15. Of 12 bits: 4,095 / 16 = 255.
    assert np.unique(pixels[0]).tolist() == [255 if bits else 15]
    assert bool(errors[1]) == bool(bits)
    assert np.unique(pixels[1]).tolist() == [0 if bits else 16]


def build(task: str) -> network.Parts:
    keras.utils.set_random_seed(3)
    parts = network.build(
        "small", weights=None, image_size=SIZE, classes=3, augment=False, seed=1, kind=kinds.kind(task)
    )
    for weight in parts.head.trainable_weights:  # an untrained head would say the same of every image
        if weight.path.endswith("logits/kernel"):
            weight.assign(weight * 20)
    return parts


@pytest.fixture(scope="module")
def exported(undecided: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """`exported(task)`: the folder of a network with random weights."""

    @functools.cache
    def export(task: str) -> str:
        parts, folder = build(task), str(tmp_path_factory.mktemp(task))
        signatures.export(parts, LABELS, SIZE, kinds.kind(task), undecided(parts), folder)
        return folder

    return export


@functools.cache
def loaded(folder: str) -> Any:
    return tf.saved_model.load(folder)


@pytest.mark.parametrize("task", ["single_label", slow("multi_label"), slow("segmentation")])
def test_predict_and_the_served_model_give_one_answer(
    exported: Callable[[str], str], tmp_path: Path, task: str
) -> None:
    """Of every file, in all tasks; a broken file beside an image changes nothing of its answer."""
    kind = kinds.kind(task)
    served = versions.push(exported(task), str(tmp_path / "served"), PushedManifest(labels=LABELS, task=task))
    signature = loaded(exported(task)).signatures["serving_default"]
    files = EQUAL | {name: data for name, (data, _) in REFUSED.items()}
    paths = [tmp_path / str(number) for number in range(len(files))]
    for path, data in zip(paths, files.values(), strict=True):
        path.write_bytes(data)
    predicted = list(itertools.chain(*predict.predict(served, [inputs.Input(str(path)) for path in paths])))

    answer = {name: value.numpy() for name, value in signature(image_bytes=tf.constant(list(files.values()))).items()}
    told = kind.answers(answer)
    for name, result, found, error in zip(files, predicted, told, answer["error"], strict=True):
        if error:
            assert name in REFUSED
            continue
        numbers = "shares" if kind.per_pixel else "probabilities"
        assert list(found[numbers].values()) == pytest.approx(list(result[numbers].values()), abs=1e-4), name

    refused = answer["error"] != b""
    assert refused.sum() == len(REFUSED)
    assert answer["abstain"][refused].all()
    for name in set(answer) - {"error", "abstain", "labels"}:
        assert not answer[name][refused].any(), name
    assert answer["labels"].tolist() == [[label.encode() for label in LABELS]] * len(files)

    alone = signature(image_bytes=tf.constant([EQUAL["grey JPEG"]]))
    number = list(files).index("grey JPEG")
    main = "confidence" if kind.per_pixel else "probabilities"
    np.testing.assert_allclose(answer[main][number], alone[main][0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("task", ["single_label", slow("multi_label"), "segmentation"])
@pytest.mark.parametrize("signature", ["serving_default", "examples", "evaluate"])
def test_an_empty_batch_gets_an_empty_answer_and_every_output_has_the_batch_first(
    exported: Callable[[str], str], task: str, signature: str
) -> None:
    asked = loaded(exported(task)).signatures[signature]
    name = "image_bytes" if signature == "serving_default" else "examples"
    for output, value in asked(**{name: tf.zeros([0], tf.string)}).items():
        known = asked.structured_outputs[output].shape.as_list()
        assert known[0] is None, output
        assert value.shape.as_list()[0] == 0, output
        assert all(k in (None, v) for k, v in zip(known[1:], value.shape.as_list()[1:], strict=True)), output
