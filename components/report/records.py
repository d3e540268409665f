"""JSON objects of the report's evidence, written as evidence.json."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from components.report.cells import Table


class Pictures(TypedDict):
    """Pictures of an image, as keys of `Evidence.images`, and the size of the original in pixels."""

    width: int
    height: int
    thumbnail: str
    truth_overlay: NotRequired[str]  # segmentation only
    predicted_overlay: NotRequired[str]
    strip: NotRequired[str]  # sequences only: some moments side by side
    days: NotRequired[list[str]]  # of each of these, its date or its number
    moments: NotRequired[int]  # of all that have a valid pixel, their number


class ShownImage(Pictures):
    """An image with its caption."""

    path: str
    truth: list[str]  # label names
    predicted: list[str]
    probability: float | None  # of the prediction, where that is a single number
    familiarity: float | None
    split: str
    note: str
    why: str  # segmentation only: why it was chosen


class LabelExamples(TypedDict):
    """Test images of one label."""

    label: str
    mistakes: list[ShownImage]
    hits: list[ShownImage]
    random: list[ShownImage]


class LegendEntry(TypedDict):
    """The colour of a label in the masks, as "#rrggbb"."""

    label: str
    colour: str


class GroupExamples(TypedDict):
    """Test images of a weak group, the worst first."""

    name: str
    images: list[ShownImage]


class ModelExamples(TypedDict, total=False):
    """Test images with the model's predictions; `omitted` is a sentence about images left out, or empty."""

    labels: list[LabelExamples]  # empty for segmentation
    masks: list[ShownImage]  # segmentation only
    legend: list[LegendEntry]
    unfamiliar: list[ShownImage]
    suspects: list[ShownImage]
    regressions: list[ShownImage]  # what the served model had right
    groups: list[GroupExamples]
    omitted: str
    strips: str  # what the strips of sequences show; "" without any


class NearDuplicates(TypedDict):
    """Two identical or similar images; `bits` of their hashes differ, null for identical files."""

    first: ShownImage
    second: ShownImage
    bits: int | None
    what: str


class FindingGroup(TypedDict):
    """Images with the same kind of finding; their notes are the reasons."""

    kind: str
    images: list[ShownImage]


class Chart(TypedDict):
    """A chart as inline SVG."""

    title: str
    svg: str
    note: NotRequired[str]


class BandEvidence(TypedDict):
    """What arrays look like: `exact` is about `bands`, `sampled` about all that follows, `figures` about `labels`."""

    exact: str
    bands: Table
    sampled: str
    figures: str
    labels: Table
    charts: list[Chart]


class Confusion(TypedDict):
    """A confusion matrix: rows are the true labels, columns the predictions.

    `counts` is [k, k] of the k labels shown; `totals` are the sums of the full rows, over all labels.
    """

    labels: list[str]
    counts: list[list[float]]
    totals: list[float]
    omitted: int  # labels not shown


class Decisions(TypedDict):
    """Weighted numbers of true and false positives, false and true negatives of a label."""

    label: str
    tp: float
    fp: float
    fn: float
    tn: float


class Evidence(TypedDict, total=False):
    """Content of the page that is expensive to compute; `images` maps keys to data URIs."""

    charts: list[Chart]
    confusion: Confusion | None
    cases: list[Decisions]
    examples: ModelExamples
    duplicates: list[NearDuplicates]
    findings: list[FindingGroup]
    images: dict[str, str]
    synthetic: str  # a data URI; "" for none
    bands: BandEvidence | None  # null for photos
