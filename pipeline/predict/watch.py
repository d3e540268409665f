"""`imagegate watch`: are the images that come in, without labels, still like those that a model learnt from?"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from components.base.errors import ConfigError, ImagegateError
from components.base.verdict import Verdict
from components.data import decoding, properties, storage
from components.data.location import check_url
from components.gates.data_rules import incoming
from components.ingest.settings import Pool
from components.ingest.unlabelled import listing
from components.labels import outputs
from components.push.versions import Served
from pipeline.predict import predict, unlabelled


@dataclass
class Watched:
    """What was found.

    Attributes:
        version: of the model.
        verdicts: of the rules.
        enough: whether there are enough images to tell.
        histograms: int64 [P, BINS], see `incoming.judged`.
        familiarity: of each usable image.
        abstained: number of usable images on which the model abstains.
        unusable: (path, reason).
    """

    version: str
    verdicts: list[Verdict] = field(default_factory=list)
    enough: bool = True
    histograms: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((len(properties.NAMES), properties.BINS), np.int64)
    )
    familiarity: list[float] = field(default_factory=list)
    abstained: int = 0
    unusable: list[tuple[str, str]] = field(default_factory=list)


def run(served: Served, folder: str) -> Watched:
    """Reads every image below a folder as ingest does, asks the model, and judges.

    Args:
        served: the pushed version.
        folder: of the images; a path, an archive or a URL.

    Raises:
        ConfigError: there is no such folder, no usable image in it, its URL holds a password or a query, or the model
            is for arrays.
        ImagegateError: the model cannot be used, or does not say which images it learnt from.
    """
    if storage.is_url(folder):
        check_url(folder)
    known = served.manifest.data
    if served.manifest.bands is not None:
        raise ConfigError(f"{served.path}: its model takes arrays of many bands, expected one for photos")
    if known is None:
        raise ImagegateError(f"{served.path}: its manifest does not describe the images that the model learnt from")
    root = folder if storage.is_url(folder) else os.path.abspath(folder)
    pool = Pool(root=root, max_pixels=decoding.MAX_PIXELS, bits=served.manifest.bits)
    listed = listing.read(pool, "FOLDER")
    found = Watched(served.version, unusable=list(listed.rejected))
    with predict.model(served) as answers:
        for batch in unlabelled.batches(pool, listed.records):
            usable = []
            for path, _, image in batch:
                if isinstance(image, str):
                    found.unusable.append((path, image))
                else:
                    usable.append((path, image))
            if not usable:
                continue
            arrays = answers([image.encoded for _, image in usable])
            rows = zip(usable, *(arrays[o] for o in (outputs.FAMILIARITY, outputs.ABSTAIN, outputs.ERROR)), strict=True)
            for (path, image), familiarity, abstains, error in rows:
                if error:
                    found.unusable.append((path, f"the model refuses it: {error.decode()}"))
                    continue
                for histogram, place in zip(found.histograms, properties.bins(image.properties), strict=True):
                    histogram[place] += 1
                found.familiarity.append(float(familiarity))
                found.abstained += bool(abstains)
    if not found.familiarity:
        raise ConfigError(f"FOLDER: there is no usable image below {folder}")
    found.enough = incoming.tells(len(found.familiarity), known)
    found.verdicts = incoming.judged(found.histograms, np.array(found.familiarity), known, served.version)
    return found
