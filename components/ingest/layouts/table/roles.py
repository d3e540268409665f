"""Which columns hold the file names and the labels, where the configuration does not say."""

from __future__ import annotations

import re
from collections.abc import Sequence

from components.data.dataset import LayoutError
from components.data.storage import File
from components.ingest.layouts.table.dialect import IsFile, is_name
from components.ingest.layouts.table.table import Table
from components.ingest.settings import Columns

DEFAULT_IMAGE = "file_name"
# Without case, blanks and signs.
IMAGE = re.compile(r"(image|img|photo|picture|file)s?(files?)?(names?|paths?|ids?|index)?|paths?|id|idcode|name")
LABEL = re.compile(r"(class|label|category|tag|target)(name|label)?s?|classe?s|categories|species|breed|diagnosis|dx")
_SAMPLE = 100  # rows


def folded(column: str) -> str:
    """A column's name without case, blanks and signs.

    >>> folded("Image_Path"), folded("file name")
    ('imagepath', 'filename')
    """
    return re.sub(r"[\W_]+", "", column).casefold()


def default_columns(table: Table, columns: Columns, is_file: IsFile) -> tuple[Columns, str]:
    """Fills in the image and label columns of a table, and checks that the table has all columns.

    Returns:
        the columns, and a sentence on what was guessed from their names, or "".

    Raises:
        LayoutError: naming the table: a column is not there, or it is not clear which one has the names or the labels.
    """
    guessed = []
    if columns.image == DEFAULT_IMAGE and DEFAULT_IMAGE not in table.header:
        image = _image(table, columns, is_file)
        guessed.append(f"file names from the column {image!r}")
        columns = columns.model_copy(update={"image": image})
    if columns.labels is None:
        labels = _labels(table, columns)
        if labels not in ("label", "labels"):
            guessed.append(f"labels from the column {labels!r}")
        columns = columns.model_copy(update={"labels": labels})
    for key, column in columns.named():
        if column not in table.header:
            raise LayoutError(
                f"{table.path}: there is no column {column!r} (data.columns.{key}); there are {_shown(table.header)}"
            )
    where = f"{table.path}: takes " + " and ".join(guessed)
    return columns, f"{where}; set data.columns to choose others" if guessed else ""


def _image(table: Table, columns: Columns, is_file: IsFile) -> str:
    """Finds the column of file names: of a usual name, or with names of files in a table that does not name columns."""
    taken = {column for key, column in columns.named() if key not in ("image", "slices")}
    free = [column for column in table.header if column not in taken]
    if table.named:
        found = [column for column in free if IMAGE.fullmatch(folded(column))]
    else:
        found = [column for column in free if _names_files(table, column, is_file)]
    if len(found) > 1:  # `image_file_path` beside `image`, or `id` beside `filename`
        embedded = [column for column in found if isinstance(table.rows[0][1].get(column), File)]
        found = embedded or [column for column in found if _names_files(table, column, is_file)] or found
    if len(found) != 1:
        many = f"{len(found)} columns might, {_shown(found)}" if found else f"there are {_shown(table.header)}"
        raise LayoutError(
            f"{table.path}: which column holds the file names? There is no column {DEFAULT_IMAGE!r} "
            f"(data.columns.image); {many}; set data.columns.image"
        )
    return found[0]


def _labels(table: Table, columns: Columns) -> str:
    taken = {column for key, column in columns.named() if key != "slices"}
    free = [column for column in table.header if column and column not in taken]
    exact = [column for column in free if column in ("label", "labels")]
    found = exact or [column for column in free if LABEL.fullmatch(folded(column))]
    if not table.named and not found and len(free) == 1:
        found = free
    if len(found) != 1:
        raise LayoutError(
            f"{table.path}: which column holds the labels? Set data.columns.labels; there are {_shown(table.header)}"
        )
    return found[0]


def _names_files(table: Table, column: str, is_file: IsFile) -> bool:
    """Whether most of the first cells of a column are names of files, or images themselves."""
    cells = [cells.get(column) for _, cells in table.rows[:_SAMPLE]]
    return 2 * sum(not isinstance(cell, str) or is_name(cell, is_file) for cell in cells if cell) > len(cells)


def _shown(columns: Sequence[str]) -> str:
    return ", ".join(map(repr, columns[:20])) + (f", and {len(columns) - 20} more" if len(columns) > 20 else "")
