"""Lists of names in one cell, in their usual spellings. Text is only split, never evaluated."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable

_PAIRS = {"[": "]", "{": "}", "(": ")"}
_QUOTED = re.compile(r"""\s*(?:u?'((?:[^'\\]|\\.)*)'|u?"((?:[^"\\]|\\.)*)")\s*(,|;|\||$|(?=['"]))""", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_OTHERS = ("|", ",", ";", "/", "+", " ")


def is_list(text: str) -> bool:
    """Whether brackets enclose a cell; parentheses count only around quotes, since a name may be in parentheses.

    >>> is_list("['a', 'b']"), is_list("{a,b}"), is_list("('a',)"), is_list("(none)"), is_list("a [b]")
    (True, True, True, False, False)
    """
    text = text.strip()
    if len(text) < 2 or _PAIRS.get(text[0]) != text[-1]:
        return False
    return text[0] != "(" or text[1:-1].strip()[:1] in ("'", '"')


def listed(text: str, separator: str = "") -> list[str] | None:
    """Returns the names of a list in brackets; None if it is not one.

    Quoted names may contain anything; between them are commas, or blanks as NumPy writes them. Names without quotes are
    separated by `separator` where it occurs, else by commas.

    >>> listed("['a, b', \\"c\\"]"), listed("[a, b]"), listed("{a,b}"), listed("['a' 'b']"), listed("[]")
    (['a, b', 'c'], ['a', 'b'], ['a', 'b'], ['a', 'b'], [])
    >>> listed("['a', b")
    """
    if not is_list(text):
        return None
    inner = text.strip()[1:-1].strip()
    if inner[:1] not in ("'", '"'):
        if any(bracket in inner for bracket in "[]{}"):
            return None
        by = separator if separator and separator in inner else ","
        return [name for part in inner.split(by) if (name := part.strip())]
    names: list[str] = []
    position = 0
    while position < len(inner):
        match = _QUOTED.match(inner, position)
        if match is None:
            return None
        names.append(_ESCAPE.sub(r"\1", match[1] if match[1] is not None else match[2]).strip())
        position = match.end()
    return [name for name in names if name]


def other_separator(cells: Iterable[str], separator: str, sure: Collection[str] = ()) -> tuple[str, str] | None:
    """Finds the separator that cells seem to use, if `separator` is in none of them.

    `|`, `,` and `;` seem to be used if at least half of the cells that they part share a name with another cell. Of
    `/`, `+` and blanks, which are in many names, all parts of all cells must be in others, and for blanks cells must
    have different numbers of parts, too.

    >>> other_separator(["cat, dog", "cat", "owl"], "|")
    (',', 'cat, dog')
    >>> other_separator(["salt, pepper", "oil"], "|"), other_separator(["polar bear", "bear", "polar fox"], "|")
    (None, None)

    Args:
        cells: of a column of names, without lists in brackets.
        separator: the configured one.
        sure: the configured labels, which are no lists.

    Returns:
        the separator and the first cell in which it is; or None.
    """
    distinct = dict.fromkeys(cell for cell in cells if cell)
    if any(separator in cell for cell in distinct) or not separator:
        return None
    for other in _OTHERS:
        parts = {c: {part.strip() for part in c.split(other) if part.strip()} for c in distinct if c not in sure}
        joined = {cell: names for cell, names in parts.items() if len(names) > 1}
        in_cells = Counter(name for names in parts.values() for name in names)
        if other in "|,;":
            sharing = [names for names in joined.values() if any(in_cells[name] > 1 for name in names)]
            used = 2 * len(sharing) >= len(joined)
        else:
            used = all(in_cells[name] > 1 for names in joined.values() for name in names)
            used = used and (other != " " or len({len(names) for names in parts.values()}) > 1)
        if joined and used:
            return other, next(iter(joined))
    return None
