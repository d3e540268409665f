"""Recognises Label Studio's JSON exports."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

from components.base.values import parsed_json
from components.data.dataset import LayoutError
from components.ingest.layouts.annotated import label_studio_min, label_studio_regions
from components.ingest.layouts.annotated.shared.entries import Malformed
from pipeline.init.recognise import annotation_files
from pipeline.init.recognise.sight import Proposal, Sight

_MOST_FILES = 20
_AREAS = ("polygon", "brush", "ellipse")


def recognise(sight: Sight) -> Iterator[Proposal]:
    """Proposes choices as labels, and regions as masks or labels."""
    paths = annotation_files.candidates(sight, ".json")
    if len(paths) > _MOST_FILES:  # one file holds all tasks
        return
    for path in sorted(paths, key=lambda path: (path.count("/"), path)):
        for _, content in annotation_files.sample(sight, [path], annotation_files.MOST_WHOLE):
            tasks = _tasks(content)
            if tasks:
                yield from _proposals(sight, path, tasks)
                return


def _tasks(content: bytes) -> list[dict[str, Any]]:
    """The tasks of an export; empty for another file."""
    if not content.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"["):
        return []
    try:
        tasks = parsed_json(content)
    except ValueError:
        return []
    if label_studio_min.is_minimal([task for task in tasks if isinstance(task, dict)]):
        try:
            tasks = label_studio_min.tasks(tasks, "")
        except (LayoutError, AttributeError):
            return []
    known = all(isinstance(task, dict) and isinstance(task.get("data"), dict) for task in tasks)
    return tasks if known and any(isinstance(task.get("annotations"), list) for task in tasks) else []


def _proposals(sight: Sight, path: str, tasks: list[dict[str, Any]]) -> Iterator[Proposal]:
    kinds: Counter[str] = Counter()
    most, questions = 0, set()
    lists = (task["annotations"] for task in tasks if isinstance(task.get("annotations"), list))
    for annotation in itertools.chain.from_iterable(lists):
        try:
            items = label_studio_regions.items(annotation.get("result"))
        except (Malformed, AttributeError):
            continue
        choices = [item for item in items if item.kind == "choices" and not item.of_region]
        questions |= {item.question for item in choices}
        most = max(most, sum(len(item.labels) for item in choices))
        kinds.update(item.kind for item in items if item.labels and not item.of_region)
    data: dict[str, Any] = {"annotations": path}
    images = annotation_files.common_folder(sight.images)
    data |= {"images": images} if images else {}
    shown = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common(5)) or "no answer"
    reason = f"{path} is an export of Label Studio with {len(tasks):,} tasks ({shown})"
    if any(kinds[kind] for kind in _AREAS):
        comments = {"labels.background": "the label of pixels outside all regions"}
        yield Proposal("label_studio", ("segmentation",), reason, data, {"background": "background"}, comments)
    if most == 1 and len(questions) == 1:
        yield Proposal("label_studio", ("single_label", "multi_label"), reason, data)
    elif kinds:
        yield Proposal("label_studio", ("multi_label",), reason, data)
