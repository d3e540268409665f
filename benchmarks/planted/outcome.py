"""What `imagegate check` finds in a copy of a data set, and how that compares with what was planted."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]
_DONE = (0, 3)  # exit codes: the data pass, the data are refused


@dataclass(frozen=True)
class Finding:
    """A line of the list that `imagegate check -o` writes."""

    path: str
    kind: str
    other: str


@dataclass(frozen=True)
class Outcome:
    """What a check came to.

    Attributes:
        findings: most certain first.
        lines: what the command printed.
        seconds: processor time of the whole command.
    """

    findings: Sequence[Finding]
    lines: Sequence[str]
    seconds: float

    @property
    def refusals(self) -> list[str]:
        """The sentences of the rules that refuse."""
        return [line for line in self.lines if line.startswith("refused: ")]

    def kinds(self) -> Counter[str]:
        """How many files each kind of finding names."""
        return Counter(kind for kind, _ in {(finding.kind, finding.path) for finding in self.findings})


@dataclass(frozen=True)
class Row:
    """One kind of fault in one copy.

    Attributes:
        fault: its name.
        planted: how many files have it.
        caught: how many of these are listed for what they have; a leak only if its original is named as well.
        otherwise: how many of the rest are listed, but for something else.
        others: how many files in which nothing was planted are listed under the same kinds.
        precision: of the first files listed under these kinds, as many as were planted, the share in which something
            was planted; None if no file is.
    """

    fault: str
    planted: int
    caught: int
    otherwise: int
    others: int
    precision: float | None


def check(config: Path) -> Outcome:
    """Runs `imagegate check CONFIG -o issues.csv` in a new process.

    Raises:
        SystemExit: the command failed, or ended with neither of the verdicts.
    """
    issues = config.with_name("issues.csv")
    command = [sys.executable, "-m", "pipeline", "check", str(config), "-o", str(issues)]
    environment = os.environ | {"PYTHONPATH": str(_ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "COLUMNS": "200"}
    before = os.times()
    done = subprocess.run(command, cwd=config.parent, env=environment, capture_output=True, text=True, check=False)
    after = os.times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    if done.returncode not in _DONE:
        raise SystemExit(f"{done.stdout}{done.stderr}{' '.join(command)}: exit status {done.returncode}")
    with issues.open(encoding="utf-8", newline="") as f:
        rows = csv.DictReader(f)
        findings = [Finding(row["path"].removeprefix("./"), row["kind"], row["other"]) for row in rows]
    return Outcome(findings, done.stdout.splitlines(), seconds)


def compare(record: dict[str, Any], findings: Sequence[Finding]) -> list[Row]:
    """Compares findings with the faults that were planted, fault by fault.

    Args:
        record: see `copies.Copy.record`.
        findings: most certain first.
    """
    rows = []
    faults = record["planted"]
    listed = {finding.path for finding in findings}
    known = faults.keys() | {fault["partner"] for fault in faults.values()}
    for name in dict.fromkeys(fault["fault"] for fault in faults.values()):
        planted = {path: fault for path, fault in faults.items() if fault["fault"] == name}
        kinds = next(iter(planted.values()))["kinds"]
        alike = [finding for finding in findings if finding.kind in kinds]
        pairs = {(finding.path, finding.other) for finding in alike}
        named = {path for path, _ in pairs}
        caught = {
            path for path, fault in planted.items() if path in named and _names_original(path, fault["partner"], pairs)
        }
        first = list(dict.fromkeys(finding.path for finding in alike))[: len(planted)]
        rows.append(
            Row(
                name,
                planted=len(planted),
                caught=len(caught),
                otherwise=len((listed & planted.keys()) - caught),
                others=len(named - known),
                precision=sum(path in known for path in first) / len(first) if first else None,
            )
        )
    return rows


def _names_original(path: str, partner: str | None, pairs: Iterable[tuple[str, str]]) -> bool:
    return partner is None or (path, partner) in pairs or (partner, path) in pairs
