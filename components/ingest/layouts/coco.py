"""The layout `coco`: images with COCO's annotation files of instances.

For multi-label, an image's labels are the categories that it has instances of; all others are known to be absent. For
segmentation, instances are drawn over one another, larger areas first, so that smaller objects lie on top of larger
ones; of equal areas, the annotation with the smaller id is drawn first. The area is the annotation's `area`, or else
the area that its polygons or run lengths cover. Crowds (`iscrowd`) are treated like any other instance.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from components.base.errors import ConfigError
from components.data import regions
from components.data.dataset import Dataset, LayoutError, Record
from components.data.images import BadImage
from components.ingest.layouts import instances
from components.ingest.layouts.instances import Image
from components.ingest.layouts.listing import Listing
from components.ingest.layouts.rules import by_split, ordered_labels, resolved_split, shares


def read(
    root: str,
    split: Mapping[str, float],
    names: Sequence[str] | None = None,
    *,
    annotations: str | Mapping[str, str],
    images: str | Mapping[str, str] = "",
    per_pixel: bool,
    ignore: str = "",
    background: str = "",
) -> Dataset:
    """Lists a data set by its annotations. Reads the listing and the annotation files, but no image.

    An image is rejected, with a reason, if its file is missing, outside the root or named twice, and for segmentation
    also if one of its annotations has no usable region.

    Args:
        root: local folder or fsspec URL.
        split: shares of train, eval and test; see `rules.shares`.
        names: the labels in output order, or None: the categories, sorted.
        annotations: path of the JSON file below `root`, or one per split.
        images: folder that `file_name`s are relative to, or one per split.
        per_pixel: whether labels come from the regions rather than from the categories.
        ignore: for segmentation, a category that is not a label; the pixels of its regions are ignored.
        background: for segmentation, the label of pixels outside all regions; it need not be a category.

    Returns:
        the data set, whose `labels` leave out the ignored one; for segmentation, `Record.regions` is set for
        `masks.draw`.

    Raises:
        ConfigError: there is no such root or file, or settings contradict each other.
        LayoutError: an annotation file is malformed; names the file, the id, and what was expected.
    """
    paths, folders = by_split(annotations, "data.annotations"), by_split(images, "data.images")
    if set(folders) not in ({None}, set(paths)):
        raise ConfigError(
            "data.images: has other splits than data.annotations; give both the same splits, or data.images one folder"
        )
    listing = Listing(root)
    entries: list[Image] = []
    categories: set[str] = set()
    prefixes = set()
    for part, path in paths.items():
        prefix = listing.folder(folders.get(part, folders.get(None, "")), "data.images")
        prefixes.add(prefix)
        parsed, named = instances.parse(listing, path, prefix, part)
        entries += parsed
        categories |= named
    labels = _labels(entries, categories, names, ignore, background)
    fractions = shares(split, set(paths))
    entries_of: dict[str, list[str]] = defaultdict(list)  # path -> all entries that name the file
    for image in entries:
        entries_of[image.file.path].append(image.where)
    records: list[Record] = []
    rejected: list[tuple[str, str]] = []
    for image in entries:
        problem = image.file.problem or _named_twice(image.where, entries_of[image.file.path])
        region_json = ""
        if per_pixel and not problem:
            region_json, problem = _regions(image)
        if problem:
            rejected.append((image.file.path, f"{image.where}: {problem}"))
        else:
            records.append(_record(image, () if per_pixel else labels, region_json, fractions))
    used = {*entries_of, *(listing.find("", path).path for path in paths.values())}
    return Dataset(
        root=root,
        labels=labels,
        records=tuple(sorted(records, key=lambda r: r.path)),
        fractions=fractions,
        rejected=tuple(sorted(rejected)),
        ignored=tuple(sorted({f.path for prefix in prefixes for f in listing.below(prefix)} - used)),
    )


def _labels(
    entries: Sequence[Image], categories: set[str], names: Sequence[str] | None, ignore: str, background: str
) -> tuple[str, ...]:
    """Chooses the labels and puts them in output order."""
    if ignore and ignore not in categories:
        raise ConfigError(
            f"labels.ignore: {ignore!r} is not a category; there are {', '.join(map(repr, sorted(categories)))}"
        )
    if names is not None:  # categories without an instance may be left out
        categories = {label for image in entries for _, label, _ in image.annotations}
    labels = (categories | {background}) - {ignore, ""}
    if not labels:
        raise LayoutError(
            "data.annotations: there is no category to learn; expected at least one in the list categories"
        )
    return ordered_labels(labels, None if names is None else [n for n in names if n != ignore], "data.annotations")


def _named_twice(where: str, same: Sequence[str]) -> str:
    """Explains why an image cannot be used if all entries in `same` name its file; or returns ""."""
    others = [other for other in same[:5] if other != where] or [where]
    return f"the same file is also named by {', '.join(others)}; remove all but one" if len(same) > 1 else ""


def _regions(image: Image) -> tuple[str, str]:
    """Returns `Record.regions`, and the reason if there is none, or ""."""
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


def _record(image: Image, labels: Sequence[str], region_json: str, fractions: Mapping[str, float]) -> Record:
    present = {label for _, label, _ in image.annotations}
    return Record(
        path=image.file.path,
        labels=tuple(label for label in labels if label in present),
        split=resolved_split(image.split, fractions),
        size=image.file.size,
        version=image.file.version,
        regions=region_json,
    )
