"""The data gate: the rules that a data set must satisfy before anything is trained on it.

To add a rule, declare its limit in `settings.Balance`, write a function of type `DataRule` in a module of
`data_rules`, and put it into `RULES`.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping, Sequence

from components.base.text import truncated_list
from components.base.verdict import Verdict
from components.data.manifest import DatasetManifest, LeftOut
from components.gates.data_rules import (
    bands,
    cooccurrence,
    copies,
    files,
    image_pairs,
    label_counts,
    label_drift,
    label_errors,
    property_drift,
    relabelled,
    shortcuts,
    single_images,
)
from components.gates.data_rules.base import DataRule, Finding, FindingRule, GateInput, bound, share, train_pixels
from components.gates.judge import judge
from components.gates.records import Found, Suspicions
from components.gates.settings import DataGateLimits
from components.labels.weights import applied, label_weights

_LISTED = 100  # findings of each kind that a summary lists
_Note = Callable[[GateInput, DataGateLimits], list[str]]

# In the order of their verdicts: the data by themselves, then against the served model's data, then the schema.
RULES: tuple[DataRule, ...] = (
    files.quarantined_files,
    files.contradictory_files,
    files.unlabelled_images,
    single_images.faulty_images,
    image_pairs.contradictory_pairs,
    image_pairs.leaking_pairs,
    copies.leaking_copies,
    label_errors.wrong_labels,
    label_counts.number_of_labels,
    label_counts.examples_per_label,
    label_counts.imbalance,
    label_counts.mask_shares,
    cooccurrence.cooccurrence,
    shortcuts.shortcuts,
    bands.invalid_pixels,
    bands.useless_bands,
    property_drift.split_properties,
    bands.split_bands,
    label_drift.vanished_labels,
    label_drift.new_labels,
    label_drift.label_shares,
    property_drift.served_properties,
    bands.served_bands,
    relabelled.relabelled_images,
    files.schema_anomalies,
)

# What they object to or suspect, file by file; a rule of the list above need not have one.
FINDINGS: tuple[FindingRule, ...] = (
    files.findings,
    image_pairs.findings,
    copies.findings,
    label_errors.findings,
    single_images.findings,
)

# Sentences on what is only suspected, and refuses nothing.
NOTES: tuple[_Note, ...] = (copies.notes, label_errors.notes, single_images.notes, shortcuts.notes)


def check(data: GateInput, limits: DataGateLimits) -> list[Verdict]:
    """Judges a data set by all rules: one verdict per rule, label and split. It is accepted if all of them passed."""
    return [verdict for rule in RULES for verdict in rule(data, limits)]


def findings(data: GateInput, limits: DataGateLimits) -> list[Finding]:
    """Every file that a rule objects to or suspects, most certain first; see `Finding`."""
    found = [finding for rule in FINDINGS for finding in rule(data, limits)]
    return sorted(found, key=lambda finding: -finding.certainty)  # stable: otherwise in the order of the rules


def notes(data: GateInput, limits: DataGateLimits) -> list[str]:
    """One sentence for each thing that is suspected of the data set as a whole, and refuses nothing."""
    return [sentence for rule in NOTES for sentence in rule(data, limits)]


def suspicions(data: GateInput, limits: DataGateLimits) -> Suspicions:
    """What is found beside the verdicts, for the summary and the report."""
    counts: collections.Counter[str] = collections.Counter()
    first = []
    for finding in findings(data, limits):
        counts[finding.kind] += 1
        # Quarantined files have a list of their own.
        if finding.kind != files.QUARANTINED and counts[finding.kind] <= _LISTED:
            first.append(Found(**finding._asdict()))
    return Suspicions(counts=dict(counts), first=tuple(first), notes=tuple(notes(data, limits)))


def unlabelled_files(kept: int, quarantined: Sequence[LeftOut], most: float | None) -> list[Verdict]:
    """Bounds the share of files of `data.unlabelled` that cannot be used.

    Args:
        kept: how many can be used.
        quarantined: the others.
        most: `data.max_bad_fraction`.
    """
    if most is None or not quarantined:
        return []
    rule = bound(
        metric="share of quarantined files of data.unlabelled",
        maximum=most,
        advice="Repair or remove them, or raise data.max_bad_fraction",
    )
    names = truncated_list(f"{file.path} ({file.reason})" for file in quarantined)
    total = kept + len(quarantined)
    return [judge(rule, len(quarantined) / total, detail=f"{len(quarantined)} of {total} files, {names}")]


def empty_splits(manifest: DatasetManifest) -> list[Verdict]:
    """Requires at least one image in every split, whatever the limits are; later stages cannot run without."""
    return [
        judge(
            bound(metric=f"number of images in {split}", minimum=1, advice=f"Add images or raise data.split.{split}"),
            images,
        )
        for split, images in manifest.counts.items()
    ]


def weights(
    manifest: DatasetManifest,
    configured: str | Mapping[str, float] = "median_frequency",
    *,
    count_ignored: bool = False,
) -> dict[str, float]:
    """Computes the weight of every label in the loss.

    Args:
        manifest: counts of the data set; only those of train are used.
        configured: see `labels.weights.applied`.
        count_ignored: masks only, see `labels.weights.pixel_counts`.

    Returns:
        label -> weight, in the order of the labels.
    """
    labels = manifest.labels
    found = applied(configured, labels, lambda: _computed(manifest, count_ignored=count_ignored))
    return dict(zip(labels, found, strict=True))


def _computed(manifest: DatasetManifest, *, count_ignored: bool) -> list[float]:
    """The weights by median frequency."""
    labels = manifest.labels
    if manifest.pixels:
        cells = train_pixels(manifest, len(labels))
        cells = cells if count_ignored else cells[:-1]
        own, total = [c[0] for c in cells], [c[2 if count_ignored else 1] for c in cells]
    else:
        own = [manifest.label_counts[label]["train"] for label in labels]
        total = [manifest.counts["train"] - manifest.unknown[label]["train"] for label in labels]
    weights: list[float] = label_weights(own, total, len(labels)).tolist()
    return weights


def unknown(manifest: DatasetManifest) -> dict[str, float]:
    """Computes which shares of the data are unknown and therefore excluded from training and evaluation.

    Returns:
        "images": share of images without a known label; and "pixels": share of ignored pixels, for masks, or else
        "labels": share of (image, label) pairs that are unknown. All in [0, 1].
    """
    images = sum(manifest.counts.values())
    shares = {"images": share(sum(manifest.unlabelled.values()), images)}
    if manifest.pixels:
        pixels = [[own for own, _, _ in cells] for cells in manifest.pixels.values()]
        return shares | {"pixels": share(sum(own[-1] for own in pixels), sum(map(sum, pixels)))}
    unknown_labels = sum(sum(by_split.values()) for by_split in manifest.unknown.values())
    return shares | {"labels": share(unknown_labels, images * len(manifest.labels))}


def warnings(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Names the labels that cannot be learnt, in one sentence; none if every label has an example in train.

    Args:
        counts: label -> split -> images it applies to; `label_counts` of the manifest.

    >>> warnings({"cat": {"train": 8, "eval": 1, "test": 1}, "dog": {"train": 0, "eval": 1, "test": 0}})
    ["without any example in train, not learnt: 'dog'"]
    """
    absent = [repr(label) for label, by_split in counts.items() if not by_split["train"]]
    return [f"without any example in train, not learnt: {truncated_list(absent)}"] if absent else []
