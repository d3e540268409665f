"""ModelReport: the page of a run, whatever the gates said of its model."""

import json
import os
from typing import Any

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact, standard_artifacts

from components.base.artifact_files import EVIDENCE, REPORT
from components.report import evidence, page
from components.report.outcome import Outcome
from components.stages import artifacts


@component
def ModelReport(  # noqa: N802  TFX names components like classes
    examples: InputArtifact[standard_artifacts.Examples],
    class_balance: InputArtifact[artifacts.ClassBalance],
    model: InputArtifact[standard_artifacts.Model],
    model_run: InputArtifact[standard_artifacts.ModelRun],
    baseline_model: InputArtifact[standard_artifacts.Model],
    model_evaluation: InputArtifact[standard_artifacts.ModelEvaluation],
    serving_check: InputArtifact[artifacts.ServingCheck],
    pushed_model: InputArtifact[standard_artifacts.PushedModel],
    report: OutputArtifact[artifacts.Report],
    facts: Parameter[str],
    settings: Parameter[str],
    code_fingerprint: Parameter[str],
) -> None:
    """Writes the page of what the graph knows; a runner that knows more (when, how long, earlier runs) adds it.

    Args:
        facts: JSON object that the page tells as it is: name, task, configuration, fingerprints, versions.
        settings: JSON object of destination and without_thresholds, as in `Outcome`, and of seed, distance and
            contradictions, as in `evidence.collect`.
    """
    told, set_up = json.loads(facts), json.loads(settings)
    outcome = Outcome(
        task=told["task"],
        destination=set_up.pop("destination"),
        without_thresholds=set_up.pop("without_thresholds"),
    )
    # In the order of the graph, under the keys of its outputs.
    inputs = {
        "examples": examples,
        "class_balance": class_balance,
        "model": model,
        "model_run": model_run,
        "baseline_model": baseline_model,
        "evaluation": model_evaluation,
        "serving_check_out": serving_check,
        "pushed_model": pushed_model,
    }
    for key, one in inputs.items():
        outcome.add(key, one.uri, _properties(one))
    found = evidence.collect(outcome.told(), outcome.artifacts, **set_up)
    os.makedirs(report.uri, exist_ok=True)
    with open(os.path.join(report.uri, EVIDENCE), "w", encoding="utf-8") as f:
        json.dump(found, f)
    with open(os.path.join(report.uri, REPORT), "w", encoding="utf-8") as f:
        f.write(page.render(told | outcome.told(), found))


def _properties(one: artifact.Artifact) -> dict[str, Any]:
    found = one.mlmd_artifact.custom_properties
    return {key: getattr(value, value.WhichOneof("value")) for key, value in found.items()}
