"""A mail server on 127.0.0.1."""

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from email.policy import default


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
