"""The layout `label_studio`: the JSON export of Label Studio.

Our own reader rather than label-studio-converter: that one takes the first annotation of a task, whatever happened to
it later, and reaches for files outside the data set.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from components.data.dataset import LayoutError
from components.data.storage import File
from components.ingest.layouts.annotated import label_studio_answers, label_studio_min
from components.ingest.layouts.annotated.label_studio_answers import Answer, Outcome
from components.ingest.layouts.annotated.label_studio_names import Images
from components.ingest.layouts.annotated.shared import files
from components.ingest.layouts.annotated.shared.entries import Entry, Found, Malformed, Wanted
from components.ingest.layouts.listing import Listing
from components.ingest.layouts.rules import by_split
from components.ingest.settings import Data

_TWICE = "task[ is|s are] of an image that has another task, and [was|were] merged with it"
_DISAGREE = "[image was|images were] left out because [its|their] annotations disagree"
_CHOICES_UNUSED = "[image has|images have] choices, which were left out: only regions give pixels a label"
_SHAPES_UNUSED = "[image has|images have] regions, which were left out: the labels of images are choices"


@dataclass(frozen=True, slots=True)
class _Task:
    where: str
    file: File
    identity: str
    split: str | None
    annotations: list[Any]
    predicted: bool


def read(listing: Listing, data: Data, wanted: Wanted) -> Found:
    """Reads the file, or one per split, and decides which annotations of each image count.

    See `label_studio_answers.decide`. An image whose annotations disagree is left out. Tasks of the same image are one.

    Raises:
        ConfigError: there is no such file.
        LayoutError: it is not Label Studio's JSON, or answers several questions with one label each.
    """
    assert data.annotations is not None
    found = Found()
    tasks: list[_Task] = []
    for split, path in by_split(data.annotations, "data.annotations").items():
        folders = files.image_folders(listing, data, split)
        found.folders |= {*folders}
        found.splits.add(split)
        tasks += _tasks(listing, path, split, Images(listing, folders, found), found)
    together: dict[tuple[str, str], list[_Task]] = defaultdict(list)
    for task in tasks:
        together[task.file.path, task.identity].append(task)
    outcomes = []
    for same in together.values():
        found.note(_TWICE, same[0].file.path if len(same) > 1 else "", len(same) - 1)
        outcomes.append((same[0], _outcome(same, wanted)))
    _check_questions([outcome for _, outcome in outcomes], wanted)
    by_choice = wanted.one_label and any(answer.choices for _, outcome in outcomes for answer in outcome.answers)
    for task, outcome in outcomes:
        _enter(task, outcome, by_choice, wanted, found)
    return found


def _tasks(listing: Listing, path: str, split: str | None, images: Images, found: Found) -> list[_Task]:
    file = files.chosen(listing, path, "data.annotations")
    found.used.add(file.path)
    try:
        content = files.parsed(listing, file, files.MOST_OF_ALL)
        if not isinstance(content, list) or not all(isinstance(task, dict) for task in content):
            raise Malformed(f"{file.path}: expected a list of tasks, as Label Studio exports them as JSON")
    except Malformed as error:
        raise files.as_layout_error(error) from None
    if label_studio_min.is_minimal(content):
        content = label_studio_min.tasks(content, file.path)
    return [_task(task, position, file.path, split, images) for position, task in enumerate(content, 1)]


def _task(task: dict[str, Any], position: int, path: str, split: str | None, images: Images) -> _Task:
    where = f"task {task.get('id', position)} of {path}"
    if not isinstance(task.get("data"), dict):
        raise LayoutError(
            f"{where}: has no data; expected a task with data and annotations; export the project as JSON"
        )
    annotations = task.get("annotations", task.get("completions"))
    if annotations is not None and not isinstance(annotations, list):
        raise LayoutError(f"{where}: expected a list of annotations, got {str(annotations)[:50]!r}")
    file, identity = images.of(task["data"])
    return _Task(where, file, identity, split, annotations or [], bool(task.get("predictions")))


def _outcome(tasks: Sequence[_Task], wanted: Wanted) -> Outcome:
    annotations = list(tasks[0].annotations)
    if sum(len(task.annotations) for task in tasks) > label_studio_answers.MOST:
        return Outcome(problem=f"has more than {label_studio_answers.MOST:,} annotations; expected fewer")
    for task in tasks[1:]:  # a task that was exported twice has the same annotations
        annotations += [annotation for annotation in task.annotations if annotation not in annotations]
    if len({task.split for task in tasks}) > 1:
        return Outcome(problem="is in several splits; remove its task from all but one")
    try:
        return label_studio_answers.decide(annotations, any(task.predicted for task in tasks), wanted)
    except Malformed as error:
        return Outcome(problem=str(error))


def _check_questions(outcomes: Sequence[Outcome], wanted: Wanted) -> None:
    """Raises LayoutError if images with one label answer several questions, because it is not clear which counts."""
    questions = sorted({name for outcome in outcomes for answer in outcome.answers for name in answer.questions})
    if wanted.one_label and len(questions) > 1:
        raise LayoutError(
            f"data.annotations: images answer several questions, {', '.join(map(repr, questions[:5]))}; export the "
            "annotations of one of them, or use task multi_label, which takes all answers as labels"
        )


def _enter(task: _Task, outcome: Outcome, by_choice: bool, wanted: Wanted, found: Found) -> None:
    """Adds one image to `found`."""
    for note, count in outcome.notes.items():
        found.note(note, task.file.path, count)
    if outcome.problem:
        found.entries.append(Entry(task.where, task.file, task.split, problem=outcome.problem))
        return
    versions = {_labels(answer, by_choice, wanted): answer for answer in reversed(outcome.answers)}
    if len(versions) > 1 and not task.file.problem:
        found.note(_DISAGREE, task.file.path)
        return
    if not versions:
        found.entries.append(Entry(task.where, task.file, task.split, labels=None))
        return
    (key, answer), *_ = versions.items()
    if by_choice and answer.drawn:
        found.note(_SHAPES_UNUSED, task.file.path)
    if wanted.per_pixel and answer.choices:
        found.note(_CHOICES_UNUSED, task.file.path)
    labels = frozenset(key[0])
    found.entries.append(Entry(task.where, task.file, task.split, labels, answer.size, answer.regions))


def _labels(answer: Answer, by_choice: bool, wanted: Wanted) -> tuple[tuple[str, ...], str]:
    """Returns the part that annotations of one image must agree on: the labels, and for segmentation the regions."""
    if wanted.per_pixel:
        return tuple(sorted(answer.drawn)), repr(answer.regions)
    return tuple(sorted(answer.choices if by_choice else answer.choices | answer.drawn)), ""
