"""Beam's jobs: those on other machines are named when they start, and cancelled if the run is stopped.

A worker process on this machine that is lost ends the run, which would wait for it for ever.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from components.base.errors import ImagegateError, print_trace

_LOST = (
    "a worker process of Beam ended in the middle of its work, as by a kill or for lack of memory (then take fewer "
    "--direct_num_workers); nothing of this stage is used, and the next run goes on from there"
)

# What Beam says of it: our own answer, or that of the thread that waits for the elements of the lost worker.
_SIGNS = (_LOST, "Channel closed prematurely")


class WorkerLost(ImagegateError):
    """A worker process of Beam's runner on this machine ended without its answer."""


@contextlib.contextmanager
def watched(say: Callable[[str], None]) -> Iterator[None]:
    """Within it, `say` gets a sentence for each job on another machine, and Ctrl-C cancels those that still run.

    A stage hands its graph to Beam itself, so the place where every graph begins to run is watched. What runs in this
    process, as with the default runner, ends with it.

    Raises:
        WorkerLost: a worker process on this machine ended.
    """
    from apache_beam import pipeline as beam

    begin, started = beam.Pipeline.run, list[Any]()

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        told = self.options.get_all_options(drop_default=True)  # Beam changes them when it runs
        try:
            result = begin(self, *args, **kwargs)
        except RuntimeError as error:
            if any(text in str(error) for text in _SIGNS):
                raise WorkerLost(_LOST) from None
            raise
        sentence = described(result, told)
        if sentence and all(result is not one for one in started):  # Beam runs some graphs through a copy of them
            started.append(result)
            say(sentence)
        return result

    beam.Pipeline.run = run
    try:
        with _lost_workers_answer():
            yield
    except KeyboardInterrupt:
        for result in started:
            _cancel(result)
        raise
    finally:
        beam.Pipeline.run = begin


def described(result: Any, told: Mapping[str, Any]) -> str:
    """Names a job, the place where it is seen, and that of its workers' logs; "" for one of this process.

    Args:
        result: what Beam gives when a graph begins to run.
        told: option of Beam -> value, where the user named it.
    """
    name = getattr(result, "_job_id", None) or getattr(result, "job_id", None)
    name = name() if callable(name) else name
    if not name:
        return ""
    if type(result).__name__ == "DataflowPipelineResult":
        project, region = told.get("project"), told.get("region") or os.environ.get("CLOUDSDK_COMPUTE_REGION")
        place = f"https://console.cloud.google.com/dataflow/jobs/{region}/{name}?project={project}"
        return f"job {name}: {place}, which has its workers' logs"
    places = ("flink_master", "spark_master_url", "job_endpoint")
    place = next((told[key] for key in places if told.get(key)), "")
    return f"job {name}{f' on {place}' if place else ''}; its workers' messages are in {_logs(told)}"


def _logs(told: Mapping[str, Any]) -> str:
    """Where the workers of a job write their messages: a worker gives them to the engine, but for those of a pool."""
    kind = told.get("environment_type")
    if kind == "EXTERNAL":
        return f"the output of the worker pool at {told.get('environment_config')}"
    if kind == "LOOPBACK":
        return "the log of this run"  # whose threads they are
    if told.get("flink_master"):
        return "the logs of Flink's task managers"
    if told.get("spark_master_url"):
        return "the logs of Spark's executors"
    return "the log of the engine"


@contextlib.contextmanager
def _lost_workers_answer() -> Iterator[None]:
    """Has a worker process that ends answer what it was asked, with an error.

    Beam's in-process runner (2.77, `--direct_running_mode=multi_processing`) waits for an answer without asking whether
    the worker is there. The thread that reads the worker's answers ends with the connection, with an error or without.
    """
    from apache_beam.portability.api import beam_fn_api_pb2
    from apache_beam.runners.portability.fn_api_runner.worker_handlers import ControlConnection

    read, push = ControlConnection._read, ControlConnection.push

    def answer(future: Any) -> None:
        future.set(beam_fn_api_pb2.InstructionResponse(instruction_id=future.instruction_id, error=_LOST))

    def read_to_the_end(self: Any) -> None:
        try:
            read(self)
        except Exception:  # noqa: BLE001  whatever breaks the connection, no answer comes any more
            print_trace()
        self.is_over = True
        for future in list(self._futures_by_id.values()):
            answer(future)

    def push_if_there(self: Any, request: Any) -> Any:
        future = push(self, request)
        if future is not None and getattr(self, "is_over", False):
            answer(future)
        return future

    ControlConnection._read, ControlConnection.push = read_to_the_end, push_if_there
    try:
        yield
    finally:
        ControlConnection._read, ControlConnection.push = read, push


def _cancel(result: Any) -> None:
    """Asks for the end of a job; one that has ended is no error."""
    from apache_beam.runners.runner import PipelineState

    try:
        if not PipelineState.is_terminal(result.state):
            result.cancel()
    except Exception:  # noqa: BLE001  whatever the other side says, the run ends
        print_trace()
