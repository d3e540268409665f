"""The settings of a data set, as plain values -> its listing, and what its masks mean. One row a layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.data.dataset import Dataset
from components.data.mask_rules import Rule, rule
from components.ingest.layouts import coco, folders, manifest, masks
from components.ingest.layouts.columns import Columns


def read(settings: Mapping[str, Any]) -> tuple[Dataset, Rule | None]:
    """Lists a data set; reads no image.

    Args:
        settings: `task`, `layout`, `root`, `split`, `names` and the layout's own keys, as the configuration has them.

    Returns:
        the listing, and for segmentation the meaning of mask values; its labels leave the ignored one out.

    Raises:
        ConfigError: there is no such folder or file, or the settings contradict the data set.
        LayoutError: the data set is not laid out as the settings say.
    """
    return _LAYOUTS[settings["layout"]](settings)


def _folders(settings: Mapping[str, Any]) -> tuple[Dataset, None]:
    return folders.read(settings["root"], settings["split"], settings["names"]), None


def _manifest(settings: Mapping[str, Any]) -> tuple[Dataset, None]:
    given = settings["columns"]
    labels = given["labels"]
    columns = Columns(
        **{
            **given,
            "labels": tuple(labels) if isinstance(labels, list) else labels,
            "slices": tuple(given["slices"]),
        }
    )
    dataset = manifest.read(
        settings["root"],
        settings["split"],
        settings["names"],
        manifest=settings["manifest"],
        images=settings["images"],
        columns=columns,
        separator=settings["separator"],
        empty=settings["empty"],
        single=settings["task"] == "single_label",
    )
    return dataset, None


def _masks(settings: Mapping[str, Any]) -> tuple[Dataset, Rule]:
    meaning = rule(settings["names"], ignore=settings["ignore"], colors=settings["colors"])
    keys = ("images", "masks", "image_suffix", "mask_suffix", "lists")
    dataset = masks.read(settings["root"], settings["split"], meaning.labels, **{key: settings[key] for key in keys})
    return dataset, meaning


def _coco(settings: Mapping[str, Any]) -> tuple[Dataset, Rule | None]:
    dataset = coco.read(
        settings["root"],
        settings["split"],
        settings["names"],
        annotations=settings["annotations"],
        images=settings["images"] or "",
        task=settings["task"],
        ignore=settings["ignore"] or "",
        background=settings["background"] or "",
    )
    if settings["task"] != "segmentation":
        return dataset, None
    return dataset, rule(
        [*dataset.labels, *([settings["ignore"]] if settings["ignore"] else [])],
        ignore=settings["ignore"],
        background=settings["background"],
    )


_LAYOUTS = {"folders": _folders, "manifest": _manifest, "masks": _masks, "coco": _coco}
