"""Lists the tests that docs/reliability.md names, one per line: `python -m scripts.promises`."""

from __future__ import annotations

import re
from pathlib import Path

DOCUMENT = Path(__file__).parent.parent / "docs" / "reliability.md"
_ROW = re.compile(r"^\|(?P<promise>[^|\n]+)\|(?P<tests>[^|\n]+)\|$", re.MULTILINE)  # of two columns


def promises(text: str) -> dict[str, list[str]]:
    """Reads the tables of two columns: promise -> the tests that show it, as pytest names them.

    >>> promises("| promise | test |\\n|---|---|\\n| It stops. | `tests/test_a.py::test_stop` |")
    {'It stops.': ['tests/test_a.py::test_stop']}
    """
    rows = {row["promise"].strip(): re.findall("`([^`]+)`", row["tests"]) for row in _ROW.finditer(text)}
    return {promise: tests for promise, tests in rows.items() if promise not in ("promise", "---")}


if __name__ == "__main__":
    named = promises(DOCUMENT.read_text(encoding="utf-8"))
    print("\n".join(sorted({test for tests in named.values() for test in tests})))
