"""Tables as people write them, right and wrong."""

import json
import os
import re
import tempfile
import unicodedata
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import SPLIT, documented, tree

from components.base.errors import ConfigError
from components.data import storage
from components.data.dataset import Dataset, LayoutError, Record
from components.ingest.layouts import manifest
from components.ingest.layouts.table.roles import default_columns
from components.ingest.layouts.table.table import Table
from components.ingest.settings import Columns

FLAGS = Columns(image="file", labels=("cat", "dog"))
TAGS = Columns(image="file", labels="tags")


def read(folder: Path, table: str | bytes, columns: Columns | None = FLAGS, files: str = "abc", **more: Any) -> Dataset:
    """The data set of `labels.csv` with this content and of images a.jpg, b.jpg, ..."""
    name = more.setdefault("manifest", "labels.csv")
    root = tree(folder, {name: table} | {f"{f}.jpg": f for f in files})
    return manifest.read(root, SPLIT, more.pop("names", None), columns=columns, **more)


def said(dataset: Dataset) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Path -> labels that apply, labels unknown."""
    return {r.path: (r.labels, r.unknown) for r in dataset.records}


def test_an_empty_cell_is_unknown_and_a_zero_is_known(tmp_path: Path) -> None:
    dataset = read(tmp_path, "file,cat,dog\na.jpg,1,0\nb.jpg,,1\nc.jpg,0,0\n")
    assert dataset.labels == ("cat", "dog")
    assert said(dataset) == {"a.jpg": (("cat",), ()), "b.jpg": (("dog",), ("cat",)), "c.jpg": ((), ())}
    assert dataset.rejected == dataset.ignored == ()


@pytest.mark.parametrize("yes", ["1", "1.0", "true", "True", "TRUE", " 1 "])
@pytest.mark.parametrize("no", ["0", "0.0", "false", "False", " 0"])
def test_flags_are_read_as_programs_write_them(tmp_path: Path, yes: str, no: str) -> None:
    assert said(read(tmp_path, f"file,cat,dog\na.jpg,{yes},{no}\n"))["a.jpg"] == (("cat",), ())


def test_flags_in_jsonl_are_read(tmp_path: Path) -> None:
    rows = [{"cat": True, "dog": 0}, {"cat": 1.0, "dog": None}, {"cat": "1"}]
    text = "\n".join(json.dumps({"file": f"{f}.jpg"} | row) for f, row in zip("abc", rows, strict=True))
    assert said(read(tmp_path, text, manifest="labels.jsonl")) == {
        "a.jpg": (("cat",), ()),
        "b.jpg": (("cat",), ("dog",)),
        "c.jpg": (("cat",), ("dog",)),
    }


@pytest.mark.parametrize("cell", ["2", "-1", "yes", "0.5", "nan"])
def test_a_wrong_cell_is_named_with_file_row_column_and_expectation(tmp_path: Path, cell: str) -> None:
    with pytest.raises(LayoutError) as error:
        read(tmp_path, f"file,cat,dog\na.jpg,1,0\nb.jpg,1,{cell}\n")
    assert str(error.value) == (
        f"labels.csv: row 3: column 'dog': expected 1, 0, true, false or nothing (unknown), got '{cell}'; state what "
        f"it means in data.columns.values, such as {{{cell}: null}} for unknown"
    )


def test_the_first_five_bad_rows_are_shown(tmp_path: Path) -> None:
    with pytest.raises(LayoutError) as error:
        read(tmp_path, "file,cat,dog\n" + "a.jpg,1,x\n" * 7)
    lines = str(error.value).splitlines()
    assert [re.findall(r"row (\d)", line) for line in lines] == [["2"], ["3"], ["4"], ["5"], ["6"], []]
    assert lines[-1] == "and 2 more like these"


def test_one_column_may_hold_all_names(tmp_path: Path) -> None:
    dataset = read(tmp_path, "file,tags\na.jpg,owl| cat|\nb.jpg,owl|owl\n", TAGS)
    assert said(dataset) == {"a.jpg": (("cat", "owl"), ()), "b.jpg": (("owl",), ())}
    other = read(tmp_path, 'file,tags\na.jpg,"owl,cat"\nb.jpg,red|fox\n', TAGS, separator=",")
    assert said(other) == {"a.jpg": (("cat", "owl"), ()), "b.jpg": (("red|fox",), ())}


def test_jsonl_lists_need_no_separator(tmp_path: Path) -> None:
    text = '{"file": "a.jpg", "tags": ["red|fox", "owl"]}\n\n{"file": "b.jpg", "tags": "owl|cat"}\n'
    dataset = read(tmp_path, text, TAGS, manifest="labels.jsonl", names=("owl", "cat", "red|fox"))
    assert said(dataset) == {"a.jpg": (("owl", "red|fox"), ()), "b.jpg": (("owl", "cat"), ())}


@pytest.mark.parametrize("value", ['{"a": 1}', '["cat", null]', '[["cat"]]', "[1.5]"])
def test_names_that_are_not_text_are_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(LayoutError, match=r"labels\.jsonl: row 1: column 'tags': expected a name or a list of names"):
        read(tmp_path, f'{{"file": "a.jpg", "tags": {value}}}', TAGS, manifest="labels.jsonl")


def test_an_empty_list_means_what_the_settings_say(tmp_path: Path) -> None:
    table = "file,tags\na.jpg,cat\nb.jpg,\nc.jpg,|\n"
    assert said(read(tmp_path, table, TAGS))["b.jpg"] == ((), ("cat",))
    assert said(read(tmp_path, table, TAGS))["c.jpg"] == ((), ("cat",))
    assert said(read(tmp_path, table, TAGS, empty="none"))["b.jpg"] == ((), ())
    lines = '{"file": "a.jpg", "tags": ["cat"]}\n{"file": "b.jpg", "tags": []}\n{"file": "c.jpg", "tags": null}'
    dataset = read(tmp_path, lines, TAGS, manifest="labels.jsonl", empty="none")
    assert said(dataset)["b.jpg"] == ((), ())
    assert said(dataset)["c.jpg"] == ((), ("cat",))  # null is no list: nobody said


def test_single_label_names_are_not_separated_and_none_is_unknown(tmp_path: Path) -> None:
    dataset = read(tmp_path, "file,tags\na.jpg,red|fox\nb.jpg,\nc.jpg,owl\n", TAGS, single=True, empty="none")
    assert dataset.labels == ("owl", "red|fox")
    assert said(dataset)["b.jpg"] == ((), ("owl", "red|fox"))


def test_a_single_label_may_be_given_as_flags(tmp_path: Path) -> None:
    dataset = read(tmp_path, "file,cat,dog\na.jpg,1,\nb.jpg,1,1\nc.jpg,0,0\nd.jpg,0,\n", files="abcd", single=True)
    assert said(dataset) == {"a.jpg": (("cat",), ()), "d.jpg": ((), ("cat", "dog"))}
    reasons = dict(dataset.rejected)
    assert reasons["b.jpg"] == "row 3 of labels.csv: has 2 labels (cat, dog), but the task is single_label"
    assert reasons["c.jpg"].startswith("row 4 of labels.csv: says that no label applies")


def test_hugging_face_metadata_is_read_unchanged(tmp_path: Path) -> None:
    files = {"train/0.png": "0", "train/1.png": "1", "test/0.png": "2"}
    root = tree(tmp_path, files | {"metadata.csv": "file_name,label\ntrain/0.png,cat\ntrain/1.png,dog\n"})
    assert said(manifest.read(root, SPLIT, manifest="metadata.csv")) == {
        "train/0.png": (("cat",), ()),
        "train/1.png": (("dog",), ()),
    }
    lines = '{"file_name": "0.png", "labels": ["cat", "dog"], "objects": {"bbox": [[1, 2]]}}\n'
    tree(tmp_path, {"train/metadata.jsonl": lines, "test/metadata.jsonl": lines})
    paths = {"train": "train/metadata.jsonl", "test": "test/metadata.jsonl"}
    dataset = manifest.read(root, SPLIT, manifest=paths)
    assert [(r.path, r.split, r.labels) for r in dataset.records] == [
        ("test/0.png", "test", ("cat", "dog")),
        ("train/0.png", None, ("cat", "dog")),  # train or, by hash, the eval split that nobody names
    ]
    assert dataset.fractions == pytest.approx({"train": 8 / 9, "eval": 1 / 9})
    assert dataset.ignored == ("train/1.png",)


def test_a_label_column_is_only_guessed_where_it_is_clear() -> None:
    def labels(*header: str) -> Any:
        return default_columns(Table("t", header, ()), Columns(), lambda name: False)[0].labels

    assert labels("file_name", "label", "text") == labels("file_name", "label", "class") == "label"
    assert (labels("file_name", "Class Name"), labels("file_name", "tags", "x")) == ("Class Name", "tags")
    for header in (("file_name", "label", "labels"), ("file_name", "text"), ("file_name", "class", "tags")):
        with pytest.raises(LayoutError, match=r"t: which column holds the labels\? Set data.columns.labels"):
            labels(*header)


def test_rows_may_have_weights(tmp_path: Path) -> None:
    columns = FLAGS.model_copy(update={"weight": "w"})
    dataset = read(tmp_path, "file,cat,dog,w\na.jpg,1,0,0.5\nb.jpg,1,0,2\n", columns)
    assert [r.weight for r in dataset.records] == [0.5, 2.0]
    # 1e300 would be infinity and 1e-300 zero in float32.
    for bad in ("", "0", "-1", "nan", "inf", "heavy", "1e300", "1e-300"):
        with pytest.raises(LayoutError, match=f"row 2: column 'w': expected a finite number above 0, got '{bad}'"):
            read(tmp_path, f"file,cat,dog,w\na.jpg,1,0,{bad}\n", columns)


WITH_SPLIT = FLAGS.model_copy(update={"split": "part"})


def splits(folder: Path, *words: str) -> tuple[dict[str, str | None], dict[str, float]]:
    letters = "abcdefg"[: len(words)]
    rows = "".join(f"{f}.jpg,1,0,{word}\n" for f, word in zip(letters, words, strict=True))
    dataset = read(folder, "file,cat,dog,part\n" + rows, WITH_SPLIT, files=letters)
    return {r.path[0]: r.split for r in dataset.records}, dataset.fractions


def test_every_split_may_be_named(tmp_path: Path) -> None:
    words = ("Train", "val", "VALID", "validation", "dev", "eval", "test")
    found, fractions = splits(tmp_path, *words)
    assert list(found.values()) == ["train", "eval", "eval", "eval", "eval", "eval", "test"]
    assert fractions == {"train": 1.0}


def test_a_split_that_no_row_names_is_cut_from_train(tmp_path: Path) -> None:
    # 0.8 : 0.1 without eval, which is named, is 8/9 : 1/9.
    found, fractions = splits(tmp_path, "train", "eval")
    assert found == {"a": None, "b": "eval"}
    assert fractions == pytest.approx({"train": 8 / 9, "test": 1 / 9})


def test_rows_without_a_split_count_as_train(tmp_path: Path) -> None:
    assert splits(tmp_path, "", "test", "") == (
        {"a": None, "b": "test", "c": None},
        pytest.approx({"train": 8 / 9, "eval": 1 / 9}),
    )
    assert splits(tmp_path, "", "test", "eval") == ({"a": None, "b": "test", "c": "eval"}, {"train": 1.0})
    assert splits(tmp_path, "", "") == ({"a": None, "b": None}, pytest.approx(SPLIT))


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        LayoutError, match=r"row 2: column 'part': 'holdout' is not a split; expected one of train, eval"
    ):
        splits(tmp_path, "holdout")


def test_a_group_is_in_one_split(tmp_path: Path) -> None:
    columns = WITH_SPLIT.model_copy(update={"group": "patient"})
    table = "file,cat,dog,part,patient\na.jpg,1,0,test,p1\nb.jpg,1,0,,p1\nc.jpg,1,0,,\n"
    dataset = read(tmp_path, table, columns)
    assert [(r.split, r.group) for r in dataset.records] == [("test", "p1"), ("test", "p1"), (None, "")]
    with pytest.raises(LayoutError, match=r"row 4 of labels\.csv: group 'p1' is in train here, but in test in row 2"):
        read(tmp_path, table.replace("c.jpg,1,0,,", "c.jpg,1,0,train,p1"), columns)


def test_slices_and_groups_are_text(tmp_path: Path) -> None:
    columns = FLAGS.model_copy(update={"group": "patient", "slices": ("night", "camera")})
    dataset = read(tmp_path, "file,cat,dog,patient,camera,night\na.jpg,1,0,7,left ,\n", columns)
    assert dataset.records[0].slices == (("camera", "left"), ("night", ""))
    line = '{"file": "a.jpg", "cat": 1, "dog": 0, "patient": 7, "camera": 2.5, "night": true}'
    record = read(tmp_path, line, columns, manifest="labels.jsonl").records[0]
    assert (record.group, record.slices) == ("7", (("camera", "2.5"), ("night", "true")))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no.jpg", "there is no such file"),
        ("../outside.jpg", "is outside data.root"),
        ("x/../../outside.jpg", "is outside data.root"),
        ("/etc/passwd", "an absolute path; expected a path relative to"),
        ("https://example.org/a.jpg", "a URL; expected a path relative to"),
        ("x\\e.jpg", "there is no such file in [^;]*$"),
        (".hidden.jpg", "hidden files are never read"),
        ("out.jpg", "a link that leads out of data.root"),
        ("x", "there is no such file"),  # a folder
    ],
)
def test_a_file_that_cannot_be_used_is_rejected(tmp_path: Path, name: str, reason: str) -> None:
    root = tmp_path / "root"
    tree(tmp_path, {"outside.jpg": "o", "root/x/a.jpg": "x", "root/.hidden.jpg": "h"})
    os.symlink(tmp_path / "outside.jpg", root / "out.jpg")
    dataset = read(root, f"file,cat,dog\na.jpg,1,0\n{name},1,0\n")
    assert [r.path for r in dataset.records] == ["a.jpg"]
    assert len(dataset.rejected) == 1
    assert re.match(rf"row 3 of labels\.csv: .*{reason}", dataset.rejected[0][1])


def test_names_are_relative_to_the_images_folder(tmp_path: Path) -> None:
    files = {"t/labels.csv": "file,cat,dog\n1.jpg,1,0\n./s//2.jpg,0,1\n../more/3.jpg,0,0\n"}
    files |= dict.fromkeys(("pics/1.jpg", "pics/s/2.jpg", "pics/4.jpg", "more/3.jpg", "more/5.jpg"), "i")
    dataset = manifest.read(tree(tmp_path, files), SPLIT, manifest="t/labels.csv", images="pics/", columns=FLAGS)
    assert [r.path for r in dataset.records] == ["more/3.jpg", "pics/1.jpg", "pics/s/2.jpg"]
    assert dataset.ignored == ("pics/4.jpg",)


@pytest.mark.parametrize(("images", "error"), [("../x", ConfigError), ("/x", ConfigError), ("nothing", LayoutError)])
def test_an_images_folder_that_does_not_exist_is_refused(tmp_path: Path, images: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^data\.images: "):
        read(tmp_path, "file,cat,dog\na.jpg,1,0\n", images=images)


@pytest.mark.parametrize(("disk", "table"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_composed_and_decomposed_accents_name_the_same_file(tmp_path: Path, disk: Any, table: Any) -> None:
    root = tree(tmp_path, {unicodedata.normalize(disk, "é.jpg"): "e"})
    dataset = read(tmp_path, f"file,cat,dog\n{unicodedata.normalize(table, 'é')}.jpg,1,0\n")
    assert [r.path for r in dataset.records] == [name for name in os.listdir(root) if name.startswith(("e", "é"))]


def test_a_file_named_twice_is_read_once_or_rejected(tmp_path: Path) -> None:
    table = "file,cat,dog\na.jpg,1,0\nb.jpg,1,0\n./a.jpg,1,0\nb.jpg,0,1\nb.jpg,1,0\nc.jpg,1,1\n"
    dataset = read(tmp_path, table)
    assert [r.path for r in dataset.records] == ["a.jpg", "c.jpg"]
    other = "the same file is named with other labels or values in"
    assert dataset.rejected == (
        ("a.jpg", "row 4 of labels.csv: the same file is already named in row 2 of labels.csv, with the same labels"),
        ("b.jpg", f"row 3 of labels.csv: {other} row 5 of labels.csv"),
        ("b.jpg", f"row 5 of labels.csv: {other} row 3 of labels.csv"),
        ("b.jpg", f"row 6 of labels.csv: {other} row 5 of labels.csv"),
    )
    assert dataset.contradictory == (("b.jpg", f"row 3 of labels.csv: {other} row 5 of labels.csv"),)


def test_a_file_in_two_splits_is_in_none(tmp_path: Path) -> None:
    table = "file,cat,dog,part\na.jpg,1,0,train\na.jpg,1,0,test\nb.jpg,1,0,train\n"
    assert [r.path for r in read(tmp_path, table, WITH_SPLIT).records] == ["b.jpg"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file,cat\na.jpg,1\n", r"labels\.csv: there is no column 'dog' \(data\.columns\.labels\)"),
        ("file,cat,dog,cat\na.jpg,1,0,0\n", r"the column 'cat' is twice in the header"),
        ("", r"labels\.csv: is empty"),
        ("\n \n", r"labels\.csv: is empty"),
        ("file,cat,dog\n", r"labels\.csv: has no rows; expected one per image below the header"),
        ("file,cat,dog\na.jpg,1,0\nb.jpg,1\n", r"labels\.csv: row 3: expected 3 cells as in the header, got 2"),
        (
            "file,cat,dog\na.jpg,1,0,1\n",
            r"row 2: expected 3 cells as in the header, got 4; put cells that contain a comma in quotes",
        ),
        ('file,cat,dog\na.jpg,1,0\n"b.jpg,1,0\n', r"labels\.csv: row 3: not valid CSV"),
        ("file,cat,dog\n,1,0\n", r"row 2: column 'file': expected a file name, got ''"),
        (b"file,cat,dog\n\0\1\2\3\4\n", r"labels\.csv: is not text: it holds zero bytes"),
    ],
)
def test_a_malformed_table_is_refused(tmp_path: Path, table: str | bytes, message: str) -> None:
    with pytest.raises(LayoutError, match=message):
        read(tmp_path, table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]\n", r"labels\.jsonl: row 1: expected one JSON object in a line, got list"),
        ("\n{]\n", r"labels\.jsonl: row 2: not valid JSON"),
        ('{"file": "a.jpg", "cat": 1, "cat": 0}', r"row 1: not valid JSON: the key 'cat' is there twice"),
        ("[" * 100_000, r"row 1: not valid JSON"),
        ('{"file": 7.5, "cat": 1, "dog": 1}', r"row 1: column 'file': expected a file name, got 7.5"),
        ("", r"labels\.jsonl: has no rows; expected one per image$"),
    ],
)
def test_malformed_jsonl_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(LayoutError, match=message):
        read(tmp_path, text, manifest="labels.jsonl")


def test_additions_of_spreadsheets_and_pandas_are_harmless(tmp_path: Path) -> None:
    table = "\ufeff, file ,cat, dog,\r\n0,a.jpg,1,0,\r\n\r\n1,b.jpg,0,1,\r\n"
    assert list(said(read(tmp_path, table))) == ["a.jpg", "b.jpg"]


def test_rows_are_numbered_by_the_lines_of_the_file(tmp_path: Path) -> None:
    table = 'file,cat,dog,note\na.jpg,1,0,"two\nlines"\nb.jpg,2,0,\n'
    with pytest.raises(LayoutError, match=r"labels\.csv: row 4: column 'cat'"):
        read(tmp_path, table)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image": "f", "labels": ("f", "dog")}, r"'f' cannot be both image and labels"),
        ({"image": "f", "labels": ("cat", "cat")}, r"'cat' cannot be both labels and labels"),
        ({"image": "f", "labels": "tags", "group": "tags"}, r"'tags' cannot be both group and labels"),
        ({"image": "f", "labels": "tags", "split": "s", "group": "s"}, r"'s' cannot be both split and group"),
        ({"image": "f", "labels": "tags", "slices": ("f",)}, r"'f' cannot be both image and slices"),
        ({"image": "f", "labels": "tags", "slices": ("x", "x")}, r"'x' cannot be both slices and slices"),
        ({"image": "f", "labels": ("cat", " ")}, r"data\.columns\.labels: expected the name of a column, got ' '"),
        (
            {"image": "f", "labels": ()},
            r"data\.columns\.labels: expected the names of the label columns, got an empty list",
        ),
        ({"image": "f", "labels": ("e\u0301", "\u00e9")}, r"differ only in blanks .* or in how Unicode composes"),
    ],
)
def test_columns_that_contradict_each_other_are_refused(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Columns(**columns)


def test_slices_may_be_columns_that_have_another_role_too() -> None:
    assert Columns(image="f", labels=("cat", "dog"), split="s", slices=("cat", "s")).slices == ("cat", "s")


def test_names_and_the_table_must_agree(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"labels\.names: 'red\|fox' contains the separator '\|'"):
        read(tmp_path, "file,tags\na.jpg,cat\n", TAGS, names=("cat", "red|fox"))
    with pytest.raises(ConfigError, match=r"labels\.names: 'owl' is not a column of data\.columns\.labels"):
        read(tmp_path, "file,cat,dog\na.jpg,1,0\n", names=("cat", "dog", "owl"))
    with pytest.raises(LayoutError, match=r"found the label 'owl', but labels\.names lists only 'cat'"):
        read(tmp_path, "file,tags\na.jpg,cat|owl\n", TAGS, names=("cat",))
    with pytest.raises(LayoutError, match=r"no row has a label in the column 'tags'"):
        read(tmp_path, "file,tags\na.jpg,\n", TAGS)
    with pytest.raises(ConfigError, match=r"data\.columns\.split: data\.manifest already has one table per split"):
        manifest.read(str(tmp_path), SPLIT, manifest={"train": "labels.csv"}, columns=WITH_SPLIT)


def test_labels_that_never_occur_are_kept(tmp_path: Path) -> None:
    assert read(tmp_path, "file,cat,dog\na.jpg,1,0\n").labels == ("cat", "dog")
    dataset = read(tmp_path, "file,tags\na.jpg,cat\n", TAGS, names=("owl", "cat"))
    assert dataset.labels == ("owl", "cat")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("other.csv", r"data\.manifest: other\.csv: there is no such file"),
        ("../labels.csv", r"data\.manifest: \.\./labels\.csv: is outside data\.root"),
        ("a.jpg", r"data\.manifest: a\.jpg: expected a table; its name must end in \.csv, .*\.parquet"),
        ({"train": "labels.csv", "holdout": "x.csv"}, r"data\.manifest: 'holdout' is not a split"),
        ({"val": "labels.csv"}, r"data\.manifest: has 'val' but not 'train'"),
        ({"train": "labels.csv", "val": "l.csv", "dev": "m.csv"}, r"'dev' is another name for the split 'eval'"),
    ],
)
def test_a_missing_table_is_a_configuration_error(tmp_path: Path, path: Any, message: str) -> None:
    root = tree(tmp_path, {"labels.csv": "file,cat,dog\na.jpg,1,0\n", "a.jpg": "a"})
    with pytest.raises(ConfigError, match=message):
        manifest.read(root, SPLIT, manifest=path, columns=FLAGS)


def test_only_the_table_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    original = storage.read
    monkeypatch.setattr(storage, "read", lambda root, path, moments=(): opened.append(path) or original(root, path))
    read(tmp_path, "file,cat,dog\na.jpg,1,0\n")
    assert opened == ["labels.csv"]


def test_a_data_set_behind_a_url_reads_like_a_folder() -> None:
    fs = fsspec.filesystem("memory")
    for name, content in {"labels.csv": b"file,cat,dog\n1.jpg,1,\n2.jpg,1,0\n", "pics/1.jpg": b"1"}.items():
        fs.pipe(f"/manifest-test/{name}", content)
    dataset = manifest.read("memory://manifest-test", SPLIT, manifest="labels.csv", images="pics", columns=FLAGS)
    assert said(dataset) == {"pics/1.jpg": (("cat",), ("dog",))}
    assert [path for path, _ in dataset.rejected] == ["pics/2.jpg"]


def test_the_fingerprint_covers_every_field_of_a_record() -> None:
    record = Record("a.jpg", ("cat",), None, 1, "1")
    other = Record("b.jpg", (), "test", 2, "2", ("cat",), 2.0, "g", (("c", "l"),), "m.png", "[]", (("a", 1.0),), (1, 2))

    def fingerprint(record: Record) -> str:
        return Dataset("r", ("cat",), (record,), {"train": 1.0}).fingerprint()

    changed = [replace(record, **{f.name: getattr(other, f.name)}) for f in fields(Record)]
    assert len({fingerprint(r) for r in (record, *changed)}) == 1 + len(fields(Record))
    assert fingerprint(replace(record, path="\udcff.jpg"))  # a file name that is no UTF-8


rows = st.lists(
    st.tuples(
        st.sampled_from(["a.jpg", "b.jpg", "./b.jpg", "s/c.jpg", "no.jpg", "../o.jpg", "/a.jpg", "s"]),
        st.sampled_from(["0", "1", ""]),
        st.sampled_from(["0", "1", ""]),
    ),
    min_size=1,
    max_size=12,
)


@given(rows, st.booleans())
@settings(deadline=None, max_examples=60)
def test_every_file_is_a_record_or_a_rejection(table: list[tuple[str, str, str]], single: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = {"labels.csv": "file,cat,dog\n" + "".join(",".join(row) + "\n" for row in table)}
        root = tree(Path(folder), files | {"a.jpg": "a", "b.jpg": "b", "s/c.jpg": "c"})
        if len(table) > 5 and all(
            name.lstrip("./") in ("no.jpg", "o.jpg", "s") or name[0] == "/" for name, *_ in table
        ):
            with pytest.raises(LayoutError, match="rows name no file that can be used"):
                manifest.read(root, SPLIT, manifest="labels.csv", columns=FLAGS, single=single)
            return
        dataset = manifest.read(root, SPLIT, manifest="labels.csv", columns=FLAGS, single=single)
    assert len(dataset.records) + len(dataset.rejected) == len(table)
    assert sorted(r.path for r in dataset.records) == sorted({r.path for r in dataset.records})
    numbers = sorted(int(re.match(r"row (\d+)", reason)[1]) for _, reason in dataset.rejected)
    assert len(set(numbers)) == len(numbers)  # each by its own row
    named = {os.path.normpath(name) for name, *_ in table}
    assert set(dataset.ignored) == {"a.jpg", "b.jpg", "s/c.jpg"} - named


def test_the_documented_configuration_reads_its_data_set(tmp_path: Path) -> None:
    config = documented("manifest")
    data = config["data"]
    files: dict[str, str | bytes] = {}
    for folder in ("train", "validation", "test"):
        files[f"{folder}/metadata.csv"] = "file_name,tags,site,camera\n1.png,cat|dog,7,left\n2.png,,8,right\n"
        files |= {f"{folder}/1.png": "1", f"{folder}/2.png": "2"}
    dataset = manifest.read(
        tree(tmp_path, files),
        SPLIT,
        manifest=data["manifest"],
        columns=Columns(**{key: tuple(v) if isinstance(v, list) else v for key, v in data["columns"].items()}),
        separator=data["separator"],
        empty=config["labels"]["empty"],
    )
    assert [(r.path, r.labels, r.split, r.slices) for r in dataset.records] == [
        (f"{folder}/{name}.png", labels, split, (("camera", camera),))
        for folder, split in (("test", "test"), ("train", "train"), ("validation", "eval"))
        for name, labels, camera in (("1", ("cat", "dog"), "left"), ("2", (), "right"))
    ]
    assert dataset.rejected == dataset.ignored == ()


@pytest.mark.real_images
def test_the_scenes_are_read_whole(real_images: Path) -> None:
    columns = Columns(image="Filenames", labels=("desert", "mountains", "sea", "sunset", "trees"))
    dataset = manifest.read(str(real_images / "miml"), SPLIT, manifest="labels.csv", images="images", columns=columns)
    assert len(dataset.records) == 1000
    assert dataset.rejected == dataset.ignored == ()
    assert dataset.records[0].unknown == ()
