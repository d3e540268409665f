"""What a stage hands on is what later stages and runs read: digests of every output, checked before each stage.

TFX's own stages read what they are given, and the cache returns what an earlier run wrote. A shard that was cut, a
transform graph or a model that changed on disk would be used without a word.
"""

from __future__ import annotations

import contextlib
import os

from components.base import digests
from components.base.errors import ImagegateError
from components.base.files import write_atomically
from pipeline.artifacts import written

_AGAIN = "run again with --force"


class HandedOn:
    """The outputs of the stages of one run.

    Args:
        output: folder of all runs; the digests are kept in it, outside of the artifacts.
    """

    def __init__(self, output: str) -> None:
        self._output = output
        self._expected: dict[str, dict[str, str]] = {}  # folder of an artifact -> digests

    def add(self, folder: str, *, cached: bool) -> None:
        """Adds an output: takes its digests, or if it comes from the cache those taken when it was written.

        Args:
            folder: of the artifact, below the output.
            cached: whether an earlier run wrote it.
        """
        if folder in self._expected or not os.path.isdir(folder):
            return
        record = written.record(self._output, folder)
        expected = _read(record) if cached else None
        if expected is None:
            expected = written.take(folder)
            os.makedirs(os.path.dirname(record), exist_ok=True)
            _forget(os.path.dirname(record), os.path.dirname(folder))
            write_atomically(record, written.render(expected))
        self._expected[folder] = expected

    def check(self) -> None:
        """Compares every output with its digests. Files that a proof shows unchanged are not read again.

        Raises:
            ImagegateError: a file is missing, was changed, or was not there; the message names it.
        """
        for folder, expected in self._expected.items():
            found = digests.of_folder(folder, written.LEFT_OUT)
            for name in sorted({*expected, *found}):
                path = os.path.join(folder, name)
                if name not in found:
                    raise ImagegateError(f"{path} is missing; {_AGAIN}")
                if name not in expected:
                    raise ImagegateError(f"{path} was not there when its folder was written; {_AGAIN}")
                if found[name] != expected[name]:
                    raise ImagegateError(
                        f"{path} changed after it was written: expected SHA-256 {expected[name]}, found "
                        f"{found[name]}; {_AGAIN}"
                    )


def _read(path: str) -> dict[str, str] | None:
    """Digests of an earlier run; None if it wrote none, as when it was killed just then."""
    try:
        with open(path, encoding="utf-8") as f:
            return written.parse(f.read())
    except OSError:
        return None


def _forget(records: str, artifacts: str) -> None:
    """Removes the digests of artifacts that no longer exist."""
    for name in os.listdir(records):
        if name.endswith(".json") and not os.path.isdir(os.path.join(artifacts, name.removesuffix(".json"))):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(records, name))
