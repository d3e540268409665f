"""What cells mean: lists of names, codes with a stated meaning, and one row for each label."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import SPLIT, tree

from components.data.dataset import Dataset, LayoutError
from components.ingest.layouts import manifest
from components.ingest.layouts.table.cells import listed
from components.ingest.settings import Columns

TAGS = Columns(image="file", labels="tags")
FLAGS = Columns(image="file", labels=("cat", "dog"))


def read(root: Path, rows: list[str], columns: Columns = TAGS, header: str = "file;tags", **more: Any) -> Dataset:
    """The data set of a table whose cells are separated by semicolons."""
    files = {f"{letter}.jpg": letter for letter in "abcdef"}
    folder = tree(root, {"t.csv": "\n".join([header, *rows, ""])} | files)
    return manifest.read(folder, SPLIT, manifest="t.csv", columns=columns, **more)


def labels(dataset: Dataset) -> list[tuple[str, ...]]:
    return [record.labels for record in dataset.records]


@pytest.mark.parametrize("separator", ["|", ","])
@pytest.mark.parametrize(
    "cell", ["['cat', 'dog']", "['cat' 'dog']", "[cat, dog]", "{cat,dog}", "('cat', 'dog')", "['dog','cat',]"]
)
def test_lists_are_read_in_their_usual_spellings(tmp_path: Path, cell: str, separator: str) -> None:
    dataset = read(tmp_path, [f"a.jpg;{cell}", "b.jpg;['owl']", "c.jpg;[]"], separator=separator, empty="none")
    assert labels(dataset) == [("cat", "dog"), ("owl",), ()]
    assert f"3 cells are lists in brackets, such as {cell}" in dataset.notes[1]


def test_names_in_quotes_may_hold_anything(tmp_path: Path) -> None:
    assert listed(r"['a, b', 'it\'s', " + '"c|d"]') == ["a, b", "it's", "c|d"]
    assert listed("[a|b]", "|") == ["a", "b"]
    assert listed("__import__('os')") is None


def test_a_single_label_in_brackets_is_this_label(tmp_path: Path) -> None:
    dataset = read(tmp_path, ["a.jpg;['cat']", "b.jpg;['cat', 'dog']"], single=True, names=("cat", "dog"))
    assert labels(dataset) == [("cat",)]
    assert dataset.rejected[0][1].endswith("has 2 labels (cat, dog), but the task is single_label")


def test_a_list_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"t\.csv: row 2: column 'tags': .* looks like a list, but cannot be read"):
        read(tmp_path, ["a.jpg;['cat', dog]"])


@pytest.mark.parametrize(("joined", "separator"), [("cat, dog", ","), ("cat/dog", "/"), ("cat+dog", "+")])
def test_another_separator_than_the_configured_one_is_named(tmp_path: Path, joined: str, separator: str) -> None:
    rows = [f"a.jpg;{joined}", "b.jpg;cat", "c.jpg;dog"]
    with pytest.raises(LayoutError, match=r"t\.csv: row 2: .* looks like several names separated by") as error:
        read(tmp_path, rows)
    assert f"set data.separator: {separator!r}" in str(error.value)
    assert labels(read(tmp_path, rows, separator=separator)) == [("cat", "dog"), ("cat",), ("dog",)]


@pytest.mark.parametrize("name", ["salt, pepper", "T-shirt/top", "polar bear", "rock & roll"])
def test_one_name_with_a_separator_in_it_is_one_name(tmp_path: Path, name: str) -> None:
    assert labels(read(tmp_path, [f"a.jpg;{name}", "b.jpg;oil"])) == [(name,), ("oil",)]


def test_names_that_are_configured_are_not_taken_apart(tmp_path: Path) -> None:
    names = ("cat", "cat, dog", "[owl]")
    rows = ["a.jpg;cat, dog", "b.jpg;cat", "c.jpg;[owl]"]
    assert labels(read(tmp_path, rows, names=names)) == [("cat, dog",), ("cat",), ("[owl]",)]


@pytest.mark.parametrize("codes", [{"-1": None}, {"u": None, "yes": "1", "no": "0"}])
def test_codes_in_columns_of_flags_have_the_stated_meaning(tmp_path: Path, codes: dict[str, str | None]) -> None:
    other = {None: "cat unknown", "1": "cat", "0": "none"}
    for code, meaning in codes.items():
        columns = FLAGS.model_copy(update={"values": codes})
        (record,) = read(tmp_path, [f"a.jpg;{code};1"], columns, "file;cat;dog").records
        found = "cat unknown" if record.unknown == ("cat",) else "cat" if "cat" in record.labels else "none"
        assert (found, record.labels[-1]) == (other[meaning], "dog")


def test_pandas_writes_whole_numbers_with_a_point(tmp_path: Path) -> None:
    columns = FLAGS.model_copy(update={"values": {"-1": None}})
    assert read(tmp_path, ["a.jpg;-1.0;1.0"], columns, "file;cat;dog").records[0].unknown == ("cat",)


def test_numbers_of_labels_get_the_stated_names(tmp_path: Path) -> None:
    columns = TAGS.model_copy(update={"values": {"0": "cat", "1": "dog", "-1": None}})
    dataset = read(tmp_path, ["a.jpg;0", "b.jpg;1", "c.jpg;-1"], columns, single=True)
    assert labels(dataset) == [("cat",), ("dog",), ()]
    with pytest.raises(LayoutError, match=r"row 2: column 'tags': data\.columns\.values does not say what '7' means"):
        read(tmp_path, ["a.jpg;7"], columns)


def test_the_map_takes_numbers_and_booleans_of_yaml() -> None:
    values: Any = {-1: None, 0: "cat", True: 1}
    assert Columns(values=values).values == {"-1": None, "0": "cat", "true": "1"}
    empty: Any = {}
    with pytest.raises(ValueError, match="expected cells and their meanings"):
        Columns(values=empty)


def test_one_row_for_each_label_is_merged_if_it_is_stated(tmp_path: Path) -> None:
    rows = ["a.jpg;cat", "a.jpg;dog", "b.jpg;dog", "a.jpg;cat"]
    dataset = read(tmp_path, rows, long=True)
    assert labels(dataset) == [("cat", "dog"), ("dog",)]
    assert dataset.notes[1] == (
        "data.manifest: 4 rows name 2 images; the labels of all rows of an image count together"
    )
    refused = read(tmp_path, rows)
    assert labels(refused) == [("dog",)]
    assert dict(refused.contradictory)["a.jpg"].endswith(
        "if each row has one of the labels of its image, set data.rows: label"
    )
    assert "data.rows" not in dict(read(tmp_path, rows, single=True).contradictory)["a.jpg"]


def test_rows_of_one_image_must_agree_in_everything_else(tmp_path: Path) -> None:
    columns = TAGS.model_copy(update={"split": "part"})
    rows = ["a.jpg;cat;train", "a.jpg;dog;test", "b.jpg;dog;train"]
    assert [r.path for r in read(tmp_path, rows, columns, "file;tags;part", long=True).records] == ["b.jpg"]


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1).filter(str.strip), max_size=5)
)
def test_a_list_that_python_writes_is_read(names: list[str]) -> None:
    expected = [name.strip() for name in names]
    assert listed(repr(expected)) == expected or any("\\" in repr(name)[1:-1].replace("\\\\", "") for name in expected)
