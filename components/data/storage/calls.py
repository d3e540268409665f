"""Calls to an object store: errors are OSErrors, what may pass is tried again, and an object is made only once."""

from __future__ import annotations

import contextlib
import errno
import random
import time
from collections.abc import Callable
from typing import Any

from components.base.text import without_passwords

_TRIES = 3  # beside those of the store's own package
_PAUSE_S = 0.5  # before the second, doubled before each further one
_PATIENCE_S = 40  # a call that took longer was tried again by the store's package
_PASSING = {None, errno.EIO, errno.EBUSY, errno.EAGAIN, errno.ECONNRESET, errno.EPIPE, errno.EREMOTEIO}
_PASSING |= {errno.ECONNREFUSED, errno.ECONNABORTED, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH}
# Parts of the names of what the packages of stores raise: botocore, aiohttp, s3fs, gcsfs.
_PASSING_NAMES = (
    *("Timeout", "Connection", "HttpError", "HTTPClientError", "IncompleteRead", "ClientPayloadError"),
    *("ResponseStreamingError", "ResponseParserError", "ServerDisconnected"),
)
_FINAL = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)


class Calls:
    """An fsspec file system; its methods are those of fsspec.

    Errors of stores (500, 503, time-outs, lost connections) are tried again, and the last is raised. Stores raise
    errors of their own, which become OSError.
    """

    def __init__(self, fs: Any) -> None:
        self._fs = fs

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            for attempt in range(_TRIES - 1):
                started = time.monotonic()
                try:
                    return self.once(name, *args, **kwargs)
                except OSError as error:
                    if time.monotonic() - started > _PATIENCE_S or not may_pass(error):
                        raise
                _pause(attempt)
            return self.once(name, *args, **kwargs)

        return call

    def once(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Calls a method without a second try."""
        try:
            return getattr(self._fs, name)(*args, **kwargs)
        except OSError:
            raise
        except Exception as error:
            raise OSError(without_passwords(f"{type(error).__name__}: {error}")) from error

    def content(self, path: str) -> bytes | None:
        """The content of an object; None if there is none."""
        self.invalidate_cache()  # s3fs looks whether an object exists in an earlier listing
        try:
            found: bytes = self.cat_file(path)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        return found

    def create(self, path: str, content: bytes) -> bool:
        """Writes an object where there is none, by a conditional write where the store has them.

        Whoever lost the answer finds the own content there, which is why it must be unlike that of all others.

        Returns:
            whether `content` is there now.
        """
        for attempt in range(_TRIES):
            try:
                self.once("pipe_file", path, content, mode="create")
            except OSError as error:
                if _unknown(error):
                    self.pipe_file(path, content)
                elif self.content(path) is None:
                    if attempt == _TRIES - 1 or not (may_pass(error) or isinstance(error, _FINAL[1])):
                        raise
                    _pause(attempt)
                    continue
            break
        return self.content(path) == content

    def remove(self, path: str) -> None:
        """Removes an object, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self.rm_file(path)


def may_pass(error: OSError) -> bool:
    """Whether it is the store that failed, for now, rather than that there is no such object, or no permission."""
    if isinstance(error, _FINAL):
        return False
    cause = error.__cause__
    if error.errno is None and cause is not None and isinstance(cause, Exception):
        return any(name in type(cause).__name__ for name in _PASSING_NAMES)
    return error.errno in _PASSING or isinstance(error, TimeoutError | ConnectionError)


def _unknown(error: OSError) -> bool:
    """Whether the store or its package has no conditional writes."""
    return error.errno == errno.ENOSYS or isinstance(error.__cause__, TypeError | NotImplementedError)


def _pause(attempt: int) -> None:
    time.sleep(_PAUSE_S * 2**attempt * random.uniform(0.5, 1))  # noqa: S311  not of cryptography
