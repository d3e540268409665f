"""Limits of the data gate that today's data break, at what the data have."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from components.base.text import number
from components.base.verdict import Verdict
from components.gates.settings import Balance
from components.ingest.settings import Data

# Of more broken files, something else is wrong.
_MOST_BROKEN = 0.2


@dataclass(frozen=True)
class Limit:
    """A limit that differs from its default.

    Attributes:
        key: dotted key.
        value: what today's data hold; None turns the limit off.
        comment: what the data have, and the default.
    """

    key: str
    value: float | None
    comment: str


# Dotted key of a limit -> whether it is a smallest value, and the least or largest value that a limit makes sense at.
_KEYS: Mapping[str, tuple[bool, float]] = {
    "balance.min_examples": (True, 1),
    "balance.min_eval_examples": (True, 1),
    "balance.max_ratio": (False, math.inf),
    "balance.min_pixel_share": (True, 0),
    "balance.min_image_share": (True, 0),
    "balance.max_cooccurrence": (False, 1),
    "balance.max_split_drift": (False, 1),
    "balance.max_unlabelled": (False, 1),
    "balance.max_invalid": (False, 1),
    "data.max_bad_fraction": (False, _MOST_BROKEN),
}


def loosened(verdicts: Iterable[Verdict], *, empty: bool = False) -> list[Limit]:
    """Returns a limit for each of `_KEYS` that a verdict says is broken.

    Args:
        verdicts: those of the data gate with its defaults. A verdict names the key in its reason.
        empty: whether a split has no image, which no limit can help.
    """
    broken: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        for key in _KEYS:
            if empty and key == "balance.min_eval_examples":
                continue
            if not verdict.passed and re.search(rf"{re.escape(key)}\b", verdict.reason):
                broken.setdefault(key, []).append(verdict)
    return [limit for key, failed in broken.items() if (limit := _limit(key, failed))]


def of_sample(broken: int, opened: int) -> list[Limit]:
    """Returns the limit of broken files where a sample holds more than the default: twice their share in the sample.

    Args:
        broken: files of the sample that cannot be used.
        opened: images of the sample that can.
    """
    share = broken / max(1, broken + opened)
    if not (Data.model_fields["max_bad_fraction"].default < share <= _MOST_BROKEN):
        return []
    comment = f"of {broken + opened} files that were opened, {broken} cannot be used; twice their share"
    return [Limit("data.max_bad_fraction", _rounded(2 * share, down=False), comment)]


def _limit(key: str, failed: Sequence[Verdict]) -> Limit | None:
    smallest, edge = _KEYS[key]
    worst = min(failed, key=_value) if smallest else max(failed, key=_value)
    if key == "data.max_bad_fraction" and _value(worst) > edge:
        return None
    value = _rounded(_value(worst), down=smallest)
    if value is not None and (value < edge or value == 0 if smallest else value > edge):
        value = None
    metric = re.split(" [<>]= ", worst.rule)[0]
    subject = metric if worst.label is None else f"{metric} of label {worst.label!r}"
    more = f", and {len(failed) - 1} more like it" if len(failed) > 1 else ""
    return Limit(key, value, f"today's {subject} is {number(_value(worst))}{more}; the default is {_default(key)}")


def _value(verdict: Verdict) -> float:
    return math.inf if verdict.value is None else verdict.value  # JSON has no infinity


def _rounded(value: float, *, down: bool) -> float | None:
    """Rounds to two digits in the direction that lets the value pass; whole numbers stay.

    >>> _rounded(7, down=True), _rounded(0.000123, down=True), _rounded(112.3, down=False), _rounded(0.0312, down=False)
    (7, 0.00012, 113, 0.032)
    """
    if math.isinf(value):
        return None
    if value == int(value):
        return int(value)
    if value > 10:
        return math.floor(value) if down else math.ceil(value)
    digits = 1 - math.floor(math.log10(value))
    scaled = value * 10**digits
    return round((math.floor(scaled) if down else math.ceil(scaled)) / 10**digits, digits)


def _default(key: str) -> str:
    section, name = key.split(".")
    fields = (Balance if section == "balance" else Data).model_fields
    return number(fields[name].default)
