"""A later run finds what changed in a data set, whatever sizes and modification times say, and what did not."""

import dataclasses
import hashlib
import os
import shutil
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from components.data import images
from components.data.dataset import Dataset, Record
from components.ingest import ledger, shards
from components.ingest.layouts import folders, masks
from components.ingest.ledger import Ledger, Recognised

Png = Callable[..., bytes]
SHARES = {"train": 0.8, "eval": 0.1, "test": 0.1}
MAX_PIXELS = 10_000
MOST = images.max_file_bytes(MAX_PIXELS)
ONE_TIME = (0, 1_000_000_000)


def listed(root: Path) -> Dataset:
    return folders.read(str(root), SHARES)


def as_later(dataset: Dataset) -> Dataset:
    """The listing as it would be some seconds later, when the last change is long ago."""
    records = [dataclasses.replace(r, version=r.version.replace("~", "")) for r in dataset.records]
    return dataclasses.replace(dataset, records=tuple(records))


def ingest(dataset: Dataset, again: Dataset, folder: Path, key: str) -> Ledger:
    """Reads everything as the stage does, and writes the ledger."""
    job = shards.job(dataset, MAX_PIXELS)
    digests = {item.record.path: item.digest for item in shards.examine(dataset.records, job)}
    folder.mkdir(exist_ok=True)
    ledger.write(str(folder), key, dataset, ((r.path, r.version) for r in again.records), digests.items())
    [written] = ledger.read([str(folder)])
    return written


def recognised(dataset: Dataset, *ledgers: Ledger) -> Recognised:
    return ledger.recognise(dataset, ledgers, most_bytes=MOST)


@pytest.fixture
def root(tmp_path: Path, png: Png) -> Path:
    """Files of one size and with one modification time, as from an archive: 4 cats, 4 dogs."""
    content = [png(seed) for seed in range(8)]
    longest = max(map(len, content))
    for i, data in enumerate(content):
        path = tmp_path / "data" / ("cat" if i < 4 else "dog") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data + bytes(longest - len(data)))
        os.utime(path, ns=ONE_TIME)
    return tmp_path / "data"


@pytest.fixture
def first(root: Path, tmp_path: Path) -> Ledger:
    """Of the first night."""
    dataset = as_later(listed(root))
    return ingest(dataset, dataset, tmp_path / "1", "first key")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the files that `ledger` reads."""
    found: list[str] = []
    whole = ledger.storage.read

    def read(root: str, path: str, *moments: object) -> bytes:
        found.append(path)
        return whole(root, path, *moments)

    monkeypatch.setattr(ledger.storage, "read", read)
    return found


def test_nothing_changed_and_nothing_is_read(root: Path, first: Ledger, reads: list[str]) -> None:
    assert recognised(as_later(listed(root)), first) == Recognised("first key", first.content)
    assert reads == []


def swap(root: Path) -> None:
    (root / "cat" / "0.png").rename(root / "aside")
    (root / "dog" / "4.png").rename(root / "cat" / "0.png")
    (root / "aside").rename(root / "dog" / "4.png")


def swap_folders(root: Path) -> None:
    """No file of them changes, nor does its change time."""
    for i in range(4):
        (root / "dog" / f"{i + 4}.png").rename(root / "dog" / f"{i}.png")


def overwrite(root: Path) -> None:
    path = root / "cat" / "0.png"
    data = path.read_bytes()
    path.write_bytes((root / "dog" / "4.png").read_bytes())
    assert path.stat().st_size == len(data)
    os.utime(path, ns=ONE_TIME)


def replace_by_hard_link(root: Path) -> None:
    (root / "cat" / "0.png").unlink()
    os.link(root / "cat" / "1.png", root / "cat" / "0.png")


CHANGES: dict[str, Callable[[Path], object]] = {
    "two files of different labels swapped by mv": swap,
    "overwritten, with the old time (touch -r)": overwrite,
    "replaced by a hard link to another": replace_by_hard_link,
    "one file less": lambda root: (root / "cat" / "0.png").unlink(),
    "one file more": lambda root: shutil.copy2(root / "cat" / "0.png", root / "cat" / "9.png"),
    "moved to another label": lambda root: (root / "cat" / "0.png").rename(root / "dog" / "0.png"),
    "another size": lambda root: (root / "cat" / "0.png").write_bytes(b""),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("later", [True, False], ids=["settled", "within the same tick"])
def test_every_change_is_found(root: Path, first: Ledger, change: Callable[[Path], object], later: bool) -> None:
    change(root)
    found = recognised(as_later(listed(root)) if later else listed(root), first)
    assert found.content == ""
    assert found.key != "first key"


def test_labels_whose_folders_were_swapped(root: Path, tmp_path: Path) -> None:
    """Renaming a folder changes no file's change time; the paths then lead to other inodes."""
    swap_folders(root)
    dataset = as_later(listed(root))
    before = ingest(dataset, dataset, tmp_path / "1", "first key")
    for old, new in [("cat", "aside"), ("dog", "cat"), ("aside", "dog")]:
        (root / old).rename(root / new)
    assert recognised(as_later(listed(root)), before).content == ""


