"""The section `push` of the configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from components.base.values import Flag, Value
from components.data.location import Location


class Push(Value):
    """Where a model goes that passed."""

    destination: Location = Field(
        description="folder or fsspec URL that TensorFlow Serving watches; versions are numbered folders in it. What "
        "differs with a URL: see [pushing](push.md)"
    )
    keep: Annotated[int, Field(ge=1, strict=True)] | None = Field(
        5,
        description="after a push, remove all but so many of the newest versions that imagegate pushed; null keeps all",
    )

    without_thresholds: Flag = Field(
        False, description="whether a model is pushed though `evaluation.thresholds` is empty and nothing judges it"
    )
