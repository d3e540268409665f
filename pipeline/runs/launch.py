"""Runs a graph stage by stage with TFX's own launcher.

TFX's LocalDagRunner does the same, but has no hook for the begin, the end and the cache hit of a stage.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from components.base import machine
from components.base.errors import print_trace
from pipeline.artifacts.copies import StoreError
from pipeline.artifacts.store import ArtifactStore
from pipeline.disk import room
from pipeline.runs.handed_on import HandedOn
from pipeline.runs.summary import Summary
from pipeline.stages import BY_NAME, EVALUATOR, TRAINER

if TYPE_CHECKING:
    from tfx.orchestration.pipeline import Pipeline

# Memory that must be free to start ServingCheck's process early. It takes 0.65 GiB while it waits and, measured with a
# small model, 0.8 GiB later; the rest is for the Evaluator. Chosen by hand.
_ROOM = 2 << 30

StageListener = Callable[[str, str, float, bool], None]


def run(
    pipeline: Pipeline,
    summary: Summary,
    listener: StageListener,
    log: str,
    needs: Sequence[tuple[str, int]] = (),
    store: ArtifactStore | None = None,
) -> None:
    """Runs the stages in order and adds each to the summary.

    Args:
        pipeline: see `graph.build`.
        summary: of the run; gets the outputs of every stage.
        listener: called as (name, "started" | "finished" | "failed", seconds, cached).
        log: path of the log file, for messages.
        needs: the folders that the run writes to, with the bytes that it needs there.
        store: the store that holds what the stages write, which is below the root of the pipeline; or None.

    Raises:
        NoRoom: a disk is full or cannot be written; the message names the stage.
        StoreError: the store cannot be read or written.
    """
    from tfx.orchestration import metadata

    from components.gates import serving_check

    connection, handed_on = pipeline.metadata_connection_config, HandedOn(summary.config.output_folder)
    place = store.fetch if store is not None else str
    with contextlib.ExitStack() as ended:
        trained = False
        for name, launch in _launchers(pipeline, summary, store):
            started = time.monotonic()
            listener(name, "started", 0.0, False)
            try:
                room.check(needs)
                if store is not None:
                    store.probe()
                handed_on.check()
                if name == EVALUATOR.name and trained and _has_room():
                    ended.enter_context(serving_check.begun())
                own_peak = machine.restart_peak()
                execution = launch()
                seconds, memory = time.monotonic() - started, machine.peak_memory() if own_peak else None
                with metadata.Metadata(connection) as connected:
                    cached = summary.add_stage(connected.store, name, execution, seconds, handed_on, place, memory)
            except BaseException as error:
                listener(name, "failed", time.monotonic() - started, False)
                of_store = error if isinstance(error, StoreError) else None
                full = room.explain(error, needs, stage=name) if isinstance(error, Exception) and not of_store else None
                if BY_NAME[name].optional and isinstance(error, Exception):
                    print_trace()
                    summary.notes.append(f"warning: {full or of_store or f'the stage {name} broke; see {log}'}")
                    continue
                if full is not None:
                    print_trace()
                    raise full from error
                raise
            trained = trained or (name == TRAINER.name and not cached)
            listener(name, "finished", seconds, cached)


def _has_room() -> bool:
    """Whether the process of ServingCheck can start beside the Evaluator without being in its way."""
    memory = machine.available_memory()
    return machine.cores() > 1 and (memory is None or memory >= _ROOM)


def _launchers(
    pipeline: Pipeline, summary: Summary, store: ArtifactStore | None
) -> list[tuple[str, Callable[[], Any]]]:
    """Compiles the graph; returns (name of the stage, function that runs it) in the order of the graph."""
    from tfx.dsl.compiler import compiler, constants
    from tfx.orchestration import metadata
    from tfx.orchestration.local import runner_utils
    from tfx.orchestration.portable import launcher, runtime_parameter_utils

    operators = {}
    if store is not None:
        from pipeline.artifacts import filesystem
        from pipeline.artifacts.operators import operators as on_copies

        filesystem.register(store)
        operators = on_copies(store, engine=bool(summary.config.beam))
    ir = compiler.Compiler().compile(pipeline)
    runtime_parameter_utils.substitute_runtime_parameter(ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: summary.run_id})
    deployment = runner_utils.extract_local_deployment_config(ir)
    launchers = []
    for node in (n.pipeline_node for n in ir.nodes):
        name = node.node_info.id
        if not BY_NAME[name].cached:
            node.execution_options.caching_options.enable_cache = False
        stage = launcher.Launcher(
            pipeline_node=node,
            mlmd_connection=metadata.Metadata(pipeline.metadata_connection_config),
            pipeline_info=ir.pipeline_info,
            pipeline_runtime_spec=ir.runtime_spec,
            executor_spec=runner_utils.extract_executor_spec(deployment, name),
            custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, name),
            custom_executor_operators=operators,
        )
        launchers.append((name, stage.launch))
    return launchers
