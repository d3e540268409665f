"""Python imports this before anything else where its folder is on PYTHONPATH: it notes every way out of this machine.

Each look-up of a name, connection and datagram that does not stay on the loopback address is a line of the file that
OUTWARD names, with the module that asked for it. Child processes note theirs there as well.
"""

import ipaddress
import os
import sys

_EVENTS = {"socket.connect": 1, "socket.sendto": 1, "socket.getaddrinfo": 0}  # -> where the address stands


def _is_near(host: object) -> bool:
    """Whether an address stays on this machine; a path is one of a Unix socket, None and "" are this machine."""
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host)).is_loopback
    except ValueError:
        return False


def _note(event: str, arguments: tuple) -> None:
    if event not in _EVENTS:
        return
    address = arguments[_EVENTS[event]]
    if event != "socket.getaddrinfo":
        if not isinstance(address, tuple) or not isinstance(address[0], str):
            return  # a Unix socket, or the kernel's
        address = address[0]
    if _is_near(address):
        return
    frame, names = sys._getframe(1), []
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        if not names or names[-1] != name:
            names.append(name)
        frame = frame.f_back
    line = f"{event} {address} by {' < '.join(names[:8])} in {sys.argv[:3]}\n"
    descriptor = os.open(os.environ["OUTWARD"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, line.encode())
    os.close(descriptor)


if "OUTWARD" in os.environ:
    sys.addaudithook(_note)
