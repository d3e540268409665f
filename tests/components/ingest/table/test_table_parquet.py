"""Parquet files: plain tables of file names, and those of Hugging Face that hold the images."""

import io
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from trees import SPLIT, encoded, tree

from components.base.errors import ConfigError
from components.data import storage
from components.data.dataset import Dataset, LayoutError
from components.ingest import shards
from components.ingest.layouts import manifest

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def picture(value: int) -> bytes:
    return encoded(Image.fromarray(np.full((4, 4, 3), value, np.uint8)))


def write(
    path: Path, labels: list[Any], names: list[str] | None = None, group: int = 2, first: int = 0, **more: Any
) -> None:
    """Writes a file of Hugging Face whose row i holds a picture of the grey value first + i."""
    images = [{"bytes": picture(first + i), "path": f"{i}.png"} for i in range(len(labels))]
    kind = pa.list_(pa.int64()) if labels and isinstance(labels[0], list) else pa.array(labels).type
    columns = {"image": pa.array(images, IMAGE), "label": pa.array(labels, kind)}
    feature: dict[str, Any] = {"_type": "ClassLabel", "names": names}
    if pa.types.is_list(kind):
        feature = {"_type": "Sequence", "feature": feature}
    features = {"image": {"_type": "Image"}} | ({"label": feature} if names else {})
    table = pa.table(columns)
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=group)


def read(root: Path, tables: Any = "train.parquet", **more: Any) -> Dataset:
    return manifest.read(str(root), SPLIT, manifest=tables, single=more.pop("single", True), **more)


def grey(root: Path, path: str) -> int:
    """The grey value of the picture at this path."""
    return int(np.asarray(Image.open(io.BytesIO(storage.read(str(root), path))))[0, 0, 0])


def test_images_and_labels_are_read_from_the_file(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [0, 1, -1, 1, 0], ["cat", "dog"])
    dataset = read(tmp_path)
    assert dataset.labels == ("cat", "dog")
    assert [r.path for r in dataset.records] == [
        "train.parquet/image/0000/000000",
        "train.parquet/image/0000/000001",
        "train.parquet/image/0001/000002",
        "train.parquet/image/0001/000003",
        "train.parquet/image/0002/000004",
    ]
    assert [r.labels for r in dataset.records] == [("cat",), ("dog",), (), ("dog",), ("cat",)]
    assert dataset.records[2].unknown == ("cat", "dog")  # -1 is Hugging Face's unknown label
    assert [grey(tmp_path, r.path) for r in dataset.records] == [0, 1, 2, 3, 4]
    assert [grey(tmp_path, r.path) for r in reversed(dataset.records)] == [4, 3, 2, 1, 0]
    assert dataset.rejected == dataset.ignored == ()


def test_ingest_examines_every_image_once(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [0, 1] * 40, ["cat", "dog"], group=7)
    dataset = read(tmp_path)
    job = shards.Job(dataset.root, dataset.fractions, {}, 100, 4)
    plan = shards.plan(dataset.records)
    # A row group is in one shard, since it is read as a whole.
    groups = [{record.path.rpartition("/")[0] for record in shard} for shard in plan]
    assert sum(map(len, groups)) == len(set().union(*groups)) == 12
    examined = [item for shard in plan for item in shards.examine(shard, job)]
    assert len({item.sha256 for item in examined}) == 80
    assert {item.problem for item in examined} == {""}


def test_threads_read_the_right_images(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [0] * 200, ["cat"], group=64)
    paths = [record.path for record in read(tmp_path).records]
    order = np.random.default_rng(0).permutation(200)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda i: grey(tmp_path, paths[i]), order)) == order.tolist()
    assert threading.active_count() < 50


def test_each_shard_has_its_own_names(tmp_path: Path) -> None:
    write(tmp_path / "data/train-00000-of-00002.parquet", [0, 0], ["cat", "dog"])
    write(tmp_path / "data/train-00001-of-00002.parquet", [0, 0], ["dog", "cat"], first=100)
    dataset = read(tmp_path, "data/train-*.parquet")
    assert [(grey(tmp_path, r.path), r.labels) for r in dataset.records] == [
        (0, ("cat",)),
        (1, ("cat",)),
        (100, ("dog",)),
        (101, ("dog",)),
    ]


