"""The section `push` of the configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from components.base.values import Flag, Value
from components.data.location import Location


class Push(Value):
    """The destination of models that pass the model gate; see [pushing](push.md)."""

    destination: Location = Field(
        description="Folder or fsspec URL for pushed models. Each version is a numbered folder in it. TensorFlow "
        "Serving watches a folder; for a URL, see [getting versions to a server](push.md#getting-versions-to-a-server)."
    )
    keep: Annotated[int, Field(ge=1, strict=True)] | None = Field(
        5,
        description="After a push, the newest versions that imagegate pushed are kept, this many, and older ones are "
        "deleted. `null` keeps all.",
    )
    take_over: Flag = Field(
        False,
        description="Whether to push to a destination, or roll back in it, although the model served there was pushed "
        "by a configuration of another `name`.",
    )
    without_thresholds: Flag = Field(
        False,
        description="Whether to push a model although `evaluation.thresholds` is empty, so that no metric is judged.",
    )
