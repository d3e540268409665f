"""An HTTP server on 127.0.0.1 that may misbehave, and the same behind TLS."""

import contextlib
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Request:
    """One that arrived; `host` is where it was meant for."""

    host: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Script:
    """What comes for each request, the last for ever: a status, "cut", "stall" or "drip"; and what arrived."""

    answers: list[int | str] = field(default_factory=lambda: [200])
    location: str = ""
    seen: list[Request] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def next(self) -> int | str:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def handler(script: Script, tls: ssl.SSLContext | None = None) -> type[BaseHTTPRequestHandler]:
    """Answers as the script says; with `tls`, it is a proxy that ends each tunnel itself."""

    class Handler(BaseHTTPRequestHandler):
        host = ""

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

        def do_CONNECT(self) -> None:
            type(self).host = self.path
            self.send_response(200)
            self.end_headers()
            assert tls is not None
            self.connection = tls.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
            self.close_connection = False

        def do_POST(self) -> None:
            self._take()

        def do_GET(self) -> None:
            self._take()

        def _take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            host = self.host or self.headers["Host"]
            headers = {name.lower(): value for name, value in self.headers.items()}
            script.seen.append(Request(host, self.path, headers, body))
            answer = script.next()
            self.close_connection = True
            if answer == "cut":
                return
            if answer == "stall":
                script.over.wait(60)
                return
            if answer == "drip":  # a byte now and then: no pause is long enough for a time limit on reading
                with contextlib.suppress(OSError):
                    while not script.over.is_set():
                        self.wfile.write(b"H")
                        time.sleep(0.05)
                return
            assert isinstance(answer, int)
            self.send_response(answer)
            if 300 <= answer < 400:
                self.send_header("Location", script.location)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

    return Handler


@contextlib.contextmanager
def http(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serves a script; yields the address."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that leaves is no error of ours."""

    server = Server(("127.0.0.1", 0), handler(script, tls))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        script.over.set()
        server.shutdown()
        server.server_close()


def authority(folder: Path, *hosts: str) -> tuple[Path, ssl.SSLContext]:
    """Returns the file with the certificate, which is to be trusted, of a server that has it for these hosts."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not here")
    file, names = folder / "hosts.pem", ",".join(f"DNS:{host}" for host in hosts)
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=services", "-addext", f"subjectAltName={names}", "-out", file, "-keyout", folder / "key.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, folder / "key.pem")
    return file, context