def test_a_shard_without_names_beside_one_with_names_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [0, 1], ["cat", "dog"])
    write(tmp_path / "b.parquet", [0, 1])
    with pytest.raises(
        ConfigError, match=r"a\.parquet gives names to the numbers in its column 'label', but b\.parquet"
    ):
        read(tmp_path, ("a.parquet", "b.parquet"))
    assert read(tmp_path, "b.parquet").labels == ("0", "1")


def test_several_labels_are_lists_of_numbers(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [[0, 1], [], [1]], ["cat", "dog"])
    dataset = read(tmp_path, single=False, empty="none")
    assert [r.labels for r in dataset.records] == [("cat", "dog"), (), ("dog",)]


def test_splits_have_files_of_their_own(tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):
        write(tmp_path / f"data/{split}-00000-of-00001.parquet", [0, 1], ["cat", "dog"])
    tables = {split: f"data/{split}-*.parquet" for split in ("train", "validation", "test")}
    assert [r.split for r in read(tmp_path, tables).records] == ["test"] * 2 + ["train"] * 2 + ["eval"] * 2


def test_plain_tables_name_files(tmp_path: Path) -> None:
    root = tree(tmp_path, {"x/a.jpg": "a", "x/b.jpg": "b"})
    table = pa.table({"file_name": ["a.jpg", "b.jpg"], "label": pa.array(["cat", "dog"]).dictionary_encode()})
    pq.write_table(table, tmp_path / "t.parquet")
    dataset = manifest.read(root, SPLIT, manifest="t.parquet", images="x")
    assert [(r.path, r.labels) for r in dataset.records] == [("x/a.jpg", ("cat",)), ("x/b.jpg", ("dog",))]


def test_images_that_are_only_named_are_files(tmp_path: Path) -> None:
    tree(tmp_path, {"a.jpg": "a"})
    images = pa.array([{"bytes": None, "path": "a.jpg"}], IMAGE)
    pq.write_table(pa.table({"image": images, "label": ["cat"]}), tmp_path / "t.parquet")
    assert [r.path for r in read(tmp_path, "t.parquet").records] == ["a.jpg"]


def test_a_row_without_an_image_is_quarantined_when_it_is_read(tmp_path: Path) -> None:
    images = pa.array([{"bytes": picture(1), "path": ""}, None], IMAGE)
    pq.write_table(pa.table({"image": images, "label": ["cat", "dog"]}), tmp_path / "t.parquet")
    dataset = read(tmp_path, "t.parquet")
    job = shards.Job(dataset.root, dataset.fractions, {}, 100, 1)
    assert [item.problem for item in shards.examine(dataset.records, job)] == [
        "",
        "cannot be read: the row holds no image",
    ]


def test_a_number_without_a_name_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [0, 2], ["cat", "dog"])
    with pytest.raises(LayoutError, match=r"column 'label': row 2: expected a number from 0 to 1, .*got 2"):
        read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\0" * 100 + b"PAR1", b"not a table"])
def test_a_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    tree(tmp_path, {"train.parquet": content})
    with pytest.raises(LayoutError, match=r"train\.parquet: cannot be read: "):
        read(tmp_path)


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    # An extension type whose metadata is a pickle, which older releases of Arrow would have loaded.
    evil = tmp_path / "executed"
    pickle = b"cos\nsystem\n(S'touch " + os.fsencode(evil) + b"'\ntR."
    metadata = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": pickle}
    field = pa.field("label", pa.string(), metadata=metadata)
    images = pa.array([{"bytes": picture(1), "path": ""}], IMAGE)
    table = pa.Table.from_arrays([images, pa.array(["cat"])], schema=pa.schema([pa.field("image", IMAGE), field]))
    pq.write_table(table, tmp_path / "train.parquet")
    assert read(tmp_path).labels == ("cat",)
    assert not evil.exists()


def test_a_file_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [0, 0], ["cat"])
    path = read(tmp_path).records[1].path
    assert grey(tmp_path, path) == 1
    write(tmp_path / "train.parquet", [0, 0], ["cat"], first=50)
    os.utime(tmp_path / "train.parquet", ns=(1, 1))
    assert grey(tmp_path, path) == 51


def test_a_row_group_that_names_its_columns_otherwise_is_read_or_refused_as_damaged(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    write(path, [0, 1], ["cat", "dog"])
    content = path.read_bytes()
    at = content.rindex(b"\x05bytes")  # behind the schema: the path of the column's chunk
    path.write_bytes(content[:at] + b"\x05bytez" + content[at + 6 :])
    assert len(read(tmp_path).records) == 2
