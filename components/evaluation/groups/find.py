"""The search for weak groups: extremes of properties and clusters, of all test images and of those of each label."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from components.evaluation.groups import chance
from components.evaluation.groups.parts import Clusters, Part, Seen, common, extremes
from components.evaluation.groups.questions import Question, questions
from components.evaluation.predictions import Prediction
from components.gates.compared import Numbers
from components.gates.found import WeakGroup, WeakGroups
from components.gates.judge import CHANCE
from components.labels.kind import LabelKind

FEWEST = 10  # images of a group, and beside it. Chosen by hand: the tests hold for any number
_LEAST = 0.05  # difference: of many images, one that matters to nobody is beyond chance, too. Chosen by hand


class _Tried(NamedTuple):
    question: Question
    part: Part
    p: float


def find(
    rows: Sequence[Prediction],
    labels: Sequence[str],
    kind: LabelKind,
    seen: Seen,
    numbers: Callable[[Sequence[Prediction]], Numbers],
) -> WeakGroups:
    """Finds the groups of test images where the model is worse than on the rest beyond chance.

    The groups are made without looking at the answers, so each test is as good as if the group had been declared. Their
    p-values are corrected for the number of groups tried (Holm), and groups whose corrected p-value is at least
    `judge.CHANCE` are not reported: with right and wrong answers spread at random, one split in a thousand has any.
    Of groups that have images in common, the least likely one is told, and of equally likely ones the smallest; another
    only if those of its images that no group before it has are a weak group of their own.

    Args:
        rows: the predictions.
        labels: in the order of the model's outputs.
        kind: of the labels.
        seen: what else is known of the images.
        numbers: predictions of some images -> their metrics.
    """
    tried = list(_tried(rows, questions(rows, labels, kind), seen))
    corrected = chance.holm([one.p for one in tried])
    groups: list[WeakGroup] = []
    told = np.zeros(len(rows), bool)
    for place in sorted(range(len(tried)), key=lambda i: (float(f"{corrected[i]:.6g}"), tried[i].part.inside.sum())):
        (question, part, _), p = tried[place], float(corrected[place])
        if p >= CHANCE:
            break
        value = float(question.score[part.inside].mean())
        rest = chance.rest(question.score, part.inside, question.strata)
        left = part.inside & ~told[question.images]
        if value > rest - _LEAST or left.sum() < FEWEST or question.score[left].mean() > rest - _LEAST:
            continue
        fresh = ~told[question.images]
        if not fresh[part.inside].all():
            anew = chance.weaker(question.score[fresh], left[fresh], question.strata[fresh])
            if len(tried) * anew >= CHANCE:
                continue
        told[question.images[part.inside]] = True
        worst = np.flatnonzero(part.inside)[np.argsort(question.score[part.inside], kind="stable")]
        members = [rows[i] for i in question.images[worst]]
        found = numbers(members)
        groups.append(
            WeakGroup(
                name=part.name(question.label, common(part, rows, question.images, seen)),
                label=question.label,
                measure=question.measure,
                value=value,
                rest=rest,
                chance=p,
                count=len(members),
                images=tuple((row["path"], row["sha256"]) for row in members),
                numbers={key: number if math.isfinite(number) else None for key, number in found.items()},
            )
        )
    return WeakGroups(images=len(rows), fewest=FEWEST, tried=len(tried), groups=tuple(groups))


def _tried(rows: Sequence[Prediction], asked: Sequence[Question], seen: Seen) -> Iterator[_Tried]:
    clusters = None if seen.features is None or len(rows) < 2 * FEWEST else Clusters.of(seen.features)
    for question in asked:
        parts = [part for name, values in seen.properties.items() for part in extremes(name, values[question.images])]
        if clusters is not None and len(question.images):
            parts += clusters.parts(rows, question.images)
        different = {part.inside.tobytes(): part for part in reversed(parts)}
        for part in reversed(different.values()):
            if FEWEST <= part.inside.sum() <= len(part.inside) - FEWEST:
                yield _Tried(question, part, chance.weaker(question.score, part.inside, question.strata))