def test_a_copy_with_other_times_is_the_same_data_after_one_read(
    root: Path, first: Ledger, tmp_path: Path, reads: list[str]
) -> None:
    shutil.copytree(root, tmp_path / "copy")
    copy = as_later(listed(tmp_path / "copy"))
    assert recognised(copy, first) == Recognised("first key", first.content)
    assert sorted(reads) == sorted(record.path for record in copy.records)
    reads.clear()
    assert recognised(copy, first) == Recognised("first key", first.content)  # the proofs are now those of the copy
    assert reads == []


def test_a_copy_with_one_other_byte_is_other_data(root: Path, first: Ledger, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "copy")
    path = tmp_path / "copy" / "dog" / "7.png"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert recognised(as_later(listed(tmp_path / "copy")), first).content == ""


def test_a_file_that_changed_a_moment_ago_is_read(root: Path, first: Ledger, reads: list[str]) -> None:
    assert recognised(listed(root), first).key == "first key"
    assert len(reads) == 8  # all were written within the last two seconds


def test_a_file_that_could_not_be_read_on_the_first_night_is_tried_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, whole = as_later(listed(root)), shards.storage.read

    def broken(place: str, path: str, *moments: object) -> bytes:
        if path == "cat/0.png":
            raise OSError(5, "Input/output error")
        return whole(place, path, *moments)

    monkeypatch.setattr(shards.storage, "read", broken)
    before = ingest(dataset, dataset, tmp_path / "1", "first key")
    assert recognised(dataset, before) == Recognised("first key", before.content)  # still unreadable
    monkeypatch.setattr(shards.storage, "read", whole)
    assert recognised(dataset, before).content == ""


def test_what_changed_while_it_was_read_is_proven_by_its_content_only(root: Path, tmp_path: Path) -> None:
    """Ingest reads the new content, but the listing was of the old file: the next night must look at the new one."""
    old = as_later(listed(root))
    overwrite(root)
    during = ingest(old, as_later(listed(root)), tmp_path / "1", "first key")
    after = as_later(listed(root))
    assert recognised(after, during) == Recognised("first key", during.content)  # what was ingested is still there
    (root / "cat" / "0.png").write_bytes((root / "cat" / "1.png").read_bytes())
    os.utime(root / "cat" / "0.png", ns=ONE_TIME)
    assert recognised(old, during).content == ""  # even with the times of the first listing


def test_data_of_an_earlier_night_are_found_again(root: Path, first: Ledger, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "earlier")
    overwrite(root)
    dataset = as_later(listed(root))
    second = ingest(dataset, dataset, tmp_path / "2", "second key")
    assert recognised(as_later(listed(tmp_path / "earlier")), first, second).key == "first key"
    assert recognised(dataset, first, second).key == "second key"


def test_each_ingest_has_a_key_of_its_own(root: Path, tmp_path: Path) -> None:
    dataset = as_later(listed(root))
    fresh = recognised(dataset).key
    one = ingest(dataset, dataset, tmp_path / "1", fresh)
    forced = ledger.recognise(dataset, [one], most_bytes=MOST, anew=True)
    assert forced.content == ""
    assert forced.key != fresh


def test_of_two_ingests_with_one_key_the_later_counts(root: Path, tmp_path: Path) -> None:
    """The first was killed before its results were recorded."""
    dataset = as_later(listed(root))
    ingest(dataset, dataset, tmp_path / "1", "key")
    overwrite(root)
    ingest(as_later(listed(root)), as_later(listed(root)), tmp_path / "2", "key")
    [last] = ledger.read([str(tmp_path / "1"), str(tmp_path / "2"), str(tmp_path / "none")])
    assert last.folder == str(tmp_path / "2")


