"""Makes images of rare labels from those in train, checks them, and writes those that are used."""

from __future__ import annotations

import io
import itertools
import os
import statistics
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from numpy.typing import NDArray
from PIL import Image

from components.base import digests, progress
from components.base.artifact_files import SYNTHETIC, SYNTHETIC_IMAGES, SYNTHETIC_PICTURE
from components.base.errors import ConfigError
from components.base.files import write_atomically
from components.data import features
from components.ingest import manifest
from components.model import settings as training
from components.model.fitting.batches import Batches
from components.model.fitting.given import Given
from components.model.fitting.synthetic import OfLabel, Synthetic
from components.model.synthesis import checks, mixing, vae
from components.model.synthesis.settings import SynthesisSettings

Pixels = NDArray[np.uint8]

_LEAST = 2  # images of a label that others can be made of
_MOST = 2000  # images of a label that are learnt from
_OTHERS = 1000  # likewise, of a label of which none is made
_SIDE = 64  # most pixels of an image that a network draws
_SHOWN, _ROWS = 8, 20  # images of a label in the picture, and labels
_CHECKED = 1000  # images of a label that are checked: all pairs of them are compared


def conduct(given: Given, settings: SynthesisSettings, folder: str) -> None:
    """Makes images and writes them to a folder, with a record and a picture of them.

    Args:
        given: the shards; of the train split alone.
        settings: of the stage.
        folder: of the artifact.

    Raises:
        ConfigError: there is no such label.
        ImagegateError: the shards changed since ingest.
    """
    counts = {name: by_split["train"] for name, by_split in manifest.read(given.folder).label_counts.items()}
    told, seed = settings.synthetic, settings.seed
    wanted = missing(counts, told)
    possible = {name: number for name, number in wanted.items() if number > 0 and counts[name] >= _LEAST}
    images: dict[str, Pixels] = {}
    made: dict[str, Pixels] = {}
    if possible:
        images = _images(given, settings, possible)
        made = _made(told.method, images, possible, seed)
    labels, used = {}, {}
    for name, number in wanted.items():
        reason = _impossible(counts[name], number)
        if not reason:
            reason = checks.refusal(checks.thumbnails(made[name][:_CHECKED]), checks.thumbnails(images[name]))
        if not reason:
            used[name] = made[name]
        labels[name] = OfLabel(train=counts[name], images=0 if reason else number, reason=reason)
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, SYNTHETIC_IMAGES)
    _write(path, used, seed)
    if made:
        _picture(made, images).save(os.path.join(folder, SYNTHETIC_PICTURE), quality=85)
    record = Synthetic(method=told.method, labels=labels, sha256=digests.of_file(path))
    write_atomically(os.path.join(folder, SYNTHETIC), record.to_json(indent=1))


def missing(counts: Mapping[str, int], told: training.Synthetic) -> dict[str, int]:
    """How many images each label lacks that images are to be made of.

    Args:
        counts: label -> images in train.
        told: the section `training.synthetic`.

    Raises:
        ConfigError: there is no such label.

    >>> told = training.Synthetic(method="mixup")
    >>> missing({"cat": 90, "dog": 50, "emu": 4}, told)
    {'emu': 46}
    """
    goal = int(statistics.median(n for n in counts.values() if n)) if told.up_to == "median" else told.up_to
    names = [name for name, n in counts.items() if n < goal] if told.labels == "rare" else told.labels
    for name in names:
        if name not in counts:
            raise ConfigError(
                f"training.synthetic.labels: there is no label {name!r}; expected some of {', '.join(counts)}"
            )
    return {name: goal - counts[name] for name in names}


def _impossible(there: int, number: int) -> str:
    if number <= 0:
        return f"none was made: there are {there:,} images already"
    return "" if there >= _LEAST else f"none was made: expected {_LEAST} images in train, there is {there or 'none'}"


