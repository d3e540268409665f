"""What a file is that is no image is said by its name."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from components.data import images
from components.data.formats import foreign
from components.data.images import BadImage


def npz() -> bytes:
    out = io.BytesIO()
    np.savez(out, image=np.zeros(3))
    return out.getvalue()


def archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("1.jpg", b"x")
    return out.getvalue()


def npy() -> bytes:
    out = io.BytesIO()
    np.save(out, np.zeros(3))
    return out.getvalue()


def icon() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (16, 16)).save(out, "ICO")
    return out.getvalue()


FILES = {
    "PDF": (
        b"%PDF-1.7\n",
        "format (JPEG, PNG, BMP, GIF, WebP, TIFF, PPM, HEIC, AVIF or JPEG 2000), but a PDF document",
    ),
    "SVG": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "but an SVG drawing"),
    "PSD": (b"8BPS\0\1", "a Photoshop document (PSD)"),
    "CR2": (b"II*\0\x10\0\0\0CR\2\0", "a camera's raw file (CR2); export it as JPEG, PNG or TIFF"),
    "CR3": (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "a camera's raw file (CR3)"),
    "RAF": (b"FUJIFILMCCD-RAW 0201", "a camera's raw file (RAF)"),
    "DICOM": (bytes(128) + b"DICM" + bytes(20), "a DICOM image"),
    "icon": (icon(), "an icon (ICO)"),
    "JPEG XL": (b"\xff\x0a\xfa\x7f", "JPEG XL"),
    "JPEG XL in its container": (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    "EXR": (b"v/1\1\2\0\0\0", "an OpenEXR image"),
    "HDF5": (b"\x89HDF\r\n\x1a\n\0", "an HDF5 file"),
    "NPY": (npy(), "a NumPy array (NPY)"),
    "NPZ": (npz(), "NumPy arrays (NPZ)"),
    "ZIP": (archive(), "a ZIP archive"),
    "gzip": (b"\x1f\x8b\x08\0", "a gzip archive"),
    "video": (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "a video (MP4 or MOV)"),
    "HTML": (b"\n <!DOCTYPE html><title>404</title>", "an HTML page, as a failed download leaves it"),
    "error of an object store": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML file, as a"),
    "JSON": (b'{"error": "not found"}', "JSON text"),
    "text": (b"\xef\xbb\xbfhello", "2000), but text"),
    "PAM": (b"P7\nWIDTH 1\n", "a PAM image"),
    "PFM": (b"PF\n1 1\n-1.0\n", "an image of float values (PFM)"),
    "broken PPM": (b"P6\nx", "starts like a PPM, PGM or PBM file, but its header is broken"),
    "zeros": (bytes(3000), "nothing but zero bytes, as an interrupted copy leaves it"),
    "noise": (b"\xfe\xed\x81\x92" * 9, "no image of a known format (JPEG"),
    "Git LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "a Git LFS pointer, not the image; run `git lfs pull`",
    ),
    "empty": (b"", "empty file"),
    "broken HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "starts like a HEIC file, but its header is broken"),
    "broken AVIF": (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", "starts like a AVIF file, but its header is broken"),
    "broken JPEG 2000": (b"\xff\x4f\xff\x51\0\0", "cannot be decoded"),
}


@pytest.mark.parametrize(("data", "message"), FILES.values(), ids=FILES)
def test_a_file_that_is_no_image_is_named(data: bytes, message: str) -> None:
    with pytest.raises(BadImage) as refused:
        images.check(data, 100_000)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", b"mif1"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", b"avif"),
        (b"\0\0\0\x14ftypheic\0\0\0\0heic", b"heic"),
        (b"\xff\xd8\xff\xe0ftyp", b"ftyp"[:0]),
    ],
)
def test_the_brand_of_a_container_says_how_its_image_is_coded(data: bytes, expected: bytes) -> None:
    assert foreign.brand(data) == expected
