"""The curated schema: the labels travel through it, and it says what ingest writes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import schema_pb2

from components import features, images, masks, schema
from components.layouts import LayoutError, Record, label_name
from components.mask_rules import rule

TASKS = ["single_label", "multi_label", "segmentation"]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("labels", [["b", "a"], ["it's", 'say "hi"', "back\\slash", "日本", "a: b", "#", "-rf"]])
def test_labels_come_back_in_their_order(tmp_path: Path, labels: list[str], task: str) -> None:
    schema.write(str(tmp_path / "schema"), schema.curated(task, labels))
    assert schema.labels(str(tmp_path / "schema")) == labels


def is_label(name: str) -> bool:
    try:
        return label_name(name, "") == name
    except LayoutError:
        return False


@settings(max_examples=20)
@given(st.lists(st.text(min_size=1, max_size=8).filter(is_label), min_size=2, unique=True))
def test_any_label_name_survives_the_file(tmp_path_factory: pytest.TempPathFactory, labels: list[str]) -> None:
    folder = str(tmp_path_factory.getbasetemp() / "schema")
    schema.write(folder, schema.curated("single_label", labels))
    assert schema.labels(folder) == labels


def test_every_task_has_a_schema_of_valid_text() -> None:
    of_task = {
        "single_label": {features.LABEL, features.UNKNOWN},
        "multi_label": {features.LABEL, features.UNKNOWN},
        "segmentation": {features.PIXELS, features.IGNORED},
    }
    paths = {path.stem: path for path in (Path(__file__).parents[2] / "schemas").glob("*.pbtxt")}
    assert paths.keys() == of_task.keys()
    for task, path in paths.items():
        names = {f.name for f in text_format.Parse(path.read_text(), schema_pb2.Schema()).feature}
        common = {features.PATH, features.SHA256, features.FORMAT, features.WIDTH, features.HEIGHT, features.WEIGHT}
        assert names == common | of_task[task]


def written(task: str, png: Callable[..., bytes]) -> bytes:
    """An example as ingest writes it: a cat, or a mask of 24 pixels, all of them dog."""
    image = images.check(png(1), 100)
    record = Record("cat/1.png", ("cat",), None, 0, "", unknown=("dog",), weight=2.0, slices=(("camera", "day"),))
    mask = None
    if task == "segmentation":
        regions = '{"size": null, "regions": []}'
        mask = masks.draw(regions, 6, 4, rule(["cat", "dog"], background="dog"))
    return features.to_example(record, "00", image, mask)


@pytest.mark.parametrize("task", TASKS)
def test_the_schema_says_what_ingest_writes(png: Callable[..., bytes], task: str) -> None:
    example = tf.train.Example.FromString(written(task, png))
    kinds = {"bytes_list": schema_pb2.BYTES, "int64_list": schema_pb2.INT, "float_list": schema_pb2.FLOAT}
    found = {name: kinds[f.WhichOneof("kind")] for name, f in example.features.feature.items()}
    expected = schema.curated(task, ["cat", "dog"], ["camera"])

    # Images and masks are left out on purpose: what is not in the schema is not read.
    assert found.pop(features.IMAGE) == schema_pb2.BYTES
    if task == "segmentation":
        assert found.pop(features.MASK) == schema_pb2.BYTES
        assert list(example.features.feature[features.PIXELS].int64_list.value) == [0, 24]
        [pixels] = [f for f in expected.feature if f.name == features.PIXELS]
        assert [dim.size for dim in pixels.shape.dim] == [2]
    assert {feature.name: feature.type for feature in expected.feature} == found
    assert list(example.features.feature[features.SLICE + "camera"].bytes_list.value) == [b"day"]
    assert list(example.features.feature[features.WEIGHT].float_list.value) == [2]


@pytest.mark.parametrize("task", TASKS)
def test_the_schema_knows_every_stored_format(task: str) -> None:
    [stored] = [f for f in schema.curated(task, []).feature if f.name == features.FORMAT]
    kept = {kind.lower() for kind in images.FORMATS} - {"gif", "tiff"}  # these become PNG
    assert set(stored.string_domain.value) == kept


@pytest.mark.parametrize("task", TASKS)
def test_an_example_is_the_same_bytes_every_time(png: Callable[..., bytes], task: str) -> None:
    assert len({written(task, png) for _ in range(20)}) == 1
