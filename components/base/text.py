"""Text for people: lists, numbers, names that are safe to print, URLs without passwords, cells of tables."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

_MOST_NAMES = 5  # in one sentence
# What begins with one of these is a formula to a spreadsheet, see OWASP's page on CSV injection; the last four are the
# wide forms, which East Asian editions take as well.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# `user:password@` of any URL, and `token@` of HTTP and WebSockets; elsewhere a name alone is none:
# `abfs://CONTAINER@ACCOUNT`. The password may hold "/", as keys of S3 do, so that digits before one are told from it:
# they are a port, but in S3 and GCS. It may hold "@", too, and so may the user, so that all ends at the last one, also
# where that is in a path behind the host. Neither ARNs of S3 nor memory:// have users, and `@2x.png` ends the name of
# a picture, not a password. One with "/" ends at the next "://": otherwise each of a hostile text would read on to its
# end.
_TO_LAST_AT = r"(?:[^\s@:]*+(?::(?!//)[^\s@:]*+)*@)+(?![1-9]x\.(?:png|jpe?g|webp|gif|bmp|tiff?)\b)"
_USER = re.compile(
    rf"""(?<!memory://)(?<=://)(?!arn:)[^\s/:'"\[]*:(?!\d+(?:[/?#\s'",;)]|$))(?:{_TO_LAST_AT}|[^\s/]*@)"""
    rf"""|(?:(?<=(?i:s3)://)|(?<=(?i:gs)://))[^\s/:'"\[]*:\d+/{_TO_LAST_AT}"""
    r"""|(?:(?<=(?i:https)://)|(?<=(?i:http)://)|(?<=(?i:wss)://)|(?<=(?i:ws)://))[^\s/:'"\[]+@"""
)


def shown(text: str) -> str:
    r"""Replaces control characters, which a terminal would obey, by escapes: file names may contain anything.

    >>> print(shown("cat\x1b[31m.png"))
    cat\x1b[31m.png
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def plain_cell(text: str, before: str) -> str:
    """The text of a cell in a table that people open in a spreadsheet, which would run it if it begins like a formula.

    Every CSV file that imagegate writes passes text from the data through here.

    Args:
        text: such as the path of a file.
        before: what is put before such a text; for a path "./", so that it still names the file.

    >>> plain_cell("=1+1.png", "./"), plain_cell("cat/1.png", "./")
    ('./=1+1.png', 'cat/1.png')
    """
    return f"{before}{text}" if text.startswith(_FORMULA) else text


def holds_password(text: str) -> bool:
    """Whether a URL in a text has a password, or over HTTP a user name, which is where a token may stand.

    >>> holds_password("s3://me:se/cret@bucket/a"), holds_password("https://token@host/a")
    (True, True)
    >>> holds_password("s3://AKIA:12/abc@bucket"), holds_password("HTTPS://token@host"), holds_password("wss://token@host")
    (True, True, True)
    >>> holds_password("http://host:80/a@b"), holds_password("abfs://container@account.dfs.core.windows.net/a")
    (False, False)
    >>> holds_password("s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/name/a@b")
    False
    """
    return _USER.search(text) is not None


def without_passwords(text: str) -> str:
    """Replaces what `holds_password` finds by `***`: libraries repeat whole addresses in their errors.

    >>> without_passwords("Cannot connect to http://me:secret@proxy:3128, see http://host:80/a@b")
    'Cannot connect to http://***@proxy:3128, see http://host:80/a@b'
    """
    return _USER.sub("***@", text)


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
