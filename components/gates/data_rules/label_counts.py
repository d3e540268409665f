"""Rules on how many examples each label has."""

from __future__ import annotations

from collections.abc import Iterable

from components.base.text import number, truncated_list
from components.base.verdict import Verdict
from components.gates.data_rules.base import GateInput, bound, share, train_pixels
from components.gates.judge import judge
from components.gates.settings import DataGateLimits

_EXAMPLES_ADVICE = {
    "train": "Add images, drop the label, or lower balance.min_examples",
    "eval": "Add images, raise data.split.eval, or lower balance.min_eval_examples",
    "test": "Add images, raise data.split.test, or lower balance.min_eval_examples",
}


def number_of_labels(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Requires as many labels as the task needs to have something to learn."""
    labels = data.manifest.labels
    rule = bound(
        metric="number of labels",
        minimum=limits.min_labels,
        advice="A classifier needs at least two labels; add images of another one",
    )
    yield judge(rule, len(labels), detail=truncated_list(map(repr, labels)) if len(labels) < limits.min_labels else "")


def examples_per_label(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Requires a number of examples of every label in each split."""
    least = {"train": limits.min_examples, "eval": limits.min_eval_examples, "test": limits.min_eval_examples}
    for split, minimum in least.items():
        if minimum is None:
            continue
        for label, by_split in data.manifest.label_counts.items():
            rule = bound(
                metric=f"number of examples in {split}", label=label, minimum=minimum, advice=_EXAMPLES_ADVICE[split]
            )
            yield judge(rule, by_split[split])


def imbalance(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Bounds the ratio of the most to the least frequent label in train."""
    train = {label: by_split["train"] for label, by_split in data.manifest.label_counts.items()}
    if limits.max_ratio is None or not any(train.values()):
        return
    most, fewest = max(train, key=train.__getitem__), min(train, key=train.__getitem__)
    rule = bound(
        metric="ratio of the most to the least frequent label in train",
        maximum=limits.max_ratio,
        advice="Add images of the rare label, or raise balance.max_ratio",
    )
    ratio = train[most] / train[fewest] if train[fewest] else float("inf")
    yield judge(rule, ratio, detail=f"{most!r} has {number(train[most])}, {fewest!r} has {number(train[fewest])}")


def mask_shares(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Requires a share of the pixels and of the images of train for every label of a mask."""
    manifest = data.manifest
    if not manifest.pixels:
        return
    cells = train_pixels(manifest, len(manifest.labels))[:-1]
    known, images = sum(own for own, _, _ in cells), manifest.counts["train"]
    for label, (own, _, _) in zip(manifest.labels, cells, strict=True):
        for setting, minimum, subject, part, whole in (
            ("min_pixel_share", limits.min_pixel_share, "known pixels", own, known),
            ("min_image_share", limits.min_image_share, "images", manifest.label_counts[label]["train"], images),
        ):
            if minimum is None:
                continue
            rule = bound(
                metric=f"share of the {subject} of train",
                label=label,
                minimum=minimum,
                advice=f"Add images of it, drop the label, or lower balance.{setting}",
            )
            yield judge(rule, share(part, whole), detail=f"{number(part)} of {number(whole)}")
