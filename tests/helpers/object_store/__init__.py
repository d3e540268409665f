"""An S3 server in a process of its own: moto's, made atomic, with faults on request.

moto looks whether a key exists and writes it in two steps, so that of two simultaneous `If-None-Match: *` both may win;
here each request is read whole and then answered alone, as a real store answers.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "minio", "AWS_SECRET_ACCESS_KEY": "minio123", "AWS_DEFAULT_REGION": "us-east-1"}
GATEWAY = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"


class OneByOne:
    """A WSGI application around moto's.

    Attributes:
        faults: each [method, pattern of the path, number of times, what], where what is a status, or
            "lost": the request is carried out and answered with 500;
            "cut": it is carried out, and the connection is closed after half of the answer;
            "closed": the connection is closed without an answer;
            "silent": there is no answer until the faults change, and then the connection is closed.
    """

    def __init__(self, app: Any) -> None:
        self._app, self._lock = app, threading.Lock()
        self.faults: list[list[Any]] = []

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        connection = environ["werkzeug.socket"]
        with self._lock:
            if environ["PATH_INFO"] == "/_faults":
                self.faults = json.loads(body)
                start("200 OK", [("Content-Length", "0")])
                return [b""]
            what = self._fault(environ["REQUEST_METHOD"], environ["PATH_INFO"])
            faults = self.faults
            if what in ("", "lost", "cut"):
                told = _ignore if what == "lost" else start
                answer = b"".join(self._app(environ | {"wsgi.input": io.BytesIO(body)}, told))
                if not what:
                    return [answer]
                if what == "cut":
                    return _first_half(answer, connection)
        while what == "silent" and self.faults is faults:
            time.sleep(0.1)
        if what in ("silent", "closed"):
            connection.shutdown(socket.SHUT_RDWR)
            return []
        code = "SlowDown" if what == "503" else "InternalError"
        text = f"<Error><Code>{code}</Code><Message>We encountered an internal error.</Message></Error>".encode()
        if environ["REQUEST_METHOD"] == "HEAD":
            text = b""
        start(f"{what if what != 'lost' else 500} Fault", [("Content-Length", str(len(text)))])
        return [text]

    def _fault(self, method: str, path: str) -> str:
        for fault in self.faults:
            if fault[0] == method and fault[2] > 0 and re.search(fault[1], path):
                fault[2] -= 1
                return str(fault[3])
        return ""


def _ignore(*_: Any) -> None:
    pass


def _first_half(answer: bytes, connection: socket.socket) -> Iterator[bytes]:
    yield answer[: len(answer) // 2]
    connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def served(log: Path) -> Iterator[str]:
    """Starts the server with an empty bucket `models`; gives its URL, as AWS_ENDPOINT_URL takes it."""
    with _running([sys.executable, __file__, "PORT"], log) as url:
        urllib.request.urlopen(urllib.request.Request(f"{url}/models", method="PUT")).close()
        yield url


@contextlib.contextmanager
def gateway(folder: Path) -> Iterator[str]:
    """The same with versitygw, another S3 server, written in Go, which keeps its objects below `folder`.

    It is on PATH or built; the test is skipped where it cannot be.
    """
    program = shutil.which("versitygw") or _built(folder)
    (folder / "data" / "models").mkdir(parents=True)
    options = [
        "--access",
        ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        "--secret",
        ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
        "--quiet",
    ]
    with _running(
        [program, "--port", "127.0.0.1:PORT", *options, "posix", str(folder / "data")], folder / "log"
    ) as url:
        yield url


def _built(folder: Path) -> str:
    if shutil.which("go") is None:
        pytest.skip("neither versitygw nor Go on PATH")
    environment = os.environ | {"GOBIN": str(folder), "GOFLAGS": "-mod=mod"}
    command = ["go", "install", GATEWAY]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=900)
    if done.returncode:
        pytest.skip(f"{GATEWAY} cannot be built: {done.stderr[-300:]}")
    return str(folder / "versitygw")


@contextlib.contextmanager
def _running(command: list[str], log: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("w") as out:
        command = [part.replace("PORT", str(port)) for part in command]
        server = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def faults(url: str, *wanted: tuple[str, str, int, str]) -> None:
    """Has the server fail: (method, pattern of the path, number of times, what; see `OneByOne`); nothing: no more."""
    urllib.request.urlopen(f"{url}/_faults", json.dumps(wanted).encode()).close()


def main(port: int) -> None:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, run_simple

    os.environ["MOTO_PORT"] = str(port)
    app = OneByOne(DomainDispatcherApplication(create_backend_app))

    class Quiet(WSGIRequestHandler):
        def log_request(self, *_: Any) -> None:
            pass

    run_simple("127.0.0.1", port, app, threaded=True, request_handler=Quiet)


if __name__ == "__main__":
    main(int(sys.argv[1]))
