"""Tables of which each row holds one label of an image: which column says whether the label applies."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pipeline.init.recognise.tabular import roles


def applying(
    table: str, columns: Mapping[str, Sequence[str]], varying: Collection[str]
) -> tuple[dict[str, str], list[str]]:
    """Finds the column that says by 1 or 0 whether the label of a row applies: a usual name, and a 0 in a cell.

    Args:
        table: path of the table.
        columns: column -> cells, other than those of file names and labels.
        varying: columns that differ within an image.

    Returns:
        the column as the key `applies`, or nothing; and a sentence on each other column that may mean so.
    """
    values = {column: set(cells) for column, cells in columns.items()}
    flags = [c for c, cells in values.items() if roles.flag_codes(cells) == {} and cells & {"0", "0.0", "false"}]
    chosen = next(({"applies": c} for c in flags if "" not in values[c] and roles.says_applies(c)), {})
    doubtful = [c for c in flags if c in varying and c not in chosen.values()]
    doubtful += [c for c, cells in values.items() if roles.says_applies(c) and roles.flag_codes(cells) != {}]
    return chosen, [
        f"{table}: the column {c!r} is not used: each row's label counts as present; if its 0 means that the label is "
        f"absent, set data.columns.applies: {c}"
        for c in doubtful
    ]
