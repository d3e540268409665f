"""Small files that take much memory or time where a reader is careless, giants of one pixel's width, and polyglots."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping

import mutants
import numpy as np
from mutants import RGB, saved
from PIL import Image

Make = Callable[[], bytes]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int,
    height: int,
    pixels: bytes = b"",
    *,
    colour: int = 0,
    depth: int = 8,
    extra: bytes = b"",
    end: bytes = b"",
) -> bytes:
    """A PNG; `pixels` are compressed as they are, with a filter byte before each row."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(pixels, 9)) + end + chunk(b"IEND", b"")


def rows(width: int, height: int) -> bytes:
    return bytes((width + 1) * height)


def packed_texts(count: int, kind: bytes, prefix: bytes) -> bytes:
    inner = prefix + zlib.compress(bytes(1_000_000), 9)
    return b"".join(chunk(kind, b"n%d\0" % i + inner) for i in range(count))


def gif(width: int, height: int, frames: int, frame: tuple[int, int] = (1, 1)) -> bytes:
    """A GIF of frames of one pixel: image descriptor, code size 2, the codes clear, 0, end."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF0, 0, 0) + bytes(6)
    one = b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\2\2\x44\1\0"
    return head + one * frames + b";"


def tiff(width: int, height: int, entries: list[tuple[int, int, int, int]], tail: bytes = b"", after: int = 0) -> bytes:
    """A little-endian TIFF of one directory; `tail` begins behind it, at `8 + 2 + 12 * (len(entries) + 2) + 4`."""
    entries = sorted([(256, 4, 1, width), (257, 4, 1, height), *entries])
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + struct.pack("<I", after) + tail


_GREY8 = [(258, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1)]


def tiff_of_strips(count: int) -> bytes:
    """One pixel, and offsets of so many strips."""
    at = 8 + 2 + 12 * 8 + 4
    more = [*_GREY8, (259, 3, 1, 1), (278, 3, 1, 1), (273, 4, count, at)]
    return tiff(1, 1, more, struct.pack("<I", 8) * count)


def tiff_of_one_strip(packed: bytes, width: int, height: int) -> bytes:
    """All rows in one strip, compressed by Deflate."""
    at = 8 + 2 + 12 * 9 + 4
    more = [*_GREY8, (259, 3, 1, 8), (278, 4, 1, height), (273, 4, 1, at), (279, 4, 1, len(packed))]
    return tiff(width, height, more, packed)


def tiff_of_pages(count: int) -> bytes:
    """Pages that follow one another, of one pixel each."""
    size = 2 + 12 * 8 + 4
    entries = sorted([(256, 4, 1, 1), (257, 4, 1, 1), *_GREY8, (259, 3, 1, 1), (278, 3, 1, 1), (273, 4, 1, 4)])
    body = struct.pack("<H", 8) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    pages = (body + struct.pack("<I", 8 + size * (i + 1) if i + 1 < count else 0) for i in range(count))
    return b"II*\0" + struct.pack("<I", 8) + b"".join(pages)


def jpeg_of_size(width: int, height: int) -> bytes:
    """A JPEG that states another size than it has pixels for."""
    data = bytearray(saved(RGB, "JPEG"))
    at = data.find(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def jpeg_of_scans(side: int, count: int) -> bytes:
    """A progressive JPEG of one colour, whose last scan is there so many times."""
    data = saved(Image.new("L", (side, side), 99), "JPEG", progressive=True)
    at = data.rindex(b"\xff\xda")
    return data[:at] + data[at:-2] * count + data[-2:]


def jpeg_of_hidden_scans(side: int, count: int) -> bytes:
    """The same, with scans behind FF 02 and what looks like the length of a segment.

    A decoder that looks for its restart marker passes over FF 02 alone, and reads them.
    """
    data = saved(Image.new("L", (side, side), 99), "JPEG", progressive=True, restart_marker_rows=1)
    at = data.rindex(b"\xff\xda")
    scan = data[at : at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")]
    return data[:at] + scan + b"\0\xff\x02\xff\xff" + scan * count + data[-2:]


def webp_of_size(width: int, height: int) -> bytes:
    """A WebP whose canvas is of another size than its frame."""
    inner = saved(RGB, "WEBP")[12:]
    canvas = struct.pack("<I", 0x02)[:4] + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + canvas + inner
    return b"RIFF" + struct.pack("<I", len(body)) + body


def animated(kind: str, frames: int) -> bytes:
    one = Image.new("RGB", (8, 8))
    others = [Image.new("RGB", (8, 8), (i % 256, i // 256, 7)) for i in range(1, frames)]
    return saved(one, kind, save_all=True, append_images=others)


def jpeg2000_of_size(width: int, height: int, tile: int) -> bytes:
    """A JPEG 2000 that states another size, and tiles of so many pixels."""
    data = bytearray(saved(RGB, "JPEG2000", no_jp2=True))
    at = data.find(b"\xff\x51")
    data[at + 6 : at + 14] = struct.pack(">II", width, height)
    data[at + 22 : at + 30] = struct.pack(">II", tile, tile)
    return bytes(data)


def avif_of_size(width: int, height: int) -> bytes:
    data = bytearray(saved(RGB, "AVIF"))
    at = data.find(b"ispe")
    data[at + 8 : at + 16] = struct.pack(">II", width, height)
    return bytes(data)


def npy(header: str, values: bytes = b"") -> bytes:
    text = header.encode() + b" " * (-(10 + len(header) + 1) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + values


def npz(header: str, values: int) -> bytes:
    """An archive of one array, of so many zero bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("image.npy", "w") as file:
        file.write(npy(header))
        for _ in range(values >> 20):
            file.write(bytes(1 << 20))
    return out.getvalue()


