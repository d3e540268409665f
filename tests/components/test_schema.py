"""The curated schema: the labels travel through it, and it says what ingest writes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import schema_pb2

from components import features, images, schema
from components.layouts import LayoutError, label_name


@pytest.mark.parametrize("labels", [["b", "a"], ["it's", 'say "hi"', "back\\slash", "日本", "a: b", "#", "-rf"]])
def test_labels_come_back_in_their_order(tmp_path: Path, labels: list[str]) -> None:
    schema.write(str(tmp_path / "schema"), schema.curated("single_label", labels))
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


def test_every_schema_is_valid_text() -> None:
    for path in (Path(__file__).parents[2] / "schemas").glob("*.pbtxt"):
        parsed = text_format.Parse(path.read_text(), schema_pb2.Schema())
        assert features.LABEL in [feature.name for feature in parsed.feature]


def test_the_schema_says_what_ingest_writes(png: Callable[..., bytes]) -> None:
    image = images.check(png(1), 100)
    example = tf.train.Example.FromString(features.to_example("cat/1.png", "00", image, ("cat",)))
    kinds = {"bytes_list": schema_pb2.BYTES, "int64_list": schema_pb2.INT}
    written = {name: kinds[f.WhichOneof("kind")] for name, f in example.features.feature.items()}
    expected = schema.curated("single_label", ["cat", "dog"])

    # The image is left out on purpose: what is not in the schema is not read.
    assert written.pop(features.IMAGE) == schema_pb2.BYTES
    assert {feature.name: feature.type for feature in expected.feature} == written


def test_the_schema_knows_every_stored_format() -> None:
    [stored] = [f for f in schema.curated("single_label", []).feature if f.name == features.FORMAT]
    kept = {kind.lower() for kind in images.FORMATS} - {"gif", "tiff"}  # these become PNG
    assert set(stored.string_domain.value) == kept


def test_an_example_is_the_same_bytes_every_time(png: Callable[..., bytes]) -> None:
    image = images.check(png(1), 100)
    made = {features.to_example("cat/1.png", "00", image, ("cat",)) for _ in range(20)}
    assert len(made) == 1
