"""The common form of all annotation formats: images with labels and regions, as a format states them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from components.base.text import shown as shown_text
from components.data.regions import MOST_POINTS
from components.data.storage import File

_MOST_EXAMPLES = 5
_FORMS = re.compile(r"\[([^|\]]*)\|([^\]]*)\]")  # [singular|plural]
MOST_REGIONS = 100_000  # of one image; more is an error in the file


class Malformed(Exception):
    """The annotation of one image cannot be used; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The demands of a task on annotations; attributes as in `LabelKind`."""

    exclusive: bool
    per_pixel: bool

    @property
    def one_label(self) -> bool:
        """Whether an image has one label."""
        return self.exclusive and not self.per_pixel


@dataclass(frozen=True, slots=True)
class Entry:
    """One image with its annotations.

    Attributes:
        where: place of the annotations in messages.
        file: the image; its `problem` says why it cannot be used.
        split: split that the format names.
        labels: names that apply; None if nobody annotated the image, so that they are unknown.
        size: width and height in pixels that the annotations are for, where known.
        regions: (label, region as `regions.paint` takes it), the lowest first; for segmentation only.
        problem: why the annotations cannot be used.
        contradictory: whether that is because annotations contradict each other.
    """

    where: str
    file: File
    split: str | None = None
    labels: frozenset[str] | None = frozenset()
    size: tuple[int, int] | None = None
    regions: tuple[tuple[str, Any], ...] = ()
    problem: str = ""
    contradictory: bool = False


@dataclass
class Found:
    """All that one format found.

    Attributes:
        key: setting that messages on labels name.
        entries: the images.
        declared: labels that the format lists, whether or not an image has them.
        splits: splits that the format names.
        used: paths of files that were read as annotations.
        folders: prefixes of paths, in which files without annotations are counted as ignored.
        sentences: what was left out or guessed, as whole sentences.
        counts: what was left out or guessed, see `note` -> how often.
        examples: the same -> names of the first five.
    """

    key: str = "data.annotations"
    entries: list[Entry] = field(default_factory=list)
    declared: set[str] = field(default_factory=set)
    splits: set[str | None] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    sentences: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def note(self, what: str, example: str = "", count: int = 1) -> None:
        """Counts something that was left out or guessed, for `notes`.

        Args:
            what: the sentence after the number, with both forms of words: "[image has|images have] no label".
            example: name of the image or object; the first five are shown.
            count: how many there are.
        """
        if not count:
            return
        self.counts[what] += count
        if example and len(shown := self.examples.setdefault(what, [])) < _MOST_EXAMPLES:
            shown.append(example)

    def notes(self) -> tuple[str, ...]:
        """One sentence for each kind of thing that was left out or guessed.

        >>> found = Found()
        >>> found.note("[image has|images have] no label", "a.jpg", 2)
        >>> found.notes()
        ('2 images have no label: a.jpg, and 1 more',)
        """
        sentences = list(self.sentences)
        for what, count in self.counts.items():
            shown = self.examples.get(what, [])
            rest = f", and {count - len(shown):,} more" if count > len(shown) else ""
            text = _FORMS.sub(r"\1" if count == 1 else r"\2", what)
            sentences.append(f"{count:,} {text}" + (f": {', '.join(map(shown_text, shown))}{rest}" if shown else ""))
        return tuple(sentences)


def number(value: Any, what: str) -> float:
    """Converts a number of an annotation.

    >>> number("1.5", "x"), number(2, "x")
    (1.5, 2.0)

    Raises:
        Malformed: it is not a finite number.
    """
    try:
        converted = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        converted = math.nan
    if not math.isfinite(converted):
        raise Malformed(f"{what}: expected a finite number, got {str(value)[:50]!r}")
    return converted


def check_amount(regions: Sequence[tuple[str, Any]], points: int) -> None:
    """Raises Malformed if an image has too many regions, or too many points in all polygons together."""
    if len(regions) > MOST_REGIONS or points > MOST_POINTS:
        raise Malformed(
            f"has {len(regions):,} regions with {points:,} points; expected at most {MOST_REGIONS:,} with "
            f"{MOST_POINTS:,}"
        )