_ARRAY = "{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}"

# What a careless reader would take minutes or gigabytes for; each is read within the limits of the test.
PHOTOS: Mapping[str, Make] = {
    "PNG that states 60,000 x 60,000 pixels": lambda: png(60_000, 60_000),
    "PNG that states the largest size": lambda: png(2**31 - 1, 2**31 - 1),
    "PNG with 64 MB more pixels than it needs": lambda: png(8, 8, bytes(64 << 20)),
    "PNG with 300 packed texts of a megabyte": lambda: png(8, 8, rows(8, 8), extra=packed_texts(300, b"zTXt", b"\0")),
    "PNG with such texts behind the pixels": lambda: png(8, 8, rows(8, 8), end=packed_texts(300, b"zTXt", b"\0")),
    "PNG with 300 packed profiles": lambda: png(8, 8, rows(8, 8), extra=packed_texts(300, b"iCCP", b"\0")),
    "PNG with packed XMP": lambda: png(8, 8, rows(8, 8), extra=packed_texts(300, b"iTXt", b"\1\0\0\0")),
    "PNG that states 2 billion frames": lambda: png(
        8, 8, rows(8, 8), extra=chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    ),
    "PNG with 200,000 chunks": lambda: png(8, 8, rows(8, 8), extra=chunk(b"teSt", b"") * 200_000),
    "PNG of one pixel's width": lambda: png(1, 900_000, rows(1, 900_000)),
    "PNG of one pixel's height": lambda: png(900_000, 1, rows(900_000, 1)),
    "PNG of one pixel's height and 16 bits": lambda: png(900_000, 1, bytes(1_800_001), depth=16),
    "JPEG that states 65,535 x 65,535 pixels": lambda: jpeg_of_size(65_535, 65_535),
    "JPEG that states 65,000 x 1,500 pixels": lambda: jpeg_of_size(65_000, 1_500),
    "JPEG of one pixel's width": lambda: saved(Image.new("RGB", (1, 65_000)), "JPEG"),
    "JPEG of one pixel's height": lambda: saved(Image.new("RGB", (65_000, 1)), "JPEG"),
    "JPEG of 20,000 scans": lambda: jpeg_of_scans(4000, 20_000),
    "JPEG of 6,000 hidden scans": lambda: jpeg_of_hidden_scans(2000, 6000),
    "GIF that states 65,535 x 65,535 pixels": lambda: gif(65_535, 65_535, 1),
    "GIF with a frame larger than itself": lambda: gif(8, 8, 1, (65_535, 65_535)),
    "GIF of 500,000 frames": lambda: gif(2, 2, 500_000),
    "WebP that states 16,384 x 16,384 pixels": lambda: webp_of_size(16_384, 16_384),
    "WebP of 3,000 frames": lambda: animated("WEBP", 3000),
    "WebP of one pixel's width": lambda: saved(Image.new("RGB", (1, 16_383)), "WEBP"),
    "AVIF that states 65,535 x 65,535 pixels": lambda: avif_of_size(65_535, 65_535),
    "BMP that states 60,000 x 60,000 pixels": lambda: (
        saved(RGB, "BMP")[:18] + struct.pack("<ii", 60_000, 60_000) + saved(RGB, "BMP")[26:]
    ),
    "BMP of one pixel's width": lambda: saved(Image.new("RGB", (1, 2_000_000)), "BMP"),
    "TIFF that states 2 billion pixels a side": lambda: tiff(2**31 - 1, 2**31 - 1, [*_GREY8, (273, 4, 1, 8)]),
    "TIFF with 3 million strips": lambda: tiff_of_strips(3_000_000),
    "TIFF with tags of 4 GB": lambda: tiff(8, 8, [(273, 4, 2**30, 8), (279, 4, 2**30, 8), *_GREY8]),
    "TIFF of 50,000 pages": lambda: tiff_of_pages(50_000),
    "TIFF whose pages form a circle": lambda: tiff(8, 8, [*_GREY8, (273, 4, 1, 8), (279, 4, 1, 64)], after=8),
    "TIFF whose strip unpacks to 256 MB": lambda: tiff_of_one_strip(zlib.compress(bytes(256 << 20), 9), 8, 8),
    "TIFF of one pixel's width": lambda: tiff_of_one_strip(zlib.compress(bytes(5_000_000), 9), 1, 5_000_000),
    "JPEG 2000 that states 4 billion pixels a side": lambda: jpeg2000_of_size(2**32 - 1, 2**32 - 1, 64),
    "JPEG 2000 of 9,000 x 9,000 tiles of a pixel": lambda: jpeg2000_of_size(9000, 9000, 1),
    "PPM that states 100 million pixels": lambda: b"P6 10000 10000 255\n" + bytes(100),
    "PPM as text that states 100 million pixels": lambda: b"P3 10000 10000 255\n" + b"0 " * 1_000_000,
    "PBM of one pixel's width": lambda: b"P4 1 2000000\n" + bytes(2_000_000),
    "PGM with a comment of 8 MB": lambda: b"P5 #" + b"x" * (8 << 20) + b"\n2 2 255\n" + bytes(4),
    "PGM of 16 bits as text that states 100 million pixels": lambda: b"P2 10000 10000 65535\n" + b"1 " * 2_000_000,
    "PGM of nothing but blanks": lambda: b"P5" + b" " * (8 << 20),
}
ARRAYS: Mapping[str, Make] = {
    "array of a trillion values": lambda: npy(_ARRAY.format("<f4", (10**6, 10**6))),
    "array of texts of 400 KB": lambda: npy(_ARRAY.format("<U100000", (1000, 1000)), bytes(100)),
    "archive of texts that unpacks to 256 MB": lambda: npz(_ARRAY.format("<U100000", (1000, 1000)), 256 << 20),
    "archive of raw bytes that unpacks to 256 MB": lambda: npz(_ARRAY.format("|V4000000", (16, 16)), 256 << 20),
    "archive that unpacks to 256 MB": lambda: npz(_ARRAY.format("<f4", (36, 44, 3)), 256 << 20),
    "array with a header of 60 KB": lambda: npy(_ARRAY.format("<f4", (1,) * 15_000)),
    "array with a deep header": lambda: npy(_ARRAY.format("<f4", "(" * 4000 + ")" * 4000)),
    "TIFF for an array with pages in a circle": lambda: tiff(8, 8, [*_GREY8, (273, 4, 1, 8), (279, 4, 1, 64)], after=8),
    "TIFF for an array with 3 million strips": lambda: tiff_of_strips(3_000_000),
    "TIFF for an array whose strip unpacks to 256 MB": lambda: tiff_of_one_strip(
        zlib.compress(bytes(256 << 20), 9), 44, 36
    ),
    "PNG for an array with 64 MB more than it needs": lambda: png(44, 36, bytes(64 << 20)),
}
MASKS: Mapping[str, Make] = {
    "PNG for a mask with 64 MB more than it needs": lambda: png(44, 36, bytes(64 << 20)),
    "GIF for a mask of 500,000 frames": lambda: gif(44, 36, 500_000, (44, 36)),
    "TIFF for a mask of 50,000 pages": lambda: tiff_of_pages(50_000),
    "PNG for a mask with packed texts": lambda: png(44, 36, rows(44, 36), extra=packed_texts(300, b"zTXt", b"\0")),
}


