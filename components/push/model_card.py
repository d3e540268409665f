"""The model card: a Markdown file with the data, metrics, gates and limits of a pushed model.

It follows Mitchell et al., "Model Cards for Model Reporting", FAT* 2019. The sections that only people can write are
left for them to fill in.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from components import metrics
from components.base.text import number, shown, truncated_list
from components.data.dataset import SPLITS
from components.labels import kinds

_ESCAPES = {"|": "&#124;", "`": "&#96;", "<": "&lt;", ">": "&gt;", "&": "&amp;"}
_FEW = 100  # test examples; with fewer, a share may be wrong by 0.98 / sqrt(100) = 0.1 or more


_TOP = (
    "Task `{task}`, pushed {date} by imagegate. The version is the name of this folder; `imagegate.json` beside this "
    "card has the SHA-256 of every file."
)
_INTENDED = (
    "**To be filled in by the owner of this model, in a copy of this card:** what it is for, who may use it, and what "
    "it must not be used for. imagegate cannot know this. (Use a copy, because a version with a changed file is not "
    "loaded.)"
)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The contents of a model card.

    Attributes:
        name, task: as in the configuration.
        date: date of the push, as text.
        labels: labels in the order of the model's outputs.
        counts: images by split.
        label_counts: label -> images by split.
        imbalance: what made up for rare labels, a value of `training.imbalance`, or "".
        label_weights: weight of each label in the loss.
        results: (slice, metric key -> value); the slice {} is the whole test split.
        served: version that the model was compared with, or "".
        served_numbers: metrics of that version on what is compared.
        compared_numbers: metrics of this model on what is compared; empty if that is the whole test split.
        not_compared: reason why it was compared with none, or "".
        left_out: what is not compared, as sentences.
        thresholds: thresholds that held, as sentences.
        not_judged: thresholds that were not judged, as sentences.
        training: how the weights were chosen, in sentences, or "".
        notes: further limits, as sentences.
        fingerprints: name -> SHA-256.
        written_by: software -> release that trained the model and wrote its files.
    """

    name: str
    task: str
    date: str
    labels: Sequence[str]
    counts: Mapping[str, int]
    label_counts: Mapping[str, Mapping[str, int]]
    imbalance: str
    label_weights: Mapping[str, float]
    results: Sequence[tuple[Mapping[str, str], Mapping[str, float]]]
    served: str = ""
    served_numbers: Mapping[str, float] = field(default_factory=dict)
    compared_numbers: Mapping[str, float] = field(default_factory=dict)
    not_compared: str = ""
    left_out: Sequence[str] = ()
    thresholds: Sequence[str] = ()
    not_judged: Sequence[str] = ()
    training: str = ""
    notes: Sequence[str] = ()
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    written_by: Mapping[str, str] = field(default_factory=dict)


def render(facts: Facts) -> str:
    """Renders the card as Markdown (CommonMark with tables)."""
    numbers = next((values for where, values in facts.results if not where), {})
    slices = [(where, values) for where, values in facts.results if where]
    parts = [
        f"# Model card: {text(facts.name)}",
        _TOP.format(task=facts.task, date=text(facts.date)),
        "## Intended use",
        _INTENDED,
        "## Data",
        _data(facts),
        *(["## Training", text(facts.training)] if facts.training else []),
        "## Metrics on the test split",
        _overall(facts, numbers),
        "### Per label",
        _per_label(facts, numbers),
    ]
    if slices:
        parts += ["### Per slice", _per_slice(facts, slices)]
    parts += ["## Thresholds that held", _listed(facts.thresholds, "none")]
    if facts.not_judged:
        parts += ["## Thresholds that were not judged", _listed(facts.not_judged, "none")]
    parts += ["## Limits", _listed([*_limits(facts), *facts.notes], "none that the data show")]
    parts += ["## Fingerprints", _table(("name", "SHA-256"), facts.fingerprints.items())]
    parts += ["## Software", _table(("name", "release"), facts.written_by.items())]
    return "\n\n".join(parts) + "\n"


