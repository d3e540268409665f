"""The table of images to label next, read as a manifest once it is filled in."""

import csv
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.data.dataset import Dataset
from pipeline import config
from pipeline.predict import contact_sheet, label_table
from pipeline.runs import data

ROWS = [("x/a, 1.png", "cat", 0.75), ("b.png", "dog", 0.5), ("c.png", "dog", 0.25)]
FILES = {f"data/photos/pool/{path}": b"x" for path, _, _ in ROWS} | {"data/photos/old.png": b"x"}
ONE = "file_name,label\nold.png,cat\n"


def project(folder: Path, write_files: Callable, files: dict[str, bytes], section: dict[str, Any], **keys: Any) -> str:
    write_files(folder, files)
    told = {"name": "t", "task": "single_label", "push": {"destination": "models"}, "data": section} | keys
    (folder / "t.yaml").write_text(yaml.safe_dump(told))
    return str(folder / "t.yaml")


def form_of(path: str, output: Path, *overrides: str) -> label_table.Form:
    settings = config.load(path, overrides)
    assert settings.unlabelled_root is not None
    return label_table.form(settings, settings.unlabelled_root, str(output))


def filled(text: str, column: str, values: list[str]) -> str:
    """The table after somebody has filled in a column of labels."""
    header, *rows = csv.reader(io.StringIO(text))
    for row, value in zip(rows, values, strict=True):
        row[header.index(column)] = value
    out = io.StringIO()
    csv.writer(out).writerows([header, *rows])
    return out.getvalue()


def read(path: str, *overrides: str) -> Dataset:
    return data.read_dataset(config.load(path, overrides))[0]


