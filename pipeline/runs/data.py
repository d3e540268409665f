"""The data set of a configuration and the data gate, without TFX."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING

from components.base.artifact_files import EARLIER_SPLITS
from components.base.errors import ConfigError
from components.base.files import replacing
from components.base.verdict import Verdict
from components.data import images, schema
from components.data.dataset import Dataset
from components.data.manifest import DatasetManifest
from components.data.mask_rules import Rule
from components.gates import data_gate, reference
from components.gates.data_rules.base import GateInput
from components.ingest import earlier, ledger
from components.ingest.counts import census
from components.ingest.layouts import reading
from components.ingest.ledger import Recognised
from components.model.features.rows import Features
from components.push import versions
from pipeline import derived, stages
from pipeline.config.checks import check_labels, check_slices

if TYPE_CHECKING:
    from pipeline.config import Config


def read_dataset(config: Config) -> tuple[Dataset, Rule | None]:
    """Lists the data set as the configuration says; for masks also returns the meaning of their values.

    Raises:
        ConfigError: there is no such folder, or the data lack a label or a slice's value of the configuration.
        LayoutError: the folder is not laid out as the configuration says.
    """
    dataset, rule = reading.read(config.source)
    check_labels(config, dataset.labels)
    values: dict[str, set[str]] = {column: set() for column in config.data.columns.slices}
    for column, value in (pair for record in dataset.records for pair in record.slices):
        values.setdefault(column, set()).add(value)
    if dataset.records:
        check_slices(config, values)
    return dataset, rule


def recognise(config: Config, dataset: Dataset, *, force: bool) -> Recognised:
    """Finds the earlier ingest of this output that read exactly this data set; see `ledger.recognise`."""
    folder = os.path.join(config.output_folder, "pipeline", stages.INGEST.name, "examples")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    numbers = sorted((name for name in names if name.isdecimal()), key=int)  # of the executions
    ledgers = ledger.read(os.path.join(folder, number) for number in numbers)
    return ledger.recognise(dataset, ledgers, most_bytes=images.max_file_bytes(config.data.max_pixels), anew=force)


def ingested(folder: str) -> str:
    """The fingerprint of the contents that an ingest into this folder read, or "" if it is not known."""
    found = ledger.read([folder])
    return found[0].content if found else ""


def earlier_splits(config: Config, dataset: Dataset) -> earlier.Earlier:
    """Returns the splits of earlier runs on this machine and of the served model's images.

    Raises:
        ImagegateError: a record of them is damaged.
    """
    return earlier.joined(_served_splits(config), earlier.Seen.read(derived.remembered(config)), dataset.fractions)


def earlier_splits_key(config: Config, dataset: Dataset, data_fingerprint: str, *, local: bool = True) -> str:
    """Returns the part of ingest's cache key that follows the splits of earlier runs; see `earlier.key`.

    Args:
        config: the settings.
        dataset: the listing.
        data_fingerprint: of the listing.
        local: whether the runs below `output` are known, or only the served model.
    """
    own = earlier.Seen.read(derived.remembered(config)) if local else None
    origin = earlier.origin(config.source, data_fingerprint)
    return earlier.key(_served_splits(config), own, dataset.fractions, origin)


def _served_splits(config: Config) -> earlier.Seen | None:
    return reference.seen(versions.current(config.destination, config.trust()), config.task)


def remember_splits(config: Config, artifacts: Mapping[str, str]) -> None:
    """Keeps the splits of a run below `output`, where later runs find them, if the data gate accepted its data.

    Of refused data, nothing was trained on or judged, so they may be split anew.

    Args:
        config: the settings.
        artifacts: folders of the run's artifacts, by key.
    """
    if "class_balance" in artifacts:
        with replacing(derived.remembered(config)) as temporary:
            shutil.copyfile(os.path.join(artifacts["examples"], EARLIER_SPLITS), temporary)


def frozen_schema(config: Config) -> str:
    """Reads the text of the user's schema; "" if there is none.

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


def gate_input(
    config: Config, manifest: DatasetManifest, images: census.Images, frozen: str, features: Features | None = None
) -> GateInput:
    """What the data gate judges, outside of the graph.

    Args:
        config: the settings.
        manifest, images: counts of the data set and a row for each image, see `census.merge`.
        frozen: text of the user's schema, see `frozen_schema`.
        features: of the images, or None without a pretrained backbone.

    Raises:
        ImagegateError: the record of the served model's data is damaged.
    """
    served = reference.recall(versions.current(config.destination, config.trust()), config.task)
    file = config.data.schema_file or ""
    anomalies = schema.compare(schema.parse(frozen, config.task, file), manifest, file) if frozen else []
    return GateInput(manifest, images, served, anomalies, features)


def judge_data(config: Config, data: GateInput) -> list[Verdict]:
    """Applies the data gate outside of the graph, where no stage has refused empty splits before."""
    verdicts = data_gate.check(data, config.data_gate_limits)
    return verdicts + ([] if all(data.manifest.counts.values()) else data_gate.empty_splits(data.manifest))
