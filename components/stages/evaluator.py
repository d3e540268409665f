"""Evaluator: TFMA computes the metrics of the candidate and the served model, and the model gate judges them."""

import contextlib
import json
import os
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tfx import types
from tfx.components.evaluator import constants, executor
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.types import standard_component_specs as keys
from tfx.utils import io_utils, json_utils, path_utils, proto_utils

from components.base.artifact_files import MODEL_DIGESTS, OUT_OF_DISTRIBUTION_FILE, PREDICTIONS, VERDICTS
from components.data import schema
from components.data.dataset import SPLITS
from components.evaluation import analysis, beside, comparison, out_of_distribution, predictions, served_copy
from components.evaluation.comparison import Scope
from components.evaluation.served_copy import ServedCopy
from components.evaluation.settings import Evaluation
from components.gates import model_gate
from components.gates.compared import Compared
from components.gates.found import Beside
from components.gates.judge import failed
from components.gates.settings import Threshold
from components.ingest import manifest
from components.ingest.counts import census
from components.labels import kinds
from components.model import identity
from components.model.features.settings import FeatureSettings
from components.push import versions


class Executor(executor.Executor):
    """Evaluates with TFX's executor, and replaces its blessing by that of the model gate."""

    def Do(self, input_dict: Any, output_dict: Any, exec_properties: dict[str, Any]) -> None:  # noqa: N802
        settings, kind = Evaluation.from_json(exec_properties["settings"]), kinds.kind(exec_properties["task"])
        labels = schema.labels(artifact_utils.get_single_uri(input_dict[keys.SCHEMA_KEY]))
        examples = artifact_utils.get_single_uri(input_dict[keys.EXAMPLES_KEY])
        manifest.verify(examples, "test")
        folder = artifact_utils.get_single_uri(output_dict[keys.EVALUATION_KEY])
        _clear(folder)
        model = path_utils.serving_model_dir(artifact_utils.get_single_uri(input_dict[keys.MODEL_KEY]))
        digests = versions.digests(model)
        served = _served(input_dict.get(keys.BASELINE_MODEL_KEY))
        # An equal of the damaged model has the metrics that it had, and may replace it.
        equal = bool(served.broken) and served.identity == identity.identity(model, digests)
        distance = exec_properties["near_duplicate_distance"]
        images = _test_images(examples) if served.version else np.empty(0, census.ROW)
        scope = comparison.scope(kind, labels, served, images, distance if distance >= 0 else None, settings.thresholds)
        input_dict = {k: v for k, v in input_dict.items() if k != keys.BASELINE_MODEL_KEY or scope.compares}
        config = analysis.eval_config(
            kind.task,
            labels,
            settings.slices or (),
            served=served.labels if scope.compares else (),
            standard=settings.tfma_metrics,
            examples=manifest.read(examples).counts["test"],
            folder=folder,
        )
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
            uris = {analysis.CANDIDATE: keys.MODEL_KEY, analysis.BASELINE: keys.BASELINE_MODEL_KEY}
            models = {n: artifact_utils.get_single_uri(input_dict[k]) for n, k in uris.items() if k in input_dict}
            _measure_out_of_distribution(
                folder,
                {name: path_utils.serving_model_dir(uri) for name, uri in models.items()},
                settings.out_of_distribution,
                exec_properties["max_pixels"],
                exec_properties["bits"] or None,
                scope,
            )
        versions.require_evaluated(versions.digests(model), digests)
        compared = comparison.compare(folder, scope, broken="" if equal else served.broken, equal=equal)
        comparison.write(folder, compared)
        baseline = analysis.CANDIDATE if equal else analysis.BASELINE if scope.compares and compared.whole else None
        told = exec_properties["features"]
        network = FeatureSettings.from_json(told) if told else None
        found = beside.measure(folder, examples, labels, kind, settings.thresholds, network)
        beside.write(folder, found)
        self._judge(labels, settings.thresholds, output_dict, exec_properties, baseline, compared, found)

    def _judge(
        self,
        labels: list[str],
        thresholds: Sequence[Threshold],
        output_dict: Any,
        exec_properties: dict[str, Any],
        served: str | None,
        compared: Compared,
        found: Beside,
    ) -> None:
        """Writes the verdicts, and the blessing as TFX's Evaluator does: a file, and a property."""
        folder = artifact_utils.get_single_uri(output_dict[keys.EVALUATION_KEY])
        candidate = analysis.results(folder, analysis.CANDIDATE)
        baseline = analysis.results(folder, served) if served else None
        task = exec_properties["task"]
        result = model_gate.thresholds(thresholds, labels, task, candidate, baseline, compared, found)
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


def _served(artifacts: list[types.Artifact] | None) -> ServedCopy:
    if not artifacts:
        return ServedCopy(note="no model is served yet")
    [artifact] = artifacts
    return served_copy.read(path_utils.serving_model_dir(artifact.uri), artifact.get_string_custom_property)


def _test_images(examples: str) -> NDArray[np.void]:
    """`census.ROW` of the test split."""
    rows = census.Images.read(examples).rows
    return np.asarray(rows[rows["split"] == SPLITS.index("test")])


def _clear(folder: str) -> None:
    """Removes files of an earlier run: if the metadata was deleted, TFX uses the same folder again."""
    shutil.rmtree(os.path.join(folder, PREDICTIONS), ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        os.remove(os.path.join(folder, OUT_OF_DISTRIBUTION_FILE))


def _measure_out_of_distribution(
    folder: str, models: dict[str, str], root: str, max_pixels: int, bits: int | None, scope: Scope
) -> None:
    rows = {name: predictions.read(folder, name) for name in models}
    known = {name: [row["familiarity"] for row in rows[name]] for name in models}
    compared = {} if scope.whole else {name: [row["familiarity"] for row in scope.kept(rows[name])] for name in models}
    asked = {name: (path, known[name]) for name, path in models.items()}
    measured = out_of_distribution.measure(asked, root, max_pixels, bits, compared)
    out_of_distribution.write(folder, measured)


class _Spec(component_spec.ComponentSpec):
    PARAMETERS = {  # noqa: RUF012  TFX's way
        "task": component_spec.ExecutionParameter(type=str),
        "settings": component_spec.ExecutionParameter(type=str),
        "features": component_spec.ExecutionParameter(type=str),
        "max_pixels": component_spec.ExecutionParameter(type=int),
        "bits": component_spec.ExecutionParameter(type=int),
        "near_duplicate_distance": component_spec.ExecutionParameter(type=int),
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
        features: JSON of `FeatureSettings`, "" without a pretrained backbone.
        max_pixels: largest size of an out-of-distribution image, in pixels; 0 if there are none.
        bits: of the values in such an image of 16 bits; 0 for all.
        near_duplicate_distance: number of bits in which the perceptual hash of a test image may differ from that of an
            image that the served model has learnt from, to be left out of the comparison; -1: only equal files are.
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
