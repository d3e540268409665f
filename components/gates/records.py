"""What the gates write for the stages after them."""

from __future__ import annotations

from components.base.values import Sparse, Value
from components.base.verdict import Verdict
from components.data.manifest import DatasetManifest, KnownData


class Latency(Value):
    """Milliseconds for one image."""

    median: float
    p95: float


class ServingMeasurement(Sparse):
    """What it costs to serve a model; all but the size is None where it did not answer.

    Attributes:
        megabytes: size of the exported model.
        latency_ms: for one image.
        images_per_second: in one batch.
    """

    megabytes: float | None = None
    latency_ms: Latency | None = None
    images_per_second: float | None = None


class ServingResult(ServingMeasurement):
    """Written by the stage ServingCheck; without measurements where the model gate had refused the model."""

    verdicts: tuple[Verdict, ...] = ()


class DataGateResult(Value):
    """Written by the data gate when it lets the data pass.

    Attributes:
        manifest: of the data, without `files` and `label_sets`.
        weights: label -> weight in the loss.
        compared_with: version of the served model whose data these were compared with, or None.
        verdicts: of every rule.
        pushed: what a pushed model keeps of its data.
    """

    manifest: DatasetManifest
    weights: dict[str, float]
    compared_with: str | None
    verdicts: tuple[Verdict, ...]
    pushed: KnownData
