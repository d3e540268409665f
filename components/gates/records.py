"""Results that the gates write for later stages."""

from __future__ import annotations

from pydantic import Field

from components.base.values import ForeignText, Sparse, Value
from components.base.verdict import Verdict
from components.data.manifest import DatasetManifest, KnownData


class Latency(Value):
    """Latency of one image, in milliseconds."""

    median: float
    p95: float = Field(description="95th percentile")


class ServingMeasurement(Sparse):
    """Cost of serving a model; only the size if the model did not answer."""

    megabytes: float | None = Field(None, description="size of the exported model, in 10^6 bytes")
    latency_ms: Latency | None = Field(None, description="latency of one image")
    images_per_second: float | None = Field(None, description="throughput in one batch")


class ServingResult(ServingMeasurement):
    """Result of the stage ServingCheck; empty if the model gate had refused the model.

    Attributes:
        verdicts: one per rule.
        beside: file that goes beside the model -> its SHA-256.
    """

    verdicts: tuple[Verdict, ...] = ()
    beside: dict[str, str] = Field({})


class Found(Value):
    """A file that the data gate objects to or suspects."""

    path: ForeignText
    reason: ForeignText = Field(description="what was found")
    kind: str = Field(description='such as "blurred"')
    certainty: float = Field(description="in [0, 1]")
    other: ForeignText = Field("", description='path of the other file of a pair, or ""')


class Suspicions(Value):
    """What the data gate found beside its verdicts."""

    counts: dict[str, int] = Field({}, description="kind -> findings of it")
    first: tuple[Found, ...] = Field((), description="the most certain of each kind; `imagegate check -o` writes all")
    notes: tuple[ForeignText, ...] = Field((), description="sentences on what is suspected of the whole data set")


class DataGateResult(Value):
    """Result of the data gate for data that it accepts.

    Attributes:
        manifest: counts of the data set, without `files` and `label_sets`.
        compared_with: version of the served model whose data these were compared with, or None.
        verdicts: one per rule, label and split.
        pushed: description of the data that goes into the manifest of a pushed model.
        suspicions: what was found beside.
    """

    manifest: DatasetManifest
    compared_with: str | None
    verdicts: tuple[Verdict, ...]
    pushed: KnownData
    suspicions: Suspicions = Suspicions()
