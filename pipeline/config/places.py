"""Where the data set, the runs and the pushed models are, and which of them may lie inside another."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from components.data import storage

if TYPE_CHECKING:
    from pipeline.config.config import Config

_ANOTHER = "choose another folder"


def check(config: Config) -> None:
    """Raises ValueError if the places contradict each other.

    Runs, pushed models and the like may lie inside the data set, where they are skipped, but not the other way round.
    """
    output, destination, root = config.output_folder, config.destination, config.data_root
    if storage.is_url(output):
        raise ValueError(f"output: expected a folder on this machine, got the URL {output}")
    for key, path in (("output", output), ("push.destination", destination)):
        if storage.in_archive(path):
            raise ValueError(f"{key}: {path} lies in an archive, in which nothing is written; {_ANOTHER}")
        if _below(root, path) is not None:
            raise ValueError(f"{key}: {path} must not be data.root {root}, or contain it; {_ANOTHER}")
    if _below(destination, output) is not None or _below(output, destination) is not None:
        raise ValueError(f"push.destination: {destination} must not be inside output {output}, or contain it; {_ANOTHER}")
    others = config.out_of_distribution_root
    if others is not None and _below(root, others) is not None:
        raise ValueError(
            f"evaluation.out_of_distribution: {others} must not be data.root {root}, or contain it: its images belong to "
            f"none of the labels; {_ANOTHER}"
        )


def skipped(config: Config) -> dict[str, str]:
    """Returns key -> place of what lies inside `data.root` but is no part of the data set.

    A place starts as the root does, even where a link leads to it. The key of a place that can be reached both through
    a link and without it comes twice, with a number.
    """
    places = {
        "output": config.output_folder,
        "push.destination": config.destination,
        "evaluation.out_of_distribution": config.out_of_distribution_root,
        "data.schema_file": config.schema_path,
        "the configuration": config.file,
    }
    root, found = config.data_root, {}
    for key, place in places.items():
        for number, follow in enumerate((False, True)):
            below = _below(place, root, follow=follow) if place else None
            if below and (where := f"{root.rstrip('/')}/{below}") not in found.values():
                found[f"{key} {number + 1}" if key in found else key] = where
    return found


def _below(path: str, folder: str, *, follow: bool = True) -> str | None:
    """Returns the part of `path` below `folder`, "" for the folder itself, or None if it is outside.

    Args:
        path, folder: absolute paths or URLs.
        follow: whether links are followed.
    """
    path, folder = (re.sub("^(file|local)://", "", where) for where in (path, folder))
    if storage.is_url(path) != storage.is_url(folder):
        return None
    if not storage.is_url(path):
        normal = os.path.realpath if follow else os.path.normpath
        path, folder = normal(path), normal(folder)
    path, folder = (f"{where.rstrip('/')}/" for where in (path, folder))
    return path[len(folder) :].rstrip("/") if path.startswith(folder) else None
