"""Names that cannot be meant as labels of one data set: nearly equal ones, and lists that were read as one name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from components.base.text import truncated_list
from components.data.dataset import LayoutError, lookalikes

# "&" is not among them, since `black & white` is often a label beside `black` and `white`.
_SEPARATORS = "|;,/+"
_BRACKETS = {"[": "]", "{": "}"}
_QUOTES = {"'": "'", '"': '"', "`": "`", "\u2018": "\u2019", "\u201c": "\u201d"}


def check_spelling(names: Iterable[str], where: str, places: Mapping[str, str] | None = None) -> None:
    """Refuses names that differ only in case or blanks.

    Args:
        names: as the data set spells them.
        where: what holds all of them, for the message.
        places: name -> where it is, for the message.

    Raises:
        LayoutError: naming both spellings.
    """
    if (pair := lookalikes(names)) is not None:
        one, other = (f"{name!r}" + (f" ({place})" if (place := (places or {}).get(name)) else "") for name in pair)
        raise LayoutError(f"{where}: the labels {one} and {other} differ only in case or blanks; spell them alike")


def check_one_each(found: Mapping[str, str] | set[str], names: Sequence[str] | None, where: str) -> None:
    """Refuses a label that looks like several: in brackets or quotes, or labels joined by a separator.

    A name is joined if each of its parts between `|`, `;`, `,`, `/` or `+` is a label itself. So `T-shirt/top` and
    `salt, pepper` are labels, unless there are labels `salt` and `pepper`, too. What `labels.names` lists is a label.

    >>> check_one_each({"T-shirt/top", "salt, pepper", "salt", "rock & roll", "f[x]"}, None, "data.root")
    >>> check_one_each({"cat", "dog", "cat|dog"}, None, "data.root")
    Traceback (most recent call last):
    components.data.dataset.LayoutError: data.root: the label 'cat|dog' looks like the labels 'cat', 'dog' joined by ...

    Raises:
        LayoutError: naming the label, and what to do.
    """
    sure = set(names or ())
    suspects = sorted(set(found) - sure)
    wrapped = [name for name in suspects if _wrapped(name)]
    if wrapped:
        raise LayoutError(
            f"{_of(found, wrapped[0], where)}: {_labels(wrapped)} in brackets or quotes, as if read from a list; write "
            "the names without them, or list them in labels.names if they are meant so"
        )
    known = set(found) | sure
    joined = {name: found_parts for name in suspects if (found_parts := _parts(name, known))}
    if joined:
        name, (separator, parts) = next(iter(joined.items()))
        more = f", and {len(joined) - 1:,} more like it" if len(joined) > 1 else ""
        raise LayoutError(
            f"{_of(found, name, where)}: the label {name!r} looks like the labels {', '.join(map(repr, parts))} joined "
            f"by {separator!r}{more}; if an image can have several labels, set task: multi_label and, in a table, "
            f"data.separator: {separator!r}; if it is one label, list it in labels.names"
        )


def _wrapped(name: str) -> bool:
    """Whether brackets or quotes enclose a name, or a bracket is left from a list that was cut into pieces."""
    pairs = {**_BRACKETS, **_QUOTES}
    if len(name) > 1 and pairs.get(name[0]) == name[-1]:
        return True
    opened, closed = _BRACKETS.get(name[0]), name[-1] in _BRACKETS.values()
    return (opened is not None and opened not in name) or (closed and not any(b in name for b in _BRACKETS))


def _parts(name: str, known: set[str]) -> tuple[str, list[str]] | None:
    for separator in _SEPARATORS:
        parts = [part.strip() for part in name.split(separator)]
        if len(parts) > 1 and all(part in known for part in parts):
            return separator, parts
    return None


def _labels(names: Sequence[str]) -> str:
    return f"the label {names[0]} is" if len(names) == 1 else f"the labels {truncated_list(names)} are"


def _of(found: Mapping[str, str] | set[str], name: str, where: str) -> str:
    return (found.get(name) if isinstance(found, Mapping) else None) or where
