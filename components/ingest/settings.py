"""The sections `data` and `labels` of the configuration, and what reading a data set takes of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from components.base.errors import ConfigError
from components.base.values import Flag, Fraction, LabelName, Positive, Value
from components.data.dataset import LayoutError, label_name
from components.data.location import Location

Byte = Annotated[int, Field(ge=0, le=255)]
Id = Annotated[int, Field(ge=0, le=65535, strict=True)]  # strict: true is no 1


class Split(Value):
    """Shares of the splits."""

    train: Fraction = Field(0.8, description="share of the images to learn from")
    eval: Fraction = Field(0.1, description="share that decides when training stops")
    test: Fraction = Field(0.1, description="share that the model gate judges")

    @model_validator(mode="after")
    def _sums_to_one(self) -> Split:
        total = self.train + self.eval + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + eval + test must be 1, got {total:g}")
        for name, share in self:
            if share <= 0:
                raise ValueError(f"{name} must be above 0: each split has its stage")
        return self


class Columns(Value):
    """Which column of a manifest means what."""

    image: str = Field("file_name", description="file names")
    labels: str | tuple[str, ...] | None = Field(
        None,
        description="a list of 0/1 columns, each named like its label (an empty cell: nobody said), or one column of "
        "names; default: `label` or `labels`, whichever there is",
    )
    weight: str | None = Field(None, description="how much an image counts in loss and metrics; a number above 0")
    split: str | None = Field(None, description="`train`, `eval` (or `val`, `dev` …), `test`, or empty: by hash")
    group: str | None = Field(None, description="all rows of a group (say, one patient) land in one split")
    slices: tuple[str, ...] = Field((), description="columns that the evaluation can be sliced by")

    @model_validator(mode="after")
    def _one_meaning_each(self) -> Columns:
        if self.labels == ():
            raise ConfigError("data.columns.labels: an empty list; name the label columns")
        seen: dict[str, str] = {}
        for key, column in self.named():
            if not column.strip():
                raise ConfigError(f"data.columns.{key}: a column's name is blank; give it one, here and in the file")
            if key == "slices":  # may be any column, but for the image and one another
                clash = "image" if column == self.image else "slices" if self.slices.count(column) > 1 else None
            else:
                clash = seen.get(column)
            if clash:
                raise ConfigError(f"data.columns: {column!r} cannot be both {clash} and {key}; each needs its own")
            seen[column] = key
        if len(set(self.label_of.values())) < len(self.label_of):
            raise ConfigError("data.columns.labels: two columns differ only in how Unicode composes their letters")
        return self

    @property
    def label_of(self) -> dict[str, str]:
        """Label column -> label; empty where one column holds names."""
        labels = self.labels if isinstance(self.labels, tuple) else ()
        try:
            return {column: label_name(column, "data.columns.labels") for column in labels}
        except LayoutError as error:  # here it is the configuration that is wrong, not the data
            raise ConfigError(str(error)) from None

    def named(self) -> list[tuple[str, str]]:
        """(key, column) of every column that means something."""
        labels = (self.labels,) if isinstance(self.labels, str) else self.labels or ()
        one = (("image", self.image), ("weight", self.weight), ("split", self.split), ("group", self.group))
        many = [("labels", column) for column in labels] + [("slices", column) for column in self.slices]
        return [(key, column) for key, column in one if column is not None] + many


class Data(Value):
    """Where the images are."""

    root: Location = Field(
        description="folder or fsspec URL; a relative path counts from the configuration file's folder, and everything "
        "below counts from root"
    )
    layout: Literal["folders", "manifest", "masks", "coco"] = Field(
        "folders",
        description="`folders`: one folder per label; `manifest`: a table with one row per image; `masks`: images and "
        "masks, paired by file name; `coco`: annotations in COCO's JSON. See [layouts](layouts.md)",
    )
    manifest: str | dict[str, str] | None = Field(
        None, description="manifest: a `.csv` or `.jsonl` file with one row per image, or one per split"
    )
    images: str | dict[str, str] | None = Field(
        None, description="folder that file names are relative to; masks and coco also take one per split"
    )
    columns: Columns = Field(Columns.model_construct(), description="manifest: see [`data.columns`](#datacolumns)")
    separator: str = Field("|", description="manifest: multi_label: between the names in one cell")
    masks: str | dict[str, str] | None = Field(None, description="masks: folder of the masks, or one per split")
    image_suffix: str = Field("", description="masks: what image names end in before the extension, such as `_image`")
    mask_suffix: str = Field("", description="masks: what mask names end in before the extension, such as `_mask`")
    lists: str | dict[str, str] | None = Field(
        None, description="masks: a text file that names the images to use, or one per split, as Pascal VOC has"
    )
    annotations: str | dict[str, str] | None = Field(None, description="coco: the JSON file, or one per split")
    split: Split = Field(
        Split.model_construct(train=0.8, eval=0.1, test=0.1),
        description="by hash of each image's content, so equal images are never in two splits. Not used where folders "
        "`train/`, `eval|val|valid|validation|dev/`, `test/` stand above the labels, or the data names splits "
        "otherwise; of these, a missing one is cut from train",
    )
    max_bad_fraction: Fraction | None = Field(
        0.01,
        description="broken files go to quarantine with a reason; above this share the data gate refuses",
    )
    schema_file: str | None = Field(
        None,
        description="a schema frozen from a run with `imagegate schema`: labels, formats, columns and slice values "
        "that differ from it stop the run; a relative path counts from the configuration file's folder",
    )
    max_pixels: Positive = Field(
        100_000_000,
        description="larger images go to quarantine, judged by their header before any pixel is decoded",
    )

    @model_validator(mode="after")
    def _of_layout(self) -> Data:
        """Each key belongs to some layouts; beside another it would be silently without effect."""
        for key, layouts in _LAYOUTS_OF.items():
            default = type(self).model_fields[key].default
            if self.layout not in layouts and getattr(self, key) != default:
                raise ValueError(f"{key} belongs to layout {' and '.join(layouts)}, not to {self.layout}")
        for key in _REQUIRED.get(self.layout, ()):
            if getattr(self, key) is None:
                raise ValueError(f"layout {self.layout} needs the key {key}")
        if self.layout == "manifest" and isinstance(self.images, dict):
            raise ValueError("images: a manifest has one folder of images, or none: each table's own")
        return self


# Key -> layouts that know it.
_LAYOUTS_OF = {
    "manifest": ("manifest",),
    "images": ("manifest", "masks", "coco"),
    "columns": ("manifest",),
    "separator": ("manifest",),
    "masks": ("masks",),
    "image_suffix": ("masks",),
    "mask_suffix": ("masks",),
    "lists": ("masks",),
    "annotations": ("coco",),
}
_REQUIRED = {"manifest": ("manifest",), "masks": ("images", "masks"), "coco": ("annotations",)}


class Labels(Value):
    """The labels and their order."""

    names: tuple[LabelName, ...] | None = Field(
        None,
        description="every label, in the order of the model's outputs; default: found in the data, sorted. For id "
        "masks needed: pixel value i is names[i]",
    )
    positive: LabelName | None = Field(
        None, description="single_label with two names: one sigmoid unit, for this one, instead of two softmax units"
    )
    empty: Literal["unknown", "none"] = Field(
        "unknown", description="multi_label: whether an empty list of names means that nobody said, or none of them"
    )
    ignore: LabelName | Id | None = Field(
        None, description="masks: a name or an id that takes no part in loss, weights and metrics"
    )
    background: LabelName | None = Field(None, description="coco masks: label of pixels in no region; default: ignored")
    colors: dict[LabelName, tuple[Byte, Byte, Byte] | Id] | None = Field(
        None,
        description="masks drawn in colours: `name: [red, green, blue]`; or ids that are not in the order of names: "
        "`name: id`",
    )
    count_ignored: Flag = Field(
        False, description="masks: count ignored pixels in the weights' frequencies, as SegNet did"
    )

    @field_validator("names")
    @classmethod
    def _distinct(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names == ():
            raise ValueError("an empty list; name the labels, or leave the key out to take those in the data")
        if names is not None:
            twice = sorted({n for n in names if names.count(n) > 1})
            if twice:
                raise ValueError(f"{twice[0]!r} is listed twice")
        return names


class Source(Value):
    """A data set to read: the sections `data` and `labels`, and what its labels are. `data.root` is absolute.

    Attributes:
        exclusive, per_pixel: as in `LabelKind`; two facts, so that a change of a metric never reads the data again.
    """

    exclusive: bool
    per_pixel: bool
    data: Data
    labels: Labels
