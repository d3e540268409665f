"""What arrays a data set holds: bands, moments, order of the axes, and which pixels are invalid."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from components.base.values import Positive, Value

MOST_BANDS = 1024
_AXES = "THWB"  # moments, height, width, bands


class ByValue(Value):
    """Pixels that have this value are invalid."""

    value: float = Field(description="The value.")


class ByBand(Value):
    """Pixels are invalid where a band is above or below a limit."""

    band: str = Field(description="Name of the band.")
    above: float | None = Field(None, description="Pixels whose value is larger are invalid.")
    below: float | None = Field(None, description="Pixels whose value is smaller are invalid.")

    @model_validator(mode="after")
    def _one_limit(self) -> ByBand:
        if (self.above is None) == (self.below is None):
            raise ValueError(f"band {self.band}: give one of above and below")
        return self


Invalid = Literal["zero", "nan"] | ByValue | ByBand
Names = Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_BANDS)]


class Bands(Value):
    """The arrays of a data set.

    Attributes:
        names: the B bands, in the order of the files.
        frames: most moments of a sequence, T; None: single images.
        axes: order of the axes in the files, such as "TBHW"; "": as the files say, or "THWB".
        invalid: which pixels carry no information, besides those with values that are not finite and those that the
            file itself marks.
        tile: height and width of the tiles that large scenes are cut into; None: they stay whole.
        display: the bands that are shown as red, green and blue, or one as grey; (): the first three, or the first.
    """

    names: Names
    frames: Positive | None = None
    axes: str = ""
    invalid: Invalid | None = None
    display: tuple[str, ...] = ()
    tile: tuple[Positive, Positive] | None = None

    @field_validator("axes")
    @classmethod
    def _known_axes(cls, axes: str) -> str:
        if axes and (len(set(axes)) != len(axes) or not {"H", "W"} <= set(axes) <= set(_AXES)):
            raise ValueError(
                "expected the letters T (moments), B (bands), H (height) and W (width), each once, such as TBHW or "
                f"BHW; got {axes!r}"
            )
        return axes

    @model_validator(mode="after")
    def _consistent(self) -> Bands:
        twice = next((name for i, name in enumerate(self.names) if name in self.names[:i]), None)
        if twice is not None:
            raise ValueError(f"bands: {twice!r} is there twice; each band needs a name of its own")
        if isinstance(self.invalid, ByBand) and self.invalid.band not in self.names:
            raise ValueError(f"invalid: unknown band {self.invalid.band!r}; expected one of {', '.join(self.names)}")
        if self.display and (len(self.display) not in (1, 3) or not set(self.display) <= set(self.names)):
            raise ValueError(
                f"display: expected one or three of {', '.join(self.names)}; got {', '.join(self.display)}"
            )
        if isinstance(self.invalid, ByValue) and not math.isfinite(self.invalid.value):
            raise ValueError("invalid: values that are not finite are always invalid; remove the key")
        if "T" in self.axes and self.frames is None:
            raise ValueError(f"axes: {self.axes} has moments, so data.frames has to say how many there are at most")
        if "B" not in self.axes and self.axes and len(self.names) > 1:
            raise ValueError(f"axes: {self.axes} has no bands, but data.bands names {len(self.names)}")
        return self

    @property
    def shown(self) -> tuple[int, ...]:
        """Indices of the bands that are shown."""
        if self.display:
            return tuple(map(self.names.index, self.display))
        return (0, 1, 2) if len(self.names) >= 3 else (0,)
