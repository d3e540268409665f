"""The lock of an object store: a lease, which expires unless its holder renews it.

A lock is an object `.imagegate-lock-N`; the one with the largest N counts. Who finds it released or expired makes
number N + 1 by a conditional write, in which one of several succeeds. The largest is never removed, so that nobody can
begin again with a smaller one; who made one and then finds a larger one has none. No clocks of different machines are
compared: a lock is expired once the waiting process itself has seen it unchanged for as long as it says.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator

from components.base.values import parsed_json
from components.data.storage.calls import Calls
from components.push.destination.process import alive, this_process

LOCK = ".imagegate-lock-"
EXPIRY_S = 60.0  # a holder that did not renew its lock for so long has lost it
RENEWALS = 6  # in that time
WAIT_S = 900.0  # others wait for so long before they give up
SETTLE_S = 3.0  # within which the writes of others are seen, in a store without conditional writes
_CONDITIONAL = {"s3", "s3a", "gs", "gcs", "memory"}  # protocols whose packages write conditionally


class Lost(OSError):
    """Another writer has taken over the lock."""


@dataclasses.dataclass(frozen=True)
class Holder:
    """What a lock says of who holds it."""

    owner: str
    host: str = ""
    pid: int = 0
    process: str = ""
    since: str = ""
    expiry_s: float = 60.0
    beat: int = 0
    released: bool = False

    @classmethod
    def from_json(cls, content: bytes) -> Holder:
        """Reads a lock; one that is damaged has a holder of whom nothing is known."""
        try:
            told = parsed_json(content)
            return cls(**told | {"expiry_s": min(max(float(told["expiry_s"]), 1.0), 3600.0)})
        except (ValueError, TypeError, KeyError):
            return cls("")

    def to_json(self) -> bytes:
        return json.dumps(dataclasses.asdict(self)).encode()


class Lease:
    """The lock of one destination, held by one process.

    Args:
        calls: the store.
        base: path of the destination in it.
        root: its URL, for messages.
        protocol: of the URL.
    """

    def __init__(self, calls: Calls, base: str, root: str, protocol: str) -> None:
        now = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"
        self._calls, self._base, self._root = calls, base, root
        self._sure = protocol in _CONDITIONAL
        self.holder = Holder(uuid.uuid4().hex, socket.gethostname(), os.getpid(), this_process(), now, EXPIRY_S)
        self._number, self._confirmed = 0, 0.0

    @contextlib.contextmanager
    def held(self, close: Callable[[], None]) -> Iterator[None]:
        """Waits for the lock and holds it.

        Args:
            close: called if the holder before had not released it: makes it impossible for that one to go on.

        Raises:
            OSError: others held it for `WAIT_S`, or the store fails.
        """
        taken_over = self._acquire()
        done = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(done,), daemon=True)
        renewing.start()
        closed = False
        try:
            if taken_over:
                close()
            closed = True
            yield
        finally:
            done.set()
            renewing.join(self.holder.expiry_s)
            if closed:  # otherwise it expires, and the next one closes
                self._release()

    def check(self) -> None:
        """Asks the store whether the lock is still held.

        Raises:
            Lost: it is not.
        """
        asked = _now()
        number, found = self._newest()
        if number != self._number or Holder.from_json(found).owner != self.holder.owner:
            raise Lost(
                f"this process lost its lock of {self._root}, because it did not renew it for {self.holder.expiry_s:g} "
                "seconds; nothing was pushed, run again"
            )
        self._confirmed = asked

    def check_if_late(self) -> None:
        """The same, unless the lock was renewed a moment ago."""
        if _now() - self._confirmed > 2 * self.holder.expiry_s / RENEWALS:
            self.check()

    def _acquire(self) -> bool:
        began = since = _now()
        seen, pause = (-1, b""), 0.05
        while True:
            number, found = newest = self._newest()
            if newest != seen:
                seen, since = newest, _now()
            holder = Holder.from_json(found)
            if number == 0 or holder.released or _now() - since > holder.expiry_s or alive(holder.process) is False:
                if self._take(number + 1):
                    return number > 0 and not holder.released
            elif _now() - began > WAIT_S:
                raise OSError(
                    f"process {holder.pid} on {holder.host or 'an unknown host'} has held the lock of {self._root} "
                    f"since {holder.since or 'an unknown time'}, and {WAIT_S:g} seconds of waiting did not suffice; "
                    "run again when it has ended"
                )
            time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  not of cryptography
            pause = min(0.4, pause * 1.2)

    def _take(self, number: int) -> bool:
        path, mine = self._path(number), self.holder.to_json()
        asked = _now()
        if not self._calls.create(path, mine):
            return False
        if not self._sure or not self._refuses(path, mine):
            time.sleep(SETTLE_S)
        if self._newest() != (number, mine):
            if self._calls.content(path) == mine:
                self._calls.remove(path)
            return False
        self._number, self._confirmed = number, asked
        for older in self._numbers():
            if older < number:
                with contextlib.suppress(OSError):
                    self._calls.remove(self._path(older))
        return True

    def _refuses(self, path: str, content: bytes) -> bool:
        """Whether the store refuses to make what is there; some that speak S3 ignore the condition."""
        try:
            self._calls.once("pipe_file", path, content, mode="create")
        except OSError:
            return True
        return False

    def _renew(self, done: threading.Event) -> None:
        while not done.wait(self.holder.expiry_s / RENEWALS):
            with contextlib.suppress(OSError):
                self.check()
                self.holder = dataclasses.replace(self.holder, beat=self.holder.beat + 1)
                self._calls.once("pipe_file", self._path(self._number), self.holder.to_json())

    def _release(self) -> None:
        with contextlib.suppress(OSError):  # it expires
            self.check()
            released = dataclasses.replace(self.holder, released=True)
            self._calls.pipe_file(self._path(self._number), released.to_json())

    def _newest(self) -> tuple[int, bytes]:
        """The largest number and the content of its object; (0, b"") if there is none."""
        while numbers := self._numbers():
            number = max(numbers)
            found = self._calls.content(self._path(number))
            if found is not None:
                return number, found
        return 0, b""

    def _numbers(self) -> list[int]:
        self._calls.invalidate_cache()
        try:
            entries = self._calls.ls(self._base, detail=True)
        except FileNotFoundError:
            return []
        names = (entry["name"].rpartition("/")[2] for entry in entries)
        found = (name.removeprefix(LOCK) for name in names if name.startswith(LOCK))
        return [int(text) for text in found if text.isascii() and text.isdigit() and len(text) < 19]

    def _path(self, number: int) -> str:
        return f"{self._base}/{LOCK}{number}"


def _now() -> float:
    """Seconds that go on while this process is stopped, and where the system has such a clock while it sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
