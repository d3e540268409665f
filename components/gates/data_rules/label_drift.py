"""Rules on labels against the data behind the served model: which there are, and how frequent they are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from components.base.text import number, truncated_list
from components.base.verdict import Verdict
from components.data.manifest import DatasetManifest, KnownData, LabelCounts
from components.gates import drift
from components.gates.data_rules.base import GateInput, bound, common_labels, train_pixels
from components.gates.judge import failed_or_largest, judge
from components.gates.settings import DataGateLimits

_MAX_DRIFT_ADVICE = "If the change is meant, raise balance.max_drift"


def vanished_labels(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Refuses labels that the served model was trained on and that no image has now."""
    reference = data.reference
    if reference is None or limits.allow_vanished_labels:
        return
    present = _present(data.manifest)
    vanished = [label for label in _present(reference.data) if label not in present]
    rule = bound(
        metric="number of vanished labels",
        label=vanished[0] if len(vanished) == 1 else None,
        maximum=0,
        advice="Bring their images back, or set balance.allow_vanished_labels",
    )
    history = f"version {reference.version} of the model was trained on, and no image has now"
    yield judge(rule, len(vanished), detail=_named(vanished, history))


def new_labels(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Refuses labels that the served model does not know."""
    reference = data.reference
    if reference is None or limits.allow_new_labels:
        return
    new = [label for label in _present(data.manifest) if label not in reference.data.labels]
    rule = bound(
        metric="number of new labels",
        label=new[0] if len(new) == 1 else None,
        maximum=0,
        advice="If they are meant, set balance.allow_new_labels",
    )
    yield judge(rule, len(new), detail=_named(new, f"version {reference.version} of the model does not know"))


def label_shares(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Bounds the drift of label shares in train: of all labels together, and of each one by itself.

    Only labels of both data sets are compared. Vanished and new labels have rules of their own, and counting them here
    would make every other label's share look as if it had drifted.
    """
    reference, limit = data.reference, limits.max_drift
    if reference is None or limit is None:
        return
    labels = common_labels(data.manifest, reference)
    yield _all_shares(data.manifest, reference.data, labels, limit, reference.version)
    yield from _each_share(data.manifest, reference.data, labels, limit, reference.version)


def _all_shares(now: DatasetManifest, then: KnownData, labels: Sequence[str], limit: float, version: str) -> Verdict:
    after, before = _amounts(now, labels), _amounts(then, labels)
    total_after, total_before = sum(after), sum(before)
    rule = bound(
        metric=f"Jensen-Shannon distance of label shares in train from those of version {version}",
        maximum=limit,
        advice=_MAX_DRIFT_ADVICE,
    )
    changes = [abs(a / (total_after or 1) - b / (total_before or 1)) for a, b in zip(after, before, strict=True)]
    # Largest change first.
    detail = truncated_list(
        f"{labels[i]!r} {_percent(before[i], total_before)} -> {_percent(after[i], total_after)}"
        for i in sorted(range(len(labels)), key=lambda i: -changes[i])
    )
    chance = _homogeneity(after, before, now, then)
    return judge(rule, drift.jensen_shannon(after, before), chance=chance, detail=detail)


def _each_share(
    now: DatasetManifest, then: KnownData, labels: Sequence[str], limit: float, version: str
) -> list[Verdict]:
    verdicts = []
    for label in labels:
        (k, n), (j, m) = _known(now, label), _known(then, label)
        rule = bound(
            metric=f"Jensen-Shannon distance of the share in train from that of version {version}",
            label=label,
            maximum=limit,
            advice=_MAX_DRIFT_ADVICE,
        )
        distance = drift.jensen_shannon([k, n - k], [j, m - j])
        # Bonferroni: the p-value is multiplied by the number of labels tested.
        chance = len(labels) * drift.proportion_change(k, n, j, m) if distance > limit else 1.0
        detail = f"{_percent(j, m)} of {number(m)} images -> {_percent(k, n)} of {number(n)}"
        verdicts.append((distance, judge(rule, distance, chance=chance, detail=detail)))
    return failed_or_largest(verdicts)


def _homogeneity(after: Sequence[float], before: Sequence[float], now: DatasetManifest, then: LabelCounts) -> float:
    """p-value of the change. Pixels of one image are not independent, so masks count each image once."""
    if not now.pixels:
        return drift.homogeneity(after, before)
    scaled = [
        np.asarray(amounts) / max(1.0, sum(amounts)) * data.counts["train"]
        for amounts, data in ((after, now), (before, then))
    ]
    return drift.homogeneity(*scaled)


def _present(data: DatasetManifest | KnownData) -> list[str]:
    """Labels that at least one image has, in any split."""
    return [label for label in data.labels if any(data.label_counts[label].values())]


def _amounts(data: DatasetManifest | KnownData, labels: Sequence[str]) -> list[int]:
    """Counts each label in train: its pixels, or without masks the images it applies to."""
    if not data.pixels:
        return [data.label_counts[label]["train"] for label in labels]
    own = {label: cell[0] for label, cell in zip(data.labels, train_pixels(data, len(data.labels)), strict=False)}
    return [own[label] for label in labels]


def _known(data: LabelCounts, label: str) -> tuple[int, int]:
    """Images of train to which the label applies; images of train for which it is known."""
    return data.label_counts[label]["train"], data.counts["train"] - data.unknown[label]["train"]


def _named(labels: Sequence[str], history: str) -> str:
    return f"{truncated_list(map(repr, labels))}, which {history}" if labels else ""


def _percent(part: float, whole: float) -> str:
    return f"{number(100 * part / whole, 3)} %" if whole and math.isfinite(whole) else "nothing"
