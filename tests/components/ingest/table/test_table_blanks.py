"""Cells separated by blanks, and rows that say whether their label applies."""

from pathlib import Path

import pytest
from trees import SPLIT, tree

from components.base.errors import ConfigError
from components.data.dataset import Dataset, LayoutError
from components.ingest.layouts import manifest
from components.ingest.layouts.table.content import parse
from components.ingest.settings import Columns

ROWS = Columns(image="image", labels="label", applies="sure")


@pytest.mark.parametrize(
    "text", ["a.jpg 0 1\nb.jpg 1 0\n", " a.jpg   0  1 \r\n\r\nb.jpg  1 0", "2\na.jpg 0 1\nb.jpg 1 0"]
)
def test_lines_of_paths_and_numbers_are_a_table(text: str) -> None:
    table = parse(text.encode(), "list.txt")
    assert [list(cells.values()) for _, cells in table.rows] == [["a.jpg", "0", "1"], ["b.jpg", "1", "0"]]
    assert table.header == ("column_1", "column_2", "column_3")
    assert "separated by blanks" in table.remarks


def test_a_row_keeps_the_number_of_its_line() -> None:
    assert [number for number, _ in parse(b"2\nx y\na.jpg 1 -1\n\nb.jpg -1 1\n", "list.txt").rows] == [3, 5]


def test_the_first_column_has_a_name_where_the_header_lacks_it() -> None:
    table = parse(b"2\nSmiling Young\na.jpg  1 -1\nb.jpg -1  1\n", "list_attr.txt")
    assert table.header == ("file_name", "Smiling", "Young")
    assert table.rows[0] == (3, {"file_name": "a.jpg", "Smiling": "1", "Young": "-1"})
    assert table.remarks == (
        "separated by blanks",
        "after a line with the number of rows",
        "whose first column has no name and is called file_name",
    )
    assert parse(b"Smiling,Young\na.jpg,1,0\nb.jpg,0,1\n", "attr.csv").header == ("file_name", "Smiling", "Young")


@pytest.mark.parametrize(
    "text",
    [
        "file,label\na.jpg,cat,\nb.jpg,dog,\n",  # rows that end in a comma
        "file label\na.jpg golden retriever\nb.jpg polar bear\n",  # labels with blanks, in a column that has a name
    ],
)
def test_a_short_header_with_a_name_for_the_files_lacks_something_else(text: str) -> None:
    with pytest.raises(LayoutError, match="expected 2 cells as in the header, got 3"):
        parse(text.encode(), "t.csv")


@pytest.mark.parametrize(
    "text",
    [
        "Bild 1.jpg\nBild 2.jpg\n",
        "a.jpg shows a cat\nb.jpg shows a dog\n",
        "a.jpg cat\nb.jpg golden retriever\n",
        "5\na.jpg 0\nb.jpg 1\n",  # not the number of rows
    ],
)
def test_other_texts_are_not_separated_by_blanks(text: str) -> None:
    try:
        remarks = parse(text.encode(), "t.txt").remarks
    except LayoutError:
        return
    assert not any("blanks" in remark for remark in remarks)


def read(root: Path, rows: list[str], columns: Columns = ROWS, *, long: bool = True) -> Dataset:
    table = "\n".join(["image,label,sure", *rows])
    folder = tree(root, {"t.csv": table, "a.jpg": "x", "b.jpg": "x", "c.jpg": "x"})
    return manifest.read(folder, SPLIT, manifest="t.csv", columns=columns, long=long)


def test_a_row_may_say_that_its_label_does_not_apply(tmp_path: Path) -> None:
    dataset = read(tmp_path, ["a.jpg,cat,1", "a.jpg,car,0", "b.jpg,car,1.0", "c.jpg,dog,false", "c.jpg,cat,True"])
    assert dataset.labels == ("car", "cat", "dog")
    assert [(record.labels, record.unknown) for record in dataset.records] == [
        (("cat",), ("dog",)),  # a.jpg: a cat, no car; nothing of dogs
        (("car",), ("cat", "dog")),  # b.jpg: a car; nothing of others
        (("cat",), ("car",)),  # c.jpg: a cat, no dog
    ]


def test_an_image_of_which_both_is_said_is_not_used(tmp_path: Path) -> None:
    dataset = read(tmp_path, ["a.jpg,cat,1", "a.jpg,cat,0", "b.jpg,cat,1"])
    assert [record.path for record in dataset.records] == ["b.jpg"]
    assert dataset.rejected == (("a.jpg", "row 2 of t.csv: its rows say both that 'cat' applies and that it does not"),)


@pytest.mark.parametrize("cell", ["0.7", "", "maybe"])
def test_other_cells_are_refused(tmp_path: Path, cell: str) -> None:
    message = rf"row 2: column 'sure': expected 1 \(the label applies\) or 0 \(it does not\), got '{cell}'"
    with pytest.raises(LayoutError, match=message):
        read(tmp_path, [f"a.jpg,cat,{cell}"])


def test_the_column_needs_rows_of_labels(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"it needs data\.rows: label"):
        read(tmp_path, ["a.jpg,cat,1"], long=False)
