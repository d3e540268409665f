"""Runs the executors of stages on copies: TFX's launcher knows URLs, stages read and write files of this machine."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attr
from tfx.orchestration.portable.beam_executor_operator import BeamExecutorOperator
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.orchestration.portable.python_executor_operator import PythonExecutorOperator
from tfx.proto.orchestration import executable_spec_pb2

if TYPE_CHECKING:
    from tfx.types.artifact import Artifact

    from pipeline.artifacts.store import ArtifactStore

Artifacts = Mapping[str, Sequence["Artifact"]]


def operators(store: ArtifactStore) -> dict[type, type]:
    """Returns for TFX's launcher what runs each kind of executor."""

    class Python(PythonExecutorOperator):
        def run_executor(self, execution_info: ExecutionInfo) -> Any:
            return _run(super().run_executor, execution_info, store)

    class Beam(BeamExecutorOperator):
        def run_executor(self, execution_info: ExecutionInfo, make_beam_pipeline_fn: Any = None) -> Any:
            return _run(lambda info: super(Beam, self).run_executor(info, make_beam_pipeline_fn), execution_info, store)

    return {executable_spec_pb2.PythonClassExecutableSpec: Python, executable_spec_pb2.BeamExecutableSpec: Beam}


def _run(run: Callable[[ExecutionInfo], Any], execution: ExecutionInfo, store: ArtifactStore) -> Any:
    """Runs an executor on copies of its inputs, and uploads its outputs; returns its result, with the URLs of these."""
    outputs = [artifact.uri for artifacts in execution.output_dict.values() for artifact in artifacts]
    working = [store.local(place.rstrip("/")) for place in (execution.tmp_dir, execution.stateful_working_dir)]
    here = attr.evolve(
        execution,
        input_dict=_moved(execution.input_dict, store.fetch),
        output_dict=_moved(execution.output_dict, store.local),
        execution_output_uri=store.local(execution.execution_output_uri),
        tmp_dir=os.path.join(working[0], ""),
        stateful_working_dir=working[1],
    )
    folders = [store.local(uri) for uri in outputs]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)  # of a run whose metadata are gone
    for folder in (*folders, *working, os.path.dirname(here.execution_output_uri)):
        os.makedirs(folder, exist_ok=True)
    try:
        result = run(here)
        for uri in outputs:
            store.send(uri)
    except BaseException:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        for folder in working:
            shutil.rmtree(folder, ignore_errors=True)
    url_of = dict(zip(folders, outputs, strict=True))
    for of_key in result.output_artifacts.values():
        for artifact in of_key.artifacts:
            artifact.uri = url_of[artifact.uri]
    return result


def _moved(artifacts: Artifacts, place: Callable[[str], str]) -> dict[str, list[Artifact]]:
    """The same artifacts at other places."""
    moved = {key: [copy.deepcopy(one) for one in ones] for key, ones in artifacts.items()}
    for ones in moved.values():
        for one in ones:
            one.uri = place(one.uri)
    return moved
