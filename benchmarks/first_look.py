"""How long `imagegate init` takes: `python -m benchmarks.first_look [FILES] [MEGABYTES]` (200,000 files, 2 GB).

Writes generated photos into label folders, and into a `.zip` and a `.tar.gz` of this size, in a temporary folder. A few
different photos are linked many times, since `init` opens only a sample of so many files.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

_LABELS, _PHOTOS = 10, 40
_MEMBER = 100_000  # bytes of each file in the archives


def _photo(random: np.random.Generator) -> bytes:
    noise = random.integers(0, 60, (256, 256, 3)) + random.integers(0, 190, 3)
    out = io.BytesIO()
    Image.fromarray(noise.astype(np.uint8)).save(out, "JPEG", quality=80)
    return out.getvalue()


def _folders(place: Path, photos: list[bytes], files: int) -> None:
    for i, photo in enumerate(photos):
        (place / f"{i}.jpg").write_bytes(photo)
    for i in range(files):
        target = place / "many" / f"label{i % _LABELS}" / f"{i:06d}.jpg"
        if i < _LABELS:
            target.parent.mkdir(parents=True)
        os.link(place / f"{i * 7 % len(photos)}.jpg", target)


def _archives(place: Path, photos: list[bytes], size: int) -> None:
    # A decoder ignores what follows the end of a JPEG; random bytes cannot be compressed, as photos cannot.
    fill = os.urandom(_MEMBER)
    with (
        zipfile.ZipFile(place / "one.zip", "w") as zipped,
        tarfile.open(place / "two.tar.gz", "w:gz", compresslevel=1) as tarred,
    ):
        for i in range(size // _MEMBER):
            data = (photos[i % len(photos)] + fill)[:_MEMBER]
            name = f"label{i % _LABELS}/{i:06d}.jpg"
            zipped.writestr(name, data)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tarred.addfile(info, io.BytesIO(data))


def _seconds(place: Path, path: str) -> float:
    start = time.monotonic()
    command = [sys.executable, "-m", "pipeline", "init", path]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run(command, cwd=place, env=environment, check=True, capture_output=True)
    return time.monotonic() - start


def main(files: int = 200_000, megabytes: int = 2000) -> None:
    """Prints the seconds for each."""
    random = np.random.default_rng(0)
    photos = [_photo(random) for _ in range(_PHOTOS)]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _folders(place, photos, files)
        _archives(place, photos, megabytes * 10**6)
        for path in ("many", "one.zip", "two.tar.gz"):
            print(f"{path:<12}{_seconds(place, path):6.1f} s", flush=True)


if __name__ == "__main__":
    main(*(int(float(word)) for word in sys.argv[1:]))
