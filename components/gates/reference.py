"""The data behind the served model: kept beside each pushed model, and read back to compare new data with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.base.artifact_files import KNOWN_IMAGES, PUSHED_MANIFEST
from components.base.errors import ImagegateError
from components.data import known_images
from components.data.manifest import DatasetManifest, KnownData
from components.ingest.counts.census import Images
from components.ingest.earlier import Seen
from components.push import versions
from components.push.versions import Served


@dataclass(frozen=True)
class Reference:
    """The data behind a served model.

    Attributes:
        version: version of the model.
        data: counts and histograms.
        known: `known_images.ROW` [n], sorted by digest.
    """

    version: str
    data: KnownData
    known: NDArray[np.void]


def remember(manifest: DatasetManifest, images: Images) -> tuple[KnownData, bytes]:
    """Summarises a data set for later runs to compare with.

    Args:
        manifest, images: counts of the data set and a row for each image, see `census.merge`.

    Returns:
        the entry "data" of a pushed model's manifest, and the content of the file `KNOWN_IMAGES` beside it.
    """
    kept = KnownData(
        counts=manifest.counts,
        label_counts=manifest.label_counts,
        unknown=manifest.unknown,
        pixels=manifest.pixels,
        label_sets=[] if manifest.pixels else manifest.label_sets,  # masks are compared by their digests instead
        properties=manifest.properties["train"],
        bands=manifest.arrays.images.get("train", {}) if manifest.arrays else {},
        assigned=manifest.assigned,
    )
    return kept, known_images.to_bytes(images.rows)


def seen(served: Served | None, task: str) -> Seen | None:
    """Reads which images the served model was trained, tuned and tested on; see `recall`."""
    reference = recall(served, task)
    if reference is None or reference.data.assigned is None:
        return None
    return Seen.of_known(reference.known, reference.data.assigned)


def recall(served: Served | None, task: str) -> Reference | None:
    """Reads the data behind the served model.

    Args:
        served: the model, or None if none is served.
        task: the task of this run.

    Returns:
        None if there is nothing to compare with: no model is served, or it is a model for another task.

    Raises:
        ImagegateError: the files that describe the model's data are missing, changed, or of another release.
    """
    if served is None or served.manifest.task != task:
        return None
    try:
        known = _known(served)
        kept = served.manifest.data
        if kept is None:
            raise ImagegateError(f"its {PUSHED_MANIFEST} does not describe its data")
    except ImagegateError as error:
        raise ImagegateError(
            f"version {served.version} is served, but these data cannot be compared with its data: {error}. Bring an "
            f"older version back (imagegate rollback CONFIG), or remove {served.path}"
        ) from None
    return Reference(served.version, kept, known)


def _known(served: Served) -> NDArray[np.void]:
    content = versions.content(served, KNOWN_IMAGES)
    try:
        return known_images.of_bytes(content)
    except ValueError as error:
        raise ImagegateError(f"{served.path}/{KNOWN_IMAGES} {error}") from None
