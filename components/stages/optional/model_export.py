"""ModelExport: the blessed model in the formats of other runtimes, each judged like the model itself."""

import json
import os

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from components.base.artifact_files import EXPORTS, MODEL_DIGESTS
from components.base.files import write_atomically
from components.exports.conduct import conduct
from components.exports.records import ExportResult
from components.exports.settings import ExportSettings
from components.push import versions
from components.stages import artifacts


@component
def ModelExport(  # noqa: N802  TFX names components like classes
    examples: InputArtifact[standard_artifacts.Examples],
    schema_in: InputArtifact[standard_artifacts.Schema],
    model: InputArtifact[standard_artifacts.Model],
    model_evaluation: InputArtifact[standard_artifacts.ModelEvaluation],
    blessing: InputArtifact[standard_artifacts.ModelBlessing],
    serving_check: InputArtifact[artifacts.ServingCheck],
    exports: OutputArtifact[artifacts.Exports],
    settings: Parameter[str],
) -> None:
    """Exports a model that has passed every gate; a refused one is not exported.

    Args:
        settings: JSON of `ExportSettings`.

    Raises:
        ImagegateError: the model is not the one that was evaluated.
    """
    os.makedirs(exports.uri, exist_ok=True)
    result = ExportResult()
    if blessing.get_int_custom_property("blessed") and serving_check.get_int_custom_property("passed"):
        folder = path_utils.serving_model_dir(model.uri)
        with open(os.path.join(model_evaluation.uri, MODEL_DIGESTS), encoding="utf-8") as f:
            versions.require_evaluated(versions.digests(folder), json.load(f))
        told = ExportSettings.from_json(settings)
        result = conduct(told, examples.uri, schema_in.uri, folder, model_evaluation.uri, exports.uri)
    write_atomically(os.path.join(exports.uri, EXPORTS), result.to_json(indent=1))
