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


def curated(task: str, labels: Sequence[str], columns: Sequence[str] = ()) -> schema_pb2.Schema:
    """`schemas/TASK.pbtxt`, made this data set's.

    Args:
        task: of the configuration.
        labels: become the domain "label", in the order of the model's outputs.
        columns: of the manifest, to slice by; a feature each.
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    text = resources.files("schemas").joinpath(f"{task}.pbtxt").read_text(encoding="utf-8")
    schema = text_format.Parse(text, schema_pb2.Schema())
    _label_domain(schema).value[:] = labels
    for feature in schema.feature:
        if feature.name == features.PIXELS:
            feature.shape.dim.add(size=len(labels))
    for column in columns:
        feature = schema.feature.add(name=features.SLICE + column, type=schema_pb2.BYTES)
        feature.presence.min_fraction = 1.0
        feature.shape.SetInParent()
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
    return list(_label_domain(read(folder)).value)


def _label_domain(schema: schema_pb2.Schema) -> schema_pb2.StringDomain:
    return next(d for d in schema.string_domain if d.name == features.LABEL)
