"""The layout `folders`: `root/LABEL/…/image`, or `root/SPLIT/LABEL/…/image` with split folders above."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components.data import storage
from components.data.dataset import Dataset, LayoutError, Record, label_name
from components.ingest.layouts.rules import SPLIT_NAMES, ordered_labels, resolved_split, shares


def read(root: str, split: Mapping[str, float], names: Sequence[str] | None = None) -> Dataset:
    """Lists a data set with one folder per label. Reads no file.

    Folders are splits if every folder in `root` has the name of a split and `train` is among them. A split without a
    folder is then cut from `train` by hash, in the proportions of `split`.

    Args:
        root: local folder or fsspec URL.
        split: shares of train, eval and test; used unless a split folder decides.
        names: the labels in output order, or None: the folder names, sorted.

    Raises:
        ConfigError: `root` does not exist.
        LayoutError: there is no label folder, there are both split and label folders, or a name cannot be a label.
    """
    files = list(storage.files(root))
    top = storage.folders(root)
    split_of = _split_folders(root, top)
    depth = 1 if split_of else 0
    label_of = _label_folders(root, top, split=bool(split_of))
    if not label_of:
        raise LayoutError(
            f"data.root: {root} holds no label folder"
            + (f" (but {len(files)} files directly in it)" if files else "")
            + "; expected one folder per label with its images inside"
        )
    fractions = shares(split, set(split_of.values()))
    records: list[Record] = []
    rejected: list[tuple[str, str]] = []
    ignored: list[tuple[str, str]] = []
    for file in files:
        parts = file.path.split("/")
        label = label_of.get("/".join(parts[: depth + 1])) if len(parts) > depth + 1 else None
        if label is None:
            (rejected if file.problem else ignored).append((file.path, file.problem))
        elif file.problem:
            rejected.append((file.path, file.problem))
        else:
            resolved = resolved_split(split_of.get(parts[0]), fractions) if depth else None
            records.append(Record(file.path, (label,), resolved, file.size, file.version))

    return Dataset(
        root=root,
        labels=ordered_labels(set(label_of.values()), names, f"data.root: {root}"),
        records=tuple(sorted(records, key=lambda r: r.path)),
        fractions=fractions,
        rejected=tuple(sorted(rejected)),
        ignored=tuple(sorted(path for path, _ in ignored)),
    )


def _split_folders(root: str, top: Sequence[str]) -> dict[str, str]:
    """Maps folder names to splits; empty if the folders are labels."""
    splits = {name: SPLIT_NAMES[name.lower()] for name in top if name.lower() in SPLIT_NAMES}
    if "train" not in splits.values():
        return {}
    labels = [name for name in top if name not in splits]
    if labels:
        raise LayoutError(
            f"data.root: {root} has the split folder{'s' if len(splits) > 1 else ''} {', '.join(sorted(splits))} "
            f"beside the label folder {labels[0]!r}; put every label folder below a split folder, or none"
        )
    return splits


def _label_folders(root: str, top: Sequence[str], *, split: bool) -> dict[str, str]:
    """Maps the path of each label folder to its label; `split`: below the split folders."""
    folders = [(name, name) for name in top]
    if split:
        folders = [(f"{s}/{name}", name) for s in top for name in storage.folders(f"{root.rstrip('/')}/{s}")]
    return {folder: label_name(name, f"data.root: folder {folder!a}") for folder, name in folders}
