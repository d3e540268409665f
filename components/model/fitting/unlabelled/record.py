"""What became of the images without labels in a training: written beside the model, and shown in the report."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from components.base.values import Sparse

Name = Literal["propagation", "consistency", "autoencoder"]


class Tried(Sparse):
    """How a method of learning from images without labels came out."""

    method: Name
    used: bool
    reason: str = Field(description="a sentence for people")
    images: int | None = Field(None, description="images with labels that judged; null if the method was refused")
    difference: float | None = Field(None, description="mean loss with the method, minus that without")
    interval: tuple[float, float] | None = Field(None, description="95 % interval of the difference")


class Pool(Sparse):
    """What became of the images without labels."""

    images: int = Field(description="that training could learn from")
    tried: tuple[Tried, ...] = Field((), description="the methods that were tried, in order")

    def sentences(self) -> list[str]:
        """One for each method that was tried."""
        return [f"{self.images:,} images without labels, {one.method}: {one.reason}" for one in self.tried]
