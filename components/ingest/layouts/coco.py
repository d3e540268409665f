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
from components.data.storage import File
from components.ingest.layouts.annotated.shared.entries import Found
from components.ingest.layouts.instances import files
from components.ingest.layouts.instances.categories import Category
from components.ingest.layouts.instances.categories import labels as category_labels
from components.ingest.layouts.instances.files import Image
from components.ingest.layouts.instances.segments import panoptic, panoptic_folder
from components.ingest.layouts.listing import Listing
from components.ingest.layouts.rules import by_split, ordered_labels, resolved_split, shares

_LARGEST = 1e18  # pixels of a region; a larger `area` is an error in the file


def read(
    root: str,
    split: Mapping[str, float],
    names: Sequence[str] | None = None,
    *,
    annotations: str | Mapping[str, str],
    images: str | Mapping[str, str] = "",
    masks: str | Mapping[str, str] | None = None,
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
        masks: folder of the PNG files of panoptic annotations, or one per split; None: each named like its JSON file.
        per_pixel: whether labels come from the regions rather than from the categories.
        ignore: for segmentation, a category that is not a label; the pixels of its regions are ignored.
        background: for segmentation, the label of pixels outside all regions; it need not be a category.

    Returns:
        the data set, whose `labels` leave out the ignored one, and groups of categories without annotations. For
        segmentation, `Record.regions` is set for `masks.draw` or, with panoptic masks, for `mask_rules.of_segments`.

    Raises:
        ConfigError: there is no such root or file, or settings contradict each other.
        LayoutError: an annotation file is malformed; names the file, the id, and what was expected.
    """
    paths, folders = by_split(annotations, "data.annotations"), by_split(images, "data.images")
    _same_splits(paths, folders, "data.images")
    listing, found = Listing(root), Found()
    entries: list[Image] = []
    categories: list[Category] = []
    panoptic_of: dict[str, str] = {}  # where an image is named -> folder of its panoptic mask
    prefixes = set()
    for part, path in paths.items():
        prefix = listing.folder(folders.get(part, folders.get(None, "")), "data.images")
        prefixes.add(prefix)
        content = files.parse(listing, path, prefix, part, found)
        entries += content.images
        categories += content.categories
        if content.panoptic and per_pixel:
            folder = panoptic_folder(listing, path, masks, part)
            panoptic_of |= {image.where: folder for image in content.images}
    labels = _labels(entries, categories, names, ignore, background, found)
    fractions = shares(split, set(paths))
    entries_of: dict[str, list[str]] = defaultdict(list)  # path -> all entries that name the file
    for image in entries:
        entries_of[image.file.path].append(image.where)
    if per_pixel and not panoptic_of:
        _check_regions(entries)
    records: list[Record] = []
    rejected: list[tuple[str, str]] = []
    used = {listing.find("", path).path for path in paths.values()}
    for image in entries:
        problem = image.file.problem or _named_twice(image.where, entries_of[image.file.path])
        region_json, mask = "", None
        if per_pixel and not problem and image.where in panoptic_of:
            region_json, mask, problem = panoptic(listing, image, panoptic_of[image.where])
        elif per_pixel and not problem:
            region_json, problem = _regions(image)
        if problem:
            rejected.append((image.file.path, f"{image.where}: {problem}"))
        else:
            records.append(_record(image, () if per_pixel else labels, region_json, mask, fractions))
    bare = [image.file.path for image in entries if not image.annotations]
    for path in sorted(bare):
        found.note("[image has|images have] no annotation", path)
    used |= {*entries_of, *(record.mask for record in records)}
    return Dataset(
        root=root,
        labels=labels,
        records=tuple(sorted(records, key=lambda r: r.path)),
        fractions=fractions,
        rejected=tuple(sorted(rejected)),
        ignored=tuple(sorted({f.path for prefix in prefixes for f in listing.below(prefix)} - used)),
        notes=found.notes(),
    )


def _same_splits(paths: Mapping[str | None, str], others: Mapping[str | None, str], key: str) -> None:
    if set(others) not in ({None}, set(paths)):
        raise ConfigError(
            f"{key}: has other splits than data.annotations; give both the same splits, or {key} one folder"
        )


def _check_regions(entries: Sequence[Image]) -> None:
    """Refuses annotations that are boxes without regions."""
    every = [entry for image in entries for _, _, entry in image.annotations]
    boxes = sum(not entry.get("segmentation") and bool(entry.get("bbox")) for entry in every)
    if boxes * 2 > len(every):
        raise LayoutError(
            f"data.annotations: {boxes:,} of {len(every):,} annotations have a box (bbox) but no region "
            "(segmentation), which task segmentation needs; set task: multi_label, for which a box is as good"
        )


def _labels(
    entries: Sequence[Image],
    categories: Sequence[Category],
    names: Sequence[str] | None,
    ignore: str,
    background: str,
    found: Found,
) -> tuple[str, ...]:
    """Chooses the labels and puts them in output order."""
    every = {category.label for category in categories}
    if ignore and ignore not in every:
        raise ConfigError(
            f"labels.ignore: {ignore!r} is not a category; there are {', '.join(map(repr, sorted(every)))}"
        )
    known = category_labels(categories, (*(names or ()), ignore, background), found)
    if names is not None:  # categories without an instance may be left out
        known = {label for image in entries for _, label, _ in image.annotations}
    labels = (known | {background}) - {ignore, ""}
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
            if not problem and not (isinstance(area, int | float) and 0 < area < _LARGEST):
                area = regions.area(segmentation)
        except BadImage as error:
            problem = str(error)
        if problem:
            return "", f"annotation {key!r} ({label}): {problem}"
        sized.append((-float(area), isinstance(key, str), key, label, segmentation))  # type: ignore[arg-type]
    lowest_first = sorted(sized, key=lambda s: s[:3])
    return regions.dump(image.size, [(label, segmentation) for *_, label, segmentation in lowest_first]), ""


def _record(
    image: Image, labels: Sequence[str], region_json: str, mask: File | None, fractions: Mapping[str, float]
) -> Record:
    present = {label for _, label, _ in image.annotations}
    return Record(
        path=image.file.path,
        labels=tuple(label for label in labels if label in present),
        split=resolved_split(image.split, fractions),
        size=image.file.size,
        version=image.file.version + (f" {mask.size} {mask.version}" if mask else ""),
        mask=mask.path if mask else "",
        regions=region_json,
    )
