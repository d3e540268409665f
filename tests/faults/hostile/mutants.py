"""Good files of every format that is read, and seeded mutations of them."""

from __future__ import annotations

import functools
import io
import random
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tifffile
from PIL import Image

WIDTH, HEIGHT = 44, 36
PIXELS = np.random.default_rng(7).integers(0, 256, (9, 11, 3), np.uint8).repeat(4, axis=0).repeat(4, axis=1)
RGB = Image.fromarray(PIXELS)
OTHER = Image.fromarray(255 - PIXELS)
CLEAR = RGB.convert("RGBA")
CLEAR.putalpha(RGB.convert("L"))
DEEP = Image.fromarray((PIXELS[..., 0].astype(np.uint16) << 8) + 17)
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Numbers at the limits of their types, where lengths overflow.
_ODD = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE)


def saved(image: Image.Image, kind: str, **told: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **told)
    return out.getvalue()


def tiff(array: np.ndarray, **told: Any) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, array, **told)
    return out.getvalue()


def numpy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def packed(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, image=array)
    return out.getvalue()


def _photos() -> Iterator[tuple[str, bytes]]:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "camera"
    yield "JPEG", saved(RGB, "JPEG", quality=90, exif=exif, icc_profile=bytes(500))
    yield "JPEG, progressive", saved(RGB, "JPEG", progressive=True)
    yield "JPEG, CMYK", saved(RGB.convert("CMYK"), "JPEG")
    yield "JPEG, several pictures", saved(RGB, "MPO", save_all=True, append_images=[OTHER])
    yield "PNG", saved(RGB, "PNG", exif=exif)
    yield "PNG, interlaced palette", saved(RGB.quantize(16), "PNG", bits=4, transparency=3)
    yield "PNG, 16 bits", saved(DEEP, "PNG")
    yield "PNG, transparent", saved(CLEAR, "PNG")
    yield "PNG, animated", saved(RGB, "PNG", save_all=True, append_images=[OTHER])
    yield "WebP", saved(RGB, "WEBP", exif=exif)
    yield "WebP, lossless", saved(CLEAR, "WEBP", lossless=True)
    yield "WebP, animated", saved(RGB, "WEBP", save_all=True, append_images=[OTHER])
    yield "GIF", saved(RGB.quantize(64), "GIF", transparency=3)
    yield "GIF, animated", saved(RGB.quantize(64), "GIF", save_all=True, append_images=[OTHER.quantize(64)] * 3)
    yield "BMP", saved(RGB, "BMP")
    yield "BMP, palette", saved(RGB.quantize(200), "BMP")
    yield "TIFF", saved(RGB, "TIFF", exif=exif)
    yield "TIFF, LZW", saved(CLEAR, "TIFF", compression="tiff_lzw")
    yield "TIFF, JPEG", saved(RGB, "TIFF", compression="jpeg")
    yield "TIFF, Deflate, 16 bits", saved(DEEP, "TIFF", compression="tiff_adobe_deflate")
    yield "TIFF, tiles", tiff(PIXELS, tile=(16, 16), photometric="rgb")
    yield "BigTIFF, pages", tiff(np.stack([PIXELS, PIXELS]), bigtiff=True, photometric="rgb")
    yield "JPEG 2000", saved(RGB, "JPEG2000")
    yield "JPEG 2000, bare", saved(RGB, "JPEG2000", no_jp2=True, tile_size=(16, 16))
    yield "AVIF", saved(CLEAR, "AVIF")
    yield "PPM", saved(RGB, "PPM")
    yield "PGM, 16 bits", b"P5 44 36 4095\n" + (PIXELS[..., 0].astype(">u2") * 16).tobytes()
    yield "PGM, text", b"P2 44 36 255\n" + b" ".join(str(v).encode() for v in PIXELS[..., 0].ravel())
    yield "PBM", saved(RGB.convert("1"), "PPM")
    try:
        import pillow_heif
    except ImportError:
        return
    pillow_heif.register_heif_opener()
    yield "HEIC", saved(RGB, "HEIF")


def _arrays() -> Iterator[tuple[str, bytes]]:
    values = (PIXELS.astype(np.float32) - 100) / 7
    yield "array: .npy", numpy(values)
    yield "array: .npz", packed(values)
    yield "array: TIFF, LZW", tiff(values, compression="lzw", photometric="minisblack", planarconfig="contig")
    yield "array: TIFF, Deflate tiles", tiff(values, compression="zlib", tile=(16, 16), photometric="minisblack")
    yield "array: PNG", saved(RGB, "PNG")


