"""Tells images from the files that lie beside them: notes, annotations, tables, by the endings of their names."""

from __future__ import annotations

import itertools
import posixpath
import re
from collections import Counter
from collections.abc import Iterable

from components.base.compact.packed import Packed
from components.data import storage
from components.data.storage import File
from components.ingest.layouts.listing import endings

# Endings of files that people keep beside images, in lower case. Files with other endings are looked into.
_OTHER = {
    *(".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".xml", ".yaml", ".yml", ".toml", ".ini"),
    *(
        ".html",
        ".htm",
        ".css",
        ".js",
        ".pdf",
        ".doc",
        ".docx",
        ".odt",
        ".rtf",
        ".xls",
        ".xlsx",
        ".ods",
        ".ppt",
        ".pptx",
    ),
    *(".npy", ".npz", ".mat", ".pkl", ".pickle", ".h5", ".hdf5", ".parquet", ".arrow", ".feather", ".db", ".sqlite"),
    *(".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".py", ".ipynb", ".sh", ".r", ".m", ".log", ".cfg"),
    *(".mp4", ".avi", ".mov", ".mkv", ".mp3", ".wav", ".svg", ".eps", ".psd", ".xcf", ".aae", ".xmp", ".thm", ".cache"),
    *(
        ".bak",
        ".tmp",
        ".part",
        ".crdownload",
        ".lock",
        ".md5",
        ".sha256",
        ".lnk",
        ".url",
        ".names",
        ".data",
        ".tfrecord",
    ),
}
# Names of files without an ending that are no images, in lower case.
_PLAIN = {
    *("license", "licence", "copying", "copyright", "notice", "readme", "authors", "contributors", "changelog"),
    *("changes", "news", "todo", "install", "version", "makefile", "dockerfile", "attribution", "credits", "citation"),
    *("checksums", "md5sums", "sha1sums", "sha256sums", "manifest"),
}
_MOST_LOOKS = 5  # endings that are looked into
_MOST_BYTES = 1 << 25  # of a file that is looked into
_MAGIC = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8|BM|II\*\0|MM\0\*|II\+\0|MM\0\+|RIFF....WEBP|....ftyp(?:heic|heix|mif1|avif)|"
    rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51|P[1-6]\s",
    re.DOTALL,
)


def ending(path: str) -> str:
    """The ending of a file name in lower case, with its dot; numbers, as in "scan.001", count as one ending ".0".

    >>> ending("a/b.JPG"), ending("a/scan.001"), ending("a/README")
    ('.jpg', '.0', '')
    """
    found = posixpath.splitext(path)[1].lower()
    return ".0" if found[1:].isdecimal() else found


def without(root: str, files: Packed[File]) -> tuple[Packed[File], list[File]]:
    """Separates the files that may be images from those that are not, in their order.

    A file may be an image if its name has the ending of one, or none, unless it is a name such as LICENSE. Of other
    endings, one file is opened, and if it begins as an image does, all files with this ending count as images.

    Returns:
        the files that may be images, and the others.
    """
    strange: Counter[str] = Counter()
    smallest: dict[str, File] = {}
    for file in files:
        if (kind := ending(file.path)) not in endings() and kind not in _OTHER and not file.problem:
            strange[kind] += 1
            smallest[kind] = min(file, smallest.get(kind, file), key=lambda f: (f.size, f.path))
    often = sorted(strange, key=lambda kind: (-strange[kind], kind))[:_MOST_LOOKS]
    taken = endings() | {kind for kind in often if _is_image(root, smallest[kind])}

    def is_image(file: File) -> bool:
        return ending(file.path) in taken and not _is_plain(file.path)

    others = list(itertools.filterfalse(is_image, files))
    return Packed(File, filter(is_image, files)) if others else files, others


def is_known(file: File) -> bool:
    """Whether the file is of a kind that people keep beside images, rather than of a kind that nobody knows."""
    return ending(file.path) in _OTHER or _is_plain(file.path)


def described(files: Iterable[File]) -> str:
    """Counts files by their endings.

    >>> described([File("a/1.txt", 0, ""), File("a/2.txt", 0, ""), File("b/1.json", 0, "")])
    '2 .txt, 1 .json'
    """
    counts = Counter(ending(file.path) for file in files)
    return ", ".join(f"{n:,} {kind or 'without ending'}" for kind, n in counts.most_common(5)) + (
        ", …" if len(counts) > 5 else ""
    )


def _is_plain(path: str) -> bool:
    return posixpath.basename(path).lower() in _PLAIN


def _is_image(root: str, file: File) -> bool:
    if file.size > _MOST_BYTES:
        return False
    try:
        return _MAGIC.match(storage.read(root, file.path)[:32]) is not None
    except OSError:
        return False
