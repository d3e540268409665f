"""Batches for training from the shards of one ingest, encoded by the transform graph, in an order set by the seed."""

from __future__ import annotations

import copy
import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from numpy.typing import NDArray

from components.base import machine, progress
from components.data import features, images
from components.data.arrays import stored
from components.data.dataset import UNLABELLED
from components.data.manifest import DatasetManifest
from components.ingest import manifest
from components.labels import weights
from components.labels.kind import LabelKind
from components.labels.learning.pixels import decode_mask
from components.model.features import feature_store
from components.model.features.feature_store import FeatureStore
from components.model.fitting import synthetic
from components.model.fitting.regression import Examples
from components.model.networks.bands.inputs import given, shape

_THREADS = machine.cores()
_AHEAD = 2  # batches that are prepared while the network computes, however many threads there are: memory
# Decoded images are kept in memory between epochs up to this many bytes; beyond, every epoch decodes again.
_CACHE_BYTES = 512 << 20
_READ = 256  # encoded images that are read at once where they are not decoded
_PART = 4096  # images whose features are stored together
_CHANCES = 1 << 20  # steps in which chance decides
_PASSES = 1 << 20  # more than an epoch takes
HELD_OUT = "held_out"  # the split of a fold
_SHUFFLE = 2048  # encoded images in the shuffle buffer, where decoded ones are not kept

# The functions of the data sets hold no Python `if` or loop over tensors. Without this, TensorFlow would rewrite their
# source and that of all that they call, tf.Transform included, which takes seconds.
_plain = tf.autograph.experimental.do_not_convert

Augment = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


@dataclass(frozen=True)
class Others:
    """Images without labels that training sees beside the labelled ones.

    Attributes:
        each: how many of them a batch gets.
        steps: least batches of an epoch, which may go through the labelled images more than once; fewer if all others
            have been in one batch by then.
        target: float32 [m, K], what was guessed of the m images in the order of the shards; None: all is unknown.
        weight: float32 [m], example weights; None for ones.
    """

    each: int
    steps: int
    target: NDArray[np.float32] | None = None
    weight: NDArray[np.float32] | None = None


