"""Jobs that Beam runs on other machines: each is told when it starts, and cancelled if the run is stopped."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def watched(say: Callable[[str], None]) -> Iterator[None]:
    """Within it, `say` gets a sentence for each job on another machine, and Ctrl-C cancels those that still run.

    A stage hands its graph to Beam itself, so the place where every graph begins to run is watched. What runs in this
    process, as with the default runner, ends with it.
    """
    from apache_beam import pipeline as beam

    begin, started = beam.Pipeline.run, list[Any]()

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = begin(self, *args, **kwargs)
        if told := described(result, self.options):
            started.append(result)
            say(told)
        return result

    beam.Pipeline.run = run
    try:
        yield
    except KeyboardInterrupt:
        for result in started:
            _cancel(result)
        raise
    finally:
        beam.Pipeline.run = begin


def described(result: Any, options: Any) -> str:
    """Names a job, the place where it is seen, and that of its workers' logs; "" for one of this process.

    Args:
        result: what Beam gives when a graph begins to run.
        options: `PipelineOptions` of the graph.
    """
    name = getattr(result, "_job_id", None) or getattr(result, "job_id", None)
    name = name() if callable(name) else name
    if not name:
        return ""
    told = options.get_all_options(drop_default=True)
    if type(result).__name__ == "DataflowPipelineResult":
        project, region = told.get("project"), told.get("region")
        place = f"https://console.cloud.google.com/dataflow/jobs/{region}/{name}?project={project}"
        return f"job {name}: {place}, which has its workers' logs"
    master = next((told[key] for key in ("flink_master", "spark_master_url", "job_endpoint") if told.get(key)), "")
    logs = {
        "flink_master": "the logs of Flink's task managers",
        "spark_master_url": "the logs of Spark's executors",
    }
    where = next((text for key, text in logs.items() if told.get(key)), "the logs of the environment that it starts")
    return f"job {name}{f' on {master}' if master else ''}; its workers' messages are in {where}"


def _cancel(result: Any) -> None:
    """Asks for the end of a job; one that has ended is no error."""
    from apache_beam.runners.runner import PipelineState

    try:
        if not PipelineState.is_terminal(result.state):
            result.cancel()
    except Exception:  # noqa: BLE001  whatever the other side says, the run ends
        traceback.print_exc()
