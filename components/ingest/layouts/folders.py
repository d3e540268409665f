"""The layout `folders`: one folder per label, `root/cat/1.jpg`, and perhaps split folders above or below the labels."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from components.base.compact.packed import Packed
from components.base.text import truncated_list
from components.data import storage
from components.data.dataset import Dataset, LayoutError, Record, label_name, packed
from components.data.storage import File
from components.ingest.layouts.label_names import check_spelling
from components.ingest.layouts.paths import sidecars, tree_notes
from components.ingest.layouts.paths.levels import Levels, decide
from components.ingest.layouts.paths.split_names import split_of
from components.ingest.layouts.paths.tree_notes import Found
from components.ingest.layouts.rules import ordered_labels, resolved_split, shares


def read(root: str, split: Mapping[str, float], names: Sequence[str] | None = None) -> Dataset:
    """Lists a data set with one folder per label. Opens no image, except one of each unknown ending.

    Folders at the top are splits if all of them are named like splits, and `train` is among them; so are the folders
    below the labels. A split without a folder is cut from `train` by hash, in the proportions of `split`. Files that
    are no images by their endings are ignored.

    Args:
        root: local folder or fsspec URL.
        split: shares of train, eval and test; used unless a split folder decides.
        names: the labels in output order, or None: the folder names, sorted.

    Raises:
        ConfigError: `root` does not exist.
        LayoutError: there is no label folder, it is not clear which folders are the labels, or a name cannot be a
            label.
    """
    images, others = sidecars.without(root, Packed.ordered(File, storage.files(root), key=lambda file: file.path))
    top = _top(root, images, others, names)
    sound = (path.split("/") for path, problem in images.values("path", "problem") if not problem)
    levels = decide(root, top, sound, names)
    label_of = _label_folders(root, top, images, levels)
    if not label_of:
        raise LayoutError(_no_labels(root, top, images, others, levels))
    splits = _splits(top, images, levels)
    fractions = shares(split, set(splits.values()))
    rejected = [(file.path, file.problem) for file in others if file.problem]
    misplaced: list[str] = []

    def labelled() -> Iterator[Record]:
        for file in images:
            parts = file.path.split("/")
            label = label_of.get("/".join(parts[: levels.label + 1])) if len(parts) > levels.label + 1 else None
            if file.problem:
                rejected.append((file.path, file.problem))
            elif label is None:
                misplaced.append(file.path)
            else:
                named = None if levels.split is None else splits.get(parts[levels.split], "train")
                yield Record(file.path, (label,), resolved_split(named, fractions), file.size, file.version)

    records = packed(labelled())
    beside = [file for file in others if not file.problem]
    return Dataset(
        root=root,
        labels=ordered_labels(set(label_of.values()), names, f"data.root: {root}"),
        records=records,
        fractions=fractions,
        rejected=tuple(sorted(rejected)),
        ignored=tuple(sorted([*misplaced, *(file.path for file in beside)])),
        notes=tuple(tree_notes.sentences(Found(top, levels, label_of, records, misplaced, beside))),
    )


def _top(root: str, images: Packed[File], others: Sequence[File], names: Collection[str] | None) -> list[str]:
    """Returns the folders at the top, without those that hold only files that are no images.

    Raises:
        LayoutError: such a folder holds files of a kind that nobody knows, which might be meant as images.
    """
    with_images = {path.partition("/")[0] for (path,) in images.values("path")}
    without: dict[str, list[File]] = {}
    for file in others:
        name, _, rest = file.path.partition("/")
        if rest and name not in with_images and name not in (names or ()):
            without.setdefault(name, []).append(file)
    for name, files in without.items():
        if not any(map(sidecars.is_known, files)):
            raise LayoutError(
                f"data.root: {root}: the folder {name!a} holds {len(files):,} files, but none is an image by its "
                f"name ({sidecars.described(files)}), nor does the smallest begin like one; rename the images, or move "
                "the folder out of data.root"
            )
    return [name for name in storage.folders(root) if name not in without]


def _label_folders(root: str, top: Sequence[str], images: Iterable[File], levels: Levels) -> dict[str, str]:
    """Maps the path of each label folder to its label; those at the top or below split folders may be empty."""
    depth = levels.label + 1
    folders = list(top)
    if levels == Levels(1, 0):
        folders = [f"{split}/{name}" for split in top for name in storage.folders(f"{root.rstrip('/')}/{split}")]
    elif levels.label:
        paths = (file.path.split("/") for file in images)
        folders = sorted({"/".join(parts[:depth]) for parts in paths if len(parts) > depth})
    places = {folder.rpartition("/")[2]: folder for folder in folders}
    check_spelling(sorted(places), f"data.root: {root}", places)  # of `cat` and `cat `, too, which are one label
    return {folder: label_name(folder.rpartition("/")[2], f"data.root: folder {folder!a}") for folder in folders}


def _splits(top: Sequence[str], images: Iterable[File], levels: Levels) -> dict[str, str]:
    """Maps the names of the split folders to splits."""
    if levels.split is None:
        return {}
    at = levels.split
    folders = set(top) if at == 0 else {p[at] for file in images if len(p := file.path.split("/")) > at + 1}
    return {name: found for name in sorted(folders) if (found := split_of(name))}


def _no_labels(root: str, top: Sequence[str], images: Sequence[File], others: Sequence[File], levels: Levels) -> str:
    if levels.split == 0:
        inside = f"the split folders {truncated_list(top)} hold {len(images):,} images but no folder"
        return f"data.root: {root}: {inside}; expected one folder per label in each, such as {top[0]}/cat/1.jpg"
    found = f" (but {len(images)} files directly in it)" if images else ""
    if not images and others:
        found = f" with images (but {len(others):,} other files: {sidecars.described(others)})"
    return f"data.root: {root} holds no label folder{found}; expected one folder per label with its images inside"
