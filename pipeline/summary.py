"""What a run did: collected stage by stage, written as summary.json, drawn as tables in the terminal."""

from __future__ import annotations

import datetime
import json
import math
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from components import balance, decisions, manifest, metrics, schema, unknown
from components.errors import DataRejected, ImagegateError, shown
from components.layouts import LayoutError

if TYPE_CHECKING:
    from rich.console import Console

    from components.push import Served
    from pipeline.config import Config

FILE = "summary.json"
_UNJUDGED = "no threshold is configured and nothing has judged this model; push.without_thresholds lets it pass"


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


@dataclass
class Summary:
    """One run, in the fields of summary.json."""

    config: Config
    run_id: str = ""
    status: str = "failed"
    exit_code: int = 1
    stages: list[dict[str, Any]] = field(default_factory=list)
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
    schema: str = ""

    def __post_init__(self) -> None:
        self._started = datetime.datetime.now().astimezone()
        self._clock = time.monotonic()
        self.run_id = self.run_id or f"{self._started:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"

    def add_stage(self, store: Any, name: str, execution: Any, seconds: float) -> bool:
        """Records a finished stage and reads what it put out; returns whether it came from the cache.

        Args:
            store: the open MetadataStore.
            name: the stage's.
            execution: what the launcher returned.
            seconds: how long it took.
        """
        from ml_metadata.proto import metadata_store_pb2 as mlmd

        [record] = store.get_executions_by_id([execution.execution_id])
        cached: bool = record.last_known_state == mlmd.Execution.CACHED
        self.stages.append({"name": name, "seconds": round(seconds, 3), "cached": cached})
        events = store.get_events_by_execution_ids([execution.execution_id])
        outputs = {e.artifact_id: e.path.steps[0].key for e in events if e.type == mlmd.Event.OUTPUT}
        for artifact in store.get_artifacts_by_id(list(outputs)):
            key = outputs[artifact.id]
            properties = {k: getattr(v, v.WhichOneof("value")) for k, v in artifact.custom_properties.items()}
            reader = getattr(self, f"_read_{key}", None)
            if reader is not None:
                reader(artifact.uri, properties)
        return cached

    def _read_examples(self, uri: str, _: dict[str, Any]) -> None:
        self.schema = schema.frozen(self.config.task, manifest.read(uri))

    def _read_class_balance(self, uri: str, _: dict[str, Any]) -> None:
        with open(os.path.join(uri, "class_balance.json"), encoding="utf-8") as f:
            found = json.load(f)
        self._read_manifest(found["manifest"])
        self.label_weights = found["weights"]
        self.notes += [f"warning: labels {text}" for text in balance.warnings(self.data["labels"])]
        self.gates += found["verdicts"]

    def _read_manifest(self, manifest: dict[str, Any]) -> None:
        if manifest:
            self.data = {
                "counts": manifest["counts"],
                "labels": manifest["label_counts"],
                "quarantined": manifest["quarantined"],
                "ignored": manifest["ignored"],
                "reencoded": manifest["changed"],
                "unlabelled": manifest["unlabelled"],
                "unknown": balance.unknown(manifest),
                "fingerprint": manifest["content"],
            }

    def _read_model(self, uri: str, _: dict[str, Any]) -> None:
        with open(os.path.join(uri, "Format-Serving", "assets.extra", decisions.FILE), encoding="utf-8") as f:
            self.decisions = json.load(f)

    def _read_baseline_model(self, _: str, properties: dict[str, Any]) -> None:
        if properties.get("version"):
            self.baseline = {"version": properties["version"], "metrics": {}}
        elif properties.get("note"):
            self.notes.append(f"no comparison: {properties['note']}")

    def _read_evaluation(self, uri: str, _: dict[str, Any]) -> None:
        from components import evaluation

        with open(os.path.join(uri, "verdicts.json"), encoding="utf-8") as f:
            verdicts = json.load(f)
        self.gates += verdicts
        self.notes += [
            f"warning: evaluation.unknown: {file['path']} was left out: {file['reason']}"
            for file in unknown.read(uri).get("unusable", ())
        ]
        self.notes += [f"not judged: {v['reason']}" for v in verdicts if v["passed"] and v["value"] is None]
        if not verdicts and self.config.push.without_thresholds:
            self.notes.append(f"warning: {_UNJUDGED}")
        for where, numbers in evaluation.results(uri, evaluation.CANDIDATE):
            overall, per_label = _split(self.config.task, numbers, list(self.data["labels"]))
            if where:
                self.slices.append({"slice": where, "metrics": overall, "per_label": per_label})
            else:
                self.metrics, self.per_label = overall, per_label
        self.tfma = evaluation.standard_results(uri, evaluation.CANDIDATE)
        if self.baseline is not None:
            served = next(n for where, n in evaluation.results(uri, evaluation.BASELINE) if not where)
            overall, per_label = _split(self.config.task, served, list(self.data["labels"]))
            self.baseline |= {"metrics": overall, "per_label": per_label}

    def _read_serving_check_out(self, uri: str, _: dict[str, Any]) -> None:
        with open(os.path.join(uri, "serving.json"), encoding="utf-8") as f:
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
                "path": os.path.join(self.config.destination, properties["pushed_version"]),
                "version": properties["pushed_version"],
            }
        else:
            self.status, self.exit_code = "not_blessed", 4
            self.error = refusal(self.gates, properties.get("withdrawn"))

    def up_to_date(self, served: Served, earlier: dict[str, Any]) -> None:
        """Nothing is new since `earlier`, a summary.json: the numbers are its numbers."""
        self.status, self.exit_code = "up_to_date", 0
        taken = ("data", "label_weights", "metrics", "per_label", "slices", "tfma", "baseline", "decisions", "serving")
        for key in (*taken, "gates"):
            if key in earlier:
                setattr(self, key, earlier[key])
        self.pushed = {"path": served.path, "version": served.version}

    def fail(self, error: ImagegateError) -> None:
        """Ends the run with an answer."""
        self.exit_code, self.error = error.exit_code, str(error)
        if isinstance(error, DataRejected):
            self.gates += [v.to_json() for v in error.verdicts]
            self._read_manifest(error.manifest)
        rejected = isinstance(error, DataRejected | LayoutError)
        self.status = "data_rejected" if rejected else "failed"

    def to_json(self) -> dict[str, Any]:
        """The object of summary.json."""
        return {
            "run_id": self.run_id,
            "name": self.config.name,
            "task": self.config.task,
            "status": self.status,
            "exit_code": self.exit_code,
            "started": self._started.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self._clock, 3),
            "stages": self.stages,
            "data": self.data,
            "label_weights": self.label_weights,
            "metrics": self.metrics,
            "per_label": self.per_label,
            "slices": self.slices,
            "tfma": self.tfma,
            "baseline": self.baseline,
            "decisions": self.decisions,
            "serving": self.serving,
            "gates": self.gates,
            "pushed": self.pushed,
            "report": None,
            "error": self.error,
        }

    def write(self, folder: str) -> None:
        """Writes `folder/summary.json` in one step, and the schema of the data if they were read."""
        if self.schema:
            with open(os.path.join(folder, schema.FILE), "w", encoding="utf-8") as f:
                f.write(self.schema)
        path = os.path.join(folder, FILE)
        with open(path + ".tmp", "w", encoding="utf-8") as f:
            json.dump(self.to_json(), f, ensure_ascii=True, indent=1, allow_nan=False)
        os.replace(path + ".tmp", path)

    def show(self, console: Console) -> None:
        """Draws the verdict and, where there are any, the labels and overall metrics."""
        from rich.markup import escape
        from rich.table import Table

        if self.data.get("labels"):
            console.print(label_table(self.data["labels"], self.label_weights, self.per_label))
            for line in unknown_lines(self.data.get("unknown", {})):
                console.print(escape(shown(line)), highlight=False)
            if self.data["quarantined"]:
                console.print(f"quarantined: {_files(self.data['quarantined'])}; see {FILE}", highlight=False)
            if self.data["ignored"]:
                names = escape(shown(", ".join(self.data["ignored"][:5])))
                console.print(
                    f"ignored: {_files(self.data['ignored'])}, meaning nothing here: {names}",
                    highlight=False,
                )
        if self.metrics:
            table = Table("metric", "test", *(["served model"] if self.baseline else []), box=None, pad_edge=False)
            for name in (*metrics.OVERALL[self.config.task], *(m for m in metrics.UNKNOWN if m in self.metrics)):
                row = [name, _number(self.metrics.get(name))]
                table.add_row(*row, *([_number(self.baseline["metrics"].get(name))] if self.baseline else []))
            console.print(table)
        if "latency_ms" in self.serving:
            console.print(
                f"serving: {self.serving['latency_ms']['median']:.1f} ms for one image, "
                f"{self.serving['images_per_second']:.0f} images a second in batches, "
                f"{self.serving['megabytes']:.1f} MB",
                highlight=False,
            )
        for note in self.notes if self.metrics else ():
            console.print(escape(note), highlight=False)
        self._show_verdict(console)

    def _show_verdict(self, console: Console) -> None:
        from rich.markup import escape

        held = sum(g["gate"] == "evaluation" and g["value"] is not None for g in self.gates)
        holding = f"{held} threshold{'s' if held != 1 else ''} held" if held else "[bold red]nothing has judged it[/]"
        pushed = self.pushed or {}
        untouched = "the served model is untouched"
        text = {
            "pushed": f"[bold green]pushed[/] version {pushed.get('version')}: {holding} -> "
            f"{escape(pushed.get('path', ''))}",
            "up_to_date": f"[bold green]up to date[/]: nothing new since version {pushed.get('version')} was pushed",
            "not_blessed": f"[bold red]refused by the model gate[/]; {untouched}:",
            "data_rejected": f"[bold red]refused by the data gate[/]; nothing was trained, {untouched}:",
            "failed": f"[bold red]failed[/]; {untouched}:",
        }[self.status]
        console.print(text, highlight=False, soft_wrap=True)
        for line in (self.error or "").splitlines():
            console.print(f"  {escape(shown(line))}", highlight=False, soft_wrap=True)


