"""Layout `manifest`: tables of every kind."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from any_layout.truth import World, files

Settings = dict[str, Any]


def pictures(root: Path, world: World, folder: str = "images") -> None:
    files(root, {f"{folder}/{p.name}.png": p.png for p in world.pictures})


def _csv(rows: Sequence[Sequence[str]], delimiter: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return out.getvalue()


def _table(root: Path, name: str, rows: Sequence[Sequence[str]], **columns: Any) -> Settings:
    files(root, {name: _csv(rows, "\t" if name.endswith(".tsv") else ",")})
    return {"layout": "manifest", "manifest": name, "images": "images", "columns": {"image": "file", **columns}}


def csv_single(root: Path, world: World) -> Settings:
    pictures(root, world)
    rows = [("file", "kind", "part"), *((f"{p.name}.png", p.labels[0], p.split or "") for p in world.pictures)]
    return {"task": "single_label", "data": _table(root, "all.csv", rows, labels="kind", split="part")}


def tsv_single(root: Path, world: World) -> Settings:
    pictures(root, world)
    rows = [("file", "kind"), *((f"{p.name}.png", p.labels[0]) for p in world.pictures)]
    return {"task": "single_label", "data": _table(root, "all.tsv", rows, labels="kind")}


def csv_per_split(root: Path, world: World) -> Settings:
    pictures(root, world)
    for split in world.splits:
        rows = [("file", "kind"), *((f"{p.name}.png", p.labels[0]) for p in world.of(split))]
        settings = _table(root, f"{split}.csv", rows, labels="kind")
    return {"task": "single_label", "data": settings | {"manifest": {split: f"{split}.csv" for split in world.splits}}}


def csv_names(root: Path, world: World) -> Settings:
    pictures(root, world)
    rows = [("file", "tags"), *((f"{p.name}.png", "|".join(p.labels)) for p in world.pictures)]
    return {"task": "multi_label", "data": _table(root, "all.csv", rows, labels="tags")}


def csv_columns(root: Path, world: World) -> Settings:
    pictures(root, world)
    names = [f"{name} " if name == "file" else name for name in world.labels]
    rows = [[f"{p.name}.png", *(str(int(label in p.labels)) for label in world.labels)] for p in world.pictures]
    return {"task": "multi_label", "data": _table(root, "all.csv", [["file", *names], *rows], labels=names)}


def _lines(world: World) -> list[Settings]:
    return [{"file": f"{p.name}.png", "tags": list(p.labels), "part": p.split} for p in world.pictures]


def jsonl(root: Path, world: World) -> Settings:
    pictures(root, world)
    files(root, {"all.jsonl": "".join(f"{json.dumps(line)}\n" for line in _lines(world))})
    columns = {"image": "file", "labels": "tags", "split": "part"}
    data = {"layout": "manifest", "manifest": "all.jsonl", "images": "images", "columns": columns}
    return {"task": "multi_label", "data": data}


def json_array(root: Path, world: World) -> Settings:
    pictures(root, world)
    files(root, {"all.json": json.dumps(_lines(world))})
    columns = {"image": "file", "labels": "tags", "split": "part"}
    data = {"layout": "manifest", "manifest": "all.json", "images": "images", "columns": columns}
    return {"task": "multi_label", "data": data}


def row_per_label(root: Path, world: World) -> Settings:
    """A picture without a label has one row with an empty cell."""
    pictures(root, world)
    rows = [("file", "tag"), *((f"{p.name}.png", label) for p in world.pictures for label in p.labels or [""])]
    data = _table(root, "all.csv", rows, labels="tag") | {"rows": "label"}
    return {"task": "multi_label", "data": data, "labels": {"empty": "none"}}


def parquet(root: Path, world: World) -> Settings:
    """The images inside and names in the metadata, in another order in each file, as Hugging Face's format allows."""
    import pyarrow as pa
    from pyarrow import parquet

    (root / "data").mkdir(parents=True)
    for turn, split in enumerate(world.splits or [None]):
        names = [*world.labels[turn % len(world.labels) :], *world.labels[: turn % len(world.labels)]]
        features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
        part = [p for p in world.pictures if p.split == split]
        images = [{"bytes": p.png, "path": f"{p.name}.png"} for p in part]
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        ids = pa.array([names.index(p.labels[0]) for p in part], pa.int64())
        table = pa.table({"image": pa.array(images, kind), "label": ids})
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        # Few rows in a group, so that there are several.
        parquet.write_table(table.replace_schema_metadata(metadata), root / f"data/{split or 'all'}.parquet", 3)
    named = {split: f"data/{split}.parquet" for split in world.splits}
    data = {"layout": "manifest", "manifest": named or "data/*.parquet", "columns": {"labels": "label"}}
    return {"task": "single_label", "data": data | {"columns": {"image": "image", "labels": "label"}}}