class Batches:
    """Datasets of (images uint8 [batch, H, W, 3], targets, example weights float32 [batch]).

    In place of photos, arrays come as "pixels" [batch, T, H, W, B] of their type, "valid" bool [batch, T, H, W] and
    "days" float32 [batch, T]; single images have no T and no days.

    Targets are float32 [batch, K], 1 applies, 0 does not, -1 unknown; for masks uint8 [batch, H, W], label ids.

    Args:
        folder: folder of the shards.
        transform: output of Transform.
        kind: the label kind.
        image_size: height and width in pixels.
        batch_size: images per batch.
        epochs: number of epochs; with more than one, decoded images are kept if they fit.
        seed: seed of the order.
        least_steps: of an epoch of training; with fewer images, it goes through them more than once.
        balanced: whether an epoch of training draws images so that each label is to be expected as often; for one
            label per image.
        unlabelled: folder of the shards of images without labels, or "". They are the split `UNLABELLED`, with the
            images of train of which no label is known.
        devices: how many share a batch of training. With several, an epoch leaves out the images that fill no batch.

    Attributes:
        arrays: what the arrays of the shards have in common; None for photos.
        image_size: height and width in pixels; those of the arrays, which keep their size.
        counted: the manifest of the shards; its counts of train have the synthetic images, if train has any.
    """

    def __init__(
        self,
        folder: str,
        transform: tft.TFTransformOutput,
        *,
        kind: LabelKind,
        image_size: tuple[int, int],
        batch_size: int,
        epochs: int,
        seed: int,
        least_steps: int = 1,
        balanced: bool = False,
        unlabelled: str = "",
        devices: int = 1,
    ) -> None:
        self._pool, self._synthetic = unlabelled, ""
        self._others: Others | None = None
        self._fold: tuple[int, int] | None = None
        self._folder, self._batch_size, self._devices = folder, batch_size, devices
        self._masks, self._epochs, self._seed = kind.per_pixel, epochs, seed
        self.counted = told = manifest.read(folder)
        self.arrays = told.arrays
        self.image_size = image_size if told.arrays is None else (told.arrays.height, told.arrays.width)
        self._labels = len(told.labels)
        pool = manifest.read(unlabelled).counts[UNLABELLED] if unlabelled else 0
        self._blank = dict.fromkeys(told.counts, 0) if self._masks else told.unlabelled
        self._counts = told.counts | {UNLABELLED: pool + self._blank["train"]}
        self._copies = _copies(told) if balanced else None
        self._least_steps = least_steps
        self._passes = self._passes_of(least_steps)
        self._spec = transform.raw_feature_spec()
        self._transform = transform.transform_features_layer()

    def train(self, augment: Augment | None = None, again: int = 0) -> tf.data.Dataset:
        """Yields the train split, shuffled anew each epoch; order and augmentation depend on the seed and `again`."""
        seed = self._seed + again
        data = self._batches("train", order=seed)
        if self._others is not None:
            data = self._beside(data, self._others, seed)
        if augment is None:
            return data
        seeds = tf.data.Dataset.random(seed, rerandomize_each_iteration=True).batch(2)

        @_plain
        def changed(batch: tuple[Any, Any, Any], seed: tf.Tensor) -> tuple[Any, Any, Any]:
            pixels, masks, weight = batch
            return *augment(pixels, masks, tf.cast(seed % 2**31, tf.int32)), weight

        return ready(tf.data.Dataset.zip(data, seeds).map(changed, _THREADS))

    @property
    def labels(self) -> int:
        """Number of labels."""
        return self._labels

    @property
    def batch_size(self) -> int:
        """Images of a batch of training."""
        return self._batch_size + (self._others.each if self._others else 0)

    def beside(self, others: Others) -> Batches:
        """The same, but that training sees images without labels as well."""
        found = copy.copy(self)
        steps = max(self._least_steps, min(others.steps, -(-self._counts[UNLABELLED] // others.each)))
        found._others, found._passes = others, self._passes_of(steps)
        return found

    def with_synthetic(self, folder: str) -> Batches:
        """The same, but that train has the images that were made for rare labels as well.

        Args:
            folder: of the output of Synthesis.
        """
        found = copy.copy(self)
        found._synthetic, found.counted = folder, synthetic.counted(self.counted, synthetic.read(folder))
        found._counts = self._counts | {"train": found.counted.counts["train"]}
        found._copies = None if self._copies is None else _copies(found.counted)
        found._passes = found._passes_of(self._least_steps)
        return found

    def fold(self, index: int, of: int) -> Batches:
        """The same for cross-validation: a fold of train is a split of its own, `HELD_OUT`, and no part of train.

        The digest of an image decides its fold, so copies are in the same one.
        """
        found = copy.copy(self)
        found._fold = index, of
        rest = sum(1 for _ in found._records("train"))
        found._counts = self._counts | {"train": rest, HELD_OUT: self._counts["train"] - rest}
        found._passes = found._passes_of(self._least_steps)
        return found

    def eval(self) -> tf.data.Dataset:
        """Yields the eval split in the order of the shards."""
        return self._batches("eval")

    def count(self, split: str) -> int:
        """Counts the images in a split."""
        return int(self._counts[split])

    def labelled(self, split: str) -> int:
        """Counts the images in train, eval or test of which a label is known."""
        return self.count(split) - self._blank[split]

    def kept_bytes(self) -> int:
        """Bytes of decoded images that are kept between epochs."""
        return sum(self._kept(self._counts[split]) for split in ("train", "eval"))

    def once(self, split: str, most: int | None = None) -> tf.data.Dataset:
        """Yields a split once, in the order of the shards; if it has more than `most` images, only every n-th."""
        return self._batches(split, keep=False, every=-(-self.count(split) // (most or sys.maxsize)))

    def label_weights(self) -> list[float]:
        """Reads the label weights [K] that Transform computed over train; with synthetic images, computes them."""
        if self._synthetic:
            own = [by_split["train"] for by_split in self.counted.label_counts.values()]
            return weights.label_weights(own, [sum(own)] * len(own), len(own)).tolist()
        path = manifest.verify(self._folder, "train")
        record = next(iter(tf.data.TFRecordDataset(path).batch(1)))
        row = self._transform(tf.io.parse_example(record, self._spec))[features.LABEL_WEIGHTS]
        return [float(weight) for weight in row[0]]

    def pooled(self, split: str, extractor: keras.Model, store: FeatureStore) -> Examples:
        """Computes the extractor's features of a split; those that the store has already are taken from there."""
        digests, target, weight = self._told(split)
        found = store.read()
        missing = np.array([digest not in found for digest in digests])

        def features_of(pixels: Any) -> tf.Tensor:
            return extractor(tf.nest.map_structure(lambda one: tf.cast(one, tf.float32), pixels), training=False)

        extract = tf.function(features_of, reduce_retracing=True)
        left = iter([digest for digest, absent in zip(digests, missing, strict=True) if absent])
        done, new = len(digests) - int(missing.sum()), dict[bytes, NDArray[np.float32]]()
        for pixels in self._selected(split, missing) if missing.any() else ():
            rows = extract(pixels).numpy()
            new |= zip(itertools.islice(left, len(rows)), rows, strict=True)
            done += len(rows)
            progress.report(f"features of {split}", done, len(digests))
            if len(new) >= _PART:  # what a killed run computed stays
                store.add(new)
                found, new = found | new, {}
        store.add(new)
        found |= new
        return Examples(np.stack([found[digest] for digest in digests]), target, weight)

    def of_features(self, examples: Examples, *, shuffle: bool) -> tf.data.Dataset:
        """Yields batches of features, targets and weights; shuffled anew each epoch, or in their order."""
        data = tf.data.Dataset.from_tensor_slices((examples.features, examples.target, examples.weight))
        if shuffle:
            data = data.shuffle(len(examples.weight), seed=self._seed)
        return ready(data.batch(self._batch_size))

    def _told(self, split: str) -> tuple[list[bytes], NDArray[np.float32], NDArray[np.float32]]:
        """Digests of the encoded images of a split, their targets and weights."""
        data = self._records(split).map(self._read, _THREADS)
        digests: list[bytes] = []
        columns = []
        for encoded, target, weight in ready(data.batch(_READ).map(self._encode, _AHEAD)):
            digests += [feature_store.digest(image) for image in encoded.numpy()]
            columns.append((target.numpy(), weight.numpy()))
        targets, weights = (np.concatenate(column) for column in zip(*columns, strict=True))
        return digests, targets, weights

    def _selected(self, split: str, rows: NDArray[np.bool_]) -> tf.data.Dataset:
        """Yields batches of decoded images of those records of a split that `rows` marks."""
        wanted = tf.constant(rows)
        data = self._records(split).enumerate()
        data = data.filter(lambda index, _: wanted[index]).map(
            _plain(lambda _, record: self._parse(record)[0]), _THREADS
        )
        return ready(data.batch(self._batch_size))

    def _batches(self, split: str, *, order: int | None = None, keep: bool = True, every: int = 1) -> tf.data.Dataset:
        """Builds the dataset of a split, shuffled with the seed `order`, or in the order of the shards.

        It will `keep` decoded images for the next epoch, if there is one and they fit.
        """
        shuffle = order is not None
        count = -(-self._counts[split] // every)
        data = self._records(split, parallel=shuffle)
        data = data.shard(every, 0) if every > 1 else data
        kept = keep and self._kept(count)
        if kept:
            data = data.map(self._parse, _THREADS).cache()
        if order is not None:
            # One order for all passes: an epoch of a resumed training draws as many orders as one that was not killed.
            count *= self._passes
            size = count if kept else min(count, _SHUFFLE)  # encoded bytes are smaller than pixels
            if self._copies is None:
                data = data.repeat(self._passes).shuffle(size, seed=order, reshuffle_each_iteration=True)
            else:
                data = self._drawn(data, count, size, order)
        if not kept:
            data = data.map(self._parse, _THREADS)
        size = self._batch_size
        if self._devices > 1:
            # Keras 3.15 stops if the parts of the first batch differ.
            size = max(1, min(size, count) // self._devices) * self._devices
        # A device without an image would have no batch statistics; each epoch leaves out other images.
        whole = shuffle and self._devices > 1 and count >= size
        batches = data.batch(size, drop_remainder=whole).map(self._encode, _AHEAD)
        # tf.data does not know how many records a file has, but the manifest does.
        known = tf.data.experimental.assert_cardinality(count // size if whole else -(-count // size))
        return ready(batches.apply(known))

    def _records(self, split: str, *, parallel: bool = False) -> tf.data.Dataset:
        """Reads the serialised examples of a split, in the order of the shards or several files at once."""
        if split == UNLABELLED:
            blank = tf.data.TFRecordDataset(manifest.verify(self._folder, "train")).filter(self._is_blank)
            folder = manifest.verify(self._pool, UNLABELLED) if self._pool else []
            return tf.data.TFRecordDataset(folder).concatenate(blank) if folder else blank
        held = split == HELD_OUT
        paths = manifest.verify(self._folder, "train" if held else split)
        if self._synthetic and split == "train":
            paths = [*paths, synthetic.verified(self._synthetic)]
        data = tf.data.TFRecordDataset(paths, num_parallel_reads=min(4, len(paths)) if parallel else None)
        if self._fold is None or split not in ("train", HELD_OUT):
            return data
        index, of = self._fold
        digest = {features.SHA256: tf.io.FixedLenFeature([], tf.string)}

        @_plain
        def belongs(record: tf.Tensor) -> tf.Tensor:
            content = tf.io.parse_single_example(record, digest)[features.SHA256]
            return (tf.strings.to_hash_bucket_fast(content, of) == index) == held

        return data.filter(belongs)

    @_plain
    def _is_blank(self, record: tf.Tensor) -> tf.Tensor:
        """Whether no label of an image is known."""
        if self._masks:
            return tf.constant(False)
        names = {name: tf.io.VarLenFeature(tf.string) for name in (features.LABEL, features.UNKNOWN)}
        parsed = tf.io.parse_single_example(record, names)
        label, unknown = (tf.size(parsed[name].values) for name in (features.LABEL, features.UNKNOWN))
        return tf.logical_and(label == 0, unknown >= self._labels)

    def _beside(self, data: tf.data.Dataset, others: Others, seed: int) -> tf.data.Dataset:
        """Adds images without labels to every batch, drawn anew for each epoch.

        An epoch may need few of many: it begins anywhere in the shards, or images far behind would never be seen.
        """
        count = self._counts[UNLABELLED]
        unknown = (
            tf.fill(self.image_size, np.uint8(features.IGNORED_ID)) if self._masks else tf.fill([self._labels], -1.0)
        )
        wanted = {features.IMAGE: tf.io.FixedLenFeature([], tf.string)}

        @_plain
        def parsed(index: tf.Tensor, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            pixels = images.decode(tf.io.parse_single_example(record, wanted)[features.IMAGE], self.image_size)
            target = unknown if others.target is None else tf.gather(others.target, index)
            return pixels, target, tf.ones([]) if others.weight is None else tf.gather(others.weight, index)

        @_plain
        def joined(one: tuple[Any, ...], other: tuple[Any, ...]) -> tuple[tf.Tensor, ...]:
            return tuple(tf.concat([a, b], 0) for a, b in zip(one, other, strict=True))

        records = self._records(UNLABELLED).enumerate()

        def epoch(own: tf.Tensor) -> tf.data.Dataset:
            turned = records.skip(own % count).concatenate(records.take(own % count))
            size = min(count, _SHUFFLE)
            passes = tf.data.Dataset.range(own, own + _PASSES)
            return passes.flat_map(lambda seed: turned.shuffle(size, seed=seed, reshuffle_each_iteration=False))

        pool = _numbers(seed).take(1).flat_map(epoch).map(parsed, _THREADS).batch(others.each)
        both = tf.data.Dataset.zip(data, pool).map(joined, _AHEAD)
        return ready(both.apply(tf.data.experimental.assert_cardinality(data.cardinality())))

    def _passes_of(self, steps: int) -> int:
        """How often an epoch goes through train, to have at least so many batches."""
        return (steps - 1) * self._batch_size // max(1, self._counts["train"]) + 1

    def _drawn(self, data: tf.data.Dataset, count: int, size: int, seed: int) -> tf.data.Dataset:
        """Yields `count` elements, each as often as its label is to be drawn, from as many passes as that takes.

        Chance decides where that is no whole number, and which elements come early in a pass. One number decides all
        of it for an epoch, however far it is read, so that a resumed training draws as one that was not killed.
        """
        copies = self._copies or {}
        keys = tf.lookup.KeyValueTensorInitializer(list(copies), tf.constant(list(copies.values())))
        table = tf.lookup.StaticHashTable(keys, 0.0)

        def repeated(element: Any, chance: tf.Tensor) -> tf.data.Dataset:
            parsed = element[1] if isinstance(element, tuple) else self._read(element)[1]
            expected = tf.reduce_sum(table.lookup(parsed[features.LABEL].values))  # of the one label, or none
            number = tf.floor(expected + tf.cast(chance % _CHANCES, tf.float32) / _CHANCES)
            return tf.data.Dataset.from_tensors(element).repeat(tf.cast(number, tf.int64))

        def passed(own: tf.Tensor) -> tf.data.Dataset:
            mixed = data.shuffle(size, seed=own, reshuffle_each_iteration=False)
            return tf.data.Dataset.zip(mixed, tf.data.Dataset.random(own)).flat_map(repeated)

        def epoch(own: tf.Tensor) -> tf.data.Dataset:
            found = tf.data.Dataset.range(own, own + _PASSES).flat_map(passed).take(count)
            return found.shuffle(size, seed=own, reshuffle_each_iteration=False)

        return _numbers(seed).take(1).flat_map(epoch)

    def _kept(self, count: int) -> int:
        """Bytes of so many decoded images, if they are kept; else 0."""
        values = 3
        if (told := self.arrays) is not None:
            values = (told.frames or 1) * (len(told.bands) * np.dtype(told.dtype).itemsize + 1)
        decoded = count * self.image_size[0] * self.image_size[1] * (values + self._masks)
        return decoded if self._epochs > 1 and decoded <= _CACHE_BYTES else 0

    @_plain
    def _parse(self, record: tf.Tensor) -> tuple[tf.Tensor, dict[str, Any]]:
        """Parses a record; returns its decoded image, and its other features that are needed."""
        encoded, parsed = self._read(record)
        if self.arrays is None:
            return images.decode(encoded, self.image_size), parsed
        return given(stored.decode(encoded, self.arrays.dtype, shape(self.arrays)), self.arrays), parsed

    @_plain
    def _read(self, record: tf.Tensor) -> tuple[tf.Tensor, dict[str, Any]]:
        """Parses a record; returns its encoded image, and its other features that are needed."""
        wanted = {features.IMAGE: tf.io.FixedLenFeature([], tf.string)}
        wanted[features.WEIGHT] = tf.io.FixedLenFeature([], tf.float32)
        if self._masks:
            wanted[features.MASK] = tf.io.FixedLenFeature([], tf.string)
        else:
            wanted |= {name: tf.io.VarLenFeature(tf.string) for name in (features.LABEL, features.UNKNOWN)}
        parsed = tf.io.parse_single_example(record, wanted)
        if self._masks:
            parsed[features.MASK] = decode_mask(parsed[features.MASK], self.image_size)
        return parsed.pop(features.IMAGE), parsed

    @_plain
    def _encode(self, pixels: tf.Tensor, parsed: dict[str, Any]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Applies the transform graph to a batch; features that it does not use are filled instead of read."""
        if self._masks:
            return pixels, parsed[features.MASK], parsed[features.WEIGHT]
        count = tf.shape(parsed[features.WEIGHT])[0]
        inputs = {name: parsed[name] if name in parsed else _filled(spec, count) for name, spec in self._spec.items()}
        return pixels, self._transform(inputs)[features.TARGET], parsed[features.WEIGHT]


def _numbers(seed: int) -> tf.data.Dataset:
    """Random numbers, other ones in each iteration, of 32 bits, so that those of the passes that follow have 64."""
    return tf.data.Dataset.random(seed, rerandomize_each_iteration=True).map(lambda own: own % 2**32)


def ready(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Prepares batches ahead, with fixed numbers of threads and batches.

    TensorFlow's tuning of these numbers gains nothing here, and an iterator that is dropped, as at the end of each
    epoch, waits for its tuner, up to ten seconds (TensorFlow 2.21).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(_AHEAD).with_options(options)


def _copies(told: DatasetManifest) -> dict[str, float]:
    """How often an image of each label is drawn in an epoch of as many images as train has, each label as often."""
    counts = {label: by_split["train"] for label, by_split in told.label_counts.items() if by_split["train"]}
    return {label: sum(counts.values()) / len(counts) / count for label, count in counts.items()}


def _filled(spec: tf.io.FixedLenFeature, count: tf.Tensor) -> tf.Tensor:
    shape = [count, *spec.shape]
    return tf.fill(shape, "") if spec.dtype == tf.string else tf.zeros(shape, spec.dtype)
