"""Values that follow from the configuration and the code, for the graph, `imagegate check` and the report."""

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
    """Fingerprints of the configuration and the code, shown in the report."""
    return {"configuration": config.fingerprint(), "code": fingerprint.everything()}


def pictured(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that choose the report's pictures; see `report.evidence.collect`.

    Args:
        configuration: as `Config.plain` gives it.
    """
    return {
        "seed": Training(**configuration.get("training", {})).seed,
        "distance": Balance(**configuration.get("balance", {})).near_duplicate_distance,
        "contradictions": kinds.kind(configuration["task"]).one_per_image,
    }


def file_version(backbone: str) -> str:
    """Size and modification time of a backbone that is a file, "" for any other."""
    if not backbone.endswith(".keras"):
        return ""
    status = os.stat(backbone)
    return f":{status.st_size}:{status.st_mtime_ns}"
