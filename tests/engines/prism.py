"""Prism, Beam's own runner for one machine, as a server with workers in processes of their own."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from engines import fetching, workers
from engines.processes import HOST, free_port, listens, running


@contextlib.contextmanager
def embedded(folder: Path) -> Iterator[list[str]]:
    """Beam starts Prism itself, for each run; yields the options for `beam`."""
    del folder  # Prism's log is that of the run
    yield ["--runner=PrismRunner", f"--prism_location={fetching.prism()}"]


@contextlib.contextmanager
def server(folder: Path) -> Iterator[list[str]]:
    """Prism as a server, and a worker pool; yields the options for `beam`. `folder` gets the logs."""
    port = free_port()
    command = [fetching.prism(), f"-job_port={port}", "-serve_http=false"]
    with running(command, folder / "prism.log", lambda: listens(port)), workers.pool(folder) as pool:
        yield ["--runner=PortableRunner", f"--job_endpoint={HOST}:{port}", *pool]
