"""From the configuration's plain values, by way of JSON, to a listing and the meaning of masks."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from components.base.errors import ConfigError
from components.data.dataset import Dataset, LayoutError
from components.data.features import IGNORED_ID
from components.data.mask_rules import Rule
from components.ingest.layouts import reading
from components.ingest.settings import Source
from pipeline import config

Png = Callable[..., bytes]
Read = Callable[..., tuple[Dataset, Rule | None]]


@pytest.fixture
def read(tmp_path: Path, write_files: Callable[..., Path]) -> Read:
    """`read(files, task, data, labels)` lists them as a run does."""

    def run(
        files: dict[str, bytes], task: str, data: dict[str, Any], labels: dict[str, Any] | None = None
    ) -> tuple[Dataset, Rule | None]:
        write_files(tmp_path / "root", files)
        sections = {"data": {"root": "root"} | data, "labels": labels or {}}
        told = {"name": "x", "task": task, "push": {"destination": "models"}} | sections
        (tmp_path / "imagegate.yaml").write_text(yaml.safe_dump(told))
        settings = config.load(str(tmp_path / "imagegate.yaml")).source
        return reading.read(Source.from_json(settings.to_json()))

    return run


def grey(value: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((4, 6), value, np.uint8)).save(out, "PNG")
    return out.getvalue()


def test_folders_are_read_as_labels(read: Read, png: Png) -> None:
    files = {"b/1.png": png(1), "a/2.png": png(2)}
    dataset, rule = read(files, "single_label", {})
    assert rule is None
    assert dataset.labels == ("a", "b")
    assert [(r.path, r.labels, r.unknown) for r in dataset.records] == [
        ("a/2.png", ("a",), ()),
        ("b/1.png", ("b",), ()),
    ]


TABLE = b"""file,cat,dog,patient,part,camera,weight
1.png,1,0,p,train,day,2
2.png,0,,p,,night,0.5
3.png,0,0,q,val,,1
4.png,,,q,val,,1
"""


def test_a_manifest_with_every_column_is_read(read: Read, png: Png) -> None:
    columns = {"image": "file", "labels": ["dog", "cat"], "group": "patient", "split": "part", "slices": ["camera"]}
    data = {
        "layout": "manifest",
        "manifest": "labels.csv",
        "images": "images",
        "columns": columns | {"weight": "weight"},
    }
    files = {"labels.csv": TABLE, **{f"images/{i}.png": png(i) for i in range(1, 5)}}
    dataset, rule = read(files, "multi_label", data, {"names": ["dog", "cat"]})
    assert rule is None
    assert dataset.labels == ("dog", "cat")
    found = [(r.labels, r.unknown, r.split, r.weight, r.slices) for r in dataset.records]
    assert found == [
        (("cat",), (), None, 2.0, (("camera", "day"),)),  # test is cut from train, and with it the groups of train
        ((), ("dog",), None, 0.5, (("camera", "night"),)),
        ((), (), "eval", 1.0, (("camera", ""),)),
        ((), ("dog", "cat"), "eval", 1.0, (("camera", ""),)),
    ]
    assert [r.group for r in dataset.records] == ["p", "p", "q", "q"]


@pytest.mark.parametrize(("empty", "unknown"), [("unknown", ("a", "b")), ("none", ())])
def test_an_empty_list_of_names_means_what_the_settings_say(
    read: Read, png: Png, empty: str, unknown: tuple[str, ...]
) -> None:
    table = b'{"file_name": "1.png", "tags": "b;a"}\n{"file_name": "2.png", "tags": ""}\n'
    data = {"layout": "manifest", "manifest": "m.jsonl", "columns": {"labels": "tags"}, "separator": ";"}
    dataset, _ = read({"m.jsonl": table, "1.png": png(1), "2.png": png(2)}, "multi_label", data, {"empty": empty})
    assert [(r.labels, r.unknown) for r in dataset.records] == [(("a", "b"), ()), ((), unknown)]


def test_a_manifest_of_single_labels_may_have_rows_without_one(read: Read, png: Png) -> None:
    table = b"file_name,label\n1.png,a|b\n2.png,\n3.png,c\n"
    data = {"layout": "manifest", "manifest": "m.csv"}
    files = {"m.csv": table, **{f"{i}.png": png(i) for i in (1, 2, 3)}}
    dataset, _ = read(files, "single_label", data)
    assert dataset.labels == ("a|b", "c")  # one name a cell
    assert [(r.labels, r.unknown) for r in dataset.records] == [(("a|b",), ()), ((), ("a|b", "c")), (("c",), ())]


def test_masks_leave_out_the_ignored_label(read: Read, png: Png) -> None:
    files = {
        f"{folder}/{i}.png": png(i) if folder == "images" else grey(i)
        for folder in ("images", "masks")
        for i in range(3)
    }
    data = {"layout": "masks", "images": "images", "masks": "masks"}
    dataset, rule = read(files, "segmentation", data, {"names": ["sky", "void", "road"], "ignore": "void"})
    assert rule is not None
    assert rule.labels == dataset.labels == ("sky", "road")
    # In masks road is 2; among the labels that are left it is 1.
    assert rule.codes == ((0, 0), (1, IGNORED_ID), (2, 1))
    assert [(r.path, r.mask) for r in dataset.records] == [(f"images/{i}.png", f"masks/{i}.png") for i in range(3)]


def test_masks_in_colours_come_back_from_json(read: Read, png: Png) -> None:
    colors = {"sky": [128, 128, 128], "road": [128, 64, 128], "void": [0, 0, 0]}
    data = {"layout": "masks", "images": "images", "masks": "masks"}
    labels = {"names": ["sky", "road"], "ignore": "void", "colors": colors}
    _, rule = read({"images/1.png": png(1), "masks/1.png": png(2)}, "segmentation", data, labels)
    assert rule is not None
    assert rule.colored
    # r + 256 g + 65536 b.
    assert set(rule.codes) == {
        (128 + 256 * 128 + 65536 * 128, 0),
        (128 + 256 * 64 + 65536 * 128, 1),
        (0, IGNORED_ID),
    }


COCO = {
    "images": [{"id": 1, "file_name": "1.png", "width": 6, "height": 4}, {"id": 2, "file_name": "2.png"}],
    "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}, {"id": 3, "name": "crowd"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 3, 0, 3, 4, 0, 4]], "area": 12},
        {"id": 2, "image_id": 1, "category_id": 3, "segmentation": [[3, 0, 6, 0, 6, 4]], "area": 6},
    ],
}


def coco(read: Read, png: Png, task: str, labels: dict[str, Any]) -> tuple[Dataset, Rule | None]:
    files = {"coco.json": json.dumps(COCO).encode(), "images/1.png": png(1), "images/2.png": png(2)}
    return read(files, task, {"layout": "coco", "annotations": "coco.json", "images": "images"}, labels)


def test_coco_categories_are_labels(read: Read, png: Png) -> None:
    dataset, rule = coco(read, png, "multi_label", {})
    assert rule is None
    assert dataset.labels == ("cat", "crowd", "dog")
    assert [(r.labels, r.unknown) for r in dataset.records] == [(("crowd", "dog"), ()), ((), ())]


def test_coco_regions_are_masks(read: Read, png: Png) -> None:
    dataset, rule = coco(read, png, "segmentation", {"ignore": "crowd", "background": "ground"})
    assert rule is not None
    assert rule.labels == dataset.labels == ("cat", "dog", "ground")
    assert (rule.index("dog"), rule.index("crowd"), rule.background) == (1, IGNORED_ID, "ground")
    assert [json.loads(r.regions)["regions"][:1] for r in dataset.records] == [
        [["dog", [[0, 0, 3, 0, 3, 4, 0, 4]]]],
        [],
    ]


def test_labels_come_in_the_order_of_names_else_sorted(read: Read, png: Png) -> None:
    files = {f"{name}/1.png": png(i) for i, name in enumerate("cab")}
    assert read(files, "single_label", {})[0].labels == ("a", "b", "c")
    assert read(files, "single_label", {}, {"names": ["b", "c", "a"]})[0].labels == ("b", "c", "a")


def test_missing_data_and_malformed_data_are_different_errors(read: Read, png: Png) -> None:
    data = {"layout": "manifest", "manifest": "m.csv", "columns": {"labels": ["cat", "emu"]}}
    with pytest.raises(
        LayoutError, match=r"m\.csv: there is no column 'emu' \(data\.columns\.labels\); there are 'file_"
    ):
        read({"m.csv": b"file_name,cat\n1.png,1\n", "1.png": png(1)}, "multi_label", data)
    with pytest.raises(ConfigError, match=r"data\.manifest: .*n\.csv"):
        read({}, "multi_label", data | {"manifest": "n.csv"})
    with pytest.raises(ConfigError, match=r"labels\.ignore: 'emu' is not a category; there are 'cat', 'crowd', 'dog'"):
        coco(read, png, "segmentation", {"ignore": "emu"})
