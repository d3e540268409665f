"""What a data set holds: pictures, labels, splits and masks, drawn by hypothesis; and what ingest stored of it."""

from __future__ import annotations

import io
import itertools
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from prepared import ingest

from components.data import features
from components.data.dataset import SPLITS
from components.ingest import manifest
from components.ingest.layouts import reading
from components.ingest.settings import Source

Pixels = NDArray[np.uint8]

BACKGROUND = "background"
# Legal names that YAML, JSON, CSV or a careless reader would make something else of.
STRANGE = (
    "no", "yes", "on", "off", "true", "False", "null", "None", "nan", "~", "010", "1e3", "0x10", "-1", "1_000", "1.0",
    "12:30", "2024-01-01", "a: b", "#1", "# 1", "a #b", "*x", "&x", "!x", "%x", "@x", "=1", "x=y", "a.b", "a b", "a  b",
    "a-b", "a_b", "ünï", "日本 語", "Ελλάδα", "🐈", "it's", "50%", "C++", "a&b", "<b>", "$HOME", "a\\b", "label",
    "file_name",
)  # fmt: skip
STEMS = ("a", "b c", "é", "x.y", "photo of a train", "test tube", "0", "IMG_1", "-x", "#1", "ß", "100%", "it's", "a+b")
FOLDERS = ("", "one/", "two words/", "é/ü/", "2024.01/", "#/")


@dataclass(frozen=True)
class Region:
    """A rectangle of a label: the pixels with left <= x < right and top <= y < bottom."""

    label: str
    left: int
    top: int
    right: int
    bottom: int

    @property
    def polygon(self) -> list[float]:
        """x, y of the corners."""
        return [self.left, self.top, self.right, self.top, self.right, self.bottom, self.left, self.bottom]


