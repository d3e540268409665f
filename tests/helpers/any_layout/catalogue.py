"""Every layout: the kind of labels, whether it can name splits and must, and the function that writes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from any_layout import plain, tables, tools
from any_layout.truth import World


@dataclass(frozen=True)
class Written:
    """One way to write a data set.

    Attributes:
        kind: "single", "multi" or "mask".
        splits: whether it names splits: for data sets that do, that do not, or both.
        write: writes a data set into a folder, and returns task, `data` and `labels`.
    """

    kind: str
    splits: tuple[bool, ...]
    write: Callable[[Path, World], dict[str, Any]]


_BOTH, _NONE, _ALL = (False, True), (False,), (True,)
LAYOUTS = {
    "a folder per label": Written("single", _NONE, plain.folders),
    "folders below the labels": Written("single", _NONE, plain.deeper_folders),
    "folders of splits": Written("single", _ALL, plain.split_folders),
    "folders of splits below the labels": Written("single", _ALL, plain.splits_below_labels),
    "folders with other files": Written("single", _NONE, plain.beside_other_files),
    "a CSV table": Written("single", _BOTH, tables.csv_single),
    "a CSV table per split": Written("single", _ALL, tables.csv_per_split),
    "names in a cell": Written("multi", _NONE, tables.csv_names),
    "columns of 0 and 1": Written("multi", _NONE, tables.csv_columns),
    "lines of JSON": Written("multi", _BOTH, tables.jsonl),
    "a table with tabs": Written("single", _NONE, tables.tsv_single),
    "an array of JSON": Written("multi", _BOTH, tables.json_array),
    "a row per label": Written("multi", _NONE, tables.row_per_label),
    "Parquet with the images inside": Written("single", _BOTH, tables.parquet),
    "masks of ids": Written("mask", _BOTH, plain.id_masks),
    "masks of 16 bit": Written("mask", _BOTH, plain.id_masks_16_bit),
    "masks with a palette": Written("mask", _BOTH, plain.palette_masks),
    "masks of colours": Written("mask", _BOTH, plain.color_masks),
    "COCO boxes": Written("multi", _BOTH, plain.coco_tags),
    "COCO polygons": Written("mask", _BOTH, plain.coco_polygons),
    "COCO run lengths": Written("mask", _BOTH, plain.coco_counts),
    "COCO panoptic": Written("mask", _BOTH, plain.coco_panoptic),
    "YOLO boxes": Written("multi", _BOTH, tools.yolo_boxes),
    "YOLO polygons": Written("mask", _BOTH, tools.yolo_polygons),
    "Pascal VOC": Written("multi", _BOTH, tools.voc),
    "LabelMe rectangles": Written("multi", _NONE, tools.labelme_tags),
    "LabelMe polygons": Written("mask", _NONE, tools.labelme_polygons),
    "CVAT tags": Written("multi", _BOTH, tools.cvat_tags),
    "CVAT polygons": Written("mask", _BOTH, tools.cvat_polygons),
    "CVAT masks": Written("mask", _BOTH, tools.cvat_masks),
    "Label Studio choice": Written("single", _NONE, tools.label_studio_choice),
    "Label Studio choices": Written("multi", _NONE, tools.label_studio_choices),
    "Label Studio rectangles": Written("mask", _NONE, tools.label_studio_rectangles),
    "a zip archive": Written("single", _ALL, tools.zipped),
    "a tar.gz archive": Written("single", _BOTH, tools.tarred),
}
