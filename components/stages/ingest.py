"""ImageExampleGen: reads a data set, checks its images, and writes them as TFRecord shards with a manifest."""

import dataclasses
import glob
import json
import os
from collections.abc import Callable, Sequence
from typing import Any

import apache_beam as beam
from tfx import types
from tfx.dsl.components.base import base_beam_component, base_beam_executor, executor_spec
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, component_spec, standard_artifacts

from components.base import progress
from components.base.artifact_files import EARLIER_SPLITS
from components.base.errors import ImagegateError
from components.base.files import write_atomically
from components.data.dataset import SPLITS, Record
from components.data.manifest import Assigned
from components.gates import data_gate, reference
from components.gates.errors import DataRejected
from components.ingest import census, earlier, ledger, manifest, reuse, settling, shards
from components.ingest.layouts import reading
from components.ingest.settings import Source
from components.push import versions

_TASK = "images"


class _WriteShard(beam.DoFn):
    """Writes one shard per element, JSON of [index, records, known], and yields the shard's report.

    `known` is the report of an equal shard of the last ingest, which is linked, or null.
    """

    def __init__(self, folder: str, count: int, job: shards.Job, total: int, there: reuse.Files) -> None:
        self._folder, self._count, self._job, self._total, self._there = folder, count, job, total, there

    def process(self, element: bytes) -> Any:
        index, rows, known = json.loads(element)
        place = self._folder, index, self._count
        linked = reuse.link(self._there.folder, known, *place, self._tick) if known else None
        if linked is None:
            records = [Record(*map(census.tupled, row)) for row in rows]
            linked = shards.write(*place, records, self._job, self._tick, self._there.paths)
        yield linked

    def _tick(self, count: int) -> None:
        progress.advance(_TASK, count, self._total)


class Executor(base_beam_executor.BaseBeamExecutor):
    """Lists the records, assigns them to shards, and writes the shards with Beam."""

    def Do(  # noqa: N802  TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        source = Source.from_json(exec_properties["source"])
        dataset, rule = reading.read(source)
        own = earlier.Seen.read(exec_properties["remembered"]) if exec_properties["remembered"] else None
        served = reference.seen(versions.current(exec_properties["destination"]), exec_properties["task"])
        before = earlier.joined(served, own, dataset.fractions)
        job = shards.job(dataset, source.data.max_pixels, rule, source.data.bits, before, source.data.arrays)
        plan = shards.plan(dataset.records)
        key, code = exec_properties["data_fingerprint"], exec_properties["code_fingerprint"]
        previous = reuse.Previous() if key.startswith(ledger.ANEW) else reuse.find(examples.uri)
        known = [reuse.report(previous, records, job, code) for records in plan]
        written = write_shards(self._make_beam_pipeline, examples.uri, plan, job, known, previous.files)
        counted, seen = settling.merge(dataset, written, job, source.near, examples.uri, previous.files.paths)
        assigned = Assigned(
            fractions=dataset.fractions,
            origin=earlier.origin(source, exec_properties["data_fingerprint"]),
            earlier=exec_properties["earlier_splits"],
        )
        counted = counted.model_copy(update={"assigned": assigned})
        remembered = before.after(seen.rows, assigned, served.digest() if served else "")
        write_atomically(os.path.join(examples.uri, EARLIER_SPLITS), remembered.to_bytes())
        seen.write(examples.uri)
        manifest.write(examples.uri, counted)
        digests = {path: digest for report in written for path, digest in report.digests.items()}
        reuse.write(examples.uri, plan, written, job, code)
        ledger.write(examples.uri, key, dataset, _versions(source), digests)
        describe(examples, SPLITS)
        if not all(counted.counts.values()):
            # TFDV and Transform cannot process an empty split, so this rule of the data gate is applied here.
            raise DataRejected(data_gate.empty_splits(counted), counted, seen)


def describe(examples: types.Artifact, splits: Sequence[str]) -> None:
    """Says in the artifact what its splits are, and that they hold `tf.train.Example`."""
    examples.split_names = artifact_utils.encode_split_names(list(splits))
    # The same as `tfx.components.util.examples_utils`, whose import would load every component of TFX.
    payload = example_gen_pb2.PayloadFormat.Name(example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE)
    examples.set_string_custom_property("payload_format", payload)


def write_shards(
    make_pipeline: Callable[[], beam.Pipeline],
    folder: str,
    plan: Sequence[Sequence[Record]],
    job: shards.Job,
    known: Sequence[str | None],
    there: reuse.Files,
) -> list[census.Report]:
    """Writes the shards of a plan with Beam; returns their reports.

    Args:
        make_pipeline: makes a Beam pipeline.
        folder: of the shards; it is made.
        plan: the records of each shard.
        job: settings that all shards share.
        known: for each shard the report of an equal one of an earlier ingest, as JSON, or None.
        there: the files of that ingest.
    """
    elements = [
        json.dumps([i, [dataclasses.astuple(r) for r in records], report]).encode()
        for i, (records, report) in enumerate(zip(plan, known, strict=True))
    ]
    os.makedirs(folder, exist_ok=True)
    reports = os.path.join(folder, ".reports")
    progress.start(_TASK)
    write = _WriteShard(folder, len(plan), job, sum(map(len, plan)), there)
    with make_pipeline() as pipeline:
        _ = (
            pipeline
            | "Plan" >> beam.Create(elements, reshuffle=False)
            | "WriteShard" >> beam.ParDo(write)
            | "ToJson" >> beam.Map(census.Report.to_json)
            | "WriteReports" >> beam.io.WriteToText(reports)
        )
    return _read_and_remove(reports)


def _versions(source: Source) -> dict[str, str]:
    """Lists the data set again: path -> version, or nothing where it cannot be listed any more."""
    try:
        return {record.path: record.version for record in reading.read(source)[0].records}
    except ImagegateError:
        return {}


def _read_and_remove(prefix: str) -> list[census.Report]:
    reports = []
    for path in sorted(glob.glob(glob.escape(prefix) + "*")):
        with open(path, encoding="utf-8") as f:
            reports += [census.Report.from_json(line) for line in f]
        os.unlink(path)
    return reports


class _Spec(component_spec.ComponentSpec):
    PARAMETERS = {  # noqa: RUF012  TFX's way
        "source": component_spec.ExecutionParameter(type=str),
        "data_fingerprint": component_spec.ExecutionParameter(type=str),
        "earlier_splits": component_spec.ExecutionParameter(type=str),
        "destination": component_spec.ExecutionParameter(type=str),
        "remembered": component_spec.ExecutionParameter(type=str),
        "task": component_spec.ExecutionParameter(type=str),
        "code_fingerprint": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: dict[str, Any] = {}  # noqa: RUF012
    OUTPUTS = {"examples": component_spec.ChannelParameter(type=standard_artifacts.Examples)}  # noqa: RUF012


class ImageExampleGen(base_beam_component.BaseBeamComponent):
    """Turns a data set into `Examples` with the splits train, eval and test.

    Args:
        source: JSON of `ingest.settings.Source`.
        data_fingerprint: changes when the data do; part of the cache key.
        earlier_splits: digest of the splits of earlier runs, see `ingest.earlier.key`; part of the cache key.
        destination: folder of the pushed models; the record of the served one tells the splits of its images.
        remembered: file with the splits of earlier runs below the same `output`, or "".
        task: the task in the configuration.
        code_fingerprint: changes when the code of this stage does; part of the cache key.
    """

    SPEC_CLASS = _Spec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, **parameters: Any) -> None:
        super().__init__(_Spec(examples=types.Channel(type=standard_artifacts.Examples), **parameters))
