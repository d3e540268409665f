"""The ways to read a data set of arrays: what the recognisers propose, and what the arrays hold."""

from __future__ import annotations

import contextlib
import posixpath
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from components.base.errors import ConfigError
from components.base.text import percent
from components.data.arrays.check import moment
from components.data.arrays.heads import Head
from components.data.arrays.spec import Bands
from components.data.storage import bundles
from components.ingest.layouts.listing import arrays_too
from components.ingest.settings import Data
from pipeline.init.arrays import samples
from pipeline.init.arrays.form import Form, conclude
from pipeline.init.arrays.samples import Sample
from pipeline.init.readings import Reading, readings
from pipeline.init.recognise.sight import Sight

_ZEROS = 0.01  # share of the pixels that are 0 in all bands, above which they seem to carry no information


@dataclass
class _Keys:
    """Keys of the section `data`, with comments on them, and sentences for the head of the file."""

    data: dict[str, Any] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, key: str, value: object, why: str) -> None:
        self.data[key] = value
        self.comments[f"data.{key}"] = why


def readings_of_arrays(sight: Sight, task: str | None = None) -> list[Reading]:
    """Returns the ways to read a data set whose images are arrays, the preferred first; none if they are photos.

    Args:
        sight: the listing.
        task: only readings for this task.

    Raises:
        ConfigError: the images are arrays, but no layout fits.
    """
    sample = samples.take(sight)
    form = None if sample is None else conclude(list(sample.heads.values()), sample.sizes)
    if sample is None or form is None:
        return []
    with arrays_too():
        possible, moments = _readings(sight, task, sample, form)
    keys = _keys(sight, sample, form, moments)
    if moments and possible[0].proposal.layout == "folders":
        keys.notes.append(
            "each folder of dated files is one sequence; to take each file for an image of its own, remove data.frames"
        )
    return [_with(reading, keys) for reading in possible]


def _readings(sight: Sight, task: str | None, sample: Sample, form: Form) -> tuple[list[Reading], int]:
    """Returns the ways to read the data set, and the most moments of a folder of dated files; 0 without such folders.

    Files of one moment each whose names hold dates may be the moments of sequences, or images by themselves. Masks and
    tables tell, as they belong to the folders or to the files. Folders of labels hold either; then folders in them are
    sequences.
    """
    plain = Sight(sight.root, sight.files, sight.start)
    found: list[tuple[list[Reading], int]] = []
    if (moments := _most_dated(sample)) > 1 and form.moments == 1:
        with contextlib.suppress(ConfigError), bundles.bundling(_all_dated):
            files = {file.path: file for file in bundles.gathered(sight.root, sight.files.values())}
            together = Sight(sight.root, {path: files[path] for path in sorted(files)}, sight.start)
            found.append((readings(together, task), moments))
    with contextlib.suppress(ConfigError):
        found.append((readings(plain, task), 0))
    if not found:
        return readings(plain, task), 0  # which says why
    return min(found, key=lambda way: _rank(way[0][0]))


def _all_dated(root: str, folder: str, paths: Sequence[str]) -> bool:
    return all(moment(path) is not None for path in paths)


def _rank(reading: Reading) -> int:
    """Ranks readings by how explicit they are; the first of equal ones is taken."""
    return 2 if reading.proposal.last else 1 if reading.proposal.layout == "folders" else 0


def _most_dated(sample: Sample) -> int:
    """The most files of a folder, of those whose names all hold dates."""
    inside = Counter(posixpath.dirname(path) for path in sample.paths)
    dated = Counter(posixpath.dirname(path) for path in sample.paths if moment(path) is not None)
    return max((count for folder, count in inside.items() if folder and dated[folder] == count), default=0)


def _keys(sight: Sight, sample: Sample, form: Form, moments: int) -> _Keys:
    """The keys that say what the arrays hold.

    Args:
        sight: the listing, in which each file is one.
        sample: of these files.
        form: what they hold.
        moments: see `_readings`.
    """
    keys = _Keys()
    if isinstance(form.bands, int):
        keys.add("bands", form.bands, "how many; or their names, in the order of the files: [blue, green, …]")
    else:
        keys.add("bands", list(form.bands), "as the TIFF files describe them")
    if moments:
        keys.add("frames", moments, "moments at most: the most dated files in a folder")
    elif form.moments > 1 or "T" in form.axes:
        keys.add("frames", form.moments, f"moments at most, {_seen(sample)}")
    if form.axes:
        keys.add("axes", form.axes, form.why)
    elif moments and form.bands == 1 and any(_is_one_band(head) for head in sample.heads.values()):
        keys.add("axes", "HWB", "the last axis, of one band, would else be taken for the width")
    if form.doubt:
        keys.notes.append(form.doubt)
    told = Data.model_validate({"root": sight.root} | keys.data).arrays
    share, read = (0.0, 0) if told is None else samples.zero_share(sight, sample, _for_files(told, form))
    if share > _ZEROS:
        why = f"{percent(round(share, 3))} of the pixels of {read:,} files are 0 in all bands: taken for no information"
        keys.add("invalid", "zero", why)
    return keys


def _seen(sample: Sample) -> str:
    if sample.complete:
        return "as the headers of all files say"
    opened, files = len(sample.heads), len(sample.paths)
    return f"as the headers of {opened:,} of {files:,} files say; files with more go to quarantine"


def _is_one_band(head: Head) -> bool:
    """Whether a file of NumPy has an axis for its one band, [H, W, 1]; with moments, three axes are [T, H, W]."""
    return len(head.shape) == 3 and not head.letters


def _for_files(bands: Bands, form: Form) -> Bands:
    """What each file holds."""
    return bands.model_copy(update={"frames": form.moments if "T" in form.axes or form.moments > 1 else None})


def _with(reading: Reading, keys: _Keys) -> Reading:
    proposal = reading.proposal
    return replace(
        reading,
        proposal=replace(
            proposal,
            data={**proposal.data, **keys.data},
            comments={**proposal.comments, **keys.comments},
            notes=[*proposal.notes, *keys.notes],
        ),
    )
