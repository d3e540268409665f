"""COCO's panoptic annotations: PNG files in which a pixel's colour is the number of its segment."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping

from components.base.errors import ConfigError
from components.data.dataset import LayoutError
from components.data.storage import File
from components.ingest.layouts.instances.files import Image
from components.ingest.layouts.listing import Listing
from components.ingest.layouts.rules import by_split

_MOST = (1 << 24) - 1  # number of a segment: red + 256 green + 65536 blue


def panoptic_folder(listing: Listing, path: str, masks: str | Mapping[str, str] | None, split: str | None) -> str:
    """Returns the folder of the masks, as `Listing.folder` does: the configured one, or that named like the JSON file.

    Raises:
        ConfigError: `data.masks` has no folder for this split, or is missing and there is no such folder.
        LayoutError: there is no file below it.
    """
    if masks is not None:
        folders = by_split(masks, "data.masks")
        folder = folders.get(split, folders.get(None))
        if folder is None:
            raise ConfigError(f"data.masks: has no folder for {split}, whose annotations {path} are panoptic; add it")
        return listing.folder(folder, "data.masks")
    try:
        return listing.folder(posixpath.splitext(path)[0], "data.masks")
    except LayoutError:
        raise ConfigError(
            f"data.masks: {path} holds panoptic annotations (segments_info), which need the folder of their PNG files; "
            f"there is none at {posixpath.splitext(path)[0]}; set data.masks"
        ) from None


def panoptic(listing: Listing, image: Image, folder: str) -> tuple[str, File | None, str]:
    """Finds the mask of an image.

    Returns:
        `Record.regions`, for `mask_rules.of_segments`; the mask; and the reason if there is none, or "".
    """
    if len(image.masks) != 1:
        return "", None, f"has {len(image.masks)} panoptic annotations; expected one"
    mask = listing.find(folder, image.masks[0])
    if mask.problem:
        return "", None, f"its mask: {mask.problem}"
    segments = []
    for _, label, segment in image.annotations:
        number = segment.get("id")
        if type(number) is not int or not 0 < number <= _MOST:
            return "", None, f"a segment of {label!r}: expected an id from 1 to {_MOST:,}, got {str(number)[:20]!r}"
        segments.append((number, label))
    if len({number for number, _ in segments}) < len(segments):
        return "", None, "two of its segments have the same id; each needs its own"
    return json.dumps(segments, separators=(",", ":")), mask, ""