def labels(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    assert not dataset.rejected
    return {record.path: record.labels for record in dataset.records}


def test_a_table_beside_that_of_the_configuration(tmp_path: Path, write_files: Callable) -> None:
    section = {"root": "data", "layout": "manifest", "manifest": "old.csv", "images": "photos"}
    section["unlabelled"] = "data/photos/pool"
    path = project(tmp_path, write_files, FILES | {"data/old.csv": ONE.encode()}, section)
    form = form_of(path, tmp_path / "data" / "next.csv")
    text = form.table(ROWS)
    assert text.splitlines()[0] == "file_name,label,guess,uncertainty"
    assert text.splitlines()[1] == '"pool/x/a, 1.png",,cat,0.7500'
    line = "write data.root: data, data.manifest: [old.csv, next.csv]"
    assert form.advice == f"next: fill in the column label, {line}"
    moved = form_of(path, tmp_path / "next.csv").advice
    assert moved == f"next: fill in the column label, move next.csv to {tmp_path / 'data'}, and {line}"
    (tmp_path / "data" / "next.csv").write_text(filled(text, "label", ["dog", "", "cat"]))
    found = labels(read(path, "data.manifest=[old.csv, next.csv]"))
    photos = {"photos/pool/x/a, 1.png": ("dog",), "photos/pool/b.png": (), "photos/pool/c.png": ("cat",)}
    assert found == photos | {"photos/old.png": ("cat",)}


def test_without_a_folder_of_images_the_table_stands_beside_the_other_one(
    tmp_path: Path, write_files: Callable
) -> None:
    """Its columns are guessed as those of the first table, and those that are configured are there, too."""
    old = "image_id,species,fold,kg\nold.png,cat,train,2\n"
    section = {"root": "data", "layout": "manifest", "manifest": "photos/old.csv", "unlabelled": "data/photos/pool"}
    section["columns"] = {"split": "fold", "weight": "kg"}
    path = project(tmp_path, write_files, FILES | {"data/photos/old.csv": old.encode()}, section)
    form = form_of(path, tmp_path / "data" / "next.csv")
    assert form.table(ROWS).splitlines()[0] == "image_id,species,kg,fold,guess,uncertainty"
    assert f"move next.csv to {tmp_path / 'data' / 'photos'}, and write" in form.advice
    assert form.advice.endswith("data.manifest: [photos/old.csv, photos/next.csv]")
    (tmp_path / "data" / "photos" / "next.csv").write_text(filled(form.table(ROWS), "species", ["dog", "dog", ""]))
    found = labels(read(path, "data.manifest=[photos/old.csv, photos/next.csv]"))
    assert found["photos/pool/b.png"] == ("dog",)
    assert found["photos/pool/c.png"] == ()


def test_a_column_for_each_label_is_filled_with_0_and_1(tmp_path: Path, write_files: Callable) -> None:
    old = "file_name,cat,dog\nhttps://a.example/my%20photos/old.png,1,0\n"
    section = {"root": "data", "layout": "manifest", "manifest": {"train": "old.csv"}, "images": ["photos"]}
    section |= {"unlabelled": "data/photos/pool", "prefix": "https://a.example/my%20photos"}
    section["columns"] = {"labels": ["cat", "dog"]}
    path = project(tmp_path, write_files, FILES | {"data/old.csv": old.encode()}, section, task="multi_label")
    form = form_of(path, tmp_path / "data" / "next.csv")
    text = form.table(ROWS)
    assert text.splitlines()[1] == "https://a.example/my%20photos/pool/x/a%2C%201.png,,,cat,0.7500"
    assert "fill in the columns cat, dog with 1 or 0, write data.root" in form.advice
    assert form.advice.endswith("data.manifest: {train: [old.csv, next.csv]}")
    both = filled(filled(text, "cat", ["1", "0", ""]), "dog", ["1", "", ""])
    (tmp_path / "data" / "next.csv").write_text(both)
    dataset = read(path, "data.manifest={train: [old.csv, next.csv]}")
    assert labels(dataset)["photos/pool/x/a, 1.png"] == ("cat", "dog")
    assert {r.path: r.unknown for r in dataset.records}["photos/pool/b.png"] == ("dog",)


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_images_elsewhere_are_a_data_set_of_their_own(tmp_path: Path, write_files: Callable, task: str) -> None:
    section = {"root": "data", "layout": "manifest", "manifest": "old.csv", "images": "photos", "unlabelled": "pool"}
    files = {f"pool/{path}": b"x" for path, _, _ in ROWS} | {"data/photos/old.png": b"x", "data/old.csv": ONE.encode()}
    path = project(tmp_path, write_files, files, section, task=task)
    form = form_of(path, tmp_path / "next.csv")
    own = "data.root: pool, data.layout: manifest, data.manifest: next.csv, without data.images"
    assert form.advice == f"next: fill in the column label, move next.csv to {tmp_path / 'pool'}, and write {own}"
    (tmp_path / "pool" / "next.csv").write_text(filled(form.table(ROWS), "label", ["dog", "", "cat"]))
    own_path = tmp_path / "own.yaml"
    told = yaml.safe_load(Path(path).read_text())
    told["data"] = {"root": "pool", "layout": "manifest", "manifest": "next.csv"}
    own_path.write_text(yaml.safe_dump(told))
    assert labels(read(str(own_path))) == {"x/a, 1.png": ("dog",), "b.png": (), "c.png": ("cat",)}


def test_a_row_left_empty_is_to_be_deleted_where_it_would_say_that_no_label_applies(
    tmp_path: Path, write_files: Callable
) -> None:
    section = {"root": "data", "layout": "manifest", "manifest": "old.csv", "images": "photos", "unlabelled": "pool"}
    files = {"pool/a.png": b"x", "data/photos/old.png": b"x", "data/old.csv": ONE.encode()}
    path = project(tmp_path, write_files, files, section, task="multi_label", labels={"empty": "none"})
    assert "label, delete the rows that you leave empty, move" in form_of(path, tmp_path / "next.csv").advice


def test_folders_and_archives_and_masks_have_advice_of_their_own(tmp_path: Path, write_files: Callable) -> None:
    folders = project(tmp_path, write_files, {"data/cat/a.png": b"x"}, {"root": "data", "unlabelled": "pool"})
    advice = form_of(folders, tmp_path / "next.csv").advice
    assert advice.endswith("data.manifest: next.csv, or move each image to the folder of its label instead")
    with zipfile.ZipFile(tmp_path / "pool.zip", "w") as archive:
        archive.writestr("a.png", b"x")
    advice = form_of(folders, tmp_path / "next.csv", "data.unlabelled=pool.zip").advice
    assert f"unpack {tmp_path / 'pool.zip'} and move next.csv into the folder that you get, and write" in advice
    section = {"root": "data", "layout": "masks", "images": "i", "masks": "m", "unlabelled": "pool"}
    masks = project(tmp_path, write_files, {}, section, task="segmentation", labels={"names": ["a", "b"]})
    form = form_of(masks, tmp_path / "next.csv")
    assert form.table([("a.png", "a 75%", 0.5)]) == "file_name,guess,uncertainty\r\na.png,a 75%,0.5000\r\n"
    assert form.advice.startswith("next: draw the masks")


def test_a_table_that_the_pattern_fits_is_not_named_twice(tmp_path: Path, write_files: Callable) -> None:
    section = {"root": "data", "layout": "manifest", "manifest": "*.csv", "images": "photos"}
    section["unlabelled"] = "data/photos/pool"
    path = project(tmp_path, write_files, FILES | {"data/old.csv": ONE.encode()}, section)
    assert form_of(path, tmp_path / "data" / "next.csv").advice.endswith("data.manifest: '*.csv'")


def test_names_on_the_page_are_escaped() -> None:
    text = contact_sheet.page(
        "<t>", "i < j", [("<b>\u202e.png", ("guess: a & b", "0.5"), "data:image/webp;base64,AA==")]
    )
    assert "<b>" not in text
    assert "&lt;b&gt;\\u202e.png<br>guess: a &amp; b<br>0.5<" in text
    assert "<p>i &lt; j</p>" in text
    assert "<title>&lt;t&gt;</title>" in text
