"""Whatever a value of an annotation is replaced with, the data set is read, or refused with a message."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from annotated_sets import reader

from components.base.errors import ImagegateError

STRANGE = (None, True, -1, 1e308, 10**400, "", "../..", "http://[/a.png", [], {}, [[None]], {"id": []})


def region(kind: str, value: dict[str, Any]) -> dict[str, Any]:
    more = {"original_width": 4, "original_height": 3, "image_rotation": 0}
    return {"id": kind, "type": kind, "from_name": "l", "value": value | {kind: ["cat"]}} | more


LABEL_STUDIO = [
    {
        "id": 1,
        "data": {"image": "/data/upload/1/0a1b2c3d-a.png"},
        "annotations": [
            {
                "id": 1,
                "parent_annotation": None,
                "was_cancelled": False,
                "result": [
                    region("choices", {}),
                    region("polygonlabels", {"points": [[0, 0], [50, 0], [50, 50]]}),
                    region("rectanglelabels", {"x": 0, "y": 0, "width": 50, "height": 50, "rotation": 9}),
                    region("ellipselabels", {"x": 9, "y": 9, "radiusX": 5, "radiusY": 5, "rotation": 0}),
                    region("brushlabels", {"format": "rle", "rle": [0, 0, 0, 48, 57, 27, 127]}),
                ],
            }
        ],
        "predictions": [],
    },
    {"id": 2, "data": {"image": "b.png"}, "annotations": [{"id": 2, "result": [region("choices", {})]}]},
]
LABELME = {
    "flags": {"x": True},
    "shapes": [
        {"label": "cat", "points": [[0, 0], [2, 0], [2, 2]], "shape_type": "polygon"},
        {"label": "dog", "points": [[1, 1], [2, 2]], "shape_type": "circle"},
        {"label": "dog", "points": [[0, 0], [1, 1]], "shape_type": "mask", "mask": "aGVq"},
    ],
    "imagePath": "a.png",
    "imageWidth": 4,
    "imageHeight": 3,
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside another one."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        yield from places(part, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy in which the value at a path is another one."""
    if not path:
        return new
    value = copy.deepcopy(value)
    inside = value
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = new
    return value


@pytest.mark.parametrize("layout", ["labelme", "label_studio"])
@pytest.mark.parametrize("task", ["segmentation", "multi_label"])
def test_any_value_may_be_strange(layout: str, task: str, tmp_path: Path, png: Callable[..., bytes]) -> None:
    whole: Any = LABELME if layout == "labelme" else LABEL_STUDIO
    name = "a.json" if layout == "labelme" else "export.json"
    data = {"layout": layout} | ({} if layout == "labelme" else {"annotations": name})
    labels = {"background": "ground"} if task == "segmentation" else {}
    read = reader(tmp_path, png)
    read({"a.png": None, "b.png": None, name: whole}, task, data, labels)
    strange = 0
    for number, path in enumerate(places(whole)):
        for new in STRANGE[number % 6 :: 6]:
            try:
                found = read({name: replaced(whole, path, new)}, task, data, labels)
                strange += any(isinstance(mask, str) for mask in found.masks.values()) if found.rule else 0
                strange += bool(found.rejected)
            except ImagegateError:
                strange += 1
    assert strange > 10
