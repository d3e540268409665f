"""What a night with nothing new costs: `python -m benchmarks.nightly [FILES]` (200,000).

Writes small files into label folders, in a temporary folder, and takes CPU time, which other programs on the machine
hardly change. The unit is the listing alone with a digest of sizes and modification times, which would miss changes.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from components.data.dataset import Dataset
from components.ingest import ledger
from components.ingest.layouts import folders

_LABELS, _BYTES = 20, 1000
_MOST_BYTES = 1 << 30
_SHARES = {"train": 0.8, "eval": 0.1, "test": 0.1}
_SETTLED = 2.1  # seconds after which a file's change time proves it unchanged

T = TypeVar("T")


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def _listed(place: Path) -> Dataset:
    return folders.read(str(place), _SHARES)


def _known(place: Path, output: Path) -> str:
    return ledger.recognise(_listed(place), ledger.read([str(output)]), most_bytes=_MOST_BYTES).content


def _measure(place: Path, files: int) -> None:
    data, copy, output = place / "data", place / "copy", place / "output"
    for i in range(files):
        path = data / f"label{i % _LABELS:02d}" / f"{i:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(_BYTES))
    output.mkdir()
    time.sleep(_SETTLED)
    unit, _ = _timed(lambda: _listed(data).fingerprint())
    dataset = _listed(data)
    digests = {record.path: found for record, found in ledger.digests(str(data), dataset.records, _MOST_BYTES)}

    def write() -> None:
        again = ((record.path, record.version) for record in _listed(data).records)
        ledger.write(str(output), "key", dataset, again, digests.items())

    first, _ = _timed(write)
    second, found = _timed(lambda: _known(data, output))
    shutil.copytree(data, copy)
    time.sleep(_SETTLED)
    copied, found_copy = _timed(lambda: _known(copy, output))
    if not found == found_copy != "":
        raise SystemExit("the data set was not recognised")
    print(f"{files:,} files; sizes and times alone: {unit:.2f} s, which is 1.00")
    print(f"first night, second listing and ledger: {first / unit:.2f} more")
    print(f"a night with nothing new, proven by the ledger: {second / unit:.2f}")
    print(f"a copy with other times, read and compared: {copied / unit:.2f}")


def main() -> None:
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory() as place:
        _measure(Path(place), files)


if __name__ == "__main__":
    main()
