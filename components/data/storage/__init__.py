"""Access to a folder of input files: local, behind an fsspec URL, or in an archive.

Nothing is written, nothing outside the folder is read, and archives are read in place.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence

from components.base.errors import ConfigError
from components.data.storage import archive, bundles, local, parquet, remote
from components.data.storage.aside import Aside, watch
from components.data.storage.entry import File, is_litter, is_url, litter_in

__all__ = [
    "Aside",
    "File",
    "files",
    "folders",
    "in_archive",
    "is_litter",
    "is_url",
    "litter_in",
    "read",
    "watch",
]


def files(root: str, key: str = "data.root") -> Iterator[File]:
    """Yields every file below `root` in any order, without hidden files and those of file managers.

    A link that leads out of `root`, and anything that is not a regular file, has a `problem`. `watch` tells what was
    left aside, and has places skipped.

    Args:
        root: path or URL of a folder, of an archive, or of a folder in an archive: `data/clothes.zip/train`.
        key: the setting that `root` comes from, for messages.

    Raises:
        ConfigError: `root` does not exist, is neither folder nor archive, cannot be reached, or is damaged.
    """
    yield from bundles.gathered(root, _files(root, key))


def _files(root: str, key: str) -> Iterator[File]:
    if place := archive.find(root):
        yield from archive.files(*place, root, key)
    elif is_url(root):
        yield from remote.files(root, key)
    else:
        yield from local.files(root, key)


def folders(root: str) -> list[str]:
    """Names of the folders directly below `root`, sorted. Empty folders are included where the store knows them."""
    if place := archive.find(root):
        return sorted(archive.folders(*place, root))
    return sorted(remote.folders(root) if is_url(root) else local.folders(root))


def read(root: str, path: str, moments: Sequence[tuple[str, float | None]] = ()) -> bytes:
    """The content of a file that `files(root)` yielded, or of an image in a Parquet file, see `parquet`.

    Of a sequence of files, it is that of all of them, see `bundles`.

    Args:
        root: of the file.
        path: of the file, or the name of the sequence.
        moments: paths and times of the files of the sequence; (): those in its folder.

    Raises:
        OSError: it cannot be read.
        ImagegateError: its store fails; see `remote.answering`.
    """
    if moments:
        return bundles.packed([bundles.Part(name, read(root, name), time) for name, time in moments])
    if folder := bundles.find(path):
        inside = posixpath.join(root, folder)
        try:
            names = [file.path for file in _files(inside, inside) if bundles.is_moment(file.path)]
        except ConfigError as error:
            if isinstance(error.__cause__, OSError):
                with remote.answering(inside):
                    raise error.__cause__ from None
            raise OSError(f"there is no folder {folder} with the files of its moments") from None
        return bundles.packed([bundles.Part(n, read(inside, n)) for n in bundles.ordered(names) if "/" not in n])
    if member := parquet.find(path):
        return parquet.read(root, member)
    if place := archive.find(root):
        return archive.read(*place, path)
    return remote.read(root, path) if is_url(root) else local.read(root, path)


def unit(path: str) -> str:
    """Names the unit that is read at once: the file, or for an image in a Parquet file its row group."""
    member = parquet.find(path)
    return parquet.unit(member) if member else path


def in_archive(path: str) -> bool:
    """Whether a path or URL is that of an archive file, or leads into one."""
    return archive.find(path) is not None