@pytest.mark.parametrize("content", ["", "{}\n[]\n", '{"key": "k"'])
def test_a_damaged_ledger_is_none(root: Path, first: Ledger, content: str) -> None:
    Path(first.folder, "ledger.jsonl").write_text(content)
    assert ledger.read([first.folder]) == []


def test_a_ledger_whose_second_line_is_damaged_recognises_nothing(root: Path, first: Ledger) -> None:
    path = Path(first.folder, "ledger.jsonl")
    path.write_text(path.read_text().splitlines()[0] + "\n{\n")
    assert recognised(as_later(listed(root)), first).content == ""


def test_a_changed_mask_is_found(tmp_path: Path, png: Png) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for i in range(3):
            (tmp_path / folder / f"{i}.png").write_bytes(png(i))

    def read(base: Path) -> Dataset:
        return as_later(masks.read(str(base), SHARES, ["a", "b"], images="images", masks="masks"))

    dataset = read(tmp_path)
    contents = dict(ledger.digests(str(tmp_path), dataset.records, MOST))
    (tmp_path / "1").mkdir()
    versions = ((r.path, r.version) for r in dataset.records)
    ledger.write(str(tmp_path / "1"), "key", dataset, versions, ((r.path, d) for r, d in contents.items()))
    ledgers = ledger.read([str(tmp_path / "1")])
    assert recognised(dataset, *ledgers).key == "key"
    status = (tmp_path / "masks" / "0.png").stat()
    swapped = (tmp_path / "masks" / "0.png").read_bytes()[:-1] + b"\x00"
    (tmp_path / "masks" / "0.png").write_bytes(swapped)
    os.utime(tmp_path / "masks" / "0.png", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert recognised(read(tmp_path), *ledgers).content == ""


def test_an_archive_packed_again_is_the_same_data_and_a_swap_in_it_is_not(root: Path, tmp_path: Path) -> None:
    def pack(order: list[int]) -> Dataset:
        with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
            for name, source in zip(range(8), order, strict=True):
                label = "cat" if name < 4 else "dog"
                [path] = root.glob(f"*/{source}.png")
                archive.writestr(zipfile.ZipInfo(f"{label}/{name}.png"), path.read_bytes())
        return as_later(folders.read(str(tmp_path / "data.zip"), SHARES))

    dataset = pack([*range(8)])
    before = ingest(dataset, dataset, tmp_path / "1", "key")
    again = pack([*range(8)])
    assert [r.version for r in again.records] != [r.version for r in dataset.records]
    assert recognised(again, before).key == "key"
    assert recognised(pack([4, 1, 2, 3, 0, 5, 6, 7]), before).content == ""


def test_where_no_ledger_is_kept_unproven_files_are_told_by_their_content(root: Path) -> None:
    whole = ledger.proven(listed(root), MOST).fingerprint()
    assert ledger.proven(listed(root), MOST).fingerprint() == whole
    swap(root)
    assert ledger.proven(listed(root), MOST).fingerprint() != whole


@pytest.mark.parametrize(("seconds", "readers"), [(0.0, 1), (0.004, ledger._READERS)])
def test_files_that_are_waited_for_are_read_in_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, readers: int
) -> None:
    """And a file with many images once, wherever the threads are; from 2 ms for a file on, reading counts as slow."""
    records = []
    for i in range(300):
        (tmp_path / f"{i:03}").write_bytes(b"%d" % i)
        records += [Record(f"{i:03}@0,{x}", (), None, 1, "", tile=(0, x)) for x in range(3)]
    read, names, whole = [], set(), ledger.storage.read

    def slow(root: str, path: str, *moments: object) -> bytes:
        read.append(path)
        names.add(threading.get_ident())
        time.sleep(seconds)
        return whole(root, path, *moments)

    monkeypatch.setattr(ledger.storage, "read", slow)
    found = list(ledger.digests(str(tmp_path), records, MOST))
    assert [(record, digest) for record, digest in found] == [
        (record, hashlib.sha256(b"%d" % (number // 3)).hexdigest()) for number, record in enumerate(records)
    ]
    assert len(read) == len(set(read)) == 300
    assert (len(names) > 1) == (readers > 1)
    assert len(names) <= readers + 1  # and the thread that reads the first ones