def _zip_of(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, content)
    return out.getvalue()


# Files that are two things at once: (content, whether it is an image). What is behind or in an image does not matter,
# since the bytes are never given to anything but an image decoder.
POLYGLOTS: Mapping[str, tuple[bytes, bool]] = {
    "JPEG and ZIP": (saved(RGB, "JPEG") + _zip_of("evil.py", b"import os"), True),
    "ZIP and JPEG": (_zip_of("evil.py", b"import os") + saved(RGB, "JPEG"), False),
    "PNG and HTML": (
        png(8, 8, rows(8, 8), extra=chunk(b"tEXt", b"Comment\0<html><script>alert(1)</script></html>")),
        True,
    ),
    "HTML and PNG": (b"<html><script>alert(1)</script></html>" + saved(RGB, "PNG"), False),
    "GIF and JavaScript": (b"GIF89a=0;alert(1)//" + saved(RGB, "GIF")[6:], False),
    "GIF with a comment of JavaScript": (saved(RGB.quantize(8), "GIF", comment=b"*/=alert(1)//"), True),
    "BMP and JavaScript": (saved(RGB, "BMP") + b"*/=1;alert(1)", True),
    "JPEG and PHP": (saved(RGB, "JPEG", comment=b"<?php system('id'); ?>"), True),
    "PDF and JPEG": (b"%PDF-1.7\n" + saved(RGB, "JPEG"), False),
    "TIFF and NumPy": (mutants.seeds()["TIFF"] + mutants.numpy(np.zeros(3)), True),
    "SVG with an entity": (
        b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]><svg>&a;</svg>',
        False,
    ),
}
