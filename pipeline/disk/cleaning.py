"""What stays of earlier runs: the artifacts of the newest ones; history rows, reports and logs always do.

Every artifact is a folder `pipeline/STAGE/KEY/EXECUTION` below the output. A run's summary names those that it wrote or
took from the cache. TFX's cache passes over artifacts whose folder is gone. Where `output.artifacts` names a store, an
artifact there and its copy here go together.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from components.base.artifact_files import SUMMARY
from components.base.values import parsed_json
from components.ingest.workers import crash_mark
from components.model.features.feature_store import COMPARED
from pipeline import stages
from pipeline.artifacts import written
from pipeline.artifacts.copies import FOLDER as ARTIFACTS
from pipeline.artifacts.store import ArtifactStore, Stored

CHECKPOINTS = "checkpoints"
COMPARISONS = "comparisons"  # the trainings of each method, from which a comparison goes on
FEATURES = "features"  # of frozen backbones, a folder for each backbone and image size
STATE = "state.json"
_HISTORY = "history"
_SYSTEM = (".system/executor_execution", ".system/stateful_working_dir")  # TFX's own, also by execution
_REMOVED = ".removed"  # a folder is moved here first, so that half of one is never taken for a result
_TEMPORARY = (".reserve", ".new.")  # beginnings of names in the output; of runs that were killed


@dataclass(frozen=True)
class Row:
    """What the summary of a run says of its artifacts.

    Attributes:
        run_id: name of its folder.
        artifacts: their folders, relative to the output; a damaged summary may name anything.
        ran: whether stages ran; a run without changes names the artifacts of an earlier one.
    """

    run_id: str
    artifacts: frozenset[str]
    ran: bool


@dataclass(frozen=True)
class Removable:
    """A folder or file that no kept run needs.

    Attributes:
        path: relative to the output.
        size: bytes that its removal frees on this machine.
        stored: the same in the store of `output.artifacts`; None if it is not there.
    """

    path: str
    size: int
    stored: int | None = None


def rows(output: str) -> list[Row]:
    """Reads what the runs below `output` wrote, newest first; of any release, so unreadable ones are left out."""
    found = []
    for run_id in _names(os.path.join(output, _HISTORY), reverse=True):
        try:
            with open(os.path.join(output, _HISTORY, run_id, SUMMARY), encoding="utf-8") as f:
                told = parsed_json(f.read())
            artifacts = frozenset(os.path.normpath(path) for path in told["artifacts"].values())
            # A model that equals the served one is up to date as well, and its stages ran.
            found.append(Row(run_id, artifacts, bool(artifacts) and bool(told.get("stages"))))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return found


_NOTHING: Mapping[str, Stored] = MappingProxyType({})


def removable(output: str, keep: int, *, remains: bool, stored: Mapping[str, Stored] = _NOTHING) -> list[Removable]:
    """Lists what is not needed any more, without the links that lead out of the output.

    Args:
        output: folder of all runs.
        keep: how many runs keep their artifacts, besides the one that pushed what is served.
        remains: whether also the remains of killed runs and of comparisons go, from which the next could continue.
        stored: what lies in the store of `output.artifacts`.
    """
    known = rows(output)
    pushed = _pushed(output)
    kept = [row for row in known if row.ran][:keep] + [row for row in known if row.run_id == pushed]
    needed = frozenset[str]().union(*(row.artifacts for row in kept))
    named = frozenset[str]().union(*(row.artifacts for row in known))
    numbers = {os.path.basename(path) for path in needed}
    seen: set[tuple[int, int]] = set()
    there = list(_artifacts(output))
    for path in sorted(needed.intersection(there)):  # a file that a kept artifact shares frees nothing
        size(os.path.join(output, path), seen)
    artifacts = dict.fromkeys((*there, *stored))
    # First, since what is removed now may have the name of what a removal that was killed left there.
    paths = [_REMOVED] if _names(os.path.join(output, _REMOVED)) else []
    paths += [path for path in artifacts if path not in needed and (remains or path in named)]
    paths += [path for path in _working_folders(output) if remains and os.path.basename(path) not in numbers]
    paths += _stale_features(output, keep)
    if remains:
        for place in (CHECKPOINTS, COMPARISONS):
            paths += [os.path.join(place, name) for name in _names(os.path.join(output, place))]
        paths += [name for name in _names(output) if name.startswith(_TEMPORARY)] + crash_mark.remains(output)
    in_store = {path: stored[path].size if path in stored else None for path in paths}
    return [Removable(path, size(os.path.join(output, path), seen), in_store[path]) for path in paths]


def remove(output: str, found: Iterable[Removable], store: ArtifactStore | None = None) -> None:
    """Removes what `removable` listed; a removal that stops half way leaves no half artifact.

    Args:
        output: folder of all runs.
        found: what to remove.
        store: of `output.artifacts`, or None.

    Raises:
        OSError: something cannot be removed; it names it.
        StoreError: the store cannot remove something.
    """
    trash = os.path.join(output, _REMOVED)
    for each in found:
        path = os.path.join(output, each.path)
        if store is not None and each.stored is not None:
            store.remove(each.path)
        parent = os.path.join(os.path.realpath(output), os.path.dirname(each.path))
        if not os.path.lexists(path) or os.path.realpath(os.path.dirname(path)) != parent.rstrip(os.sep):
            continue  # of the store alone, or behind a link that leads out of the output
        if each.path != _REMOVED:
            os.makedirs(trash, exist_ok=True)
            os.rename(path, os.path.join(trash, each.path.replace(os.sep, "-")))
            with contextlib.suppress(OSError):
                os.unlink(written.record(output, path))
        shutil.rmtree(trash)


def size(path: str, seen: set[tuple[int, int]]) -> int:
    """Bytes of the files below a path that are not in `seen`, and adds them there: a hard-linked file counts once."""
    total = 0
    for place in _files(path):
        with contextlib.suppress(FileNotFoundError):
            status = os.lstat(place)
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                total += status.st_size
    return total


def sizes(output: str) -> dict[str, int]:
    """Run -> bytes of its artifacts and its folder. What several runs share counts for the newest that ran."""
    seen: set[tuple[int, int]] = set()
    found, there = {row.run_id: row for row in rows(output)}, set(_artifacts(output))
    result = {}
    for run_id in _names(os.path.join(output, _HISTORY), reverse=True):
        row = found.get(run_id)
        artifacts = sorted(row.artifacts & there) if row is not None and row.ran else []
        paths = (os.path.join(output, path) for path in (os.path.join(_HISTORY, run_id), *artifacts))
        result[run_id] = sum(size(path, seen) for path in paths)
    return result


def _pushed(output: str) -> str:
    """The run that pushed what this output pushed last, or ""."""
    try:
        with open(os.path.join(output, STATE), encoding="utf-8") as f:
            return str(parsed_json(f.read())["run"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _stale_features(output: str, keep: int) -> list[str]:
    """Folders of features, and of comparisons, besides those used last; a search may use several in one run."""
    used = sorted(_folders(output, FEATURES), key=lambda path: os.stat(os.path.join(output, path)).st_mtime)
    compared = [path for path in used if os.path.basename(path).startswith(COMPARED)]
    described = [path for path in used if path not in compared]
    return described[: max(0, len(described) - keep)] + compared[: max(0, len(compared) - keep)]


def _artifacts(output: str) -> Iterator[str]:
    """The folders of artifacts that are there, relative to the output, without links."""
    for stage in stages.BY_NAME:
        for key in _folders(output, os.path.join(ARTIFACTS, stage)):
            if not os.path.basename(key).startswith("."):
                yield from (path for path in _folders(output, key) if os.path.basename(path).isdecimal())


def _working_folders(output: str) -> Iterator[str]:
    for stage in stages.BY_NAME:
        for system in _SYSTEM:
            yield from _folders(output, os.path.join(ARTIFACTS, stage, *system.split("/")))


def _folders(output: str, below: str) -> list[str]:
    """Folders in a folder, relative to the output; none where a link is on the way."""
    place = os.path.join(output, below)
    if os.path.realpath(place) != os.path.join(os.path.realpath(output), below):
        return []
    paths = [os.path.join(below, name) for name in _names(place)]
    return [p for p in paths if os.path.isdir(os.path.join(output, p)) and not os.path.islink(os.path.join(output, p))]


def _names(folder: str, *, reverse: bool = False) -> list[str]:
    return sorted(os.listdir(folder), reverse=reverse) if os.path.isdir(folder) and not os.path.islink(folder) else []


def _files(path: str) -> Iterator[str]:
    if not os.path.isdir(path) or os.path.islink(path):
        yield path
    for folder, _, names in os.walk(path):
        yield from (os.path.join(folder, name) for name in names)
