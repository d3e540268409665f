"""The label kind `multi_label`: each label of an image applies, does not apply, or is unknown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from components.labels import outputs, scored
from components.labels.kind import Answer, Evidence, LabelKind, PlainAnswer
from components.metrics import multi
from components.metrics.base import Rows


def _row(names: Sequence[str], unknown: Sequence[str], index: Mapping[str, int], answer: Answer, weight: float) -> Rows:
    target = np.zeros(len(index))
    target[[index[name] for name in names]] = 1
    target[[index[name] for name in unknown]] = -1
    return multi.row(target, scored.answer_of(answer), weight)


def _answers(arrays: Answer) -> Iterator[PlainAnswer]:
    for by_label, decided in zip(scored.probabilities(arrays), arrays[outputs.DECISIONS], strict=True):
        applies = [label for label, yes in zip(by_label, decided, strict=True) if yes]
        yield {"labels": applies, "probabilities": by_label}


KIND = LabelKind(
    task="multi_label",
    exclusive=False,
    per_pixel=False,
    layouts=("manifest", "coco", "yolo", "voc", "labelme", "cvat", "label_studio"),
    outputs=scored.OUTPUTS,
    overall=multi.OVERALL,
    per_label=multi.PER_LABEL,
    effective=(multi.EFFECTIVE_OF_ALL, multi.EFFECTIVE),
    proportions=(
        MappingProxyType(
            {
                "binary_accuracy": Evidence("effective_count", "effective_known"),
                "exact_match": Evidence("effective_count"),
                "hamming_loss": Evidence("effective_count", "effective_known"),
                "cosine_similarity": Evidence("effective_labelled", "effective_cosines"),
                "micro_f1": Evidence("effective_involving", "effective_involved"),
                **scored.ABSTAINED,
            }
        ),
        scored.PROPORTIONS,
    ),
    main="mean_average_precision",
    main_of_label="f1",
    columns=scored.COLUMNS,
    compared=("mean_average_precision", "macro_f1", "binary_accuracy", "loss"),
    accumulator=multi.MultiLabel,
    row=_row,
    answers=_answers,
)
