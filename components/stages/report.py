"""The stage ModelReport: the page of a run, whether its model passed the gates or not."""

import json
import os

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact, standard_artifacts

from components.base.artifact_files import EVIDENCE, REPORT, SUMMARY
from components.report import evidence, page
from components.report.outcome import Outcome, Properties
from components.report.run_summary import RunSummary
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
    tuner_results: InputArtifact[standard_artifacts.TunerResults] = None,
    unlabelled: InputArtifact[standard_artifacts.Examples] = None,
    synthetic: InputArtifact[artifacts.SyntheticImages] = None,
    exports: InputArtifact[artifacts.Exports] = None,
) -> None:
    """Writes the page and the summary without what only the runner knows: start and duration, stages, earlier runs.

    Args:
        facts: JSON object of fields of `RunSummary`: name, task, configuration, fingerprints, versions.
        settings: JSON object of destination and without_thresholds, as in `Outcome`, and of seed, distance and
            contradictions, as in `evidence.collect`.
        tuner_results: of a search, if there was one.
        unlabelled: images without labels, if there are any.
        synthetic: images that were made for rare labels, if there are any.
        exports: the model in further formats, if the configuration wants any.
    """
    known, arguments = json.loads(facts), json.loads(settings)
    outcome = Outcome(
        task=known["task"],
        destination=arguments.pop("destination"),
        without_thresholds=arguments.pop("without_thresholds"),
    )
    # By output key, in the order of the graph: later artifacts are read with the help of earlier ones.
    inputs = {
        "examples": examples,
        **({"unlabelled": unlabelled} if unlabelled else {}),
        "class_balance": class_balance,
        **({"synthetic": synthetic} if synthetic else {}),
        **({"tuner_results": tuner_results} if tuner_results else {}),
        "model": model,
        "model_run": model_run,
        "baseline_model": baseline_model,
        "evaluation": model_evaluation,
        "serving_check_out": serving_check,
        **({"exports": exports} if exports else {}),
        "pushed_model": pushed_model,
    }
    for key, input_ in inputs.items():
        outcome.add(key, input_.uri, _properties(input_))
    summary = RunSummary(**known | outcome.fields())
    collected = evidence.collect(summary, outcome.artifacts, **arguments)
    os.makedirs(report.uri, exist_ok=True)
    with open(os.path.join(report.uri, EVIDENCE), "w", encoding="utf-8") as f:
        json.dump(collected, f)
    with open(os.path.join(report.uri, SUMMARY), "w", encoding="utf-8") as f:
        f.write(summary.to_json(indent=1))
    with open(os.path.join(report.uri, REPORT), "w", encoding="utf-8") as f:
        f.write(page.render(summary, collected))


def _properties(input_: artifact.Artifact) -> Properties:
    properties = input_.mlmd_artifact.custom_properties
    return {key: getattr(value, value.WhichOneof("value")) for key, value in properties.items()}
