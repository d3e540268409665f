"""Which annotations of a Label Studio task count.

Skipped annotations and predictions of models never do. Of an annotation and the one it was made from, the later counts.
If several are left, those marked as ground truth do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from components.ingest.layouts.annotated import label_studio_regions
from components.ingest.layouts.annotated.label_studio_regions import Item
from components.ingest.layouts.annotated.shared.entries import Malformed, Wanted, check_amount

MOST = 1000  # annotations of an image, which are all compared with one another
_SKIPPED = "annotation[ was|s were] skipped by the annotator and left out"
_REPLACED = "annotation[ was|s were] replaced by a later one that was made from [it|them]"
_PREDICTED = "[image has|images have] only predictions of a model, which are no labels"
_AGREE = "further annotation[ agrees|s agree] with another of the same image"
_TRUTH = "annotation[ was|s were] left out because another one is marked as ground truth"
_OTHER = "answer[ is|s are] of a kind that names no label, such as text, and [was|were] left out"
_NO_AREA = "key point[ covers|s cover] no pixels and [was|were] left out"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer that one annotation gives.

    Attributes:
        choices: labels of the whole image.
        questions: names of the controls that these were chosen in.
        drawn: labels of regions.
        regions: for segmentation, (label, region), in the order of the file, in which they are drawn.
        size: width and height of the image that they are for.
    """

    choices: frozenset[str] = frozenset()
    questions: frozenset[str] = frozenset()
    drawn: frozenset[str] = frozenset()
    regions: tuple[tuple[str, Any], ...] = ()
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Outcome:
    """All annotations of one image that count, which need not agree; or the `problem` that rejects it."""

    answers: tuple[Answer, ...] = ()
    notes: Counter[str] = field(default_factory=Counter)
    problem: str = ""


def decide(annotations: Sequence[Any], predicted: bool, wanted: Wanted) -> Outcome:
    """Reads the annotations of one image that count.

    Args:
        annotations: as in the file.
        predicted: whether there are predictions.
        wanted: what the task asks of annotations.

    Raises:
        Malformed: an annotation that counts has a broken form.
    """
    notes: Counter[str] = Counter()
    if not all(isinstance(annotation, dict) for annotation in annotations):
        raise Malformed("expected annotations that are objects")
    kept = [annotation for annotation in annotations if not annotation.get("was_cancelled")]
    notes[_SKIPPED] += len(annotations) - len(kept)
    replaced = {_parent(annotation) for annotation in kept} - {""}
    latest = [annotation for annotation in kept if str(annotation.get("id")) not in replaced]
    notes[_REPLACED] += len(kept) - len(latest)
    true = [annotation for annotation in latest if annotation.get("ground_truth") is True]
    if true and len(true) < len(latest):
        notes[_TRUTH] += len(latest) - len(true)
        latest = true
    answers = []
    for annotation in latest:
        answer = _answer(annotation.get("result"), wanted, notes)
        if answer in answers:
            notes[_AGREE] += 1
        else:
            answers.append(answer)
    notes[_PREDICTED] += predicted and not annotations
    return Outcome(tuple(answers), notes)


def _parent(annotation: dict[str, Any]) -> str:
    """The id of the annotation that this one was made from, or ""."""
    parent = annotation.get("parent_annotation")
    parent = parent.get("id") if isinstance(parent, dict) else parent
    return str(parent) if type(parent) in (int, str) and parent != annotation.get("id") else ""


def _answer(result: Any, wanted: Wanted, notes: Counter[str]) -> Answer:
    """Reads one annotation."""
    choices, questions, drawn = set(), set(), set()
    regions: list[tuple[str, Any]] = []
    sizes, points = set(), 0
    for item in label_studio_regions.items(result):
        if item.kind == "choices" and not item.of_region:
            choices |= set(item.labels)
            questions.add(item.question)
        elif not item.labels or item.of_region or item.kind == "taxonomy":
            notes[_OTHER] += 1
        elif wanted.per_pixel and item.kind == "keypoint":
            notes[_NO_AREA] += 1
        else:
            drawn |= set(item.labels)
            if wanted.per_pixel:
                region, size = _region(item)
                sizes.add(size)
                regions.append((item.labels[0], region))
                points += len(region[0]) // 2 if isinstance(region, list) else 0
    check_amount(regions, points)
    if len(sizes) > 1:
        raise Malformed(f"its regions are for images of different sizes: {sorted(sizes)[:5]}")
    return Answer(frozenset(choices), frozenset(questions), frozenset(drawn), tuple(regions), next(iter(sizes), None))


def _region(item: Item) -> tuple[Any, tuple[int, int]]:
    if len(item.labels) > 1:
        raise Malformed(f"a region has the labels {', '.join(map(repr, item.labels[:5]))}; expected one")
    return label_studio_regions.region(item)
