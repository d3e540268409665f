"""Label Studio's export JSON-MIN, as tasks in the form of its export JSON.

JSON-MIN has one object per annotation, with the answers beside the task's own data. It does not say which annotations
were skipped or replaced; so two of an image count only if they agree.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from components.data.dataset import LayoutError
from components.ingest.layouts.annotated.label_studio_names import is_picture

_OWN = ("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement", "image")


def is_minimal(content: list[dict[str, Any]]) -> bool:
    """Whether these objects are of JSON-MIN: at least one, and all with an annotation's own keys."""
    return bool(content) and all(
        "data" not in entry and ("annotation_id" in entry or "annotator" in entry) for entry in content
    )


def tasks(content: list[dict[str, Any]], path: str) -> list[dict[str, Any]]:
    """Turns the objects into tasks with one annotation each.

    Raises:
        LayoutError: several keys hold text that may be the labels.
    """
    texts: Counter[str] = Counter()
    for entry in content:
        texts.update(key for key, value in entry.items() if _is_text(key, value))
    if len(texts) > 1:
        keys = ", ".join(map(repr, sorted(texts)[:5]))
        raise LayoutError(
            f"{path}: the keys {keys} hold text, so it is not clear which are the labels; export the project as JSON "
            "instead of JSON-MIN"
        )
    return [_task(entry) for entry in content]


def _task(entry: dict[str, Any]) -> dict[str, Any]:
    data = {key: value for key, value in entry.items() if isinstance(value, str) and is_picture(value)}
    data |= {"image": entry["image"]} if "image" in entry else {}
    results = [result for key, value in entry.items() if key not in data for result in _results(key, value)]
    annotation = {"id": entry.get("annotation_id"), "result": results}
    return {"id": entry.get("id"), "data": data, "annotations": [annotation], "predictions": []}


def _results(key: str, value: Any) -> list[dict[str, Any]]:
    """The results that one key holds: the names that were chosen, or regions."""
    if isinstance(value, dict) and "choices" in value:
        return [{"type": "choices", "from_name": key, "value": {"choices": value["choices"]}}]
    if _is_text(key, value):
        return [{"type": "choices", "from_name": key, "value": {"choices": [value]}}]
    if not isinstance(value, list):
        return []
    regions = [entry for entry in value if isinstance(entry, dict)]
    kinds = [(entry, next((name for name in entry if name.endswith("labels")), "")) for entry in regions]
    return [
        {
            "type": kind,
            "from_name": key,
            "value": entry,
            "original_width": entry.get("original_width"),
            "original_height": entry.get("original_height"),
        }
        for entry, kind in kinds
        if kind
    ]


def _is_text(key: str, value: Any) -> bool:
    return isinstance(value, str) and key not in _OWN and not is_picture(value)
