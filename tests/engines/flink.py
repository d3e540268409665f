"""Flink: inside Beam's job server, or as a cluster of two task managers."""

import contextlib
import json
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from engines import fetching, java, workers
from engines.processes import HOST, free_port, running

_JOB_SERVER = "org.apache.beam.runners.flink.FlinkJobServerDriver"
# What Beam's batch jobs need of any Flink 1.19; see docs/scaling.md.
SETTINGS = {
    "taskmanager.network.sort-shuffle.min-buffers": 16,
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": 3,
    "restart-strategy.fixed-delay.delay": "20 s",
}
# Flink's start script computes these from the total; the class that it starts asks for each.
_MEMORY = {
    "taskmanager.cpu.cores": 1.0,
    "taskmanager.memory.task.heap.size": "256m",
    "taskmanager.memory.task.off-heap.size": "64m",
    "taskmanager.memory.framework.heap.size": "128m",
    "taskmanager.memory.framework.off-heap.size": "64m",
    "taskmanager.memory.managed.size": "64m",
    "taskmanager.memory.network.min": "64m",
    "taskmanager.memory.network.max": "64m",
    "taskmanager.memory.jvm-metaspace.size": "256m",
    "taskmanager.memory.jvm-overhead.min": "64m",
    "taskmanager.memory.jvm-overhead.max": "64m",
}


@contextlib.contextmanager
def embedded(folder: Path) -> Iterator[list[str]]:
    """A job server with Flink inside; yields the options for `beam`. `folder` gets the logs."""
    conf = _configured(folder / "conf", SETTINGS)
    where = ["--flink-master", "[local]", "--flink-conf-dir", str(conf)]
    with java.job_server(fetching.jars("flink"), _JOB_SERVER, folder, *where, memory="1g") as submit:
        yield [*submit, *workers.LOOPBACK, "--parallelism=2"]


@contextlib.contextmanager
def cluster(folder: Path, start: Path = Path(sys.executable).parent) -> Iterator[list[str]]:
    """A job manager, two task managers, a job server and a worker pool; yields the options for `beam`.

    Args:
        folder: for logs and files.
        start: folder of the program `python` that the pool starts.
    """
    jars, rest = fetching.jars("flink"), free_port()
    conf = _configured(
        folder / "conf",
        SETTINGS
        | _MEMORY
        | {
            "jobmanager.rpc.address": HOST,
            "jobmanager.rpc.port": free_port(),
            "rest.address": HOST,
            "rest.bind-address": HOST,
            "rest.port": rest,
            "taskmanager.host": HOST,
            "taskmanager.numberOfTaskSlots": 1,
            # The job server sends its class path with each job; the task managers have the same one already.
            "classloader.resolve-order": "parent-first",
            "io.tmp.dirs": str(folder),
            "web.tmpdir": str(folder),
        },
    )
    entry = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
    manager = java.command(jars, entry, "--configDir", str(conf), "--executionMode", "cluster")
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(manager, folder / "job-manager.log", lambda: _slots(rest) == 0))
        for number in (1, 2):
            stack.enter_context(task_manager(folder, number))
        where = ["--flink-master", f"{HOST}:{rest}", "--flink-conf-dir", str(conf)]
        submit = stack.enter_context(java.job_server(jars, _JOB_SERVER, folder, *where))
        yield [*submit, *stack.enter_context(workers.pool(folder, start)), "--parallelism=2"]


@contextlib.contextmanager
def task_manager(folder: Path, number: int) -> Iterator[None]:
    """A task manager of the cluster whose logs are in `folder`, with one slot."""
    main, log = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner", folder / f"task-manager-{number}.log"
    options = ["-XX:MaxDirectMemorySize=256m"]
    command = java.command(fetching.jars("flink"), main, "--configDir", str(folder / "conf"), options=options)
    with running(command, log, lambda: "Successful registration at resource manager" in log.read_text()):
        yield


def _configured(folder: Path, settings: dict[str, str | int | float]) -> Path:
    folder.mkdir()
    (folder / "config.yaml").write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items()))
    return folder


def _slots(port: int) -> int | None:
    """How many slots the task managers of a cluster have, or None while it does not answer."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{HOST}:{port}/overview", timeout=2) as answer:
        return int(json.load(answer)["slots-total"])
    return None
