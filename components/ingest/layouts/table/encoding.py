"""The characters of a table: which encoding its bytes are in. Nothing is ever replaced or left out."""

from __future__ import annotations

import codecs
import re

from components.data.dataset import LayoutError

# UTF-32 first, since its mark begins like that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", ""),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
_SAMPLE = 1 << 16  # bytes from which an encoding is guessed
# What Windows-1252 makes of another encoding: signs within words, capitals behind small letters, controls.
_UNLIKELY = re.compile(
    r"[\u0080-\u009f\u00a1-\u00a9\u00ab-\u00b1\u00b4-\u00b9\u00bb-\u00bf\u00d7\u00f7\u20ac\u2030\u2122]"
)
_WITHIN = re.compile(r"[^\W\d_][\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2039\u2018\u201c\u201d\u2022\u02dc\u203a]")
_CAPITAL = re.compile(r"[a-z\u00df-\u00ff][\u00c0-\u00de\u0160\u0152\u017d\u0178]")
_FOREIGN_RUN = re.compile(r"[\u00c0-\u00ff\u0152\u0153\u0160\u0161\u0178\u017d\u017e]{3}")


def decode(data: bytes, path: str) -> tuple[str, str]:
    """Turns the bytes of a table into text.

    UTF-8, and UTF-16 and UTF-32 with a byte order mark, are certain. Everything else is guessed and said.

    >>> decode("café".encode(), "t.csv"), decode("café".encode("latin-1"), "t.csv")
    (('café', ''), ('café', 'in the encoding Windows-1252 (a guess)'))

    Returns:
        the text, and what is unusual about its encoding, or "".

    Raises:
        LayoutError: naming `path`: the encoding cannot be told.
    """
    for mark, codec, name in _MARKS:
        if data.startswith(mark):
            try:
                return data.decode(codec), f"in the encoding {name}" if name else ""
            except UnicodeDecodeError as error:
                raise LayoutError(
                    f"{path}: begins like {name or 'UTF-8'} text, but byte {error.start:,} cannot be read; save it "
                    "again as UTF-8"
                ) from None
    if b"\0" in data:
        codec = "utf-16-be" if data[::2].count(0) > data[1::2].count(0) else "utf-16-le"
        text = _decoded(data, codec)
        if text is None or "\0" in text or not _is_plain(text):
            raise LayoutError(f"{path}: is not text: it holds zero bytes; expected a table as text, in UTF-8")
        return text, "in the encoding UTF-16 without a mark (a guess)"
    text = _decoded(data, "utf-8")
    if text is not None:
        return text, ""
    text = _decoded(data, "cp1252")
    if text is not None and _is_western(text):
        return text, "in the encoding Windows-1252 (a guess)"
    return _guessed(data, path)


def _guessed(data: bytes, path: str) -> tuple[str, str]:
    from charset_normalizer import from_bytes

    at = next(i for i, byte in enumerate(data) if byte > 127)
    lines = [line for line in data[: 1 << 24].splitlines() if not line.isascii()]
    best = from_bytes(b"\n".join(lines)[:_SAMPLE]).best()
    text = None if best is None else _decoded(data, best.encoding)
    if best is None or text is None:
        raise LayoutError(
            f"{path}: is not UTF-8 text: byte 0x{data[at]:02x} at offset {at:,}; its encoding cannot be told, save it "
            "as UTF-8"
        )
    return text, f"in the encoding {best.encoding.replace('_', '-')} (a guess)"


def _decoded(data: bytes, codec: str) -> str | None:
    try:
        return data.decode(codec)
    except (UnicodeDecodeError, LookupError):
        return None


def _is_plain(text: str) -> bool:
    """Whether the text begins with characters that a table's header may have."""
    return all(c.isprintable() or c in "\r\n\t" for c in text[:1000])


def _is_western(text: str) -> bool:
    """Whether text that was read as Windows-1252 looks like Western European words."""
    return not any(pattern.search(text) for pattern in (_UNLIKELY, _WITHIN, _CAPITAL, _FOREIGN_RUN))
