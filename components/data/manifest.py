"""The manifest of a data set: what ingest wrote to the shards and counted while it looked at each image once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SkipValidation

from components.base.values import ForeignText, Value

BySplit = dict[str, int]  # split -> how many
Histograms = dict[str, dict[str, int]]  # image property -> bin -> images; empty bins are left out
PixelCounts = tuple[int, int, int]  # own pixels; known pixels of the images with any; all pixels of these images
LabelSet = tuple[str, tuple[str, ...], tuple[str, ...], int]  # split; labels that apply; labels not stated; images


def _label_sets(rows: Iterable[Sequence[Any]]) -> list[LabelSet]:
    return [(split, tuple(labels), tuple(unknown), images) for split, labels, unknown, images in rows]


class LeftOut(Value):
    """A file that is not used, and why."""

    path: ForeignText
    reason: ForeignText


class Shard(Value):
    """One TFRecord file."""

    name: str = Field(description="path below the folder of the manifest")
    split: str
    records: int
    bytes: int
    sha256: str


class NearDuplicates(Value):
    """Images of eval and test that are nearly equal to images of other splits, or connected to such; by hash only."""

    assigned: BySplit = Field(description="split -> images that the hash had put into it")
    found: BySplit = Field(description="split -> those of them that belong with images of other splits")
    moved: bool = Field(description="whether they were moved to train; not if they were too many")


class Assigned(Value):
    """What the splits of the images follow from, besides their content."""

    fractions: dict[str, float] = Field(description="split -> its share of the images of which the data set names none")
    origin: str = Field(description="digest of the listing of the data and of the settings that matter to splits")
    earlier: str = Field(description='digest of the splits of earlier runs that were known; "" if there were none')


class ArrayFacts(Value):
    """What the arrays of a data set have in common, and sums over the valid pixels of train."""

    bands: tuple[str, ...]
    frames: int | None = Field(None, description="moments of a sequence at most; null for single images")
    shown: tuple[int, ...] = Field((0,), description="indices of the bands that are shown: red, green, blue; or grey")
    dtype: str = Field(description="type of the values")
    calendar: tuple[float, ...] | None = Field(
        None, description="dates of the moments, in days since 1970, where each is a file; empty if they are too many"
    )
    height: int
    width: int
    mean: tuple[float, ...] = Field((), description="of each band, over the valid pixels of train")
    deviation: tuple[float, ...] = Field((), description="of each band, likewise")
    least: tuple[float, ...] = Field((), description="of each band, likewise")
    most: tuple[float, ...] = Field((), description="of each band, likewise")
    constant: tuple[str, ...] = Field(
        (), description="bands with one value in all of train, but the one that says which pixels are valid"
    )
    copies: tuple[tuple[str, str], ...] = Field((), description="pairs of bands that are equal in every array of train")
    valid: dict[str, float] = Field({}, description="split -> share of the pixels, of all moments, that are valid")
    images: dict[str, Histograms] = Field(
        {}, description="split -> band -> bin of the mean of an image's valid pixels -> images; see `arrays.bins`"
    )


class PropertyHistograms(Value):
    """Histograms of image properties in one split."""

    all: Histograms = Field({}, description="of all images: property -> bin -> images")
    labels: dict[str, Histograms] = Field({}, description="label -> of the images it applies to; in train only")


class LabelCounts(Value):
    """How often each label occurs: known both of this run's data and of those behind a pushed model."""

    counts: BySplit = Field(description="split -> images")
    label_counts: dict[str, BySplit] = Field(description="label -> split -> images it applies to")
    unknown: dict[str, BySplit] = Field(description="label -> split -> images for which it was not stated")
    pixels: dict[str, tuple[PixelCounts, ...]] = Field(
        description="segmentation only: split -> for each label, then for ignored pixels: its pixels, the known "
        "pixels of the images it is in, all pixels of these images"
    )
    # A large data set of many labels has as many sets as images, and checking each costs more than reading the file.
    label_sets: Annotated[list[LabelSet], SkipValidation, BeforeValidator(_label_sets)] = Field(
        [], description="[split, labels that apply, labels that were not stated, images]"
    )


class DatasetManifest(LabelCounts):
    """Contents of the shards, written beside them as manifest.json."""

    version: Literal[2] = Field(2, description="of this format")
    labels: tuple[str, ...] = Field(description="in the order of the model's outputs")
    unlabelled: BySplit = Field(description="split -> images of which no label is known")
    quarantined: tuple[LeftOut, ...] = Field(description="files that could not be used")
    contradictory: tuple[LeftOut, ...] = Field(description="quarantined files that were given different labels")
    excluded: tuple[LeftOut, ...] = Field((), description="files that `data.exclude` leaves out")
    ignored: tuple[ForeignText, ...] = Field(description="paths of files that have no meaning in this layout")
    notes: tuple[ForeignText, ...] = Field(
        (), description="one sentence for each kind of thing that was left out, merged, guessed or converted"
    )
    changed: dict[str, int] = Field(description="reason -> images that were re-encoded")
    formats: dict[str, BySplit] = Field(description="format of the file -> split -> images")
    slices: dict[str, dict[str, BySplit]] = Field(description="column -> value -> split -> images")
    sizes: dict[str, tuple[int, int]] = Field(description='"width" and "height" -> smallest and largest in pixels')
    properties: dict[str, PropertyHistograms] = Field(description="split -> histograms of image properties")
    arrays: ArrayFacts | None = Field(None, description="what the arrays have in common; null for photos")
    near_duplicates: NearDuplicates | None = Field(
        None, description="nearly equal images that the hash had put into different splits; null if not looked for"
    )
    assigned: Assigned | None = Field(None, description="what the splits follow from; null if nothing was stored")
    files: tuple[Shard, ...] = Field((), description="the shards")
    records: str = Field("", description='digest of records.bin, the index of the shards; "" if there is none')
    content: str = Field(description="digest of everything that training can see of the images")


class KnownData(LabelCounts):
    """The part of a manifest that a pushed model keeps of the data it was trained on."""

    properties: PropertyHistograms = Field(description="histograms of image properties in train")
    bands: Histograms = Field({}, description="of arrays: band -> bin of the mean of an image -> images of train")
    assigned: Assigned | None = Field(None, description="what the splits follow from")

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of the model's outputs."""
        return tuple(self.label_counts)
