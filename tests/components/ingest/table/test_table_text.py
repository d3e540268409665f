"""Delimiter, quotes, encoding and header are concluded from the file, and said."""

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from components.base.errors import ConfigError
from components.data.dataset import LayoutError
from components.ingest.layouts.table.content import parse
from components.ingest.layouts.table.encoding import decode

ROWS = ((2, {"file_name": "a.jpg", "label": "cat"}), (3, {"file_name": "b.jpg", "label": "dog"}))


@pytest.mark.parametrize(("delimiter", "name"), [(";", "separated by ';'"), ("\t", "by tabs"), ("|", "by '|'")])
@pytest.mark.parametrize("ending", ["csv", "tsv", "txt"])
def test_the_delimiter_is_found(delimiter: str, name: str, ending: str) -> None:
    table = parse(f"file_name{delimiter}label\na.jpg{delimiter}cat\nb.jpg{delimiter}dog\n".encode(), f"t.{ending}")
    assert table.rows == ROWS
    assert len(table.remarks) == 1
    assert name in table.remarks[0]


def test_a_usual_table_needs_no_remark() -> None:
    assert parse(b"file_name,label\na.jpg,cat\nb.jpg,dog\n", "t.csv").remarks == ()


def test_cells_may_contain_other_delimiters() -> None:
    assert parse(b"file_name,tags\na.jpg,x|y\nb.jpg,y|z\n", "t.csv").rows[0][1]["tags"] == "x|y"
    assert parse(b"file_name;tags\na.jpg;x,y\nb.jpg;y,z\n", "t.csv").rows[0][1]["tags"] == "x,y"
    assert parse(b'file_name,tags\na.jpg,"x,y"\nb.jpg,"y;z"\n', "t.csv").rows[0][1]["tags"] == "x,y"
    assert parse(b"file_name,tags\na.jpg,x;y\nb.jpg,y;z\n", "t.csv").rows[1][1]["tags"] == "y;z"
    # Without a header both fit, but only the comma leaves a column of file names.
    assert parse(b"a.jpg,x|y\nb.jpg,y|z\n", "t.csv").rows[0][1] == {"column_1": "a.jpg", "column_2": "x|y"}


def test_single_quotes_are_found() -> None:
    for text in ("'file_name','tags'\n'a.jpg','x,y'\n", "file_name,tags\na.jpg,'x,y'\nb.jpg,z\n"):
        table = parse(text.encode(), "t.csv")
        assert table.rows[0][1] == {"file_name": "a.jpg", "tags": "x,y"}
        assert table.remarks == ("with cells in single quotes",)
    # Lists in cells hold single quotes, too.
    assert parse(b"file_name,tags\na.jpg,\"['x', 'y']\"\n", "t.csv").rows[0][1]["tags"] == "['x', 'y']"


def test_blanks_before_quotes_are_skipped() -> None:
    assert parse(b'file_name, tags\na.jpg, "x, y"\nb.jpg, z\n', "t.csv").rows[0][1]["tags"] == "x, y"


def test_the_line_that_excel_writes_is_followed() -> None:
    table = parse(b"sep=;\nfile_name;label\na.jpg;cat\n", "t.csv")
    assert table.rows == ((3, {"file_name": "a.jpg", "label": "cat"}),)


def test_a_list_of_paths_and_numbers_is_a_table() -> None:
    table = parse(b"cat/1.jpg 0\ndog/2.jpg 1\n", "train.txt")
    assert table.rows == (
        (1, {"column_1": "cat/1.jpg", "column_2": "0"}),
        (2, {"column_1": "dog/2.jpg", "column_2": "1"}),
    )
    assert not table.named


def test_a_table_of_one_column_stays_one() -> None:
    assert parse(b"file_name\na.jpg\nb.jpg\n", "t.csv").header == ("file_name",)


def test_a_table_without_header_gets_names() -> None:
    table = parse(b"a.jpg,cat\nb.jpg,dog\n", "t.csv")
    assert table.rows[0] == (1, {"column_1": "a.jpg", "column_2": "cat"})
    assert "are called column_1 to column_2" in table.remarks[0]
    files = {"glass_0", "glass_1", "cat"}.__contains__
    assert not parse(b"glass_0,glass\nglass_1,glass\n", "t.csv", files).named
    assert parse(b"file,cat\nglass_0,1\nglass_1,0\n", "t.csv", files).named  # a label may be called like a file


