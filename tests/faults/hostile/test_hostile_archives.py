"""Archives that were made to do harm: listed and read within themselves, or refused, in bounded time and memory."""

import io
import random
import stat
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import confined
import mutants
import pytest
from confined import REFUSED, USED
from hostile_sets import packed

from components.base.errors import ConfigError
from components.data import storage
from components.ingest.workers import processes

MANY = 6_000
FEW = 31  # of so many mutations one is also tried with `make test`; it shares no factor with the number of seeds
FILES = {"cat/1.png": bytes(range(256)), "cat/a b/ü.png": b"three" * 1000, "dog/1.png": b"", "top.txt": b"x"}
SECRET = b"secret"


@pytest.fixture(scope="module", autouse=True)
def _released() -> object:
    yield
    processes.release()


def tar(files: Mapping[str, bytes], mode: str = "w", form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=form) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("dog/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "../cat/1.png"
        archive.addfile(link)
    return out.getvalue()


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, target: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, target
    return info.tobuf(tarfile.GNU_FORMAT)


def long_names(count: int, kind: bytes) -> bytes:
    """Headers that each give the next one its name or its records."""
    content = b"7 a=b\n\n" if kind == tarfile.XHDTYPE else b"name"
    one = header("x", len(content), kind) + content.ljust(512, b"\0")
    return one * count + header("1.png") + bytes(1024)


def deep_names(count: int, depth: int) -> dict[str, bytes]:
    return {f"{i}/" + "a/" * depth + "1.png": b"" for i in range(count)}


def zip_link(target: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("cat/1.png")
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, target)
    return out.getvalue()


def tar_link(kind: bytes, target: str) -> bytes:
    return header("cat/1.png", kind=kind, target=target) + bytes(1024)


def overlapping(count: int) -> bytes:
    """A directory of so many entries, which all stand for one content (https://www.bamsoftware.com/hacks/zipbomb)."""
    data = packed({"0.png": bytes(10 << 20)})
    at = data.index(b"PK\1\2")
    entry, end = data[at : data.index(b"PK\5\6")], bytearray(data[data.index(b"PK\5\6") :])
    end[8:16] = struct.pack("<HHI", count, count, len(entry) * count)
    return data[:at] + entry * count + bytes(end)


def quoted_size(size: int) -> bytes:
    """A ZIP whose directory says that its file has another size."""
    data = bytearray(packed({"1.png": bytes(1000)}))
    at = data.index(b"PK\1\2")
    data[at + 24 : at + 28] = struct.pack("<I", size)
    return bytes(data)


def sparse() -> bytes:
    """A file with holes of 8 GB (GNU's format)."""
    block = bytearray(header("1.png", 512, tarfile.GNUTYPE_SPARSE))
    block[386:398], block[398:410] = b"00000000000\0", b"00000001000\0"
    block[483:495] = b"77777777777\0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(512) + bytes(1024)


OUT = "its name leads out of the archive"
LONG = "its name is longer than"
LINK = "leads out of data.root"
# (ending, content, what is said of the files; None: the archive as a whole is refused).
CASES: dict[str, tuple[str, Callable[[], bytes], str | None]] = {
    "ZIP: a name that leads out": (".zip", lambda: packed({"../evil.png": SECRET}), OUT),
    "ZIP: an absolute name": (".zip", lambda: packed({"/etc/evil.png": SECRET}), OUT),
    "ZIP: a name of Windows": (".zip", lambda: packed({"C:\\evil.png": SECRET, "..\\..\\x.png": SECRET}), OUT),
    "ZIP: a link that leads out": (".zip", lambda: zip_link("../../etc/passwd"), LINK),
    "ZIP: an absolute link": (".zip", lambda: zip_link("/etc/passwd"), LINK),
    "ZIP: a link to itself": (".zip", lambda: zip_link("1.png"), "a link to itself"),
    "ZIP: a name of 32,000 folders": (".zip", lambda: packed({"a/" * 32_000 + "1.png": SECRET}), LONG),
    "ZIP: 300 names of 20,000 folders": (".zip", lambda: packed(deep_names(300, 20_000)), LONG),
    "ZIP: NUL in a name": (".zip", lambda: packed({"aXb.png": SECRET}).replace(b"aXb", b"a\0b"), ""),
    "ZIP: 20,000 files that share their bytes": (".zip", lambda: overlapping(20_000), "shares bytes"),
    "ZIP: a size that cannot be": (".zip", lambda: quoted_size(4_000_000_000), "said to hold"),
    "ZIP: another size than it has": (".zip", lambda: quoted_size(999), "is not the one"),
    "ZIP: 20,000 files": (".zip", lambda: packed({f"{i}.png": b"" for i in range(20_000)}, zipfile.ZIP_STORED), ""),
    "ZIP: in a ZIP": (".zip", lambda: packed({"inner.zip": packed({"1.png": bytes(50 << 20)})}), ""),
    "tar: a name that leads out": (".tar", lambda: tar({"../evil.png": SECRET}), OUT),
    "tar: an absolute name": (".tar", lambda: header("/etc/evil.png") + bytes(1024), OUT),
    "tar: a link that leads out": (".tar", lambda: tar_link(tarfile.SYMTYPE, "../../etc/passwd"), LINK),
    "tar: an absolute link": (".tar", lambda: tar_link(tarfile.SYMTYPE, "/etc/passwd"), LINK),
    "tar: a hard link that leads out": (".tar", lambda: tar_link(tarfile.LNKTYPE, "../../etc/passwd"), LINK),
    "tar: an absolute hard link": (".tar", lambda: tar_link(tarfile.LNKTYPE, "/etc/passwd"), LINK),
    "tar: a link to itself": (".tar", lambda: tar_link(tarfile.LNKTYPE, "cat/1.png"), "a link to itself"),
    "tar: a device": (".tar", lambda: tar_link(tarfile.CHRTYPE, ""), "not a regular file"),
    "tar: a name of 30,000 folders": (".tar", lambda: tar({"a/" * 30_000 + "1.png": SECRET}), LONG),
    "tar: 3,000 long names for one file": (".tar", lambda: long_names(3000, tarfile.GNUTYPE_LONGNAME), None),
    "tar: 3,000 headers for one file": (".tar", lambda: long_names(3000, tarfile.XHDTYPE), None),
    "tar: a size below 0": (".tar", lambda: header("1.png", 0).replace(b"00000000000", b"-0000000001", 1), None),
    "tar: holes of 8 GB": (".tar", sparse, "sparse"),
    "tar.gz: 3,000 deep names": (".tar.gz", lambda: tar(deep_names(3_000, 60), "w:gz"), ""),
    "tar.gz: 128 MB of zero bytes": (".tar.gz", lambda: tar({"1.png": bytes(128 << 20)}, "w:gz"), ""),
    "tar.gz: 300 names of 20,000 folders": (".tar.gz", lambda: tar(deep_names(300, 20_000), "w:gz"), LONG),
}


def read(ending: str, content: bytes) -> tuple[dict[str, str], str]:
    """The problem of each file of an archive, or the sentence by which it is refused as a whole."""
    problems = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / f"data{ending}"
        root.write_bytes(content)
        try:
            found = list(storage.files(str(root)))
        except ConfigError as error:
            return {}, confined.sentence(error, str(root), most=2000)
        for file in found:
            problems[file.path] = file.problem
            if not file.problem and file.size < 1 << 28:
                try:
                    data = storage.read(str(root), file.path)
                except OSError as error:
                    problems[file.path] = str(error.strerror or error)
                else:
                    assert len(data) == file.size
        assert sorted(p.name for p in Path(folder).iterdir()) == [root.name], "something was unpacked"
    return problems, ""


def case(number: int) -> int:
    ending, make, expected = CASES[list(CASES)[number]]
    problems, refused = read(ending, make())
    if expected is None:
        assert refused, problems
        return REFUSED
    assert not refused, refused
    if expected:
        bad = {path: problem for path, problem in problems.items() if problem}
        assert bad, list(problems)[:5]
        assert any(expected in problem for problem in bad.values()), list(bad.items())[:3]
        assert all(len(path) <= 4096 for path in problems)
    return USED


SEEDS = (
    (".zip", packed(FILES)),
    (".zip", packed(FILES, zipfile.ZIP_STORED)),
    (".tar", tar(FILES)),
    (".tar", tar({**FILES, "long" * 60: b"1"}, form=tarfile.GNU_FORMAT)),
    (".tar.gz", tar(FILES, "w:gz")),
)


def warm() -> object:
    return read(*SEEDS[0])


def mutation(number: int) -> int:
    (ending, seed), chance = SEEDS[number % len(SEEDS)], random.Random(number)
    data = bytearray(seed)
    for _ in range(chance.choice((1, 1, 2, 6))):
        kind = chance.choice(
            (mutants._bits, mutants._byte, mutants._cut, mutants._tear, mutants._repeat, mutants._number)
        )
        # Most of an archive are contents and padding, which say nothing of how it is read.
        kind(data, chance)
        data = data or bytearray(b"P")
    if ending == ".tar" and chance.random() < 0.7:
        _seal(data)
    _, refused = read(ending, bytes(data))
    return REFUSED if refused else USED


def _seal(data: bytearray) -> None:
    """Makes the checksums of headers right again, as somebody would who changed them on purpose."""
    for at in range(0, len(data) - 511, 512):
        if data[at + 257 : at + 262] == b"ustar":
            data[at + 148 : at + 156] = b" " * 8
            data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])


