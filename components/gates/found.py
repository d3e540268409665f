"""What is found out about a candidate beside its metrics: weak groups of the test split, and trivial methods.

`evaluation` finds it and writes it beside the predictions; the model gate judges it, and the report shows it.
"""

from __future__ import annotations

from pydantic import Field

from components.base.text import truncated_list
from components.base.values import ForeignText, Sparse

FOUND = "found"  # the slice of a threshold that stands for every weak group, and the column of such a group


class WeakGroup(Sparse):
    """A part of the test split where the model is worse than on the rest beyond chance."""

    name: ForeignText = Field(description="what its images have in common")
    label: ForeignText | None = Field(None, description="the label that its images have; null: any")
    measure: str = Field(description="what `value` and `rest` are the mean of")
    value: float = Field(description="on the images of the group")
    rest: float = Field(description="on the other test images, of the same labels in the same shares")
    chance: float = Field(
        description="probability that chance makes any of the groups tried as weak (Holm's correction)"
    )
    count: int = Field(description="images of the group")
    images: tuple[tuple[ForeignText, str], ...] = Field(
        (), description="path and SHA-256 of each, the worst first; in a summary only of the first"
    )
    numbers: dict[str, float | None] = Field({}, description="metrics of its images; null: not a number")

    def sentence(self) -> str:
        """The group in a sentence."""
        return (
            f"{self.name}: {self.measure} {self.value:.2f} against {self.rest:.2f} on the rest, {self.count:,} images "
            f"({truncated_list((path for path, _ in self.images), self.count)})"
        )

    def shortened(self, images: int) -> WeakGroup:
        """The group with so many of its images, and without its metrics."""
        return self.model_copy(update={"images": self.images[:images], "numbers": {}})


class WeakGroups(Sparse):
    """The weak groups of a test split."""

    images: int = Field(0, description="test images that were looked at")
    fewest: int = Field(0, description="of fewer images, nothing is a group")
    tried: int = Field(0, description="groups that were tried")
    groups: tuple[WeakGroup, ...] = Field((), description="those that are weak, the least likely by chance first")

    def sentence(self) -> str:
        """What was found, in a sentence.

        >>> WeakGroups(images=400, fewest=10, tried=70).sentence()
        '70 groups of 10 or more of the 400 test images were tried; none is weaker than the rest beyond chance.'
        """
        found = len(self.groups)
        are = f"{found or 'none'} {'is' if found < 2 else 'are'} weaker than the rest beyond chance"
        return f"{self.tried} groups of {self.fewest} or more of the {self.images:,} test images were tried; {are}."


class Paired(Sparse):
    """How much better a model is than a method on the same images, by a share of right answers."""

    gain: float = Field(description="share of the model minus that of the method")
    images: float = Field(description="effective number of images")
    worth: float = Field(description="effective number of independent answers, see `metrics.clusters`")


class TrivialMethod(Sparse):
    """What a method that learns next to nothing reaches on the test split."""

    name: ForeignText = Field(description='"always answering \'cat\'", "the nearest mean colour"')
    numbers: dict[str, float | None] = Field(
        {}, description="metrics that follow from answers without probabilities; null: not a number"
    )
    paired: dict[str, Paired] = Field({}, description="metric -> the model's gain on the same images")


class Trivial(Sparse):
    """What trivial methods reach on the test split."""

    methods: tuple[TrivialMethod, ...] = ()


class Beside(Sparse):
    """Everything that is found out about a candidate beside its metrics."""

    weak: WeakGroups = WeakGroups()
    trivial: Trivial = Trivial()
