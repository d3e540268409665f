"""The table of faults: what was broken, how often, and what came of it."""

import contextlib
import os

_HEAD = "| fault | tries | outcome | command |\n|---|---|---|---|\n"


def add(fault: str, tries: int, outcome: str, command: str) -> None:
    """Prints a row of the table, and appends it to the file that `IMAGEGATE_FAULT_TABLE` names."""
    row = f"| {fault} | {tries:,} | {outcome} | `{command}` |\n"
    print(_HEAD + row)
    if name := os.environ.get("IMAGEGATE_FAULT_TABLE"):
        with contextlib.suppress(FileExistsError), open(name, "x", encoding="utf-8") as f:  # one worker of several
            f.write(_HEAD)
        with open(name, "a", encoding="utf-8") as f:
            f.write(row)
