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
        raise ValueError(
            f"output: expected a folder on this machine, got the URL {output}; output.artifacts takes one, for what "
            "the stages write"
        )
    written = {"output": output, "push.destination": destination}
    if config.artifacts:
        _check_artifacts(config.artifacts)
        written["output.artifacts"] = config.artifacts
    for key, path in written.items():
        if storage.in_archive(path):
            raise ValueError(f"{key}: {path} lies in an archive, in which nothing is written; {_ANOTHER}")
        if _below(root, path) is not None:
            raise ValueError(f"{key}: {path} must not be data.root {root}, or contain it; {_ANOTHER}")
    if _either(destination, output):
        raise ValueError(
            f"push.destination: {destination} must not be inside output {output}, or contain it; {_ANOTHER}"
        )
    for key, path in (("output", output), ("push.destination", destination)):
        if config.artifacts and _either(config.artifacts, path):
            raise ValueError(
                f"output.artifacts: {config.artifacts} must not be inside {key} {path}, or contain it; {_ANOTHER}"
            )
    pool = config.unlabelled_root
    if pool is not None and config.data.layout == "folders" and _below(root, pool) is not None:
        raise ValueError(
            f"data.unlabelled: {pool} must not be data.root {root}, or contain it: all images in its folders have "
            f"labels; {_ANOTHER}"
        )
    others = config.out_of_distribution_root
    if others is not None and _below(root, others) is not None:
        raise ValueError(
            f"evaluation.out_of_distribution: {others} must not be data.root {root}, or contain it: its images belong "
            f"to none of the labels; {_ANOTHER}"
        )


def _check_artifacts(url: str) -> None:
    """Raises ValueError unless it is the URL of a folder in one store."""
    if re.fullmatch(r"[a-z][a-z0-9]*://.+", url) is None or "::" in url:
        raise ValueError(
            f"output.artifacts: expected the URL of a folder in a store, such as s3://BUCKET/FOLDER, got {url}; "
            "output.folder takes a folder of this machine"
        )


def _either(one: str, other: str) -> bool:
    """Whether one of two places is inside the other, or is it."""
    return _below(one, other) is not None or _below(other, one) is not None


def skipped(config: Config, root: str | None = None) -> tuple[tuple[str, str], ...]:
    """Returns (key, place) of what lies inside `data.root`, or another root, but is no part of the data set.

    A place starts as the root does. What can be reached both through a link and without it comes twice. Images without
    labels lie beside the folders of the labels; with other layouts, a table may name some of them, with their labels.
    """
    root = config.data_root if root is None else root
    own = {
        "output": config.output_folder,
        "output.artifacts": config.artifacts or None,
        "push.destination": config.destination,
        "evaluation.out_of_distribution": config.out_of_distribution_root,
        "data.unlabelled": config.unlabelled_root if config.data.layout == "folders" else None,
        "data.schema_file": config.schema_path,
        "data.exclude": config.exclude_path,
        "training.tuned": config.tuned_path,
        "the configuration": config.file or None,
    }
    start = root.rstrip("/") + "/"
    found: dict[str, str] = {}
    for key, place in own.items():
        for follow in (False, True):
            below = None if place is None else _below(place, root, follow=follow)
            if below:
                found.setdefault(start + below, key)
    return tuple((key, place) for place, key in found.items())


def pool(config: Config) -> tuple[str, ...]:
    """Returns where `data.unlabelled` lies inside `data.root`, unless `skipped` has it; `data.root` if that lies in it.

    A place starts as the root does. What can be reached both through a link and without it comes twice.
    """
    own, root = config.unlabelled_root, config.data_root
    if own is None or config.data.layout == "folders":
        return ()
    if _below(root, own) is not None:
        return (root,)
    found = (_below(own, root, follow=follow) for follow in (False, True))
    return tuple(dict.fromkeys(f"{root.rstrip('/')}/{below}" for below in found if below))


def masks(config: Config, root: str) -> tuple[tuple[str, str], ...]:
    """Returns (key, place) of the folders of masks that lie inside another root."""
    told = config.data.masks
    names = (told,) if isinstance(told, str) else tuple((told or {}).values())
    found = (_below(f"{config.data_root.rstrip('/')}/{name}", root) for name in names)
    return tuple(("data.masks", f"{root.rstrip('/')}/{below}") for below in found if below)


def below(path: str, folder: str) -> str | None:
    """Returns the part of `path` below `folder`, "" for the folder itself, or None if it is outside; follows links."""
    return _below(path, folder)


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
