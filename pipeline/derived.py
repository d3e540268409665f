"""Values computed from the configuration and the code, for the graph, Preflight on Kubeflow, and the report."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from components.base import fingerprint
from components.gates.settings import Balance
from components.labels import kinds
from components.model.settings import Training

if TYPE_CHECKING:
    from pipeline.config import Config


def fingerprints(config: Config) -> dict[str, str]:
    """Returns the fingerprints of the configuration and the code, which the report shows."""
    return {"configuration": config.fingerprint(), "code": fingerprint.everything()}


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


def file_version(backbone: str) -> str:
    """Returns the size and modification time of a backbone that is a file, or "" for any other.

    >>> file_version("MobileNetV3Small")
    ''
    """
    if not backbone.endswith(".keras"):
        return ""
    status = os.stat(backbone)
    return f":{status.st_size}:{status.st_mtime_ns}"
