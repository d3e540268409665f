"""The stage Comparison: what the methods that `imagegate compare` tries come to on the eval split."""

import os

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts

from components.base.artifact_files import METHODS
from components.base.files import write_atomically
from components.data import schema
from components.labels import kinds
from components.model.comparing.conduct import conduct
from components.model.comparing.settings import ComparisonSettings
from components.model.fitting.given import Given
from components.stages import artifacts


@component
def Comparison(  # noqa: N802  TFX names components like classes
    examples: InputArtifact[standard_artifacts.Examples],
    schema_in: InputArtifact[standard_artifacts.Schema],
    transform_graph: InputArtifact[standard_artifacts.TransformGraph],
    comparison: OutputArtifact[artifacts.MethodComparison],
    settings: Parameter[str],
    unlabelled: InputArtifact[standard_artifacts.Examples] = None,
    synthetic: InputArtifact[artifacts.SyntheticImages] = None,
) -> None:
    """Trains with each method and seed; see `components.model.comparing`.

    Args:
        settings: JSON of `ComparisonSettings`.
        unlabelled: images without labels, if there are any.
        synthetic: images that were made for rare labels, if there are any.

    Raises:
        ImagegateError: no training finished.
    """
    told = ComparisonSettings.from_json(settings)
    names = schema.labels(schema_in.uri)
    positive = told.trainer["positive"]
    given = Given(
        folder=examples.uri,
        transform=transform_graph.uri,
        logs=told.checkpoints,
        kind=kinds.kind(str(told.trainer["task"])),
        names=names,
        positive=None if positive is None else names.index(str(positive)),
        unlabelled=unlabelled.uri if unlabelled else "",
        synthetic=synthetic.uri if synthetic else "",
    )
    found = conduct(given, told)
    os.makedirs(comparison.uri, exist_ok=True)
    write_atomically(os.path.join(comparison.uri, METHODS), found.to_json(indent=1))
