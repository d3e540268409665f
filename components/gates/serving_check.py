"""The serving check: the exported model, loaded in a fresh process, must answer as it did in the evaluation."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.base import digests, machine
from components.base.artifact_files import BATCHING, WARM_UP
from components.base.files import write_atomically
from components.base.text import truncated_list
from components.base.verdict import Verdict
from components.gates import probe, requests, served_files
from components.gates.judge import Rule, judge
from components.gates.records import ServingMeasurement, ServingResult
from components.gates.requests import PHOTOS, Frames
from components.gates.settings import Serving
from components.gates.warm_start import batching, warm_up
from components.labels import outputs
from components.labels.kind import LabelKind

IMAGES = 32  # images of the test split that the model is asked for; chosen by hand; not measured
# Largest difference from the evaluated probabilities that passes. Chosen by hand; not measured.
_SAME = 1e-4
_SERVED = "serving_default"
_SECONDS = 600  # limit for its answers; chosen by hand; not measured
_waiting: list[subprocess.Popen[str]] = []  # see `begun`


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One image of the test split.

    Attributes:
        image: the encoded image.
        example: its serialised tf.Example.
        predicted: the answer that was evaluated, see `predictions.row`.
    """

    image: bytes
    example: bytes
    predicted: Mapping[str, Any]


def check(
    model: str,
    samples: Sequence[Sample],
    kind: LabelKind,
    limits: Serving,
    beside: str,
    bits: int | None = None,
    frames: Frames = PHOTOS,
) -> ServingResult:
    """Loads an exported model in a fresh process, asks it for its answers, and judges them.

    It is also asked for files as clients send them: it must answer each as `imagegate predict` does, or refuse it. And
    it replays the warm-up requests, which are written for it, as a server does when it loads the model.

    Args:
        model: folder of the SavedModel.
        samples: images of the test split, with the answers that were evaluated.
        kind: label kind of the task.
        limits: limits of latency and size, and whether the warm-up requests stay.
        beside: folder for the warm-up requests and the batching parameters, which go beside the model. Sequences have
            no batching parameters: a server cannot join those of different length.
        bits: see `images.check`.
        frames: see `requests.Frames`.

    Returns:
        latency of one image in milliseconds, images per second in one batch of all samples, size in 10^6 bytes, and
        one verdict per rule; without latency and throughput if the model could not be asked.
    """
    megabytes = _bytes(model) / 1e6
    images = [sample.image for sample in samples]
    asked = requests.of_photos(images, bits) if frames == PHOTOS else requests.of_arrays(images, frames)
    served = asked.batches[_SERVED]
    chosen = warm_up.choose(served)
    with tempfile.TemporaryDirectory() as folder:
        recorded = os.path.join(beside if limits.warm_up else folder, WARM_UP)
        warm_up.write(recorded, _SERVED, served, chosen)
        try:
            report, arrays = _ask(model, _request(samples, asked), recorded, folder)
        except _NoAnswer as error:
            return ServingResult(megabytes=megabytes, verdicts=(_cannot_be_served(str(error)),))
    written = [WARM_UP] if limits.warm_up else []
    if frames in (PHOTOS, None):
        written.append(BATCHING)
        measured = dict(zip(map(len, chosen), report["replay_seconds"], strict=True))
        write_atomically(os.path.join(beside, BATCHING), batching.text(measured, machine.cores()))
    result = ServingResult(
        megabytes=megabytes,
        latency_ms=report["latency_ms"],
        images_per_second=report["images_per_second"],
        beside={name: digests.of_file(os.path.join(beside, name)) for name in written},
    )
    difference = largest_difference(arrays, [sample.predicted for sample in samples], kind)
    found = served_files.compare(arrays, asked.files, asked.read, kind)
    forms = served_files.wrong_forms(report["forms"], report["empty"], kind, arrays=frames != PHOTOS)
    replayed = served_files.replayed(arrays, chosen, kind)
    answers = (*_judge_answers(difference, len(samples)), *_judge_files(found, forms, replayed))
    verdicts = (*answers, *_judge_costs(result, limits))
    return result.model_copy(update={"verdicts": verdicts})


@contextlib.contextmanager
def begun() -> Iterator[None]:
    """Starts the process of the next `check` in the block, which imports TensorFlow and waits while others work.

    It knows nothing of the model until it is asked. What was not asked ends with the block, and with this process.
    Where the system starts no further process, the block runs without, and `check` tries again when it needs one.
    """
    process = None
    with contextlib.suppress(OSError):
        process = _start()
        _waiting.append(process)
    try:
        yield
    finally:
        if process is not None and process in _waiting:
            _waiting.remove(process)
            with process:
                process.kill()


def _start() -> subprocess.Popen[str]:
    # -P: the folder of the script must not be searched for modules.
    command = [sys.executable, "-P", probe.__file__]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=subprocess.DEVNULL, stderr=pipe, text=True)


def _living() -> subprocess.Popen[str]:
    """The process that waits, or a new one where none does."""
    if not _waiting:
        return _start()
    process = _waiting.pop()
    if process.poll() is None:
        return process
    with process:  # it ended before it was asked anything, so that says nothing about the model
        pass
    return _start()


class _NoAnswer(Exception):
    """The model could not be loaded or asked; the message says why."""


