"""Runs the first stages of a TFX pipeline in this process, as `pipeline.runs.local` and TFX's runner do."""

from __future__ import annotations

import time
import uuid

from tfx.dsl.compiler import compiler, constants
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import launcher, runtime_parameter_utils


def launch(pipeline: Pipeline, until: str) -> dict[str, float]:
    """Runs every node up to and including `until`. Returns the seconds that each node took, in order."""
    ir = compiler.Compiler().compile(pipeline)
    runtime_parameter_utils.substitute_runtime_parameter(
        ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: uuid.uuid4().hex}
    )
    deployment = runner_utils.extract_local_deployment_config(ir)
    nodes = {n.pipeline_node.node_info.id: n.pipeline_node for n in ir.nodes}
    seconds: dict[str, float] = {}
    for name in list(nodes)[: list(nodes).index(until) + 1]:
        started = time.perf_counter()
        launcher.Launcher(
            pipeline_node=nodes[name],
            mlmd_connection=metadata.Metadata(pipeline.metadata_connection_config),
            pipeline_info=ir.pipeline_info,
            pipeline_runtime_spec=ir.runtime_spec,
            executor_spec=runner_utils.extract_executor_spec(deployment, name),
            custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, name),
        ).launch()
        seconds[name] = time.perf_counter() - started
    return seconds
