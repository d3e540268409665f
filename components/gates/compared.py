"""What of a candidate is compared with the served model: which images, which labels, and why not the others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from components.base.text import truncated_list
from components.base.values import ForeignText, Sparse, Value
from components.metrics import REGRESSIONS

if TYPE_CHECKING:
    from components.labels.kind import LabelKind

Numbers = Mapping[str, float]  # key of a metric -> value
Results = Sequence[tuple[Mapping[str, str], Numbers]]  # (slice: column -> value, its numbers)


class SliceNumbers(Value):
    """The metrics of one slice; null: not a number."""

    where: dict[str, str]
    numbers: dict[str, float | None]


class Regression(Sparse):
    """A test image that the served model had right and the candidate has wrong; see `evaluation.regressions`."""

    path: ForeignText
    sha256: str
    whole: bool = Field(True, description="whether the whole image counts; false: only the labels do")
    labels: tuple[ForeignText, ...] = Field((), description="labels whose answer was right and is wrong now")
    places: tuple[dict[str, str], ...] = Field((), description="slices that it is in, of those that thresholds name")
    served: ForeignText = Field("", description="what the served model said")
    candidate: ForeignText = Field("", description="what the candidate says")


class Regressions(Sparse):
    """The regressions of a candidate."""

    images: tuple[Regression, ...] = Field((), description="the worst first; in a summary only the first")
    numbers: tuple[SliceNumbers, ...] = Field((), description="of each slice: how many, of how many images")

    def of(self, label: str | None, where: Mapping[str, str]) -> list[Regression]:
        """The images that count in a slice, as a whole or for one label."""
        return [
            image
            for image in self.images
            if (image.whole if label is None else label in image.labels) and (not where or where in image.places)
        ]

    def shortened(self, images: int) -> Regressions:
        """The same with so many of the images."""
        return self.model_copy(update={"images": self.images[:images]})

    def sentence(self, version: str) -> str:
        """How many there are.

        >>> Regressions(numbers=[{"where": {}, "numbers": {"regressions": 3, "example_count": 40}}]).sentence("5")
        'Of the 40 images that are compared, 3 were right in version 5 and are wrong now.'
        """
        counts = whole(self.numbers)
        n, among = int(counts.get(REGRESSIONS, 0)), int(counts.get("example_count", 0))
        were, are = ("was", "is") if n == 1 else ("were", "are")
        return (
            f"Of the {among:,} images that are compared, {f'{n:,}' if n else 'none'} {were} right in version {version} "
            f"and {are} wrong now."
        )


def images_of_label(kind: LabelKind) -> str:
    """The name of the count of images in which a regression of a label could be seen.

    Where several labels apply to an image, these are all where it is known whether the label does: one that is called
    wrongly is a regression like one that is missed. Otherwise, they are the images that have the label.
    """
    return "effective_positives" if kind.exclusive or kind.per_pixel else "effective_known"


class Compared(Sparse):
    """The comparison of a candidate with the served model, as written beside an evaluation."""

    version: str = Field("", description='the served version; "": nothing was compared')
    why_not: str = Field("", description="why nothing was compared")
    broken: str = Field("", description="why the served model could not be evaluated, although it should have been")
    images: int = Field(0, description="test images that were compared")
    left_out: dict[str, int] = Field(
        {}, description="split of the served model's data -> test images that were in it, or are nearly equal to one"
    )
    labels: tuple[str, ...] = Field((), description="labels that were compared")
    new: tuple[str, ...] = Field((), description="labels that the served model does not know")
    gone: tuple[str, ...] = Field((), description="labels that only the served model knows")
    candidate: tuple[SliceNumbers, ...] = Field(
        (), description="metrics of the candidate on these images and labels; empty: those of the whole test split"
    )
    served: tuple[SliceNumbers, ...] = Field((), description="likewise of the served model")
    regressions: Regressions | None = Field(
        None,
        description="images that the served model had right and the candidate has wrong; null: nothing was compared",
    )

    @property
    def whole(self) -> bool:
        """Whether all images of the test split and all labels are compared."""
        return not self.candidate

    def sentences(self) -> list[str]:
        """What is not compared, in sentences.

        >>> Compared(version="5", left_out={"train": 30}, new=["0"]).sentences()
        ["30 test images were in the served model's train split: left out of the comparison", \
"not compared, because version 5 does not know it: label '0'"]
        """
        told = []
        if self.left_out:
            counts = list(self.left_out.items())
            (first, n), *others = counts
            more = "".join(f", {m:,} in its {split} split" for split, m in others)
            verb = "test image was" if n == 1 else "test images were"
            told.append(f"{n:,} {verb} in the served model's {first} split{more}: left out of the comparison")
        if self.why_not:
            told.append(f"no comparison: {self.why_not}")
        elif self.new:
            they = "it" if len(self.new) == 1 else "them"
            told.append(f"not compared, because version {self.version} does not know {they}: {_labels(self.new)}")
        if self.gone and not self.why_not:
            told.append(f"not compared, because only version {self.version} knows {_them(self.gone)}")
        return told


def numbers(results: Results) -> tuple[SliceNumbers, ...]:
    """The results in a form that can be written as JSON; see `results`."""
    return tuple(
        SliceNumbers(
            where=dict(where), numbers={key: value if math.isfinite(value) else None for key, value in of_slice.items()}
        )
        for where, of_slice in results
    )


def results(written: Sequence[SliceNumbers]) -> Results:
    """The results that `numbers` wrote."""
    return [
        (one.where, {key: math.nan if value is None else value for key, value in one.numbers.items()})
        for one in written
    ]


def whole(written: Sequence[SliceNumbers]) -> Numbers:
    """The numbers of all examples together."""
    return next((of_slice for where, of_slice in results(written) if not where), {})


def _labels(names: Sequence[str]) -> str:
    return f"label{'' if len(names) == 1 else 's'} {truncated_list(map(repr, names))}"


def _them(names: Sequence[str]) -> str:
    return f"{'it' if len(names) == 1 else 'them'}: {_labels(names)}"
