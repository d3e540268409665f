"""Text for people: truncated lists, numbers, percentages, and names that are safe to print."""

from __future__ import annotations

import math
from collections.abc import Iterable

_MOST_NAMES = 5  # in one sentence


def shown(text: str) -> str:
    r"""Replaces control characters, which a terminal would obey, by escapes: file names may contain anything.

    >>> print(shown("cat\x1b[31m.png"))
    cat\x1b[31m.png
    """
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def truncated_list(items: Iterable[str], count: int | None = None) -> str:
    r"""The first five names, made safe to print on one line, and the number of the others.

    Args:
        items: the names, or the first of them.
        count: how many there are; None: those given.

    >>> truncated_list("abc")
    'a, b, c'
    >>> truncated_list("abcdefgh")
    'a, b, c, d, e, and 3 more'
    >>> print(truncated_list(["cat\nrefused.png"]))
    cat\nrefused.png
    """
    names = [shown(item).replace("\n", "\\n") for item in items]
    more = (len(names) if count is None else count) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f", and {more} more" if more > 0 else "")


def number(value: float | None, digits: int = 4) -> str:
    """A number for people: whole numbers in full, others with `digits` significant digits.

    >>> number(1234), number(2 / 3), number(float("inf")), number(None)
    ('1,234', '0.6667', 'infinite', 'nothing')
    """
    if value is None:
        return "nothing"
    if value == int(value) if math.isfinite(value) else False:
        return f"{int(value):,}"
    return "infinite" if math.isinf(value) else f"{value:.{digits}g}"


def percent(share: float) -> str:
    """A share for people, as a percentage.

    >>> percent(0.95)
    '95 %'
    """
    return f"{number(100 * share)} %"


def byte_size(number: int) -> str:
    """A number of bytes for people.

    >>> byte_size(3_210_000_000), byte_size(1_100_000), byte_size(16_384)
    ('3.2 GB', '1.1 MB', '16.4 KB')
    """
    unit, name = next(((u, n) for u, n in ((1e9, "GB"), (1e6, "MB")) if number >= u), (1e3, "KB"))
    return f"{number / unit:,.1f} {name}"
