"""The label kind `segmentation`: each pixel has one label or is ignored, and the answer is a mask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from components.data.features import IGNORED_ID
from components.labels import outputs, scored
from components.labels.kind import Answer, Evidence, LabelKind, PlainAnswer
from components.metrics import mask
from components.metrics.base import Rows


def _row(names: Sequence[str], unknown: Sequence[str], index: Mapping[str, int], answer: Answer, weight: float) -> Rows:
    return mask.row(answer[outputs.CONFUSION], answer[outputs.CALIBRATION], scored.abstains(answer), weight)


def _answers(arrays: Answer) -> Iterator[PlainAnswer]:
    for names, ids in zip(arrays[outputs.LABELS], arrays[outputs.MASK], strict=True):
        answered = max(1, int((ids != IGNORED_ID).sum()))  # parts of a scene may be left open
        yield {"shares": {name.decode(): int((ids == i).sum()) / answered for i, name in enumerate(names)}}


KIND = LabelKind(
    task="segmentation",
    exclusive=True,
    per_pixel=True,
    layouts=("masks", "coco", "yolo", "labelme", "cvat", "label_studio"),
    outputs=MappingProxyType({outputs.CONFUSION: "float", outputs.CALIBRATION: "float"}),
    overall=mask.OVERALL,
    per_label=mask.PER_LABEL,
    effective=mask.EFFECTIVE,
    proportions=(
        MappingProxyType(
            {metric: Evidence("effective_count", f"effective_{metric}") for metric in mask.INTERVALS}
            | {**scored.ABSTAINED}
        ),
        MappingProxyType(
            {
                "iou": Evidence("effective_involved", "effective_iou"),
                "precision": Evidence("effective_decided", "effective_precision"),
                "recall": Evidence("effective_positives", "effective_recall"),
            }
        ),
    ),
    main="mean_iou",
    main_of_label="iou",
    columns=("iou", "precision", "recall"),
    compared=("mean_iou", "pixel_accuracy", "loss"),
    accumulator=mask.Mask,
    row=_row,
    answers=_answers,
    weighting="square_root",
)
