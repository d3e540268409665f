"""The names in tables and the files that they mean: repaired where that is certain, and said with a count."""

from pathlib import Path
from typing import Any

import pytest
from trees import SPLIT, tree

from components.data.dataset import Dataset, LayoutError
from components.ingest.layouts import manifest
from components.ingest.settings import Columns

TAGS = Columns(image="file", labels="tags")


def read(root: Path, names: list[str], files: list[str], **more: Any) -> Dataset:
    table = "file,tags\n" + "".join(f"{name},cat\n" for name in names)
    folder = tree(root, {"labels.csv": table} | dict.fromkeys(files, "x"))
    return manifest.read(folder, SPLIT, manifest="labels.csv", columns=TAGS, **more)


def paths(dataset: Dataset) -> list[str]:
    return [record.path for record in dataset.records]


def test_names_without_ending_are_matched_to_images(tmp_path: Path) -> None:
    names = [f"glass_{i}" for i in range(7)]
    dataset = read(tmp_path, names, [f"{name}.jpg" for name in names] + ["glass_0.txt"])
    assert paths(dataset) == [f"{name}.jpg" for name in names]
    assert dataset.notes == (
        (
            "labels.csv: 7 names have no ending and were matched to the images of these names: glass_0 → glass_0.jpg, "
            "glass_1 → glass_1.jpg, glass_2 → glass_2.jpg, glass_3 → glass_3.jpg, glass_4 → glass_4.jpg, and 2 more"
        ),
    )


def test_another_case_is_matched(tmp_path: Path) -> None:
    dataset = read(tmp_path, ["a.jpg", "b.jpg"], ["a.JPG", "b.jpg"])
    assert paths(dataset) == ["a.JPG", "b.jpg"]
    assert dataset.notes == ("labels.csv: one name differs from its file in case: a.jpg → a.JPG",)


def test_an_exact_name_comes_before_a_similar_one(tmp_path: Path) -> None:
    dataset = read(tmp_path, ["a.jpg", "A.jpg", "a"], ["a.jpg", "A.jpg", "a"])
    assert paths(dataset) == ["A.jpg", "a", "a.jpg"]
    assert dataset.notes == ()


@pytest.mark.parametrize(("name", "files"), [("a", ["a.jpg", "a.png"]), ("a.jpg", ["a.JPG", "A.jpg"])])
def test_a_name_that_may_mean_several_files_is_rejected_with_these(tmp_path: Path, name: str, files: list[str]) -> None:
    dataset = read(tmp_path, [name, "b.jpg"], [*files, "b.jpg"])
    assert paths(dataset) == ["b.jpg"]
    both = ", ".join(sorted(files))
    assert dataset.rejected == ((name, f"row 2 of labels.csv: could be any of {both}; name the file in full"),)


def test_backslashes_of_windows_separate_folders(tmp_path: Path) -> None:
    dataset = read(tmp_path, ["x\\a.jpg", "x\\B.jpg"], ["x/a.jpg", "x/b.jpg"])
    assert paths(dataset) == ["x/a.jpg", "x/b.jpg"]
    assert dataset.notes[0].startswith("labels.csv: 2 names separate folders by a backslash, as Windows does: x\\a.jpg")
    # But not where files have backslashes in their names.
    other = read(tmp_path / "other", ["x\\a.jpg", "x\\b.jpg"], ["x\\a.jpg", "x/b.jpg"])
    assert paths(other) == ["x\\a.jpg"]


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        ("/home/me/", "/home/me/x/a.jpg"),
        ("/home/me", "/home/me/x/a.jpg"),
        ("C:\\photos\\", "C:\\photos\\x\\a.jpg"),
        ("https://example.org/p/", "https://example.org/p/x/a.jpg"),
        ("gs://bucket", "gs://bucket/x/a.jpg"),
    ],
)
def test_what_stands_before_a_path_is_cut_off(tmp_path: Path, prefix: str, name: str) -> None:
    assert paths(read(tmp_path, [name], ["x/a.jpg"], prefix=prefix)) == ["x/a.jpg"]


def test_a_name_without_the_prefix_is_rejected(tmp_path: Path) -> None:
    dataset = read(tmp_path, ["/p/a.jpg", "b.jpg", "/px/a.jpg", "/p/../../b.jpg"], ["a.jpg", "b.jpg"], prefix="/p")
    assert paths(dataset) == ["a.jpg"]
    assert dict(dataset.rejected)["b.jpg"] == "row 3 of labels.csv: does not begin with data.prefix (/p)"
    assert dict(dataset.rejected)["/px/a.jpg"].endswith("does not begin with data.prefix (/p)")
    assert any("outside data.root" in reason for _, reason in dataset.rejected)


def test_an_absolute_path_tells_the_prefix_to_set(tmp_path: Path) -> None:
    dataset = read(tmp_path, ["/home/me/x/a.jpg", "b.jpg"], ["x/a.jpg", "b.jpg"])
    assert dataset.rejected[0][1].endswith("there is a file x/a.jpg, so set data.prefix: '/home/me/'")


def test_images_may_be_in_several_folders(tmp_path: Path) -> None:
    dataset = read(tmp_path, ["1.jpg", "2.jpg"], ["a/1.jpg", "b/2.jpg", "b/3.jpg"], images=["a", "b"])
    assert paths(dataset) == ["a/1.jpg", "b/2.jpg"]
    assert dataset.ignored == ("b/3.jpg",)
    twice = read(tmp_path / "t", ["1.jpg", "2.jpg"], ["a/1.jpg", "b/1.jpg", "b/2.jpg"], images=["a", "b"])
    assert twice.rejected == (
        ("1.jpg", "row 2 of labels.csv: could be any of a/1.jpg, b/1.jpg; name the file in full"),
    )


