"""The summary of a run, written as summary.json."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from components.base.checkpoint import Checkpoint
from components.base.values import ForeignText, Sparse
from components.base.verdict import Verdict
from components.data.manifest import BySplit, LeftOut
from components.exports.records import Export
from components.gates.compared import Regressions
from components.gates.found import Trivial, WeakGroups
from components.gates.records import Found, ServingMeasurement
from components.model.comparing.record import MethodComparison
from components.model.fitting.synthetic import Synthetic
from components.model.fitting.unlabelled.record import Pool
from components.model.tuning.journal import Trials
from components.push.manifest import DecisionSummary

Numbers = dict[str, float | None]  # metric -> value; null: not a number


class Stage(Sparse):
    """One stage that ran."""

    name: str
    seconds: float
    cached: bool = Field(description="whether its result is that of an earlier run")
    peak_memory: int | None = Field(
        None, description="most bytes of memory that the process held meanwhile, without its children; null: not told"
    )


class PoolSummary(Sparse):
    """Images without labels, in a folder of their own."""

    images: int = Field(description="that training may learn from")
    left_out: tuple[LeftOut, ...] = Field((), description="those that equal or nearly equal one of eval or test")
    quarantined: tuple[LeftOut, ...] = Field((), description="files that could not be used")
    notes: tuple[ForeignText, ...] = Field((), description="as those of the labelled images")


class DataSummary(Sparse):
    """The data of a run; without any key where none was read."""

    counts: BySplit = Field({}, description="split -> images")
    labels: dict[str, BySplit] = Field({}, description="label -> split -> images it applies to")
    quarantined: tuple[LeftOut, ...] = Field((), description="files that could not be used")
    excluded: tuple[LeftOut, ...] = Field((), description="files that `data.exclude` leaves out")
    ignored: tuple[ForeignText, ...] = Field((), description="paths of files that have no meaning in this layout")
    notes: tuple[ForeignText, ...] = Field(
        (), description="one sentence for each kind of thing that was left out, merged, guessed, converted or suspected"
    )
    found: dict[str, int] = Field({}, description="kind -> files that the data gate objects to or suspects")
    findings: tuple[Found, ...] = Field(
        (), description="the most certain of each kind, 100 at most, without quarantined files"
    )
    reencoded: dict[str, int] = Field({}, description="reason -> images that were re-encoded")
    unlabelled: BySplit = Field({}, description="split -> images of which no label is known")
    unknown: dict[str, float] = Field(
        {}, description='shares that were not stated: of "images", and of "labels" or "pixels"'
    )
    fingerprint: str = Field("", description="digest of everything that training can see of the images")
    pool: PoolSummary | None = Field(None, description="images of `data.unlabelled`; null without the key")


class SliceResult(Sparse):
    """Metrics of one slice of the test split."""

    slice: dict[str, str] = Field(description="column -> value")
    metrics: Numbers
    per_label: dict[str, Numbers] = Field({}, description="label -> metrics")


class SamePart(Sparse):
    """The new model on the part of the test split that it is compared on with the served one."""

    images: int = Field(description="test images that are compared")
    left_out: dict[str, int] = Field(
        {}, description="split of the served model's data -> test images that are left out because it learnt from them"
    )
    new: tuple[str, ...] = Field((), description="labels that only the new model knows, which are not compared")
    gone: tuple[str, ...] = Field((), description="labels that only the served model knows, which are not compared")
    metrics: Numbers = Field({})
    per_label: dict[str, Numbers] = Field({}, description="label -> metrics")


class ServedModel(Sparse):
    """The model that was served before, on the test images and labels that are compared."""

    version: str
    metrics: Numbers = Field({})
    per_label: dict[str, Numbers] = Field({}, description="label -> metrics")
    compared: SamePart | None = Field(
        None, description="the new model's metrics on these images and labels; null where they are all"
    )
    regressions: Regressions | None = Field(
        None, description="test images that this version had right and the new model has wrong"
    )


class Pushed(Sparse):
    """Where the model of the run is."""

    path: ForeignText
    version: str
    challenger: bool = Field(False, description="whether it stands beside the served version, and is not served itself")


class RunSummary(Sparse):
    """Everything that a run came to."""

    run_id: str = Field("", description="sorts by time")
    name: str = Field(description="of the configuration")
    task: str = Field(description="of the configuration")
    command: Literal["run", "tune", "compare"] = Field("run", description="of imagegate")
    status: str = Field(
        description='"pushed", "up_to_date", "not_blessed", "data_rejected", "failed", "stopped" by a signal, '
        '"killed"; "tuned", a search without a model; "compared", a comparison of methods'
    )
    exit_code: int = 1
    started: str | None = Field(None, description="RFC 3339")
    seconds: float | None = None
    stages: tuple[Stage, ...] = ()
    data: DataSummary = DataSummary()
    imbalance: str = Field("", description="what made up for rare labels: a value of `training.imbalance`")
    label_weights: dict[str, float] = Field({}, description="label -> weight in the loss")
    unlabelled: Pool | None = Field(
        None, description="how images without labels were learnt from; null where there were none"
    )
    synthetic: Synthetic | None = Field(
        None, description="images that were made for rare labels, and whether they were used; null without"
    )
    tuning: Trials | None = Field(None, description="the search for better settings; null without one")
    comparison: MethodComparison | None = Field(None, description="the comparison of methods; null without one")
    metrics: Numbers = Field({}, description="of the test split")
    per_label: dict[str, Numbers] = Field({}, description="label -> metrics")
    slices: tuple[SliceResult, ...] = ()
    weak_groups: WeakGroups | None = Field(
        None, description="parts of the test split where the model is weak; null where nothing was evaluated"
    )
    trivial: Trivial | None = Field(
        None, description="what trivial methods reach on the test split; null where nothing was evaluated"
    )
    tfma: dict[str, Any] = Field({}, description="TensorFlow Model Analysis's own metrics, by its names")
    baseline: ServedModel | None = Field(None, description="null where no model could be compared with")
    checkpoint: Checkpoint | None = Field(
        None, description="how the weights were chosen; null where no network was trained"
    )
    decisions: DecisionSummary = Field(DecisionSummary(), description="how outputs become answers")
    serving: ServingMeasurement = Field(ServingMeasurement(), description="cost of serving")
    exports: tuple[Export, ...] = Field((), description="the model in further formats, as `push.formats` wants it")
    gates: tuple[Verdict, ...] = Field((), description="verdicts of all gates")
    pushed: Pushed | None = Field(None, description="null where the model was not pushed")
    report: ForeignText | None = Field(None, description="path of the page")
    error: ForeignText | None = Field(None, description="why the run failed, or a gate refused")
    notes: tuple[ForeignText, ...] = Field((), description="sentences that qualify the result")
    artifacts: dict[str, ForeignText] = Field({}, description="key -> folder, relative to the output")
    fingerprints: dict[str, str] = Field({}, description="digests of data, configuration and code")
    versions: dict[str, str] = Field({}, description="of Python, imagegate and the libraries that results depend on")
    configuration: dict[str, Any] = Field({}, description="every setting, with its default where none was given")

    @property
    def same_part(self) -> SamePart:
        """This model on what the served one's metrics are of."""
        part = self.baseline.compared if self.baseline else None
        images = self.data.counts.get("test", 0)
        return part or SamePart(images=images, metrics=self.metrics, per_label=self.per_label)
