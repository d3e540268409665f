"""What a run did: collected stage by stage, written as summary.json, drawn as tables in the terminal."""

from __future__ import annotations

import datetime
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from components import metrics
from components.base import fingerprint
from components.base.artifact_files import SCHEMA, SUMMARY
from components.base.files import write_atomically
from components.base.text import shown
from components.data import schema
from components.ingest import manifest
from components.labels import kinds
from components.report.outcome import Outcome
from components.report.run_summary import RunSummary, Stage

if TYPE_CHECKING:
    from rich.console import Console

    from components.push.versions import Served
    from pipeline.config import Config

# Keys of a run that are told again where nothing is new since.
_TAKEN = (
    *("data", "label_weights", "metrics", "per_label", "slices", "tfma", "baseline", "decisions", "serving", "gates"),
    "fingerprints",
)


class Summary(Outcome):
    """One run: its outcome, when it ran and with what.

    Attributes:
        config: the settings.
        run_id: sorts by time.
        stages: those that ran, with seconds and whether from the cache.
        fingerprints: of data, configuration and code.
        report: path of the page, or None.
        schema: text of the schema of the data, or "".
    """

    def __init__(self, config: Config) -> None:
        super().__init__(
            task=config.task, destination=config.destination, without_thresholds=config.push.without_thresholds
        )
        self.config = config
        self.stages: list[dict[str, Any]] = []
        self.fingerprints: dict[str, str] = {}
        self.report: str | None = None
        self.schema = ""
        self._started = datetime.datetime.now().astimezone()
        self._clock, self._seconds = time.monotonic(), 0.0
        self.run_id = f"{self._started:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"

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
            self.add(key, artifact.uri, properties)
        return cached

    def _readers(self) -> dict[str, Callable[[str, dict[str, Any]], None]]:
        return super()._readers() | {"examples": self._read_examples}

    def _read_examples(self, uri: str, _: dict[str, Any]) -> None:
        self.schema = schema.frozen(self.config.task, manifest.read(uri))

    def up_to_date(self, served: Served, earlier: RunSummary | None) -> None:
        """Ends a run for which nothing is new since `earlier`: the numbers are its numbers."""
        self.status, self.exit_code = "up_to_date", 0
        if earlier is not None:
            plain = json.loads(earlier.to_json())
            vars(self).update({key: plain[key] for key in _TAKEN if key in plain})
            self.artifacts = located(earlier, self.config.output_folder)
        self.pushed = {"path": served.path, "version": served.version}

    def stop(self) -> None:
        """Ends the run's time: the report and the file tell the same."""
        self._seconds = self._elapsed()

    def _elapsed(self) -> float:
        return round(time.monotonic() - self._clock, 3)

    def freeze(self) -> RunSummary:
        """The summary of what has happened so far."""
        return RunSummary(
            **self.told(),
            run_id=self.run_id,
            name=self.config.name,
            started=self._started.isoformat(timespec="seconds"),
            seconds=self._seconds or self._elapsed(),
            stages=tuple(Stage(**stage) for stage in self.stages),
            report=self.report,
            # Relative, so that the whole output can be moved.
            artifacts={k: os.path.relpath(v, self.config.output_folder) for k, v in self.artifacts.items()},
            fingerprints=self.fingerprints,
            versions=fingerprint.versions(),
            configuration=self.config.plain(),
        )

    def write(self, folder: str) -> None:
        """Writes `folder/summary.json` in one step, and the schema of the data if they were read."""
        if self.schema:
            with open(os.path.join(folder, SCHEMA), "w", encoding="utf-8") as f:
                f.write(self.schema)
        path = os.path.join(folder, SUMMARY)
        write_atomically(path, self.freeze().to_json(indent=1))

    def show(self, console: Console) -> None:
        """Draws the verdict and, where there are any, the labels and overall metrics."""
        from rich.markup import escape
        from rich.table import Table

        if self.data.get("labels"):
            console.print(label_table(self.data["labels"], self.label_weights, self.per_label))
            for line in unknown_lines(self.data.get("unknown", {})):
                console.print(escape(shown(line)), highlight=False)
            if self.data["quarantined"]:
                console.print(f"quarantined: {_files(self.data['quarantined'])}; see {SUMMARY}", highlight=False)
            if self.data["ignored"]:
                names = escape(shown(", ".join(self.data["ignored"][:5])))
                console.print(
                    f"ignored: {_files(self.data['ignored'])}, meaning nothing here: {names}",
                    highlight=False,
                )
        if self.metrics:
            table = Table("metric", "test", *(["served model"] if self.baseline else []), box=None, pad_edge=False)
            for name in (
                *kinds.kind(self.config.task).overall,
                *(m for m in metrics.OUT_OF_DISTRIBUTION if m in self.metrics),
            ):
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
        if self.report is not None:
            console.print(f"report: {escape(shown(self.report))}", highlight=False, soft_wrap=True)
        self._show_verdict(console)

    def _show_verdict(self, console: Console) -> None:
        from rich.markup import escape

        held = sum(g["gate"] == "model_gate" and g["value"] is not None for g in self.gates)
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


def located(summary: RunSummary, output: str) -> dict[str, str]:
    """The artifacts of a run below `output`: key -> folder."""
    return {key: os.path.join(output, path) for key, path in summary.artifacts.items()}


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


def _files(found: Sequence[Any]) -> str:
    return f"{len(found):,} file{'' if len(found) == 1 else 's'}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
