"""Cron expressions: validation and conversion to a form that every cron daemon and Kubeflow read alike."""

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
# The syntax that every cron understands; croniter alone would also accept L, #, ?, R and H.
_VALUE = "([0-9]{1,2}|[A-Za-z]{3})"
_STARS = "\\*(/0*[1-9][0-9]*)?"
_PART = f"{_VALUE}(-{_VALUE}(/[0-9]+)?)?"

FORMAT = "%Y-%m-%d %H:%M %Z"


@dataclass(frozen=True)
class Row:
    """One schedule as `--list` shows it.

    Attributes:
        name: the configuration's name.
        cron: the five fields.
        state: "on" or "off".
        latest_run: time and status of the latest run, or "never".
        next_run: time of the next run.
    """

    name: str
    cron: str
    state: str
    latest_run: str
    next_run: str


def parse(expression: str) -> str:
    """Converts an expression to five fields that every cron reads alike.

    Everything but `*` and `*/n` becomes numbers, because some crons do not support 7 for Sunday, names, or ranges that
    wrap around, such as FRI-MON.

    Args:
        expression: minute, hour, day of month, month, day of week; or an alias, such as "@daily".

    Raises:
        ConfigError: a field is invalid (the message names it), or the date never comes, such as 31 February.
        ImagegateError: croniter is not installed.
    """
    croniter = _croniter()
    fields = _ALIASES.get(expression.strip().lower(), expression).split()
    if len(fields) != len(_FIELDS):
        known = "minute, hour, day of month, month and day of week, such as '0 3 * * 1', or " + ", ".join(_ALIASES)
        raise ConfigError(f"--cron {expression!r}: expected five fields, {known}; got {len(fields)}")
    plain = " ".join(_plain(croniter, i, field) for i, field in enumerate(fields))
    try:
        next_time(plain, datetime.datetime.now(datetime.UTC))
    except croniter.CroniterBadDateError:
        raise ConfigError(f"--cron {expression!r}: there is no such day") from None
    return plain


def next_time(fields: str, after: datetime.datetime) -> datetime.datetime:
    """Returns the first time after `after`, in its time zone, that matches the fields from `parse`."""
    # Vixie cron, and so every common cron, combines the two day fields with "and" if either starts with `*` (such as
    # `*/2`), and with "or" otherwise. croniter calls this the cron bug.
    time: datetime.datetime = _croniter().croniter(fields, after, implement_cron_bug=True).get_next(datetime.datetime)
    return time


def _plain(croniter: Any, position: int, field: str) -> str:
    name, expected = list(_FIELDS.items())[position]
    invalid = ConfigError(f"--cron: {name}: {field!r}: expected {expected}, as in '*', '*/2', '1-5' or '1,3'")
    if re.fullmatch(_STARS, field):
        return field
    if not re.fullmatch(f"{_PART}(,{_PART})*", field):
        raise invalid
    fields = ["*"] * len(_FIELDS)
    fields[position] = re.sub(r"\b(\w+)-\1\b(/\d+)?", r"\1", field)  # croniter reads 5-5 as the whole week
    try:
        numbers = croniter.croniter.expand(" ".join(fields))[0][position]
    except croniter.CroniterError:
        raise invalid from None
    if numbers == ["*"] and "day" in name:  # "every day" written as a list would widen the other day field
        raise ConfigError(f"--cron: {name}: {field!r} is every day: write '*'")
    return ",".join(map(str, numbers))


def _croniter() -> Any:
    try:
        import croniter
    except ImportError:
        raise ImagegateError("schedules need the package croniter: pip install 'imagegate[kubeflow]'") from None
    return croniter
