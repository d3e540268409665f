"""The exported SavedModel, which turns encoded images or tf.Examples into label names and probabilities, or masks."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from components.base.artifact_files import DECISIONS_FILE
from components.data import features, images
from components.data.arrays import stored, validity
from components.data.arrays.spec import Bands
from components.data.manifest import ArrayFacts
from components.data.untrusted import rows
from components.labels.kind import LabelKind
from components.labels.learning.heads import head_of
from components.labels.learning.pixels import decode_mask
from components.labels.outputs import (
    ABSTAIN,
    CALIBRATION,
    CONFIDENCE,
    CONFUSION,
    DECISIONS,
    ERROR,
    EVALUATE,
    FAMILIARITY,
    LABELS,
    LOGITS,
    MASK,
    OBSERVED,
    PROBABILITIES,
    UNCALIBRATED,
)
from components.metrics import curves
from components.model.networks.bands import DAYS, PIXELS, VALID
from components.model.networks.bands.inputs import given, shape
from components.model.networks.network import pooled

if TYPE_CHECKING:
    from components.model.decisions import Decisions
    from components.model.networks.network import Parts

FORMAT = 2  # of a pushed model: what its signatures take and answer
COMPARABLE = (1, 2)  # formats whose signature `evaluate` is the same; a candidate is compared with no others
_CERTAIN = 1e-6  # a detector's familiarity is kept this far from 0 and 1, whose logits are infinite


class _Served(tf.Module):
    """The part that the signatures of all label kinds share.

    Clients send anything: what `serving_default` and `examples` refuse is a row of zeros that abstains and says why.
    `evaluate` gets the images that ingest stored, decoded as in training; one that cannot be decoded is an error.
    """

    def __init__(
        self,
        parts: Parts,
        labels: Sequence[str],
        image_size: tuple[int, int],
        kind: LabelKind,
        decisions: Decisions,
        bits: int | None,
    ) -> None:
        super().__init__()
        # `parts.model` is not exported: its augmentation is for training only, and its random state cannot be saved.
        self.extractor, self.head = parts.extractor, parts.head
        self.names = tf.constant(list(labels))
        self._size, self._bits, self._classes = image_size, bits, len(labels)
        self._arrays: ArrayFacts | None = None
        self._per_pixel = kind.per_pixel
        self._probabilities = head_of(kind).probabilities
        self._scale, self._bias = (tf.constant(x, tf.float32) for x in (decisions.scale, decisions.bias))
        self._thresholds = tf.constant(decisions.thresholds, tf.float32)
        self._below, self._neighbour = decisions.abstain_below, decisions.reference.neighbour
        self.reference = tf.Variable(decisions.reference.features, trainable=False)
        self.distances = tf.Variable(decisions.reference.distances, trainable=False)
        # By how many distances are as large. A table, because one graph divides and another multiplies by the inverse.
        count = len(decisions.reference.distances)
        self.shares = tf.Variable(np.arange(count + 1, dtype=np.float32) / np.float32(count), trainable=False)
        # No signature, because servers get files: `components.exports` converts it to the formats of other runtimes.
        spec = tf.TensorSpec([None, *image_size, 3], tf.uint8, name=PIXELS)
        self.pixels = tf.function(self._of_pixels, input_signature=[spec], autograph=False)

    def parsed(self, examples: tf.Tensor, *wanted: str) -> list[tf.Tensor]:
        """The features of serialised tf.Examples, string [batch] each."""
        spec = {name: tf.io.FixedLenFeature([], tf.string) for name in wanted}
        parsed = tf.io.parse_example(examples, spec)
        return [parsed[name] for name in wanted]

    def respond(self, raw: tf.Tensor, familiarity: tf.Tensor, error: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers images from their logits before calibration, familiarity and errors."""
        raise NotImplementedError

    def photos(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers encoded photos, string [batch]."""
        pixels, error = rows.decode(image_bytes, self._size, self._bits)
        raw, familiarity = self._answer(pixels)
        return self.respond(raw, familiarity, error)

    def takes(self, told: ArrayFacts, bands: Bands) -> None:
        """From now on, it takes arrays in place of photos."""
        self._arrays, self._bands = told, bands
        self.pixels = None  # exports take photos only

    def _evaluated(self, encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes the logits before calibration, and the familiarity [batch], of stored images."""
        if self._arrays is not None:
            return self._answer(self.unpacked(encoded))
        pixels = tf.map_fn(
            lambda data: images.decode(data, self._size),
            encoded,
            fn_output_signature=tf.TensorSpec([*self._size, 3], tf.uint8),
            parallel_iterations=32,
        )
        return self._answer(pixels)

    def unpacked(self, encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        """What the network takes of stored arrays, string [batch]."""
        told = self._arrays
        assert told is not None
        size = shape(told)
        types = {PIXELS: tf.as_dtype(told.dtype), VALID: tf.bool, DAYS: tf.float32}
        given_ = given((tf.zeros(size), tf.zeros(size[:3]), tf.zeros(size[:1])), told)
        return tf.map_fn(
            lambda data: given(stored.decode(data, told.dtype, size), told),
            encoded,
            fn_output_signature={name: tf.TensorSpec(t.shape, types[name]) for name, t in given_.items()},
            parallel_iterations=32,
        )

    def answered(self, pixels: tf.Tensor, valid: tf.Tensor, days: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """Answers arrays: those of clients, of which anything may be invalid."""
        there = tf.logical_and(valid, validity.valid(pixels, self._bands, xp=tf.experimental.numpy))
        found = {PIXELS: pixels, VALID: there} | ({} if days is None else {DAYS: days})
        raw, familiarity = self._answer(found)
        seen = there if days is None else tf.reduce_any(there, axis=1)
        error = tf.where(tf.reduce_any(seen, axis=[1, 2]), "", "no pixel is valid")
        return self.respond(raw, familiarity, error) | ({OBSERVED: seen} if self._per_pixel else {})

    @tf.function(autograph=False)
    def _answer(self, pixels: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes the logits before calibration, and the familiarity [batch]; all signatures call one graph of it."""
        count = tf.shape(tf.nest.flatten(pixels)[0])[0]

        def some(tensor: tf.Tensor) -> tf.Tensor:  # not every layer takes an empty batch
            missing = tf.maximum(1 - count, 0)
            return tf.pad(tf.cast(tensor, tf.float32), [[0, missing], *[[0, 0]] * (len(tensor.shape) - 1)])

        features = self.extractor(tf.nest.map_structure(some, pixels), training=False)
        logits = tf.cast(self.head(features, training=False), tf.float32)
        return logits[:count], self._familiarity(pooled(features))[:count]

    def _of_pixels(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers decoded photos, uint8 [batch, H, W, 3], at least one: without decisions and familiarity."""
        raw = self.head(self.extractor(tf.cast(pixels, tf.float32), training=False), training=False)
        return self.answers_of(tf.cast(raw, tf.float32))

    def answers_of(self, raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """The answers that follow from the logits before calibration alone."""
        raise NotImplementedError

    def _names(self, count: tf.Tensor) -> tf.Tensor:
        return tf.tile(self.names[tf.newaxis], [count, 1])

    def _familiarity(self, features: tf.Tensor) -> tf.Tensor:
        """Computes the familiarity [batch] of pooled features as `components.model.familiarity` does."""
        similar = tf.linalg.matmul(tf.math.l2_normalize(features, axis=1), self.reference, transpose_b=True)
        nearest = tf.math.top_k(similar, self._neighbour).values[:, -1]
        distance = tf.sqrt(tf.maximum(2 - 2 * nearest, 0))
        farther = tf.shape(self.distances)[0] - tf.searchsorted(self.distances, distance, side="left")
        return tf.gather(self.shares, farther)

    def _abstention(self, familiarity: tf.Tensor) -> dict[str, tf.Tensor]:
        return {FAMILIARITY: familiarity, ABSTAIN: familiarity < self._below}


def _rows(answers: dict[str, tf.Tensor], error: tf.Tensor) -> dict[str, tf.Tensor]:
    """Adds the errors [batch]; each refused row becomes zeros that abstain, with the names of the labels."""

    def kept(name: str, answer: tf.Tensor) -> tf.Tensor:
        if name == LABELS:
            return answer
        otherwise = tf.ones_like(answer) if name == ABSTAIN else tf.zeros_like(answer)
        fine = tf.reshape(error == "", tf.concat([tf.shape(error), tf.ones([answer.shape.rank - 1], tf.int32)], axis=0))
        return tf.where(fine, answer, otherwise)

    return {name: kept(name, answer) for name, answer in answers.items()} | {ERROR: error}


class _Labels(_Served):
    """Signatures for labels of whole images."""

    def respond(self, raw: tf.Tensor, familiarity: tf.Tensor, error: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers images from their logits before calibration, familiarity and errors.

        Returns:
            [batch, K]: labels string, probabilities and logits float32, decisions bool; [batch]: familiarity float32,
            abstain bool, error string.
        """
        logits, probabilities = self._calibrated(raw, familiarity)
        answers = {
            LABELS: self._names(tf.shape(logits)[0]),
            PROBABILITIES: probabilities,
            LOGITS: logits,
            DECISIONS: probabilities >= self._thresholds,
        }
        return _rows(answers | self._abstention(familiarity), error)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")], autograph=False)
    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers tf.Examples for the evaluation: without labels and logits, but with uncalibrated [batch, K]."""
        raw, familiarity = self._evaluated(*self.parsed(examples, features.IMAGE))
        _, probabilities = self._calibrated(raw, familiarity)
        return {
            PROBABILITIES: probabilities,
            UNCALIBRATED: self._uncalibrated(raw, familiarity),
            DECISIONS: probabilities >= self._thresholds,
        } | self._abstention(familiarity)

    def answers_of(self, raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """Calibrated probabilities float32 [batch, K]."""
        return {PROBABILITIES: self._probabilities(raw * self._scale + self._bias)}

    def _calibrated(self, raw: tf.Tensor, familiarity: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns calibrated logits and probabilities."""
        logits = raw * self._scale + self._bias
        return logits, self._probabilities(logits)

    def _uncalibrated(self, raw: tf.Tensor, familiarity: tf.Tensor) -> tf.Tensor:
        return self._probabilities(raw)


class _Detector(_Labels):
    """Signatures for a single label: the familiarity of an image serves as the probability of the label."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.pixels = None  # its answers are no familiarity

    def _calibrated(self, raw: tf.Tensor, familiarity: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        inside = tf.clip_by_value(familiarity, _CERTAIN, 1 - _CERTAIN)[:, tf.newaxis]
        return tf.math.log(inside) - tf.math.log1p(-inside), familiarity[:, tf.newaxis]

    def _uncalibrated(self, raw: tf.Tensor, familiarity: tf.Tensor) -> tf.Tensor:
        return familiarity[:, tf.newaxis]


class _Masks(_Served):
    """Signatures for a label per pixel."""

    def respond(self, raw: tf.Tensor, familiarity: tf.Tensor, error: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers images from their logits before calibration, familiarity and errors.

        Returns:
            mask uint8 [batch, H, W], indices into labels string [batch, K]; confidence float32 [batch, H, W], the
            probability of the label in the mask; [batch]: familiarity float32, abstain bool, error string.
        """
        answers = self.answers_of(raw) | {LABELS: self._names(tf.shape(raw)[0])}
        return _rows(answers | self._abstention(familiarity), error)

    def answers_of(self, raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """Mask uint8 [batch, H, W], and confidence float32 [batch, H, W]."""
        return {
            MASK: tf.cast(tf.argmax(raw, axis=-1), tf.uint8),
            CONFIDENCE: tf.reduce_max(self._probabilities(raw * self._scale), axis=-1),
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")], autograph=False)
    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers tf.Examples for the evaluation.

        Pixels are counted at the model's size, where each pixel of the true mask is the nearest one; ignored pixels are
        left out.

        Returns:
            confusion float32 [batch, K, K], pixels by truth and prediction; calibration, see `curves.calibration`;
            familiarity float32 and abstain bool [batch].
        """
        encoded, masks = self.parsed(examples, features.IMAGE, features.MASK)
        raw, familiarity = self._evaluated(encoded)
        truth = tf.map_fn(
            lambda mask: decode_mask(mask, self._size),
            masks,
            fn_output_signature=tf.TensorSpec(list(self._size), tf.uint8),
        )
        pixels = self._size[0] * self._size[1]
        known = tf.reshape(truth != features.IGNORED_ID, [-1, pixels])
        predicted = tf.reshape(tf.argmax(raw, axis=-1, output_type=tf.int32), [-1, pixels])
        truth = tf.where(known, tf.reshape(tf.cast(truth, tf.int32), [-1, pixels]), 0)
        counts = _counted(truth * self._classes + predicted, known, self._classes**2)
        # A model that answers NaN has no largest logit, so its counts must not look valid.
        finite = tf.reduce_all(tf.math.is_finite(raw), axis=[1, 2, 3])[:, tf.newaxis]
        confusion = tf.where(finite, counts, float("nan"))
        both = [
            _calibration(
                tf.reshape(tf.reduce_max(self._probabilities(z), axis=-1), [-1, pixels]), predicted == truth, known
            )
            for z in (raw * self._scale, raw)
        ]
        return {
            CONFUSION: tf.reshape(confusion, [-1, self._classes, self._classes]),
            CALIBRATION: tf.stack(both, axis=1),
        } | self._abstention(familiarity)


def _counted(cells: tf.Tensor, weights: tf.Tensor, size: int) -> tf.Tensor:
    """Sums the weights in each of `size` cells: float32 [batch, size]; `cells` and `weights` are [batch, pixels]."""
    weights = tf.cast(weights, tf.float32)
    return tf.math.bincount(cells, weights=weights, minlength=size, maxlength=size, axis=-1)


def _calibration(score: tf.Tensor, hit: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    """Computes `curves.calibration` in TensorFlow: [batch, 3, bins]; all arguments are [batch, pixels]."""
    bins = curves.CALIBRATION_BINS
    score = tf.where(tf.math.is_finite(score), score, 0.0)
    cells = tf.minimum(tf.cast(score * bins, tf.int32), bins - 1)
    weight = tf.cast(known, tf.float32)
    return tf.stack(
        [_counted(cells, w, bins) for w in (weight, weight * score, weight * tf.cast(hit, tf.float32))], axis=1
    )


def export(
    parts: Parts,
    labels: Sequence[str],
    image_size: tuple[int, int],
    kind: LabelKind,
    decisions: Decisions,
    folder: str,
    bits: int | None = None,
    arrays: tuple[ArrayFacts, Bands] | None = None,
) -> None:
    """Writes the SavedModel with the signatures `serving_default`, `examples` and `evaluate`.

    Args:
        parts: the trained network.
        labels: K label names in the order of the outputs.
        image_size: height and width in pixels that the network was built for.
        kind: the label kind.
        decisions: calibration, thresholds and familiarity; `assets.extra/decisions.json` summarises them for people.
        folder: folder of the SavedModel.
        bits: see `images.check`.
        arrays: what the network takes in place of photos.
    """
    served = _served(kind, len(labels))(parts, labels, image_size, kind, decisions, bits)
    if arrays is not None:
        served.takes(*arrays)
    signatures = _of_photos(served) if arrays is None else _of_arrays(served, *arrays)
    tf.saved_model.save(served, folder, signatures={**signatures, EVALUATE: served.evaluate})
    extra = os.path.join(folder, "assets.extra")
    os.makedirs(extra, exist_ok=True)
    with open(os.path.join(extra, DECISIONS_FILE), "w", encoding="utf-8") as f:
        json.dump(decisions.to_json(labels), f, ensure_ascii=False, indent=1, allow_nan=False)


def _of_photos(served: _Served) -> dict[str, Any]:
    """`serving_default`, which answers encoded photos, string [batch]; and `examples`, which answers tf.Examples."""

    def serving_default(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return served.photos(image_bytes)

    def examples(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return served.photos(*served.parsed(examples, features.IMAGE))

    return {
        function.__name__: tf.function(
            function, input_signature=[tf.TensorSpec([None], tf.string, name=name)], autograph=False
        )
        for function, name in ((serving_default, "image_bytes"), (examples, "examples"))
    }


def _of_arrays(served: _Served, told: ArrayFacts, bands: Bands) -> dict[str, Any]:
    """`serving_default`, which answers arrays, see `inputs.given`; and `examples`, which answers tf.Examples.

    Sequences may have fewer moments than the network; those that are missing follow the others.
    """
    moments, height, width, count = shape(told)
    time = () if told.frames is None else (None,)
    pixels = tf.TensorSpec([None, *time, height, width, count], tf.float32, name=PIXELS)
    valid = tf.TensorSpec([None, *time, height, width], tf.bool, name=VALID)
    days = [] if told.frames is None else [tf.TensorSpec([None, None], tf.float32, name=DAYS)]

    def padded(tensor: tf.Tensor) -> tf.Tensor:
        missing = moments - tf.shape(tensor)[1]
        whole = tf.pad(tensor, [[0, 0], [0, missing], *[[0, 0]] * (len(tensor.shape) - 2)])
        return tf.ensure_shape(whole, [None, moments, *tensor.shape[2:]])

    def serving_default(*arrays: tf.Tensor) -> dict[str, tf.Tensor]:
        return served.answered(*(arrays if told.frames is None else map(padded, arrays)))

    def examples(serialised: tf.Tensor) -> dict[str, tf.Tensor]:
        found = served.unpacked(*served.parsed(serialised, features.IMAGE))
        return served.answered(tf.cast(found[PIXELS], tf.float32), found[VALID], found.get(DAYS))

    records = tf.TensorSpec([None], tf.string, name="examples")
    return {
        "serving_default": tf.function(serving_default, input_signature=[pixels, valid, *days], autograph=False),
        "examples": tf.function(examples, input_signature=[records], autograph=False),
    }


def _served(kind: LabelKind, classes: int) -> type[_Served]:
    if kind.per_pixel:
        return _Masks
    return _Detector if kind.is_detector(classes) else _Labels
