"""The smallest projects of each task, and what is compared of their runs."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import yaml
from projects import Project, write_tiny

from scripts import compare_runs

TASKS = ("single_label", "multi_label", "segmentation")
# What a run comes to, whatever is served meanwhile: the verdicts also compare with that.
COMPARED = ("data", "label_weights", "metrics", "per_label", "slices", "decisions", "shards")
# Beginnings of names: of shards, plans and reports of ingest, of files that are replaced, of what is removed, and of
# Beam's and TFX's own.
_TEMPORARY = re.compile(
    r"\.partial-|\.plan$|\.reports$|\.new\.|beam-temp-|\.temp|\.reserve|\.removed|\.staging-|\.removing-|running\.json"
)
_COMPLETE = (3, 5)  # ml_metadata.Execution.State: COMPLETE and CACHED


def write(folder: Path, task: str) -> Project:
    """Writes a project that trains for one epoch on small images, and pushes whatever comes of it."""
    if task == "single_label":
        return write_tiny(folder)
    from pipeline.init import demo

    demo.write(str(folder), task)
    path = folder / "imagegate.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["training"] |= {"epochs": 1, "image_size": [16, 16], "augment": False}
    settings["balance"] = {"min_examples": 5}
    settings["evaluation"] = {"thresholds": [{"metric": "ece", "max": 1}]}
    path.write_text(yaml.safe_dump(settings))
    return Project(folder, settings["name"])


def results(output: Path) -> dict[str, Any]:
    """What the newest run below an output came to: digests of its shards, metrics, weights and decisions."""
    found = compare_runs.results(str(output))
    return {key: found[key] for key in COMPARED}


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return list(compare_runs.differences(one, other))


def remains(*folders: Path) -> list[str]:
    """What has the name of something temporary below the folders."""
    return [str(path) for folder in folders for path in folder.rglob("*") if _TEMPORARY.match(path.name)]


def unfinished_results(output: Path) -> list[str]:
    """The artifacts of the newest run that an execution wrote which did not complete, by the metadata database."""
    summary = json.loads((output / "latest" / "summary.json").read_text())
    with sqlite3.connect(output / "metadata.sqlite") as connection:
        states = dict(connection.execute("SELECT id, last_known_state FROM Execution"))
    assert summary["artifacts"]
    return [path for path in summary["artifacts"].values() if states[int(Path(path).name)] not in _COMPLETE]


def broken_versions(destination: Path) -> list[str]:
    """Versions that a server would load but that are not as their manifest says. It reads no code of imagegate."""
    broken = []
    for version in destination.iterdir() if destination.is_dir() else ():
        if not version.name.isdigit():
            continue
        wanted = json.loads((version / "imagegate.json").read_bytes())["files"]
        there = {str(p.relative_to(version)): p for p in version.rglob("*") if p.is_file()}
        there.pop("imagegate.json")
        if {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in there.items()} != wanted:
            broken.append(version.name)
    return broken
