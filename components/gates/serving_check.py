"""Whether the exported model can be served: asked in a fresh process, compared with what was evaluated, and judged."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.base.verdict import Verdict
from components.gates import probe
from components.gates.judge import Rule, judge
from components.gates.settings import Serving
from components.labels import outputs
from components.labels.kind import LabelKind

IMAGES = 32  # of the test split that the model is asked for
# Largest difference of probabilities from those in the evaluation. Chosen by hand; not measured.
_SAME = 1e-4
_SECONDS = 600  # for the whole process; chosen by hand; not measured
# What no server must fall over, whatever its clients send.
_JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
BROKEN = (b"", b"no image", b"\x89PNG\r\n\x1a\n" + bytes(64), _JPEG, b"GIF89a\xff\xff\xff\xff\x00\x00\x00")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One image of the test split.

    Attributes:
        image: encoded, as the model takes it.
        example: its serialised tf.Example.
        predicted: what the evaluation recorded of it, see `predictions.row`.
    """

    image: bytes
    example: bytes
    predicted: Mapping[str, Any]


def check(
    model: str, samples: Sequence[Sample], kind: LabelKind, limits: Serving
) -> tuple[dict[str, Any], list[Verdict]]:
    """Asks the SavedModel in the folder `model`, and judges.

    Returns:
        what was measured (latency_ms {median, p95} of one image, images_per_second in one batch of all, megabytes),
        and a verdict per rule.
    """
    measured: dict[str, Any] = {"megabytes": _bytes(model) / 1e6}
    with tempfile.TemporaryDirectory() as folder:
        request, answer = os.path.join(folder, "request.json"), os.path.join(folder, "answer")
        _write_request(request, samples)
        command = [sys.executable, "-P", probe.__file__, model, request, answer]
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            return measured, [_failed(f"it did not answer within {_SECONDS} seconds")]
        if done.returncode:
            return measured, [_failed(_last_words(done.returncode, done.stderr))]
        with open(f"{answer}.json", encoding="utf-8") as f:
            told = json.load(f)
        if told["missing"]:
            return measured, [_failed(f"it has no signature {' or '.join(map(repr, told['missing']))}")]
        with np.load(f"{answer}.npz") as arrays:
            difference = largest_difference(dict(arrays), [s.predicted for s in samples], kind)
    measured |= {"latency_ms": told["latency_ms"], "images_per_second": told["images_per_second"]}
    answered = sum(not refused for refused in told["refused"])
    return measured, _judged(difference, len(samples), answered, measured, limits)


def _judged(
    difference: float, images: int, answered: int, measured: Mapping[str, Any], limits: Serving
) -> list[Verdict]:
    same = Rule(
        gate="serving",
        metric="largest difference of served from evaluated answers",
        maximum=_SAME,
        advice="The exported model is not the one that was evaluated; report this as a bug of imagegate",
    )
    broken = Rule(gate="serving", metric="broken images answered without an error", maximum=0)
    verdicts = [
        judge(same, difference, examples=images, unit="image"),
        judge(broken, answered, examples=len(BROKEN), unit="broken image"),
    ]
    costs = (
        ("latency of one image in milliseconds", limits.max_latency_ms, measured["latency_ms"]["median"]),
        ("size in megabytes", limits.max_megabytes, measured["megabytes"]),
    )
    for metric, limit, value in costs:
        if limit is not None:
            advice = "Take a smaller training.backbone or training.image_size, or raise the limit below serving"
            verdicts.append(judge(Rule(gate="serving", metric=metric, maximum=limit, advice=advice), value))
    return verdicts


def largest_difference(arrays: Mapping[str, Any], predicted: Sequence[Mapping[str, Any]], kind: LabelKind) -> float:
    """Of probabilities, over images, labels and signatures; of masks, the share of an image's pixels. NaN stays NaN.

    Args:
        arrays: "signature/output" -> array [n, …].
        predicted: n rows, as `predictions.row` makes them.
        kind: what the labels are.
    """
    if kind.per_pixel:
        shown = arrays[f"serving_default/{outputs.MASK}"]
        other = shown != arrays[f"examples/{outputs.MASK}"]
        confusion = arrays[f"evaluate/{outputs.CONFUSION}"].reshape(len(predicted), -1)
        recorded = np.array([row[outputs.CONFUSION] for row in predicted], np.float64)
        # A pixel that moves from one cell to another counts in both.
        moved = np.abs(confusion - recorded).sum(axis=1) / 2 / shown[0].size
        return float(max(other.mean(axis=(1, 2)).max(), moved.max()))
    recorded = np.array([row[outputs.PROBABILITIES] for row in predicted], np.float64)
    names = [f"{name}/{outputs.PROBABILITIES}" for name in ("serving_default", "examples", outputs.EVALUATE)]
    return float(np.max([np.abs(arrays[name] - recorded).max() for name in names]))


def _write_request(path: str, samples: Sequence[Sample]) -> None:
    asked = {
        "image_bytes": [s.image for s in samples],
        "examples": [s.example for s in samples],
        "broken": BROKEN,
    }
    with open(path, "w", encoding="utf-8") as f:
        json.dump({name: [base64.b64encode(data).decode() for data in many] for name, many in asked.items()}, f)


def _failed(reason: str) -> Verdict:
    return Verdict(
        gate="serving",
        rule="answers in a fresh process",
        label=None,
        slice=None,
        value=None,
        passed=False,
        reason=f"the exported model, loaded in a fresh process, cannot be served: {reason}",
    )


def _last_words(code: int, stderr: str) -> str:
    if code < 0:
        return f"the process ended with {signal.Signals(-code).name}"
    lines = [line for line in stderr.splitlines() if line.strip()]
    return lines[-1].strip()[:500] if lines else f"the process ended with exit code {code}"


def _bytes(folder: str) -> int:
    return sum(os.path.getsize(os.path.join(parent, name)) for parent, _, names in os.walk(folder) for name in names)
