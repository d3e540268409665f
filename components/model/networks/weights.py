"""ImageNet weights of `keras.applications` in the folder where Keras looks for them: found, checked and fetched.

Keras would download them in the middle of a training, show neither a sentence nor a mirror, and write the file in
place. Here they are there, and right, before anything else begins.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.client
import os
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

from components.base import progress
from components.base.errors import ConfigError, ImagegateError
from components.base.files import sync
from components.base.text import holds_password
from components.model.networks.catalogue import WEIGHTS, Weights

MIRROR = "IMAGEGATE_WEIGHTS_URL"  # a server with the same paths
_SERVER = "https://storage.googleapis.com"  # of Keras
_TIMEOUT = 30  # seconds without an answer or a byte
_ABANDONED = 3600  # seconds after its last byte, a file that was being fetched is that of a killed run
_BLOCK = 1 << 20
_SLACK = 2  # a file may be this many times as large as its weights
_HDF5 = b"\x89HDF\r\n\x1a\n"
_MD5_DIGITS = 32


class Unreachable(ImagegateError):
    """Weights could not be fetched; the message says from where and why."""


def folder() -> str:
    """Keras's folder of weights: below `KERAS_HOME`, `~/.keras`, or the temporary folder where that cannot be made."""
    home = os.path.expanduser(os.environ.get("KERAS_HOME") or os.path.join("~", ".keras"))
    with contextlib.suppress(OSError):
        os.makedirs(home, exist_ok=True)
    if not os.path.isdir(home):
        home = os.path.join(_temporary(), ".keras")
    return os.path.join(home, "models")


# A run has a folder for temporary files of its own; what is found here before it begins must be found in it.
_temporary = functools.cache(tempfile.gettempdir)


def url(weights: Weights) -> str:
    """Where the file is fetched from."""
    return f"{os.environ.get(MIRROR) or _SERVER}".rstrip("/") + f"/{weights.path}"


def path(weights: Weights) -> str:
    """Where the file lies on this machine, or would lie."""
    return os.path.join(folder(), weights.file)


def cached(weights: Weights) -> bool:
    """Whether the file is there, with the content that Keras knows."""
    try:
        return _fault(path(weights), weights) is None
    except FileNotFoundError:
        return False


def ensure(name: str, image_size: tuple[int, int]) -> str | None:
    """Returns the path of a network's weights, fetches them if they are missing; None: unknown here, Keras may know.

    Args:
        name: of the network in keras.applications.
        image_size: height and width in pixels; two networks have weights for several sizes.

    Raises:
        ConfigError: they are missing and cannot be fetched.
    """
    if name not in WEIGHTS:
        return None
    weights = WEIGHTS[name].at(image_size)
    if cached(weights):
        return path(weights)
    try:
        return fetch(weights)
    except ImagegateError as error:
        missing = "are damaged" if os.path.exists(path(weights)) else "are not on this machine"
        raise ConfigError(
            f"training.weights: the ImageNet weights of {name} {missing}: {error}; on a machine with a "
            f"network, run `imagegate backbone fetch {name}` and copy {weights.file} to {folder()}, or set weights: "
            "null, or take the path of a .keras file as training.backbone"
        ) from None


def fetch(weights: Weights) -> str:
    """Downloads weights, with progress, checks them, puts them in place in one step, and returns their path.

    Raises:
        Unreachable: they cannot be fetched, are not what Keras knows, or cannot be written.
    """
    place = path(weights)
    try:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with _beside(place) as temporary:
            _download(weights, temporary)
            if fault := _fault(temporary, weights):
                raise Unreachable(f"{url(weights)} is not the file that Keras knows: {fault}")
            os.chmod(temporary, 0o644)  # as for any new file; others read the folder, too
            sync(temporary)
            os.replace(temporary, place)
    except OSError as error:
        raise Unreachable(f"{place} cannot be written: {error.strerror}; KERAS_HOME names another folder") from None
    return place


@contextlib.contextmanager
def _beside(place: str) -> Iterator[str]:
    """Yields the path of a file of its own beside `place`, since several runs may fetch at once.

    Removes those of killed runs first.
    """
    folder, prefix = os.path.dirname(place), f".new.{os.path.basename(place)}."
    for name in os.listdir(folder):
        with contextlib.suppress(OSError):  # another run does the same
            path = os.path.join(folder, name)
            if name.startswith(prefix) and time.time() - os.path.getmtime(path) > _ABANDONED:
                os.unlink(path)
    descriptor, temporary = tempfile.mkstemp(prefix=prefix, dir=folder)
    os.close(descriptor)
    try:
        yield temporary
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _download(weights: Weights, to: str) -> None:
    source, done = url(weights), 0
    if not source.startswith(("https://", "http://")) or holds_password(source):
        raise Unreachable(
            f"{MIRROR}: expected https://SERVER or http://SERVER, without a user name, got {os.environ.get(MIRROR)}"
        )
    try:
        answer = urllib.request.urlopen(source, timeout=_TIMEOUT)  # noqa: S310  the scheme is checked above
    except urllib.error.HTTPError as error:
        raise Unreachable(f"{source} answers {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(f"{source} cannot be reached: {_reason(error)}") from None
    with answer, open(to, "wb") as f:
        total = int(answer.headers.get("Content-Length") or 0) or None
        for block in _blocks(answer, source):
            done += len(block)
            if done > _SLACK * weights.megabytes * 1_000_000:
                raise Unreachable(f"{source} is far larger than these weights, about {weights.megabytes} MB")
            f.write(block)
            progress.report("fetching weights", done, total, _megabytes(done, total))
    if total is not None and done < total:
        raise Unreachable(f"{source}: the connection ended after {done:,} of {total:,} bytes")


def _blocks(answer: http.client.HTTPResponse, source: str) -> Iterator[bytes]:
    """Yields the body of an answer; apart from writing, whose errors are others."""
    while True:
        try:
            block = answer.read(_BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"{source}: the connection broke: {_reason(error)}") from None
        if not block:
            return
        yield block


def _megabytes(done: int, total: int | None) -> str:
    return f"{done / 1e6:,.0f}{'' if total is None else f' of {total / 1e6:,.0f}'} MB"


def _reason(error: Exception) -> str:
    """The cause in a few words; urllib wraps it."""
    cause = getattr(error, "reason", error)
    if isinstance(cause, TimeoutError):
        return f"no answer within {_TIMEOUT} seconds"
    return str(getattr(cause, "strerror", None) or cause or type(cause).__name__)


def _fault(file: str, weights: Weights) -> str | None:
    """What is wrong with a file of weights; None: nothing. Where Keras knows no digest, only its form is checked.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read.
    """
    with open(file, "rb") as f:
        if not weights.digest:
            return None if f.read(len(_HDF5)) == _HDF5 else "it is no HDF5 file"
        algorithm = "md5" if len(weights.digest) == _MD5_DIGITS else "sha256"  # those that Keras has
        found = hashlib.file_digest(f, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    return None if found == weights.digest else f"its {algorithm.upper()} is {found}, expected {weights.digest}"
