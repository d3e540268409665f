"""What a run came to, read from the artifacts of its stages: for summary.json, the terminal and the report alike."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components import metrics
from components.base.artifact_files import CLASS_BALANCE, DECISIONS_FILE, SERVING, VERDICTS
from components.base.errors import ImagegateError
from components.data.dataset import LayoutError
from components.data.manifest import DatasetManifest
from components.evaluation import out_of_distribution
from components.gates import data_gate
from components.gates.errors import DataRejected
from components.gates.records import DataGateResult
from components.labels import kinds

_UNJUDGED = "no threshold is configured and nothing has judged this model; push.without_thresholds lets it pass"


@dataclass
class Outcome:
    """What the stages put out so far, in the fields of summary.json.

    Attributes:
        task: as in the configuration.
        destination: of pushed models.
        without_thresholds: whether a model that nothing judges is pushed.
        notes: sentences that qualify the result.
        artifacts: key of each artifact -> where it is.
    """

    task: str
    destination: str = ""
    without_thresholds: bool = False
    status: str = "failed"
    exit_code: int = 1
    data: dict[str, Any] = field(default_factory=dict)
    label_weights: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float | None] = field(default_factory=dict)
    per_label: dict[str, dict[str, float | None]] = field(default_factory=dict)
    slices: list[dict[str, Any]] = field(default_factory=list)
    tfma: dict[str, Any] = field(default_factory=dict)
    baseline: dict[str, Any] | None = None
    gates: list[dict[str, Any]] = field(default_factory=list)
    pushed: dict[str, str] | None = None
    error: str | None = None
    decisions: dict[str, Any] = field(default_factory=dict)
    serving: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    artifacts: dict[str, str] = field(default_factory=dict)

    def told(self) -> dict[str, Any]:
        """What summary.json says of it."""
        keys = ("task", "status", "exit_code", "data", "label_weights", "metrics", "per_label", "slices", "tfma")
        more = ("baseline", "decisions", "serving", "gates", "pushed", "error", "notes")
        return {key: getattr(self, key) for key in (*keys, *more)}

    def add(self, key: str, uri: str, properties: dict[str, Any]) -> None:
        """Takes in one artifact.

        Args:
            key: of the stage's output, such as "model_run".
            uri: its folder.
            properties: its custom properties.
        """
        self.artifacts[key] = uri
        if key in self._readers():
            self._readers()[key](uri, properties)

    def _readers(self) -> dict[str, Callable[[str, dict[str, Any]], None]]:
        """Key of an artifact -> the method that reads it; other artifacts are only listed."""
        return {
            "class_balance": self._read_class_balance,
            "model": self._read_model,
            "baseline_model": self._read_baseline_model,
            "evaluation": self._read_evaluation,
            "serving_check_out": self._read_serving_check_out,
            "pushed_model": self._read_pushed_model,
        }

    def _read_class_balance(self, uri: str, _: dict[str, Any]) -> None:
        with open(os.path.join(uri, CLASS_BALANCE), encoding="utf-8") as f:
            found = DataGateResult.from_json(f.read())
        self._read_manifest(found.manifest)
        self.label_weights = found.weights
        self.notes += [f"warning: labels {text}" for text in data_gate.warnings(self.data["labels"])]
        self.gates += [vars(v) for v in found.verdicts]

    def _read_manifest(self, manifest: DatasetManifest | None) -> None:
        if manifest:
            self.data = {
                "counts": manifest.counts,
                "labels": manifest.label_counts,
                "quarantined": [vars(file) for file in manifest.quarantined],
                "ignored": list(manifest.ignored),
                "reencoded": manifest.changed,
                "unlabelled": manifest.unlabelled,
                "unknown": data_gate.unknown(manifest),
                "fingerprint": manifest.content,
            }

    def _read_model(self, uri: str, _: dict[str, Any]) -> None:
        with open(os.path.join(uri, "Format-Serving", "assets.extra", DECISIONS_FILE), encoding="utf-8") as f:
            self.decisions = json.load(f)

    def _read_baseline_model(self, _: str, properties: dict[str, Any]) -> None:
        if properties.get("version"):
            self.baseline = {"version": properties["version"], "metrics": {}}
        elif properties.get("note"):
            self.notes.append(f"no comparison: {properties['note']}")

    def _read_evaluation(self, uri: str, _: dict[str, Any]) -> None:
        from components.evaluation import analysis

        with open(os.path.join(uri, VERDICTS), encoding="utf-8") as f:
            verdicts = json.load(f)
        self.gates += verdicts
        self.notes += [
            f"warning: evaluation.out_of_distribution: {file['path']} was left out: {file['reason']}"
            for file in out_of_distribution.read(uri).get("unusable", ())
        ]
        self.notes += [f"not judged: {v['reason']}" for v in verdicts if v["passed"] and v["value"] is None]
        if not verdicts and self.without_thresholds:
            self.notes.append(f"warning: {_UNJUDGED}")
        for where, numbers in analysis.results(uri, analysis.CANDIDATE):
            overall, per_label = split(self.task, numbers, list(self.data["labels"]))
            if where:
                self.slices.append({"slice": where, "metrics": overall, "per_label": per_label})
            else:
                self.metrics, self.per_label = overall, per_label
        self.tfma = analysis.standard_results(uri, analysis.CANDIDATE)
        if self.baseline is not None:
            served = next(n for where, n in analysis.results(uri, analysis.BASELINE) if not where)
            overall, per_label = split(self.task, served, list(self.data["labels"]))
            self.baseline |= {"metrics": overall, "per_label": per_label}

    def _read_serving_check_out(self, uri: str, _: dict[str, Any]) -> None:
        with open(os.path.join(uri, SERVING), encoding="utf-8") as f:
            found = json.load(f)
        self.gates += found.pop("verdicts")
        self.serving = found

    def _read_pushed_model(self, _: str, properties: dict[str, Any]) -> None:
        if properties.get("removed"):
            self.notes.append(f"removed older versions: {properties['removed']}")
        if properties.get("note"):
            self.notes.append(f"warning: {properties['note']}")
        if properties.get("pushed"):
            self.status, self.exit_code = "pushed", 0
            self.pushed = {"path": properties["pushed_destination"], "version": properties["pushed_version"]}
        elif properties.get("pushed_version"):
            self.status, self.exit_code = "up_to_date", 0
            self.pushed = {
                "path": os.path.join(self.destination, properties["pushed_version"]),
                "version": properties["pushed_version"],
            }
        else:
            self.status, self.exit_code = "not_blessed", 4
            self.error = refusal(self.gates, properties.get("withdrawn"))

    def fail(self, error: ImagegateError) -> None:
        """Ends the run with an answer."""
        self.exit_code, self.error = error.exit_code, str(error)
        if isinstance(error, DataRejected):
            self.gates += [vars(v) for v in error.verdicts]
            self._read_manifest(error.manifest)
        rejected = isinstance(error, DataRejected | LayoutError)
        self.status = "data_rejected" if rejected else "failed"


def refusal(gates: Sequence[Mapping[str, Any]], withdrawn: str | None) -> str:
    """Why a model was not pushed.

    Args:
        gates: the verdicts.
        withdrawn: why one that passed them was not.
    """
    failed = [gate["reason"] for gate in gates if not gate["passed"]]
    unjudged = (
        "no threshold is configured, so nothing says that this model is good enough; add evaluation.thresholds "
        "(or push.without_thresholds: true, to push a model that nothing has judged)"
    )
    return "\n".join(failed) or withdrawn or unjudged


def split(
    task: str, numbers: dict[str, Any], labels: list[str]
) -> tuple[dict[str, float | None], dict[str, dict[str, float | None]]]:
    """TFMA's flat keys -> (overall, per label); NaN becomes None, which JSON has."""

    def plain(value: float) -> float | None:
        return None if math.isnan(value) else value

    kind = kinds.kind(task)
    named = (*kind.overall, *metrics.COUNTS, *(m for m in metrics.OUT_OF_DISTRIBUTION if m in numbers))
    overall = {m: plain(numbers[m]) for m in named}
    per_label = {label: {m: plain(numbers[metrics.key(m, label)]) for m in kind.per_label} for label in labels}
    return overall, per_label
