"""Java commands, with what Flink and Spark need of Java 17, and Beam's job servers."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from engines.processes import HOST, free_port, listens, running

# Both engines look into these packages, which Java closes by default since 17; their own start scripts open them.
OPENED = [
    *("java.io", "java.lang", "java.lang.invoke", "java.lang.reflect", "java.net", "java.nio", "java.text"),
    *("java.time", "java.util", "java.util.concurrent", "java.util.concurrent.atomic", "java.util.concurrent.locks"),
    *("sun.nio.ch", "sun.nio.cs", "sun.security.action", "sun.util.calendar"),
]


def command(
    jars: Sequence[str], main: str, *arguments: str, memory: str = "512m", options: Sequence[str] = ()
) -> list[str]:
    """The command that runs the class `main`.

    Args:
        jars: its class path.
        main: the class.
        arguments: those of the class.
        memory: limit of the heap.
        options: further options of Java.
    """
    opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED]
    # These processes live for a minute or two: the second compiler would cost more than it gains.
    quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", f"-Xmx{memory}"]
    return ["java", *quick, *opened, *options, "-cp", os.pathsep.join(jars), main, *arguments]


@contextlib.contextmanager
def job_server(
    jars: Sequence[str], main: str, folder: Path, *arguments: str, memory: str = "512m", options: Sequence[str] = ()
) -> Iterator[list[str]]:
    """Runs one of Beam's job servers; yields the options with which Beam submits to it.

    Args:
        jars: its class path.
        main: its class.
        folder: for its log and files.
        arguments: those of the class, besides its ports.
        memory: limit of the heap.
        options: further options of Java.
    """
    port = free_port()
    ports = ["--job-host", HOST, "--job-port", str(port), "--artifact-port", "0", "--expansion-port", "-1"]
    java = command(
        jars, main, *ports, "--artifacts-dir", str(folder / "staged"), *arguments, memory=memory, options=options
    )
    with running(java, folder / "job-server.log", lambda: listens(port)):
        yield ["--runner=PortableRunner", f"--job_endpoint={HOST}:{port}"]
