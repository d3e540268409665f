"""Cron expressions: checked here, with the field named, before a cron daemon or Kubeflow reads them its own way."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Any

from components.base.errors import ConfigError, ImagegateError

_FIELDS = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day of month": "1 to 31",
    "month": "1 to 12 or JAN to DEC",
    "day of week": "0 to 7 or SUN to SAT, where 0 and 7 are Sunday",
}
_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
# What every cron knows; croniter alone would also take L, #, ?, R and H.
_VALUE = "([0-9]{1,2}|[A-Za-z]{3})"
_STARS = "\\*(/0*[1-9][0-9]*)?"
_PART = f"{_VALUE}(-{_VALUE}(/[0-9]+)?)?"

FORMAT = "%Y-%m-%d %H:%M %Z"


@dataclass(frozen=True)
class Row:
    """A schedule as `--list` shows it: name, expression, "on" or "off", its latest run, its next."""

    name: str
    cron: str
    state: str
    last: str
    following: str


def parse(expression: str) -> str:
    """The same times in five fields that every cron reads alike.

    All but `*` and `*/n` becomes numbers, since some crons know no 7 for Sunday, no names, or no range over the end.

    Args:
        expression: minute, hour, day of month, month, day of week; or an alias, such as "@daily".

    Raises:
        ConfigError: it is none, naming the field, or it never comes, such as 31 February.
        ImagegateError: croniter is not installed.
    """
    croniter = _croniter()
    fields = _ALIASES.get(expression.strip().lower(), expression).split()
    if len(fields) != len(_FIELDS):
        known = "minute, hour, day of month, month and day of week, such as '0 3 * * 1', or " + ", ".join(_ALIASES)
        raise ConfigError(f"--cron {expression!r}: expected five fields, {known}; got {len(fields)}")
    plain = " ".join(_plain(croniter, i, field) for i, field in enumerate(fields))
    try:
        following(plain, datetime.datetime.now(datetime.UTC))
    except croniter.CroniterBadDateError:
        raise ConfigError(f"--cron {expression!r}: there is no such day") from None
    return plain


def following(fields: str, after: datetime.datetime) -> datetime.datetime:
    """The first time after `after`, in its time zone, of what `parse` returned."""
    # The "bug": `*/2` in a day field restricts the other one, where a list of days adds to it. Crons do so.
    found: datetime.datetime = _croniter().croniter(fields, after, implement_cron_bug=True).get_next(datetime.datetime)
    return found


def _plain(croniter: Any, position: int, field: str) -> str:
    name, expected = list(_FIELDS.items())[position]
    wrong = ConfigError(f"--cron: {name}: {field!r}: expected {expected}, as in '*', '*/2', '1-5' or '1,3'")
    if re.fullmatch(_STARS, field):
        return field
    if not re.fullmatch(f"{_PART}(,{_PART})*", field):
        raise wrong
    alone = ["*"] * len(_FIELDS)
    alone[position] = re.sub(r"\b(\w+)-\1\b(/\d+)?", r"\1", field)  # croniter takes 5-5 for all of the week
    try:
        numbers = croniter.croniter.expand(" ".join(alone))[0][position]
    except croniter.CroniterError:
        raise wrong from None
    if numbers == ["*"] and "day" in name:  # beside another day field, `*` restricts nothing, and this allows all
        raise ConfigError(f"--cron: {name}: {field!r} is every day: write '*'")
    return ",".join(map(str, numbers))


def _croniter() -> Any:
    try:
        import croniter
    except ImportError:
        raise ImagegateError("schedules need the package croniter: pip install 'imagegate[kubeflow]'") from None
    return croniter
