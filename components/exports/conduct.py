"""Converts a model to each format, has its runtime answer the test split in a fresh process, and judges the answers."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.base import progress
from components.base.artifact_files import DECISIONS_FILE, MODEL_DIGESTS
from components.base.digests import of_file
from components.data import features
from components.data.schema import labels as labels_of
from components.evaluation import beside, comparison, out_of_distribution, predictions
from components.evaluation.predictions import Prediction
from components.exports import convert, pixels, runtimes
from components.exports.formats import FORMATS, Format
from components.exports.judged import Arrays, Evaluated
from components.exports.metadata import Calibration, Metadata
from components.exports.records import Export, ExportResult
from components.exports.settings import ExportSettings
from components.gates.records import Latency
from components.gates.serving_check import last_words
from components.labels import kinds, outputs
from components.labels.learning.pixels import decode_mask
from components.model import identity
from components.push.manifest import DecisionSummary

# Images of train by which the ranges of 8-bit integers are set. Chosen by hand; not measured.
_CALIBRATION = 200
_SECONDS = 600  # limit of a process, to which a second for each image is added. Chosen by hand; not measured
_NO_PROBABILITIES = (
    "a model of a single label answers with the familiarity of an image, which exports do not compute; remove it from "
    "push.formats"
)


def conduct(
    settings: ExportSettings, examples: str, schema: str, model: str, evaluation: str, folder: str
) -> ExportResult:
    """Exports a model that has passed the model gate.

    Args:
        settings: the formats and limits.
        examples: folder of the shards.
        schema: folder of the schema, which names the labels.
        model: folder of the SavedModel.
        evaluation: folder of its evaluation.
        folder: where the files of the formats are written; those that fail are removed.
    """
    kind, names = kinds.kind(settings.task), labels_of(schema)
    if kind.is_detector(len(names)):
        return ExportResult(exports=tuple(Export(format=one, problem=_NO_PROBABILITIES) for one in settings.formats))
    progress.report("loading the model", 0)
    loaded, function = convert.load(model)
    source = convert.Source(model, loaded, function, _metadata(settings, names, model, evaluation, function))
    with tempfile.TemporaryDirectory() as work:
        test, train = os.path.join(work, "test.npy"), os.path.join(work, "train.npy")
        evaluated, images = _evaluated(settings, names, source, examples, evaluation, test)
        chosen = pixels.spread(examples, "train", _CALIBRATION)
        pixels.decode(chosen, len(chosen), source.image_size, train)
        if kind.per_pixel:
            evaluated = replace(evaluated, own=_own(function, images, work))
        exports = []
        for done, name in enumerate(settings.formats):
            progress.report("exports", done, len(settings.formats), name)
            made = _export(FORMATS[name], settings, source, evaluated, train, test, folder)
            if not made.passed:
                made = made.model_copy(update={"files": (), "digests": {}})
                _remove(FORMATS[name], folder)
            exports.append(made)
    return ExportResult(exports=tuple(exports))


def _export(
    format_: Format,
    settings: ExportSettings,
    source: convert.Source,
    evaluated: Evaluated,
    train: str,
    test: str,
    folder: str,
) -> Export:
    """Makes, runs and judges one format."""
    try:
        path = convert.convert(source, format_, train, folder)
        digests = _digests(format_, folder)
        answers, latency = answered(path, test, len(evaluated.rows))
        if _digests(format_, folder) != digests:
            raise NoAnswer("its files were changed while its runtime answered")
        _require_whole(answers, source.function.structured_outputs, len(evaluated.rows))
    except (convert.NotConverted, NoAnswer) as error:
        return Export(format=format_.name, problem=str(error))
    return judged(format_, settings, evaluated, answers).model_copy(
        update={
            "files": tuple(format_.files),
            "digests": digests,
            "megabytes": pixels.size_of(os.path.join(folder, os.path.basename(file)) for file in format_.files),
            "latency_ms": latency,
        }
    )


def _digests(format_: Format, folder: str) -> dict[str, str]:
    """SHA-256 of each file of a format, by its path in the folder of a version."""
    return {name: of_file(os.path.join(folder, os.path.basename(name))) for name in format_.files}


def judged(format_: Format, settings: ExportSettings, evaluated: Evaluated, answers: Arrays) -> Export:
    """Judges the answers of one format to the test split."""
    rows = evaluated.rows_of(answers)
    named = evaluated.kind.overall
    whole, agreement = dict(evaluated.results(rows)[0][1]), evaluated.agreement(answers)
    return Export(
        format=format_.name,
        **{key: value if math.isfinite(value) else None for key, value in agreement.items()},
        metrics={name: _plain(whole[name]) for name in named if name in whole},
        changes={label: _plain(change) for label, change in evaluated.changes(rows).items()},
        verdicts=(
            *evaluated.judge(settings.thresholds, rows, settings.max_drop),
            evaluated.judge_agreement(agreement["agreement"], settings.min_agreement),
        ),
    )


class NoAnswer(Exception):
    """A file could not be opened or asked by its runtime, or gives no proper answer; the message says why."""


def _require_whole(answers: Arrays, expected: Mapping[str, Any], count: int) -> None:
    """Compares the form of answers with that of the SavedModel's, and looks for what is no number.

    Args:
        answers: name of an output -> array.
        expected: name of an output of the function that was converted -> tensor [batch, ...].
        count: number of images.

    Raises:
        NoAnswer: an output is missing, or has another type or shape, or a number that is not finite.
    """
    if answers.keys() != expected.keys():
        raise NoAnswer(f"it has the outputs {sorted(answers)} in place of {sorted(expected)}")
    for name, array in answers.items():
        form, wanted = (array.dtype, array.shape), (expected[name].dtype.as_numpy_dtype, expected[name].shape[1:])
        if form[0] != wanted[0] or len(array) != count or not wanted[1].is_compatible_with(array.shape[1:]):
            raise NoAnswer(
                f"its output {name!r} is {array.dtype} {list(array.shape)} in place of {np.dtype(wanted[0])} "
                f"{[count, *wanted[1].as_list()]}"
            )
        for i, answer in enumerate(array):
            if not np.isfinite(answer).all():
                raise NoAnswer(f"its output {name!r} for image {i + 1} of {count:,} has numbers that are not finite")


def answered(path: str, images: str, count: int) -> tuple[dict[str, NDArray[Any]], Latency]:
    """Runs `runtimes` in a fresh process.

    Args:
        path: the exported file.
        images: path of an array of NumPy's format, uint8 [count, H, W, 3].
        count: number of images.

    Returns:
        its answers, name of an output -> array [count, ...] that is read from disk, and the latency of one image.

    Raises:
        NoAnswer: the file cannot be opened or asked.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = os.path.join(folder, "answer")
        # -P: the folder of the script, which has modules of the same names as the runtimes, must not be searched.
        command = [sys.executable, "-P", runtimes.__file__, path, images, answer]
        seconds = _SECONDS + count
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise NoAnswer(f"its runtime did not answer {count:,} images within {seconds:,} seconds") from None
        if done.returncode:
            raise NoAnswer(f"its runtime cannot run it: {last_words(done.returncode, done.stderr)}")
        with open(f"{answer}.json", encoding="utf-8") as f:
            told = json.load(f)
        # The arrays outlive the names of their files.
        arrays = {name: np.load(f"{answer}.{i}.npy", mmap_mode="r") for i, name in enumerate(told["outputs"])}
        return arrays, Latency(**told["latency_ms"])


