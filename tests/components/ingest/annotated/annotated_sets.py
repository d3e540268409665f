"""Data sets of annotation tools, read as a run reads them: from a configuration, down to the pixels of each mask."""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from components.data.dataset import Dataset
from components.data.mask_rules import Rule
from components.ingest import shards
from components.ingest.layouts import reading
from components.ingest.settings import Source
from pipeline import config


@dataclass
class Stored:
    """What ingest makes of a data set; its attributes are those of the listing, by path of the image."""

    dataset: Dataset
    rule: Rule | None

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        return {record.path: record.labels for record in self.dataset.records}

    @property
    def unknown(self) -> set[str]:
        """The images whose labels are unknown, all of them."""
        assert all(r.unknown in ((), self.dataset.labels) for r in self.dataset.records)
        return {record.path for record in self.dataset.records if record.unknown}

    @property
    def splits(self) -> dict[str, str | None]:
        return {record.path: record.split for record in self.dataset.records}

    @property
    def rejected(self) -> dict[str, str]:
        return dict(self.dataset.rejected)

    @property
    def masks(self) -> dict[str, Any]:
        """The pixels of each mask, as lists of rows; a text in the place of a mask that cannot be drawn."""
        job = shards.job(self.dataset, 10_000, self.rule)
        return {
            item.record.path: np.asarray(Image.open(io.BytesIO(item.mask.encoded))).tolist()
            if item.mask
            else item.problem
            for item in shards.examine(self.dataset.records, job)
        }


def reader(tmp_path: Path, png: Callable[..., bytes]) -> Callable[..., Stored]:
    """The function `read(files, task, data, labels)`; a file is text, JSON, or None: a picture of 4 x 3 pixels."""

    def run(files: Mapping[str, Any], task: str, data: dict[str, Any], labels: dict[str, Any] | None = None) -> Stored:
        for seed, (name, content) in enumerate(files.items()):
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            text = content if isinstance(content, str) else json.dumps(content)
            path.write_bytes(png(seed, 4, 3) if content is None else text.encode())
        told = {"name": "x", "task": task, "push": {"destination": "models"}}
        told |= {"data": {"root": "root"} | data, "labels": labels or {}}
        (tmp_path / "imagegate.yaml").write_text(yaml.safe_dump(told))
        settings = config.load(str(tmp_path / "imagegate.yaml")).source
        return Stored(*reading.read(Source.from_json(settings.to_json())))

    return run
