"""Runs the executors of stages on copies: TFX's launcher knows URLs, stages read and write files of this machine.

With an engine of Beam, the workers of ingest write their shards to the store themselves, and those of the statistics
read them there. The workers of Transform and the Evaluator open a SavedModel, for which TensorFlow lacks most stores:
these two work in this process, on the copies.
"""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attr
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration.portable.beam_executor_operator import BeamExecutorOperator
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.orchestration.portable.python_executor_operator import PythonExecutorOperator
from tfx.proto.orchestration import executable_spec_pb2, placeholder_pb2

from components.ingest.spread import place
from components.ingest.spread.place import Place
from pipeline import stages
from pipeline.config import beam

if TYPE_CHECKING:
    from tfx.types.artifact import Artifact

    from pipeline.artifacts.store import ArtifactStore

Artifacts = Mapping[str, Sequence["Artifact"]]
_WRITE_THERE = {stages.INGEST.name, stages.UNLABELLED.name}


def operators(store: ArtifactStore, *, engine: bool) -> dict[type, type]:
    """Returns for TFX's launcher what runs each kind of executor.

    Args:
        store: where the artifacts are.
        engine: whether the key `beam` names options, so that workers may be on other machines.
    """

    class Python(PythonExecutorOperator):
        def run_executor(self, execution_info: ExecutionInfo) -> Any:
            return _run(super().run_executor, execution_info, store)

    class Beam(BeamExecutorOperator):
        def run_executor(self, execution_info: ExecutionInfo, make_beam_pipeline_fn: Any = None) -> Any:
            def run(info: ExecutionInfo) -> Any:
                return super(Beam, self).run_executor(info, make_beam_pipeline_fn)

            name = execution_info.pipeline_node.node_info.id
            if engine and name in _WRITE_THERE:
                return _write_there(run, execution_info, store)
            if engine and name == stages.STATISTICS.name and reads(store.url):
                return _read_there(run, execution_info, store)
            if engine:
                self.beam_pipeline_args = [_constant(option) for option in beam.passed(())]
            return _run(run, execution_info, store)

    return {executable_spec_pb2.PythonClassExecutableSpec: Python, executable_spec_pb2.BeamExecutableSpec: Beam}


def reads(url: str) -> bool:
    """Whether Beam's own file systems open such a URL with the packages that are installed."""
    from apache_beam.io.filesystems import FileSystems

    try:
        FileSystems.match([f"{url}/.none"], limits=[1])
    except Exception:  # noqa: BLE001  whatever it lacks
        return False
    return True


def _constant(text: str) -> placeholder_pb2.PlaceholderExpression:
    """The form in which TFX takes an option."""
    return placeholder_pb2.PlaceholderExpression(value=metadata_store_pb2.Value(string_value=text))


def _write_there(run: Callable[[ExecutionInfo], Any], execution: ExecutionInfo, store: ArtifactStore) -> Any:
    """Runs an ingest whose workers write to the store."""
    [[examples]] = execution.output_dict.values()

    def url_of(folder: str) -> str:  # of another execution
        return f"{os.path.dirname(examples.uri)}/{os.path.basename(folder)}"

    there = Place(examples.uri, url_of, lambda files, sums: store.download(examples.uri, files, sums))
    with place.at(there):
        return _run(run, execution, store, there)


def _read_there(run: Callable[[ExecutionInfo], Any], execution: ExecutionInfo, store: ArtifactStore) -> Any:
    """Runs the statistics, whose workers read the shards in the store and write what they come to there."""
    for artifacts in execution.input_dict.values():
        for artifact in artifacts:
            store.fetch(artifact.uri)
    store.compare(execution.input_dict["examples"][0].uri)
    _clear(store, [artifact.uri for artifacts in execution.output_dict.values() for artifact in artifacts])
    schema = _moved({"schema": execution.input_dict["schema"]}, store.fetch)
    here, working = _prepared(execution, store, {**execution.input_dict, **schema}, execution.output_dict)
    try:
        result = run(here)
        for artifacts in execution.output_dict.values():
            for artifact in artifacts:
                store.settle(artifact.uri)
        return result
    finally:
        for folder in working:
            shutil.rmtree(folder, ignore_errors=True)


def _run(
    run: Callable[[ExecutionInfo], Any], execution: ExecutionInfo, store: ArtifactStore, there: Place | None = None
) -> Any:
    """Runs an executor on copies of its inputs, and uploads its outputs; returns its result, with the URLs of these.

    Args:
        run: the executor.
        execution: its inputs and outputs, by their URLs.
        store: where these are.
        there: what it writes to the store itself; or None.
    """
    outputs = [artifact.uri for artifacts in execution.output_dict.values() for artifact in artifacts]
    here, working = _prepared(
        execution, store, _moved(execution.input_dict, store.fetch), _moved(execution.output_dict, store.local)
    )
    _clear(store, outputs)
    folders = [store.local(uri) for uri in outputs]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)  # of a run whose metadata are gone
        os.makedirs(folder)
    try:
        result = run(here)
        for uri in outputs:
            store.send(uri, there.there if there is not None else {})
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


def _clear(store: ArtifactStore, outputs: Sequence[str]) -> None:
    """Removes what lies where a stage will write: where the metadata began anew, numbers come again."""
    for uri in outputs:
        store.remove_at(uri)


def _prepared(
    execution: ExecutionInfo, store: ArtifactStore, inputs: Artifacts, outputs: Artifacts
) -> tuple[ExecutionInfo, list[str]]:
    """The execution with these inputs and outputs and working folders of this machine, which are made; and these."""
    working = [store.local(uri.rstrip("/")) for uri in (execution.tmp_dir, execution.stateful_working_dir)]
    told = store.local(execution.execution_output_uri)
    for folder in (*working, os.path.dirname(told)):
        os.makedirs(folder, exist_ok=True)
    here = attr.evolve(
        execution,
        input_dict=inputs,
        output_dict=outputs,
        execution_output_uri=told,
        tmp_dir=os.path.join(working[0], ""),
        stateful_working_dir=working[1],
    )
    return here, working


def _moved(artifacts: Artifacts, to: Callable[[str], str]) -> dict[str, list[Artifact]]:
    """The same artifacts at other places."""
    moved = {key: [copy.deepcopy(one) for one in ones] for key, ones in artifacts.items()}
    for ones in moved.values():
        for one in ones:
            one.uri = to(one.uri)
    return moved