def _metadata(settings: ExportSettings, labels: Sequence[str], model: str, evaluation: str, function: Any) -> Metadata:
    with open(os.path.join(model, "assets.extra", DECISIONS_FILE), encoding="utf-8") as f:
        told = DecisionSummary.from_json(f.read()).labels
    with open(os.path.join(evaluation, MODEL_DIGESTS), encoding="utf-8") as f:
        digests = json.load(f)
    return Metadata(
        name=settings.name,
        task=settings.task,
        labels=tuple(labels),
        thresholds=tuple(told[label].threshold for label in labels),
        calibration=tuple(Calibration(scale=told[label].scale, bias=told[label].bias) for label in labels),
        image_size=convert.image_size(function),
        bits=settings.bits,
        model=identity.identity(model, digests),
    )


def _evaluated(
    settings: ExportSettings, labels: Sequence[str], source: convert.Source, examples: str, evaluation: str, path: str
) -> tuple[Evaluated, NDArray[np.uint8]]:
    """Reads what is known of the SavedModel, and decodes the test split."""
    from components.evaluation import analysis

    kind, size = kinds.kind(settings.task), source.image_size
    identities = [predictions.identity(record) for record in pixels.every(examples, "test")]
    images = pixels.decode(pixels.every(examples, "test"), len(identities), size, path)
    rows = _rows(evaluation, predictions.CANDIDATE, identities)
    compared = comparison.read(evaluation)
    known = bool(compared.version) and compared.whole
    # Without a version, there are regressions only if the served model is damaged and this one is its equal.
    served = predictions.BASELINE if known else predictions.CANDIDATE
    evaluated = Evaluated(
        kind=kind,
        labels=labels,
        decided=np.array(source.metadata.thresholds, np.float32),
        rows=rows,
        truth=_masks(examples, len(identities), size, path) if kind.per_pixel else None,
        own={} if kind.per_pixel else {outputs.PROBABILITIES: _probabilities(rows)},
        unlike=out_of_distribution.read(evaluation).get("models", {}).get(predictions.CANDIDATE, {}),
        served=analysis.results(evaluation, predictions.BASELINE) if known else None,
        served_rows=_rows(evaluation, served, identities)
        if compared.regressions is not None and compared.whole
        else None,
        compared=compared,
        beside=beside.read(evaluation),
    )
    return evaluated, images


