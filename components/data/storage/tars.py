"""tar archives, plain or compressed by gzip. Python's tarfile reads the headers; contents are read by position.

In a .tar.gz file, the library indexed_gzip marks points while the archive is listed, from which it decompresses later.
So one member costs a few milliseconds, and nothing is unpacked.
"""

from __future__ import annotations

import posixpath
import tarfile
import zlib
from collections.abc import Iterator
from typing import Any

from components.data.storage.member import Damaged, Kind, Member
from components.data.storage.raw import Raw

_BLOCK = 512
_LARGEST_HEADER = 1 << 20  # bytes of a long name or of pax records; real ones have a few hundred
_WITH_TEXT = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_CHUNK = 1 << 20  # bytes that a compressed archive is listed by
_NEAREST = 1 << 19  # bytes between two points of an index, at least
_POINTS = 4096  # of an index, as far as can be told before; each takes 32 KiB of memory
_TOO_MANY = 8 * _POINTS
_SAMPLE = 1 << 22  # bytes that tell how well an archive is compressed
_MOST = 250  # times its own size that a compressed archive may hold; beyond, it is a bomb
_ALWAYS = 4 << 30  # bytes that it may hold in any case


class Tar:
    """A `Format`.

    Args:
        raw: the archive file.
        version: of the archive file; a tar archive has no checksums of contents.
        gz: whether it is compressed by gzip.
    """

    def __init__(self, raw: Raw, version: str, *, gz: bool) -> None:
        self._raw, self._version, self.notes = raw, version, list[str]()
        self._limit: int = raw.size
        self._gz: Any = None
        if gz:
            spacing = _spacing(raw)
            self._limit, self._gz = min(max(_ALWAYS, _MOST * raw.size), _TOO_MANY * spacing), _indexed(raw, spacing)
        self._what = "compressed tar" if gz else "tar"

    def members(self) -> Iterator[Member]:
        try:
            # Mode "r|" reads from front to back, which is by far the fastest way through gzip.
            mode, size = ("r|", _CHUNK) if self._gz else ("r:", _BLOCK * 20)
            file = self._gz or self._raw.stream()
            opened: Any = tarfile.TarFile.open
            with opened(fileobj=file, mode=mode, bufsize=size, encoding="utf-8", tarinfo=_Info) as tar:
                while (info := tar.next()) is not None:
                    tar.members = []  # tarfile would keep them all
                    if info.offset_data + (0 if info.issparse() else info.size) > self._limit:
                        raise self._too_large(info)
                    yield self._member(info)
                end = tar.offset
            self._check_end(end)
        except RecursionError:  # tarfile calls itself for each header that describes the next one
            raise self._damaged("headers that describe one another without end") from None
        except (tarfile.TarError, OSError, ValueError, EOFError, OverflowError) as error:
            raise self._damaged(str(error)) from None

    def content(self, member: Member) -> bytes:
        try:
            data: bytes = (self._gz or self._raw).pread(member.size, member.offset)
        except ValueError as error:  # as indexed_gzip calls some of its errors
            raise OSError(str(error)) from None
        if len(data) != member.size:
            raise OSError("the archive ends within it")
        return data

    def _member(self, info: tarfile.TarInfo) -> Member:
        kind, target = Kind.OTHER, ""
        if info.isdir():
            kind = Kind.FOLDER
        elif info.issym():
            kind, target = Kind.LINK, posixpath.join(posixpath.dirname(info.name), info.linkname)
        elif info.islnk():
            kind, target = Kind.SAME, info.linkname
        elif info.isreg():
            kind = Kind.FILE
        problem = "stored with holes (a sparse file); pack it without" if info.issparse() else ""
        return Member(info.name, kind, info.size, f"{info.mtime} {self._version}", info.offset_data, target, problem)

    def _check_end(self, end: int) -> None:
        """Looks behind the last member. tarfile ends without a word at what is no header.

        Raises:
            Damaged: something else than the mark of the end is there.
        """
        after = (self._gz or self._raw).pread(64 * 1024, end)
        if not after and self._gz:  # a cut in compressed data leaves whole members, and loses the rest without a word
            raise self._damaged("no mark at its end")
        if not after:
            self.notes.append("it has no mark at its end, so it may be incomplete")
        elif after[:_BLOCK].strip(b"\0"):
            raise self._damaged(f"no header at byte {end:,}")
        elif after.strip(b"\0"):
            raise Damaged("holds more behind its end, as archives that were joined do; unpack it and pack it again")

    def _too_large(self, info: tarfile.TarInfo) -> Damaged:
        if self._gz:
            return Damaged(f"unpacks to more than {self._limit:,} bytes, far more than it seems, as a bomb does")
        return self._damaged(f"it ends within {info.name!r}")

    def _damaged(self, reason: str) -> Damaged:
        return Damaged(f"is a damaged or truncated {self._what} archive ({reason}); copy or download it again")


class _Info(tarfile.TarInfo):
    """A header that refuses to be huge, since tarfile would read it into memory at once."""

    def _proc_member(self, tar: Any) -> Any:
        if self.type in _WITH_TEXT and self.size > _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        return super()._proc_member(tar)  # type: ignore[misc]


def _spacing(raw: Raw) -> int:
    """Returns the bytes between two points of an index, of the unpacked size that the first bytes let one expect."""
    head, ratio, decompressor = raw.pread(_SAMPLE, 0), 1.0, zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        unpacked = len(decompressor.decompress(head, 16 * _SAMPLE))
        ratio = unpacked / (len(head) - len(decompressor.unconsumed_tail))
    except zlib.error:
        pass  # the listing will name it
    return max(_NEAREST, int(raw.size * ratio / _POINTS))


def _indexed(raw: Raw, spacing: int) -> Any:
    from indexed_gzip import IndexedGzipFile

    # A larger buffer would be filled at every jump.
    return IndexedGzipFile(fileobj=raw.stream(), spacing=spacing, buffer_size=1 << 14, readbuf_size=1 << 18)
