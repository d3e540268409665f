"""Calls to an object store: errors are OSErrors, what may pass is tried again, and an object is made only once."""

from __future__ import annotations

import contextlib
import errno
import random
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from components.base.text import shown, without_passwords

_TRIES = 3  # beside those of the store's own package
_PAUSE_S = 0.5  # before the second, doubled before each further one
_PATIENCE_S = 40  # a call that took longer was tried again by the store's package
_PASSING = {errno.EIO, errno.EBUSY, errno.EAGAIN, errno.ECONNRESET, errno.EPIPE, errno.EREMOTEIO, errno.ENOTCONN}
_PASSING |= {errno.ECONNREFUSED, errno.ECONNABORTED, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH}
_PASSING |= {errno.ENETDOWN, errno.ENETRESET, errno.EHOSTDOWN, errno.ESHUTDOWN}
# Parts of the names of what the packages of stores raise where no answer came: botocore, aiohttp, requests,
# google-auth, azure-core, gcsfs.
_PASSING_NAMES = (
    *("Timeout", "Connection", "HTTPClientError", "IncompleteRead", "ClientPayloadError", "ServerDisconnected"),
    *("ResponseStreamingError", "ResponseParserError", "Transport", "ServiceRequest", "ServiceResponse", "Checksum"),
)
# Parts of the codes of S3 that pass although their status is 4xx.
_PASSING_CODES = (
    *("RequestTimeout", "IncompleteBody", "BadDigest", "Throttl", "SlowDown", "LimitExceeded"),
    *("OperationAborted", "ConditionalRequestConflict", "409"),
)
# The codes of S3 that speak of one object; s3fs raises PermissionError for those of credentials as well, and
# FileNotFoundError for a bucket that is gone.
_CODES_OF_OBJECTS = {"NoSuchKey", "NoSuchVersion", "NotFound", "404", "AccessDenied", "Forbidden", "403"}
_CODES_OF_OBJECTS |= {"InvalidObjectState", "KeyTooLongError"}
# The modules of the `find` that lists folder by folder, and leaves out those whose listing fails. Packages of stores
# that have no folders list everything at once.
_LISTING_FOLDERS = {"fsspec.spec", "fsspec.asyn", "fsspec.generic", "fsspec.implementations.dirfs"}
_TOO_LONG = {errno.ENAMETOOLONG, errno.ELOOP}
_FINAL = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)


class Calls:
    """An fsspec file system; its methods are those of fsspec.

    Errors of stores that may pass (see `may_pass`) are tried again, and the last is raised. Stores raise errors of
    their own, which become OSError.
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
        except OSError as error:
            if error.errno is None and str(error).startswith("Forbidden: "):  # all that gcsfs says of 403
                raise PermissionError(errno.EACCES, " ".join(str(error).split())) from error
            raise
        except Exception as error:
            raise _as_os_error(error) from error

    def files(self, folder: str) -> dict[str, Mapping[str, Any]]:
        """All files below a folder, with what the store says of each.

        Raises:
            FileNotFoundError: there is no such folder, where the store has folders; others list nothing.
            OSError: it cannot be listed, or a folder in it; that one is named.
        """
        kind = type(self._fs)
        if getattr(kind, "_find", kind.find).__module__ not in _LISTING_FOLDERS:
            found: dict[str, Mapping[str, Any]] = self.find(folder, detail=True)
            return found
        return dict(self._walk(folder.rstrip("/")))

    def _walk(self, base: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Lists folder by folder; on a web server, what its pages link to."""
        left, listed = [base], {base}
        while left:
            folder = left.pop()
            try:
                entries = self.ls(folder, detail=True)
            except OSError as error:
                if folder == base:
                    raise
                raise OSError(f"{folder} cannot be listed: {reason(error)}") from error
            for entry in entries:
                name = entry["name"].rstrip("/")
                if {".", ".."} & set(name[len(base) :].split("/")):  # a link back, or out of the folder
                    continue
                if entry["type"] != "directory":
                    yield entry["name"], entry
                elif name not in listed:
                    listed.add(name)
                    left.append(name)

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
    """Whether it is the store that failed, for now: it did not answer, or with 408, 429 or 5xx, or was busy."""
    chain = _chain(error)
    if any("Certificate" in type(e).__name__ or isinstance(e, ssl.SSLCertVerificationError) for e in chain):
        return False
    if code := _code(chain):
        if any(part in code for part in _PASSING_CODES):
            return True
        if code in _CODES_OF_OBJECTS:
            return False
    if status := _status(chain):
        return status in (408, 429) or (status >= 500 and status not in (501, 505))
    if error.errno in _PASSING or any(isinstance(e, TimeoutError | ConnectionError | socket.gaierror) for e in chain):
        return True
    if any(part in kind.__name__ for e in chain for kind in type(e).__mro__ for part in _PASSING_NAMES):
        return True
    if isinstance(error, _FINAL):
        return False
    # google-auth says itself what is worth a retry; an OSError that says nothing is.
    return any(getattr(e, "retryable", False) is True for e in chain) or (error.errno is None and len(chain) == 1)


