"""What `init` sees of a small data set, and the data set as a proposal reads it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from trees import tree

from components.data import storage
from components.data.dataset import Dataset
from components.data.mask_rules import Rule
from components.ingest.layouts import reading
from pipeline import config
from pipeline.init.recognise.sight import Proposal, Sight

See = Callable[..., Sight]
Take = Callable[[Sight, Proposal], tuple[Dataset, Rule | None]]


@pytest.fixture(scope="session")
def see() -> See:
    """`see(root, "a.jpg", files={"b.txt": "x"})` writes files, the first ones with their names as content."""

    def look(root: Path, *names: str, files: Mapping[str, Any] | None = None) -> Sight:
        tree(root, {name: name for name in names} | dict(files or {}))
        found = sorted(storage.files(str(root)), key=lambda file: file.path)
        return Sight(str(root), {file.path: file for file in found})

    return look


@pytest.fixture(scope="session")
def taken() -> Take:
    """`taken(sight, proposal)` is the data set as a configuration with the proposed values reads it."""

    def take(sight: Sight, proposal: Proposal) -> tuple[Dataset, Rule | None]:
        below = f"/{proposal.below}" if proposal.below else ""
        raw: dict[str, Any] = {
            "name": "x",
            "task": proposal.tasks[0],
            "data": {"root": sight.root + below, "layout": proposal.layout} | dict(proposal.data),
            "labels": dict(proposal.labels),
            "push": {"destination": "models"},
            "folder": "/tmp",
        }
        return reading.read(config.validated(raw, "x").source)

    return take
