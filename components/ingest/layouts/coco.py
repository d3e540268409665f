"""Layout `coco`: instances as COCO's annotation files have them.

For multi-label, the categories that an image has instances of are its labels, and all others are known to be absent.
For segmentation, the instances are painted over one another: larger areas first, so that smaller objects lie on top
of larger ones; of equal areas the annotation with the smaller id first. The area is the annotation's `area`, or where
it has none, what its polygons or run lengths cover. Crowds (`iscrowd`) are treated like any other instance.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

from components.base.errors import ConfigError
from components.data import regions
from components.data.dataset import Dataset, LayoutError, Record
from components.data.images import BadImage
from components.ingest.layouts import instances
from components.ingest.layouts.instances import Image
from components.ingest.layouts.listing import Listing
from components.ingest.layouts.rules import by_split, ordered_labels, settled, shares


def read(
    root: str,
    split: Mapping[str, float],
    names: Sequence[str] | None = None,
    *,
    annotations: str | Mapping[str, str],
    images: str | Mapping[str, str] = "",
    task: Literal["multi_label", "segmentation"],
    ignore: str = "",
    background: str = "",
) -> Dataset:
    """Lists a data set by its annotations. Reads the listing and the annotation files, no image.

    An image is rejected, with a reason, where its file is missing, lies outside the root or is named twice, and for
    segmentation where one of its annotations has no usable region.

    Args:
        root: local folder or fsspec URL.
        split: shares of train, eval and test; see `layouts.shares`.
        names: the labels in output order, or None: the categories, sorted.
        annotations: path of the JSON file below `root`, or one per split.
        images: folder that `file_name`s are relative to; or one per split.
        task: whether categories or regions count.
        ignore: segmentation: a category that is no label; its regions take part in nothing.
        background: segmentation: a label, of no category maybe, for pixels in no region.

    Returns:
        `labels` without the ignored one; for segmentation `Record.regions` is what `masks.draw` takes.

    Raises:
        ConfigError: no such root or file, or settings that contradict each other.
        LayoutError: an annotation file is malformed: naming the file, the id, and what was expected.
    """
    paths, folders = by_split(annotations, "data.annotations"), by_split(images, "data.images")
    if set(folders) not in ({None}, set(paths)):
        raise ConfigError("data.images: names other splits than data.annotations; give both the same, or one folder")
    listing = Listing(root)
    found: list[Image] = []
    categories: set[str] = set()
    prefixes = set()
    for part, path in paths.items():
        prefix = listing.folder(folders.get(part, folders.get(None, "")), "data.images")
        prefixes.add(prefix)
        here, named = instances.parse(listing, path, prefix, part)
        found += here
        categories |= named
    labels = _labels(found, categories, names, ignore, background)
    fractions = shares(split, set(paths))
    of_file: dict[str, list[str]] = defaultdict(list)
    for image in found:
        of_file[image.file.path].append(image.where)
    records: list[Record] = []
    rejected: list[tuple[str, str]] = []
    for image in found:
        problem = image.file.problem or _twice(image.where, of_file[image.file.path])
        drawn = ""
        if task == "segmentation" and not problem:
            drawn, problem = _regions(image)
        if problem:
            rejected.append((image.file.path, f"{image.where}: {problem}"))
        else:
            records.append(_record(image, labels if task == "multi_label" else (), drawn, fractions))
    spoken_for = {*of_file, *(listing.find("", path).path for path in paths.values())}
    return Dataset(
        root=root,
        labels=labels,
        records=tuple(sorted(records, key=lambda r: r.path)),
        fractions=fractions,
        rejected=tuple(sorted(rejected)),
        ignored=tuple(sorted({f.path for prefix in prefixes for f in listing.below(prefix)} - spoken_for)),
    )


def _labels(
    found: Sequence[Image], categories: set[str], names: Sequence[str] | None, ignore: str, background: str
) -> tuple[str, ...]:
    """Labels in output order."""
    if ignore and ignore not in categories:
        raise ConfigError(
            f"labels.ignore: {ignore!r} is no category; there are {', '.join(map(repr, sorted(categories)))}"
        )
    if names is not None:  # categories that nothing is an instance of may be left out
        categories = {label for image in found for _, label, _ in image.annotations}
    labels = (categories | {background}) - {ignore, ""}
    if not labels:
        raise LayoutError("data.annotations: there is no category to learn; expected some in the list categories")
    return ordered_labels(labels, None if names is None else [n for n in names if n != ignore], "data.annotations")


def _twice(where: str, same: Sequence[str]) -> str:
    """Why no image can be used whose file the entries `same` name, or ""."""
    others = [other for other in same[:5] if other != where] or [where]
    return f"the same file is named by {', '.join(others)}, too; remove all but one" if len(same) > 1 else ""


def _regions(image: Image) -> tuple[str, str]:
    """`Record.regions`, and why there is none, or ""."""
    sized = []
    for key, label, entry in image.annotations:
        segmentation, area = entry.get("segmentation"), entry.get("area")
        problem = regions.flaw(segmentation)
        try:
            if not problem and not (isinstance(area, int | float) and area > 0):
                area = regions.area(segmentation)
        except BadImage as error:
            problem = str(error)
        if problem:
            return "", f"annotation {key!r} ({label}): {problem}"
        sized.append((-float(area), isinstance(key, str), key, label, segmentation))  # type: ignore[arg-type]
    lowest_first = sorted(sized, key=lambda s: s[:3])
    return regions.dump(image.size, [(label, segmentation) for *_, label, segmentation in lowest_first]), ""


def _record(image: Image, labels: Sequence[str], drawn: str, fractions: Mapping[str, float]) -> Record:
    present = {label for _, label, _ in image.annotations}
    return Record(
        path=image.file.path,
        labels=tuple(label for label in labels if label in present),
        split=settled(image.split, fractions),
        size=image.file.size,
        version=image.file.version,
        regions=drawn,
    )
