"""The curated schema: the labels travel through it, and it says what ingest writes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from counting import manifest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import schema_pb2

from components.base.errors import ConfigError
from components.data import features, images, masks, schema
from components.data.arrays import reading
from components.data.dataset import LayoutError, Record, label_name
from components.data.mask_rules import rule
from components.ingest import examples

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
    paths = {path.stem: path for path in (Path(__file__).parents[3] / "schemas").glob("*.pbtxt")}
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
    return examples.to_example(record, "00", image, mask)


@pytest.mark.parametrize("task", TASKS)
def test_the_schema_describes_the_examples_that_ingest_writes(png: Callable[..., bytes], task: str) -> None:
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
    kept = {kind.lower() for kind in images.FORMATS} | set(reading.DTYPES)  # of photos, and of arrays
    assert set(stored.string_domain.value) == kept


@pytest.mark.parametrize("task", TASKS)
def test_an_example_is_the_same_bytes_every_time(png: Callable[..., bytes], task: str) -> None:
    assert len({written(task, png) for _ in range(20)}) == 1


# A frozen one.

NOWHERE = {"train": 0, "eval": 0, "test": 0}
DATA: dict[str, Any] = {
    "labels": ["dog", "cat"],
    "label_counts": {"dog": NOWHERE | {"train": 5}, "cat": NOWHERE | {"train": 4, "test": 1}},
    "formats": {"jpeg": NOWHERE | {"train": 9, "test": 1}},
    "slices": {"camera": {"day": NOWHERE | {"train": 9}, "night": NOWHERE | {"test": 1}}},
    "sizes": {"width": [100, 200], "height": [50, 60]},
}


def differences(task: str = "single_label", **changes: Any) -> list[tuple[str, str]]:
    frozen = schema.parse(schema.frozen(task, manifest(**DATA)), task, "schema.pbtxt")
    return schema.compare(frozen, manifest(**DATA | changes), "schema.pbtxt")


@pytest.mark.parametrize("task", TASKS)
def test_the_data_from_which_a_schema_was_frozen_satisfy_it(task: str) -> None:
    assert differences(task) == []


DIFFERENT: dict[str, tuple[dict[str, Any], str, str]] = {
    "a new label": (
        {
            "labels": ["dog", "cat", "emu"],
            "label_counts": DATA["label_counts"] | {"emu": NOWHERE | {"train": 2, "eval": 1}},
        },
        features.LABEL,
        "the label 'emu' is new (2 images in train, 1 image in eval)",
    ),
    "a vanished label": ({"labels": ["cat"]}, features.LABEL, "the label 'dog' is not in the data"),
    "another order": (
        {"labels": ["cat", "dog"]},
        features.LABEL,
        "the order of the labels is cat, dog, expected dog, cat",
    ),
    "a new slice value": (
        {"slices": {"camera": DATA["slices"]["camera"] | {"dusk": NOWHERE | {"train": 3}}}},
        "slice/camera",
        "the value 'dusk' is new (3 images in train), expected one of 'day', 'night'",
    ),
    "a vanished column": ({"slices": {}}, "slice/camera", "the column 'camera' is not in the data"),
    "a new column": ({"slices": DATA["slices"] | {"site": {}}}, "slice/site", "the column 'site' is new"),
    "a new format": (
        {"formats": DATA["formats"] | {"png": NOWHERE | {"eval": 1}}},
        features.FORMAT,
        "the value 'png' is new (1 image in eval), expected one of 'jpeg'",
    ),
    "no pixels wide": (
        {"sizes": {"width": [0, 200], "height": [50, 60]}},
        features.WIDTH,
        "the smallest is 0 pixels, expected 1 or more",
    ),
}


@pytest.mark.parametrize(("changes", "feature", "told"), DIFFERENT.values(), ids=DIFFERENT)
def test_a_difference_is_named_together_with_how_to_accept_it(changes: dict[str, Any], feature: str, told: str) -> None:
    [(name, text)] = differences(**changes)
    assert name == feature
    assert text == f"{told}; if that is meant, edit schema.pbtxt or freeze the schema again: imagegate schema"


def test_a_value_that_no_longer_occurs_is_not_a_difference() -> None:
    assert differences(slices={"camera": {"day": NOWHERE | {"train": 9}}}, formats={}) == []


def test_bounds_written_by_hand_are_enforced() -> None:
    text = schema.frozen("single_label", manifest(**DATA))
    before, after = text.split('name: "image/height"')
    assert before.count("min: 1\n") == 1
    edited = before.replace("min: 1\n", "min: 1\n    max: 150\n") + 'name: "image/height"' + after
    found = schema.compare(schema.parse(edited, "single_label", "s"), manifest(**DATA), "s")
    assert [(name, text.split(";")[0]) for name, text in found] == [
        (features.WIDTH, "the largest is 200 pixels, expected 150 or less")
    ]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (("feature {", "feature ["), r"schema\.pbtxt: not a schema in text format: \d+:\d+"),
        (('"image/weight"', '"image/heavy"'), r"schema\.pbtxt: has no feature 'image/weight'"),
        (('string_domain {\n  name: "label"', 'string_domain {\n  name: "tags"'), "has no string_domain 'label'"),
    ],
)
def test_an_edited_schema_must_still_parse(edit: tuple[str, str], message: str) -> None:
    text = schema.frozen("single_label", manifest(**DATA))
    assert edit[0] in text
    with pytest.raises(ConfigError, match=message):
        schema.parse(text.replace(*edit), "single_label", "schema.pbtxt")
