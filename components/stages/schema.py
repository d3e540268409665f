"""CuratedSchema: the schema from `schemas/`, its label domain filled with this data set's labels."""

import json

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts

from components import manifest, schema


@component
def CuratedSchema(  # noqa: N802  TFX names components like classes
    examples: InputArtifact[standard_artifacts.Examples],
    schema_out: OutputArtifact[standard_artifacts.Schema],
    task: Parameter[str],
    columns: Parameter[str],
    code_fingerprint: Parameter[str],
) -> None:
    """Writes the `Schema` that everything after it reads the labels and features from; `columns` is a JSON list."""
    schema.write(schema_out.uri, schema.curated(task, manifest.read(examples.uri)["labels"], json.loads(columns)))
