"""The outcome of a run, read from the artifacts of its stages for summary.json, the terminal and the report."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components import metrics
from components.base import checkpoint
from components.base.artifact_files import (
    CLASS_BALANCE,
    DATASET_MANIFEST,
    DECISIONS_FILE,
    EXPORTS,
    IMBALANCE,
    LABEL_WEIGHTS,
    METHODS,
    POOL,
    SERVING,
    SYNTHETIC,
    TRIALS,
    VERDICTS,
)
from components.base.checkpoint import Checkpoint
from components.base.errors import ImagegateError
from components.base.text import truncated_list
from components.base.verdict import Verdict
from components.data.dataset import LayoutError
from components.data.manifest import DatasetManifest
from components.evaluation import beside, comparison, out_of_distribution
from components.exports.records import Export, ExportResult
from components.gates import data_gate
from components.gates.compared import Compared, whole
from components.gates.errors import DataRejected
from components.gates.found import Trivial, WeakGroups
from components.gates.records import DataGateResult, ServingMeasurement, ServingResult, Suspicions
from components.labels import kinds
from components.model.comparing.record import MethodComparison
from components.model.fitting.synthetic import Synthetic
from components.model.fitting.unlabelled.record import Pool
from components.model.tuning.journal import Trials
from components.push.manifest import DecisionSummary
from components.push.refusals import NotPushed
from components.report.run_summary import DataSummary, Numbers, PoolSummary, Pushed, SamePart, ServedModel, SliceResult

Properties = Mapping[str, Any]  # custom properties of an artifact
_UNJUDGED = "no threshold is configured and nothing has judged this model; push.without_thresholds lets it pass"
_IMAGES = 8  # of a weak group, that a summary names and the page shows
_REGRESSIONS = 24  # likewise
_SUMMARIZED = (
    *(
        "task",
        "status",
        "exit_code",
        "data",
        "imbalance",
        "label_weights",
        "unlabelled",
        "synthetic",
        "tuning",
        "comparison",
        "metrics",
        "per_label",
        "slices",
        "weak_groups",
        "trivial",
        "tfma",
    ),
    *("baseline", "checkpoint", "decisions", "serving", "exports", "gates", "pushed", "error", "notes"),
)


@dataclass
class Outcome:
    """Results of the stages so far, in the fields of `RunSummary`.

    Attributes:
        task: as in the configuration.
        destination: folder or URL of pushed models.
        without_thresholds: whether a model that no rule has judged is pushed.
        notes: sentences that qualify the result.
        artifacts: key of an artifact -> its folder.
    """

    task: str
    destination: str = ""
    without_thresholds: bool = False
    status: str = "failed"
    exit_code: int = 1
    data: DataSummary = field(default_factory=DataSummary)
    imbalance: str = ""
    label_weights: dict[str, float] = field(default_factory=dict)
    unlabelled: Pool | None = None
    synthetic: Synthetic | None = None
    tuning: Trials | None = None
    comparison: MethodComparison | None = None
    metrics: Numbers = field(default_factory=dict)
    per_label: dict[str, Numbers] = field(default_factory=dict)
    slices: list[SliceResult] = field(default_factory=list)
    weak_groups: WeakGroups | None = None
    trivial: Trivial | None = None
    tfma: Mapping[str, Any] = field(default_factory=dict)
    baseline: ServedModel | None = None
    gates: list[Verdict] = field(default_factory=list)
    pushed: Pushed | None = None
    error: str | None = None
    checkpoint: Checkpoint | None = None
    decisions: DecisionSummary = field(default_factory=DecisionSummary)
    serving: ServingMeasurement = field(default_factory=ServingMeasurement)
    exports: list[Export] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    artifacts: dict[str, str] = field(default_factory=dict)
    _pool: PoolSummary | None = None

    def fields(self) -> dict[str, Any]:
        """Values for the fields of `RunSummary` that follow from the stages."""
        return {key: getattr(self, key) for key in _SUMMARIZED}

    def add(self, key: str, uri: str, properties: Properties) -> None:
        """Reads one artifact.

        Args:
            key: of the stage's output, such as "model_run".
            uri: the artifact's folder.
            properties: the artifact's custom properties.
        """
        self.artifacts[key] = uri
        if key in self._readers():
            self._readers()[key](uri, properties)

    def _readers(self) -> dict[str, Callable[[str, Properties], None]]:
        """Methods that read an artifact, by its key; other artifacts are only listed."""
        return {
            "unlabelled": self._read_unlabelled,
            "synthetic": self._read_synthetic,
            "class_balance": self._read_class_balance,
            "tuner_results": self._read_tuner_results,
            "comparison": self._read_comparison,
            "model": self._read_model,
            "model_run": self._read_model_run,
            "baseline_model": self._read_baseline_model,
            "evaluation": self._read_evaluation,
            "serving_check_out": self._read_serving_check_out,
            "exports": self._read_exports,
            "pushed_model": self._read_pushed_model,
        }

    def _read_unlabelled(self, uri: str, _: Properties) -> None:
        told = DatasetManifest.from_json(_text(uri, DATASET_MANIFEST))
        pool = PoolSummary(
            images=sum(told.counts.values()), left_out=told.excluded, quarantined=told.quarantined, notes=told.notes
        )
        self._pool = pool
        self.notes += [f"data.unlabelled: {note}" for note in told.notes]
        if told.excluded:
            named = truncated_list(f"{file.path} ({file.reason})" for file in told.excluded)
            self.notes.append(f"data.unlabelled: {len(told.excluded):,} images were left out: {named}")
        if told.quarantined:
            named = truncated_list(f"{file.path} ({file.reason})" for file in told.quarantined)
            self.notes.append(f"data.unlabelled: {len(told.quarantined):,} files were quarantined: {named}")

    def _read_synthetic(self, uri: str, _: Properties) -> None:
        self.synthetic = Synthetic.from_json(_text(uri, SYNTHETIC))

    def _read_class_balance(self, uri: str, _: Properties) -> None:
        result = DataGateResult.from_json(_text(uri, CLASS_BALANCE))
        self._read_manifest(result.manifest, result.suspicions)
        self.notes += [f"warning: labels {text}" for text in data_gate.warnings(self.data.labels)]
        self.gates += result.verdicts

    def _read_manifest(self, manifest: DatasetManifest | None, found: Suspicions) -> None:
        if manifest:
            self.data = DataSummary(
                counts=manifest.counts,
                labels=manifest.label_counts,
                quarantined=manifest.quarantined,
                excluded=manifest.excluded,
                ignored=manifest.ignored,
                notes=(*manifest.notes, *found.notes),
                found=found.counts,
                findings=found.first,
                reencoded=manifest.changed,
                unlabelled=manifest.unlabelled,
                unknown=data_gate.unknown(manifest),
                fingerprint=manifest.content,
                pool=self._pool,
            )

    def _read_tuner_results(self, uri: str, _: Properties) -> None:
        self.tuning = Trials.from_json(_text(uri, TRIALS))

    def _read_comparison(self, uri: str, _: Properties) -> None:
        self.comparison = MethodComparison.from_json(_text(uri, METHODS))

    def _read_model(self, uri: str, _: Properties) -> None:
        folder = os.path.join(uri, "Format-Serving", "assets.extra")
        self.decisions = DecisionSummary.from_json(_text(folder, DECISIONS_FILE))

    def _read_model_run(self, uri: str, _: Properties) -> None:
        self.checkpoint = checkpoint.read(uri)
        self.imbalance = json.loads(_text(uri, IMBALANCE))
        self.label_weights = json.loads(_text(uri, LABEL_WEIGHTS))
        if os.path.exists(os.path.join(uri, POOL)):
            self.unlabelled = Pool.from_json(_text(uri, POOL))
            self.notes += self.unlabelled.sentences()

        if os.path.exists(os.path.join(uri, SYNTHETIC)):
            self.synthetic = Synthetic.from_json(_text(uri, SYNTHETIC))  # now with what became of them
            self.notes += self.synthetic.sentences()

    def _read_baseline_model(self, _: str, properties: Properties) -> None:
        # What is compared is told by the evaluation; a run may end before it.
        if properties.get("broken"):
            self.notes.append(f"no comparison: {properties['broken']}")

    def _read_evaluation(self, uri: str, _: Properties) -> None:
        from components.evaluation import analysis

        verdicts = [Verdict(**verdict) for verdict in json.loads(_text(uri, VERDICTS))]
        self.gates += verdicts
        self.notes += [
            f"warning: evaluation.out_of_distribution: {file['path']} was left out: {file['reason']}"
            for file in out_of_distribution.read(uri).get("unusable", ())
        ]
        compared = comparison.read(uri)
        self.notes += [sentence for sentence in compared.sentences() if sentence not in self.notes]
        why = compared.why_not  # said once, not again of every rule
        unjudged = [v.reason for v in verdicts if not v.judged and not (why and v.reason.endswith(why))]
        self.notes += [f"not judged: {reason}" for reason in unjudged]
        if not verdicts and self.without_thresholds:
            self.notes.append(f"warning: {_UNJUDGED}")
        labels = list(self.data.labels)
        for where, numbers in analysis.results(uri, analysis.CANDIDATE):
            overall, per_label = split(self.task, numbers, labels)
            if where:
                self.slices.append(SliceResult(slice=where, metrics=overall, per_label=per_label))
            else:
                self.metrics, self.per_label = overall, per_label
        found = beside.read(uri)
        groups = tuple(group.shortened(_IMAGES) for group in found.weak.groups)
        self.weak_groups, self.trivial = found.weak.model_copy(update={"groups": groups}), found.trivial
        self.notes += [f"warning: weak group: {group.sentence()}" for group in groups]
        self.tfma = analysis.standard_results(uri, analysis.CANDIDATE)
        if compared.version:
            self.baseline = self._served(uri, compared)

    def _served(self, evaluation: str, compared: Compared) -> ServedModel:
        """The served model's numbers, and those of this one where only a part is compared."""
        from components.evaluation import analysis

        found = compared.regressions and compared.regressions.shortened(_REGRESSIONS)
        if compared.whole:
            overall, per_label = split(self.task, analysis.whole(evaluation, analysis.BASELINE), compared.labels)
            return ServedModel(version=compared.version, metrics=overall, per_label=per_label, regressions=found)
        served, own = (split(self.task, whole(part), compared.labels) for part in (compared.served, compared.candidate))
        part = SamePart(
            images=compared.images,
            left_out=compared.left_out,
            new=compared.new,
            gone=compared.gone,
            metrics=own[0],
            per_label=own[1],
        )
        return ServedModel(
            version=compared.version, metrics=served[0], per_label=served[1], compared=part, regressions=found
        )

    def _read_serving_check_out(self, uri: str, _: Properties) -> None:
        content = _text(uri, SERVING)
        self.gates += ServingResult.from_json(content).verdicts
        self.serving = ServingMeasurement.from_json(content)

    def _read_exports(self, uri: str, _: Properties) -> None:
        self.exports = list(ExportResult.from_json(_text(uri, EXPORTS)).exports)
        self.notes += [f"warning: {one.sentence()}" for one in self.exports if not one.passed]

    def _read_pushed_model(self, _: str, properties: Properties) -> None:
        version = properties.get("pushed_version")
        if properties.get("removed"):
            self.notes.append(f"removed older versions: {properties['removed']}")
        if properties.get("note"):
            self.notes.append(f"warning: {properties['note']}")
        beside = {"challenger": True} if properties.get("challenger") else {}
        if properties.get("pushed"):
            self.status, self.exit_code = "pushed", 0
            self.pushed = Pushed(path=properties["pushed_destination"], version=properties["pushed_version"], **beside)
        elif version:
            self.status, self.exit_code = "up_to_date", 0
            self.pushed = Pushed(path=os.path.join(self.destination, version), version=version, **beside)
        else:
            self.status, self.exit_code = "not_blessed", 4
            self.error = refusal(self.gates, properties.get("not_pushed"))

    def fail(self, error: ImagegateError) -> None:
        """Ends the run with an error; the error decides status and exit code."""
        self.exit_code, self.error = error.exit_code, str(error)
        if isinstance(error, DataRejected):
            self.gates += error.verdicts
            self._read_manifest(error.manifest, error.suspicions)
        rejected = isinstance(error, DataRejected | LayoutError)
        refused = "not_blessed" if isinstance(error, NotPushed) else "failed"
        self.status = "data_rejected" if rejected else refused


