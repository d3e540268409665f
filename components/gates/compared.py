"""What of a candidate is compared with the served model: which images, which labels, and why not the others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pydantic import Field

from components.base.text import truncated_list
from components.base.values import Sparse, Value

Numbers = Mapping[str, float]  # key of a metric -> value
Results = Sequence[tuple[Mapping[str, str], Numbers]]  # (slice: column -> value, its numbers)


class SliceNumbers(Value):
    """The metrics of one slice; null: not a number."""

    where: dict[str, str]
    numbers: dict[str, float | None]


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
