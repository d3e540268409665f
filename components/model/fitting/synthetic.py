"""What a training needs to know of images that were made for rare labels: the file, the counts, and how it went."""

from __future__ import annotations

import os

from pydantic import Field

from components.base import digests
from components.base.artifact_files import SYNTHETIC, SYNTHETIC_IMAGES
from components.base.errors import ImagegateError
from components.base.values import LabelName, Sparse
from components.data.manifest import DatasetManifest
from components.model.fitting.tried import Tried


class OfLabel(Sparse):
    """The images made of one label."""

    train: int = Field(description="images of the label in train")
    images: int = Field(description="that were made")
    reason: str = Field("", description='why none was made, or none is used; "" if they are')


class Synthetic(Sparse):
    """The images made of all labels, and what became of them in training."""

    method: str
    labels: dict[LabelName, OfLabel]
    sha256: str = Field("", description="of the file of images")
    tried: Tried | None = Field(None, description="whether a training with them is better; null if none was made")

    @property
    def images(self) -> int:
        """How many images there are."""
        return sum(label.images for label in self.labels.values())

    def sentences(self) -> list[str]:
        """What people should know."""
        refused = [f"synthetic images of {name}: {one.reason}" for name, one in self.labels.items() if one.reason]
        used = [f"{self.images:,} synthetic images ({self.method}): {self.tried.reason}"] if self.tried else []
        return [*used, *refused]


def read(folder: str) -> Synthetic:
    """Reads what the stage Synthesis wrote."""
    with open(os.path.join(folder, SYNTHETIC), encoding="utf-8") as f:
        return Synthetic.from_json(f.read())


def verified(folder: str) -> str:
    """The path of the file of images.

    Raises:
        ImagegateError: it is not the file that was written.
    """
    path, wanted = os.path.join(folder, SYNTHETIC_IMAGES), read(folder).sha256
    found = digests.of_file(path)
    if found != wanted:
        raise ImagegateError(
            f"{path} changed after it was written: expected SHA-256 {wanted}, found {found}; run again with --force"
        )
    return path


def counted(told: DatasetManifest, made: Synthetic) -> DatasetManifest:
    """The manifest of a data set whose train split has the images that were made as well."""
    labels = {
        name: {**by_split, "train": by_split["train"] + (made.labels[name].images if name in made.labels else 0)}
        for name, by_split in told.label_counts.items()
    }
    counts = {**told.counts, "train": told.counts["train"] + made.images}
    return told.model_copy(update={"label_counts": labels, "counts": counts})
