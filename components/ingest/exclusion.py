"""`data.exclude`: images that are left out of a data set without touching it, with the reason for each."""

from __future__ import annotations

import bisect
import csv
import dataclasses
import difflib
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence

from components.base.errors import ConfigError
from components.base.text import plain_cell, truncated_list
from components.data.dataset import Dataset, packed
from components.ingest.settings import Exclusion

_NO_REASON = "no reason given"
_HEADER = ("path", "reason", "kind", "certainty", "other", "decision")
_DECISIONS = ("exclude", "keep")
_DELIMITERS = ",;\t"  # as spreadsheets write them
_WILD = re.compile(r"[*?\[]")
_MOST_NAMED = 5  # lines in one sentence
_LONGEST = 4096  # characters of a path or a pattern
_MOST_SEARCHED = 20_000  # paths among which a near match is looked for: takes about 0.1 s


def write(findings: Iterable[tuple[str, str, str, float, str]], decided: Iterable[Exclusion] = ()) -> str:
    """The text of a file that `parse` reads: CSV with the columns of `_HEADER`.

    A cell that a spreadsheet would take for a formula is changed: a path begins with "./", which `Paths` ignores.

    Args:
        findings: (path, reason, kind, certainty, path of the other file or "") of each; their decision is left empty.
        decided: earlier decisions, which follow, so that the file can take the place of the earlier one.

    >>> print(write([("cat/1.jpg", "broken", "quarantined", 1, ""), ("=1.jpg", "brightness 0.01", "dark", 0.5, "")]))
    path,reason,kind,certainty,other,decision\r
    cat/1.jpg,broken,quarantined,1.00,,\r
    ./=1.jpg,brightness 0.01,dark,0.50,,\r
    <BLANKLINE>
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(_HEADER)
    for path, reason, kind, certainty, other in findings:
        writer.writerow((_safe_path(path), _safe_text(reason), kind, f"{certainty:.2f}", _safe_path(other), ""))
    for row in decided:
        cells = (_safe_path(row.path), _safe_text(row.reason), _safe_text(row.kind), "", _safe_path(row.other))
        writer.writerow((*cells, row.decision))
    return out.getvalue()


def _safe_text(text: str) -> str:
    return plain_cell(text, "reason: ")


def _safe_path(path: str) -> str:
    return plain_cell(path, "./")


def parse(content: bytes, where: str) -> tuple[Exclusion, ...]:
    """Reads a table with the column path, and the others of `_HEADER` if it has them; further ones have no effect.

    Without the column decision, every row excludes; in a table with it, a row whose cell is empty decides nothing.

    Args:
        content: CSV in UTF-8, separated by commas, semicolons or tabs.
        where: path of the file, for messages.

    Raises:
        ConfigError: it is not such a table; the message names the row.
    """
    prefix = f"data.exclude: {where}"
    try:
        # A path may hold bytes that are not UTF-8; those of a file in UTF-16 are no path.
        text = content.decode("utf-8-sig", "surrogateescape")
        if "\0" in text:
            raise ConfigError(f"{prefix}: is not UTF-8 text; save it as CSV in UTF-8")
        first = text.partition("\n")[0]
        delimiter = max(_DELIMITERS, key=first.count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows = [(reader.line_num, row) for row in reader if any(row)]
    except csv.Error as error:
        raise ConfigError(f"{prefix}: line {reader.line_num}: is not valid CSV: {error}") from None
    header = [name.strip().lower() for name in rows[0][1]] if rows else []
    if "path" not in header:
        found = ", ".join(map(repr, header)) or "an empty file"
        raise ConfigError(f"{prefix}: expected a first line with the columns path and reason, got {found}")
    return tuple(_exclusion(header, row, f"{prefix}: line {line}") for line, row in rows[1:])


def _exclusion(header: Sequence[str], row: Sequence[str], where: str) -> Exclusion:
    if len(row) > len(header):
        raise ConfigError(f"{where}: expected {len(header)} cells, got {len(row)}; quote a cell that holds a comma")
    cells = dict(zip(header, row, strict=False))
    if not cells["path"].strip():
        raise ConfigError(f"{where}: expected a path or a pattern, got an empty cell; remove the row")
    if len(cells["path"]) > _LONGEST:
        raise ConfigError(
            f"{where}: expected a path or a pattern of at most {_LONGEST:,} characters, got {len(cells['path']):,}"
        )
    decision = cells.get("decision", "").strip().lower() if "decision" in header else "exclude"
    if decision and decision not in _DECISIONS:
        raise ConfigError(f"{where}: expected the decision exclude or keep, or an empty cell, got {decision!a}")
    return Exclusion.model_validate(
        {
            "path": cells["path"],
            "reason": cells.get("reason", "").strip() or _NO_REASON,
            "kind": cells.get("kind", "").strip(),
            "other": cells.get("other", "").removeprefix("./"),
            "decision": decision or "undecided",
        }
    )


def apply(dataset: Dataset, exclusions: Sequence[Exclusion], *, prune: bool) -> Dataset:
    """Leaves out every file that one of the exclusions names; of several, the first gives the reason.

    What rows keep is for the data gate to find; those without a decision are only counted.

    Args:
        dataset: the listing.
        exclusions: paths or patterns, see `Paths`, and their reasons.
        prune: whether a label of which every image is left out is no label any more.
    """
    if not exclusions:
        return dataset
    files = Paths([r.path for r in dataset.records] + [path for path, _ in (*dataset.rejected, *dataset.contradictory)])
    ignored = Paths(dataset.ignored)
    reasons: dict[str, str] = {}
    unmatched = []
    undecided = sum(one.decision == "undecided" for one in exclusions)
    for one in exclusions:
        if one.decision == "undecided":
            continue
        found = files.matches(one.path)
        if one.decision == "exclude":
            for path in found:
                reasons.setdefault(path, one.reason)
        if not found and not ignored.matches(one.path):
            unmatched.append(one.path)
    left = dataclasses.replace(
        dataset,
        records=packed(r for r in dataset.records if r.path not in reasons),
        rejected=tuple(item for item in dataset.rejected if item[0] not in reasons),
        contradictory=tuple(item for item in dataset.contradictory if item[0] not in reasons),
        excluded=tuple(sorted(reasons.items())),
        notes=(*dataset.notes, *_undecided(undecided), *_unmatched(unmatched, files)),
    )
    return _pruned(dataset, left) if prune else left


class Paths:
    """The paths of a data set, among which paths and patterns are looked up.

    A path of a file names that file alone, whatever characters it holds; a path of a folder, every file in it. In a
    pattern, `*` and `?` stand for characters within one name, and `**` for any folders. A pattern without "/" applies
    to names in every folder. Composed and decomposed letters are equal.

    >>> paths = Paths(["cat/1.jpg", "cat/old/2.jpg", "cat/[1].png"])
    >>> paths.matches("cat/[1].png"), paths.matches("cat/*.jpg"), paths.matches("**/*.jpg")
    (['cat/[1].png'], ['cat/1.jpg'], ['cat/1.jpg', 'cat/old/2.jpg'])
    >>> paths.matches("*.png"), paths.matches("cat/old"), paths.matches("dog")
    (['cat/[1].png'], ['cat/old/2.jpg'], [])
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = frozenset(paths)
        self._sorted = sorted((normal(path), path) for path in self._paths)

    def matches(self, pattern: str) -> list[str]:
        """The paths that a path or a pattern names, sorted."""
        for exact in (pattern, pattern.removeprefix("./")):
            if exact in self._paths:
                return [exact]
        wanted = normal(pattern.strip().removeprefix("./"))
        same = [*self._below(wanted, wanted), *self._below(folder := wanted.rstrip("/") + "/", folder[:-1] + "0")]
        if same or not _WILD.search(wanted):
            return same
        expression = _expression(wanted)
        return [path for normal, path in self._sorted if expression.match(normal)]

    def _below(self, first: str, last: str) -> list[str]:
        """The paths from `first` to `last`, or equal to both; "0" is the character that follows "/"."""
        start = bisect.bisect_left(self._sorted, (first,))
        end = bisect.bisect_left(self._sorted, (last,)) if last != first else start
        while last == first and end < len(self._sorted) and self._sorted[end][0] == first:
            end += 1
        return [path for _, path in self._sorted[start:end]]

    def nearest(self, pattern: str) -> str | None:
        """A path with the same name in another folder or case, or else a similar path."""
        name = pattern.replace("\\", "/").rstrip("/").rpartition("/")[2].lower()
        same = (path for _, path in self._sorted if path.rpartition("/")[2].lower() == name)
        near = next(same, None)
        if near is None and len(self._paths) <= _MOST_SEARCHED:
            near = next(iter(difflib.get_close_matches(pattern, [path for _, path in self._sorted], 1, 0.8)), None)
        return near


