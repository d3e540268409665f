"""One run on this machine, or from it on any Beam runner: preflight, the graph stage by stage, what came of it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from components.base import fingerprint
from components.base.errors import ConfigError, ImagegateError
from components.base.files import replacing, write_atomically
from components.base.verdict import Verdict
from components.data import schema
from components.data.dataset import Dataset, LayoutError
from components.data.manifest import DatasetManifest
from components.data.mask_rules import Rule
from components.evaluation import out_of_distribution
from components.gates import data_gate, reference
from components.gates.errors import DataRejected
from components.ingest import census, splits
from components.ingest.layouts import reading
from components.push import versions
from components.report import evidence
from pipeline import derived
from pipeline.runs import history, report
from pipeline.runs.summary import Summary
from pipeline.stages import BY_NAME
from pipeline.terminal import output_to

if TYPE_CHECKING:
    from pipeline.config import Config

_STATE = "state.json"
_LOG = "log.txt"

StageListener = Callable[[str, str, float, bool], None]


def read_dataset(config: Config) -> tuple[Dataset, Rule | None]:
    """Lists the data set as the configuration says; for segmentation also what mask values mean.

    Raises:
        ConfigError: there is no such folder, or a label in the configuration is not in the data.
        LayoutError: the folder is not laid out as the configuration says.
    """
    dataset, rule = reading.read(config.source)
    config.check_labels(dataset.labels)
    return dataset, rule


def frozen_schema(config: Config) -> str:
    """The text of the user's schema, "" for none.

    Raises:
        ConfigError: the file does not exist or is no schema for this task.
    """
    path = config.schema_path
    if path is None:
        return ""
    try:
        with open(path, encoding="utf-8") as f:
            text = f.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"data.schema_file: {path}: {reason}; `imagegate schema` writes one from a run") from None
    schema.parse(text, config.task, path)
    return text


def judge_data(config: Config, manifest: DatasetManifest, images: census.Images, frozen: str) -> list[Verdict]:
    """What the data gate says, outside of the graph; see `data_gate.check`.

    Args:
        frozen: see `frozen_schema`.

    Raises:
        ImagegateError: what the served model keeps of its data is broken.
    """
    served = reference.recall(versions.current(config.destination), config.task)
    file = config.data.schema_file or ""
    found = schema.compare(schema.parse(frozen, config.task, file), manifest, file) if frozen else []
    verdicts = data_gate.check(manifest, images, config.data_gate_limits, served, found)
    return verdicts + ([] if all(manifest.counts.values()) else data_gate.empty_splits(manifest))


class Runner:
    """Runs one configuration.

    Args:
        config: the settings.
        stage: called as (name, "started" | "finished" | "failed", seconds, cached).
    """

    def __init__(self, config: Config, stage: StageListener) -> None:
        self._config, self._stage, self._frozen, self._out_of_distribution = config, stage, "", ""
        self.summary = Summary(config)
        self.folder = os.path.join(config.output_folder, "history", self.summary.run_id)

    @property
    def log(self) -> str:
        """Where this run's logs go."""
        return os.path.join(self.folder, _LOG)

    def run(self, *, force: bool = False) -> Summary:
        """Does the run and writes its `summary.json`; errors that are answers end in the summary, not in a raise.

        Args:
            force: every stage again, even where nothing is new.

        Raises:
            ConfigError: the configuration does not fit the data; nothing was written.
        """
        config = self._config
        try:
            dataset: Dataset | LayoutError = read_dataset(config)[0]
        except LayoutError as error:
            dataset = error
        self._frozen = frozen_schema(config)
        self._out_of_distribution = out_of_distribution.fingerprint(config.out_of_distribution_root)
        if config.backbone.endswith(".keras") and not os.path.isfile(config.backbone):
            raise ConfigError(f"training.backbone: {config.backbone} does not exist")
        self._make_folder()
        with self._locked():
            if isinstance(dataset, LayoutError):
                self.summary.fail(dataset)
            else:
                self._run(dataset, force=force)
            self.summary.stop()
            with output_to(self.log):
                self._write_report()
            self._write_summary()
        return self.summary

    def _run(self, dataset: Dataset, *, force: bool) -> None:
        served = versions.current(self._config.destination)
        inputs = {
            "config": self._config.fingerprint(),
            "schema": splits.digest(self._frozen.encode()),
            "code": fingerprint.everything(),
            "data": dataset.fingerprint(),
            "out_of_distribution": self._out_of_distribution,
        }
        self.summary.fingerprints = derived.fingerprints(self._config)
        state = self._state()
        run = state.pop("run", "")
        if not force and served is not None and state == inputs | {"served": served.version}:
            self.summary.up_to_date(served, history.earlier(os.path.join(os.path.dirname(self.folder), run)))
            return
        try:
            if not dataset.records:
                raise DataRejected(judge_data(self._config, *census.merge(dataset, []), self._frozen))
            with output_to(self.log):
                self._run_graph(dataset, served.version if served else "", cache=not force)
        except DataRejected as error:
            self.summary.fail(self._with_all_reasons(error))
        except ImagegateError as error:
            self.summary.fail(error)
        except KeyboardInterrupt:
            self.summary.fail(ImagegateError("interrupted"))
        except OSError as error:
            self.summary.fail(ImagegateError(f"{error.filename or 'a file'}: {error.strerror or error}"))
        except Exception as error:  # noqa: BLE001  a bug: its trace is in the log, its gist on the screen
            self.summary.fail(ImagegateError(f"{type(error).__name__}: {_first_line(error)}; see {self.log}"))
        if self.summary.pushed is not None:
            self._remember(inputs | {"served": self.summary.pushed.version, "run": self.summary.run_id})

    def _with_all_reasons(self, error: DataRejected) -> DataRejected:
        """Ingest refuses an empty split without a look at the limits, which would be part of its cache key."""
        if error.images is None or error.manifest is None:
            return error
        return DataRejected(judge_data(self._config, error.manifest, error.images, self._frozen), error.manifest)

    def _run_graph(self, dataset: Dataset, served_version: str, *, cache: bool) -> None:
        self._stage("loading TFX", "started", 0.0, False)
        from tfx.dsl.compiler import compiler, constants
        from tfx.orchestration import metadata
        from tfx.orchestration.local import runner_utils
        from tfx.orchestration.portable import launcher, runtime_parameter_utils

        from pipeline import graph

        pipeline = graph.build(
            self._config,
            data_fingerprint=dataset.fingerprint(),
            served_version=served_version,
            frozen=self._frozen,
            cache=cache,
        )
        ir = compiler.Compiler().compile(pipeline)
        runtime_parameter_utils.substitute_runtime_parameter(
            ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: self.summary.run_id}
        )
        for node in ir.nodes:
            if not BY_NAME[node.pipeline_node.node_info.id].cached:
                node.pipeline_node.execution_options.caching_options.enable_cache = False
        deployment = runner_utils.extract_local_deployment_config(ir)
        connection = pipeline.metadata_connection_config
        # As TFX's LocalDagRunner does, which has no place to hear of a stage's begin, end and cache hit.
        for node in (n.pipeline_node for n in ir.nodes):
            name = node.node_info.id
            started = time.monotonic()
            self._stage(name, "started", 0.0, False)
            try:
                execution = launcher.Launcher(
                    pipeline_node=node,
                    mlmd_connection=metadata.Metadata(connection),
                    pipeline_info=ir.pipeline_info,
                    pipeline_runtime_spec=ir.runtime_spec,
                    executor_spec=runner_utils.extract_executor_spec(deployment, name),
                    custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, name),
                ).launch()
            except BaseException as error:
                self._stage(name, "failed", time.monotonic() - started, False)
                if BY_NAME[name].optional and isinstance(error, Exception):
                    traceback.print_exc()
                    self.summary.notes.append(f"warning: the stage {name} broke; see {self.log}")
                    continue
                raise
            seconds = time.monotonic() - started
            with metadata.Metadata(connection) as store:
                outputs = self.summary.add_stage(store.store, name, execution, seconds)
            self._stage(name, "finished", seconds, outputs)

    def _make_folder(self) -> None:
        try:
            os.makedirs(self.folder, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"output: {self.folder} cannot be made: {error.strerror}") from None

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Two runs must not share the output; the kernel lets go of the lock when a process dies."""
        descriptor = os.open(self._config.output_folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            os.rmdir(self.folder)
            raise ImagegateError(f"another run is writing to {self._config.output_folder}; wait for it") from None
        finally:
            os.close(descriptor)

    def _write_report(self) -> None:
        """The page, of a refused run as well. Nothing that goes wrong with it changes what the run came to."""
        self._stage("Report", "started", 0.0, False)
        try:
            told = self.summary.freeze()
            found = evidence.read(self.summary.artifacts.get("report", ""))
            found = found or report.collect(told, self.summary.artifacts)
            self.summary.report = report.write(self.folder, told, found)
        except Exception as error:  # noqa: BLE001  a bug: its trace is in the log
            traceback.print_exc()
            self.summary.notes.append(f"warning: there is no report: {type(error).__name__}; see {self.log}")

    def _write_summary(self) -> None:
        self.summary.write(self.folder)
        latest = os.path.join(self._config.output_folder, "latest")
        with replacing(latest) as temporary:
            os.symlink(os.path.join("history", self.summary.run_id), temporary)

    def _state(self) -> dict[str, str]:
        try:
            with open(os.path.join(self._config.output_folder, _STATE), encoding="utf-8") as f:
                state: dict[str, str] = json.load(f)
                return state
        except (OSError, ValueError):
            return {}

    def _remember(self, state: dict[str, str]) -> None:
        path = os.path.join(self._config.output_folder, _STATE)
        write_atomically(path, json.dumps(state))


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")[:500]
