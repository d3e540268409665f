"""The schema of a record. Its label domain carries the label names through the graph.

`curated` makes the schema for any data set of a task. `frozen` makes the schema of one data set, which a user keeps
beside the configuration, and `compare` describes how later data differ from it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING

from components.base.artifact_files import SCHEMA
from components.base.errors import ConfigError
from components.base.text import truncated_list
from components.data import features
from components.data.manifest import DatasetManifest

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2


def curated(task: str, labels: Sequence[str], columns: Sequence[str] = ()) -> schema_pb2.Schema:
    """Builds the schema of a data set from `schemas/TASK.pbtxt`.

    Args:
        task: the task in the configuration.
        labels: label names in the order of the model's outputs; they become the string domain "label".
        columns: columns of the manifest to slice by; each becomes a feature.

    >>> [domain.name for domain in curated("single_label", ["cat", "dog"]).string_domain]
    ['label']
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


def frozen(task: str, manifest: DatasetManifest) -> str:
    """Writes the schema of a data set as text; its labels, image formats and slice values become domains.

    Args:
        task: the task in the configuration.
        manifest: counts of the data set.
    """
    schema = curated(task, manifest.labels, list(manifest.slices))
    for feature in schema.feature:
        if feature.name == features.FORMAT:
            feature.string_domain.value[:] = list(manifest.formats)
        if feature.name.startswith(features.SLICE):
            feature.string_domain.value.extend(manifest.slices[feature.name.removeprefix(features.SLICE)])
    return _HEAD + _text(schema)


_HEAD = """\
# Schema of the data, to be edited by hand. A run stops if the data have a label, format, column or value that is not
# listed here, or lack a label or column that is. The labels are in the order of the model's outputs.
"""


def parse(text: str, task: str, where: str) -> schema_pb2.Schema:
    """Reads a frozen schema.

    Args:
        text: a schema from `frozen`, possibly edited.
        task: the task in the configuration.
        where: path of the file, for messages.

    Raises:
        ConfigError: the text is not a schema, or lacks a feature or domain that the pipeline needs.
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    try:
        schema = text_format.Parse(text, schema_pb2.Schema())
    except text_format.ParseError as error:
        raise ConfigError(f"{where}: not a schema in text format: {error}") from None
    present = {feature.name for feature in schema.feature}
    missing = [feature.name for feature in curated(task, []).feature if feature.name not in present]
    if missing:
        raise ConfigError(
            f"{where}: has no feature {truncated_list(map(repr, missing))}, which task {task} needs; put it back"
        )
    if not any(domain.name == features.LABEL for domain in schema.string_domain):
        raise ConfigError(f"{where}: has no string_domain {features.LABEL!r}, the labels; put it back")
    return schema


def compare(schema: schema_pb2.Schema, manifest: DatasetManifest, where: str) -> list[tuple[str, str]]:
    """Lists the differences between a data set and a frozen schema.

    Args:
        schema: the schema, see `parse`.
        manifest: counts of the data set.
        where: path of the schema, for messages.

    Returns:
        (feature, sentence) pairs; the sentence names the value and the number of images.
    """
    accept = f"if that is meant, edit {where} or freeze the schema again: imagegate schema"
    return [(feature, f"{text}; {accept}") for feature, text in _differences(schema, manifest)]


def _differences(schema: schema_pb2.Schema, manifest: DatasetManifest) -> Iterator[tuple[str, str]]:
    yield from _label_differences(schema, manifest)
    yield from _value_differences(schema, manifest)
    yield from _size_differences(schema, manifest)


def _label_differences(schema: schema_pb2.Schema, manifest: DatasetManifest) -> Iterator[tuple[str, str]]:
    known, labels = list(_label_domain(schema).value), manifest.labels
    for label in labels:
        if label not in known:
            yield features.LABEL, f"the label {label!r} is new ({_where(manifest.label_counts[label])})"
    for label in known:
        if label not in labels:
            yield features.LABEL, f"the label {label!r} is not in the data"
    if sorted(known) == sorted(labels) and known != list(labels):
        yield features.LABEL, f"the order of the labels is {truncated_list(labels)}, expected {truncated_list(known)}"


def _value_differences(schema: schema_pb2.Schema, manifest: DatasetManifest) -> Iterator[tuple[str, str]]:
    """Differences in columns, their values and the image formats."""
    own = {f.name: f for f in schema.feature}
    columns = {name.removeprefix(features.SLICE) for name in own if name.startswith(features.SLICE)}
    for column in sorted(columns - set(manifest.slices)):
        yield features.SLICE + column, f"the column {column!r} is not in the data"
    for column in sorted(set(manifest.slices) - columns):
        yield features.SLICE + column, f"the column {column!r} is new"
    slices = {features.SLICE + column: counts for column, counts in manifest.slices.items()}
    for name, counts in {features.FORMAT: manifest.formats, **slices}.items():
        domain = own[name].string_domain.value if name in own and own[name].HasField("string_domain") else None
        for value, by_split in counts.items():
            if domain is not None and value not in domain:
                expected = truncated_list(map(repr, domain))
                yield name, f"the value {value!r} is new ({_where(by_split)}), expected one of {expected}"


def _size_differences(schema: schema_pb2.Schema, manifest: DatasetManifest) -> Iterator[tuple[str, str]]:
    own = {f.name: f for f in schema.feature}
    for name, (least, most) in zip((features.WIDTH, features.HEIGHT), manifest.sizes.values(), strict=False):
        bounds = own[name].int_domain
        if bounds.HasField("min") and least < bounds.min:
            yield name, f"the smallest is {least} pixels, expected {bounds.min} or more"
        if bounds.HasField("max") and most > bounds.max:
            yield name, f"the largest is {most} pixels, expected {bounds.max} or less"


def _where(by_split: Mapping[str, int]) -> str:
    return (
        ", ".join(f"{n:,} image{'s' if n > 1 else ''} in {split}" for split, n in by_split.items() if n) or "no image"
    )


def write(folder: str, schema: schema_pb2.Schema) -> None:
    """Writes the schema to the file that TFX reads in a Schema artifact."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, SCHEMA), "w", encoding="utf-8") as f:
        f.write(_text(schema))


def _text(schema: schema_pb2.Schema) -> str:
    from google.protobuf import text_format

    return text_format.MessageToString(schema, as_utf8=True)


def read(folder: str) -> schema_pb2.Schema:
    """Reads the schema of a Schema artifact."""
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    with open(os.path.join(folder, SCHEMA), encoding="utf-8") as f:
        return text_format.Parse(f.read(), schema_pb2.Schema())


def labels(folder: str) -> list[str]:
    """Reads the label names of a Schema artifact, in the order of the model's outputs."""
    return list(_label_domain(read(folder)).value)


def _label_domain(schema: schema_pb2.Schema) -> schema_pb2.StringDomain:
    return next(d for d in schema.string_domain if d.name == features.LABEL)