def _expression(pattern: str) -> re.Pattern[str]:
    parts = (pattern + "**" if pattern.endswith("/") else pattern).split("/")
    *folders, name = parts if len(parts) > 1 else ["**", *parts]
    between = [""]  # `**`
    for part in folders:
        if part == "**":
            between.append("")
        else:
            between[-1] += f"{_within(part)}/"
    last = ".+" if name == "**" else _within(name)
    return re.compile(_joined(between, "(?:[^/]+/)*") + last + r"\Z", re.DOTALL)


def _joined(texts: Sequence[str], anything: str) -> str:
    """The expression of texts with anything between them.

    All but the last are atomic groups: the first place where a text fits is as good as any later one, and no other is
    tried. A pattern of many `*` would take years otherwise.
    """
    first, *others = texts
    middle = "".join(f"(?>{anything}?{text})" for text in others[:-1])
    return first + middle + (f"{anything}{others[-1]}" if others else "")


def _within(part: str) -> str:
    """The regular expression of a pattern for one name."""
    between = [""]  # `*`
    for piece in re.findall(r"\*+|\?|\[!?\]?[^\]]*\]|.", part, re.DOTALL):
        if piece[0] == "*":
            between.append("")
        elif piece == "?":
            between[-1] += "[^/]"
        elif piece[0] == "[" and len(piece) > 1:
            between[-1] += f"(?!/){_of_set(piece)}"
        else:
            between[-1] += re.escape(piece)
    return _joined(between, "[^/]*")


