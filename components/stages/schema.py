"""CuratedSchema: the schema from `schemas/` with this data set's labels, or the one that the user has frozen."""

import json

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts

from components.data import schema
from components.ingest import manifest


@component
def CuratedSchema(  # noqa: N802  TFX names components like classes
    examples: InputArtifact[standard_artifacts.Examples],
    schema_out: OutputArtifact[standard_artifacts.Schema],
    task: Parameter[str],
    columns: Parameter[str],
    frozen: Parameter[str],
    code_fingerprint: Parameter[str],
) -> None:
    """Writes the `Schema` that everything after it reads the labels and features from.

    Args:
        columns: JSON list of the manifest's columns to slice by.
        frozen: text of the user's schema, "" for none. Where the data differ from it, `ClassBalance` stops the run.
    """
    if frozen:
        found = schema.parse(frozen, task, "the frozen schema")
    else:
        found = schema.curated(task, manifest.read(examples.uri).labels, json.loads(columns))
    schema.write(schema_out.uri, found)
