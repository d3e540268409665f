"""Archives as roots: the same files as in a folder, and nothing that a hostile or broken archive could do."""

import gzip
import io
import os
import stat
import struct
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import fsspec
import pytest

from components.base.errors import ConfigError
from components.data import storage

FILES = {
    "clothes/shirt/1.png": b"one",
    "clothes/shirt/a b/ü.png": b"three" * 1000,
    "clothes/hat/1.png": b"",
    "top": b"x",
}
Pack = Callable[[Path, Mapping[str, bytes]], Path]


def pack_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path.with_suffix(".zip")


def pack_tar(path: Path, files: Mapping[str, bytes], mode: str = "w", ending: str = ".tar") -> Path:
    with tarfile.open(path.with_suffix(ending), mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path.with_suffix(ending)


def pack_tar_gz(path: Path, files: Mapping[str, bytes]) -> Path:
    return pack_tar(path, files, "w:gz", ".tar.gz")


def pack_tgz(path: Path, files: Mapping[str, bytes]) -> Path:
    return pack_tar(path, files, "w:gz", ".TGZ")


PACKERS = pytest.mark.parametrize("pack", [pack_zip, pack_tar, pack_tar_gz, pack_tgz])


def tar_of(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, size
    return info


def problems(root: object) -> dict[str, str]:
    return {file.path: file.problem for file in storage.files(str(root))}


def sizes(root: object) -> dict[str, int]:
    return {file.path: file.size for file in storage.files(str(root))}


@PACKERS
def test_an_archive_lists_and_reads_like_a_folder(tmp_path: Path, pack: Pack) -> None:
    root = pack(tmp_path / "data", FILES)
    assert sizes(root) == {name: len(content) for name, content in FILES.items()}
    assert set(problems(root).values()) == {""}
    assert storage.folders(str(root)) == ["clothes"]
    assert {name: storage.read(str(root), name) for name in FILES} == FILES
    assert sorted(os.listdir(tmp_path)) == [root.name]  # nothing is unpacked


@PACKERS
def test_a_root_may_lie_in_an_archive(tmp_path: Path, pack: Pack) -> None:
    root = f"{pack(tmp_path / 'data', FILES)}/clothes"
    assert sizes(root) == {"shirt/1.png": 3, "shirt/a b/ü.png": 5000, "hat/1.png": 0}
    assert storage.folders(root) == ["hat", "shirt"]
    assert storage.folders(f"{root}/shirt") == ["a b"]
    assert storage.read(root, "shirt/1.png") == b"one"


@PACKERS
def test_an_archive_in_a_store_is_read_by_ranges(tmp_path: Path, pack: Pack) -> None:
    packed, store = pack(tmp_path / "data", FILES), fsspec.filesystem("memory")
    store.pipe_file(f"/bucket/{packed.name}", packed.read_bytes())
    root = f"memory://bucket/{packed.name}/clothes/shirt"
    assert sizes(root) == {"1.png": 3, "a b/ü.png": 5000}
    assert storage.folders(root) == ["a b"]
    assert storage.read(root, "a b/ü.png") == b"three" * 1000
    store.rm("/bucket", recursive=True)


def test_a_folder_may_be_called_like_an_archive(tmp_path: Path, write_files: Callable[..., Path]) -> None:
    write_files(tmp_path, {"data.zip/cat/1.png": b"one"})
    assert sizes(tmp_path / "data.zip") == {"cat/1.png": 3}
    assert storage.folders(f"{tmp_path}/data.zip") == ["cat"]
    assert storage.read(f"{tmp_path}/data.zip", "cat/1.png") == b"one"


@pytest.mark.parametrize("ending", [".zip", ".tar"])
def test_the_content_tells_the_format_not_the_name(tmp_path: Path, ending: str) -> None:
    packed = pack_tar_gz(tmp_path / "data", {"cat/1.png": b"one"})
    assert sizes(packed.rename(tmp_path / f"other{ending}")) == {"cat/1.png": 3}


def test_empty_folders_are_folders(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.mkdir("ant/")
        archive.writestr("cat/1.png", b"")
    tar_of(tmp_path / "a.tar", entry("./", tarfile.DIRTYPE), entry("./ant", tarfile.DIRTYPE), entry("./cat/1.png"))
    for root in (f"{tmp_path}/a.zip", f"{tmp_path}/a.tar"):
        assert storage.folders(root) == ["ant", "cat"]
        assert problems(root) == {"cat/1.png": ""}


@PACKERS
def test_litter_in_archives_is_left_aside(tmp_path: Path, pack: Pack) -> None:
    root = pack(tmp_path / "data", {"__MACOSX/cat/._1.png": b"", "cat/1.png": b"", "cat/.DS_Store": b""})
    with storage.watch() as left:
        assert problems(root) == {"cat/1.png": ""}
    assert left.hidden == {f"{root}/__MACOSX", f"{root}/cat/.DS_Store"}
    assert storage.folders(str(root)) == ["cat"]


def test_the_version_changes_with_the_content(tmp_path: Path) -> None:
    for pack in (pack_zip, pack_tar, pack_tar_gz):
        [before] = storage.files(str(pack(tmp_path / "data", {"1.png": b"one"})))
        [after] = storage.files(str(pack(tmp_path / "data", {"1.png": b"two"})))
        assert before.version != after.version
        assert storage.read(str(pack(tmp_path / "data", {"1.png": b"new"})), "1.png") == b"new"


def test_large_archives_have_wider_fields(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, archive.open("1.png", "w", force_zip64=True) as file:
        file.write(b"one")
    assert sizes(tmp_path / "a.zip") == {"1.png": 3}
    assert storage.read(f"{tmp_path}/a.zip", "1.png") == b"one"


def test_a_program_may_stand_before_a_zip_archive(tmp_path: Path) -> None:
    """As in archives that unpack themselves."""
    path = pack_zip(tmp_path / "a", FILES)
    path.write_bytes(b"#!program" + path.read_bytes())
    assert {name: storage.read(str(path), name) for name in sizes(path)} == FILES


def test_gzip_may_come_in_pieces(tmp_path: Path) -> None:
    """As programs that compress in parallel write it."""
    plain = pack_tar(tmp_path / "a", FILES).read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(plain[:700]) + gzip.compress(plain[700:]))
    assert {name: storage.read(f"{tmp_path}/a.tar.gz", name) for name in sizes(tmp_path / "a.tar.gz")} == FILES


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_names_in_tar_archives_may_be_long_or_not_utf8(tmp_path: Path, form: int) -> None:
    names = ["a" * 90 + "/" + "é" * 40 + ".png", "\udcff.png", "cat/" + "b" * 50]
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    assert list(sizes(tmp_path / "a.tar")) == names


def test_a_place_in_an_archive_is_skipped(tmp_path: Path) -> None:
    root = str(pack_zip(tmp_path / "a", {"cat/1.png": b"", "others/1.png": b""}))
    with storage.watch([f"{root}/others"]) as left:
        assert problems(root) == {"cat/1.png": ""}
        assert storage.folders(root) == ["cat"]
    assert left.met == {f"{root}/others"}


# Hostile archives.

OUT = "its name leads out of the archive; pack it again"


@PACKERS
@pytest.mark.parametrize("name", ["../1.png", "/etc/1.png", "cat/../../1.png", "C:\\1.png", "C:/1.png"])
def test_a_name_that_leads_out_is_not_read(tmp_path: Path, pack: Pack, name: str) -> None:
    root = pack(tmp_path / "data", {name: b"", "dog/1.png": b""})
    assert problems(root) == {name: OUT, "dog/1.png": ""}
    with pytest.raises(OSError, match="not in"):
        storage.read(str(root), name)


LEAVES = "a link that leads out of data.root; copy the file instead"
LINKS = {
    "../other/1.png": LEAVES,
    "../../1.png": LEAVES,
    "/etc/passwd": LEAVES,
    "b.png": "",
    "..": LEAVES,
    ".": LEAVES,
    "deep": "a link to a folder; copy the folder instead",
    "none.png": "cannot be read: a link to cat/none.png, which is not in the archive",
    "a.png": "cannot be read: a link to itself",
}


@pytest.mark.parametrize(("target", "problem"), LINKS.items())
def test_links_reach_files_of_the_root_only(tmp_path: Path, target: str, problem: str) -> None:
    """As in a folder. Here, the root is the folder `cat`."""
    link = entry("cat/a.png", tarfile.SYMTYPE, target)
    tar_of(tmp_path / "a.tar", link, entry("cat/b.png", size=5), entry("cat/deep/", tarfile.DIRTYPE))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        info = zipfile.ZipInfo("cat/a.png")
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, target)
        archive.writestr("cat/b.png", b"xxxxx")
        archive.mkdir("cat/deep")
    for root in (f"{tmp_path}/a.tar/cat", f"{tmp_path}/a.zip/cat"):
        assert problems(root) == {"a.png": problem, "b.png": ""}
        if not problem:
            assert (sizes(root)["a.png"], storage.read(root, "a.png")) == (5, b"xxxxx")
        else:
            with pytest.raises(OSError, match=problem.partition(" ")[0]):
                storage.read(root, "a.png")


def test_a_second_name_of_a_file_is_the_file(tmp_path: Path) -> None:
    tar_of(tmp_path / "a.tar", entry("b/1.png", size=5), entry("cat/a.png", tarfile.LNKTYPE, "b/1.png"))
    assert storage.read(f"{tmp_path}/a.tar/cat", "a.png") == b"xxxxx"
    tar_of(tmp_path / "b.tar", entry("cat/a.png", tarfile.LNKTYPE, "../../etc/passwd"))
    assert problems(tmp_path / "b.tar") == {"cat/a.png": LEAVES}


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_and_pipes_are_not_read(tmp_path: Path, kind: bytes) -> None:
    assert problems(tar_of(tmp_path / "a.tar", entry("dev", kind))) == {"dev": "not a regular file"}


def patched(path: Path, field: int, value: int, form: str = "<I", *, local: int | None = None) -> Path:
    """Changes a field of the only entry of a ZIP archive's directory, and of its local header."""
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, data.index(b"PK\1\2") + field, value)
    if local is not None:
        struct.pack_into(form, data, local, value)
    path.write_bytes(data)
    return path


def test_an_encrypted_file_is_named(tmp_path: Path) -> None:
    root = patched(pack_zip(tmp_path / "a", {"1.png": b"one"}), 8, 1, "<H", local=6)
    assert problems(root) == {"1.png": "encrypted; unpack the archive with its password"}


def test_an_unknown_compression_is_named(tmp_path: Path) -> None:
    root = patched(pack_zip(tmp_path / "a", {"1.png": b"one"}), 10, 9, "<H", local=8)
    assert problems(root)["1.png"].startswith("compressed with Deflate64; expected Deflate")


def test_a_file_cannot_hold_more_than_its_stored_bytes_allow(tmp_path: Path) -> None:
    """A declared size beyond 1,032 times the stored bytes is impossible; the plan of shards would follow it."""
    root = patched(pack_zip(tmp_path / "a", {"1.png": b"one"}), 24, 1 << 31, local=22)
    assert problems(root)["1.png"] == "said to hold 2,147,483,648 bytes, which its 5 stored bytes cannot"


def test_more_content_than_declared_is_never_returned(tmp_path: Path) -> None:
    """A bomb: 10 MB of zeros, declared as 100 bytes."""
    root = patched(pack_zip(tmp_path / "a", {"1.png": bytes(10_000_000)}), 24, 100, local=22)
    assert sizes(root) == {"1.png": 100}
    with pytest.raises(OSError, match="checksum"):
        storage.read(str(root), "1.png")


def test_files_that_share_bytes_are_a_bomb(tmp_path: Path) -> None:
    path = pack_zip(tmp_path / "a", {"1.png": b"same", "2.png": b"same"})
    data = bytearray(path.read_bytes())
    second = data.index(b"PK\1\2", data.index(b"PK\1\2") + 1)
    struct.pack_into("<I", data, second + 42, 10)  # its header within the first file's
    path.write_bytes(data)
    assert [("shares bytes" in text) for text in problems(path).values()] == [False, True]


def test_a_compressed_tar_that_holds_far_more_than_it_seems_is_a_bomb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.data.storage import tars

    monkeypatch.setattr(tars, "_ALWAYS", 1 << 20)
    path = pack_tar_gz(tmp_path / "a", {"1.png": bytes(8 << 20)})  # Deflate makes about a thousandth of it
    limit = max(1 << 20, 250 * path.stat().st_size)
    assert limit < 8 << 20
    with pytest.raises(ConfigError, match=rf"a\.tar\.gz unpacks to more than {limit:,} bytes, far more than it seems"):
        problems(path)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_huge_header_is_not_read(tmp_path: Path, mode: str) -> None:
    info = tarfile.TarInfo("1.png")
    info.pax_headers = {"comment": "x" * (2 << 20)}
    with tarfile.open(tmp_path / "a.tar", mode) as archive:  # type: ignore[call-overload]
        archive.addfile(info)
    with pytest.raises(ConfigError, match=r"a header of 2,097,1.. bytes"):
        problems(tmp_path / "a.tar")


# What must be guessed or merged is said.


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_equal_names_the_last_is_used_as_unpacking_does(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("1.png", b"old")
        archive.writestr("1.png", b"new")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for content in (b"old", b"new"):
            info = tarfile.TarInfo("1.png")
            info.size = 3
            archive.addfile(info, io.BytesIO(content))
    for root in (f"{tmp_path}/a.zip", f"{tmp_path}/a.tar"):
        with storage.watch() as left:
            assert len(list(storage.files(root))) == 1
        assert list(left.notes) == [f"{root}: holds one file more than once; the last of each is used: 1.png"]
        assert storage.read(root, "1.png") == b"new"


def zip_named(path: Path, name: bytes) -> Path:
    """An archive whose only name is of these bytes, without a word on their encoding."""
    pack_zip(path, {"x" * len(name): b"one"})
    zipped = path.with_suffix(".zip")
    zipped.write_bytes(zipped.read_bytes().replace(b"x" * len(name), name))
    return zipped


def test_names_in_utf8_need_not_be_said_to_be(tmp_path: Path) -> None:
    root = zip_named(tmp_path / "a", "café/1.png".encode())
    with storage.watch() as left:
        assert sizes(root) == {"café/1.png": 3}
    assert not left.notes
    assert storage.read(str(root), "café/1.png") == b"one"


def test_names_of_an_unknown_encoding_are_said(tmp_path: Path) -> None:
    root = zip_named(tmp_path / "a", "狗/1.png".encode("gbk"))
    with storage.watch() as left:
        [path] = sizes(root)
    assert storage.read(str(root), path) == b"one"
    [note] = left.notes
    assert note.startswith(f"{root}: 1 name in it is not UTF-8 and may be misread")


def test_a_name_that_is_not_the_utf8_it_is_said_to_be_is_named(tmp_path: Path) -> None:
    path = pack_zip(tmp_path / "a", {"é.png": b"one"})
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xff\xff"))
    with pytest.raises(ConfigError, match=r"a\.zip holds the name '.*\.png', which is not UTF-8"):
        problems(path)


def test_a_name_in_utf8_beside_an_old_one_is_taken(tmp_path: Path) -> None:
    """Info-ZIP's extra field 0x7075: version 1, CRC-32 of the other name, name in UTF-8."""
    other = "caf\x82".encode("latin1")  # é in cp437
    info = zipfile.ZipInfo("cafx")
    told = "café".encode()
    info.extra = struct.pack("<2HBI", 0x7075, 5 + len(told), 1, zlib.crc32(other)) + told
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, b"one")
    data = (tmp_path / "a.zip").read_bytes().replace(b"cafx", other)
    (tmp_path / "a.zip").write_bytes(data)
    assert sizes(tmp_path / "a.zip") == {"café": 3}


def test_backslashes_separate_folders_where_nothing_else_does(tmp_path: Path) -> None:
    with storage.watch() as left:
        assert sizes(pack_zip(tmp_path / "a", {"cat\\1.png": b"one"})) == {"cat/1.png": 3}
    assert list(left.notes) == [f"{tmp_path}/a.zip: backslashes in its names separate folders"]


# Broken archives.


def cut(path: Path, keep: int) -> Path:
    path.write_bytes(path.read_bytes()[:keep])
    return path


CONTENT = {f"{i}.png": os.urandom(3000) for i in range(20)}


@pytest.mark.parametrize("pack", [pack_zip, pack_tar, pack_tar_gz])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.85])
def test_a_truncated_archive_is_named(tmp_path: Path, pack: Pack, share: float) -> None:
    path = pack(tmp_path / "data", CONTENT)
    cut(path, int(path.stat().st_size * share))
    with pytest.raises(
        ConfigError, match=rf"^data.root: {path} is a damaged or truncated .* archive .*download"
    ) as error:
        problems(path)
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)


