"""The ways to read a data set: what the recognisers propose, in the order in which they are preferred."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from components.base.errors import ConfigError
from components.base.text import truncated_list
from components.data import storage
from components.ingest.settings import Data
from pipeline.init.places import Place, shown_path
from pipeline.init.recognise.order import RECOGNISERS
from pipeline.init.recognise.remarks import remarks
from pipeline.init.recognise.sight import Proposal, Recogniser, Sight

_MOST_FILES = 3_000_000  # some 20 s; whoever names a whole disk gets an answer


@dataclass(frozen=True, eq=False)
class Reading:
    """One way to read a data set: a proposal, and the task that it is read for."""

    proposal: Proposal
    task: str

    @property
    def is_named(self) -> bool:
        """Whether it is worth naming beside others."""
        return self.task not in self.proposal.unnamed

    def __str__(self) -> str:
        return f"layout {self.proposal.layout} for task {self.task}, since {self.proposal.reason}"


def see(place: Place) -> Sight:
    """Lists a data set.

    Raises:
        ConfigError: it cannot be listed, or holds too many files.
    """
    files = {}
    with storage.watch(place.own):
        for file in storage.files(place.root, "PATH"):
            files[file.path] = file
            if len(files) > _MOST_FILES:
                raise ConfigError(f"{shown_path(place.root)}: more than {_MOST_FILES:,} files; name a folder below it")
    return Sight(place.root, {p: files[p] for p in sorted(files) if not files[p].problem}, place.start)


def readings(sight: Sight, task: str | None = None, recognisers: Sequence[Recogniser] = RECOGNISERS) -> list[Reading]:
    """Returns the ways to read a data set, the preferred first.

    The order of the recognisers decides; a recogniser's proposals follow in its own order, and so do the tasks of a
    proposal.

    Args:
        sight: the listing.
        task: only readings for this task.
        recognisers: they look at the listing in this order.

    Raises:
        ConfigError: there is none; the message says what is there and what was expected.
    """
    proposals = [proposal for recogniser in recognisers for proposal in recogniser(sight)]
    problems = list(dict.fromkeys(proposal.problem for proposal in proposals if proposal.problem))
    # A last resort, such as one folder of images as the only label, would hide what is wrong with the table.
    proposals = [p for p in proposals if not p.problem and not (p.last and problems)]
    proposals = [proposal for proposal in proposals if not proposal.last] or proposals
    first = [Reading(proposal, name) for proposal in proposals for name in proposal.tasks]
    found = [reading for reading in first if task in (None, reading.task)]
    if not found and first:
        raise ConfigError(f"{shown_path(sight.root)}: no way to read it for task {task}; it can be read as {first[0]}")
    if not found:
        raise ConfigError("\n".join(_nothing_fits(sight, problems)))
    # A proposal's first task before the second tasks of all.
    return sorted(found, key=lambda r: r.proposal.tasks.index(r.task)) if task is None else found


def _nothing_fits(sight: Sight, problems: Sequence[str]) -> Iterator[str]:
    count = len(sight.files)
    many = {0: "no file", 1: "one file"}.get(count, f"{count:,} files")
    yield f"{shown_path(sight.root)}: no layout fits. It holds {many}{_endings(sight)}"
    yield from (f"  {problem}" for problem in problems)
    if sight.top:
        yield f"  folders: {truncated_list(sight.top)}"
    if count:
        yield f"  such as {truncated_list(list(sight.files)[:3])}"
    yield from (f"  {remark}" for remark in remarks(sight))
    yield "Expected one of:"
    yield from (f"  {layouts}: {meaning}" for layouts, meaning in meanings().items())


def meanings() -> dict[str, str]:
    """Returns layout, or several of one meaning, -> its meaning, as in the description of `data.layout`.

    >>> meanings()["folders"]
    'one folder per label'
    """
    described = str(Data.model_fields["layout"].description)
    found = re.findall(r"((?:`\w+`(?:, | and )?)+): ([^`]+?)\.(?: |$)", described)
    return {layouts.replace("`", ""): meaning for layouts, meaning in found}


def _endings(sight: Sight) -> str:
    """Counts the endings of the files.

    >>> _endings(Sight("", {"a.jpg": None, "b.JPG": None, "LICENSE": None}))
    ': 2 .jpg, 1 without an ending'
    """
    counts = Counter(posixpath.splitext(path)[1].lower() or "without an ending" for path in sight.files)
    return f": {truncated_list(f'{n:,} {ending}' for ending, n in counts.most_common())}" if counts else ""
