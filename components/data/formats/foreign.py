"""Says what a file is that cannot be read as an image: a document, a camera's raw file, a failed download."""

from __future__ import annotations

from components.data.formats import netpbm

FORMATS = "JPEG, PNG, BMP, GIF, WebP, TIFF, PPM, HEIC, AVIF or JPEG 2000"
_RAW = "a camera's raw file"

# The first bytes of formats that are read here, if not broken.
_READ = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"BM": "BMP",
}
_OTHERS = {
    b"%PDF": "a PDF document",
    b"8BPS": "a Photoshop document (PSD)",
    b"FUJIFILMCCD-RAW": f"{_RAW} (RAF)",
    b"IIRO": f"{_RAW} (ORF)",
    b"IIRS": f"{_RAW} (ORF)",
    b"MMOR": f"{_RAW} (ORF)",
    b"IIU\0": f"{_RAW} (RW2)",
    b"FOVb": f"{_RAW} (X3F)",
    b"\0\0\1\0": "an icon (ICO)",
    b"\0\0\2\0": "a cursor (CUR)",
    b"icns": "an icon (ICNS)",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"v/1\1": "an OpenEXR image",
    b"#?RADIANCE": "a Radiance HDR image",
    b"#?RGBE": "a Radiance HDR image",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array (NPY)",
    b"PK\3\4": "a ZIP archive",
    b"PK\5\6": "an empty ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"PAR1": "a Parquet table",
    b"SIMPLE  =": "a FITS image",
    b"DDS ": "a DDS texture",
    b"gimp xcf": "a GIMP document (XCF)",
    b"qoif": "a QOI image",
    b"BPG\xfb": "a BPG image",
    b"\x1aE\xdf\xa3": "a video (Matroska or WebM)",
    b"\x7fELF": "a program",
}
_BRANDS = {b"crx ": f"{_RAW} (CR3)", b"jxl ": "JPEG XL"}  # of files in ISO's container; all others are videos
_LFS = b"version https://git-lfs.github.com/spec/"
_LOOK = 1024  # bytes of text that are looked at


def reason(data: bytes) -> str:
    """Returns why `data` is not an image that can be read.

    >>> reason(b"%PDF-1.7 ...")
    'no image of a known format (JPEG, PNG, BMP, GIF, WebP, TIFF, PPM, HEIC, AVIF or JPEG 2000), but a PDF document'
    """
    if data.startswith(_LFS):
        return "a Git LFS pointer, not the image; run `git lfs pull` in its repository"
    read = next((kind for magic, kind in _READ.items() if data.startswith(magic)), None)
    if data.startswith(b"RIFF") and data[8:12] in (b"WEBP", b""):
        read = "WebP"
    if netpbm.MAGIC.match(data):
        read = "PPM, PGM or PBM"
    if read:
        return f"starts like a {read} file, but its header is broken"
    if brand(data) in HEIF_BRANDS or brand(data) in AVIF_BRANDS:
        return f"starts like a {'HEIC' if brand(data) in HEIF_BRANDS else 'AVIF'} file, but its header is broken"
    what = _other(data) or _text(data)
    return f"no image of a known format ({FORMATS})" + (f", but {what}" if what else "")


HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
AVIF_BRANDS = {b"avif", b"avis"}


def brand(data: bytes) -> bytes:
    """The brand of a file in ISO's container (HEIC, AVIF, videos), or b""; the first that says more than "mif1"."""
    if data[4:8] != b"ftyp":
        return b""
    length = min(int.from_bytes(data[:4], "big"), 256)
    if data[8:12] in (b"mif1", b"msf1"):  # "an image of some coding"; the compatible brands behind it say which
        compatible = {data[at : at + 4] for at in range(16, length - 3, 4)}
        if compatible & AVIF_BRANDS and not compatible & (HEIF_BRANDS - {b"mif1", b"msf1"}):
            return b"avif"
    return data[8:12]


def _other(data: bytes) -> str:
    if data[128:132] == b"DICM":
        return "a DICOM image"
    if data[344:348] in (b"n+1\0", b"ni1\0"):
        return "a NIfTI volume"
    if data[257:262] == b"ustar":
        return "a tar archive"
    if data.startswith(b"PK\3\4") and data[30:_LOOK].split(b"PK")[0].find(b".npy") > 0:
        return "NumPy arrays (NPZ)"
    if data.startswith(b"RIFF"):
        return {b"AVI ": "a video (AVI)", b"WAVE": "a sound (WAV)"}.get(data[8:12], "")
    if brand(data):
        return _BRANDS.get(brand(data), "a video (MP4 or MOV)")
    if data[:1] == b"P" and data[1:2] in (b"7", b"f", b"F") and data[2:3].isspace():
        return "a PAM image" if data[1:2] == b"7" else "an image of float values (PFM)"
    if data and not data.strip(b"\0"):
        return "nothing but zero bytes, as an interrupted copy leaves it"
    return next((kind for magic, kind in _OTHERS.items() if data.startswith(magic)), "")


def _text(data: bytes) -> str:
    head = data[:_LOOK].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "an HTML page, as a failed download leaves it"
    if head.startswith((b"<?xml", b"<svg", b"<!--", b"<!doctype svg")):
        return "an SVG drawing" if b"<svg" in head else "an XML file, as a failed download may leave it"
    try:
        text = head.decode("utf-8", "strict")
    except UnicodeDecodeError:
        return ""
    if not text or not all(c.isprintable() or c.isspace() for c in text):
        return ""
    return "JSON text" if text[0] in "{[" else "text"