@dataclass(frozen=True)
class Picture:
    """One image.

    Attributes:
        name: path without the ending, such as "one/b c 3".
        pixels: uint8 [height, width, 3]; no other picture has the same.
        labels: those that apply.
        split: "train", "eval", "test", or None: nothing names it.
        regions: rectangles that do not overlap; what they leave is background.
    """

    name: str
    pixels: Pixels = field(repr=False)
    labels: tuple[str, ...]
    split: str | None
    regions: tuple[Region, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width, height."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def png(self) -> bytes:
        return encoded(self.pixels)

    def mask(self, values: dict[str, Any], dtype: Any = np.uint8) -> NDArray[Any]:
        """[height, width, ...]: the value of each pixel's label."""
        background = np.asarray(values[BACKGROUND], dtype)
        found = np.broadcast_to(background, (*self.pixels.shape[:2], *background.shape)).copy()
        for region in self.regions:
            found[region.top : region.bottom, region.left : region.right] = values[region.label]
        return found


@dataclass(frozen=True)
class World:
    """A data set: its labels, of which every one occurs, and its pictures."""

    labels: tuple[str, ...]
    pictures: tuple[Picture, ...]

    @property
    def splits(self) -> list[str]:
        """The splits that the pictures name."""
        return [split for split in SPLITS if any(p.split == split for p in self.pictures)]

    def of(self, split: str) -> list[Picture]:
        return [picture for picture in self.pictures if picture.split == split]


def encoded(pixels: NDArray[Any], **options: Any) -> bytes:
    """A PNG of them."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", **options)
    return out.getvalue()


def files(root: Path, found: dict[str, bytes | str]) -> None:
    """Writes files, and the folders that they need."""
    for name, content in found.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


# Drawn


def _folded(name: str) -> str:
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


def label_names(least: int = 2) -> st.SearchStrategy[list[str]]:
    """Names of labels that differ in more than case and blanks."""
    letters = st.characters(categories=("Ll", "Lu", "Lo", "Nd"), max_codepoint=0x3000)
    plain = st.text(letters, min_size=1, max_size=6).map(lambda name: unicodedata.normalize("NFC", name))
    return st.lists(st.sampled_from(STRANGE) | plain, min_size=least, max_size=4, unique_by=_folded)


@st.composite
def worlds(draw: st.DrawFn, kind: str, split: bool, least: int = 3) -> World:
    """Data sets of a few pictures.

    Args:
        draw: given by hypothesis.
        kind: "single", "multi" or "mask".
        split: whether every picture names its split, and every split is named; or else none.
        least: number of pictures.
    """
    labels = draw(label_names())
    count = draw(st.integers(max(least, len(labels)), least + 4))
    splits = draw(st.permutations([SPLITS[i % 3] for i in range(count)])) if split else [None] * count
    # So that pictures of equal size can have equal pixels in no two places.
    noise = np.random.default_rng(draw(st.integers(0, 999)))
    pictures = []
    for i in range(count):
        width, height = draw(st.integers(4, 9)), draw(st.integers(3, 9))
        pixels = noise.integers(0, 256, (height, width, 3), dtype=np.uint8)
        name = f"{draw(st.sampled_from(FOLDERS))}{draw(st.sampled_from(STEMS))} {i}"
        regions: tuple[Region, ...] = ()
        if kind == "single":
            chosen = (labels[i],) if i < len(labels) else (draw(st.sampled_from(labels)),)
        elif kind == "multi":
            some = draw(st.sets(st.sampled_from(labels), min_size=1)) | ({labels[i]} if i < len(labels) else set())
            chosen = tuple(sorted(some))
        else:
            regions = tuple(_regions(draw, [labels[i % len(labels)], draw(st.sampled_from(labels))], width, height))
            chosen = tuple(sorted({region.label for region in regions}))
        pictures.append(Picture(name, pixels, chosen, splits[i], regions))
    return World(tuple(labels), tuple(pictures))


def _regions(draw: st.DrawFn, labels: list[str], width: int, height: int) -> Any:
    """One rectangle of each label, in the left and in the right half; at least one pixel of the image is left over."""
    middle = width // 2
    for label, left, right in zip(labels, (0, middle), (middle, width), strict=True):
        top = draw(st.integers(0, height - 2))
        yield Region(label, left, top, draw(st.integers(left + 1, right)), draw(st.integers(top + 1, height - 1)))


# Stored


@dataclass(frozen=True)
class Stored:
    """What the shards hold of a picture."""

    labels: frozenset[str]
    unknown: frozenset[str]
    split: str
    mask: tuple[tuple[str, ...], ...]


def source_of(settings: dict[str, Any], root: Path) -> Source:
    """The source that "task" and the sections "data" and "labels" describe."""
    return Source(
        exclusive=settings["task"] == "single_label",
        per_pixel=settings["task"] == "segmentation",
        data={**settings["data"], "root": str(root / settings.get("root", ""))},  # type: ignore[arg-type]
        labels=settings.get("labels", {}),
    )


def store(source: Source, shards: Path) -> tuple[dict[bytes, Stored], Any]:
    """Ingests a data set. Returns what the shards hold, by the pixels of the pictures, and the manifest."""
    dataset, rule = reading.read(source)
    counted = ingest(dataset, shards, rule=rule)
    assert counted.quarantined == (), counted.quarantined
    names = dict(enumerate(dataset.labels))
    found: dict[bytes, Stored] = {}
    for split in SPLITS:
        for raw in tf.data.TFRecordDataset(manifest.verify(str(shards), split)).as_numpy_iterator():
            key, one = _stored(tf.train.Example.FromString(raw), split, names)
            assert key not in found, "two records of one picture"
            found[key] = one
    return found, counted


def _stored(example: tf.train.Example, split: str, names: dict[int, str]) -> tuple[bytes, Stored]:
    feature = example.features.feature

    def texts(name: str) -> frozenset[str]:
        return frozenset(value.decode() for value in feature[name].bytes_list.value)

    pixels = np.asarray(Image.open(io.BytesIO(feature[features.IMAGE].bytes_list.value[0])).convert("RGB"))
    mask: tuple[tuple[str, ...], ...] = ()
    labels = texts(features.LABEL)
    if features.MASK in feature:
        ids = np.asarray(Image.open(io.BytesIO(feature[features.MASK].bytes_list.value[0])))
        mask = tuple(tuple(names.get(int(i), "?") for i in row) for row in ids)
        labels = frozenset(itertools.chain.from_iterable(mask)) - {BACKGROUND}
    return key(pixels), Stored(labels, texts(features.UNKNOWN), split, mask)


def key(pixels: Pixels) -> bytes:
    """Tells the pictures apart."""
    return bytes(pixels.shape[:2]) + pixels.tobytes()


def expected(picture: Picture, task: str) -> tuple[frozenset[str], tuple[tuple[str, ...], ...]]:
    """The labels and the mask that must be stored."""
    if task != "segmentation":
        return frozenset(picture.labels), ()
    names = {label: label for label in (*picture.labels, BACKGROUND)}
    return frozenset(picture.labels), tuple(map(tuple, picture.mask(names, object).tolist()))
