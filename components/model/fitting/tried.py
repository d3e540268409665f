"""How a way to train came out that has to be better than training without it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from components.base.values import Sparse

Name = Literal["propagation", "consistency", "autoencoder", "synthetic"]


class Tried(Sparse):
    """How a method of learning from images without labels, or from synthetic ones, came out."""

    method: Name
    used: bool
    reason: str = Field(description="a sentence for people")
    images: int | None = Field(None, description="images with labels that judged; null if the method was refused")
    difference: float | None = Field(None, description="mean loss with the method, minus that without")
    interval: tuple[float, float] | None = Field(None, description="95 % interval of the difference")
