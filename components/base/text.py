"""Text for people: lists cut short, numbers and shares, and names made safe for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable


def shown(text: str) -> str:
    """`text` without anything that a terminal would obey: file names are other people's, and may hold escapes."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


_NAMED = 5  # how many files or labels a sentence names


def truncated_list(items: Iterable[str]) -> str:
    """The first few of a list of names, made safe for a terminal, and how many more there are."""
    listed = list(map(shown, items))
    more = len(listed) - _NAMED
    return ", ".join(listed[:_NAMED]) + (f", and {more} more" if more > 0 else "")


def number(value: float | None, digits: int = 4) -> str:
    """A number for people: 12, 0.31, 1,234; four significant digits."""
    if value is None:
        return "nothing"
    if value == int(value) if math.isfinite(value) else False:
        return f"{int(value):,}"
    return "infinite" if math.isinf(value) else f"{value:.{digits}g}"


def percent(share: float) -> str:
    """A share for people: 95 %."""
    return f"{number(100 * share)} %"
