"""The label kind `single_label`: each image has one label, or an unknown one; the most probable one is the answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from components.labels import scored
from components.labels.kind import Answer, Evidence, LabelKind, PlainAnswer
from components.metrics import single
from components.metrics.base import Rows


def _row(names: Sequence[str], unknown: Sequence[str], index: Mapping[str, int], answer: Answer, weight: float) -> Rows:
    if len(names) > 1:
        raise ValueError(f"an example of a single-label task has the labels {list(names)}")
    return single.row(index[names[0]] if names else single.UNLABELLED, scored.answer_of(answer), weight)


def _answers(arrays: Answer) -> Iterator[PlainAnswer]:
    for by_label in scored.probabilities(arrays):
        yield {"label": max(by_label, key=by_label.__getitem__), "probabilities": by_label}


KIND = LabelKind(
    task="single_label",
    exclusive=True,
    per_pixel=False,
    layouts=("folders", "manifest", "labelme", "cvat", "label_studio"),
    outputs=scored.OUTPUTS,
    overall=single.OVERALL,
    per_label=single.PER_LABEL,
    effective=((), single.EFFECTIVE),
    proportions=(
        MappingProxyType({"accuracy": Evidence("effective_count"), **scored.ABSTAINED}),
        scored.PROPORTIONS,
    ),
    main="accuracy",
    main_of_label="f1",
    columns=scored.COLUMNS,
    compared=("accuracy", "balanced_accuracy", "macro_f1", "loss"),
    accumulator=single.SingleLabel,
    row=_row,
    answers=_answers,
    imbalance="logit_adjustment",  # by measurement, see docs/recipe.md
)
