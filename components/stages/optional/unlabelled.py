"""UnlabelledExampleGen: reads a folder of images without labels, with the code and the checks of ingest."""

import dataclasses
import os
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_beam_component, base_beam_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts

from components.data.dataset import UNLABELLED
from components.gates import data_gate
from components.gates.errors import DataRejected
from components.ingest import manifest, shards
from components.ingest.counts import census
from components.ingest.settings import Pool
from components.ingest.spread import plan as spread
from components.ingest.stored.copies import NO_FILES, NOTHING
from components.ingest.unlabelled import listing, merging
from components.ingest.workers import crash_mark, processes
from components.stages.ingest import describe, write_shards


class Executor(base_beam_executor.BaseBeamExecutor):
    """Writes the shards with Beam, and leaves out the images that training must not see or sees anyway."""

    def Do(  # noqa: N802  TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        labelled = census.Images.read(artifact_utils.get_single_uri(input_dict["examples"]))
        examples = artifact_utils.get_single_instance(output_dict["unlabelled"])
        try:
            self._ingest(examples, labelled, exec_properties)
        finally:
            processes.release()
            spread.remove(examples.uri)

    def _ingest(self, examples: types.Artifact, labelled: census.Images, exec_properties: dict[str, Any]) -> None:
        pool = Pool.from_json(exec_properties["pool"])
        dataset = listing.read(pool)
        with crash_mark.reading(os.path.dirname(exec_properties["remembered"]), "unlabelled") as found:
            job = shards.job(dataset, pool.max_pixels, bits=pool.bits, careful=found.careful)
            job = dataclasses.replace(job, splits=(UNLABELLED,))
            plan = shards.plan(dataset.records)
            none = [NOTHING] * len(plan)
            written = write_shards(self._make_beam_pipeline, examples.uri, plan, job, none, NO_FILES)
            counted = merging.merge(dataset, written, labelled, pool.distance, examples.uri)
            found.crashed = shards.crashed(counted)
        manifest.write(examples.uri, counted)
        describe(examples, [UNLABELLED])
        verdicts = data_gate.unlabelled_files(
            sum(len(report.paths) for report in written), counted.quarantined, pool.max_bad_fraction
        )
        if not all(verdict.passed for verdict in verdicts):
            raise DataRejected(verdicts)


class _Spec(component_spec.ComponentSpec):
    PARAMETERS = {  # noqa: RUF012  TFX's way
        "pool": component_spec.ExecutionParameter(type=str),
        "pool_fingerprint": component_spec.ExecutionParameter(type=str),
        "remembered": component_spec.ExecutionParameter(type=str),
        "code_fingerprint": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {"examples": component_spec.ChannelParameter(type=standard_artifacts.Examples)}  # noqa: RUF012
    OUTPUTS = {"unlabelled": component_spec.ChannelParameter(type=standard_artifacts.Examples)}  # noqa: RUF012


class UnlabelledExampleGen(base_beam_component.BaseBeamComponent):
    """Turns a folder of images without labels into `Examples` with the one split `UNLABELLED`.

    Args:
        examples: the labelled images, which are looked for among them.
        pool: JSON of `ingest.settings.Pool`.
        pool_fingerprint: changes when the images do; part of the cache key.
        remembered: see `ImageExampleGen`; a command that died while it read is noticed in the folder of this file.
        code_fingerprint: changes when the code of this stage does; part of the cache key.
    """

    SPEC_CLASS = _Spec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, **parameters: Any) -> None:
        super().__init__(_Spec(unlabelled=types.Channel(type=standard_artifacts.Examples), **parameters))
