"""Folders behind fsspec URLs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

from components.base import proof
from components.base.errors import ConfigError, ImagegateError
from components.base.text import holds_password, shown
from components.data.storage import aside
from components.data.storage.calls import Calls, may_pass, of_object, reason
from components.data.storage.entry import HOLDS_CREDENTIALS, File, is_litter, litter_in

_TRIES = 2  # of s3fs


def files(root: str, key: str) -> Iterator[File]:
    """Yields every file below a URL; see `storage.files`."""
    fs, base = filesystem(root, key)
    try:
        details = Calls(fs).files(base)
        missing = not details and not Calls(fs).exists(base)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError) and of_object(error)
        if not missing:
            raise ConfigError(f"{key}: {root} cannot be listed: {reason(error)}") from error
    if missing:
        raise ConfigError(f"{key}: {root} does not exist")
    prefix, left = base.rstrip("/") + "/", aside.current()
    places, start = left.below(root), root.rstrip("/") + "/"
    for name, info in details.items():
        path = name[len(prefix) :]
        if place := next((p for p in places if path == p or path.startswith(p + "/")), None):
            left.met.add(start + place)
        elif hidden := litter_in(path):
            left.hidden.add(start + hidden)
        else:
            # Object stores hold only files. A file:// URL may hold links, which lead anywhere, and pipes, which never
            # end.
            problem = "" if info.get("type", "file") == "file" else "not a regular file"
            yield File(path, int(info.get("size") or 0), version(info), problem)


def folders(root: str) -> list[str]:
    """Names of the folders directly below `root`; see `storage.folders`."""
    fs, path = filesystem(root)
    places = aside.current().below(root)
    try:
        with answering(root):
            entries = Calls(fs).ls(path, detail=True)
    except OSError as error:
        raise ConfigError(f"data.root: {root} cannot be listed: {reason(error)}") from error
    names = [e["name"].rstrip("/").rpartition("/")[2] for e in entries if e["type"] == "directory"]
    return [name for name in names if not is_litter(name) and name not in places]


def read(root: str, path: str) -> bytes:
    """The content of a file; see `storage.read`.

    Raises:
        OSError: there is no such file, or it may not be read.
        ImagegateError: see `answering`.
    """
    fs, base = filesystem(root)
    with answering(f"{root.rstrip('/')}/{path}"):
        data: bytes = Calls(fs).cat_file(f"{base}/{path}")
    return data


def is_file(url: str) -> bool:
    """Whether a URL is that of a file that may be looked at.

    Raises:
        ImagegateError: see `answering`.
    """
    fs, path = filesystem(url)
    with answering(url):
        try:
            return bool(Calls(fs).info(path)["type"] == "file")
        except OSError as error:
            if of_object(error):
                return False
            raise


@contextlib.contextmanager
def answering(url: str) -> Iterator[None]:
    """Ends the command where a store fails: that says nothing of the file, which must not count as one that is broken.

    Args:
        url: of the file, for the message.

    Raises:
        ImagegateError: it is not the file that cannot be read, see `of_object`, but the store that failed each time
            that it was asked, or refused; see `Calls`.
    """
    try:
        yield
    except OSError as error:
        if of_object(error):
            raise
        advice = "run again once its store answers" if may_pass(error) else "check the credentials and permissions"
        name = shown(url).replace("\n", "\\n")
        raise ImagegateError(f"{name} cannot be read: {reason(error)}; {advice}") from error


def version(info: Mapping[str, Any]) -> str:
    """Returns text that changes with a file, from what the store says of it."""
    if "ino" in info:  # a file:// URL
        try:
            trusted = proof.has_change_times(os.path.dirname(info["name"]))
            return proof.of_status(os.stat(info["name"]), trusted=trusted)
        except OSError:
            return ""
    return proof.of_store(info)


def filesystem(root: str, key: str = "data.root"):  # type: ignore[no-untyped-def]
    """Opens the store of a URL; returns it and the path in it.

    Raises:
        ConfigError: naming `key`: there is no library for such a URL, or it holds a password.
    """
    import fsspec

    if holds_password(root):
        raise ConfigError(f"{key}: {HOLDS_CREDENTIALS}")
    try:
        fs, path = fsspec.core.url_to_fs(root)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{key}: {root} cannot be opened: {error}") from error
    if type(fs).__module__.startswith("s3fs"):
        _have_it_give_up(fs)
    return fs, path.rstrip("/")


def _have_it_give_up(fs: Any) -> None:
    """Has s3fs give up a store that never answers after some minutes, and outlast one that is away for half a minute.

    Its own tries multiply with the five of botocore and those of `Calls`: with five, a silent store is given up after
    half an hour. Where a request says "Expect: 100-continue", as botocore's uploads do, aiohttp 3.14 waits for the
    answer without a limit.
    """
    if fs.session is None:
        from aiobotocore.session import AioSession
        from botocore.handlers import add_expect_header

        session = AioSession(**fs.kwargs)
        session.unregister("before-call.s3", add_expect_header)
        fs.session, fs.retries = session, _TRIES
