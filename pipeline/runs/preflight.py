"""Checks before an hour of training: places that cannot be written, files that cannot be read, disk room."""

from __future__ import annotations

import difflib
import glob
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

from components.base.artifact_files import DATASET_MANIFEST
from components.base.compact import scratch
from components.base.errors import ConfigError, ImagegateError
from components.base.text import byte_size, truncated_list
from components.base.values import parsed_json
from components.data import storage
from components.data.dataset import Dataset
from components.exports import formats
from components.model.networks import weights
from components.push import versions
from components.push.signing import keys
from pipeline import stages
from pipeline.artifacts import copies, store
from pipeline.config import backbones, beam
from pipeline.disk import room
from pipeline.runs import database

if TYPE_CHECKING:
    from pipeline.config import Config

# Measured on 442 photos of 12.7 MB: the shards are 1.016 times as large as the images, and a model is exported as 1.8
# times its weights. A checkpoint holds the weights and Adam's two moments; three exist while one is replaced.
_SHARDS = 1.02  # bytes written for each byte of an image that is stored as it is; re-encoded ones may take more
_TRAINED = 9 + 2  # bytes below `output` for each byte of weights: three checkpoints and the exported model
_PUSHED = 2  # the same below `push.destination`
_IN_FILES = 250  # bytes of each image in the temporary folder, see docs/scaling.md
_REST = 10_000_000  # statistics, metrics, the report and the log
_READ = {"effective_ids": True} if os.access in os.supports_effective_ids else {}


def places(config: Config) -> None:
    """Checks what takes no look at the data.

    Raises:
        ConfigError: `output`, its database, `output.artifacts` or `push.destination` cannot be written, the
            backbone's file cannot be used, its weights are missing and cannot be fetched, Beam's runner lacks
            something, or what is served was pushed by another configuration.
        NoNumber: no version can follow what lies in `push.destination`.
    """
    _places(config)
    for name in config.imagenet:  # last, since it may download them
        weights.ensure(name, config.training.image_size)


def _places(config: Config) -> None:
    for backbone in config.backbones:
        if backbone.endswith(".keras"):
            backbones.check_file(backbone)
    if config.module_path is not None:
        backbones.check_module(config.module_path)
    writable("output", config.output_folder)
    if config.artifacts:
        _protocols(copies.KEY, config.artifacts)
        store.ArtifactStore(config.artifacts, config.output_folder).check()
    for used in ("history", "pipeline"):  # of earlier runs, maybe of another user
        path = os.path.join(config.output_folder, used)
        if os.path.lexists(path) and not os.access(path, os.W_OK, **_READ):
            raise ConfigError(f"output: {path} cannot be written: {room.unwritable(path)}")
    database.check(config.output_folder)
    _exports(config)
    _memory(config)
    beam.check(config)
    local = re.sub("^(file|local)://", "", config.destination)
    if storage.is_url(local):
        _protocols("push.destination", local)
    else:
        writable("push.destination", local)
    try:
        served = versions.current(config.destination, config.trust())
        versions.require_name(served, config.name, take_over=config.push.take_over)
        if config.push.challenges:
            versions.require_champion(served)
        versions.require_not_pulled(config.destination)
        versions.require_number(config.destination)
    except (ConfigError, versions.NoNumber):
        raise
    except ImagegateError:
        return  # whoever compares with the served model reads it again, and says why that failed


def signing(config: Config) -> list[str]:
    """Checks that a run could sign what it pushes.

    Returns:
        a sentence if others can read the private key.

    Raises:
        ConfigError: a key cannot be read, or nobody would trust what it signs.
    """
    config.trust_to_write()
    return keys.warnings(config.absolute_push.sign)


def _exports(config: Config) -> None:
    """Raises ConfigError if a format needs a package that is not installed."""
    if lacking := next(formats.missing(config.push.exports), None):
        raise ConfigError(f"push.formats: {lacking}")


def _memory(config: Config) -> None:
    """Raises ConfigError if a single resized image, as numbers of 32 bits, is larger than this machine's memory."""
    height, width = config.training.image_size
    needed, there = height * width * 3 * 4, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        raise ConfigError(
            f"training.image_size: one image of {height} x {width} pixels takes {byte_size(needed)}, and this machine "
            f"has {byte_size(there)} of memory; choose a smaller size"
        )