def test_two_delimiters_that_fit_equally_are_refused() -> None:
    with pytest.raises(LayoutError, match=r"t\.csv: are its cells separated by ';' or by '\|'\?"):
        parse(b"x;y|z\na;b|c\n", "t.csv")


@pytest.mark.parametrize("text", ["a;b\n1;2;3\n", "a\tb\n1\t2\t3\n"])
def test_rows_of_another_length_are_named(text: str) -> None:
    with pytest.raises(LayoutError, match=r"t\.csv: row 2: expected 2 cells as in the header, got 3"):
        parse(text.encode(), "t.csv")


def test_an_open_quote_is_named() -> None:
    with pytest.raises(LayoutError, match=r"t\.csv: row 3: not valid CSV"):
        parse(b'file_name;label\na.jpg;cat\n"b.jpg;dog\n', "t.csv")


@pytest.mark.parametrize(
    ("codec", "said"),
    [
        ("utf-8", ""),
        ("utf-8-sig", ""),
        ("utf-16", "UTF-16"),
        ("utf-32", "UTF-32"),
        ("utf-16-le", "UTF-16 without a mark (a guess)"),
        ("utf-16-be", "UTF-16 without a mark (a guess)"),
        ("latin-1", "Windows-1252 (a guess)"),
        ("cp1252", "Windows-1252 (a guess)"),
    ],
)
def test_the_encoding_is_found_and_a_guess_is_said(codec: str, said: str) -> None:
    text = "file_name,label\nété.jpg,café\nb.jpg,Straße\n"
    table = parse(text.encode(codec), "t.csv")
    assert [cells for _, cells in table.rows] == [
        {"file_name": "été.jpg", "label": "café"},
        {"file_name": "b.jpg", "label": "Straße"},
    ]
    assert table.remarks == ((f"in the encoding {said}",) if said else ())


def test_other_alphabets_are_guessed_by_their_letters() -> None:
    text = "имя файла,метка\n1.jpg,кошка\n2.jpg,собака\n3.jpg,большая белая птица\n4.jpg,лошадь и корова\n"
    found, said = decode(text.encode("cp1251"), "t.csv")
    assert found == text
    assert said == "in the encoding cp1251 (a guess)"


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(LayoutError, match=r"t\.csv: is not text"):
        parse(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", "t.csv")
    with pytest.raises(LayoutError, match=r"t\.csv: begins like UTF-8 text, but byte 0 cannot be read"):
        parse(b"\xef\xbb\xbf\xff,a\n", "t.csv")


PAIRS = [{"file_name": "a.jpg", "label": "cat"}, {"file_name": "b.jpg", "label": "dog"}]


@pytest.mark.parametrize(
    ("content", "remark"),
    [
        (PAIRS, ""),
        ({"a.jpg": "cat", "b.jpg": "dog"}, "as an object of file names"),
        ({"a.jpg": {"label": "cat"}, "b.jpg": {"label": "dog"}}, "as an object of file names"),
        ({"file_name": ["a.jpg", "b.jpg"], "label": ["cat", "dog"]}, "as an object of columns"),
        ({"file_name": {"0": "a.jpg", "1": "b.jpg"}, "label": {"0": "cat", "1": "dog"}}, "as an object of columns"),
        ({"images": PAIRS}, "from the array 'images'"),
        ({"version": 1, "data": PAIRS}, "from the array 'data'"),
    ],
)
def test_json_is_read_in_its_usual_forms(content: Any, remark: str) -> None:
    table = parse(json.dumps(content).encode(), "t.json")
    assert table.rows == ((1, PAIRS[0]), (2, PAIRS[1]))
    assert table.remarks == ((remark,) if remark else ())


def test_an_object_of_lists_holds_several_labels() -> None:
    table = parse(b'{"a.jpg": ["cat", "dog"], "b.jpg": []}', "t.json")
    assert table.rows[0][1] == {"file_name": "a.jpg", "labels": ["cat", "dog"]}


def test_lines_may_be_called_json_and_ndjson() -> None:
    text = b'{"file_name": "a.jpg", "label": "cat"}\n{"file_name": "b.jpg", "label": "dog"}\n'
    assert [row for _, row in parse(text, "t.json").rows] == [row for _, row in parse(text, "t.ndjson").rows] == PAIRS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("7", r"t\.json: expected an array of objects"),
        ("[]", r"t\.json: has no rows"),
        ("{}", r"t\.json: has no rows"),
        ("[1]", r"t\.json: entry 1: expected a JSON object, got int"),
        ("{", r"t\.json: not valid JSON"),
        ("[" * 100_000, r"t\.json: not valid JSON: nested too deeply"),
        ('{"a": 1, "a": 2}', r"the key 'a' is there twice"),
        ('{"a": 1, "b": [2]}', r"expected an array of objects"),
        ('{"images": [], "annotations": [], "categories": []}', r"set data\.layout: coco"),
    ],
)
def test_other_json_is_refused(text: str, message: str) -> None:
    with pytest.raises(LayoutError, match=message):
        parse(text.encode(), "t.json")


