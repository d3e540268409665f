"""Rules on files: those that cannot be used, contradict themselves, have no label, or differ from the schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from components.base.text import number, truncated_list
from components.base.verdict import Verdict
from components.gates.data_rules.base import Finding, GateInput, bound
from components.gates.judge import judge
from components.gates.settings import DataGateLimits

QUARANTINED = "quarantined"  # kind of findings


def quarantined_files(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Bounds the share of files that cannot be used; a data set without any file always fails."""
    bad, kept = data.manifest.quarantined, sum(data.manifest.counts.values())
    total = kept + len(bad)
    if total == 0:
        yield judge(bound(metric="number of images", minimum=1, advice="Check data.root"), 0)
    elif limits.max_bad_fraction is not None:
        rule = bound(
            metric="share of quarantined files",
            maximum=limits.max_bad_fraction,
            advice="Repair or remove them, list them in data.exclude (`imagegate check CONFIG -o issues.csv` writes "
            "the list), or raise data.max_bad_fraction",
        )
        names = truncated_list(f"{file.path} ({file.reason})" for file in bad)
        yield judge(rule, len(bad) / total, detail=f"{len(bad)} of {total} files, {names}" if bad else "")


def contradictory_files(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Refuses files that the data set lists twice with different labels, splits or values."""
    files = data.manifest.contradictory
    if not _any_file(data):
        return
    rule = bound(
        metric="number of files with contradictory entries",
        maximum=0,
        advice="Keep the entry that is right, or list the file in data.exclude",
    )
    yield judge(rule, len(files), detail=truncated_list(f"{file.path} ({file.reason})" for file in files))


def unlabelled_images(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Bounds the share of images for which every label is unknown; they take part in nothing."""
    kept = sum(data.manifest.counts.values())
    if limits.max_unlabelled is None or not kept:
        return
    rule = bound(
        metric="share of images without a known label",
        maximum=limits.max_unlabelled,
        advice="Label them or leave them out, or raise balance.max_unlabelled",
    )
    unlabelled = sum(data.manifest.unlabelled.values())
    yield judge(rule, unlabelled / kept, detail=f"{number(unlabelled)} of {number(kept)} images")


def schema_anomalies(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Refuses each difference from the schema."""
    for feature, text in data.anomalies:
        rule = bound(metric=f"number of schema anomalies of feature {feature!r}", maximum=0)
        yield judge(rule, 1, detail=text)


def findings(data: GateInput, limits: DataGateLimits) -> Iterator[Finding]:
    """Yields the files that cannot be used, and those with contradictory entries."""
    contradictory = {file.path: file.reason for file in data.manifest.contradictory}
    for file in data.manifest.quarantined:
        if file.path not in contradictory:
            yield Finding(file.path, f"quarantined: {file.reason}", QUARANTINED, 1.0)
    for path, reason in contradictory.items():
        yield Finding(path, f"contradictory entries: {reason}", "contradictory entries", 1.0)


def _any_file(data: GateInput) -> bool:
    return bool(data.manifest.quarantined) or any(data.manifest.counts.values())