def test_a_tar_archive_without_its_end_mark_says_so(tmp_path: Path) -> None:
    path = pack_tar(tmp_path / "data", {"1.png": b"one"})
    cut(path, 1024)
    with storage.watch() as left:
        assert sizes(path) == {"1.png": 3}
    assert list(left.notes) == [f"{path}: it has no mark at its end, so it may be incomplete"]


def test_joined_tar_archives_are_refused(tmp_path: Path) -> None:
    path = pack_tar(tmp_path / "data", {"1.png": b"one"})
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(ConfigError, match="holds more behind its end"):
        problems(path)


def test_a_damaged_header_in_the_middle_is_no_silent_end(tmp_path: Path) -> None:
    path = pack_tar(tmp_path / "data", {"1.png": b"one", "2.png": b"two"})
    data = bytearray(path.read_bytes())
    data[1024 + 100] = 255  # the second header
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="no header at byte 1,024"):
        problems(path)


def test_a_damaged_content_is_found_by_its_checksum(tmp_path: Path) -> None:
    path = pack_zip(tmp_path / "data", {"1.png": b"one", "2.png": b"two"})
    data = bytearray(path.read_bytes())
    data[36] ^= 1
    path.write_bytes(data)
    with pytest.raises(OSError, match=r"checksum|damaged"):
        storage.read(str(path), "1.png")
    assert storage.read(str(path), "2.png") == b"two"


