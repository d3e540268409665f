"""`imagegate served`: which version was served when, read from the destination alone."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING

from components.base.errors import ConfigError
from components.base.text import shown
from components.push import history
from components.push.history import Entry

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.config import Config

_DIGITS = 12  # of a fingerprint that are shown
_COLUMNS = ("version", "from", "until", "data", "code", "configuration", "how")


def entries(config: Config, at: str | None) -> list[Entry]:
    """The versions that were served, the oldest first.

    Args:
        config: names the destination; nothing else of it is used.
        at: a date, of which the whole day in UTC counts, or a time (in UTC, if it names no zone); None: ever.

    Raises:
        ConfigError: `at` is neither.
        ImagegateError: the destination cannot be read.
    """
    found = history.read(config.destination, config.trust())
    return found if at is None else history.during(found, *_span(at))


def _span(text: str) -> tuple[datetime.datetime, datetime.datetime]:
    """The time that is asked about: from, until before.

    >>> [f"{end:%d %b %H:%M}" for end in _span("2026-05-03")]
    ['03 May 00:00', '04 May 00:00']
    """
    try:
        begin = datetime.datetime.fromisoformat(text)
        begin = begin if begin.tzinfo else begin.replace(tzinfo=datetime.UTC)
        whole_day = not any(mark in text for mark in ":Tt ")
        return begin, begin + (datetime.timedelta(days=1) if whole_day else datetime.timedelta(microseconds=1))
    except (ValueError, OverflowError):  # of the last day, there is no end
        raise ConfigError(
            f"--at: expected a date or a time such as 2026-05-03 or 2026-05-03T14:30, got {text!r}"
        ) from None


def table(entries: Sequence[Entry]) -> Table:
    """A table with one row per version; times are in UTC."""
    from rich.markup import escape
    from rich.table import Table

    rows = Table(box=None, pad_edge=False)
    for name in _COLUMNS[:-1]:
        rows.add_column(name, no_wrap=True)
    rows.add_column(_COLUMNS[-1], overflow="fold")
    for entry in entries:
        digests = (entry.data_fingerprint, entry.code_fingerprint, entry.configuration_fingerprint)
        how = f"{entry.origin}{'; the model was removed since' if entry.removed else ''}"
        cells = (
            entry.version,
            _moment(entry.pushed),
            _until(entry),
            *(digest[:_DIGITS] or "-" for digest in digests),
            how,
        )
        rows.add_row(*(escape(shown(cell)) for cell in cells))
    return rows


def _until(entry: Entry) -> str:
    return "now" if entry.served else _moment(entry.until)


def _moment(time: str | None) -> str:
    return "unknown" if time is None else time[:19].replace("T", " ")
