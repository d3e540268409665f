"""One run, on this machine or from it on any Beam runner: checks, the graph, the report and the summary."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from components.base import fingerprint, progress
from components.base.errors import ConfigError, ImagegateError, OwnCodeError, print_trace
from components.base.files import replacing, write_atomically
from components.base.values import parsed_json
from components.data.dataset import Dataset, LayoutError
from components.gates import data_gate
from components.gates.errors import DataRejected
from components.ingest import splits
from components.ingest.counts import census
from components.push import versions
from components.push.signing.trust import Trust
from components.report import evidence
from pipeline import derived, jobs, lock, notice, sinks, stages, stopping
from pipeline.artifacts import copies, store
from pipeline.disk import cleaning, room, temporary
from pipeline.disk.room import NoRoom
from pipeline.runs import data, history, launch, preflight, report
from pipeline.runs.launch import StageListener
from pipeline.runs.summary import Summary
from pipeline.terminal import output_to

if TYPE_CHECKING:
    from components.model.comparing.settings import Plan
    from components.push.versions import Served
    from components.report.run_summary import RunSummary
    from pipeline.config import Config

_LOG = "log.txt"


class Runner:
    """Runs one configuration.

    Args:
        config: the settings.
        stage: called as (name, "started" | "finished" | "failed", seconds, cached).
        only_search: whether the run ends with the search for better settings.
        compares: methods that the run ends with a comparison of; or None.
    """

    def __init__(
        self, config: Config, stage: StageListener, *, only_search: bool = False, compares: Plan | None = None
    ) -> None:
        self._only_search, self._compares = only_search, compares
        self._config, self._listener, self._frozen, self._files = config, stage, "", derived.Files()
        self._store = store.of(config.artifacts, config.output_folder)
        self._needs: tuple[tuple[str, int], ...] = ((config.output_folder, 0),)
        self._running, self._recording, self._notifying = "", threading.Lock(), threading.Lock()
        self._listed: Dataset | LayoutError | NoRoom | None = None
        self.summary = Summary(config, "tune" if only_search else "compare" if compares else "run")
        self.folder = os.path.join(config.output_folder, "history", self.summary.run_id)

    @property
    def log(self) -> str:
        """Path of this run's log file."""
        return os.path.join(self.folder, _LOG)

    def run(self, *, force: bool = False) -> Summary:
        """Runs the pipeline and writes `summary.json`; a refusal or failure of a stage is recorded there, not raised.

        Args:
            force: run every stage again, even where nothing is new.

        Raises:
            ConfigError: the configuration does not fit the data or this machine; nothing was written.
        """
        config = self._config
        lock.refuse_if_held(config.output_folder)  # at once, before the data are listed
        preflight.places(config)
        if not self._without_push:
            self.summary.notes += preflight.signing(config)
        dataset: Dataset | LayoutError | NoRoom
        try:
            dataset = data.read_dataset(config)[0]
        except LayoutError as error:
            dataset = error
        self._frozen = data.frozen_schema(config)
        self._files = derived.files(config)
        full: NoRoom | None = None
        if isinstance(dataset, Dataset):
            self._needs = tuple(preflight.needs(config, dataset, force=force))
            try:
                preflight.files(config, dataset, force=force)
            except NoRoom as error:
                full = error
        self._make_output()
        self._listed = full or dataset
        del dataset
        with stopping.recorded(self._end_by_force):
            stopped = self._run_alone(full, force=force)
            try:
                self._notify(stopped=stopped)  # without the lock: the record is final, and receivers may be slow
            except KeyboardInterrupt as error:
                self._record_stop(stopping.Stopped.by(error))
        return self.summary

    def _run_alone(self, full: NoRoom | None, *, force: bool) -> bool:
        """Runs and records while no other command writes to the output. Returns whether a signal has come."""
        config = self._config
        with lock.held(config.output_folder, self.summary.run_id):
            try:
                killed = history.record_killed(config.output_folder)
                temporary.sweep(config.output_folder)
                self._make_folder()
                with temporary.own_folder(config.output_folder):
                    try:
                        self._notify_of(killed)
                        self._run_and_record(force=force)
                    except KeyboardInterrupt as error:
                        self._record_stop(stopping.Stopped.by(error))
                        return True
            except OSError as error:
                raise self._without_record(room.explain(error, self._needs) or error) from None
            except NoRoom as error:
                raise self._without_record(full or error) from None
        return False

    def _run_and_record(self, *, force: bool) -> None:
        with room.reserved(self._config.output_folder):
            if isinstance(self._listed, Dataset):
                self._run(force=force)
            elif self._listed is not None:
                self.summary.fail(self._listed)
            self.summary.stop()
            with output_to(self.log):
                self._write_report()
        self._write_summary()
        self._recording.acquire(blocking=False)  # from here on, a signal changes nothing in the record
        self._clean()

    def _record_stop(self, stopped: stopping.Stopped) -> None:
        """Ends the summary where a signal has stopped the run; a verdict that stands already stays.

        A run whose record is written already has ended before the signal, and its exit code is that of the process.
        """
        if self._recording.acquire(blocking=False):  # once: by the main thread, or by the one that watches it
            self.summary.stop_by(stopped, self._running)
            self._write_summary()
        else:
            stopped.exit_code = self.summary.exit_code

    def _end_by_force(self, stopped: stopping.Stopped) -> None:
        """As `_record_stop`, where the main thread does not answer: it may hold the terminal, so nothing is printed."""
        self._record_stop(stopped)
        if self.summary.command == "run" and not stopped.at_once and self._notifying.acquire(blocking=False):
            notice.send(self._config, self.summary.freeze(), stopped=True)

    def _notify(self, *, stopped: bool = False) -> None:
        if self.summary.command != "run":
            return  # of a search and a comparison nobody is told
        if self._notifying.acquire(blocking=False):  # once: a signal may come while it is done
            self._notify_of([self.summary.freeze()], stopped=stopped)

    def _notify_of(self, runs: Sequence[RunSummary], *, stopped: bool = False) -> None:
        """Tells people and sinks how runs ended; who was not reached is named on the terminal, no more follows."""
        if not runs:
            return
        if self._config.notify:
            with self._announced(stages.NOTIFY.name, "notify"):
                for problem in [problem for run in runs for problem in notice.send(self._config, run, stopped=stopped)]:
                    progress.announce(f"warning: {problem}")
        if self._config.sinks.any and not stopped:
            with self._announced("Sinks", "sinks"):
                recorded = [run for run in runs if run.command == "run"]  # not a search that was killed
                for run in recorded:
                    name, output = self._config.name, self._config.output_folder
                    for problem in sinks.send(self._config.sinks, name, output, run):
                        progress.announce(f"warning: {problem}")

    @contextlib.contextmanager
    def _announced(self, name: str, section: str) -> Iterator[None]:
        """Announces a step after the run, whose errors are one line: they change nothing in what the run came to."""
        try:
            self._listener(name, "started", 0.0, False)
            yield
        except Exception as error:  # noqa: BLE001  whatever a library raises; its text may hold an address
            with contextlib.suppress(Exception):
                progress.announce(f"warning: {section}: {type(error).__name__}")

    def _clean(self) -> None:
        """Removes what older runs wrote, see `output.keep`. A failure here does not change the outcome of the run."""
        output = self._config.output_folder
        try:
            stored = self._store.artifacts() if self._store is not None and self._store.is_own() else {}
            found = cleaning.removable(output, self._config.output.keep, remains=False, stored=stored)
            cleaning.remove(output, found, self._store)
        except (OSError, copies.StoreError):
            with output_to(self.log):
                print_trace()

    def _without_record(self, error: Exception) -> Exception:
        """The error of a run that left no record; says what became of its model, and removes the run's folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if isinstance(error, NoRoom) and self.summary.pushed is not None:
            return NoRoom(f"{error}; version {self.summary.pushed.version} is served, but this run has no record")
        return error

    def _run(self, *, force: bool) -> None:
        if self._store is not None:
            try:
                self._store.begin(self._config.name)
                if not force:
                    self._store.restore(stages.INGEST.name, "examples")  # which tell what was read before
            except ImagegateError as error:
                self.summary.fail(error)
                return
        dataset, self._listed = self._listed, None
        assert isinstance(dataset, Dataset)
        recognised = data.recognise(self._config, dataset, force=force)
        earlier, sources = read_state(self._config.output_folder), fingerprint.files()
        # Parsing all sources takes a second or two.
        code = (earlier.get("code") if earlier.get("sources") == sources else None) or fingerprint.everything()
        inputs = {
            "config": self._config.fingerprint(),
            "schema": splits.digest(self._frozen.encode()),
            "code": code,
            "data": recognised.content,
        } | vars(self._files)
        self.summary.fingerprints = derived.fingerprints(self._config, code)
        served = None
        try:
            served = versions.current(self._config.destination, self._trust())
            if (
                not (force or self._only_search or self._compares)
                and served is not None
                and self._is_up_to_date(earlier, inputs, served)
            ):
                return
            if not dataset.records:
                judged = data.gate_input(self._config, *census.merge(dataset, []), self._frozen)
                raise DataRejected(data.judge_data(self._config, judged))
            earlier_splits = data.earlier_splits_key(self._config, dataset, recognised.key)
            del dataset  # a listing of millions of images is not kept while ingest makes its own
            with output_to(self.log):
                self._begin_or_end("loading TFX", "started", 0.0, False)
                from pipeline import graph

                built = graph.build(
                    self._config,
                    data_fingerprint=recognised.key,
                    served_version=served.version if served else "",
                    earlier_splits=earlier_splits,
                    frozen=self._frozen,
                    cache=not force,
                    files=self._files,
                    only_search=self._only_search,
                    compares=self._compares,
                )
                elsewhere = jobs.watched(progress.announce) if self._config.beam else contextlib.nullcontext()
                with elsewhere, remembered_splits(self._config, self.summary, self._needs):
                    launch.run(built, self.summary, self._begin_or_end, self.log, self._needs, self._store)
                if self._only_search or self._compares:
                    self.summary.end_without_model("compared" if self._compares else "tuned")
        except DataRejected as error:
            self.summary.fail(self._with_all_reasons(error))
        except OwnCodeError as error:
            self.summary.fail(OwnCodeError(f"{error}; see {self.log}"))
        except ImagegateError as error:
            self.summary.fail(error)
        except Exception as error:  # noqa: BLE001  without a full disk a bug: trace in the log, gist on the screen
            self.summary.fail(room.explain(error, self._needs) or self._gist(error))
        if self.summary.pushed is not None:
            read = data.ingested(self.summary.artifacts.get("examples", ""))  # which may differ from what was listed
            facts = {
                "data": read,
                "sources": sources,
                "served": self.summary.pushed.version,
                "run": self.summary.run_id,
            }
            if self.summary.pushed.challenger and served is not None:
                facts["beside"] = served.version
            try:
                self._remember(inputs | facts)
            except OSError as error:
                why = room.explain(error, self._needs) or error
                self.summary.notes.append(f"warning: the next run will not see that nothing is new: {why}")

    @property
    def _without_push(self) -> bool:
        """Whether this is a search or a comparison, which push nothing."""
        return self._only_search or self._compares is not None

    def _trust(self) -> Trust:
        return self._config.trust() if self._without_push else self._config.trust_to_write()

    def _is_up_to_date(self, state: dict[str, str], inputs: dict[str, str], served: Served) -> bool:
        """Ends the run if nothing has changed since an earlier one pushed what is served, and that is still intact.

        The same holds for a challenger, as long as the version is served that it was compared with.
        """
        state = {name: text for name, text in state.items() if name != "sources"}
        run = state.pop("run", "")
        beside = {}
        if "beside" in state and state["beside"] == served.version:
            challenger = versions.challenger(self._config.destination, self._trust())
            if challenger is None:
                return False
            served, beside = challenger, {"beside": served.version}
        if state != inputs | {"served": served.version} | beside or not versions.is_signed(served, self._trust()):
            return False
        try:
            versions.verify(served)
        except versions.Damaged as error:
            self.summary.notes.append(f"warning: {error}; this run replaces it if it comes to the same model")
            return False
        self.summary.up_to_date(served, history.earlier(os.path.join(os.path.dirname(self.folder), run)))
        return True

    def _with_all_reasons(self, error: DataRejected) -> DataRejected:
        """Judges the data by all rules where ingest refused an empty split: ingest does not know the limits."""
        if error.images is None or error.manifest is None:
            return error
        judged = data.gate_input(self._config, error.manifest, error.images, self._frozen)
        verdicts = data.judge_data(self._config, judged)
        found = data_gate.suspicions(judged, self._config.data_gate_limits)
        return DataRejected(verdicts, error.manifest, suspicions=found)

    def _gist(self, error: Exception) -> ImagegateError:
        if isinstance(error, OSError):
            return ImagegateError(f"{error.filename or 'a file'}: {error.strerror or error}")
        return ImagegateError(f"{type(error).__name__}: {_first_line(error)}; see {self.log}")

    def _make_output(self) -> None:
        try:
            os.makedirs(self._config.output_folder, exist_ok=True)
        except OSError as error:
            if full := room.explain(error, self._needs):
                raise full from None
            raise ConfigError(f"output: {self._config.output_folder} cannot be made: {error.strerror}") from None

    def _make_folder(self) -> None:
        try:
            os.makedirs(self.folder)
        except OSError as error:
            if full := room.explain(error, self._needs):
                raise full from None
            raise ConfigError(f"output: {self.folder} cannot be made: {error.strerror}") from None
        history.begin(self.folder, self.summary.freeze(), "before its first stage")

    def _begin_or_end(self, name: str, event: str, seconds: float, cached: bool) -> None:
        """Passes the event of a stage on, and notes on disk which stage runs, in case of a kill."""
        if event == "started":
            self._running = name
            with contextlib.suppress(OSError):  # a full disk stops the stage itself, if it has to
                history.begin(self.folder, self.summary.freeze(), f"in the stage {name}")
        self._listener(name, event, seconds, cached)

    def _write_report(self) -> None:
        """Writes the page, also of a refused run. A failure here does not change the outcome of the run."""
        self._begin_or_end("Report", "started", 0.0, False)
        try:
            summary = self.summary.freeze()
            collected = evidence.read(self.summary.artifacts.get("report", ""))
            collected = collected or report.collect(summary, self.summary.artifacts)
            self.summary.report = report.write(self.folder, summary, collected)
        except Exception as error:  # noqa: BLE001  a bug: its trace is in the log
            print_trace()
            why = room.explain(error, self._needs) or f"{type(error).__name__}; see {self.log}"
            self.summary.notes.append(f"warning: there is no report: {why}")

    def _write_summary(self) -> None:
        self.summary.write(self.folder)
        history.end(self.folder)
        latest = os.path.join(self._config.output_folder, "latest")
        with replacing(latest) as temporary:
            os.symlink(os.path.join("history", self.summary.run_id), temporary)

    def _remember(self, state: dict[str, str]) -> None:
        path = os.path.join(self._config.output_folder, cleaning.STATE)
        write_atomically(path, json.dumps(state))


@contextlib.contextmanager
def remembered_splits(config: Config, summary: Summary, needs: Sequence[tuple[str, int]]) -> Iterator[None]:
    """Keeps the splits of the run in the block for later ones, see `data.remember_splits`, however the block ends.

    Where it ends by an error, such as that of a full disk, that error stays, and what keeps the splits from being
    written is a note in the summary.
    """
    try:
        yield
    except BaseException:
        try:
            data.remember_splits(config, summary.artifacts)
        except OSError as error:
            why = room.explain(error, needs) or error
            summary.notes.append(f"warning: the splits of this run are not known to later ones: {why}")
        raise
    data.remember_splits(config, summary.artifacts)


def read_state(output: str) -> dict[str, str]:
    """What the latest run with a push was made of; nothing where that is not known, or the file is damaged."""
    try:
        with open(os.path.join(output, cleaning.STATE), encoding="utf-8") as f:
            state = parsed_json(f.read())
    except (OSError, ValueError):
        return {}
    is_ours = isinstance(state, dict) and all(isinstance(text, str) for text in state.values())
    return state if is_ours else {}


def _first_line(error: Exception) -> str:
    """The first line of a message; of one with the trace of a worker on an engine, the line that says what broke.

    >>> trace = "Traceback (most recent call last):\\n  File ...\\nOSError: gone\\n\\nDuring handling of ..."
    >>> _first_line(RuntimeError(f"job-1 failed: {trace}"))
    'in a worker of Beam, OSError: gone'
    """
    lines = [line.rstrip() for line in str(error).splitlines() if line.strip()]
    traces = (i for i, line in enumerate(lines) if line.endswith("Traceback (most recent call last):"))
    if (start := next(traces, None)) is not None:
        cause = next((line for line in lines[start + 1 :] if not line.startswith(" ")), "")
        if cause:
            return f"in a worker of Beam, {cause}"[:500]
    return lines[0].strip()[:500] if lines else "no message"
