"""A folder per label, with or without split folders above: what is found, and what is refused in which words."""

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from components.base.errors import ConfigError
from components.data import storage
from components.data.dataset import Dataset, LayoutError
from components.ingest.layouts import folders

WriteFiles = Callable[..., Path]
SHARES = {"train": 0.8, "eval": 0.1, "test": 0.1}
NOT_ON_MACOS = pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no such names")
NFC, NFD = "caf\u00e9", "cafe\u0301"


def read(root: object, names: list[str] | None = None) -> Dataset:
    return folders.read(str(root), SHARES, names)


def rows(dataset: Dataset) -> list[tuple[str, str, str | None]]:
    return [(r.path, r.labels[0], r.split) for r in dataset.records]


@pytest.fixture
def root(tmp_path: Path, write_files: WriteFiles) -> Path:
    return write_files(tmp_path / "data", {"cat/2.png": b"two", "cat/1.png": b"one", "dog/a/b/1.png": b"three"})


def test_the_top_folder_is_the_label(root: Path) -> None:
    dataset = read(root)

    assert dataset.labels == ("cat", "dog")
    assert rows(dataset) == [("cat/1.png", "cat", None), ("cat/2.png", "cat", None), ("dog/a/b/1.png", "dog", None)]
    assert [r.size for r in dataset.records] == [3, 3, 5]
    assert dataset.fractions == SHARES
    assert (dataset.rejected, dataset.ignored) == ((), ())


def test_files_beside_the_label_folders_are_ignored_by_name(root: Path) -> None:
    (root / "LICENSE").write_text("")
    assert read(root).ignored == ("LICENSE",)
    assert len(read(root).records) == 3


def test_an_empty_folder_becomes_a_label_without_images(root: Path) -> None:
    (root / "ant").mkdir()
    assert read(root).labels == ("ant", "cat", "dog")


def test_the_order_of_the_listing_does_not_matter(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read(root)
    listed = list(storage.files(str(root)))
    for seed in range(5):
        shuffled = random.Random(seed).sample(listed, len(listed))
        monkeypatch.setattr(storage, "files", lambda _, shuffled=shuffled: iter(shuffled))
        assert read(root) == before


@pytest.mark.parametrize("evaluation", ["eval", "val", "valid", "validation", "dev", "Val"])
def test_split_folders_decide_under_any_of_their_names(
    tmp_path: Path, write_files: WriteFiles, evaluation: str
) -> None:
    files = {f"{split}/{label}/1.png": b"" for split in ("train", evaluation, "test") for label in ("cat", "dog")}
    dataset = read(write_files(tmp_path, files))

    assert dataset.labels == ("cat", "dog")
    assert {(r.path.split("/")[0], r.split) for r in dataset.records} == {
        ("train", "train"),
        (evaluation, "eval"),
        ("test", "test"),
    }


@pytest.mark.parametrize(
    ("given", "fractions"),
    [
        (["train", "val"], {"train": 0.8 / 0.9, "test": 0.1 / 0.9}),
        (["train", "test"], {"train": 0.8 / 0.9, "eval": 0.1 / 0.9}),
        (["train"], SHARES),
        (["train", "val", "test"], {"train": 1}),
    ],
)
def test_a_split_without_a_folder_is_cut_from_train(
    tmp_path: Path, write_files: WriteFiles, given: list[str], fractions: dict[str, float]
) -> None:
    dataset = read(write_files(tmp_path, {f"{split}/cat/1.png": b"" for split in given}))
    fixed = {r.path.split("/")[0]: r.split for r in dataset.records}

    assert dataset.fractions == pytest.approx(fractions)
    assert fixed.pop("train") == ("train" if len(given) == 3 else None)
    assert fixed == {s: {"val": "eval", "test": "test"}[s] for s in given[1:]}


def test_folders_called_test_and_eval_are_labels_where_train_is_not_among_them(
    tmp_path: Path, write_files: WriteFiles
) -> None:
    dataset = read(write_files(tmp_path, {"test/1.png": b"", "eval/1.png": b""}))
    assert dataset.labels == ("eval", "test")
    assert {r.split for r in dataset.records} == {None}


def test_a_label_may_be_missing_from_a_split_folder(tmp_path: Path, write_files: WriteFiles) -> None:
    dataset = read(write_files(tmp_path, {"train/cat/1.png": b"", "train/dog/1.png": b"", "test/cat/2.png": b""}))
    assert dataset.labels == ("cat", "dog")
    assert rows(dataset)[0] == ("test/cat/2.png", "cat", "test")


def test_split_folders_beside_label_folders_are_refused(tmp_path: Path, write_files: WriteFiles) -> None:
    write_files(tmp_path, {"train/cat/1.png": b"", "test/cat/1.png": b"", "dog/1.png": b""})
    with pytest.raises(LayoutError, match=r"has the split folders test, train beside the label folder 'dog'") as error:
        read(tmp_path)
    assert error.value.exit_code == 3


@pytest.mark.parametrize(
    ("files", "hint"), [({}, ";"), ({"1.png": b"", "2.png": b""}, r"\(but 2 files directly in it\)")]
)
def test_a_root_without_label_folders_is_refused(
    tmp_path: Path, write_files: WriteFiles, files: dict[str, bytes], hint: str
) -> None:
    with pytest.raises(LayoutError, match=f"{tmp_path} holds no label folder.*{hint}"):
        read(write_files(tmp_path, files))


def test_a_root_that_does_not_exist_is_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"data\.root: {tmp_path}/none does not exist"):
        read(tmp_path / "none")