def _rows(evaluation: str, model: str, identities: Sequence[tuple[str, str]]) -> list[Prediction]:
    """The predictions of one model, in the order of the images."""
    by_image = {(row["path"], row["sha256"]): row for row in predictions.read(evaluation, model)}
    return [by_image[identity] for identity in identities]


def _probabilities(rows: Sequence[Prediction]) -> NDArray[np.float32]:
    return np.array([row["probabilities"] for row in rows], np.float32)


def _masks(examples: str, count: int, size: tuple[int, int], beside: str) -> NDArray[np.uint8]:
    """The true masks of the test split at the size of the network, on disk: uint8 [count, H, W]."""
    import tensorflow as tf

    masks = np.lib.format.open_memmap(f"{beside}.masks.npy", "w+", np.uint8, (count, *size))
    for i, record in enumerate(pixels.every(examples, "test")):
        encoded = tf.train.Example.FromString(record).features.feature[features.MASK].bytes_list.value[0]
        masks[i] = decode_mask(tf.constant(encoded), size).numpy()
    return masks


def _own(function: Any, images: NDArray[np.uint8], folder: str) -> Mapping[str, NDArray[Any]]:
    """The SavedModel's answers to decoded images, on disk in a folder."""
    import tensorflow as tf

    arrays: dict[str, NDArray[Any]] = {}
    for start in range(0, len(images), runtimes.BATCH):
        for name, tensor in function(tf.constant(images[start : start + runtimes.BATCH])).items():
            part = tensor.numpy()
            if not start:
                path = os.path.join(folder, f"own.{len(arrays)}.npy")
                arrays[name] = np.lib.format.open_memmap(path, "w+", part.dtype, (len(images), *part.shape[1:]))
            arrays[name][start : start + len(part)] = part
    return arrays


def _remove(format_: Format, folder: str) -> None:
    for file in format_.files:
        path = os.path.join(folder, os.path.basename(file))
        if os.path.exists(path):
            os.remove(path)


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