def _masks() -> Iterator[tuple[str, bytes]]:
    ids = Image.fromarray(PIXELS[..., 0] % 3)
    palette = Image.fromarray(PIXELS[..., 0] % 3, "P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    yield "mask: PNG", saved(ids, "PNG")
    yield "mask: PNG, palette", saved(palette, "PNG", bits=2)
    yield "mask: TIFF", saved(ids, "TIFF", compression="tiff_lzw")
    yield "mask: GIF", saved(palette, "GIF")
    yield "mask: PGM", saved(ids, "PPM")


@functools.cache
def seeds() -> Mapping[str, bytes]:
    """Name -> a good file; the names of arrays and masks say that they are read as such."""
    return {**dict(_photos()), **dict(_arrays()), **dict(_masks())}


def mutant(number: int) -> tuple[str, bytes]:
    """The name of a good file and a mutation of it; the same number gives the same bytes."""
    names = list(seeds())
    chance = random.Random(number)
    name = names[number % len(names)]
    data = bytearray(seeds()[name])
    for _ in range(chance.choice((1, 1, 1, 2, 4, 8))):
        chance.choice(_KINDS)(data, chance)
        if not data:
            break
    if data.startswith(_SIGNATURE) and chance.random() < 0.6:
        _seal(data)
    return name, bytes(data)


def _bits(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 3, 20))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _header_bits(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(min(len(data), 64))] ^= 1 << chance.randrange(8)


def _byte(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(len(data))] = chance.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, chance.randrange(256)))


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def _tear(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data))
    del data[at : at + chance.choice((1, 2, 4, 12, 100))]


def _repeat(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data))
    piece = data[at : at + chance.choice((1, 4, 12, 200))]
    data[at:at] = piece * chance.choice((1, 2, 50))


def _splice(data: bytearray, chance: random.Random) -> None:
    other = seeds()[chance.choice(list(seeds()))]
    at, start = chance.randrange(len(data)), chance.randrange(len(other))
    piece = other[start : start + chance.choice((8, 64, 1000))]
    data[at : at + (len(piece) if chance.random() < 0.5 else 0)] = piece


def _number(data: bytearray, chance: random.Random) -> None:
    _put(data, chance.randrange(len(data)), chance)


def _length(data: bytearray, chance: random.Random) -> None:
    """Changes the length or the count of a chunk, a segment, a box or an entry, where the format has such."""
    places = [at for at in _lengths(bytes(data)) if at < len(data)]
    _put(data, chance.choice(places) if places else chance.randrange(len(data)), chance)


