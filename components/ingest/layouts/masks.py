"""The layout `masks`: each image has a mask file of the same name. Files are paired by name, never by sort order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from components.base.errors import ConfigError
from components.base.text import truncated_list
from components.data.dataset import Dataset, LayoutError, Record
from components.data.storage import File
from components.ingest.layouts.listing import Listing
from components.ingest.layouts.paths import image_lists
from components.ingest.layouts.paths.sides import Side, check_pairs
from components.ingest.layouts.rules import by_split, resolved_split, shares


def read(
    root: str,
    split: Mapping[str, float],
    names: Sequence[str],
    *,
    images: str | Mapping[str, str],
    masks: str | Mapping[str, str],
    image_suffix: str = "",
    mask_suffix: str = "",
    lists: str | Mapping[str, str] | None = None,
) -> Dataset:
    """Lists images with their masks: files whose paths below their folders agree without ending and suffix. Opens none.

    `images/a/1.jpg` belongs to `masks/a/1.png`, or with mask_suffix "_mask" to `masks/a/1_mask.png`. If a file could be
    either, the longer folder decides, then the longer suffix. An image without exactly one mask is rejected; a mask
    without an image is ignored.

    Args:
        root: local folder or fsspec URL.
        split: shares of train, eval and test; see `rules.shares`.
        names: labels in output order, without the ignored one; see `mask_rules.Rule.labels`.
        images: folder below `root`, or one per split.
        masks: folder below `root`, or one per split; one folder may serve all splits.
        image_suffix: end of the images' names, before the ending, that the masks' names do not have.
        mask_suffix: end of the masks' names, before the ending, that the images' names do not have.
        lists: a text file that names the images to use, one per line; or one per split; see `image_lists.parse`. Other
            images are ignored. Pascal VOC's `ImageSets/Segmentation/train.txt` is such a file.

    Raises:
        ConfigError: there is no such root or list, or settings contradict each other.
        LayoutError: a folder has no files, there is no image, no image has a mask, most images would have one with
            another suffix, or lists name one image in two splits or name hardly any image.
    """
    listing = Listing(root)
    sides = _sides(listing, images, masks, image_suffix, mask_suffix, lists)
    files = _files(listing, [side for pair in sides for side in pair])
    listed = _listed(listing, lists, sides, files)
    fractions = shares(split, set(listed.split_of.values()) | {image.split for image, _ in sides})
    records: list[Record] = []
    rejected: list[tuple[str, str]] = []
    used: set[str] = set()
    lonely: list[str] = []
    for image_side, mask_side in sides:
        partners = files[mask_side]
        for key, group in files[image_side].items():
            if lists is not None and key not in listed.split_of:
                continue
            if key not in partners:
                lonely += [image.path for image in group]
            for image in group:
                pair = partners.get(key, [])
                used.update(file.path for file in (image, *pair))
                if problem := _problem(image, group, pair, mask_side):
                    rejected.append((image.path, problem))
                    continue
                in_split = resolved_split(listed.split_of.get(key, image_side.split), fractions)
                version = f"{image.version} {pair[0].size} {pair[0].version}"
                records.append(Record(image.path, (), in_split, image.size, version, mask=pair[0].path))
    rejected += listed.missing
    if not records and not rejected:
        raise LayoutError(f"data.images: there is no image {' or '.join(str(s) for s, _ in sides)} in {root}")
    check_pairs(listing, sides, lonely, len(records))
    unused = {file.path for _, mask in sides for group in files[mask].values() for file in group} - used
    return Dataset(
        root=root,
        labels=tuple(names),
        records=tuple(sorted(records, key=lambda r: r.path)),
        fractions=fractions,
        rejected=tuple(sorted(rejected)),
        ignored=tuple(sorted(_inside(listing, sides) - used)),
        notes=tuple(_notes(listed, sorted(lonely), sorted(unused))),
    )


def _sides(
    listing: Listing,
    images: str | Mapping[str, str],
    masks: str | Mapping[str, str],
    image_suffix: str,
    mask_suffix: str,
    lists: str | Mapping[str, str] | None,
) -> list[tuple[Side, Side]]:
    """Pairs the images with the masks of each split; the split is None if there is only one folder."""
    of_images, of_masks = by_split(images, "data.images"), by_split(masks, "data.masks")
    if None not in of_masks and set(of_masks) != set(of_images):
        raise ConfigError(
            f"data.masks: has {_splits(of_masks)}, but data.images has {_splits(of_images)}; "
            "give both the same splits, or data.masks one folder"
        )
    if lists is not None and None not in of_images:
        raise ConfigError("data.lists: data.images already has one folder per split; remove one of the two")
    sides = []
    for split, folder in of_images.items():
        image = Side(split, listing.folder(folder, "data.images"), image_suffix)
        shared = split if split in of_masks else None
        mask = Side(shared, listing.folder(of_masks[shared], "data.masks"), mask_suffix)
        sides.append((image, mask))
    places = [(side.folder, side.suffix) for side in {side for pair in sides for side in pair}]
    clash = next((place for place in places if places.count(place) > 1), None)
    if clash or any((i.folder, i.suffix) == (m.folder, m.suffix) for i, m in sides):
        folder, suffix = clash or (sides[0][0].folder, sides[0][0].suffix)
        raise ConfigError(
            f"data.images, data.masks: {folder or '.'} with the suffix {suffix!r} is there twice, so images and masks "
            "cannot be distinguished; give another folder, or set data.image_suffix or data.mask_suffix"
        )
    return sides


def _splits(paths: Mapping[str | None, str]) -> str:
    return ", ".join(split or "one folder for all" for split in paths)


def _files(listing: Listing, sides: Sequence[Side]) -> dict[Side, dict[str, list[File]]]:
    """Maps side and key to files, sorted by path; there are several if only their endings differ."""
    files: dict[Side, dict[str, list[File]]] = {side: defaultdict(list) for side in sides}
    ranked = sorted(files, key=lambda side: (len(side.folder), len(side.suffix)), reverse=True)
    for path in sorted(listing.files):
        for side in ranked:
            key = side.key(path)
            if key is not None:
                files[side][key].append(listing.files[path])
                break
    return files


@dataclass(frozen=True)
class _Listed:
    """The images that `data.lists` names.

    Attributes:
        split_of: key -> split, or None.
        missing: (path, reason) of lines that name no image.
        notes: about spellings.
    """

    split_of: Mapping[str, str | None]
    missing: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()


def _listed(
    listing: Listing,
    lists: str | Mapping[str, str] | None,
    sides: Sequence[tuple[Side, Side]],
    files: Mapping[Side, Mapping[str, list[File]]],
) -> _Listed:
    if lists is None:
        return _Listed({})
    ((image, mask),) = sides  # with lists there is one folder of images
    names = image_lists.Names(files[image].keys(), image.suffix, mask.suffix)
    split_of: dict[str, str | None] = {}
    missing: list[tuple[str, str]] = []
    notes: list[str] = []
    for split, path in by_split(lists, "data.lists").items():
        found = image_lists.parse(listing.text(path, "data.lists"), path, names, str(image))
        for key in found.keys:
            if split_of.setdefault(key, split) != split:
                raise LayoutError(
                    f"{path}: {key!r} is also in the list of {split_of[key]}; remove it from one of the two"
                )
        missing += [
            (image.folder + line, f"is listed in {path}, but there is no such file {image}") for line in found.missing
        ]
        notes += found.notes(path)
    return _Listed(split_of, missing, notes)


def _notes(listed: _Listed, lonely: Sequence[str], unused: Sequence[str]) -> Iterator[str]:
    yield from listed.notes
    if lonely:
        yield f"{len(lonely):,} images without a mask go to quarantine: {truncated_list(lonely)}"
    if unused:
        yield f"{len(unused):,} masks without an image are left out: {truncated_list(unused)}"


def _problem(image: File, group: Sequence[File], pair: Sequence[File], masks: Side) -> str:
    """Explains why an image has no usable mask; or returns ""."""
    if image.problem:
        return image.problem
    if len(group) > 1:
        others = ", ".join(file.path for file in group if file is not image)
        return f"has the same name as {others}, so it is not clear which image the mask belongs to; rename one"
    if not pair:
        return f"has no mask; expected a file of the same name in {masks}"
    if len(pair) > 1:
        return f"has {len(pair)} masks, {', '.join(file.path for file in pair)}; remove all but one"
    return f"its mask {pair[0].path}: {pair[0].problem}" if pair[0].problem else ""


def _inside(listing: Listing, sides: Sequence[tuple[Side, Side]]) -> set[str]:
    """Collects the paths of all files below any of the folders."""
    folders = tuple({side.folder for pair in sides for side in pair})
    return {path for path in listing.files if path.startswith(folders)}
