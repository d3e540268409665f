"""Spark: inside Beam's job server, or as a standalone cluster of two workers."""

import contextlib
import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from engines import fetching, java, workers
from engines.processes import HOST, free_port, running

_JOB_SERVER = "org.apache.beam.runners.spark.SparkJobServerDriver"
# Spark reads its settings from Java's properties. Nothing looks at its pages, and the ports of two might collide.
_SETTINGS = ["-Dspark.ui.enabled=false", f"-Dspark.driver.host={HOST}", f"-Dspark.driver.bindAddress={HOST}"]


@contextlib.contextmanager
def embedded(folder: Path) -> Iterator[list[str]]:
    """A job server with Spark inside; yields the options for `beam`. `folder` gets the logs."""
    where = ["--spark-master-url", "local[2]"]
    jars = fetching.jars("spark")
    with java.job_server(jars, _JOB_SERVER, folder, *where, memory="1g", options=_SETTINGS) as submit:
        yield [*submit, *workers.LOOPBACK]


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[list[str]]:
    """A master, two workers, a job server and a pool of Python workers; yields the options for `beam`."""
    jars, port, page = fetching.jars("spark"), free_port(), free_port()
    # With the version of Scala, a worker does not look for a build of Spark.
    home = {"SPARK_HOME": str(_home(folder / "home", jars)), "SPARK_SCALA_VERSION": "2.12", "SPARK_LOCAL_IP": HOST}
    url = f"spark://{HOST}:{port}"
    ports = ["--host", HOST, "--port", str(port), "--webui-port", str(page)]
    master = java.command(jars, "org.apache.spark.deploy.master.Master", *ports)
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(master, folder / "master.log", lambda: _workers(page) == 0, home))
        for count in (1, 2):
            place = ["--host", HOST, "--webui-port", "0", "--work-dir", str(folder / f"work-{count}")]
            size = ["--cores", "1", "--memory", "1g"]
            worker = java.command(jars, "org.apache.spark.deploy.worker.Worker", *place, *size, url)
            stack.enter_context(
                running(worker, folder / f"worker-{count}.log", lambda count=count: _workers(page) == count, home)
            )
        settings = [*_SETTINGS, "-Dspark.executor.memory=512m", "-Dspark.cores.max=2"]
        submit = stack.enter_context(
            java.job_server(jars, _JOB_SERVER, folder, "--spark-master-url", url, options=settings)
        )
        yield [*submit, *stack.enter_context(workers.pool(folder))]


def _home(folder: Path, jars: list[str]) -> Path:
    """A folder like that of an installed Spark: a worker takes the class path of its executors from it."""
    (folder / "jars").mkdir(parents=True)
    for jar in jars:
        os.symlink(jar, folder / "jars" / Path(jar).name)
    return folder


def _workers(port: int) -> int | None:
    """How many workers a master knows, or None while it does not answer."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{HOST}:{port}/json/", timeout=2) as answer:
        return int(json.load(answer)["aliveworkers"])
    return None