def _images(given: Given, settings: SynthesisSettings, possible: Mapping[str, int]) -> dict[str, Pixels]:
    """Reads what is learnt from: images of the labels that others are made of, and for one method of all labels."""
    method, size = settings.synthetic.method, settings.image_size
    data = Batches(
        given.folder,
        tft.TFTransformOutput(given.transform),
        kind=given.kind,
        image_size=size if method == "mixup" else small(size),
        batch_size=32,
        epochs=1,
        seed=settings.seed,
    )
    most = dict.fromkeys(given.names, _OTHERS if method == "conditional_vae" else 0) | dict.fromkeys(possible, _MOST)
    found: dict[str, list[Pixels]] = {name: [] for name, limit in most.items() if limit}
    done = 0
    for pixels, target, _ in data.once("train"):
        for image, row in zip(pixels.numpy(), target.numpy(), strict=True):
            name = given.names[int(row.argmax())]
            if row.max() > 0 and len(found.get(name, ())) < most[name]:
                found[name].append(image)
        done += len(target)
        progress.report("reading train", done, data.count("train"))
    return {name: np.stack(images) for name, images in found.items() if images}


def small(size: tuple[int, int]) -> tuple[int, int]:
    """The size of an image that a network draws: of about the same shape, with sides that its strides divide.

    >>> small((224, 224)), small((100, 300)), small((32, 32))
    ((64, 64), (24, 64), (32, 32))
    """
    scale = min(1.0, _SIDE / max(size))
    height, width = (max(1, round(side * scale / vae.STRIDE)) * vae.STRIDE for side in size)
    return height, width


def _made(method: str, images: Mapping[str, Pixels], possible: Mapping[str, int], seed: int) -> dict[str, Pixels]:
    """Makes as many images of each label as are wanted."""
    if method == "mixup":
        return {name: mixing.mix(images[name], number, seed) for name, number in possible.items()}
    if method == "vae":
        found = {}
        for name, number in possible.items():
            model = vae.train(images[name], np.zeros((len(images[name]), 0), np.float32), seed, f"learning {name}")
            found[name] = vae.sample(model, np.zeros((number, 0), np.float32), seed)
        return found
    names = list(images)
    label = np.repeat(np.eye(len(names), dtype=np.float32), [len(images[name]) for name in names], axis=0)
    model = vae.train(np.concatenate([images[name] for name in names]), label, seed, "learning the labels")
    rows = np.eye(len(names), dtype=np.float32)
    return {name: vae.sample(model, rows[[names.index(name)] * number], seed) for name, number in possible.items()}


def _write(path: str, made: Mapping[str, Pixels], seed: int) -> None:
    """Writes the images in a random order."""
    rows = [(name, i) for name, images in made.items() for i in range(len(images))]
    np.random.default_rng(seed).shuffle(rows)
    with tf.io.TFRecordWriter(path) as writer:
        for name, i in rows:
            png = io.BytesIO()
            Image.fromarray(made[name][int(i)]).save(png, "PNG")
            bytes_ = {features.IMAGE: png.getvalue(), features.LABEL: name.encode(), features.FORMAT: b"PNG"}
            bytes_[features.PATH] = f"synthetic/{name}/{int(i) + 1}.png".encode()
            feature = {key: tf.train.Feature(bytes_list={"value": [value]}) for key, value in bytes_.items()}
            feature[features.WEIGHT] = tf.train.Feature(float_list={"value": [1.0]})
            writer.write(tf.train.Example(features={"feature": feature}).SerializeToString())


def _picture(made: Mapping[str, Pixels], images: Mapping[str, Pixels]) -> Image.Image:
    """Two rows for each of the first labels: images that were made; the training images that they are nearest to."""
    rows = []
    for name, drawn in itertools.islice(made.items(), _ROWS):
        shown = drawn[:_SHOWN]
        apart = checks.distances(checks.thumbnails(shown), checks.thumbnails(images[name]))
        for row in (shown, images[name][apart.argmin(axis=1)]):
            tiles = [np.asarray(Image.fromarray(tile).resize((_SIDE, _SIDE))) for tile in row]
            tiles += [np.full((_SIDE, _SIDE, 3), 255, np.uint8)] * (_SHOWN - len(tiles))
            rows.append(np.concatenate(tiles, axis=1))
    return Image.fromarray(np.concatenate(rows))
