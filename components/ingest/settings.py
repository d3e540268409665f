"""The sections `data` and `labels` of the configuration, and the settings from both that ingest reads."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from components.base.errors import ConfigError
from components.base.values import Flag, ForeignText, Fraction, LabelName, Positive, Value
from components.data.dataset import LayoutError, label_name, lookalikes
from components.data.location import Location

Bits = Annotated[int, Field(ge=8, le=16, strict=True)]
Byte = Annotated[int, Field(ge=0, le=255)]
Id = Annotated[int, Field(ge=0, le=65535, strict=True)]  # strict: true is not taken as 1


Layout = Literal[
    "folders",
    "manifest",
    "masks",
    "coco",
    "yolo",
    "voc",
    "labelme",
    "cvat",
    "label_studio",
]


class Split(Value):
    """Shares of the splits. Each must be above 0, and they must add up to 1."""

    train: Fraction = Field(0.8, description="Share of the images to train on.")
    eval: Fraction = Field(0.1, description="Share of the images that decide when training stops.")
    test: Fraction = Field(0.1, description="Share of the images that the model gate judges the model on.")

    @model_validator(mode="after")
    def _sums_to_one(self) -> Split:
        total = self.train + self.eval + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + eval + test must be 1, got {total:g}")
        for name, share in self:
            if share <= 0:
                raise ValueError(f"{name} must be above 0, got {share:g}: every split is needed")
        return self


def _cell(value: object) -> object:
    """Writes a value of YAML as the text of a cell."""
    if isinstance(value, str):
        return value.strip()
    return json.dumps(value) if isinstance(value, bool | int | float) else value


class Columns(Value):
    """The columns of the table of layout `manifest`."""

    image: str = Field(
        "file_name",
        description="The column of file names, or of the images themselves in a Parquet file. If there is no column "
        "`file_name`, another usual name (such as `filename`, `image`, `path`, `image_id`) is taken where only one "
        "fits, which is said. If the table does not name its columns, they are called `column_1`, `column_2`, …",
    )
    labels: str | tuple[str, ...] | None = Field(
        None,
        description="One column that holds names of labels, or a list of columns, each named like its label, that hold "
        "0 or 1 (in an empty cell, the label is unknown). Default: `label` or `labels`, whichever the table has, or "
        "another usual name (such as `class`, `category`, `tags`) where only one fits, which is said.",
    )
    weight: str | None = Field(
        None,
        description="The column of weights, numbers above 0: how much an image counts in the loss and the metrics.",
    )
    split: str | None = Field(
        None,
        description="The column of splits: `train`, `eval` (or `val`, `valid`, `validation`, `dev`) or `test`. If a "
        "cell "
        "is empty, the split is assigned by hash.",
    )
    group: str | None = Field(
        None, description="The column of groups. All images of a group, such as those of a patient, get the same split."
    )
    slices: tuple[str, ...] = Field((), description="Columns by which the evaluation can be sliced.")
    applies: str | None = Field(
        None,
        description="With `rows: label`: the column that says by 1 or 0 whether the label of the row applies to the "
        "image or is known not to, such as `Confidence` of Open Images. Labels of which an image has no row are then "
        "unknown for it.",
    )
    values: dict[str, str | None] | None = Field(
        None,
        description="What the text of a label cell means. For 0/1 columns `1`, `0` or null (unknown), such as `{-1: "
        "null}`; for a column of names the name, such as `{0: cat, 1: dog}`, or null.",
    )

    @field_validator("values", mode="before")
    @classmethod
    def _as_text(cls, values: object) -> object:
        """Takes the numbers and booleans of YAML as the text that cells have."""
        if not isinstance(values, dict):
            return values
        if not values:
            raise ValueError("expected cells and their meanings, such as {-1: null}; got nothing")
        texts = [(_cell(key), None if value is None else _cell(value)) for key, value in values.items()]
        if len(dict(texts)) < len(texts):
            raise ValueError("two keys are the same text; remove one")
        return dict(texts)

    @model_validator(mode="after")
    def _one_meaning_each(self) -> Columns:
        if self.labels == ():
            raise ConfigError("data.columns.labels: expected the names of the label columns, got an empty list")
        seen: dict[str, str] = {}
        for key, column in self.named():
            if not column.strip():
                raise ConfigError(
                    f"data.columns.{key}: expected the name of a column, got {column!r}; name it in the table, too"
                )
            if key == "slices":  # may share a column with any key but `image`
                clash = "image" if column == self.image else "slices" if self.slices.count(column) > 1 else None
            else:
                clash = seen.get(column)
            if clash:
                raise ConfigError(
                    f"data.columns: {column!r} cannot be both {clash} and {key}; each needs a column of its own"
                )
            seen[column] = key
        if len(set(self.label_of.values())) < len(self.label_of):
            raise ConfigError(
                "data.columns.labels: two columns differ only in blanks around their names, or in how Unicode composes "
                "their letters; rename one of them"
            )
        return self

    @property
    def label_of(self) -> dict[str, str]:
        """Label column -> label; empty if one column holds the names."""
        labels = self.labels if isinstance(self.labels, tuple) else ()
        try:
            return {column: label_name(column, "data.columns.labels") for column in labels}
        except LayoutError as error:  # the mistake is in the configuration, not in the data
            raise ConfigError(str(error)) from None

    def named(self) -> list[tuple[str, str]]:
        """Returns (key, column) for every configured column."""
        labels = (self.labels,) if isinstance(self.labels, str) else self.labels or ()
        one = (
            ("image", self.image),
            ("weight", self.weight),
            ("split", self.split),
            ("group", self.group),
            ("applies", self.applies),
        )
        many = [("labels", column) for column in labels] + [("slices", column) for column in self.slices]
        return [(key, column) for key, column in one if column is not None] + many


def _text(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError(f"expected text, got {value!r}")
    return value


_FileText = Annotated[ForeignText, BeforeValidator(_text)]


class Exclusion(Value):
    """Images to leave out."""

    path: str = Field(
        description="A path below `data.root`, of a file or a folder, or a pattern, such as `*_blur.jpg`."
    )
    reason: _FileText = Field("no reason given", description="Why they are left out.")


class Data(Value):
    """The data set: where it is, how it is laid out, and how it is split."""

    root: Location = Field(
        description="Folder, archive (`.zip`, `.tar`, `.tar.gz` or `.tgz`), folder in an archive, or fsspec URL of the "
        "data set. The paths of the other keys of `data` start at `root`, "
        "except those of `schema_file` and `exclude`."
    )
    layout: Layout = Field(
        "folders",
        description="`folders`: one folder per label. `manifest`: a table with one row per image. `masks`: images and "
        "masks, paired by file name. `coco`: annotations in COCO's JSON format. `yolo`, `voc`, `labelme`, `cvat`, "
        "`label_studio`: annotations as these tools write them. See [layouts](layouts.md).",
    )
    manifest: str | tuple[str, ...] | dict[str, str | tuple[str, ...]] | None = Field(
        None,
        description="Layout `manifest`: the table, a `.csv`, `.tsv`, `.txt`, `.jsonl`, `.json` or `.parquet` file with "
        "one row per image; or a list of tables, or a pattern such as `data/train-*.parquet`; or one of these per "
        "split, such as `{train: train.csv, test: test.csv}`.",
    )
    images: str | tuple[str, ...] | dict[str, str] | None = Field(
        None,
        description="The folder in which file names start; or one folder per split, or with layout `manifest` several "
        "folders, of which one must hold the file. "
        "Layout `yolo` takes it instead of the folders in `data.yaml`.",
    )
    columns: Columns = Field(Columns(), description="Layout `manifest`: see [`data.columns`](#datacolumns).")
    prefix: str = Field(
        "",
        description="Layout `manifest`: the beginning of every file name in the table that is not part of the path "
        "below `images`, such as `/home/me/photos/` or `https://example.org/photos/`.",
    )
    rows: Literal["image", "label"] = Field(
        "image",
        description="Layout `manifest` with task `multi_label`: whether a row holds all labels of an `image`, or one "
        "`label`, so that all rows of an image count together.",
    )
    separator: str = Field(
        "|", description="Layout `manifest` with task `multi_label`: the text between the names in one cell."
    )
    masks: str | dict[str, str] | None = Field(
        None,
        description="Layout `masks`: the folder of the masks, or one folder per split. Layout `coco`: that of the PNG "
        "files of panoptic annotations; by default, it is named like the JSON file.",
    )
    image_suffix: str = Field(
        "", description="Layout `masks`: the end of image names before the extension, such as `_image`."
    )
    mask_suffix: str = Field(
        "", description="Layout `masks`: the end of mask names before the extension, such as `_mask`."
    )
    lists: str | dict[str, str] | None = Field(
        None,
        description="Layouts `masks` and `voc`: a text file that names the images to use, or one file per split, as in "
        "Pascal VOC.",
    )
    annotations: str | dict[str, str] | None = Field(
        None,
        description="Layouts `coco`, `cvat` and `label_studio`: the file with the annotations, or one file per split. "
        "Layout `yolo`: `data.yaml`, or a text file with one name per line. Layouts `voc` and `labelme`: the folder of "
        "the annotation files.",
    )
    split: Split = Field(
        Split(),
        description="Shares of the splits. Images are assigned by a hash of their content, so identical images are "
        "never "
        "in two splits. The shares are not used if the data set itself names the splits, for example by folders "
        "`train/`, `eval/` (or `val/`, `valid/`, `validation/`, `dev/`) and `test/` above the labels; then only a "
        "split that is missing is taken from train.",
    )
    max_bad_fraction: Fraction | None = Field(
        0.01,
        description="Broken files are quarantined with a reason. The data gate refuses if they are a larger share of "
        "all "
        "files than this.",
    )
    schema_file: str | None = Field(
        None,
        description="A schema frozen from a run with `imagegate schema`. The data gate refuses data whose labels, "
        "formats, columns or slice values differ from it.",
    )
    exclude: str | tuple[Exclusion, ...] | None = Field(
        None,
        description="Images to leave out: a CSV file with the columns `path` and `reason`, whose path starts at the "
        "configuration's folder, or a list of such entries. See [the data gate](data-gate.md#leaving-images-out).",
    )
    bits: Bits | None = Field(
        None,
        description="For files of 16 bits per value that use only the lower ones, as most cameras of 10, 12 or 14 bits "
        "write them: how many are in use. A value v becomes v / 2^(bits - 8), rounded down. Default: all 16. The "
        "served model reads such files alike.",
    )
    max_pixels: Positive = Field(
        100_000_000,
        description="Images with more pixels are quarantined. Their size is read from the header, before any pixel is "
        "decoded.",
    )

    @model_validator(mode="after")
    def _of_layout(self) -> Data:
        """Refuses a key that does not belong to the layout, because it would silently have no effect."""
        for key, layouts in _LAYOUTS_OF.items():
            default = type(self).model_fields[key].default
            if self.layout not in layouts and getattr(self, key) != default:
                raise ValueError(f"{key} belongs to layout {', '.join(layouts)}, not to {self.layout}; remove it")
        for key in _REQUIRED.get(self.layout, ()):
            if getattr(self, key) is None:
                raise ValueError(f"layout {self.layout} needs the key {key}")
        if self.layout == "manifest" and isinstance(self.images, dict):
            raise ValueError(
                "images: layout manifest takes one folder or a list, or null for the folder of each table; got one per "
                "split"
            )
        if self.layout != "manifest" and isinstance(self.images, tuple):
            raise ValueError(f"images: layout {self.layout} takes one folder, or one per split; got a list")
        if self.layout in _ONE_FILE and isinstance(self.annotations, dict):
            raise ValueError(f"annotations: layout {self.layout} takes one path; got one per split")
        return self


_ANNOTATED = ("yolo", "voc", "labelme", "cvat", "label_studio")
# Key -> layouts that use it.
_LAYOUTS_OF = {
    "manifest": ("manifest",),
    "images": ("manifest", "masks", "coco", *_ANNOTATED),
    "columns": ("manifest",),
    "prefix": ("manifest",),
    "rows": ("manifest",),
    "separator": ("manifest",),
    "masks": ("masks", "coco"),
    "image_suffix": ("masks",),
    "mask_suffix": ("masks",),
    "lists": ("masks", "voc"),
    "annotations": ("coco", *_ANNOTATED),
}
_REQUIRED = {
    "manifest": ("manifest",),
    "masks": ("images", "masks"),
    **dict.fromkeys(("coco", "yolo", "voc", "cvat", "label_studio"), ("annotations",)),
}
_ONE_FILE = ("yolo", "voc", "labelme")  # whose annotations are not one file per split


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


class NearLimits(Value):
    """Which images are nearly equal, and how many of a split may move to train for it.

    Attributes:
        distance: `balance.near_duplicate_distance`.
        max_share: `balance.max_near_duplicates`.
    """

    distance: int
    max_share: Fraction | None


class Source(Value):
    """A data set to read: the sections `data` and `labels`, and facts of other sections. `data.root` is absolute.

    Attributes:
        exclusive, per_pixel: as in `LabelKind`, which is not passed whole: a new metric must not read the data again.
        exclude: the rows of `data.exclude`.
        near: None if nearly equal images may be in different splits.
        skipped: (key, place) of the project's own folders and files inside `data.root`, such as its runs; absolute.
    """

    exclusive: bool
    per_pixel: bool
    data: Data
    labels: Labels
    near: NearLimits | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    exclude: tuple[Exclusion, ...] = ()
