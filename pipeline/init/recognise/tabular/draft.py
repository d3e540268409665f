"""The ways to read one table, or those of one data set's splits, by what their columns look like."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.base.text import truncated_list
from components.ingest.layouts.table.roles import DEFAULT_IMAGE
from pipeline.init.recognise.sight import Proposal
from pipeline.init.recognise.tabular import problems, roles, rows_of_labels
from pipeline.init.recognise.tabular.candidates import Candidate
from pipeline.init.recognise.tabular.places import Place

_MOST_NAMES = 3  # columns that may be the labels


class Draft:
    """The proposals for one table, or for those of one data set's splits."""

    def __init__(self, candidate: Candidate, place: Place, rows: Sequence[Mapping[str, Any]]) -> None:
        self._candidate, self._place, self._rows = candidate, place, rows
        header = [column for column in candidate.tables[0][1].header if column and column != place.column]
        self._cells = {column: roles.texts(rows, column) for column in header}
        images = [] if place.embedded else roles.texts(rows, place.column)
        self._varying = roles.varying(images, self._cells) if images else set()
        self._taken = {column for column, cells in self._cells.items() if roles.is_weight(column, set(cells))}
        self._weight = next(iter(self._taken), None)
        self._split = None
        if isinstance(candidate.manifest, str):
            self._split = next((c for c, cells in self._cells.items() if roles.is_split(set(cells))), None)
        free = {c: v for c, v in self._cells.items() if c not in self._taken and c != self._split}
        self._group = roles.group(
            {c: v for c, v in free.items() if not roles.is_label_name(c) and c not in self._varying}
        )
        self._free = {c: v for c, v in free.items() if c != self._group}

    def proposals(self) -> Iterator[Proposal]:
        """Yields the ways to read the table; if there is none, why."""
        found = list(self._ways())
        yield from found
        if not found:
            columns = {column: self._cells[column] for column in self._free}
            problem = problems.of_columns(self._candidate.tables[0][1], columns)
            yield Proposal("manifest", (), "", problem=problem)

    def _ways(self) -> Iterator[Proposal]:
        flags = {c: codes for c, v in self._free.items() if (codes := roles.flag_codes(set(v))) is not None}
        if any(roles.is_signs(set(self._cells[c])) for c in flags):  # a column of -1 alone is one of them, too
            flags |= {c: {} for c, v in self._free.items() if roles.is_signs(set(v))}
        named = [n for c, v in self._free.items() if (n := roles.names(c, self._rows, v)) is not None]
        called = [n for n in named if roles.is_label_name(n.column)]
        others = [n for n in named if n not in called and n.column not in flags]
        for names in called:
            yield from self._of_words(names)
        several = {c: codes for c, codes in flags.items() if c not in {n.column for n in called}}
        if len(several) > 1:
            yield self._of_flags(list(several))
        elif several and not called and not others:
            column = next(iter(several))
            yield self._of_names(roles.Names(column, tuple(c for c in self._cells[column] if c), 0))
        if not called:
            for names in others[:_MOST_NAMES]:
                yield from self._of_words(names)
        if not (flags or named) and self._is_list():
            (column,) = self._free
            yield self._of_names(roles.Names(column, tuple(c for c in self._cells[column] if c), 0))

    def _is_list(self) -> bool:
        """Whether the table is a list of paths, each with a number, which folders of one label each do not repeat."""
        if self._candidate.tables[0][1].named or len(self._free) != 1:
            return False
        images = [posixpath.dirname(path) for path in roles.texts(self._rows, self._place.column)]
        pairs = set(zip(images, self._cells[next(iter(self._free))], strict=True))
        return len(set(images)) == 1 or len(pairs) > len(set(images))

    def _of_flags(self, flags: Sequence[str]) -> Proposal:
        """Proposes 0/1 columns as the labels. What -1 means depends on the cells of all of them."""
        cells = {cell for column in flags for cell in self._cells[column]}
        codes = roles.flag_codes(cells) or {}
        no = -1 if roles.is_signs(cells) else 0
        marked = [sum(self._cells[c][i].lower() in roles.YES for c in flags) for i in range(len(self._rows))]
        one_each = not codes and all(count == 1 for count in marked)
        tasks = ("single_label", "multi_label") if one_each else ("multi_label",)
        columns: dict[str, Any] = {"labels": list(flags)}
        comments = {
            "data.columns.labels": f"columns of {no} and 1" + ("; each row has exactly one 1" if one_each else "")
        }
        if codes:
            columns["values"] = codes
            comments["data.columns.values"] = "what other cells mean; null: unknown"
            if roles.is_signs(cells):
                comments["data.columns.values"] = "all cells are -1 or 1, so -1 is taken for no"
        reason = f"{self._about()} in {len(flags)} columns of {no} and 1: {truncated_list(flags)}"
        return self._proposal(tasks, reason, columns, {}, comments, set(flags))

    def _of_words(self, names: roles.Names) -> Iterator[Proposal]:
        """Proposes one column as the labels; where its cells may hold several words, also so, the likely way first."""
        one = self._of_names(names)
        possible, likely = roles.words(names) if one.tasks[0] == "single_label" else (False, False)
        ways = [one, self._of_names(names, " ")] if possible else [one]
        yield from reversed(ways) if likely else ways

    def _of_names(self, names: roles.Names, words: str = "") -> Proposal:
        """Proposes one column as the labels; `words` separates them if nothing else does."""
        several, separator = (True, words) if words else roles.separator(names)
        more: dict[str, Any] = {}
        comments: dict[str, str] = {}
        tasks: tuple[str, ...] = ("multi_label",) if several else ("single_label", "multi_label")
        what = "lists of names" if several else "names"
        if separator:
            what = f"names separated by {separator!r}"
        if separator:
            more["separator"] = separator
            comments["data.separator"] = f"{what} in one cell"
        if not several and self._is_long(names.column):
            more["rows"], tasks = "label", ("multi_label",)
            comments["data.rows"] = "several rows name the same image, each with a label"
            what = "one name a row"
        columns: dict[str, Any] = {"labels": names.column}
        notes: list[str] = []
        if more.get("rows") == "label":
            others = {c: v for c, v in self._free.items() if c != names.column}
            applies, notes = rows_of_labels.applying(self._candidate.tables[0][1].path, others, self._varying)
            columns |= applies
            comments |= dict.fromkeys((f"data.columns.{key}" for key in applies), "0: the label is known to be absent")
        comments["data.columns.labels"] = f"{what}: {truncated_list(dict.fromkeys(names.cells))}"
        reason = f"{self._about()} in the column {names.column!r}: {what}"
        return self._proposal(tasks, reason, columns, more, comments, {names.column, *columns.values()}, notes)

    def _is_long(self, column: str) -> bool:
        """Whether rows name the same image with different labels."""
        label_of: dict[str, str] = {}
        images = roles.texts(self._rows, self._place.column)
        pairs = zip(images, self._cells[column], strict=True)
        return not self._place.embedded and any(label_of.setdefault(image, label) != label for image, label in pairs)

    def _about(self) -> str:
        paths = truncated_list(table.path for _, table in self._candidate.tables)
        where = "holds images" if self._place.embedded else f"names images in the column {self._place.column!r}"
        return f"{paths} {where} and their labels"

    def _proposal(
        self,
        tasks: tuple[str, ...],
        reason: str,
        columns: dict[str, Any],
        more: Mapping[str, Any],
        comments: Mapping[str, str],
        labels: set[str],
        notes: Sequence[str] = (),
    ) -> Proposal:
        data: dict[str, Any] = {"manifest": self._candidate.manifest}
        said = dict(comments)
        if (images := self._images()) is not None:
            data["images"] = images
            said["data.images"] = "where the file names start"
        if self._place.prefix:
            data["prefix"] = self._place.prefix
            said["data.prefix"] = "file names begin so, which is no part of their paths"
        if self._place.column != DEFAULT_IMAGE:
            columns = {"image": self._place.column, **columns}
        for key, column in (("weight", self._weight), ("split", self._split), ("group", self._group)):
            if column is not None:
                columns[key] = column
        if self._group:
            values = len({cell for cell in self._cells[self._group] if cell})
            said["data.columns.group"] = f"{values:,} values; images of one stay in the same split"
        if self._split:
            said["data.columns.split"] = truncated_list(sorted({cell for cell in self._cells[self._split] if cell}))
        free = {c: v for c, v in self._free.items() if c not in labels | self._varying}
        label_cells = self._cells[next(iter(labels))] if len(labels) == 1 else []
        if slices := roles.slices(free, label_cells):
            columns["slices"] = slices
            said["data.columns.slices"] = "columns with few values, by which metrics are also computed"
        data["columns"] = columns
        left = [f"{path} has not all columns of the table of train and is left out" for path in self._candidate.left]
        return Proposal("manifest", tasks, reason, {**data, **more}, {}, said, notes=[*left, *notes], unnamed=tasks[1:])

    def _images(self) -> str | list[str] | None:
        """Returns the folders to set, or None if each table's own folder holds its images."""
        if self._place.embedded:
            return None
        homes = {f"{home}/" if (home := posixpath.dirname(table.path)) else "" for _, table in self._candidate.tables}
        folders = [folder.rstrip("/") or "." for folder in self._place.folders]
        if set(self._place.folders) <= homes and (len(homes) == 1 or set(self._place.folders) == homes):
            return None
        return folders[0] if len(folders) == 1 else folders
