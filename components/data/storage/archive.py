"""Archives as roots: which part of a path is one, which files it holds, and their contents. Nothing is unpacked."""

from __future__ import annotations

import os
import posixpath
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from components.base.errors import ConfigError
from components.base.text import truncated_list
from components.data.storage import aside, raw, remote
from components.data.storage.entry import File, is_litter, is_url, litter_in
from components.data.storage.member import Damaged, Format, Kind, Member, clean
from components.data.storage.tars import Tar
from components.data.storage.zips import Zip

_READ = r"zip|tar|tar\.gz|tgz"
_REFUSED = r"tar\.bz2|tbz2?|tar\.xz|txz|tar\.zst|tzst|tar\.z|7z|rar|gz|bz2|xz|zst"
_ENDING = re.compile(rf"\.({_READ}|{_REFUSED})$", re.IGNORECASE)
_MAGIC = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "Zstandard", b"7z\xbc\xaf": "7-Zip", b"Rar!": "RAR"}
_MOST_OPEN = 4
_MOST_LINKS = 8
_LONGEST, _DEEPEST = 4096, 100  # characters of a name, and folders in it; Linux takes no longer path


def find(root: str) -> tuple[str, str] | None:
    """Splits a root into the path of an archive file and the path within; None if it leads into no archive.

    Only a file counts: a folder may be called `clothes.zip`, too.
    """
    start = root.index("://") + 3 if is_url(root) else 0
    for end in [m.start() for m in re.finditer("/", root) if m.start() > start] + [len(root)]:
        path = root[:end]
        if _ENDING.search(path) and _is_file(path):
            return path, root[end:].strip("/")
    return None


def files(path: str, below: str, root: str, key: str) -> Iterator[File]:
    """Yields the files of the archive at `path` below a folder in it; see `storage.files`."""
    archive = _opened(path, key)
    if below in archive.files:
        raise ConfigError(f"{key}: {root} is a file in an archive, not a folder")
    if below and below not in archive.folders:
        top = truncated_list(sorted(name for name in archive.folders if "/" not in name and not is_litter(name)))
        raise ConfigError(f"{key}: {path} holds no folder {below!r}; at its top are {top or 'no folders'}")
    left, start, prefix = aside.current(), root.rstrip("/") + "/", f"{below}/" if below else ""
    left.notes |= dict.fromkeys(f"{path}: {note}" for note in archive.notes)
    places = left.below(root)
    for name, member in archive.files.items():
        if not name.startswith(prefix):
            continue
        shown = name[len(prefix) :]
        if place := next((p for p in places if shown.startswith(f"{p}/")), None):
            left.met.add(start + place)
        elif hidden := litter_in(shown):
            left.hidden.add(start + hidden)
        else:
            found, problem = archive.resolved(member, prefix, key)
            yield File(shown, found.size, found.version, problem)
    for member in archive.outside if not below else ():
        yield File(member.name[:_LONGEST], member.size, member.version, archive.outside_because(member))


def folders(path: str, below: str, root: str) -> list[str]:
    """Names of the folders in an archive directly below a folder in it."""
    places = aside.current().below(root)
    names = [name.rpartition("/") for name in _opened(path).folders]
    return [name for parent, _, name in names if parent == below and not is_litter(name) and name not in places]


def read(path: str, below: str, name: str) -> bytes:
    """The content of a file in an archive; see `storage.read`."""
    try:
        archive = _opened(path)
    except ConfigError as error:
        raise OSError(str(error)) from None
    prefix = f"{below}/" if below else ""
    member = archive.files.get(prefix + name)
    if member is None:
        raise FileNotFoundError(f"it is not in {path}")
    found, problem = archive.resolved(member, prefix, "data.root")
    if problem:
        raise OSError(problem)
    return archive.format.content(found)


