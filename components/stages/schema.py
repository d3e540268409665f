"""CuratedSchema: the schema of the task with this data set's labels, or the user's frozen schema."""

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
    """Writes the schema from which all later stages read labels and features.

    Args:
        task: the task in the configuration.
        columns: JSON list of the manifest's columns to slice by.
        frozen: text of the user's schema, "" for none. If the data differ from it, `ClassBalance` stops the run.
        code_fingerprint: changes when the code of this stage does; part of the cache key.
    """
    if frozen:
        proto = schema.parse(frozen, task, "the frozen schema")
    else:
        proto = schema.curated(task, manifest.read(examples.uri).labels, json.loads(columns))
    schema.write(schema_out.uri, proto)
