"""ImageExampleGen: reads a data set, checks its images, and writes them as TFRecord shards with a manifest."""

import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
from tfx import types
from tfx.dsl.components.base import base_beam_component, base_beam_executor, executor_spec
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, component_spec, standard_artifacts

from components.base import progress
from components.base.artifact_files import EARLIER_SPLITS
from components.base.errors import ImagegateError
from components.data.dataset import SPLITS, Dataset, Record, packed
from components.data.manifest import Assigned
from components.data.perceptual import Search
from components.gates import data_gate, reference
from components.gates.errors import DataRejected
from components.ingest import earlier, ledger, manifest, reuse, settling, shards
from components.ingest.counts import census
from components.ingest.layouts import reading
from components.ingest.settings import Source
from components.ingest.spread import place as spread_place
from components.ingest.spread import plan as spread
from components.ingest.spread import search
from components.ingest.spread.plan import UnseenError
from components.ingest.stored import index
from components.ingest.stored.copies import Files, Known
from components.ingest.workers import crash_mark, processes
from components.push import versions
from components.push.signing import trust

_TASK = "images"
# A sentence of `spread.work` in the error of any runner.
_UNSEEN = re.compile(r"worker \S+ (?:does not see|cannot write) [^\n]*")


class _WriteShard(beam.DoFn):
    """Writes the shards whose numbers come."""

    def __init__(self, plan: spread.Plan) -> None:
        self._plan = plan

    def process(self, element: int) -> None:
        spread.work(self._plan, element, self._tick)

    def teardown(self) -> None:
        """Ends the processes that a worker of an engine has started."""
        processes.release()

    def _tick(self, count: int) -> None:
        progress.advance(_TASK, count, self._plan.total)


class _SearchBand(beam.DoFn):
    """Looks for nearly equal images in the bands whose numbers come."""

    def __init__(self, task: search.Task) -> None:
        self._task = task

    def process(self, element: int) -> None:
        search.work(self._task, element)


def _numbers(count: int) -> list[int]:
    return list(range(count))


def _each(make_pipeline: Callable[[], beam.Pipeline], count: int, name: str, work: beam.DoFn) -> None:
    """Runs `work` on the numbers below `count`.

    Raises:
        UnseenError: a worker does not see what it needs.
    """
    try:
        with make_pipeline() as pipeline:
            _ = (
                pipeline
                | "Start" >> beam.Create([count])
                | "Numbers" >> beam.FlatMap(_numbers)
                # Without it, runners would do everything where the numbers were made.
                | "Spread" >> beam.Reshuffle()
                | name >> beam.ParDo(work)
            )
    except Exception as error:
        if isinstance(error, UnseenError) or (told := _UNSEEN.search(str(error))) is None:
            raise
        raise UnseenError(told[0]) from None


def _search(make_pipeline: Callable[[], beam.Pipeline], folder: str) -> Search:
    """The search for nearly equal images on the workers."""
    return search.spread(folder, lambda task: _each(make_pipeline, task.count, "SearchBand", _SearchBand(task)))