def of_object(error: OSError) -> bool:
    """Whether an error is one of the object alone.

    There is none, it is a folder, its name is too long, or it may not be read with credentials that are valid.
    Everything else is the store's, and says nothing of the object.
    """
    chain = _chain(error)
    if code := _code(chain):
        return code in _CODES_OF_OBJECTS
    if status := _status(chain):
        return status in (403, 404, 410)
    # fsspec's HTTP raises FileNotFoundError as well where no connection was made.
    return (isinstance(error, _FINAL) or error.errno in _TOO_LONG) and not may_pass(error)


def reason(error: OSError) -> str:
    """What an error says, on one line and without passwords."""
    text = " ".join(without_passwords(str(error.strerror or error)).split())
    return shown(text)[:300] or type(error).__name__


def _as_os_error(error: Exception) -> OSError:
    """An OSError whose class says what it is, for stores that answer 403 and 404 with errors of their own."""
    text, chain = without_passwords(f"{type(error).__name__}: {error}"), _chain(error)
    if _code(chain) in (None, *_CODES_OF_OBJECTS):
        if _status(chain) == 403:
            return PermissionError(errno.EACCES, text)
        if _status(chain) in (404, 410):
            return FileNotFoundError(errno.ENOENT, text)
    return OSError(text)


def _chain(error: BaseException) -> list[BaseException]:
    """An error and its causes."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__
    return chain


def _code(chain: list[BaseException]) -> str | None:
    """The code of an error of S3, or of Azure where the credentials are wrong, whose status is 403 as well."""
    for error in chain:
        response = getattr(error, "response", None)
        if isinstance(response, Mapping):
            return str(response.get("Error", {}).get("Code") or "") or None
        if str(getattr(error, "error_code", "")).endswith("AuthenticationFailed"):
            return "AuthenticationFailed"
    return None


def _status(chain: list[BaseException]) -> int | None:
    """The HTTP status that a store answered with, from 400: of botocore, aiohttp, azure-core, gcsfs or requests."""
    for error in chain:
        if any(kind.__name__ == "HttpProcessingError" for kind in type(error).__mro__):
            continue  # aiohttp's, of an answer that ends too early or is malformed; its `code`, 400, is no status
        response = getattr(error, "response", None)
        if isinstance(response, Mapping):
            found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        else:
            places = [(error, "status"), (error, "status_code"), (response, "status_code"), (error, "code")]
            found = next((getattr(place, name) for place, name in places if hasattr(place, name)), None)
        if isinstance(found, int | str) and str(found).isdecimal() and 400 <= int(found) < 600:
            return int(found)
    return None


def _unknown(error: OSError) -> bool:
    """Whether the store or its package has no conditional writes."""
    return error.errno == errno.ENOSYS or isinstance(error.__cause__, TypeError | NotImplementedError)


def _pause(attempt: int) -> None:
    time.sleep(_PAUSE_S * 2**attempt * random.uniform(0.5, 1))  # noqa: S311  not of cryptography