NOT_READ = {
    "a.tar.bz2": (b"BZh9", "is compressed with bzip2, from which single files cannot be read in place; unpack it, or"),
    "a.tar.xz": (b"\xfd7zXZ\0", "is compressed with xz"),
    "a.tar.zst": (b"\x28\xb5\x2f\xfd", "is compressed with Zstandard"),
    "a.7z": (b"7z\xbc\xaf", "is compressed with 7-Zip"),
    "a.rar": (b"Rar!", "is compressed with RAR"),
    "empty.zip": (b"", "is empty; copy or download it again"),
    "text.zip": (b"hello", "is a damaged or truncated ZIP archive"),
    "text.tar": (b"hello", "is a damaged or truncated tar archive"),
    "text.tar.gz": (gzip.compress(b"hello"), "is a damaged or truncated compressed tar archive"),
}


@pytest.mark.parametrize("name", NOT_READ)
def test_other_archives_are_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    content, message = NOT_READ[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=rf"^data.root: {tmp_path}/{name} {message}"):
        problems(tmp_path / name)


@PACKERS
def test_a_folder_that_is_not_in_the_archive_is_named(tmp_path: Path, pack: Pack) -> None:
    path = pack(tmp_path / "data", FILES)
    with pytest.raises(ConfigError, match=rf"^data.root: {path} holds no folder 'hats'; at its top are clothes$"):
        problems(f"{path}/hats")
    with pytest.raises(ConfigError, match=r"/top is a file in an archive, not a folder$"):
        problems(f"{path}/top")


# Threads and processes.


@pytest.fixture(params=[pack_zip, pack_tar, pack_tar_gz])
def many(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    return str(request.param(tmp_path / "data", CONTENT))


def test_threads_read_at_once(many: str) -> None:
    wrong: list[str] = []

    def work(seed: int) -> None:
        names = sorted(CONTENT, key=lambda name: zlib.crc32(f"{seed}{name}".encode()))
        wrong.extend(name for name in names * 20 if storage.read(many, name) != CONTENT[name])

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_forked_process_opens_the_archive_for_itself(many: str) -> None:
    assert len(list(storage.files(many))) == 20
    child = os.fork()
    if child == 0:
        fine = all(storage.read(many, name) == content for name, content in list(CONTENT.items()) * 20)
        os._exit(0 if fine else 1)
    assert all(storage.read(many, name) == content for name, content in list(CONTENT.items()) * 20)
    assert os.waitpid(child, 0)[1] == 0
