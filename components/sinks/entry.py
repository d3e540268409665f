"""What a sink gets of a run."""

from __future__ import annotations

import hashlib
import re
from typing import Literal, Self

from components.base.values import ForeignText, Value
from components.report.run_summary import RunSummary

_LONGEST = 500  # characters of a value
_LONGEST_PART = 110  # characters of a metric and of a label each; MLflow takes 250 in all


class Entry(Value):
    """The end of one run.

    Attributes:
        run_id: of the run.
        state: "finished", also where a gate refused; "failed"; "stopped".
        facts: name -> text: status, reason, digests, versions.
        metrics: name -> finite value on the test split; those of a label as "recall/cat".
        report: path of the page, or None.
        pushed: path or URL of the version that this run pushed, or None.
        version: its number, or None.
    """

    run_id: str
    state: Literal["finished", "failed", "stopped"]
    facts: dict[str, ForeignText]
    metrics: dict[str, float]
    report: ForeignText | None
    pushed: ForeignText | None
    version: str | None

    @classmethod
    def of(cls, summary: RunSummary) -> Self:
        """Returns the entry of a run."""
        ended = "stopped" if summary.status in ("stopped", "killed") else "failed"
        pushed = summary.pushed if summary.status == "pushed" else None
        facts = {
            "status": summary.status,
            "exit_code": str(summary.exit_code),
            "task": summary.task,
            "reason": (summary.error or "")[:_LONGEST],
            "data.fingerprint": summary.data.fingerprint,
            **{f"fingerprint.{name}": digest for name, digest in summary.fingerprints.items()},
            **{f"library.{name}": version for name, version in summary.versions.items()},
            **({"role": "challenger"} if pushed and pushed.challenger else {}),
            **({"served_before": summary.baseline.version} if summary.baseline else {}),
        }
        numbers = {_plain(metric): value for metric, value in summary.metrics.items()}
        for label, metrics in summary.per_label.items():
            for metric, value in metrics.items():
                name = f"{_plain(metric)}/{_plain(label)}"
                # Two labels may differ only in characters that MLflow does not take.
                numbers[name if name not in numbers else f"{name}-{_digest(label)}"] = value
        return cls(
            run_id=summary.run_id,
            state="finished" if summary.exit_code in (0, 3, 4) else ended,
            facts={name: text for name, text in facts.items() if text},
            metrics={name: value for name, value in numbers.items() if value is not None},
            report=summary.report,
            pushed=pushed.path if pushed else None,
            version=pushed.version if pushed else None,
        )


def _plain(name: str) -> str:
    """A metric or label as one part of a name that MLflow takes: no path, of letters in any script.

    >>> _plain("T-shirt (red)"), _plain("猫/"), _plain("..")
    ('T-shirt _red_', '猫_', '_')
    """
    text = re.sub(r"[^\w .:-]", "_", name)
    if text.strip(".") == "":
        return "_"
    return text if len(text) <= _LONGEST_PART else f"{text[:_LONGEST_PART]}-{_digest(name)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