class Archive:
    """The entries of an archive by their paths.

    Attributes:
        files: path -> everything but folders. Of several members with one name the last, which unpacking leaves.
        folders: paths, also of those that only a file's path names.
        outside: members whose names lead out of the archive, or are too long to be those of files.
        notes: sentences on what had to be guessed or merged.
    """

    def __init__(self, format: Format) -> None:
        self.format, self.outside = format, list[Member]()
        self.files: dict[str, Member] = {}
        self.folders: set[str] = set()
        twice: dict[str, None] = {}
        for member in format.members():
            path = None if _is_too_long(member.name) else clean(member.name)
            if path is None:
                self.outside.append(member)
            elif member.kind is Kind.FOLDER:
                self._add_folder(path)
            elif path:
                if path in self.files:
                    twice[path] = None
                self.files[path] = member
                self._add_folder(posixpath.dirname(path))
        self.notes = list(format.notes)
        if twice:
            many = f"{len(twice):,} files" if len(twice) > 1 else "one file"
            self.notes.append(f"holds {many} more than once; the last of each is used: {truncated_list(sorted(twice))}")

    def resolved(self, member: Member, prefix: str, key: str) -> tuple[Member, str]:
        """Follows links; returns the member to read, and why it must not be read or "".

        Args:
            member: one of `files`.
            prefix: of the paths that are inside the root.
            key: the setting of the root, for messages.
        """
        for _ in range(_MOST_LINKS):
            if member.problem or member.kind is Kind.FILE:
                return member, member.problem
            if member.kind is Kind.OTHER:
                return member, "not a regular file"
            target = posixpath.normpath(member.target)
            if clean(target) is None or (member.kind is Kind.LINK and not target.startswith(prefix)):
                return member, f"a link that leads out of {key}; copy the file instead"
            if target in self.folders or target == ".":
                return member, "a link to a folder; copy the folder instead"
            if target not in self.files:
                return member, f"cannot be read: a link to {target}, which is not in the archive"
            member = self.files[target]
        return member, "cannot be read: a link to itself"

    @staticmethod
    def outside_because(member: Member) -> str:
        """Why one of `outside` must not be read."""
        if _is_too_long(member.name):
            return f"its name is longer than {_LONGEST:,} characters or {_DEEPEST} folders; pack it again"
        return "its name leads out of the archive; pack it again"

    def _add_folder(self, path: str) -> None:
        while path and path not in self.folders:
            self.folders.add(path)
            path = posixpath.dirname(path)


def _is_too_long(name: str) -> bool:
    """Whether no file system has such a name; each of its folders would be kept as a text of its own."""
    return len(name) > _LONGEST or name.count("/") > _DEEPEST


@dataclass
class _State:
    """Open archives of one process: path -> version and archive. A fork must not share a lock that another held."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    opened: dict[str, tuple[str, Archive]] = field(default_factory=dict)


_STATES: dict[int, _State] = {}  # by process id


def _state() -> _State:
    pid = os.getpid()
    for other in [known for known in _STATES if known != pid]:  # those of the process that this one was forked from
        _STATES.pop(other, None)
    return _STATES.setdefault(pid, _State())


def _is_file(path: str) -> bool:
    if not is_url(path):
        return os.path.isfile(path)
    if path in _state().opened:
        return True
    return remote.is_file(path)


def _opened(path: str, key: str | None = None) -> Archive:
    """Opens an archive, or returns it from the last time if it did not change.

    Args:
        path: of the archive file.
        key: the setting that it comes from. Without one, a store is not asked again whether the archive changed.
    """
    state = _state()
    with state.lock:
        known = state.opened.get(path)
        if known and key is None and is_url(path):
            return known[1]
        try:
            version = raw.version(path)
            if known is None or known[0] != version:
                while len(state.opened) >= _MOST_OPEN:
                    state.opened.pop(next(iter(state.opened)))
                known = state.opened[path] = version, Archive(_format(path, version))
        except Damaged as error:
            raise ConfigError(f"{key or 'data.root'}: {path} {error}") from None
        except OSError as error:
            raise ConfigError(f"{key or 'data.root'}: {path} cannot be read: {error.strerror or error}") from None
        return known[1]


def _format(path: str, version: str) -> Format:
    """Tells the format by the first bytes, since archives are renamed more often than one thinks."""
    file = raw.open_raw(path)
    head = file.pread(512, 0)
    if not head:
        raise Damaged("is empty; copy or download it again")
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            raise Damaged(
                f"is compressed with {name}, from which single files cannot be read in place; unpack it, or pack it "
                "again as .zip, .tar or .tar.gz"
            )
    if head.startswith(b"\x1f\x8b"):
        return Tar(file, version, gz=True)
    if head.startswith(b"PK") or path.lower().endswith(".zip"):
        return Zip(file, version)
    return Tar(file, version, gz=False)