def _of_set(token: str) -> str:
    """The expression of `[abc]`, `[a-c]` or `[!abc]`; of a range that is none, such as `[z-a]`, the text itself."""
    body = token[1:-1]
    inverse, body = ("^", body[1:]) if body.startswith("!") else ("", body)
    body = re.sub(r"([]\\^[&|~])", r"\\\1", body)
    expression = f"[{inverse}{body}]"
    try:
        re.compile(expression)
    except re.error:
        return re.escape(token)
    return expression


def normal(path: str) -> str:
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def _undecided(lines: int) -> list[str]:
    """A sentence on the lines without a decision; none if there are none."""
    if not lines:
        return []
    have = "line has" if lines == 1 else "lines have"
    return [f"data.exclude: {lines:,} {have} no decision; write exclude or keep into the column decision"]


def _unmatched(patterns: Sequence[str], files: Paths) -> list[str]:
    """A sentence on the lines that match nothing, with the paths that they may mean."""
    named = []
    for pattern in patterns[:_MOST_NAMED]:
        near = files.nearest(pattern)
        named.append(f"{pattern!r}" + (f" (did you mean {near!r}?)" if near else ""))
    if len(patterns) <= 1:
        return [f"data.exclude: no file of the data set matches {name}" for name in named]
    more = [f"and {len(patterns) - len(named):,} more"] if len(patterns) > len(named) else []
    return [f"data.exclude: {len(patterns):,} lines match no file of the data set: {', '.join([*named, *more])}"]


def _pruned(before: Dataset, left: Dataset) -> Dataset:
    """Drops the labels of which every image was left out."""
    gone = {name for record in before.records for name in record.labels}
    gone -= {name for record in left.records for name in record.labels}
    if not gone or not left.records:
        return left
    records = packed(
        dataclasses.replace(r, unknown=tuple(name for name in r.unknown if name not in gone)) if r.unknown else r
        for r in left.records
    )
    note = f"data.exclude leaves no image of {truncated_list(sorted(map(repr, gone)))}, so there is no such label"
    labels = tuple(name for name in left.labels if name not in gone)
    return dataclasses.replace(left, labels=labels, records=records, notes=(*left.notes, note))
