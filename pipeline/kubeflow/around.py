"""Tasks of a Kubeflow pipeline for what `imagegate run` does before and after the graph.

Preflight looks at the data and the push destination, so that the cache keys of what follows are those of a run on this
machine. ModelGate comes last and fails where the model gate refused: by then every artifact is kept. Notify, where
there is someone to tell, runs when all of them have ended, see `ended`. OnChange is a pipeline of its own, see `poll`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from components.base.artifact_files import SERVING, VERDICTS
from components.base.errors import ConfigError
from components.base.verdict import Verdict
from components.data import images
from components.gates.errors import DataRejected, ModelRefused
from components.ingest import ledger, splits
from components.ingest.counts import census
from components.push import versions
from components.report import outcome
from pipeline import derived
from pipeline.config import validated
from pipeline.kubeflow import ended
from pipeline.kubeflow.polling import poll
from pipeline.runs import data
from pipeline.stages import NOTIFY, ON_CHANGE, PREFLIGHT

if TYPE_CHECKING:
    from tfx.types.artifact import Artifact

    from pipeline.config import Config


# Places that pods read or write; the others exist on the machine that compiled the pipeline.
_IN_PODS = ("push.destination", "data.unlabelled", "evaluation.out_of_distribution")


def run(task: str, parameters: Mapping[str, Any], inputs: Mapping[str, Sequence[Artifact]]) -> dict[str, Any]:
    """Runs one of the tasks and returns its output parameters."""
    if task == PREFLIGHT.name:
        return preflight(**parameters)
    if task == ON_CHANGE.name:
        poll.poll(**parameters)
        return {}
    if task == NOTIFY.name:
        ended.notify(**parameters)
        return {}
    if "report" in inputs:
        try:
            ended.record(inputs["report"][0].uri, **parameters)
        except Exception as error:  # noqa: BLE001  what people are told never decides how the run ends
            print(f"warning: the outcome cannot be read or told: {type(error).__name__}", file=sys.stderr, flush=True)
    [evaluation], [checked], [pushed] = (inputs[key] for key in ("evaluation", "serving_check", "pushed_model"))
    model_gate(
        [*_verdicts(evaluation.uri, VERDICTS), *_verdicts(checked.uri, SERVING)],
        pushed.get_string_custom_property("pushed_version"),
        pushed.get_string_custom_property("not_pushed"),
    )
    return {}


def preflight(config: str, data_root: str, data_version: str, epochs: int) -> dict[str, str]:
    """Looks at the data, the push destination and the files, which the cache keys of the graph follow.

    Args:
        config: JSON of the configuration's keys, `folder` and `file`.
        data_root: takes the place of `data.root`.
        data_version: takes the place of the fingerprint of the data set's listing; "": computes it.
        epochs: takes the place of `training.epochs`.

    Returns:
        `data_fingerprint`; `served_version`, the version now served, or ""; `earlier_splits`, a digest of the splits of
        the images behind that version, or "", see `ingest.earlier.key`; `files_version`, which changes with the
        backbone's file, the images without labels and those of none of the labels, "" where there are none.

    Raises:
        ConfigError: the configuration does not fit the data, or what is served was pushed by another configuration.
        NoNumber: no version can follow what lies in the push destination.
        DataRejected: there is no image.
    """
    raw = json.loads(config)
    overrides = {"data": raw["data"] | {"root": data_root}, "training": raw.get("training", {}) | {"epochs": epochs}}
    settings = validated(raw | overrides)
    _same_places(validated(raw), settings)
    served = versions.current(settings.destination, settings.trust())
    versions.require_name(served, settings.name, take_over=settings.push.take_over)
    if settings.push.challenges:
        versions.require_champion(served)
    versions.require_not_pulled(settings.destination)
    versions.require_number(settings.destination)
    dataset, _ = data.read_dataset(settings)
    if not dataset.records:
        raise DataRejected(data.judge_data(settings, data.gate_input(settings, *census.merge(dataset, []), "")))
    for key, path in settings.backbone_files:
        if not os.path.isfile(path):
            raise ConfigError(f"{key}: {path} does not exist")
    files = derived.files(settings)
    digests = files.backbone + files.unlabelled + files.out_of_distribution
    largest = images.max_file_bytes(settings.data.max_pixels)
    fingerprint = data_version or ledger.proven(dataset, largest).fingerprint()
    return {
        "data_fingerprint": fingerprint,
        "served_version": served.version if served else "",
        "earlier_splits": data.earlier_splits_key(settings, dataset, fingerprint, local=False),
        "files_version": splits.digest(digests.encode()) if digests else "",
    }


def _same_places(compiled: Config, settings: Config) -> None:
    """Raises ConfigError if ingest, whose settings were compiled, would not skip what the settings of this run skip."""
    known = {place for _, place in compiled.source.skipped}
    for key, place in settings.source.skipped:
        if place not in known and key in _IN_PODS:
            raise ConfigError(
                f"data_root: {settings.data_root} holds {place} ({key}), which the compiled pipeline does not leave "
                "out; compile it with this data.root"
            )


def model_gate(verdicts: Sequence[Verdict], version: str | None, not_pushed: str | None) -> None:
    """Fails the task unless the model was pushed or is served already.

    Args:
        verdicts: of the model gate and the serving check.
        version: the version that is served now, if the model passed.
        not_pushed: why a model that passed was not pushed.

    Raises:
        ModelRefused: the model was not pushed.
    """
    if not version:
        raise ModelRefused(outcome.refusal(verdicts, not_pushed))


def _verdicts(folder: str, name: str) -> list[Verdict]:
    with open(os.path.join(folder, name), encoding="utf-8") as f:
        content = json.load(f)
    return [Verdict(**verdict) for verdict in (content["verdicts"] if isinstance(content, dict) else content)]