def writable(key: str, path: str) -> None:
    """Raises ConfigError unless a folder can be written, or made if it does not exist; makes nothing."""
    there = room.nearest(path)
    if not os.path.exists(there):
        raise ConfigError(f"{key}: {path} cannot be made: {there} is a link to nothing; remove it")
    if not os.path.isdir(there):
        what = "is a file" if there == path else f"cannot be made: {there} is a file"
        raise ConfigError(f"{key}: {path} {what}; expected a folder")
    if not os.access(there, os.W_OK | os.X_OK, **_READ):
        raise ConfigError(f"{key}: {path} cannot be written: {room.unwritable(there)}: {there}; choose another folder")


def _protocols(key: str, url: str) -> None:
    """Raises ConfigError if fsspec does not know a protocol of the URL, or lacks a package for it; connects nowhere."""
    import fsspec

    for part in url.split("::"):
        protocol = part.partition("://")[0]
        try:
            fsspec.get_filesystem_class(protocol)
        except ValueError:
            near = difflib.get_close_matches(protocol, fsspec.available_protocols(), 1, 0.5)
            hint = f"; did you mean {near[0]}://?" if near else ""
            raise ConfigError(f"{key}: {url}: there is no protocol {protocol!r}{hint}") from None
        except ImportError as error:
            raise ConfigError(f"{key}: {url}: a package is missing: {error}") from None


def files(config: Config, dataset: Dataset, *, force: bool = False) -> None:
    """Checks what the listing of the data tells.

    Args:
        config: the settings.
        dataset: the listing.
        force: whether every stage will run again.

    Raises:
        ConfigError: files cannot be read, or a model of these labels is not exported.
        NoRoom: the disk has too little room.
    """
    if config.push.exports and config.kind.is_detector(len(dataset.labels)):
        raise ConfigError(
            f"push.formats: the data have the single label {dataset.labels[0]!r}, and a model of one label answers "
            "with the familiarity of an image, which exports do not compute; remove the formats besides saved_model"
        )
    _readable(dataset)
    for path, size in needs(config, dataset, force=force):
        if size > shutil.disk_usage(room.nearest(path)).free:
            raise room.NoRoom(room.message("no space left on device", path, size))


def _readable(dataset: Dataset) -> None:
    if not os.path.isdir(dataset.root):
        return  # a URL or an archive
    paths = (path for record in dataset.records for path in (record.path, record.mask) if path)
    closed = [path for path in paths if _closed(os.path.join(dataset.root, path))]
    if closed:
        number = f"{len(closed):,} file{'' if len(closed) == 1 else 's'}"
        raise ConfigError(
            f"data.root: {number} cannot be read: permission denied: {truncated_list(closed)}; change the permissions, "
            "or list what is not needed in data.exclude"
        )


def _closed(path: str) -> bool:
    return os.path.lexists(path) and not os.access(path, os.R_OK, **_READ)


def needs(config: Config, dataset: Dataset, *, force: bool = False) -> Iterator[tuple[str, int]]:
    """Yields a folder and the bytes that a run needs below it, for each file system that it writes to."""
    images = 0 if not force and _ingested(config, dataset) else sum(record.size for record in dataset.records)
    size = backbones.weight_bytes(config.backbone)
    output = round(_SHARDS * images) + _TRAINED * size + _REST
    destination = re.sub("^(file|local)://", "", config.destination)
    wanted = [(config.output_folder, output)]
    wanted += [] if storage.is_url(destination) else [(destination, _PUSHED * size)]
    if (temporary := _IN_FILES * len(dataset.records)) > scratch.SMALL:
        wanted.append((tempfile.gettempdir(), temporary))
    found: dict[int, tuple[str, int]] = {}  # by file system
    for folder, needed in wanted:
        place = os.stat(room.nearest(folder)).st_dev
        first, so_far = found.get(place, (folder, 0))
        found[place] = first, so_far + needed
    yield from found.values()


def _ingested(config: Config, dataset: Dataset) -> bool:
    """Whether an earlier run seems to have stored these images, so that the cache has them: there are as many."""
    pattern = os.path.join("pipeline", stages.INGEST.name, "examples", "*", DATASET_MANIFEST)
    found = glob.glob(os.path.join(glob.escape(config.output_folder), pattern))
    if not found:
        return False
    try:
        with open(max(found, key=os.path.getmtime), encoding="utf-8") as f:
            manifest = parsed_json(f.read())
        stored = sum(manifest["counts"].values()) + len(manifest["quarantined"])
    except (OSError, ValueError, KeyError):
        return False
    return bool(stored == len(dataset.records) + len(dataset.rejected))
