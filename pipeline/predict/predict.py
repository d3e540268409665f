"""Prediction with a pushed model, through the serving signature that it was exported with."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from components.base import progress
from components.base.artifact_files import PUSHED_MANIFEST
from components.base.errors import ConfigError, ImagegateError
from components.data import decoding, images
from components.data.arrays import check as array_files
from components.data.arrays import geotiff, stored
from components.data.arrays.check import Expected
from components.data.arrays.geotiff import Tag
from components.data.arrays.stored import Array
from components.data.storage import bundles
from components.ingest.layouts import sequences
from components.ingest.layouts.listing import arrays_too
from components.labels import kinds, outputs
from components.labels.kind import Answer, PlainAnswer
from components.push import versions
from components.push.manifest import PushedManifest
from components.push.signing.trust import NOBODY, Trust
from pipeline.predict import exported, scenes
from pipeline.predict import inputs as inputs_
from pipeline.predict.inputs import Input
from pipeline.predict.masks import Masks
from pipeline.predict.overlays import Overlays

_BATCH = 32
_THREADS = 8  # for reading images; each holds one decoded image in memory


def find(model: str, trust: Trust = NOBODY) -> versions.Served:
    """Finds the pushed version that `model` names.

    Args:
        model: folder or fsspec URL of a version, or of a push destination, which stands for its newest version; or
            an exported file, which is no version, but has what is known of it in its manifest.
        trust: whose signature it needs.

    Raises:
        ConfigError: it needs a signature, and is an exported file, which has none.
        ImagegateError: there is no model, its task is unknown, or nobody who is trusted signed it.
    """
    if exported.is_file(model):
        if trust.keys:
            raise ConfigError(
                f"{model}: signatures are of versions, and an exported file has none of its own; check its version "
                "with imagegate verify, and ask the file without --key"
            )
        return exported.find(model)
    served = versions.find(model, trust)
    if served is None:
        raise ImagegateError(
            f"{model}: no model here; expected a folder with {PUSHED_MANIFEST}, or one of numbered versions with it"
        )
    task = served.manifest.task
    if task not in kinds.KINDS:
        expected = ", ".join(kinds.KINDS)
        raise ImagegateError(f"{served.path}: the model's task is {task or None!r}; expected one of {expected}")
    return served


@contextlib.contextmanager
def listing(served: versions.Served) -> Iterator[None]:
    """Within it, images are listed as in the data that the model learnt from."""
    told = served.manifest
    with contextlib.ExitStack() as stack:
        if told.bands is not None:
            stack.enter_context(arrays_too())
        if told.bands is not None and told.arrays is not None and told.arrays.calendar is not None:
            stack.enter_context(sequences.bundled_of_any(told.bands, decoding.MAX_PIXELS))
        yield


def overlays_for(served: versions.Served, folder: str, inputs: Sequence[Input]) -> Overlays:
    """Prepares overlays of the model's masks.

    Raises:
        ConfigError: the model does not predict masks, or the overlays cannot be written to `folder`.
    """
    _needs_masks(served, "--overlay")
    arrays_ = served.manifest.arrays
    return Overlays(folder, inputs, (0,) if arrays_ is None else arrays_.shown)


def masks_for(served: versions.Served, folder: str, inputs: Sequence[Input]) -> Masks:
    """Prepares the files of the model's masks.

    Raises:
        ConfigError: the model does not predict masks, or they cannot be written to `folder`.
    """
    _needs_masks(served, "--masks")
    return Masks(folder, inputs, arrays=served.manifest.arrays is not None)


def refuse_one_place(overlays: Overlays, masks: Masks) -> None:
    """Raises ConfigError if a mask would take the place of an overlay."""
    taken = {os.path.realpath(path) for path in (*overlays.paths, overlays.legend_path)}
    if same := next((path for path in masks.paths if os.path.realpath(path) in taken), None):
        raise ConfigError(f"--masks: {same} would also be written by --overlay; choose another folder")


def _needs_masks(served: versions.Served, flag: str) -> None:
    task = served.manifest.task
    if not kinds.kind(task).per_pixel:
        drawn = " or ".join(kind.task for kind in kinds.KINDS.values() if kind.per_pixel)
        raise ConfigError(f"{flag}: the model's task is {task}; expected {drawn}, which predicts masks")


def predict(
    served: versions.Served, inputs: Sequence[Input], overlays: Overlays | None = None, masks: Masks | None = None
) -> Iterator[list[PlainAnswer]]:
    """Yields the results batch by batch, one for each input, in order.

    A result is {image, error} if the image cannot be read, and otherwise, depending on the task:

    - single_label: {image, label, probabilities};
    - multi_label: {image, labels, probabilities}, where labels are those above their thresholds in the model;
    - segmentation: {image, shares}, each label's share of the pixels; with `overlays` also the path `overlay`, and
      with `masks` the path `mask`.

    Probabilities and shares map each label to a number, in the model's order. Every successful result, but those of
    exported files, also has familiarity, the share of the eval split that is at most as similar to the training
    images, and abstain, whether the model considers that too low to answer.

    Images are checked and converted as at ingest, so that a rotated photo or a palette is read alike. The next batch
    is read while the model computes. A model that learnt from tiles answers scenes of any size, one at a time.

    Raises:
        ImagegateError: the model's files differ from those that were pushed, or an earlier release pushed it.
    """
    with model(served) as answers, ThreadPoolExecutor(_THREADS) as pool:
        progress.report("images", 0, len(inputs))
        told = served.manifest
        tile = None if told.bands is None else told.bands.tile
        read = functools.partial(_read, checked=checks(told), placed=masks is not None and told.arrays is not None)
        size = _BATCH if tile is None else 1
        ahead = pool.map(read, inputs[:size])
        for start in range(0, len(inputs), size):
            results = list(ahead)
            ahead = pool.map(read, inputs[start + size : start + 2 * size])
            good = {number: r for number, r in enumerate(results, start) if "content" in r}
            if good:
                contents = [r.pop("content") for r in good.values()]
                places = [r.pop("place") for r in good.values()]
                arrays = answers(contents) if tile is None else scenes.answered(contents[0], tile, answers)
                _add_predictions(good.values(), arrays, told.task)
                if overlays is not None:
                    _draw(good, contents, arrays, overlays)
                if masks is not None:
                    _write_masks(good, contents, places, arrays, masks)
            progress.report("images", start + len(results), len(inputs))
            yield results


@contextlib.contextmanager
def model(served: versions.Served) -> Iterator[Callable[[Sequence[bytes | Array]], Answer]]:
    """Loads a pushed model, and yields its serving signature: checked images, or arrays -> name of an output -> array.

    Raises:
        ImagegateError: the model's files differ from those that were pushed, or an earlier release pushed it.
    """
    progress.report("loading the model", 0)
    if exported.is_file(served.path):
        yield exported.answers(served)
        return
    import tensorflow as tf

    with versions.local(served) as folder:
        loaded = tf.saved_model.load(folder)
        signature = loaded.signatures["serving_default"]
        if outputs.ERROR not in signature.structured_outputs:
            raise ImagegateError(
                f"{served.path}: an earlier release pushed this model, and its answers are of another form; push a "
                "model of this release, or predict with the earlier one"
            )

        bands = served.manifest.bands

        def answers(contents: Sequence[bytes | Array]) -> Answer:
            _ = loaded  # keeps the variables that the signature uses
            if bands is None:
                asked = {"image_bytes": tf.constant(contents)}
            else:
                given = [stored.restored(one) if isinstance(one, bytes) else one for one in contents]
                rows_of = stored.stacked(given, bands.frames)
                asked = {name: tf.constant(rows) for name, rows in rows_of.items()}
            return {name: tensor.numpy() for name, tensor in signature(**asked).items()}

        yield answers


def _add_predictions(results: Iterable[PlainAnswer], arrays: Answer, task: str) -> None:
    for i, (result, prediction) in enumerate(zip(results, kinds.kind(task).answers(arrays), strict=True)):
        if error := arrays[outputs.ERROR][i]:
            result["error"] = f"the model refuses it: {error.decode()}"
            continue
        result.update(prediction)
        if outputs.FAMILIARITY in arrays:
            result.update(familiarity=float(arrays[outputs.FAMILIARITY][i]), abstain=bool(arrays[outputs.ABSTAIN][i]))


def _write_masks(
    results: Mapping[int, PlainAnswer],
    contents: Sequence[bytes | Array],
    places: Sequence[Sequence[Tag]],
    arrays: Answer,
    masks: Masks,
) -> None:
    for (number, result), content, place, mask in zip(
        results.items(), contents, places, arrays[outputs.MASK], strict=True
    ):
        if "error" in result:
            continue
        try:
            result["mask"] = masks.write(number, content, mask, place)
        except (OSError, ValueError) as error:  # ValueError: of a place on the earth that cannot be written
            _fail(result, masks.paths[number], error)


def _fail(result: PlainAnswer, path: str, error: OSError | ValueError) -> None:
    reason = (error.strerror if isinstance(error, OSError) else "") or error
    name = result["image"]
    result.clear()
    result.update(image=name, error=f"{path} cannot be written: {reason}")


def _draw(
    results: Mapping[int, PlainAnswer], contents: Sequence[bytes | Array], arrays: Answer, overlays: Overlays
) -> None:
    if all("error" in result for result in results.values()):
        return
    labels = [name.decode() for name in arrays[outputs.LABELS][0]]
    overlays.legend(labels)
    for (number, result), image, mask in zip(results.items(), contents, arrays[outputs.MASK], strict=True):
        if "error" in result:
            continue
        try:
            result["overlay"] = overlays.draw(number, image, mask, len(labels))
        except OSError as error:
            _fail(result, overlays.paths[number], error)
        progress.report("images", number + 1, len(overlays.paths))


def _read(item: Input, checked: Callable[[str, bytes], bytes | Array], *, placed: bool) -> PlainAnswer:
    try:
        if item.problem:
            return {"image": item.name, "error": item.problem}
        data = inputs_.content(item.name)
        return {"image": item.name, "content": checked(item.name, data), "place": geotiff.place(data) if placed else ()}
    except OSError as error:
        return {"image": item.name, "error": f"cannot be read: {error.strerror or error}"}
    except (images.BadImage, ImagegateError) as error:
        return {"image": item.name, "error": str(error)}


def checks(told: PushedManifest) -> Callable[[str, bytes], bytes | Array]:
    """How a file is read that the model is asked about: as at ingest."""
    known = told.arrays
    if told.bands is None or known is None:
        return lambda _, data: images.check(data, decoding.MAX_PIXELS, told.bits).encoded
    expected = Expected(told.bands, known.dtype, known.height, known.width, known.calendar or ())

    def checked(name: str, data: bytes) -> bytes | Array:
        files = bundles.unpacked(name, data)
        if expected.bands.tile:
            return array_files.prepared(files, expected, decoding.MAX_PIXELS)[0]
        return array_files.examined(files, expected, decoding.MAX_PIXELS).encoded

    return checked
