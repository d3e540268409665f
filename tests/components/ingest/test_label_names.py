"""One rule for the names of labels, in every layout."""

import json
from pathlib import Path
from typing import Any

import pytest
from trees import SPLIT, tree

from components.base.errors import ConfigError
from components.data.dataset import LayoutError, label_name
from components.ingest.layouts import coco, folders, manifest
from components.ingest.layouts.rules import ordered_labels
from components.ingest.settings import Columns, Labels

TAGS = Columns(image="file", labels="tags")


@pytest.mark.parametrize(
    ("raw", "name"), [(" cat\t", "cat"), ("cafe\u0301", "caf\u00e9"), ("polar  bear", "polar  bear")]
)
def test_a_name_is_trimmed_and_composed(raw: str, name: str) -> None:
    assert label_name(raw, "here") == name


@pytest.mark.parametrize("pair", [("Cat", "cat"), ("polar  bear", "polar bear"), ("STRASSE", "stra\u00dfe")])
def test_names_that_differ_only_in_case_or_blanks_are_refused_in_every_layout(
    tmp_path: Path, pair: tuple[str, str]
) -> None:
    one, other = pair
    both = f"labels ({one!r} .*and {other!r}|{other!r} .*and {one!r}) .*differ only in case or blanks"
    root = tree(tmp_path / "folders", {f"{one}/1.jpg": "1", f"{other}/2.jpg": "2"})
    with pytest.raises(LayoutError, match=both):
        folders.read(root, SPLIT)
    root = tree(tmp_path / "table", {"t.csv": f"file,tags\na.jpg,{one}\nb.jpg,{other}\n", "a.jpg": "a", "b.jpg": "b"})
    with pytest.raises(LayoutError, match=both):
        manifest.read(root, SPLIT, manifest="t.csv", columns=TAGS)
    categories = [{"id": 1, "name": one}, {"id": 2, "name": other}]
    annotations: list[dict[str, Any]] = [{"id": i, "image_id": 1, "category_id": i} for i in (1, 2)]
    content = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": annotations, "categories": categories}
    root = tree(tmp_path / "coco", {"c.json": json.dumps(content), "a.jpg": "a"})
    with pytest.raises(LayoutError, match=both):
        coco.read(root, SPLIT, annotations="c.json", per_pixel=False)
    with pytest.raises(ValueError, match="differ only in case or blanks"):
        Labels(names=pair)


def test_label_folders_that_differ_in_a_blank_at_the_end_are_refused(tmp_path: Path) -> None:
    root = tree(tmp_path, {"cat/1.jpg": "1", "cat /2.jpg": "2"})
    with pytest.raises(
        LayoutError, match=r"the labels 'cat' \(cat\) and 'cat ' \(cat \) differ only in case or blanks"
    ):
        folders.read(root, SPLIT)


def test_one_label_in_two_splits_is_one_label(tmp_path: Path) -> None:
    root = tree(tmp_path, {"train/cat/1.jpg": "1", "test/cat/2.jpg": "2", "train/dog/3.jpg": "3"})
    assert folders.read(root, SPLIT).labels == ("cat", "dog")
    root = tree(tmp_path / "other", {"train/cat/1.jpg": "1", "test/Cat/2.jpg": "2", "train/dog/3.jpg": "3"})
    with pytest.raises(LayoutError, match=r"'Cat' \(test/Cat\) and 'cat' \(train/cat\) differ only in case"):
        folders.read(root, SPLIT)


def test_two_spellings_of_one_name_in_a_table_are_told_with_their_rows(tmp_path: Path) -> None:
    table = "file,tags\na.jpg,cat\nb.jpg,cat\nc.jpg,Cat\n"
    root = tree(tmp_path, {"t.csv": table, "a.jpg": "a", "b.jpg": "b", "c.jpg": "c"})
    with pytest.raises(LayoutError, match=r"'Cat' \(row 4 of t\.csv\) and 'cat' \(row 2 of t\.csv\) differ"):
        manifest.read(root, SPLIT, manifest="t.csv", columns=TAGS)