def refusal(verdicts: Sequence[Verdict], not_pushed: str | None) -> str:
    """The reasons why a model was not pushed, one per line.

    Args:
        verdicts: of the model gate and the serving check.
        not_pushed: why a model that passed was not pushed.
    """
    failed = [verdict.reason for verdict in verdicts if not verdict.passed]
    unjudged = (
        "no threshold is configured, so nothing says that this model is good enough; add evaluation.thresholds "
        "(or push.without_thresholds: true, to push a model that nothing has judged)"
    )
    return "\n".join(failed) or not_pushed or unjudged


def split(task: str, numbers: Mapping[str, float], labels: Sequence[str]) -> tuple[Numbers, dict[str, Numbers]]:
    """Splits TFMA's flat keys into metrics of the whole and metrics by label; NaN becomes None."""

    def plain(value: float) -> float | None:
        return None if math.isnan(value) else value

    kind = kinds.kind(task)
    named = (*kind.overall, *metrics.COUNTS, *(m for m in metrics.OUT_OF_DISTRIBUTION if m in numbers))
    overall = {m: plain(numbers[m]) for m in named if m in numbers}
    per_label = {label: {m: plain(numbers[metrics.key(m, label)]) for m in kind.per_label} for label in labels}
    return overall, per_label


def _text(folder: str, name: str) -> str:
    with open(os.path.join(folder, name), encoding="utf-8") as f:
        return f.read()
