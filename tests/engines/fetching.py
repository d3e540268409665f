"""Fetches the engines, at pinned versions, through Maven and Go; skips the test where that cannot be.

They are kept in the folder that `IMAGEGATE_ENGINES` names, or else in the user's cache.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

# Go compares it with its public database of checksums. The version is that of the SDK in the lock file.
PRISM = "github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0"
_RESOLVE = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath"
_SECONDS = 900


def cache() -> Path:
    """The folder of what was fetched; made if missing."""
    users = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("IMAGEGATE_ENGINES") or Path(users, "imagegate", "engines"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def jars(engine: str) -> list[str]:
    """The class path of an engine with Beam's runner: the files that `ENGINE.xml` in this folder asks for."""
    _require("java", "mvn")
    pom = Path(__file__).with_name(f"{engine}.xml")
    digest = hashlib.sha256(pom.read_bytes()).hexdigest()[:12]
    resolved = cache() / f"{engine}-{digest}.classpath"
    with _alone():
        if not _complete(resolved):
            options = [f"-Dmaven.repo.local={cache() / 'maven'}", f"-Dmdep.outputFile={resolved}"]
            _run(["mvn", "-B", "-q", "--strict-checksums", "-f", str(pom), _RESOLVE, *options], dict(os.environ))
    return resolved.read_text().strip().split(os.pathsep)


def prism() -> str:
    """The path of Prism's program."""
    _require("go")
    folder = cache() / PRISM.rpartition("@")[2]
    with _alone():
        if not (folder / "prism").exists():
            # -mod=mod: the flag of a project around must not apply.
            _run(["go", "install", PRISM], os.environ | {"GOBIN": str(folder), "GOFLAGS": "-mod=mod"})
    return str(folder / "prism")


def _complete(resolved: Path) -> bool:
    return resolved.exists() and all(map(os.path.exists, resolved.read_text().strip().split(os.pathsep)))


def _require(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not on PATH: {', '.join(missing)}")


def _run(command: list[str], environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            command, env=environment, check=False, capture_output=True, text=True, timeout=_SECONDS, cwd=cache()
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"{command[0]} could not fetch the engine in {_SECONDS} seconds")
    if done.returncode:
        pytest.skip(f"{command[0]} cannot fetch the engine: {(done.stdout + done.stderr)[-400:]}")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One process at a time: the processes that share the tests would fetch the same files."""
    with (cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
