"""Evaluator: TFMA computes the metrics of the candidate and the served model, and the model gate judges them."""

import contextlib
import json
import os
import shutil
from collections.abc import Sequence
from typing import Any

from tfx import types
from tfx.components.evaluator import constants, executor
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.types import standard_component_specs as keys
from tfx.utils import io_utils, json_utils, path_utils, proto_utils

from components.base.artifact_files import MODEL_DIGESTS, OUT_OF_DISTRIBUTION_FILE, PREDICTIONS, SAVED_MODEL, VERDICTS
from components.data import schema
from components.evaluation import analysis, out_of_distribution, predictions
from components.evaluation.settings import Evaluation
from components.gates import model_gate
from components.gates.judge import failed
from components.gates.settings import Threshold
from components.ingest import manifest
from components.model import identity
from components.push import versions


class Executor(executor.Executor):
    """Evaluates with TFX's executor, and replaces its blessing by that of the model gate."""

    def Do(self, input_dict: Any, output_dict: Any, exec_properties: dict[str, Any]) -> None:  # noqa: N802
        settings = Evaluation.from_json(exec_properties["settings"])
        # The stage `Baseline` explains here why the served model cannot be evaluated.
        served = input_dict.get(keys.BASELINE_MODEL_KEY)
        broken = (served[0].get_string_custom_property("broken") or "") if served else ""
        has_baseline = bool(served) and not broken and _holds_model(served)
        input_dict = {k: v for k, v in input_dict.items() if k != keys.BASELINE_MODEL_KEY or has_baseline}
        labels = schema.labels(artifact_utils.get_single_uri(input_dict[keys.SCHEMA_KEY]))
        examples = artifact_utils.get_single_uri(input_dict[keys.EXAMPLES_KEY])
        manifest.verify(examples, "test")
        folder = artifact_utils.get_single_uri(output_dict[keys.EVALUATION_KEY])
        _clear(folder)
        config = analysis.eval_config(
            exec_properties["task"],
            labels,
            settings.slices or (),
            has_baseline=has_baseline,
            standard=settings.tfma_metrics,
            examples=manifest.read(examples).counts["test"],
            folder=folder,
        )
        models = [analysis.CANDIDATE, *([analysis.BASELINE] if has_baseline else [])]
        model = path_utils.serving_model_dir(artifact_utils.get_single_uri(input_dict[keys.MODEL_KEY]))
        digests = versions.digests(model)
        # An equal of the damaged model has the metrics that it had, and may replace it.
        equal = bool(broken) and served[0].get_string_custom_property("identity") == identity.identity(model, digests)
        super().Do(
            input_dict,
            output_dict,
            {
                keys.EVAL_CONFIG_KEY: proto_utils.proto_to_json(config),
                keys.EXAMPLE_SPLITS_KEY: json_utils.dumps(["test"]),
                keys.MODULE_PATH_KEY: analysis.__name__,
            },
        )
        with open(os.path.join(folder, MODEL_DIGESTS), "w", encoding="utf-8") as f:
            json.dump(digests, f, indent=1)
        if settings.out_of_distribution is not None:
            inputs = (keys.MODEL_KEY, keys.BASELINE_MODEL_KEY)
            paths = [artifact_utils.get_single_uri(input_dict[key]) for key in inputs if key in input_dict]
            _measure_out_of_distribution(
                folder,
                dict(zip(models, paths, strict=True)),
                settings.out_of_distribution,
                exec_properties["max_pixels"],
                exec_properties["bits"] or None,
            )
        baseline = analysis.CANDIDATE if equal else analysis.BASELINE if has_baseline else None
        self._judge(labels, settings.thresholds, output_dict, exec_properties, baseline, "" if equal else broken)

    def _judge(
        self,
        labels: list[str],
        thresholds: Sequence[Threshold],
        output_dict: Any,
        exec_properties: dict[str, Any],
        served: str | None,
        broken: str,
    ) -> None:
        """Writes the verdicts, and the blessing as TFX's Evaluator does: a file, and a property."""
        folder = artifact_utils.get_single_uri(output_dict[keys.EVALUATION_KEY])
        candidate = analysis.results(folder, analysis.CANDIDATE)
        baseline = analysis.results(folder, served) if served else None
        result = model_gate.thresholds(thresholds, labels, exec_properties["task"], candidate, baseline, broken)
        with open(os.path.join(folder, VERDICTS), "w", encoding="utf-8") as f:
            json.dump([vars(v) for v in result], f, ensure_ascii=False, indent=1)
        blessed = not failed(result) and bool(result or exec_properties["without_thresholds"])
        blessing = artifact_utils.get_single_instance(output_dict[keys.BLESSING_KEY])
        name = constants.BLESSED_FILE_NAME if blessed else constants.NOT_BLESSED_FILE_NAME
        io_utils.write_string_file(os.path.join(blessing.uri, name), "")
        blessing.set_int_custom_property(
            constants.ARTIFACT_PROPERTY_BLESSED_KEY,
            constants.BLESSED_VALUE if blessed else constants.NOT_BLESSED_VALUE,
        )


