"""The curated schema: what a record must look like. The label names travel through the graph as its label domain."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING

from components import features

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2

FILE = "schema.pbtxt"  # the name that TFX's own schema components use


def curated(task: str, labels: Sequence[str]) -> schema_pb2.Schema:
    """`schemas/TASK.pbtxt` with `labels` as the domain of the label feature, in the order of the model's outputs."""
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    text = resources.files("schemas").joinpath(f"{task}.pbtxt").read_text(encoding="utf-8")
    schema = text_format.Parse(text, schema_pb2.Schema())
    _label_feature(schema).string_domain.value[:] = labels
    return schema


def write(folder: str, schema: schema_pb2.Schema) -> None:
    """Puts the schema where TFX looks for it in a Schema artifact."""
    from google.protobuf import text_format

    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, FILE), "w", encoding="utf-8") as f:
        f.write(text_format.MessageToString(schema, as_utf8=True))


def read(folder: str) -> schema_pb2.Schema:
    """The schema of a Schema artifact."""
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    with open(os.path.join(folder, FILE), encoding="utf-8") as f:
        return text_format.Parse(f.read(), schema_pb2.Schema())


def labels(folder: str) -> list[str]:
    """The label names of a Schema artifact, in the order of the model's outputs."""
    return list(_label_feature(read(folder)).string_domain.value)


def _label_feature(schema: schema_pb2.Schema) -> schema_pb2.Feature:
    return next(f for f in schema.feature if f.name == features.LABEL)