@pytest.mark.parametrize(
    ("name", "files", "hint"),
    [
        ("1.jpg", ["x/1.jpg"], "; did you mean x/1.jpg?"),
        ("1.jpeg", ["1.jpg"], "; did you mean 1.jpg?"),
        ("1.jpg", ["1.png", "1.bmp"], ""),
        (".x.jpg", [".x.jpg"], "; hidden files are never read"),
        (".y.jpg", [".x.jpg"], ""),
        ("q.jpg", ["x.jpg"], ""),
    ],
)
def test_only_what_is_true_is_hinted(tmp_path: Path, name: str, files: list[str], hint: str) -> None:
    dataset = read(tmp_path, ["ok.jpg", name], ["ok.jpg", *files])
    assert dataset.rejected[0][1] == f"row 3 of labels.csv: there is no such file in {tmp_path}{hint}"


def test_where_most_rows_fit_no_file_one_sentence_says_so(tmp_path: Path) -> None:
    names = [f"n{i}.jpg" for i in range(3000)]
    dataset = read(tmp_path, ["a.jpg", *names], ["a.jpg", "pics/n0.jpg", "pics/n1.jpg"])
    assert len(dataset.rejected) == 3000  # each with its own entry
    (note,) = dataset.notes
    assert note == (
        "data.manifest: 3,000 of 3,001 rows name no file that can be used; expected paths below "
        f"{tmp_path} (data.images); got n0.jpg (row 3 of labels.csv: did you mean pics/n0.jpg?); n1.jpg "
        "(row 4 of labels.csv: did you mean "
        "pics/n1.jpg?); n2.jpg (row 5 of labels.csv); n3.jpg (row 6 of labels.csv); n4.jpg (row 7 of labels.csv), and "
        "2,995 more"
    )


def test_where_no_row_fits_a_file_one_sentence_is_all(tmp_path: Path) -> None:
    with pytest.raises(LayoutError) as error:
        read(tmp_path, [f"n{i}.jpg" for i in range(3000)], ["pics/n0.jpg"])
    assert str(error.value).startswith("data.manifest: 3,000 of 3,000 rows name no file that can be used")
    assert "did you mean pics/n0.jpg?" in str(error.value)
    assert len(str(error.value)) < 600


def test_columns_are_known_by_their_usual_names(tmp_path: Path) -> None:
    files = {"a.jpg": "a", "b.jpg": "b"}
    for header in ("filename,class", "Image_Path,Category", "id_code,diagnosis", "img,tags"):
        root = tree(tmp_path, {"t.csv": f"{header}\na.jpg,cat\nb.jpg,dog\n"} | files)
        dataset = manifest.read(root, SPLIT, manifest="t.csv")
        image, labels = header.split(",")
        taken = f"t.csv: takes file names from the column {image!r} and labels from the column {labels!r}"
        assert dataset.notes == (f"{taken}; set data.columns to choose others",)
    root = tree(tmp_path, {"t.csv": "filename,path,label\nx,y,cat\n"} | files)
    with pytest.raises(LayoutError, match=r"holds the file names\?.* 2 columns might, 'filename', 'path'"):
        manifest.read(root, SPLIT, manifest="t.csv")
    root = tree(tmp_path, {"t.csv": "id,filename,label\n7,a.jpg,cat\n"} | files)  # only one holds names of files
    assert paths(manifest.read(root, SPLIT, manifest="t.csv")) == ["a.jpg"]


def test_a_table_without_header_and_with_semicolons_is_read(tmp_path: Path) -> None:
    root = tree(tmp_path, {"t.csv": "a.jpg;cat\nb.jpg;dog\n", "a.jpg": "a", "b.jpg": "b"})
    dataset = manifest.read(root, SPLIT, manifest="t.csv", single=True)
    assert [(r.path, r.labels) for r in dataset.records] == [("a.jpg", ("cat",)), ("b.jpg", ("dog",))]
    assert dataset.notes[0] == (
        "t.csv: read as a table separated by ';', without a row that names the columns, which are called column_1 to "
        "column_2"
    )
    named = Columns(image="column_1", labels="column_2")
    assert manifest.read(root, SPLIT, manifest="t.csv", columns=named).labels == ("cat", "dog")


def test_several_tables_and_patterns_are_read_together(tmp_path: Path) -> None:
    files = {f"t{i}.csv": f"file_name,label\n{i}.jpg,cat\n" for i in (1, 2)} | {"1.jpg": "1", "2.jpg": "2"}
    root = tree(tmp_path, files)
    for tables in (("t1.csv", "t2.csv"), "t*.csv", {"train": ("t1.csv",), "test": "t2.csv"}):
        assert paths(manifest.read(root, SPLIT, manifest=tables)) == ["1.jpg", "2.jpg"]
    with pytest.raises(Exception, match=r"no file in .* fits the pattern u\*\.csv; there are t1\.csv, t2\.csv"):
        manifest.read(root, SPLIT, manifest="u*.csv")
    with pytest.raises(Exception, match=r"names t1\.csv twice"):
        manifest.read(root, SPLIT, manifest=("t1.csv", "t*.csv"))
