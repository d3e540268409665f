"""What a comparison of methods came to, from the figures of each training."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field, JsonValue

from components.base.values import Sparse
from components.metrics.base import Floats
from components.model.comparing import intervals
from components.model.comparing.intervals import Interval


class Figure(Sparse):
    """One figure of a method on the eval split."""

    mean: float | None = Field(description="over the seeds; null: undefined")
    interval: Interval | None = Field(None, description="95 % interval of the mean over the seeds, by Student's t")
    values: tuple[float | None, ...] = Field((), description="of each seed")

    def text(self) -> str:
        """The mean and half of its interval, where the seeds made a difference.

        >>> Figure(mean=0.72, interval=(0.67, 0.77)).text(), Figure(mean=0.72, interval=(0.72, 0.72)).text()
        ('0.720 ± 0.050', '0.720')
        """
        if self.mean is None or self.interval is None or self.interval[0] == self.interval[1]:
            return "–" if self.mean is None else f"{self.mean:.3f}"
        return f"{self.mean:.3f} ± {(self.interval[1] - self.interval[0]) / 2:.3f}"


class Difference(Sparse):
    """By how much a figure differs from that of the first method, seed by seed."""

    mean: float | None
    seeds: Interval | None = Field(None, description="95 % interval over the seeds alone")
    interval: Interval | None = Field(None, description="95 % interval over the seeds and the images of eval")

    @property
    def beyond_chance(self) -> bool:
        """Whether the interval does not hold 0."""
        return intervals.is_beyond_chance(self.interval)

    def text(self) -> str:
        """The mean and its interval; "=" where every answer is the same.

        >>> Difference(mean=0.02, interval=(-0.01, 0.05)).text(), Difference(mean=0.0, interval=(0.0, 0.0)).text()
        ('+0.020 (-0.010 to +0.050)', '=')
        """
        if self.mean is None:
            return "–"
        if self.mean == 0 and self.interval == (0, 0):
            return "="
        bounds = "" if self.interval is None else f" ({_signed(self.interval[0])} to {_signed(self.interval[1])})"
        return f"{_signed(self.mean)}{bounds}"


class Method(Sparse):
    """What one method came to."""

    name: str
    overlay: dict[str, JsonValue] = Field(description="the keys of `training` that make it up")
    figures: dict[str, Figure] = Field({}, description="name -> figure; empty if no training finished")
    differences: dict[str, Difference] = Field({}, description="name -> difference from the first method")
    seconds: float | None = Field(None, description="of a training, the median over the seeds")
    reason: str = Field("", description="why a training failed")


class MethodComparison(Sparse):
    """A comparison of methods; the first one is what the others are compared with."""

    figures: tuple[str, ...] = Field(description="what is measured on the eval split")
    seeds: tuple[int, ...]
    images: int = Field(description="of the eval split")
    methods: tuple[Method, ...]

    @property
    def same_with_every_seed(self) -> bool:
        """Whether the seeds change nothing, as where all that is trained is a head that is solved."""
        figures = [figure for method in self.methods for figure in method.figures.values()]
        return len(self.seeds) > 1 and all(len(set(figure.values)) < 2 for figure in figures)

    def remarks(self) -> list[str]:
        """Sentences that a reader of the figures needs."""
        said = [f"± is the 95 % interval over {len(self.seeds)} seeds."]
        if self.same_with_every_seed:
            said = ["Every seed gives the same figures: a head that is solved depends on no chance."]
        if any(method.differences for method in self.methods):
            said.append(
                f"The 95 % interval of a difference is over the seeds and the {self.images:,} images of eval; * marks "
                "those that do not hold 0."
            )
        return said + [f"{method.name}: {method.reason}" for method in self.methods if method.reason]


@dataclass(frozen=True)
class Measured:
    """The figures of one training.

    Attributes:
        values: [figures].
        without: [groups, figures], see `figures.without_groups`.
        seconds: of the training.
    """

    values: Floats
    without: Floats
    seconds: float


def summarised(
    name: str,
    overlay: Mapping[str, JsonValue],
    figures: Sequence[str],
    own: Mapping[int, Measured],
    first: Mapping[int, Measured] | None,
    reason: str = "",
) -> Method:
    """Puts the trainings of a method together.

    Args:
        name, overlay: of the method.
        figures: their names.
        own: seed -> what a training of the method came to; a seed whose training failed is missing.
        first: those of the first method; None for that itself.
        reason: why a training failed, or "".
    """
    if not own:
        return Method(name=name, overlay=dict(overlay), reason=reason)
    pairs = [(own[seed], first[seed]) for seed in own if seed in first] if first else []
    return Method(
        name=name,
        overlay=dict(overlay),
        figures={figure: _figure([one.values[i] for one in own.values()]) for i, figure in enumerate(figures)},
        differences={figure: _difference(i, pairs) for i, figure in enumerate(figures)} if pairs else {},
        seconds=round(statistics.median(one.seconds for one in own.values()), 3),
        reason=reason,
    )


def _figure(values: Sequence[float]) -> Figure:
    return Figure(
        mean=_known(float(np.mean(values))), interval=intervals.over_seeds(values), values=tuple(map(_known, values))
    )


def _difference(i: int, pairs: Sequence[tuple[Measured, Measured]]) -> Difference:
    apart = [float(one.values[i] - other.values[i]) for one, other in pairs]
    without = np.mean([one.without[:, i] - other.without[:, i] for one, other in pairs], axis=0)
    return Difference(
        mean=_known(float(np.mean(apart))),
        seeds=intervals.over_seeds(apart),
        interval=intervals.over_both(apart, without),
    )


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _signed(value: float) -> str:
    """A difference with three digits; one that they do not show has no sign.

    >>> _signed(0.0126), _signed(-0.0004)
    ('+0.013', '0.000')
    """
    text = f"{value:+.3f}"
    return "0.000" if text in ("+0.000", "-0.000") else text