def _put(data: bytearray, at: int, chance: random.Random) -> None:
    size, order = chance.choice((1, 2, 4)), chance.choice("<>")
    piece = data[at : at + size]
    old = int.from_bytes(piece, "little" if order == "<" else "big")
    value = chance.choice((*_ODD, old + 1, old - 1, old * 2, old // 2, len(data)))
    data[at : at + size] = (value % 256**size).to_bytes(size, "little" if order == "<" else "big")


_KINDS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _bits,
    _bits,
    _header_bits,
    _byte,
    _cut,
    _tear,
    _repeat,
    _splice,
    _number,
    _length,
    _length,
    _length,
)


def _lengths(data: bytes) -> list[int]:
    """Where lengths and counts stand."""
    if data.startswith(_SIGNATURE):
        return [place for at, _ in _chunks(data) for place in (at, 16, 20)]
    if data.startswith(b"\xff\xd8"):
        return [at + 2 for at in range(len(data) - 4) if data[at] == 0xFF and 0xC0 <= data[at + 1] < 0xFF]
    if data.startswith(b"RIFF"):
        return [4, *_riff(data)]
    if data.startswith((b"II", b"MM")):
        order, start = "<" if data.startswith(b"II") else ">", 4 if data[2:4] in (b"*\0", b"\0*") else 8
        first = struct.unpack(f"{order}I", data[start : start + 4])[0] if len(data) >= start + 4 else 0
        return [start, first, *(first + 2 + 12 * entry + part for entry in range(16) for part in (2, 4, 8))]
    if data[4:8] in (b"ftyp", b"jP  "):
        return [at for at in range(len(data) - 8) if data[at + 4 : at + 8].isalnum() and data[at] == 0]
    return [*range(0, 64, 2)]


def _chunks(data: bytes) -> Iterator[tuple[int, int]]:
    """Place and length of each chunk of a PNG."""
    at = len(_SIGNATURE)
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        yield at, length
        at += 12 + length


def _riff(data: bytes) -> Iterator[int]:
    at = 12
    while at + 8 <= len(data):
        yield at + 4
        at += 8 + int.from_bytes(data[at + 4 : at + 8], "little") // 2 * 2


def _seal(data: bytearray) -> None:
    """Makes the checksums of a PNG right again: a file that somebody made on purpose has right ones."""
    for at, length in list(_chunks(bytes(data))):
        end = at + 8 + length
        if end + 4 <= len(data):
            data[end : end + 4] = struct.pack(">I", zlib.crc32(data[at + 4 : end]))


# What stands in the place of a number or a text in a file of annotations, of a table or of settings.
_NUMBERS = (
    *(
        b"-1",
        b"0",
        b"1e400",
        b"-1e400",
        b"NaN",
        b"Infinity",
        b"1e-400",
        b"0x10",
        b"1_000",
        b"true",
        b"null",
        b"[]",
        b"{}",
    ),
    *(b"9" * 30, b"9" * 5000, b"1" * 400, b"0.1", b"2147483648", b"18446744073709551616", b"\xc2\xb2", b"\xd9\xa3"),
)
_TEXTS = (
    *(b"../../etc/passwd", b"/etc/passwd", b"..\\..\\x", b"C:\\x", b"\\u0000", b"a\\u0000b", b"\0", b"\\ud800", b""),
    *(
        b"s3://bucket/x",
        b"http://[/a.png",
        b"file:///etc/passwd",
        b"x" * 10_000,
        b"a/" * 3000,
        b"\xff\xfe",
        b"\xe2\x80\xae",
    ),
    *(b"=1+1", b"__proto__", b"!!python/object/apply:os.system [id]", b"&a [*a]", b"*a", b"<<", b"]]>", b"<a>", b"&x;"),
)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_WORD = re.compile(rb"[A-Za-z][\w./-]*")


def text_mutant(data: bytes, chance: random.Random) -> bytes:
    """A mutation of a text: of its bytes, its numbers, its words, its nesting or its encoding."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        if data:
            data = chance.choice(_TEXT_KINDS)(data, chance)
    return data


def _replaced(pattern: re.Pattern[bytes], by: Sequence[bytes]) -> Callable[[bytes, random.Random], bytes]:
    def replace(data: bytes, chance: random.Random) -> bytes:
        places = [match.span() for match in pattern.finditer(data)]
        if not places:
            return data
        start, end = chance.choice(places)
        return data[:start] + chance.choice(by) + data[end:]

    return replace


def _in_bytes(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    chance.choice((_bits, _byte, _cut, _tear, _repeat))(changed, chance)
    return bytes(changed)


def _doubled_line(data: bytes, chance: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    at = chance.randrange(len(lines))
    return b"".join(lines[:at] + [lines[at]] * chance.choice((2, 50)) + lines[at + 1 :])


def _nested(data: bytes, chance: random.Random) -> bytes:
    at, (begin, end) = chance.randrange(len(data)), chance.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"<a>", b"</a>")))
    depth = chance.choice((2, 50, 100_000))
    return data[:at] + begin * depth + chance.choice((end * depth, b"")) + data[at:]


def _encoded(data: bytes, chance: random.Random) -> bytes:
    codec = chance.choice(("utf-8-sig", "utf-16", "utf-16-be", "utf-32", "cp037", "crlf", "cr"))
    if codec in ("crlf", "cr"):
        return data.replace(b"\n", b"\r\n" if codec == "crlf" else b"\r")
    return data.decode("latin-1").encode(codec)


_TEXT_KINDS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *[_replaced(_NUMBER, _NUMBERS)] * 4,
    *[_replaced(_WORD, _TEXTS)] * 3,
    *[_replaced(_WORD, _NUMBERS)] * 1,
    *[_in_bytes] * 3,
    _doubled_line,
    _nested,
    _encoded,
)
