"""The splits that images had in earlier runs, by content: an image keeps its split, and never moves away from train.

Two records tell: what lies beside the served model, of the images that it was trained, tuned and tested on; and the
file `splits.npy` in `output`, of every image of the runs there whose data the data gate accepted.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.base.compact import scratch
from components.base.errors import ImagegateError
from components.base.files import replacing
from components.base.values import parsed_json
from components.data.dataset import SPLITS
from components.data.manifest import Assigned
from components.ingest.settings import Source

NONE = 255  # in the place of an index in SPLITS
# sha256: the first 64 bits of the file's digest. perceptual, comparable, split: as in `census.ROW`.
# gone: number of runs since the data set last held the image.
SEEN = np.dtype([("sha256", "<u8"), ("perceptual", "<u8", 4), ("comparable", "?"), ("split", "u1"), ("gone", "u1")])
# bound: the split that the image must keep, unless it moves towards train; or NONE.
ROW = np.dtype([*SEEN.descr, ("bound", "u1")])
_CHUNK = 1 << 18  # rows that are looked at together
_FORGOTTEN = 100  # runs after which an image that was removed from the data set is forgotten: bounds the file


@dataclass(frozen=True, eq=False)
class Seen:
    """The images of one record.

    Attributes:
        rows: `SEEN` [n], sorted by digest, each image once.
        assigned: what their splits follow from.
        served: digest of the served model's record that was known by then, or "".
    """

    rows: NDArray[np.void]
    assigned: Assigned
    served: str = ""

    @staticmethod
    def of_known(known: NDArray[np.void], assigned: Assigned) -> Seen:
        """The images behind a pushed model.

        Args:
            known: `known_images.ROW` [n].
            assigned: what their splits followed from.
        """
        rows = scratch.zeros(len(known), SEEN)
        for name in ("sha256", "perceptual", "comparable", "split"):
            rows[name] = known[name]
        return Seen(_once(rows, "split"), assigned)

    def digest(self) -> str:
        """Digest of the images and their splits."""
        return _digest(self.rows, "sha256", "split")

    def write(self, path: str) -> None:
        """Writes the file `splits.npy`: a line of JSON, and the rows as NumPy writes them."""
        head, rows = io.BytesIO(), np.ascontiguousarray(self.rows)
        np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(rows))
        facts = {"assigned": self.assigned.model_dump(), "served": self.served}
        digest = hashlib.sha256(_canonical(facts) + head.getvalue())
        digest.update(rows.view(np.uint8).data)
        about = facts | {"sha256": digest.hexdigest()}
        with replacing(path) as temporary, open(temporary, "wb") as f:
            f.write(json.dumps(about).encode() + b"\n" + head.getvalue())
            f.write(rows.view(np.uint8).data)

    @staticmethod
    def read(path: str) -> Seen | None:
        """Reads the file of `write`; None if there is no such file.

        Raises:
            ImagegateError: the file was changed, or written by another release.
        """
        try:
            with open(path, "rb") as f:
                return Seen._of_file(f, path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ImagegateError(f"{path}: {error.strerror}") from None

    @staticmethod
    def _of_file(f: io.BufferedReader, path: str) -> Seen:
        try:
            about, start = parsed_json(f.readline()), f.tell()
            expected, digest = about.pop("sha256"), hashlib.sha256(_canonical(about))
            if hashlib.file_digest(f, lambda: digest).hexdigest() != expected:
                raise ValueError("another digest")
            f.seek(start)
            np.lib.format.read_magic(f)
            shape, _, dtype = np.lib.format.read_array_header_1_0(f)
            if dtype != SEEN:
                raise ValueError("other rows")
            large = shape[0] * SEEN.itemsize > scratch.SMALL
            rows = np.memmap(f, dtype, "r", f.tell(), shape) if large else np.frombuffer(f.read(), SEEN)
            return Seen(rows, Assigned(**about["assigned"]), str(about["served"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ImagegateError(
                f"{path}, which holds the splits of earlier runs, was damaged or written by another release; bring it "
                "back from a copy, or remove it: then only the served model's images keep their splits"
            ) from None


def _canonical(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts, sort_keys=True).encode()


@dataclass(frozen=True, eq=False)
class Earlier:
    """What both records together say.

    Attributes:
        rows: `ROW` [n], sorted by digest, each image once.
        loose: whether the shares of the splits have changed since the record of the served model: then images follow
            the new ones where these put them closer to train.
    """

    rows: NDArray[np.void] = field(default_factory=lambda: np.empty(0, ROW))
    loose: bool = False

    def __bool__(self) -> bool:
        return len(self.rows) > 0

    def bound(self, sha256: str) -> str | None:
        """The split that the image with this digest, in hexadecimal, must keep."""
        digest = np.uint64(int.from_bytes(bytes.fromhex(sha256[:16]), "little"))
        place = int(self._digests.searchsorted(digest))
        if place == len(self.rows) or self._digests[place] != digest:
            return None
        found = self.rows["bound"][place]
        return None if found == NONE else SPLITS[found]

    @functools.cached_property
    def _digests(self) -> NDArray[np.uint64]:
        """For the search, which would copy a field of the rows every time."""
        return np.ascontiguousarray(self.rows["sha256"])

    def find(self, sha256: NDArray[np.uint64], field: str) -> NDArray[np.uint8]:
        """The `split` or `bound` of images by the first 64 bits of their digests [m]; NONE where it is not known."""
        out = np.full(len(sha256), NONE, np.uint8)
        for start in range(0, len(sha256) if self else 0, _CHUNK):
            some = sha256[start : start + _CHUNK]
            place = np.minimum(self._digests.searchsorted(some), len(self.rows) - 1)
            out[start : start + _CHUNK] = np.where(self._digests[place] == some, self.rows[field][place], NONE)
        return out

    def absent(self, sha256: NDArray[np.uint64]) -> NDArray[np.void]:
        """Rows of the images that are not among these."""
        absent = np.ones(len(self.rows), bool)
        for start in range(0, len(sha256) if self else 0, _CHUNK):
            some = sha256[start : start + _CHUNK]
            place = np.minimum(self._digests.searchsorted(some), len(self.rows) - 1)
            absent[place[self._digests[place] == some]] = False
        return self.rows[absent]

    def after(self, rows: NDArray[np.void], assigned: Assigned, served: str) -> Seen:
        """The record of a run: its images, and those of earlier runs that it does not hold.

        Args:
            rows: `census.ROW` [n], with the splits that the run gave them.
            assigned, served: see `Seen`.
        """
        digests = rows["sha256"][:, 0]
        left = self.absent(digests)
        left = left[(left["bound"] != NONE) & (left["gone"] < _FORGOTTEN)]
        # Sorted from the start, so that `_once` seldom has to.
        order = np.concatenate([digests, left["sha256"]]).argsort(kind="stable")
        seen = scratch.zeros(len(order), SEEN)
        for start in range(0, len(order), _CHUNK):
            places, some = order[start : start + _CHUNK], seen[start : start + _CHUNK]
            own = places < len(rows)
            some["sha256"][own] = digests[places[own]]
            for name in ("perceptual", "comparable", "split"):
                some[name][own] = rows[name][places[own]]
            for name in SEEN.names or ():
                some[name][~own] = left[name][places[~own] - len(rows)]
            some["gone"][~own] += 1
        return Seen(_once(seen, "split"), assigned, served)


def origin(source: Source, data_fingerprint: str) -> str:
    """Digest of what splits follow from, besides those of earlier runs; see `Assigned`.

    Args:
        source: how the data set is read.
        data_fingerprint: of its listing.
    """
    return _sha256(repr((data_fingerprint, source.near, source.data.max_pixels, source.data.bits)).encode())


def joined(served: Seen | None, own: Seen | None, fractions: Mapping[str, float]) -> Earlier:
    """What both records say together: of two splits, the one closer to train holds.

    If `data.split` was changed since the last run, the user asked for other splits. Then only the record of the served
    model binds; the other still tells what changed.

    Args:
        served: of the images behind the served model, or None.
        own: of the runs below the same `output`, or None.
        fractions: the shares now, see `Dataset.fractions`.
    """
    binding = own is not None and own.assigned.fractions == fractions
    parts = []
    for one, binds in ((own, binding), (served, True)):
        if one is not None:
            part = scratch.zeros(len(one.rows), ROW)
            for name in SEEN.names or ():
                part[name] = one.rows[name]
            part["bound"] = one.rows["split"] if binds else NONE
            parts.append(part)
    if not parts:
        return Earlier()
    loose = served is not None and not binding and served.assigned.fractions != fractions
    both = parts[0] if len(parts) == 1 else scratch.joined(parts)
    return Earlier(_once(both, "split", "bound", "gone"), loose)


def key(served: Seen | None, own: Seen | None, fractions: Mapping[str, float], origin: str) -> str:
    """Digest of the earlier splits, as a part of ingest's cache key; "" if there are none.

    A run's own splits are no news to it: if the last run read the same data, this is the key that it had, so that its
    results are used again.

    Args:
        served, own, fractions: as in `joined`.
        origin: see `Assigned`.
    """
    earlier = joined(served, own, fractions)
    if own is not None and own.assigned.origin == origin:
        known = served is None or own.served == served.digest()
        if known or _digest(earlier.rows, "sha256", "bound") == own.digest():
            return own.assigned.earlier
    if own is None and served is not None and served.assigned.origin == origin:
        return served.assigned.earlier
    if not earlier:
        return ""
    digest = _digest(earlier.rows, "sha256", "perceptual", "comparable", "split", "bound")
    return digest + "+" * earlier.loose


def _once(rows: NDArray[np.void], *smallest: str) -> NDArray[np.void]:
    """Sorts rows by digest and leaves each once, the first, with the smallest value of these fields."""
    digests = rows["sha256"]
    if (digests[1:] < digests[:-1]).any():
        rows = scratch.taken(rows, digests.argsort(kind="stable"))
        digests = rows["sha256"]
    new = np.ones(len(rows), bool)
    new[1:] = digests[1:] != digests[:-1]
    if new.all():
        return rows
    first = np.flatnonzero(new)
    out = scratch.taken(rows, first)
    for name in smallest:
        out[name] = np.minimum.reduceat(rows[name], first)
    return out


def _digest(rows: NDArray[np.void], *fields: str) -> str:
    digest = hashlib.sha256()
    for name in fields:
        for start in range(0, len(rows), _CHUNK):
            digest.update(rows[name][start : start + _CHUNK].tobytes())
    return digest.hexdigest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
