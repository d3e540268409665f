"""`data.exclude` leaves out exactly what its lines name, with their reasons, and says what matches nothing."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.base.errors import ConfigError
from components.data.dataset import Dataset, Record
from components.ingest import exclusion
from components.ingest.exclusion import Paths
from components.ingest.layouts import reading
from components.ingest.settings import Data, Exclusion, Labels, Source

Png = Callable[..., bytes]
WriteFiles = Callable[..., Path]


def record(path: str, *labels: str, unknown: tuple[str, ...] = ()) -> Record:
    return Record(path, labels, None, 1, "", unknown)


ALL = ["a.jpg", "b.png", "cat/1.jpg", "cat/1.png", "cat/old/2.jpg", "cat/old/x/3.jpg", "dog/1.jpg", "dog/[1].jpg"]
PATHS = Paths(ALL)


@pytest.mark.parametrize(
    ("pattern", "found"),
    {
        "cat/1.jpg": ["cat/1.jpg"],
        "./cat/1.jpg": ["cat/1.jpg"],
        " cat/1.jpg ": ["cat/1.jpg"],
        "cat/*.jpg": ["cat/1.jpg"],
        "cat/**": ["cat/1.jpg", "cat/1.png", "cat/old/2.jpg", "cat/old/x/3.jpg"],
        "cat/**/*.jpg": ["cat/1.jpg", "cat/old/2.jpg", "cat/old/x/3.jpg"],
        "**/2.jpg": ["cat/old/2.jpg"],
        "*.png": ["b.png", "cat/1.png"],
        "*/1.*": ["cat/1.jpg", "cat/1.png", "dog/1.jpg"],
        "cat/old": ["cat/old/2.jpg", "cat/old/x/3.jpg"],
        "cat/old/": ["cat/old/2.jpg", "cat/old/x/3.jpg"],
        "c?t/[12].jp[!e]": ["cat/1.jpg"],
        "dog/[1].jpg": ["dog/[1].jpg"],  # a file's own name comes before the pattern that it looks like
        "dog/[12].jpg": ["dog/1.jpg"],
        "[z-a].jpg": [],
        "[.jpg": [],
        "1.jpg": [],  # a name without a pattern is a path
        "cat/ol": [],
        "CAT/1.jpg": [],
        "**": ALL,
    }.items(),
)  # fmt: skip
def test_a_line_names_a_file_a_folder_or_a_pattern(pattern: str, found: list[str]) -> None:
    assert PATHS.matches(pattern) == found


def test_composed_and_decomposed_letters_are_equal() -> None:
    decomposed = "caf\u0065\u0301/1.jpg"
    paths = Paths([decomposed])
    for pattern in ("caf\u00e9/1.jpg", "caf\u00e9", "c*/1.jpg", "caf\u00e9/*"):
        assert paths.matches(pattern) == [decomposed]


LETTERS = st.one_of(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]),
    st.sampled_from("=+-@[]*?,;\t\r\n\"' "),
    st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF),  # how Python spells bytes that are not UTF-8
)


@given(st.lists(st.text(LETTERS, min_size=1, max_size=6), min_size=1, max_size=8))
def test_what_check_writes_leaves_out_the_same_files(names: list[str]) -> None:
    """Whatever the names hold: formulas, quotes, line ends, commas, patterns, and bytes that are not UTF-8."""
    paths = sorted({f"{name}.png" for name in names})
    text = exclusion.write((path, f"broken: {path}", "quarantined", 1, path) for path in paths)
    for row in csv.reader(io.StringIO(text, newline="")):
        assert all(not cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)
    rows = exclusion.parse(text.encode("utf-8", "surrogateescape"), "x.csv")
    assert [Paths(paths).matches(row.path) for row in rows] == [[path] for path in paths]


@pytest.mark.parametrize(
    "text",
    [
        "path,reason\ncat/1.jpg,blurred\n\n*.png,\n",
        "path;reason\r\ncat/1.jpg;blurred\r\n*.png;\r\n",
        "\ufeffPath\tReason\ncat/1.jpg\tblurred\n*.png\n",
        'reason,by,path\nblurred,"Ann, Bob",cat/1.jpg\n,,*.png\n',
    ],
)
def test_tables_of_spreadsheets_are_read(text: str) -> None:
    one, other = exclusion.parse(text.encode(), "x.csv")
    assert one == Exclusion(path="cat/1.jpg", reason="blurred")
    assert other == Exclusion(path="*.png", reason="no reason given")


def test_a_decision_says_whether_files_are_left_out_or_kept() -> None:
    text = "path,kind,other,decision\na.jpg,dark,,Keep\nb.jpg,,./=c.jpg,exclude\nd.jpg,,,\n"
    keep, exclude, neither = exclusion.parse(text.encode(), "x.csv")
    assert keep == Exclusion(path="a.jpg", kind="dark", decision="keep")
    assert exclude == Exclusion(path="b.jpg", other="=c.jpg")
    assert neither == Exclusion(path="d.jpg", decision="undecided")
    assert exclusion.parse(exclusion.write([], (keep, exclude)).encode(), "x.csv") == (keep, exclude)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x.csv: expected a first line with the columns path and reason, got an empty file"),
        (b"file,why\na,b\n", "columns path and reason, got 'file', 'why'"),
        (b"cat/1.jpg,blurred\n", "got 'cat/1.jpg', 'blurred'"),
        (b"path,reason\na.jpg,dark, blurred\n", "line 2: expected 2 cells, got 3; quote a cell that holds a comma"),
        (b"path,reason\na.jpg,x\n ,blurred\n", "line 3: expected a path or a pattern, got an empty cell"),
        (b"path,decision\na.jpg,delete\n", "expected the decision exclude or keep, or an empty cell, got 'delete'"),
        ("path,reason\na,b\n".encode("utf-16"), "is not UTF-8 text; save it as CSV in UTF-8"),
        (b'path,reason\n"a.jpg,x\n', "is not valid CSV"),
    ],
)
def test_other_tables_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        exclusion.parse(content, "x.csv")
    assert message in str(error.value)
    assert str(error.value).startswith("data.exclude: x.csv")


DATA = Dataset(
    "root", ("cat", "dog"), (record("cat/1.jpg", "cat"), record("cat/2.jpg", "cat"), record("dog/1.jpg", "dog")),
    {"train": 1.0}, (("cat/3.jpg", "a link"), ("cat/4.jpg", "listed twice")), ("notes.txt",),
    (("cat/4.jpg", "listed twice"),), ("a note",),
)  # fmt: skip


def applied(*paths: str, prune: bool = True, dataset: Dataset = DATA) -> Dataset:
    return exclusion.apply(dataset, [Exclusion(path=path, reason=f"r{i}") for i, path in enumerate(paths)], prune=prune)


def test_excluded_files_are_neither_images_nor_rejected_nor_contradictory() -> None:
    left = applied("cat/1.jpg", "cat/[34].jpg", "cat/3.jpg")
    assert [r.path for r in left.records] == ["cat/2.jpg", "dog/1.jpg"]
    assert (left.rejected, left.contradictory) == ((), ())
    assert left.excluded == (("cat/1.jpg", "r0"), ("cat/3.jpg", "r1"), ("cat/4.jpg", "r1"))  # the first reason
    assert left.notes == ("a note",)
    assert left.fingerprint() != DATA.fingerprint()
    assert applied() is DATA


def test_lines_that_match_nothing_are_said_with_what_they_may_mean() -> None:
    assert applied("Cat/1.JPG").notes[1:] == (
        "data.exclude: no file of the data set matches 'Cat/1.JPG' (did you mean 'cat/1.jpg'?)",
    )
    [note] = applied("x", "cat\\2.jpg", "*.gif", "dog/11.jpg").notes[1:]
    assert note == (
        "data.exclude: 4 lines match no file of the data set: 'x', 'cat\\\\2.jpg' (did you mean 'cat/2.jpg'?), "
        "'*.gif', 'dog/11.jpg' (did you mean 'dog/1.jpg'?)"
    )
    [note] = applied(*"abcdefg").notes[1:]
    assert note == "data.exclude: 7 lines match no file of the data set: 'a', 'b', 'c', 'd', 'e', and 2 more"
    assert applied("notes.txt").notes == ("a note",)  # no image, but it is there
    rows = [Exclusion(path=path, decision="keep") for path in ("cat/1.jpg", "cat/11.jpg")]
    left = exclusion.apply(DATA, rows, prune=True)
    assert left.notes[1:] == ("data.exclude: no file of the data set matches 'cat/11.jpg' (did you mean 'cat/1.jpg'?)",)
    assert (left.records, left.excluded) == (DATA.records, ())


def test_a_label_goes_with_its_last_image() -> None:
    dataset = Dataset(
        "", ("cat", "dog", "new"), (record("1", "cat", unknown=("dog",)), record("2", "dog")), {"train": 1.0}
    )
    left = applied("2", dataset=dataset)
    assert left.labels == ("cat", "new")  # `new` never had an image
    assert left.records == (record("1", "cat"),)
    assert left.notes == ("data.exclude leaves no image of 'dog', so there is no such label",)
    assert applied("2", dataset=dataset, prune=False).labels == ("cat", "dog", "new")
    assert applied("*", dataset=dataset).labels == ("cat", "dog", "new")  # the gate says that there is no image


def test_every_layout_is_read_without_them(tmp_path: Path, write_files: WriteFiles, png: Png) -> None:
    files = {f"{label}/{i}.png": png(i) for i, label in enumerate(["cat", "cat", "dog", "junk"])}
    root = write_files(tmp_path / "data", files)
    (root / "list.csv").write_text("file_name,label\ncat/0.png,cat\ndog/2.png,dog\ncat/1.png,cat\ncat/1.png,dog\n")
    exclude = (Exclusion(path="junk", reason="no pets"), Exclusion(path="**/1.png", reason="two answers"))

    def read(**data: str) -> Dataset:
        told = Data(root=str(root), **data)
        return reading.read(Source(exclusive=True, per_pixel=False, data=told, labels=Labels(), exclude=exclude))[0]

    folders, table = read(), read(layout="manifest", manifest="list.csv")
    assert folders.excluded == (("cat/1.png", "two answers"), ("junk/3.png", "no pets"))
    assert table.excluded == (("cat/1.png", "two answers"),)
    for dataset in (folders, table):
        assert [r.path for r in dataset.records] == ["cat/0.png", "dog/2.png"]
        assert dataset.labels == ("cat", "dog")
        assert (dataset.rejected, dataset.contradictory) == ((), ())