def text(value: object) -> str:
    """Escapes a value, so that nothing in it is read as Markdown or HTML, and it stays in its cell of a table.

    >>> print(text("<b>cat|dog</b>"))
    &lt;b&gt;cat&#124;dog&lt;/b&gt;
    """
    line = " ".join(shown(str(value)).split())
    return re.sub(r"[\\`*_\[\]~|<>&]", lambda match: _ESCAPES.get(match[0], "\\" + match[0]), line)


def _data(facts: Facts) -> str:
    rows = [
        [name, *(f"{facts.label_counts[name].get(split, 0):,}" for split in SPLITS), _number(weight)]
        for name, weight in ((name, facts.label_weights.get(name)) for name in facts.labels)
    ]
    total = ["all images", *(f"{facts.counts.get(split, 0):,}" for split in SPLITS), ""]
    method = f"\n\nRare labels: {text(facts.imbalance)} (`training.imbalance`)." if facts.imbalance else ""
    return _table(("label", *SPLITS, "weight in the loss"), [*rows, total]) + method


def _overall(facts: Facts, numbers: Mapping[str, float]) -> str:
    compared = f"Compared with version {text(facts.served)}, which was served then, on the same images."
    if not facts.served:
        compared = f"Compared with no other model: {text(facts.not_compared or 'none was served')}."
    columns = {"this model": numbers}
    if facts.compared_numbers:
        columns["this model, compared part"] = facts.compared_numbers
    if facts.served:
        columns[f"version {facts.served}"] = facts.served_numbers
    names = kinds.kind(facts.task).overall
    rows = [[name, *(_number(of_model.get(name)) for of_model in columns.values())] for name in names]
    told = [compared, *([_listed(facts.left_out, "")] if facts.left_out and facts.served else [])]
    return "\n\n".join([*told, _table(("metric", *columns), rows)])


def _per_label(facts: Facts, numbers: Mapping[str, float]) -> str:
    names = kinds.kind(facts.task).per_label
    rows = [[label, *(_number(numbers.get(metrics.key(name, label))) for name in names)] for label in facts.labels]
    return _table(("label", *names), rows)


def _per_slice(facts: Facts, slices: Sequence[tuple[Mapping[str, str], Mapping[str, float]]]) -> str:
    names = ("example_count", *kinds.kind(facts.task).overall)
    rows = []
    for where, numbers in slices:
        named = ", ".join(f"{column} = {value}" for column, value in where.items())
        rows.append([named, *(_number(numbers.get(name)) for name in names)])
    return _table(("slice", "examples", *names[1:]), rows)


def _limits(facts: Facts) -> list[str]:
    """Explains the limits of the metrics, in sentences."""
    tested = {label: facts.label_counts[label].get("test", 0) for label in facts.labels}
    few = {label: n for label, n in tested.items() if 0 < n < _FEW}
    sentences = []
    for split, what in (("train", "learnt"), ("test", "tested")):
        none = [label for label in facts.labels if not facts.label_counts[label].get(split, 0)]
        if none:
            sentences.append(
                f"Labels without an image in {split}, so nothing about them was {what}: "
                f"{truncated_list(map(repr, none))}."
            )
    if few:
        named = [f"{label!r} {n} (±{0.98 / math.sqrt(n):.2f})" for label, n in sorted(few.items(), key=lambda i: i[1])]
        sentences.append(
            f"Labels with fewer than {_FEW} test images: {truncated_list(named)}. The number in brackets is how far a "
            "share such as the recall may be off by chance (95 %, at most 0.98 / √n)."
        )
    sentences.append(
        "The test images come from the same source as the training images; with other cameras, places or times, the "
        "metrics may differ."
    )
    kind = kinds.kind(facts.task)
    if kind.exclusive:
        sentences.append(f"The model knows these labels only: every {kind.bearer} gets one of them, whatever it shows.")
    return sentences


def _listed(sentences: Iterable[str], otherwise: str) -> str:
    return "\n".join(f"- {text(sentence)}" for sentence in sentences) or otherwise


def _table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    cells = [list(map(text, heads))]
    cells += [["---"] * len(cells[0]), *(list(map(text, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else number(value)
