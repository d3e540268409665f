"""What became of the images without labels in a training: written beside the model, and shown in the report."""

from __future__ import annotations

from pydantic import Field

from components.base.values import Sparse
from components.model.fitting.tried import Tried


class Pool(Sparse):
    """What became of the images without labels."""

    images: int = Field(description="that training could learn from")
    tried: tuple[Tried, ...] = Field((), description="the methods that were tried, in order")

    def sentences(self) -> list[str]:
        """One for each method that was tried."""
        return [f"{self.images:,} images without labels, {one.method}: {one.reason}" for one in self.tried]
