"""The copy of the served model that the stage Baseline has made, or the reason why there is none."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from components.base.artifact_files import KNOWN_IMAGES, PUSHED_MANIFEST
from components.base.errors import ImagegateError
from components.data import known_images
from components.push import versions
from components.push.manifest import PushedManifest


@dataclass(frozen=True)
class ServedCopy:
    """What is known of the served model.

    Attributes:
        version: its version; "" if there is no copy.
        note: why there is none.
        broken: the same, if the model is damaged or cannot be evaluated.
        identity: equal for equal models, see `versions.Served.identity`; "" if none is served.
        labels: in the order of its outputs.
        known: `known_images.ROW` [n]: the images that it was trained, tuned and tested on.
    """

    version: str = ""
    note: str = ""
    broken: str = ""
    identity: str = ""
    labels: tuple[str, ...] = ()
    known: NDArray[np.void] = field(default_factory=lambda: np.empty(0, known_images.ROW))


def read(folder: str, told: Callable[[str], str | None]) -> ServedCopy:
    """Reads the result of the stage Baseline.

    Args:
        folder: of the SavedModel in its artifact; need not exist.
        told: property of the artifact -> its value.

    Raises:
        ImagegateError: the copy was changed after it was made.
    """
    version, note, broken, identity, digest = (
        told(name) or "" for name in ("version", "note", "broken", "identity", "manifest")
    )
    if not version:
        return ServedCopy(note=note, broken=broken, identity=identity)
    try:
        with open(os.path.join(folder, PUSHED_MANIFEST), "rb") as f:
            content = f.read()
        if hashlib.sha256(content).hexdigest() != digest:
            raise ImagegateError(f"{folder}/{PUSHED_MANIFEST} does not match its SHA-256")
        manifest = PushedManifest.from_json(content)
        versions.verify(versions.Served(version, folder, manifest), folder)
        with open(os.path.join(folder, KNOWN_IMAGES), "rb") as f:
            known = known_images.of_bytes(f.read())
    except (ImagegateError, OSError) as error:
        raise ImagegateError(
            f"the copy of version {version} that the stage Baseline made is not what it was: {error}; run again with "
            "--force"
        ) from None
    return ServedCopy(version, identity=identity, labels=manifest.labels, known=known)
