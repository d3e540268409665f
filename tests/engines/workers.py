"""Beam's Python workers for an engine: in the process of `imagegate run`, or processes of their own."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from engines.processes import HOST, free_port, listens, running

ROOT = Path(__file__).parents[2]
# Threads in the process of `imagegate run`: quick to start, and on one machine only.
LOOPBACK = ["--environment_type=LOOPBACK"]


@contextlib.contextmanager
def pool(folder: Path, start: Path = Path(sys.executable).parent) -> Iterator[list[str]]:
    """Runs Beam's worker pool, which starts a process for each worker; yields the options that name it.

    Args:
        folder: for the log.
        start: folder of the program `python` that the pool starts.
    """
    also = [os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else []
    port = free_port()
    command = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]
    # The pool starts its workers as "python", and they import imagegate.
    path = os.pathsep.join([str(start), os.environ["PATH"]])
    places = os.pathsep.join([str(ROOT), *also])
    with running(command, folder / "workers.log", lambda: listens(port), {"PATH": path, "PYTHONPATH": places}):
        yield [
            "--environment_type=EXTERNAL",
            f"--environment_config={HOST}:{port}",
            # Each worker imports TensorFlow: one that is kept serves the later steps of a job, too.
            "--environment_cache_millis=10000",
        ]