class Executor(base_beam_executor.BaseBeamExecutor):
    """Lists the records, assigns them to shards, and writes the shards with Beam."""

    def Do(  # noqa: N802  TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        try:
            self._ingest(examples, exec_properties)
        finally:
            processes.release()
            spread.remove(examples.uri)

    def _ingest(self, examples: types.Artifact, exec_properties: dict[str, Any]) -> None:
        source = Source.from_json(exec_properties["source"])
        dataset, rule = reading.read(source)
        path = exec_properties["remembered"]
        current = versions.current(exec_properties["destination"], trust.of_json(exec_properties["verify"]))
        served = reference.seen(current, exec_properties["task"])
        before = earlier.joined(served, earlier.Seen.read(path) if path else None, dataset.fractions)
        key, code = exec_properties["data_fingerprint"], exec_properties["code_fingerprint"]
        previous = reuse.Previous() if key.startswith(ledger.ANEW) else reuse.find(examples.uri)
        with crash_mark.reading(os.path.dirname(path)) as found:
            data = source.data
            job = shards.job(dataset, data.max_pixels, rule, data.bits, before, data.arrays, careful=found.careful)
            written = _written(self._make_beam_pipeline, examples.uri, dataset, job, previous, code)
            there = previous.files
            if written.reused:
                total = len(dataset.records)
                progress.announce(
                    f"{written.reused:,} of {total:,} images are as they were; their records were taken over"
                )
            del previous  # what is known of each image
            compare = None
            # A store has no folder to search in.
            if len(dataset.records) > search.ALONE and spread_place.current() is None:
                compare = _search(self._make_beam_pipeline, examples.uri)
            counted, seen = settling.merge(dataset, written, job, source.near, examples.uri, there, compare)
            found.crashed = shards.crashed(counted)
        if compare is not None and source.near is not None:  # for the data gate and the report, which have no workers
            for field in ("truth", "split"):
                seen.write_near_pairs(examples.uri, field, source.near.distance, compare)
        assigned = Assigned(
            fractions=dataset.fractions,
            origin=earlier.origin(source, exec_properties["data_fingerprint"]),
            earlier=exec_properties["earlier_splits"],
        )
        counted = counted.model_copy(update={"assigned": assigned})
        remembered = before.after(seen.rows, assigned, served.digest() if served else "")
        remembered.write(os.path.join(examples.uri, EARLIER_SPLITS))
        seen.write(examples.uri)
        counted = counted.model_copy(update={"records": index.write(examples.uri, counted.files, written)})
        manifest.write(examples.uri, counted)
        # What is known of each image is in files now.
        del before, remembered, seen, served
        job = dataclasses.replace(job, earlier=earlier.Earlier())
        reuse.write(examples.uri, written.planned(), written, job, code)
        digests = (pair for report in written for pair in report.digests.items())
        ledger.write(examples.uri, key, dataset, _versions(source), digests)
        describe(examples, SPLITS)
        if not all(counted.counts.values()):
            # TFDV and Transform cannot process an empty split, so this rule of the data gate is applied here.
            raise DataRejected(data_gate.empty_splits(counted), counted, census.Images.read(examples.uri))


def _written(
    make_pipeline: Callable[[], beam.Pipeline],
    folder: str,
    dataset: Dataset,
    job: shards.Job,
    previous: reuse.Previous,
    code: str,
) -> spread.Written:
    """Plans and writes the shards; the plan is kept on disk alone."""
    plan = shards.plan(dataset.records)
    known = (reuse.known(previous, records, job, code) for records in plan)
    return write_shards(make_pipeline, folder, plan, job, known, previous.files)


def describe(examples: types.Artifact, splits: Sequence[str]) -> None:
    """Says in the artifact what its splits are, and that they hold `tf.train.Example`."""
    examples.split_names = artifact_utils.encode_split_names(list(splits))
    # The same as `tfx.components.util.examples_utils`, whose import would load every component of TFX.
    payload = example_gen_pb2.PayloadFormat.Name(example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE)
    examples.set_string_custom_property("payload_format", payload)


def write_shards(
    make_pipeline: Callable[[], beam.Pipeline],
    folder: str,
    plan: Iterable[Sequence[Record]],
    job: shards.Job,
    known: Iterable[Known],
    there: Files,
) -> spread.Written:
    """Writes the shards of a plan with Beam; returns their reports, which stay in `folder` until `spread.remove`.

    Workers that reach a store write there, see `spread.place`; then the shards are fetched into the folder.

    Args:
        make_pipeline: makes a Beam pipeline.
        folder: of the shards; it is made.
        plan: the records of each shard.
        job: settings that all shards share.
        known: for each shard what an earlier ingest knows of it.
        there: the files of that ingest.
    """
    place = spread_place.current()
    written = spread.write(folder, plan, job, known, there)
    handed = written
    if place is not None:
        handed = spread.hand(written, place.url, job, Files(place.url_of(there.folder) if there.folder else ""))
    progress.start(_TASK)
    try:
        _each(make_pipeline, written.count, "WriteShard", _WriteShard(handed))
        if place is None:
            return spread.reports(written)
        reports = spread.collect(handed, written)
        place.there = {file.name: file.sha256 for report in reports for file in report.files}
        place.fetch(place.there, place.there)
        return reports
    except Exception:
        spread.remove(folder)
        raise
    finally:
        if place is not None:
            spread.remove(handed.folder)


def _versions(source: Source) -> Iterator[tuple[str, str]]:
    """Lists the data set again: (path, version), or nothing where it cannot be listed any more."""
    try:
        yield from packed(reading.read(source)[0].records).values("path", "version")
    except ImagegateError:
        return


class _Spec(component_spec.ComponentSpec):
    PARAMETERS = {  # noqa: RUF012  TFX's way
        "source": component_spec.ExecutionParameter(type=str),
        "data_fingerprint": component_spec.ExecutionParameter(type=str),
        "earlier_splits": component_spec.ExecutionParameter(type=str),
        "destination": component_spec.ExecutionParameter(type=str),
        "verify": component_spec.ExecutionParameter(type=str),
        "artifacts": component_spec.ExecutionParameter(type=str),
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
        artifacts: URL below which stages write, or ""; part of the cache key, so that a store begins with the shards.
        remembered: file with the splits of earlier runs below the same `output`, or "".
        task: the task in the configuration.
        code_fingerprint: changes when the code of this stage does; part of the cache key.
    """

    SPEC_CLASS = _Spec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, **parameters: Any) -> None:
        super().__init__(_Spec(examples=types.Channel(type=standard_artifacts.Examples), **parameters))
