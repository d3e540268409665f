"""The stage Trainer: TFX's, which also takes images without labels, and synthetic ones."""

from typing import Any

from tfx import types
from tfx.components.trainer import executor
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.dsl.components.base import base_component, executor_spec
from tfx.proto import trainer_pb2
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs
from tfx.utils import json_utils

from components.model.fitting.given import SYNTHETIC_FOLDER, UNLABELLED_FOLDER
from components.stages import artifacts

_FOLDERS = {"unlabelled": UNLABELLED_FOLDER, "synthetic": SYNTHETIC_FOLDER}


class Executor(executor.GenericExecutor):
    """Tells `run_fn` where these images are, in `custom_config`."""

    def _GetFnArgs(  # noqa: N802  TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> FnArgs:
        found = super()._GetFnArgs(input_dict, output_dict, exec_properties)
        for name, key in _FOLDERS.items():
            if input_dict.get(name):
                found.custom_config[key] = artifact_utils.get_single_uri(input_dict[name])
        return found


class _Spec(standard_component_specs.TrainerSpec):
    INPUTS = {  # noqa: RUF012  TFX's way
        **standard_component_specs.TrainerSpec.INPUTS,
        "unlabelled": component_spec.ChannelParameter(type=standard_artifacts.Examples, optional=True),
        "synthetic": component_spec.ChannelParameter(type=artifacts.SyntheticImages, optional=True),
    }


class Trainer(base_component.BaseComponent):
    """See `components.model.fitting.training`.

    Args:
        custom_config: of `run_fn`.
        inputs: examples, transform_graph, schema; hyperparameters of a search, and unlabelled and synthetic, the
            outputs of UnlabelledExampleGen and Synthesis, if there are any.
    """

    SPEC_CLASS = _Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, run_fn: str, custom_config: dict[str, Any], **inputs: types.BaseChannel) -> None:
        spec = _Spec(
            run_fn=run_fn,
            train_args=trainer_pb2.TrainArgs(splits=["train"]),
            eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
            custom_config=json_utils.dumps(custom_config),
            model=types.Channel(type=standard_artifacts.Model),
            model_run=types.Channel(type=standard_artifacts.ModelRun),
            **inputs,
        )
        super().__init__(spec=spec)