def label_table(
    counts: dict[str, dict[str, int]],
    weights: dict[str, float],
    per_label: dict[str, dict[str, float | None]] | None = None,
) -> Any:
    """A rich table of labels: examples by split, weight and, if there are any, the metrics on test."""
    from rich.markup import escape
    from rich.table import Table

    found = {m for numbers in (per_label or {}).values() for m in numbers}
    shown = [m for m in ("iou", "precision", "recall", "f1") if m in found]
    table = Table(box=None, pad_edge=False)
    table.add_column("label")
    for name in ("train", "eval", "test", *(["weight"] if weights else []), *shown):
        table.add_column(name, justify="right")
    for label, by_split in counts.items():
        cells = [f"{by_split[s]:,}" for s in ("train", "eval", "test")]
        cells += [f"{weights[label]:.3f}"] if weights else []
        cells += [_number((per_label or {}).get(label, {}).get(m)) for m in shown]
        table.add_row(escape(label), *cells)
    return table


def unknown_lines(shares: Mapping[str, float]) -> list[str]:
    """`balance.unknown` in words; nothing where everything is known."""
    what = {"images": "images have no label", "labels": "labels of images are unknown", "pixels": "pixels are ignored"}
    return [f"{share:.1%} of all {what[name]}: they take part in nothing" for name, share in shares.items() if share]


def _split(
    task: str, numbers: dict[str, Any], labels: list[str]
) -> tuple[dict[str, float | None], dict[str, dict[str, float | None]]]:
    """TFMA's flat keys -> (overall, per label); NaN becomes None, which JSON has."""

    def plain(value: float) -> float | None:
        return None if math.isnan(value) else value

    named = (*metrics.OVERALL[task], *metrics.COUNTS, *(m for m in metrics.UNKNOWN if m in numbers))
    overall = {m: plain(numbers[m]) for m in named}
    per_label = {label: {m: plain(numbers[metrics.key(m, label)]) for m in metrics.PER_LABEL[task]} for label in labels}
    return overall, per_label


def _files(found: Sequence[Any]) -> str:
    return f"{len(found):,} file{'' if len(found) == 1 else 's'}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
