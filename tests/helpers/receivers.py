"""Those who get notifications, on 127.0.0.1: an HTTP server that may misbehave, the same behind TLS, a mail server."""

import contextlib
import shutil
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from email.policy import default
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


@dataclass
class Mailbox:
    """What a mail server took: (sender, recipients, message); with `refuse`, it takes nothing."""

    mails: list[tuple[str, list[str], Message]] = field(default_factory=list)
    refuse: bool = False


@contextlib.contextmanager
def smtp(box: Mailbox) -> Iterator[int]:
    """A mail server that speaks the part of RFC 5321 that a client needs; yields its port."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            sender, recipients = "", list[str]()
            self._say("220 mail.example ESMTP")
            while line := self.rfile.readline():
                command = line.decode().strip()
                verb = command[:4].upper()
                if verb == "EHLO":
                    self._say("250 mail.example")
                elif verb == "MAIL":
                    if box.refuse:
                        self._say("550 no mail from you")
                        continue
                    sender = command[command.index("<") + 1 : command.index(">")]
                    self._say("250 ok")
                elif verb == "RCPT":
                    recipients.append(command[command.index("<") + 1 : command.index(">")])
                    self._say("250 ok")
                elif verb == "DATA":
                    self._say("354 go on")
                    lines = iter(self.rfile.readline, b".\r\n")
                    content = b"".join(one.removeprefix(b".") for one in lines)
                    box.mails.append((sender, recipients, message_from_bytes(content, policy=default)))
                    self._say("250 taken")
                elif verb == "QUIT":
                    self._say("221 bye")
                    return
                else:
                    self._say("250 ok")

        def _say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
