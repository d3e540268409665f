"""ZIP archives. Python's zipfile reads the directory; contents are read here.

zipfile reads contents through one file with one lock, and looks at every local header anew. Here, threads read at once,
and no member can take more memory than the archive declares, which zipfile promises for some compressions only.
"""

from __future__ import annotations

import posixpath
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator

from components.data.storage.member import Damaged, Kind, Member
from components.data.storage.raw import Raw

_HEADER = struct.Struct("<4s5H3I2H")  # signature … length of the name, of the extra field
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UTF8 = 0x800
_MOST = 1032  # bytes that Deflate makes of one
_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
_LONGEST_LINK = 4096
_UNIX = 3


class Zip:
    """A `Format`.

    Args:
        raw: the archive file.
        version: of the archive file. The checksum of a content (CRC-32) is too short to prove it.
    """

    def __init__(self, raw: Raw, version: str) -> None:
        self._raw, self._version = raw, version
        self.notes: list[str] = []

    def members(self) -> Iterator[Member]:
        infos = self._infos()
        slashes = any("/" in info.filename for info in infos)
        guessed = backslashes = end = 0
        for info in sorted(infos, key=lambda i: i.header_offset):
            name, known = _name(info)
            guessed += not known
            if not slashes and "\\" in name:  # some programs on Windows write names so
                name, backslashes = name.replace("\\", "/"), backslashes + 1
            member = self._member(info, name)
            if info.header_offset < end and not member.problem:
                member.problem = "shares bytes with another file of the archive, as in a ZIP bomb; pack it again"
            end = max(end, info.header_offset + _HEADER.size + info.compress_size)
            yield member
        if guessed:
            self.notes.append(
                f"{guessed:,} name{'s' if guessed > 1 else ''} in it {'are' if guessed > 1 else 'is'} not UTF-8 and "
                "may be misread; if labels look wrong, unpack the archive and pack it again"
            )
        if backslashes:
            self.notes.append("backslashes in its names separate folders")

    def content(self, member: Member) -> bytes:
        head = self._raw.pread(_HEADER.size, member.offset)
        if len(head) < _HEADER.size or head[:4] != b"PK\3\4":
            raise OSError("its place in the archive holds something else; the archive is damaged")
        *_, name, extra = _HEADER.unpack(head)
        data = self._raw.pread(member.packed, member.offset + _HEADER.size + name + extra)
        if member.method == zipfile.ZIP_DEFLATED:
            try:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, member.size + 1)
            except zlib.error:
                raise OSError("its compressed content in the archive is damaged") from None
        if len(data) != member.size or zlib.crc32(data) != member.crc:
            raise OSError("its content is not the one that the archive's checksum was made from")
        return data

    def _infos(self) -> list[zipfile.ZipInfo]:
        try:
            return zipfile.ZipFile(self._raw.stream()).infolist()
        except UnicodeDecodeError as error:
            name = error.object.decode("utf-8", "replace")
            raise Damaged(f"holds the name {name!r}, which is not UTF-8, though it says so; pack it again") from None
        except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, EOFError, OverflowError) as error:
            raise Damaged(f"is a damaged or truncated ZIP archive ({error}); copy or download it again") from None

    def _member(self, info: zipfile.ZipInfo, name: str) -> Member:
        mode = info.external_attr >> 16 if info.create_system == _UNIX else 0
        kind = Kind.FILE
        if name.endswith("/") or stat.S_ISDIR(mode):
            kind = Kind.FOLDER
        elif stat.S_ISLNK(mode):
            kind = Kind.LINK
        elif stat.S_IFMT(mode) and not stat.S_ISREG(mode):
            kind = Kind.OTHER
        member = Member(
            name,
            kind,
            info.file_size,
            f"{info.CRC:08x} {self._version}",
            info.header_offset,
            problem=_problem(info) if kind in (Kind.FILE, Kind.LINK) else "",
            packed=info.compress_size,
            method=info.compress_type,
            crc=info.CRC,
        )
        if kind is Kind.LINK and not member.problem:
            self._add_target(member)
        return member

    def _add_target(self, member: Member) -> None:
        """The content of a link is its target."""
        if member.size > _LONGEST_LINK:
            member.problem = "a link with an impossible target"
            return
        try:
            target = self.content(member).decode("utf-8", "surrogateescape")
        except OSError as error:
            member.problem = f"cannot be read: {error}"
        else:
            member.target = posixpath.join(posixpath.dirname(member.name), target)


def _problem(info: zipfile.ZipInfo) -> str:
    """Says why a content must not be read, or returns ""."""
    if info.flag_bits & _ENCRYPTED:
        return "encrypted; unpack the archive with its password"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        method = _METHODS.get(info.compress_type, f"method {info.compress_type}")
        return f"compressed with {method}; expected Deflate, as most programs use, or none: pack the archive again"
    stored = info.compress_type == zipfile.ZIP_STORED
    if (stored and info.compress_size != info.file_size) or info.file_size > _MOST * info.compress_size + 64:
        return f"said to hold {info.file_size:,} bytes, which its {info.compress_size:,} stored bytes cannot"
    if info.compress_size > 2 * info.file_size + (1 << 16):
        return f"said to hold {info.file_size:,} bytes in {info.compress_size:,} stored bytes, which is too many"
    return ""


def _name(info: zipfile.ZipInfo) -> tuple[str, bool]:
    """Returns the name of a member, and whether its encoding is certain. Many programs write UTF-8 but do not say so.

    zipfile takes a name that is not said to be UTF-8 for cp437, as the format demands.
    """
    name = info.filename
    if name.isascii() or info.flag_bits & _UTF8:
        return name, True
    encoded = name.encode("cp437")
    for told in (_unicode_path(info.extra, encoded), encoded):
        try:
            if told:
                return told.decode("utf-8"), True
        except UnicodeDecodeError:
            continue
    return name, False


def _unicode_path(extra: bytes, encoded: bytes) -> bytes:
    """Finds Info-ZIP's extra field with the name in UTF-8, which holds for the encoded name whose CRC it has."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        field, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == 0x7075 and len(field) > 5 and field[0] == 1:
            [crc] = struct.unpack_from("<I", field, 1)
            if crc == zlib.crc32(encoded):
                return field[5:]
    return b""
