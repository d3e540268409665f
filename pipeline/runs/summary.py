"""The summary of a run, collected stage by stage and written as summary.json."""

from __future__ import annotations

import datetime
import os
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from components.base import fingerprint
from components.base.artifact_files import SCHEMA, SUMMARY
from components.base.files import write_atomically
from components.data import schema
from components.ingest import manifest
from components.report.outcome import Outcome, Properties
from components.report.run_summary import Pushed, RunSummary, Stage

if TYPE_CHECKING:
    from components.push.versions import Served
    from pipeline.config import Config
    from pipeline.runs.handed_on import HandedOn
    from pipeline.stopping import Stopped

# Fields that a run without changes takes from the earlier run.
_TAKEN = (
    "data",
    "imbalance",
    "label_weights",
    "unlabelled",
    "synthetic",
    "tuning",
    "weak_groups",
    "trivial",
    "metrics",
    "per_label",
    "tfma",
    "baseline",
    "decisions",
    "serving",
    "exports",
    "fingerprints",
)


class Summary(Outcome):
    """The outcome of a run, and when and with what it ran.

    Attributes:
        config: the settings.
        command: of imagegate.
        run_id: sorts by time.
        stages: the stages that ran.
        fingerprints: of data, configuration and code.
        report: path of the page, or None.
        schema: text of the schema of the data, or "".
    """

    def __init__(self, config: Config, command: Literal["run", "tune", "compare"] = "run") -> None:
        super().__init__(
            task=config.task, destination=config.destination, without_thresholds=config.push.without_thresholds
        )
        self.config, self.command = config, command
        self.stages: list[Stage] = []
        self.fingerprints: dict[str, str] = {}
        self.report: str | None = None
        self.schema = ""
        self._started = datetime.datetime.now().astimezone()
        self._clock, self._seconds = time.monotonic(), 0.0
        self.run_id = f"{self._started:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"

    def add_stage(
        self,
        store: Any,
        name: str,
        execution: Any,
        seconds: float,
        handed_on: HandedOn,
        place: Callable[[str], str] = str,
        memory: int | None = None,
    ) -> bool:
        """Records a finished stage and reads its outputs. Returns whether they came from the cache.

        Args:
            store: the open MetadataStore.
            name: of the stage.
            execution: the launcher's result.
            seconds: duration.
            handed_on: gets the outputs; those from the cache are checked before they are read.
            place: gives the folder on this machine for the URI of an output.
            memory: most bytes of memory that this process held meanwhile, where that is told.

        Raises:
            ImagegateError: an output from the cache changed after it was written.
        """
        from ml_metadata.proto import metadata_store_pb2 as mlmd

        [record] = store.get_executions_by_id([execution.execution_id])
        cached: bool = record.last_known_state == mlmd.Execution.CACHED
        stage = Stage(name=name, seconds=round(seconds, 3), cached=cached, peak_memory=None if cached else memory)
        self.stages.append(stage)
        events = store.get_events_by_execution_ids([execution.execution_id])
        outputs = {e.artifact_id: e.path.steps[0].key for e in events if e.type == mlmd.Event.OUTPUT}
        artifacts = store.get_artifacts_by_id(list(outputs))
        folders = {artifact.id: place(artifact.uri) for artifact in artifacts}
        for folder in folders.values():
            handed_on.add(folder, cached=cached)
        if cached:
            handed_on.check()
        for artifact in artifacts:
            key = outputs[artifact.id]
            properties = {k: getattr(v, v.WhichOneof("value")) for k, v in artifact.custom_properties.items()}
            self.add(key, folders[artifact.id], properties)
        return cached

    def _readers(self) -> dict[str, Callable[[str, Properties], None]]:
        return super()._readers() | {"examples": self._read_examples}

    def _read_examples(self, uri: str, _: Properties) -> None:
        self.schema = schema.frozen(self.config.task, manifest.read(uri))

    def up_to_date(self, served: Served, earlier: RunSummary | None) -> None:
        """Ends a run without changes since `earlier`, whose results it takes."""
        self.status, self.exit_code = "up_to_date", 0
        if earlier is not None:
            vars(self).update({key: getattr(earlier, key) for key in _TAKEN})
            self.slices, self.gates = list(earlier.slices), list(earlier.gates)
            self.artifacts = located(earlier, self.config.output_folder)
        beside = {"challenger": True} if served.manifest.challenger else {}
        self.pushed = Pushed(path=served.path, version=served.version, **beside)

    def end_without_model(self, status: Literal["tuned", "compared"]) -> None:
        """Ends a run that only searched for better settings, or compared methods."""
        self.status, self.exit_code = status, 0

    def stop_by(self, stopped: Stopped, stage: str) -> None:
        """Ends a run that a signal has stopped; a verdict that it had come to stays.

        Args:
            stopped: the signal.
            stage: that was running, or "".
        """
        self.stop()
        self.exit_code = stopped.exit_code
        if self.pushed is None and self.error is None:
            where = f" in the stage {stage}" if stage else ""
            self.status, self.error = "stopped", f"{stopped}{where}; the next run goes on from there"

    def stop(self) -> None:
        """Stops the clock, so that the report and the file state the same duration."""
        self._seconds = self._elapsed()

    def _elapsed(self) -> float:
        return round(time.monotonic() - self._clock, 3)

    def freeze(self) -> RunSummary:
        """The summary of the run so far."""
        return RunSummary(
            **self.fields(),
            run_id=self.run_id,
            name=self.config.name,
            command=self.command,
            started=self._started.isoformat(timespec="seconds"),
            seconds=self._seconds or self._elapsed(),
            stages=tuple(self.stages),
            report=self.report,
            # Relative, so that the whole output can be moved.
            artifacts={k: os.path.relpath(v, self.config.output_folder) for k, v in self.artifacts.items()},
            fingerprints=self.fingerprints,
            versions=fingerprint.versions(),
            configuration=self.config.plain(),
        )

    def write(self, folder: str) -> None:
        """Writes summary.json atomically, and the schema if the data were read."""
        if self.schema:
            with open(os.path.join(folder, SCHEMA), "w", encoding="utf-8") as f:
                f.write(self.schema)
        write_atomically(os.path.join(folder, SUMMARY), self.freeze().to_json(indent=1))


def located(summary: RunSummary, output: str) -> dict[str, str]:
    """Folders of the artifacts of a run below `output`, by key."""
    return {key: os.path.join(output, path) for key, path in summary.artifacts.items()}