def _ask(
    model: str, asked: Mapping[str, tuple[str, requests.Inputs]], recorded: str, folder: str
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Runs `probe` in a fresh process, with the warm-up requests in the file `recorded`.

    Returns:
        its report, and "signature/output" -> array [n, ...].
    """
    request, answer = os.path.join(folder, "request.json"), os.path.join(folder, "answer")
    with open(request, "w", encoding="utf-8") as f:
        told = {name: (signature, dict(map(_text, inputs.items()))) for name, (signature, inputs) in asked.items()}
        json.dump(told, f)
    with _living() as process:
        try:
            _, log = process.communicate(json.dumps([model, request, answer, recorded]) + "\n", timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            raise _NoAnswer(f"it did not answer within {_SECONDS} seconds") from None
        finally:
            process.kill()  # does nothing if it has ended
    if process.returncode:
        raise _NoAnswer(last_words(process.returncode, log))
    with open(f"{answer}.json", encoding="utf-8") as f:
        report: dict[str, Any] = json.load(f)
    if report["missing"]:
        raise _NoAnswer(f"it has no signature {' or '.join(map(repr, report['missing']))}")
    with np.load(f"{answer}.npz") as arrays:
        return report, dict(arrays)


_BUG = "The exported model is not the one that was evaluated; report this as a bug of imagegate"


def _judge_answers(difference: float, images: int) -> Iterator[Verdict]:
    metric = "largest difference of served from evaluated answers"
    yield judge(
        Rule(gate="serving", metric=metric, maximum=_SAME, advice=_BUG), difference, examples=images, unit="image"
    )


def _judge_files(found: served_files.Compared, forms: Sequence[str], replayed: Sequence[str]) -> Iterator[Verdict]:
    for metric, names in (
        ("broken images answered without an error", found.answered),
        ("files answered otherwise than by predict", found.differ),
        ("images answered otherwise beside a refused one", found.disturbed),
        ("outputs of another form than documented", forms),
        ("warm-up requests answered otherwise than later", replayed),
    ):
        advice = f"These are: {truncated_list(names)}. {_BUG}" if names else _BUG
        yield judge(Rule(gate="serving", metric=metric, maximum=0, advice=advice), len(names))


def _judge_costs(measured: ServingMeasurement, limits: Serving) -> Iterator[Verdict]:
    latency = measured.latency_ms.median if measured.latency_ms else None
    for metric, limit, value in (
        ("latency of one image in milliseconds", limits.max_latency_ms, latency),
        ("size in megabytes", limits.max_megabytes, measured.megabytes),
    ):
        if limit is not None:
            advice = "Take a smaller training.backbone or training.image_size, or raise the limit below serving"
            yield judge(Rule(gate="serving", metric=metric, maximum=limit, advice=advice), value)


def largest_difference(arrays: Mapping[str, Any], predicted: Sequence[Mapping[str, Any]], kind: LabelKind) -> float:
    """Compares the answers of all signatures with the evaluated ones.

    Args:
        arrays: "signature/output" -> array [n, ...].
        predicted: n answers that were evaluated, as `predictions.row` gives them.
        kind: label kind of the task.

    Returns:
        the largest difference of two probabilities; for masks, the largest share of an image's pixels that differ. NaN
        if any answer is NaN.
    """
    if kind.per_pixel:
        masks = arrays[f"serving_default/{outputs.MASK}"]
        differ = masks != arrays[f"examples/{outputs.MASK}"]
        confusion = arrays[f"evaluate/{outputs.CONFUSION}"].reshape(len(predicted), -1)
        recorded = np.array([row[outputs.CONFUSION] for row in predicted], np.float64)
        # A pixel that moves from one cell of the confusion matrix to another counts in both.
        moved = np.abs(confusion - recorded).sum(axis=1) / 2 / masks[0].size
        return float(max(differ.mean(axis=(1, 2)).max(), moved.max()))
    recorded = np.array([row[outputs.PROBABILITIES] for row in predicted], np.float64)
    names = [f"{name}/{outputs.PROBABILITIES}" for name in ("serving_default", "examples", outputs.EVALUATE)]
    return float(np.max([np.abs(arrays[name] - recorded).max() for name in names]))


def _request(samples: Sequence[Sample], asked: requests.Asked) -> dict[str, tuple[str, requests.Inputs]]:
    """Name of a batch -> (signature, its inputs), in the order in which they are asked."""
    examples: requests.Inputs = {"examples": [sample.example for sample in samples]}
    batches = {name: (_SERVED, inputs) for name, inputs in asked.batches.items()}
    return batches | {"examples": ("examples", examples), outputs.EVALUATE: (outputs.EVALUATE, examples)}


def _text(named: tuple[str, list[bytes] | NDArray[Any]]) -> tuple[str, Any]:
    """An input of a signature as JSON; see `probe`."""
    name, rows = named
    if isinstance(rows, list):
        return name, [base64.b64encode(data).decode() for data in rows]
    out = io.BytesIO()
    np.save(out, rows, allow_pickle=False)
    return name, base64.b64encode(out.getvalue()).decode()


def _cannot_be_served(reason: str) -> Verdict:
    return Verdict(
        gate="serving",
        rule="answers in a fresh process",
        label=None,
        slice=None,
        value=None,
        passed=False,
        reason=f"the exported model, loaded in a fresh process, cannot be served: {reason}",
    )


def last_words(code: int, stderr: str) -> str:
    """Explains why the process ended: its signal, the last line of its log, or its exit code."""
    if code < 0:
        return f"the process ended with {signal.Signals(-code).name}"
    lines = [line for line in stderr.splitlines() if line.strip()]
    return lines[-1].strip()[:500] if lines else f"the process ended with exit code {code}"


def _bytes(folder: str) -> int:
    """Size of all files below a folder."""
    return sum(os.path.getsize(os.path.join(parent, name)) for parent, _, names in os.walk(folder) for name in names)