def check(outcome: confined.Outcome, names: list[str]) -> None:
    assert not outcome.crashed, {names[i % len(names)]: reason for i, reason in outcome.crashed.items()}
    assert not outcome.hung, [names[i % len(names)] for i in outcome.hung]
    assert not outcome.escaped, {(i, names[i % len(names)]): reason for i, reason in outcome.escaped.items()}


def test_archives_that_were_made_to_do_harm_are_read_within_themselves_or_refused() -> None:
    outcome = confined.run(case, len(CASES), warm, memory=2 << 30, seconds=60)
    check(outcome, list(CASES))
    assert outcome.slowest[0] < 30, (list(CASES)[outcome.slowest[1]], outcome.slowest)


def test_mutations_of_archives_are_read_or_refused() -> None:
    outcome = confined.run(mutation, MANY, warm, step=FEW)
    check(outcome, [ending for ending, _ in SEEDS])
    assert min(outcome.counts[USED], outcome.counts[REFUSED]) > MANY // FEW // 10


@pytest.mark.slow
def test_six_thousand_mutations_of_archives_are_read_or_refused(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = confined.run(mutation, MANY, warm)
    with capsys.disabled():
        command = "test_hostile_archives.py -k six_thousand"
        confined.add_to_table("mutated archives", outcome, outcome.used, command)
    check(outcome, [ending for ending, _ in SEEDS])
