"""The section `data.columns`: the meaning of the columns of a table."""

from __future__ import annotations

import json

from pydantic import Field, field_validator, model_validator

from components.base.errors import ConfigError
from components.base.values import Value
from components.data.dataset import LayoutError, label_name


def _cell(value: object) -> object:
    """Writes a value of YAML as the text of a cell."""
    if isinstance(value, str):
        return value.strip()
    return json.dumps(value) if isinstance(value, bool | int | float) else value


class Columns(Value):
    """The columns of the table of layout `manifest`."""

    image: str = Field(
        "file_name",
        description="The column of file names, or of the images themselves in a Parquet file. If there is no column "
        "`file_name`, another usual name (such as `filename`, `image`, `path`, `image_id`) is taken where only one "
        "fits, which is said. If the table does not name its columns, they are called `column_1`, `column_2`, …",
    )
    labels: str | tuple[str, ...] | None = Field(
        None,
        description="One column that holds names of labels, or a list of columns, each named like its label, that hold "
        "0 or 1 (in an empty cell, the label is unknown). Default: `label` or `labels`, whichever the table has, or "
        "another usual name (such as `class`, `category`, `tags`) where only one fits, which is said.",
    )
    weight: str | None = Field(
        None,
        description="The column of weights, numbers above 0: how much an image counts in the loss and the metrics.",
    )
    split: str | None = Field(
        None,
        description="The column of splits: `train`, `eval` (or `val`, `valid`, `validation`, `dev`) or `test`. If a "
        "cell "
        "is empty, the split is assigned by hash.",
    )
    group: str | None = Field(
        None, description="The column of groups. All images of a group, such as those of a patient, get the same split."
    )
    slices: tuple[str, ...] = Field((), description="Columns by which the evaluation can be sliced.")
    applies: str | None = Field(
        None,
        description="With `rows: label`: the column that says by 1 or 0 whether the label of the row applies to the "
        "image or is known not to, such as `Confidence` of Open Images. Labels of which an image has no row are then "
        "unknown for it.",
    )
    sequence: str | None = Field(
        None,
        description="With `data.frames`: the column of sequences, of a table with a row for each moment. The rows of a "
        "sequence have the same labels and other values.",
    )
    time: str | None = Field(
        None,
        description="With `sequence`: the column of times, as dates such as `2017-01-03` or `2017-01-03T10:00:08`, or "
        "as numbers of days. Default: the dates in the names of the files, or else the order of the rows.",
    )
    values: dict[str, str | None] | None = Field(
        None,
        description="What the text of a label cell means. For 0/1 columns `1`, `0` or null (unknown), such as `{-1: "
        "null}`; for a column of names the name, such as `{0: cat, 1: dog}`, or null.",
    )

    @field_validator("values", mode="before")
    @classmethod
    def _as_text(cls, values: object) -> object:
        """Takes the numbers and booleans of YAML as the text that cells have."""
        if not isinstance(values, dict):
            return values
        if not values:
            raise ValueError("expected cells and their meanings, such as {-1: null}; got nothing")
        texts = [(_cell(key), None if value is None else _cell(value)) for key, value in values.items()]
        if len(dict(texts)) < len(texts):
            raise ValueError("two keys are the same text; remove one")
        return dict(texts)

    @model_validator(mode="after")
    def _one_meaning_each(self) -> Columns:
        if self.labels == ():
            raise ConfigError("data.columns.labels: expected the names of the label columns, got an empty list")
        seen: dict[str, str] = {}
        for key, column in self.named():
            if not column.strip():
                raise ConfigError(
                    f"data.columns.{key}: expected the name of a column, got {column!r}; name it in the table, too"
                )
            if key == "slices":  # may share a column with any key but `image`
                clash = "image" if column == self.image else "slices" if self.slices.count(column) > 1 else None
            else:
                clash = seen.get(column)
            if clash:
                raise ConfigError(
                    f"data.columns: {column!r} cannot be both {clash} and {key}; each needs a column of its own"
                )
            seen[column] = key
        if len(set(self.label_of.values())) < len(self.label_of):
            raise ConfigError(
                "data.columns.labels: two columns differ only in blanks around their names, or in how Unicode composes "
                "their letters; rename one of them"
            )
        return self

    @property
    def label_of(self) -> dict[str, str]:
        """Label column -> label; empty if one column holds the names."""
        labels = self.labels if isinstance(self.labels, tuple) else ()
        try:
            return {column: label_name(column, "data.columns.labels") for column in labels}
        except LayoutError as error:  # the mistake is in the configuration, not in the data
            raise ConfigError(str(error)) from None

    def named(self) -> list[tuple[str, str]]:
        """Returns (key, column) for every configured column."""
        labels = (self.labels,) if isinstance(self.labels, str) else self.labels or ()
        one = (
            ("image", self.image),
            ("weight", self.weight),
            ("split", self.split),
            ("group", self.group),
            ("applies", self.applies),
            ("sequence", self.sequence),
            ("time", self.time),
        )
        many = [("labels", column) for column in labels] + [("slices", column) for column in self.slices]
        return [(key, column) for key, column in one if column is not None] + many