def test_other_endings_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"t\.xlsx: expected a table; its name must end in \.csv, \.tsv"):
        parse(b"", "t.xlsx")


WORDS = st.text(st.sampled_from("abcxyz ,;|\t'\"éß()[]{}._-\n"), max_size=12)


@given(
    st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=8),
    st.sampled_from(",;\t|"),
    st.sampled_from(['"', "'"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
    st.booleans(),
)
@settings(deadline=None, max_examples=300)
def test_what_is_written_is_read(
    cells: list[tuple[str, str]], delimiter: str, quote: str, quoting: Any, codec: str, header: bool
) -> None:
    rows = [(f"{i}.jpg", *pair) for i, pair in enumerate(cells)]
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, quotechar=quote, quoting=quoting, lineterminator="\n")
    writer.writerows([*([("file_name", "label", "note")] if header else []), *rows])
    assume(header or quote == '"')  # of a single row, any reading gives as many cells as the first row has
    # Cells that begin with the other quote in every row could be meant either way.
    other = {'"': "'", "'": '"'}[quote]
    assume(not any(cell[:1] in (other, quote) or cell[-1:] in (other, quote) for row in cells for cell in row))
    try:
        table = parse(out.getvalue().encode(codec), "t.csv")
    except LayoutError as error:  # a guess may be refused, but never wrong
        assert codec == "latin-1" or "are its cells separated by" in str(error)  # noqa: PT017
        return
    if codec != "latin-1" or decode(out.getvalue().encode(codec), "t")[0] == out.getvalue():
        assert [tuple(row.values()) for _, row in table.rows] == rows


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_table_may_have_any_number_of_rows_whatever_ends_its_lines(end: str) -> None:
    """25,000 rows of two cells have 25,000 commas, of which a table without line feeds has all in one."""
    lines = ["file_name,label", *(f"{i}.jpg,cat" for i in range(25_000))]
    assert len(parse(end.join(lines).encode(), "t.csv").rows) == 25_000


def test_delimiters_in_quotes_are_no_cells() -> None:
    cell = "1,2;" * 15_000
    table = parse(f'file_name,"{cell}"\na.jpg,"{cell}"\n'.encode(), "t.csv")
    assert table.header == ("file_name", cell)
    assert table.rows == ((2, {"file_name": "a.jpg", cell: cell}),)


@pytest.mark.parametrize(("row", "count"), [(1, 20_001), (2, 20_001), (3, 300_000)])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_row_of_too_many_cells_is_named_before_any_is_looked_up(row: int, count: int, delimiter: str) -> None:
    rows = [["file_name", "label"], ["a.jpg", "cat"], ["b.jpg", "cat"]]
    rows[row - 1] = [f"c{i}" for i in range(count)]
    asked = list[str]()
    text = "\n".join(delimiter.join(cells) for cells in rows).encode()
    with pytest.raises(LayoutError, match=f"t.csv: row {row}: has {count:,} cells; expected at most 20,000"):
        parse(text, "t.csv", lambda name: bool(asked.append(name)))
    assert len(asked) < 10
