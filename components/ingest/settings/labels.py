"""The section `labels`: the labels, their order, and how annotations are read as labels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from components.base.values import Flag, LabelName, Value
from components.data.dataset import lookalikes

Byte = Annotated[int, Field(ge=0, le=255)]
Id = Annotated[int, Field(ge=0, le=65535, strict=True)]  # strict: true is not taken as 1


class Labels(Value):
    """The labels, their order, and how annotations are read as labels. See [labels](labels.md)."""

    names: tuple[LabelName, ...] | None = Field(
        None,
        description="All labels, in the order of the model's outputs. Default: the labels in the data, sorted. Layout "
        "`masks` needs this key or `colors`: without `colors`, the pixel value i stands for the i-th name, counted "
        "from 0.",
    )
    positive: LabelName | None = Field(
        None,
        description="Task `single_label` with two labels: the positive one. The model then has one sigmoid unit for it "
        "instead of two softmax units.",
    )
    empty: Literal["unknown", "none"] = Field(
        "unknown",
        description="Layout `manifest` with task `multi_label`: the meaning of an empty list of names. `unknown`: the "
        "labels of the image are unknown. `none`: no label applies.",
    )
    ignore: LabelName | Id | None = Field(
        None,
        description="Task `segmentation`: a label, or a pixel value as the masks hold it, that is excluded from loss, "
        "weights and metrics.",
    )
    background: LabelName | None = Field(
        None,
        description="Task `segmentation` with annotations of regions, such as COCO's polygons: the label of pixels "
        "outside all regions. With `null`, they are ignored.",
    )
    colors: dict[LabelName, tuple[Byte, Byte, Byte] | Id] | None = Field(
        None,
        description="Layout `masks`: the colour of each label, `name: [red, green, blue]`, or its pixel value, `name: "
        "id`, if the pixel values do not follow the order of `names`. Without `names`, these are the labels, in this "
        "order.",
    )
    count_ignored: Flag = Field(
        False,
        description="Task `segmentation`: whether ignored pixels count in the frequencies from which the label weights "
        "are computed, as in SegNet.",
    )

    @field_validator("colors", mode="before")
    @classmethod
    def _told_apart(cls, colors: object) -> object:
        """Refuses keys that are one name when they are trimmed, of which one colour would be lost."""
        names = [name for name in colors if isinstance(name, str)] if isinstance(colors, dict) else []
        if (pair := lookalikes(names)) is not None:
            raise ValueError(f"{pair[0]!r} and {pair[1]!r} differ only in case or blanks; keep one of them")
        return colors

    @field_validator("names")
    @classmethod
    def _distinct(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names == ():
            raise ValueError(
                "expected names of labels, got an empty list; leave the key out to take the labels in the data"
            )
        if names is not None:
            twice = sorted({n for n in names if names.count(n) > 1})
            if twice:
                raise ValueError(f"{twice[0]!r} is listed twice; remove one")
            if (pair := lookalikes(names)) is not None:
                raise ValueError(f"{pair[0]!r} and {pair[1]!r} differ only in case or blanks; keep one of them")
        return names
