"""The settings of a data set -> its listing, and what its masks mean. One row a layout."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from components.base.errors import ConfigError
from components.data import storage
from components.data.dataset import Dataset, LayoutError, packed
from components.data.mask_rules import Rule, rule
from components.ingest import exclusion
from components.ingest.layouts import coco, folders, manifest, masks, own, sequences, tiles
from components.ingest.layouts.annotated import cvat, label_studio, labelme, voc, yolo
from components.ingest.layouts.annotated.shared import records
from components.ingest.layouts.annotated.shared.entries import Wanted
from components.ingest.layouts.listing import Listing, arrays_too
from components.ingest.settings import Data, Labels, Source


def read(source: Source) -> tuple[Dataset, Rule | None]:
    """Lists a data set without the project's own places in it; reads no image.

    Returns:
        the listing, whose notes say what was left aside, and for masks the meaning of mask values; its labels leave the
        ignored one out.

    Raises:
        ConfigError: there is no such folder or file, or the settings contradict the data set.
        LayoutError: the data set is not laid out as the settings say.
    """
    places, root = own.places(source), source.data.root
    with storage.watch(places) as left, _arrays(source.data):
        try:
            dataset, meaning = _LAYOUTS[source.data.layout](source, source.data, source.labels)
        except (ConfigError, LayoutError) as error:
            if not left.met:
                raise
            # What is missing may be what was left out.
            aside = own.notes(left, places, root)[0]
            raise type(error)(f"{str(error).rstrip('.')}. {aside[0].upper()}{aside[1:]}") from None
    notes = (*dataset.notes, *own.notes(left, places, root))
    dataset = replace(dataset, records=packed(dataset.records), notes=notes)
    bands = source.data.arrays
    # The meaning of a mask counts on every label.
    prune = meaning is None and source.labels.names is None
    kept = own.without_pool(exclusion.apply(dataset, source.exclude, prune=prune), source)
    return (kept if bands is None or bands.tile is None else tiles.tiled(kept, bands, source.data.max_pixels)), meaning


@contextlib.contextmanager
def _arrays(data: Data) -> Iterator[None]:
    """Within it, arrays are listed, and folders of moments as one."""
    bands = data.arrays
    with contextlib.ExitStack() as stack:
        if bands is not None:
            stack.enter_context(arrays_too())
            stack.enter_context(sequences.bundled(data, bands))
        yield


def _folders(source: Source, data: Data, labels: Labels) -> tuple[Dataset, None]:
    return folders.read(data.root, dict(data.split), labels.names), None


def _manifest(source: Source, data: Data, labels: Labels) -> tuple[Dataset, None]:
    assert data.manifest is not None
    assert not isinstance(data.images, dict)
    dataset = manifest.read(
        data.root,
        dict(data.split),
        labels.names,
        manifest=data.manifest,
        images=data.images,
        columns=data.columns,
        prefix=data.prefix,
        long=data.rows == "label",
        separator=data.separator,
        empty=labels.empty,
        single=source.exclusive,
    )
    return dataset, None


def _masks(source: Source, data: Data, labels: Labels) -> tuple[Dataset, Rule]:
    assert data.images is not None
    assert not isinstance(data.images, tuple)
    assert data.masks is not None
    meaning = rule(labels.names or (), ignore=labels.ignore, colors=labels.colors)
    dataset = masks.read(
        data.root,
        dict(data.split),
        meaning.labels,
        images=data.images,
        masks=data.masks,
        image_suffix=data.image_suffix,
        mask_suffix=data.mask_suffix,
        lists=data.lists,
    )
    return dataset, meaning


def _coco(source: Source, data: Data, labels: Labels) -> tuple[Dataset, Rule | None]:
    assert data.annotations is not None
    assert not isinstance(data.images, tuple)
    ignore = "" if labels.ignore is None else str(labels.ignore)
    dataset = coco.read(
        data.root,
        dict(data.split),
        labels.names,
        annotations=data.annotations,
        images=data.images or "",
        masks=data.masks,
        per_pixel=source.per_pixel,
        ignore=ignore,
        background=labels.background or "",
    )
    return dataset, _rule_of(dataset, source, ignore)


def _annotated(source: Source, data: Data, labels: Labels) -> tuple[Dataset, Rule | None]:
    wanted = Wanted(source.exclusive, source.per_pixel)
    listing = Listing(data.root)
    ignore = "" if labels.ignore is None else str(labels.ignore)
    dataset = records.dataset(
        listing,
        _TOOLS[data.layout](listing, data, wanted),
        wanted,
        dict(data.split),
        labels.names,
        ignore=ignore,
        background=labels.background or "",
    )
    return dataset, _rule_of(dataset, source, ignore)


def _rule_of(dataset: Dataset, source: Source, ignore: str) -> Rule | None:
    """The meaning of masks that are drawn from regions; None for a task without masks."""
    if not source.per_pixel:
        return None
    names = [*dataset.labels, *([ignore] if ignore else [])]
    return rule(names, ignore=ignore or None, background=source.labels.background)


_TOOLS = {
    "yolo": yolo.read,
    "voc": voc.read,
    "labelme": labelme.read,
    "cvat": cvat.read,
    "label_studio": label_studio.read,
}
_LAYOUTS = {"folders": _folders, "manifest": _manifest, "masks": _masks, "coco": _coco}
_LAYOUTS |= dict.fromkeys(_TOOLS, _annotated)
