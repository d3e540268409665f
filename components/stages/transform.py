"""Transform: TFX's Transform, with the label names from the schema, which are known only after ingest."""

from typing import Any

from tfx.components.transform import component, executor
from tfx.dsl.components.base import executor_spec
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import json_utils

from components.data import schema


class Executor(executor.Executor):
    """Adds `labels` to the `custom_config` that `preprocessing_fn` receives."""

    def Do(self, input_dict: Any, output_dict: Any, exec_properties: dict[str, Any]) -> None:  # noqa: N802
        key = standard_component_specs.CUSTOM_CONFIG_KEY
        config = json_utils.loads(exec_properties.get(key) or "null") or {}
        uri = artifact_utils.get_single_uri(input_dict[standard_component_specs.SCHEMA_KEY])
        config["labels"] = schema.labels(uri)
        super().Do(input_dict, output_dict, {**exec_properties, key: json_utils.dumps(config)})


class Transform(component.Transform):
    """Transform with the labels of the schema. With `materialize=False`, the Trainer applies the graph on the fly."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
