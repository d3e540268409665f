"""`imagegate schedule --on-change`: whether enough of a data set is new since the scheduled run before.

Only the listing is looked at: names, labels, sizes and times. A file of the output folder keeps what it was.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.base import proof
from components.base.errors import ImagegateError
from components.base.files import write_atomically
from components.ingest.layouts import reading

if TYPE_CHECKING:
    from pipeline.config import Config

_STATE = "schedule.npz"  # in the output folder
_DAY_S = 86_400.0
MIN_NEW, MAX_DAYS = 100, 7.0  # of the command; chosen by hand, not measured


@dataclass(frozen=True)
class Listing:
    """A data set as it is listed.

    Attributes:
        images: uint64 [n], a sorted digest of each image's entry.
        whole: digest of the whole listing, also of the labels and of what is excluded.
        time: when it was listed, in seconds since 1970.
    """

    images: NDArray[np.uint64]
    whole: str
    time: float


def listed(config: Config, now: float) -> Listing | None:
    """Lists the data set; None where it cannot be listed, of which a run tells more."""
    try:
        dataset, _ = reading.read(config.source)
    except (ImagegateError, OSError):
        return None
    # A file that was written just before the listing is marked as unproven, which is no change of it later.
    records = (replace(record, version=proof.facts(record.version)) for record in dataset.records)
    entries = (hashlib.blake2b(repr(record).encode(), digest_size=8).digest() for record in records)
    whole = dataset.fingerprint(proof.facts(record.version) for record in dataset.records)
    return Listing(np.unique(np.frombuffer(b"".join(entries), np.uint64)), whole, now)


def due(before: Listing | None, listing: Listing, min_new: int, max_days: float) -> tuple[bool, str]:
    """Decides whether a run is due, and says why.

    Args:
        before: of the latest scheduled run; None if there was none.
        listing: as it is now.
        min_new: new or changed images with which a run starts at once.
        max_days: days after that run with which any change is enough.
    """
    if before is None:
        return True, "no scheduled run has looked at these data yet: a run starts"
    if listing.whole == before.whole:
        return False, "unchanged, nothing to do"
    new = len(np.setdiff1d(listing.images, before.images, assume_unique=True))
    gone = len(np.setdiff1d(before.images, listing.images, assume_unique=True))
    days = (listing.time - before.time) / _DAY_S
    changes = f"images: {new:,} new or changed, {gone:,} gone or changed"
    if new >= min_new:
        return True, f"{changes}; at least {min_new:,} are new: a run starts"
    if days >= max_days:
        return True, f"{changes}; the run before began {days:.1f} days ago, at least {max_days:g}: a run starts"
    waits = f"fewer than {min_new:,} are new, and the run before began {days:.1f} of {max_days:g} days ago"
    return False, f"{changes}; {waits}"


def read(output: str) -> Listing | None:
    """What the latest scheduled run was started for; None if there is none, or it cannot be read."""
    try:
        with open(os.path.join(output, _STATE), "rb") as f:
            return decoded(f.read())
    except OSError:
        return None


def decoded(content: bytes | None) -> Listing | None:
    """What `encoded` made; None if there is nothing, or nothing that can be read."""
    if content is None:
        return None
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as found:
            return Listing(found["images"].astype(np.uint64), str(found["whole"]), float(found["time"]))
    except (OSError, ValueError, KeyError, TypeError, EOFError, NotImplementedError, zipfile.BadZipFile):
        return None


def encoded(listing: Listing) -> bytes:
    """A listing as the content of a file."""
    out = io.BytesIO()
    np.savez(out, images=listing.images, whole=listing.whole, time=listing.time)
    return out.getvalue()


def write(output: str, listing: Listing) -> None:
    """Keeps what a run was started for.

    Raises:
        OSError: the file cannot be written.
    """
    write_atomically(os.path.join(output, _STATE), encoded(listing))


def arguments(min_new: int, max_days: float) -> Sequence[str]:
    """The options of `pipeline.scheduled` that make a run wait for changes."""
    return "--min-new", str(min_new), "--max-days", f"{max_days:g}"