def _clear(folder: str) -> None:
    """Removes files of an earlier run: if the metadata was deleted, TFX uses the same folder again."""
    shutil.rmtree(os.path.join(folder, PREDICTIONS), ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        os.remove(os.path.join(folder, OUT_OF_DISTRIBUTION_FILE))


def _measure_out_of_distribution(
    folder: str, models: dict[str, str], root: str, max_pixels: int, bits: int | None
) -> None:
    known = {name: [row["familiarity"] for row in predictions.read(folder, name)] for name in models}
    asked = {name: (path_utils.serving_model_dir(uri), known[name]) for name, uri in models.items()}
    out_of_distribution.write(folder, out_of_distribution.measure(asked, root, max_pixels, bits))


def _holds_model(artifacts: list[types.Artifact]) -> bool:
    return os.path.isfile(os.path.join(artifacts[0].uri, "Format-Serving", SAVED_MODEL))


class _Spec(component_spec.ComponentSpec):
    PARAMETERS = {  # noqa: RUF012  TFX's way
        "task": component_spec.ExecutionParameter(type=str),
        "settings": component_spec.ExecutionParameter(type=str),
        "max_pixels": component_spec.ExecutionParameter(type=int),
        "bits": component_spec.ExecutionParameter(type=int),
        "out_of_distribution_fingerprint": component_spec.ExecutionParameter(type=str),
        "without_thresholds": component_spec.ExecutionParameter(type=int),
        "code_fingerprint": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {  # noqa: RUF012
        keys.EXAMPLES_KEY: component_spec.ChannelParameter(type=standard_artifacts.Examples),
        keys.MODEL_KEY: component_spec.ChannelParameter(type=standard_artifacts.Model),
        keys.BASELINE_MODEL_KEY: component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
        keys.SCHEMA_KEY: component_spec.ChannelParameter(type=standard_artifacts.Schema),
    }
    OUTPUTS = {  # noqa: RUF012
        keys.EVALUATION_KEY: component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation),
        keys.BLESSING_KEY: component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
    }


class Evaluator(base_beam_component.BaseBeamComponent):
    """Evaluates on the test split.

    Args:
        examples, model, baseline_model, schema: input channels.
        task: the task in the configuration.
        settings: JSON of `evaluation.settings.Evaluation`, with all slices, and an absolute path of the
            out-of-distribution images.
        max_pixels: largest size of an out-of-distribution image, in pixels; 0 if there are none.
        bits: of the values in such an image of 16 bits; 0 for all.
        out_of_distribution_fingerprint: changes when these images do; part of the cache key.
        without_thresholds: 1 to bless a model without any threshold, 0 to refuse it.
        code_fingerprint: changes when the code of this stage does; part of the cache key.
    """

    SPEC_CLASS = _Spec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, **inputs: Any) -> None:
        super().__init__(
            _Spec(
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
                **inputs,
            )
        )