@pytest.mark.parametrize("names", [("cat", "cat "), ("cat", "CAT")])
def test_configured_names_are_held_to_the_same_rule(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"listed twice|differ only in case or blanks"):
        Labels(names=names)


@pytest.mark.parametrize("other", ["cat ", "Cat"])
def test_names_of_colours_are_held_to_the_same_rule(other: str) -> None:
    with pytest.raises(ValueError, match=r"'cat' and '.*' differ only in case or blanks"):
        Labels(colors={"cat": 1, other: 2})


def test_a_configured_spelling_must_be_that_of_the_data() -> None:
    with pytest.raises(LayoutError, match="'Cat' and 'cat' differ only in case or blanks"):
        ordered_labels({"cat"}, ["Cat"], "data.root")


def test_label_columns_are_held_to_the_same_rule() -> None:
    with pytest.raises(ConfigError, match="blanks around their names"):
        Columns(image="f", labels=("cat", "cat "))


@pytest.mark.parametrize("names", [("no", "yes", "010", "1e3", "null"), ("true", "on", "08", "1_000", "~")])
def test_names_that_other_readers_take_for_numbers_stay_text(tmp_path: Path, names: tuple[str, ...]) -> None:
    root = tree(tmp_path / "folders", {f"{name}/1.jpg": name for name in names})
    assert folders.read(root, SPLIT).labels == tuple(sorted(names))
    rows = "".join(f"{i}.jpg,{name}\n" for i, name in enumerate(names))
    root = tree(tmp_path / "table", {"t.csv": "file,tags\n" + rows} | {f"{i}.jpg": "x" for i in range(len(names))})
    assert manifest.read(root, SPLIT, manifest="t.csv", columns=TAGS, single=True).labels == tuple(sorted(names))


@pytest.mark.parametrize(
    ("label", "others"),
    [
        ("T-shirt/top", ("Trouser", "Shirt")),
        ("salt, pepper", ("salt", "oil")),
        ("rock & roll", ("rock", "roll")),
        ("cat_dog", ("cat", "dog")),
        ("cat-dog", ("cat", "dog")),
        ("polar bear", ("polar", "bear")),
        ("L'Or\u00e9al", ("x",)),
        ("f[x]", ("x",)),
        ("C++", ("C",)),
        ("(none)", ("x",)),
        ('12"', ("x",)),
        ("rock 'n' roll", ("x",)),
    ],
)
def test_one_label_is_not_taken_for_several(label: str, others: tuple[str, ...]) -> None:
    assert ordered_labels({label, *others}, None, "data.root") == tuple(sorted({label, *others}))


@pytest.mark.parametrize("separator", ["|", ";", ",", ", ", "/", " + "])
def test_labels_that_are_joined_are_refused_in_every_layout(tmp_path: Path, separator: str) -> None:
    label = f"cat{separator}dog"
    with pytest.raises(LayoutError, match=r"looks like the labels 'cat', 'dog' joined by"):
        ordered_labels({"cat", "dog", label}, None, "data.root")
    files = {f"{name}.jpg": name for name in "abc"}
    root = tree(tmp_path, {"t.csv": f'file,tags\na.jpg,cat\nb.jpg,dog\nc.jpg,"{label}"\n'} | files)
    with pytest.raises(LayoutError, match=r"^row 4 of t\.csv: the label 'cat.*dog' looks like the labels 'cat', 'dog'"):
        manifest.read(root, SPLIT, manifest="t.csv", columns=TAGS, single=True)


@pytest.mark.parametrize("label", ["['cat'", "'dog']", "[cat]", "{cat}", "'cat'", '"cat"', "\u201ccat\u201d", "cat]"])
def test_brackets_and_quotes_are_refused(label: str) -> None:
    with pytest.raises(LayoutError, match="in brackets or quotes, as if read from a list"):
        ordered_labels({"owl", label}, None, "data.root")


def test_what_the_configuration_lists_is_a_label() -> None:
    names = ["cat", "dog", "cat|dog", "[owl]"]
    assert ordered_labels(set(names), names, "data.root") == tuple(names)
