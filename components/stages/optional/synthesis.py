"""The stage Synthesis: images of rare labels that are made, for training alone."""

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts

from components.data import schema
from components.labels import kinds
from components.model.fitting.given import Given
from components.model.synthesis.generate import conduct
from components.model.synthesis.settings import SynthesisSettings
from components.stages import artifacts


@component
def Synthesis(  # noqa: N802  TFX names components like classes
    examples: InputArtifact[standard_artifacts.Examples],
    schema_in: InputArtifact[standard_artifacts.Schema],
    transform_graph: InputArtifact[standard_artifacts.TransformGraph],
    synthetic: OutputArtifact[artifacts.SyntheticImages],
    settings: Parameter[str],
) -> None:
    """Learns from the train split alone; see `components.model.synthesis`.

    Args:
        settings: JSON of `SynthesisSettings`.

    Raises:
        ConfigError: there is no such label.
    """
    told = SynthesisSettings.from_json(settings)
    given = Given(
        folder=examples.uri,
        transform=transform_graph.uri,
        logs="",
        kind=kinds.kind(told.task),
        names=schema.labels(schema_in.uri),
        positive=None,
    )
    conduct(given, told, synthetic.uri)