@pytest.mark.parametrize(
    "name", ["polar bear", " x ", "-rf", "--help", "日本語", "it's", "a=b", "f[x]", "(x)", "*", "%s"]
)
def test_odd_names_are_labels(tmp_path: Path, write_files: WriteFiles, name: str) -> None:
    dataset = read(write_files(tmp_path, {f"{name}/1.png": b"", "other/1.png": b""}))
    assert set(dataset.labels) == {name.strip(), "other"}
    assert (f"{name}/1.png", name.strip(), None) in rows(dataset)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"a\nb", r"a\\nb"),
        (b"a\x1b[2Jb", r"a\\x1b\[2Jb"),
        pytest.param(b"\xff\xfe", r"\\udcff\\udcfe", marks=NOT_ON_MACOS),
        (b" ", "' '"),
        ("\u202ecat".encode(), r"\\u202ecat"),  # right-to-left override: would be shown as tac
    ],
)
def test_names_that_cannot_be_shown_are_refused_in_plain_ascii(tmp_path: Path, name: bytes, shown: str) -> None:
    (tmp_path / "cat").mkdir()
    os.mkdir(os.fsencode(tmp_path) + b"/" + name)
    with pytest.raises(LayoutError, match=f"{shown}.* cannot be a label name") as error:
        read(tmp_path)
    assert str(error.value).isascii()


def test_composed_and_decomposed_names_are_one_label(tmp_path: Path, write_files: WriteFiles) -> None:
    root = write_files(tmp_path, {f"{NFC}/1.png": b"", f"{NFD}/2.png": b""})
    if len(list(root.iterdir())) == 1:
        pytest.skip("this file system composes names itself")
    dataset = read(root)
    assert dataset.labels == (NFC,)
    assert [r.labels for r in dataset.records] == [(NFC,)] * 2


def test_configured_names_may_be_decomposed_too(tmp_path: Path, write_files: WriteFiles) -> None:
    root = write_files(tmp_path, {f"{NFC}/1.png": b"", "tea/2.png": b""})
    assert read(root, ["tea", NFD]).labels == ("tea", NFC)


def test_configured_names_give_the_order_and_may_have_no_images(root: Path) -> None:
    assert read(root, ["dog", "cat", "eel"]).labels == ("dog", "cat", "eel")


def test_a_folder_that_is_not_among_the_configured_names_is_refused(root: Path) -> None:
    with pytest.raises(LayoutError, match=r"found the label 'dog', but labels\.names lists only 'cat', 'eel'"):
        read(root, ["cat", "eel"])
    with pytest.raises(LayoutError, match="found the labels 'cat', 'dog'"):
        read(root, ["ant", "eel"])


def test_files_that_must_not_be_read_are_rejected_with_the_reason(root: Path) -> None:
    (root / "cat" / "out.png").symlink_to("/etc/hostname")
    os.mkfifo(root / "dog" / "pipe.png")
    (root / "bird").symlink_to("/usr")
    dataset = read(root)
    assert dict(dataset.rejected) == {
        "bird": "a link that leads out of data.root; copy the file instead",
        "cat/out.png": "a link that leads out of data.root; copy the file instead",
        "dog/pipe.png": "not a regular file",
    }
    assert len(dataset.records) == 3


def test_a_url_reads_like_a_folder(root: Path) -> None:
    store = fsspec.filesystem("memory")
    store.put(str(root), "/layout", recursive=True)
    remote = folders.read("memory://layout", SHARES)
    store.rm("/layout", recursive=True)

    assert rows(remote) == rows(read(root)) == rows(folders.read(f"file://{root}", SHARES))
    assert remote.labels == ("cat", "dog")


def change_time(root: Path) -> None:
    os.utime(root / "cat" / "1.png", ns=(0, 1))


CHANGES: dict[str, Callable[[Path], object]] = {
    "more": lambda root: (root / "cat" / "3.png").write_bytes(b""),
    "fewer": lambda root: (root / "cat" / "1.png").unlink(),
    "renamed": lambda root: (root / "cat" / "1.png").rename(root / "cat" / "0.png"),
    "labelled anew": lambda root: (root / "cat" / "1.png").rename(root / "dog" / "1.png"),
    "other content": lambda root: (root / "cat" / "1.png").write_bytes(b"other"),
    "another time": change_time,
    "another label": lambda root: (root / "eel").mkdir(),
    "a link out": lambda root: (root / "cat" / "out").symlink_to("/etc"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_changes_the_fingerprint(root: Path, change: Callable[[Path], object]) -> None:
    before = read(root).fingerprint()
    assert read(root).fingerprint() == before
    change(root)
    assert read(root).fingerprint() != before


def test_labels_and_shares_change_the_fingerprint(root: Path) -> None:
    variants = [read(root), read(root, ["dog", "cat"]), folders.read(str(root), SHARES | {"train": 0.7, "eval": 0.2})]
    assert len({dataset.fingerprint() for dataset in variants}) == 3


@NOT_ON_MACOS
def test_names_that_are_not_utf8_have_a_fingerprint(root: Path) -> None:
    before = read(root).fingerprint()
    (root / "cat" / os.fsdecode(b"\xff.png")).write_bytes(b"")
    assert read(root).fingerprint() != before
