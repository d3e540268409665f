"""The section `push` of the configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from components.base.values import Flag, Value
from components.data.location import Location


class Push(Value):
    """The destination of models that pass the model gate; see [pushing](push.md)."""

    destination: Location = Field(
        description="Folder or fsspec URL that TensorFlow Serving watches. Each pushed version is a numbered folder in "
        "it. See [pushing](push.md) for what differs with a URL."
    )
    # `as` is a keyword of Python, so the field cannot be written down like the others.
    __annotations__["as"] = Literal["champion", "challenger"]
    locals()["as"] = Field(
        "champion",
        description="`champion`: the model is served once it is pushed. `challenger`: it stands beside the served "
        "version until `imagegate promote`; see [pushing](push.md#champion-and-challenger).",
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

    @property
    def challenges(self) -> bool:
        """Whether models are pushed to stand beside the served version."""
        return bool(vars(self)["as"] == "challenger")
