"""Values computed from the configuration and the code, for the graph, Preflight on Kubeflow, and the report."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.base.artifact_files import EARLIER_SPLITS
from components.evaluation import out_of_distribution
from components.gates.settings import Balance
from components.ingest.unlabelled import listing
from components.labels import kinds
from components.model.networks import catalogue, weights
from components.model.settings import Training

if TYPE_CHECKING:
    from pipeline.config import Config


def fingerprints(config: Config, code: str) -> dict[str, str]:
    """Returns the fingerprints of the configuration and the code, which the report shows.

    Args:
        code: see `fingerprint.everything`.
    """
    return {"configuration": config.fingerprint(), "code": code}


def remembered(config: Config) -> str:
    """Returns the path of the file with the splits of earlier runs, see `ingest.earlier`; it may not exist."""
    return os.path.join(config.output_folder, EARLIER_SPLITS)


def picture_settings(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings that choose the pictures of the report; see `report.evidence.collect`.

    Args:
        configuration: what `Config.plain` returned. A summary holds it, too, so an old run needs no configuration file.
    """
    return {
        "seed": Training(**configuration.get("training", {})).seed,
        "distance": Balance(**configuration.get("balance", {})).near_duplicate_distance,
        "contradictions": kinds.kind(configuration["task"]).one_per_image,
    }


@dataclass(frozen=True)
class Files:
    """Digests of the contents of files that stages read besides the data; part of their cache keys.

    Attributes:
        backbone: of the backbone and those that a search tries, or of their weights; "" where none has a file.
        unlabelled: of the images without labels, or "" without any.
        out_of_distribution: of the images that belong to none of the labels, or "" without any.
    """

    backbone: str = ""
    unlabelled: str = ""
    out_of_distribution: str = ""


def files(config: Config) -> Files:
    """Reads the files that stages read besides the data, and returns their digests.

    Raises:
        ConfigError: there is no such folder.
        OSError: the backbone cannot be read.
    """
    paths = [path for _, path in config.backbone_files]
    known = [catalogue.WEIGHTS[name] for name in config.imagenet if name in catalogue.WEIGHTS]
    named = [_weights(one.at(config.training.image_size)) for one in known]
    backbone = "".join([*map(_digest, paths), *named])
    root = config.out_of_distribution_root
    return Files(
        backbone, listing.fingerprint(config.pool), out_of_distribution.fingerprint(root, config.data.max_pixels)
    )


def _digest(path: str) -> str:
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _weights(of: catalogue.Weights) -> str:
    """Returns the digest of a file of weights, or Keras's digest: a pod that computes cache keys may lack the file."""
    try:
        return _digest(weights.path(of))
    except FileNotFoundError:
        return of.digest
