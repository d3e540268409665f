"""Tables of images are recognised: which column names the images, where they are, and what the other columns mean."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.data import storage
from components.data.dataset import Dataset
from pipeline.init.recognise import tables
from pipeline.init.recognise.sight import Proposal, Sight

See = Callable[..., Sight]
Take = Callable[[Sight, Proposal], tuple[Dataset, object]]

SIX = [f"{i}.jpg" for i in range(6)]
ANIMALS = ["cat", "dog", "cat", "dog", "owl", "owl"]


def table(header: str, *columns: list[Any], delimiter: str = ",") -> str:
    rows = [header.split(","), *(list(map(str, row)) for row in zip(*columns, strict=True))]
    return "".join(delimiter.join(row) + "\n" for row in rows)


def truth(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    return {record.path: record.labels for record in dataset.records}


def first(sight: Sight) -> Proposal:
    return ways(sight)[0]


def ways(sight: Sight) -> list[Proposal]:
    return [proposal for proposal in tables.recognise(sight) if not proposal.problem]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", ["file_name,label", "Filename,Class", "x,y"])
@pytest.mark.parametrize("folder", ["", "images/"])
def test_names_and_labels_are_found(
    see: See, taken: Take, tmp_path: Path, delimiter: str, header: str, folder: str
) -> None:
    text = table(header, SIX, ANIMALS, delimiter=delimiter)
    sight = see(tmp_path, *(folder + name for name in SIX), files={"labels.csv": text})
    proposal = first(sight)
    assert (proposal.layout, proposal.tasks) == ("manifest", ("single_label", "multi_label"))
    assert proposal.data.get("images") == (folder.rstrip("/") or None)
    dataset = taken(sight, proposal)[0]
    assert truth(dataset) == {folder + name: (label,) for name, label in zip(SIX, ANIMALS, strict=True)}
    assert dataset.rejected == ()


def test_names_without_ending_and_upper_case_endings_are_matched(see: See, taken: Take, tmp_path: Path) -> None:
    ids = [f"glass_{i}" for i in range(6)]
    files = {"train.csv": table("id_code,diagnosis", ids, [0, 1, 2, 0, 1, 2])}
    sight = see(tmp_path, *(f"train_images/{name}.JPG" for name in ids), files=files)
    dataset = taken(sight, first(sight))[0]
    assert truth(dataset)["train_images/glass_5.JPG"] == ("2",)
    assert len(dataset.records) == 6


@pytest.mark.parametrize("start", ["/home/me/photos/", "https://example.org/a/", "C:\\photos\\", "./", "../data/"])
def test_what_stands_before_the_paths_becomes_the_prefix(see: See, taken: Take, tmp_path: Path, start: str) -> None:
    names = [f"{start}x/{name}" for name in SIX]
    sight = see(tmp_path, *(f"x/{name}" for name in SIX), files={"labels.csv": table("path,label", names, ANIMALS)})
    assert len(taken(sight, first(sight))[0].records) == 6


def test_several_folders_of_images_are_found(see: See, taken: Take, tmp_path: Path) -> None:
    paths = [f"{'a' if i < 3 else 'b'}/{name}" for i, name in enumerate(SIX)]
    sight = see(tmp_path, *paths, files={"labels.csv": table("image,label", SIX, ANIMALS)})
    proposal = first(sight)
    assert proposal.data["images"] == ["a", "b"]
    assert set(truth(taken(sight, proposal)[0])) == set(paths)


@pytest.mark.parametrize(
    ("cells", "keys"),
    [
        (["cat|dog", "cat", "dog", "owl|cat", "owl", "dog"], {"separator": "|"}),
        (["cat;dog", "cat", "dog", "owl;cat", "owl", "dog"], {"separator": ";"}),
        (["cat dog", "cat", "dog", "owl cat", "owl", "dog"], {"separator": " "}),
        (["['cat' 'dog']", "['cat']", "['dog']", "['owl' 'cat']", "['owl']", "['dog']"], {}),
    ],
)
def test_several_names_in_a_cell_are_found(
    see: See, taken: Take, tmp_path: Path, cells: list[str], keys: dict[str, str]
) -> None:
    sight = see(tmp_path, *SIX, files={"labels.csv": table("file,tags", SIX, cells)})
    proposal = first(sight)
    assert proposal.tasks == ("multi_label",)
    assert {key: proposal.data[key] for key in ("separator",) if key in proposal.data} == keys
    expected = [("cat", "dog"), ("cat",), ("dog",), ("cat", "owl"), ("owl",), ("dog",)]
    assert list(truth(taken(sight, proposal)[0]).values()) == expected


def test_columns_of_flags_are_several_labels(see: See, taken: Take, tmp_path: Path) -> None:
    text = table("file,cat,dog", SIX, [1, 0, 1, 0, 0, 1], [1, 1, 0, 0, 1, 0])
    sight = see(tmp_path, *SIX, files={"labels.csv": text})
    proposal = first(sight)
    assert (proposal.tasks, proposal.data["columns"]["labels"]) == (("multi_label",), ["cat", "dog"])
    assert list(truth(taken(sight, proposal)[0]).values())[:3] == [("cat", "dog"), ("dog",), ("cat",)]


def test_exactly_one_flag_in_each_row_is_a_single_label(see: See, taken: Take, tmp_path: Path) -> None:
    sight = see(
        tmp_path, *SIX, files={"labels.csv": table("file,cat,dog", SIX, [1, 0, 1, 0, 0, 1], [0, 1, 0, 1, 1, 0])}
    )
    proposal = first(sight)
    assert proposal.tasks == ("single_label", "multi_label")
    assert truth(taken(sight, proposal)[0])["1.jpg"] == ("dog",)


def test_codes_for_unknown_and_no_get_a_map(see: See, taken: Take, tmp_path: Path) -> None:
    text = table("file,cat,dog", SIX, [1, 0, -1, 0, 0, 1], ["", "u", 1, 0, 1, 0])
    sight = see(tmp_path, *SIX, files={"labels.csv": text})
    proposal = first(sight)
    assert proposal.data["columns"]["values"] == {"-1": None, "u": None}
    records = {record.path: record for record in taken(sight, proposal)[0].records}
    assert (records["2.jpg"].labels, records["2.jpg"].unknown) == (("dog",), ("cat",))
    assert records["1.jpg"].unknown == ("dog",)
    only = see(tmp_path / "b", *SIX, files={"a.csv": table("file,cat,dog", SIX, [1, -1] * 3, [-1, -1, 1] * 2)})
    assert first(only).data["columns"]["values"] == {"-1": "0"}


def test_one_row_for_each_label_is_found(see: See, taken: Take, tmp_path: Path) -> None:
    names = [*SIX, "0.jpg", "1.jpg"]
    sight = see(tmp_path, *SIX, files={"labels.csv": table("file,label", names, [*ANIMALS, "dog", "owl"])})
    proposal = first(sight)
    assert (proposal.tasks, proposal.data["rows"]) == (("multi_label",), "label")
    assert truth(taken(sight, proposal)[0])["0.jpg"] == ("cat", "dog")


def test_splits_groups_weights_and_slices_are_found(see: See, taken: Take, tmp_path: Path) -> None:
    names = [f"{i}.png" for i in range(40)]
    columns = [
        ["cat", "dog"] * 20,
        [f"p{i // 2}" for i in range(40)],
        ["left"] * 30 + ["right"] * 10,
        [1.5] * 40,
        ["train"] * 30 + ["test"] * 10,
    ]
    text = table("image_id,label,patient_id,side,weight,split", names, *columns)
    sight = see(tmp_path, *names, files={"labels.csv": text})
    proposal = first(sight)
    assert proposal.data["columns"] == {
        "image": "image_id",
        "labels": "label",
        "weight": "weight",
        "split": "split",
        "group": "patient_id",
        "slices": ["side"],
    }
    assert "20 values" in proposal.comments["data.columns.group"]
    record = taken(sight, proposal)[0].records[0]
    assert (record.weight, record.group, record.slices) == (1.5, "p0", (("side", "left"),))


@pytest.mark.parametrize("form", ["{}.csv", "labels_{}.csv", "{}/metadata.csv"])
def test_one_table_for_each_split_is_found(see: See, taken: Take, tmp_path: Path, form: str) -> None:
    parts = {"train": SIX[:3], "val": SIX[3:5], "test": SIX[5:]}
    below = "{}/" if "/" in form else "images/"
    files = {form.format(part): table("file,label", names, ANIMALS[: len(names)]) for part, names in parts.items()}
    sight = see(tmp_path, *(below.format(part) + name for part in parts for name in parts[part]), files=files)
    dataset = taken(sight, first(sight))[0]
    assert [record.split for record in sorted(dataset.records, key=lambda r: r.path[-5:])] == [
        *("train", "train", "train"),
        *("eval", "eval"),
        "test",
    ]


def test_a_table_of_test_without_labels_is_left_out(see: See, taken: Take, tmp_path: Path) -> None:
    files = {"train.csv": table("file,label", SIX[:4], ANIMALS[:4]), "test.csv": table("file", SIX[4:])}
    sight = see(tmp_path, *SIX, files=files)
    proposal = first(sight)
    assert proposal.data["manifest"] == "train.csv"
    assert proposal.notes == ["test.csv has not all columns of the table of train and is left out"]
    assert len(taken(sight, proposal)[0].records) == 4


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.json", dict(zip(SIX, ANIMALS, strict=True))),
        ("labels.json", [{"image": n, "class": a} for n, a in zip(SIX, ANIMALS, strict=True)]),
        (
            "metadata.jsonl",
            "".join(json.dumps({"file_name": n, "label": a}) + "\n" for n, a in zip(SIX, ANIMALS, strict=True)),
        ),
    ],
)
def test_json_is_found(see: See, taken: Take, tmp_path: Path, name: str, content: Any) -> None:
    sight = see(tmp_path, *SIX, files={name: content})
    assert list(truth(taken(sight, first(sight))[0]).values()) == [(label,) for label in ANIMALS]


def test_an_index_is_not_taken_for_the_names(see: See, taken: Take, tmp_path: Path) -> None:
    for header in (",image,label", "Unnamed: 0,image,label"):
        sight = see(tmp_path, *SIX, files={"labels.csv": table(header, list(range(6)), SIX, ANIMALS)})
        assert first(sight).data["columns"]["image"] == "image"
        assert len(taken(sight, first(sight))[0].records) == 6


def test_lists_of_paths_and_numbers_are_found(see: See, taken: Take, tmp_path: Path) -> None:
    lists = {"train.txt": "x/0.jpg 0\nx/1.jpg 1\nx/2.jpg 2\n", "val.txt": "x/3.jpg 1\nx/4.jpg 0\nx/5.jpg 2\n"}
    sight = see(tmp_path, *(f"x/{name}" for name in SIX), files=lists)
    dataset = taken(sight, first(sight))[0]
    assert [record.labels for record in dataset.records] == [("0",), ("1",), ("2",), ("1",), ("0",), ("2",)]
    assert [record.split for record in dataset.records][3:] == ["eval"] * 3
    # Folders of one label each have better names for them.
    number_of = {"cat": 0, "dog": 1, "owl": 2}
    pairs = list(zip(SIX, ANIMALS, strict=True))
    named = {"train.txt": "".join(f"{label}/{name} {number_of[label]}\n" for name, label in pairs)}
    folders = (f"{label}/{name}" for name, label in pairs)
    assert ways(see(tmp_path / "folders", *folders, files=named)) == []


def test_parquet_files_with_images_are_found(see: See, taken: Take, tmp_path: Path) -> None:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {"label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}
    content = pa.table({"image": pa.array([{"bytes": b"x", "path": ""}] * 4, kind), "label": [0, 1, 0, 1]})
    content = content.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    out = io.BytesIO()
    pq.write_table(content, out)
    names = ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001")
    sight = see(tmp_path, files={f"data/{name}.parquet": out.getvalue() for name in names})
    proposal = first(sight)
    assert proposal.data["manifest"] == {
        "train": "data/train-*.parquet",
        "test": "data/test-00000-of-00001.parquet",
    }
    dataset = taken(sight, proposal)[0]
    assert (len(dataset.records), dataset.labels) == (12, ("cat", "dog"))


def test_strange_files_raise_nothing(see: See, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(20):
        names = ("a.csv", "b.json", "c.jsonl", "d.txt", "e.parquet", "f.tsv")
        signs = np.frombuffer(b',;\n"[{\0\xff\t|', np.uint8)
        files = {name: random.choice(signs, 100).tobytes() for name in names}
        list(tables.recognise(see(tmp_path / str(number), *SIX, files=files)))


def test_tables_about_something_else_are_left_alone(see: See, tmp_path: Path) -> None:
    files = {
        "sizes.csv": table("file,width,height", SIX, [640] * 6, [480] * 6),
        "prices.csv": "item,price\nx,1\n",
        "labels.txt": "cat\ndog\n",
        "broken.json": "{",
        "binary.csv": b"\0\1\2",
        "config.json": {"a": 1},
        "few.csv": "file,label\n0.jpg,cat\n",
    }
    sight = see(tmp_path, *SIX, files=files)
    assert ways(sight) == []


def test_both_readings_are_named_where_two_columns_may_be_the_labels(see: See, tmp_path: Path) -> None:
    text = table("file,label,species", SIX, ANIMALS, ["x", "y"] * 3)
    proposals = list(tables.recognise(see(tmp_path, *SIX, files={"labels.csv": text})))
    assert [p.data["columns"]["labels"] for p in proposals] == ["label", "species"]


@pytest.mark.real_images
def test_the_scenes_are_recognised(real_images: Path, taken: Take) -> None:
    root = str(real_images / "miml")
    found = {file.path: file for file in sorted(storage.files(root), key=lambda f: f.path)}
    sight = Sight(root, found)
    proposal = first(sight)
    assert proposal.tasks == ("multi_label",)
    assert proposal.data == {
        "manifest": "labels.csv",
        "images": "images",
        "columns": {"image": "Filenames", "labels": ["desert", "mountains", "sea", "sunset", "trees"]},
    }
    assert len(taken(sight, proposal)[0].records) == 1000
