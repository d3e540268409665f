"""The section `data`: where a data set is, how it is laid out, and how it is split."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from components.base.values import ForeignText, Fraction, Positive, Value
from components.data.arrays.spec import MOST_BANDS, Bands, Invalid
from components.data.location import Location
from components.ingest.settings.columns import Columns

Bits = Annotated[int, Field(ge=8, le=16, strict=True)]

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


def _text(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError(f"expected text, got {value!r}")
    return value


_FileText = Annotated[ForeignText, BeforeValidator(_text)]


class Exclusion(Value):
    """A decision on images: to leave them out, or to keep them in spite of what was found."""

    path: str = Field(
        description="A path below `data.root`, of a file or a folder, or a pattern, such as `*_blur.jpg`."
    )
    reason: _FileText = Field("no reason given", description="Why.")
    kind: str = Field(
        "",
        description="With `keep`: the kind of finding that is decided, such as `blurred`, as `imagegate check -o` "
        "writes it. Default: all kinds.",
    )
    other: ForeignText = Field(
        "", description="With `keep`: the other image of the pair that is decided. Default: of all pairs."
    )
    decision: Literal["exclude", "keep", "undecided"] = Field(
        "exclude",
        description="`exclude`: the images are left out. `keep`: they stay, are not found again, and do not count "
        "against the limits of the data gate. `undecided`: neither.",
    )


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
    unlabelled: Location | None = Field(
        None,
        description="Folder, archive or fsspec URL of images without labels, which training learns from as well, see "
        "[few labels](few-labels.md). Images that are among the labelled ones are left out, and so are those that "
        "equal or nearly equal one of eval or test.",
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
        description="Images to leave out, or to keep in spite of what was found: a CSV file with the columns `path` "
        "and `reason`, and `decision` if any are kept, whose path starts at the configuration's folder; or a list of "
        "such entries. See [the data gate](data-gate.md#leaving-images-out-and-keeping-them).",
    )
    bits: Bits | None = Field(
        None,
        description="For files of 16 bits per value that use only the lower ones, as most cameras of 10, 12 or 14 bits "
        "write them: how many are in use. A value v becomes v / 2^(bits - 8), rounded down. Default: all 16. The "
        "served model reads such files alike.",
    )
    bands: Annotated[int, Field(gt=0, le=MOST_BANDS, strict=True)] | tuple[str, ...] | None = Field(
        None,
        description="Images are arrays with these bands, in the order of the files, such as `[blue, green, red, nir]`; "
        "or how many there are. Files are TIFF, `.npy`, `.npz` or PNG. See [bands](bands.md).",
    )
    frames: Positive | None = Field(
        None,
        description="With `bands`: images are sequences of so many moments at most. Without the key, they are single "
        "images.",
    )
    axes: str = Field(
        "",
        description="With `bands`: the order of the axes in the files, of the letters T (moments), B (bands), H "
        "(height) and W (width), such as `TBHW`. Default: as a TIFF file says; else `THWB`, or `HWB` for single "
        "images.",
    )
    invalid: Invalid | None = Field(
        None,
        description="With `bands`: which pixels carry no information: `zero`, where all bands are 0; `nan`; `{value: "
        "-9999}`; or `{band: clouds, above: 0.5}`. Values that are not finite, and those that a TIFF file marks, are "
        "invalid in any case.",
    )
    display: tuple[str, ...] = Field(
        (),
        description="With `bands`: the three bands that the report shows as red, green and blue, or one as grey. "
        "Default: the first three, or the first.",
    )
    tile: tuple[Positive, Positive] | None = Field(
        None,
        description="With `bands` and masks: height and width, in pixels, of the tiles that images and their masks are "
        "cut into, so that large scenes of any size can be learnt from. All tiles of a scene are in one split. "
        "`imagegate predict` puts the answers for a scene together again.",
    )
    max_pixels: Positive = Field(
        100_000_000,
        description="Images with more pixels are quarantined. Their size is read from the header, before any pixel is "
        "decoded.",
    )

    @property
    def arrays(self) -> Bands | None:
        """What arrays the data set holds; None for photos."""
        if self.bands is None:
            return None
        names = self.bands if isinstance(self.bands, tuple) else tuple(f"band {i + 1}" for i in range(self.bands))
        return Bands(
            names=names, frames=self.frames, axes=self.axes, invalid=self.invalid, display=self.display, tile=self.tile
        )

    @model_validator(mode="after")
    def _of_arrays(self) -> Data:
        if self.bands is None:
            for key in ("frames", "axes", "invalid", "display", "tile"):
                if getattr(self, key) != type(self).model_fields[key].default:
                    raise ValueError(f"{key} says how arrays are read; it needs the key bands")
        elif self.bits is not None:
            raise ValueError("bits: arrays keep all their bits; remove the key")
        if self.columns.sequence is not None and self.frames is None:
            raise ValueError("columns.sequence: of a table with a row for each moment; it needs the key frames")
        if self.columns.time is not None and self.columns.sequence is None:
            raise ValueError("columns.time: the times of the moments of a sequence; it needs the key columns.sequence")
        if self.columns.sequence is not None and self.rows == "label":
            raise ValueError("rows: with columns.sequence, a row holds a moment and all labels; remove the key")
        _ = self.arrays  # which refuses what contradicts itself
        return self

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
