"""The data gate: what a data set's manifest must satisfy before anything is trained on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.errors import shown
from components.gates import Rule, Verdict, judge, number
from components.labels.weights import label_weights, stated

_NAMED = 5  # how many files or pairs a sentence names


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of the data gate; None turns a rule off.

    Attributes:
        min_examples: per label in train.
        min_eval_examples: per label in eval and in test, each.
        max_ratio: examples of the most frequent label per example of the least frequent one, in train.
        allow_duplicates_across_splits: whether equal files may be in two splits of a predefined split.
        max_bad_fraction: quarantined files / all files.
        min_labels: how many the task needs.
    """

    min_examples: int | None
    min_eval_examples: int | None
    max_ratio: float | None
    allow_duplicates_across_splits: bool
    max_bad_fraction: float | None
    min_labels: int = 2


def check(manifest: Mapping[str, Any], limits: Limits, anomalies: Sequence[tuple[str, str]] = ()) -> list[Verdict]:
    """Judges a data set.

    Args:
        manifest: see `shards.merge`.
        limits: the bounds.
        anomalies: (feature, text) that TensorFlow Data Validation found against the schema.

    Returns:
        a verdict per rule, label and split; the data set is fit if all passed.
    """
    verdicts = list(_files(manifest, limits))
    verdicts.append(
        judge(
            Rule(
                gate="balance",
                metric="number of labels",
                minimum=limits.min_labels,
                advice="A choice needs two; add images of another label",
            ),
            len(manifest["labels"]),
            detail=some(map(repr, manifest["labels"])) if len(manifest["labels"]) < limits.min_labels else "",
        )
    )
    verdicts += _counts(manifest, limits)
    for feature, text in anomalies:
        schema = Rule(gate="balance", metric=f"number of schema anomalies of feature {feature!r}", maximum=0)
        verdicts.append(judge(schema, 1, detail=text))
    return verdicts


def _files(manifest: Mapping[str, Any], limits: Limits) -> Iterable[Verdict]:
    bad = manifest["quarantined"]
    total = sum(manifest["counts"].values()) + len(bad)
    if total == 0:
        rule = Rule(gate="balance", metric="number of images", minimum=1, advice="Check data.root")
        yield judge(rule, 0)
        return
    if limits.max_bad_fraction is not None:
        rule = Rule(
            gate="balance",
            metric="share of quarantined files",
            maximum=limits.max_bad_fraction,
            advice="Repair or remove them, or raise data.max_bad_fraction",
        )
        named = f"{len(bad)} of {total} files, {some(q['path'] + ' (' + q['reason'] + ')' for q in bad)}" if bad else ""
        yield judge(rule, len(bad) / total, detail=named)
    conflicts = manifest["conflicts"]
    rule = Rule(
        gate="balance",
        metric="number of equal files under different labels",
        maximum=0,
        advice="Keep the file under the label that is right",
    )
    yield judge(rule, len(conflicts), detail=some(f"{' = '.join(c['paths'])}" for c in conflicts))
    if not limits.allow_duplicates_across_splits:
        leaks = manifest["leaks"]
        rule = Rule(
            gate="balance",
            metric="number of equal files in different splits",
            maximum=0,
            advice="Keep one of them, or set balance.allow_duplicates_across_splits",
        )
        yield judge(rule, len(leaks), detail=some(f"{' = '.join(c['paths'])}" for c in leaks))


def _counts(manifest: Mapping[str, Any], limits: Limits) -> Iterable[Verdict]:
    counts: Mapping[str, Mapping[str, int]] = manifest["label_counts"]
    least = {"train": limits.min_examples, "eval": limits.min_eval_examples, "test": limits.min_eval_examples}
    advice = {
        "train": "Add images, drop the label, or lower balance.min_examples",
        "eval": "Add images, raise data.split.eval, or lower balance.min_eval_examples",
        "test": "Add images, raise data.split.test, or lower balance.min_eval_examples",
    }
    for split, minimum in least.items():
        if minimum is None:
            continue
        for label, by_split in counts.items():
            rule = Rule(
                gate="balance",
                metric=f"number of examples in {split}",
                label=label,
                minimum=minimum,
                advice=advice[split],
            )
            yield judge(rule, by_split[split])
    train = {label: by_split["train"] for label, by_split in counts.items()}
    if limits.max_ratio is not None and train and max(train.values()) > 0:
        most, fewest = max(train, key=train.__getitem__), min(train, key=train.__getitem__)
        rule = Rule(
            gate="balance",
            metric="ratio of the most to the least frequent label in train",
            maximum=limits.max_ratio,
            advice="Add images of the rare label, or raise balance.max_ratio",
        )
        ratio = train[most] / train[fewest] if train[fewest] else float("inf")
        yield judge(rule, ratio, detail=f"{most!r} has {number(train[most])}, {fewest!r} has {number(train[fewest])}")


def weights(
    manifest: Mapping[str, Any],
    configured: str | Mapping[str, float] = "median_frequency",
    *,
    count_ignored: bool = False,
) -> dict[str, float]:
    """Weight of every label in the loss; by median frequency, it is that over the train split.

    Args:
        manifest: see `shards.merge`.
        configured: see `labels.weights.stated`.
        count_ignored: masks only, see `labels.weights.pixel_counts`.
    """
    labels = manifest["labels"]
    told = stated(configured, labels)
    if told is not None:
        return dict(zip(labels, told, strict=True))
    if manifest["pixels"]:
        cells = manifest["pixels"].get("train", [[0, 0, 0]] * (len(labels) + 1))
        cells = cells if count_ignored else cells[:-1]
        own, total = [c[0] for c in cells], [c[2 if count_ignored else 1] for c in cells]
    else:
        own = [manifest["label_counts"][label]["train"] for label in labels]
        total = [manifest["counts"]["train"] - manifest["unknown"][label]["train"] for label in labels]
    return dict(zip(labels, label_weights(own, total, len(labels)).tolist(), strict=True))


def unknown(manifest: Mapping[str, Any]) -> dict[str, float]:
    """Shares that take part in nothing: of the `images`, and of the `labels` of all images or of the `pixels`."""
    images = sum(manifest["counts"].values())
    shares = {"images": _share(sum(manifest["unlabelled"].values()), images)}
    if manifest["pixels"]:
        cells = [[cell[0] for cell in by_label] for by_label in manifest["pixels"].values()]
        return shares | {"pixels": _share(sum(own[-1] for own in cells), sum(map(sum, cells)))}
    said = sum(sum(by_split.values()) for by_split in manifest["unknown"].values())
    return shares | {"labels": _share(said, images * len(manifest["labels"]))}


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def warnings(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """A sentence on the labels that nothing can be learnt of, if there are any; see `label_counts` of the manifest."""
    absent = [repr(label) for label, by_split in counts.items() if not by_split["train"]]
    return [f"without any example in train, not learnt: {some(absent)}"] if absent else []


def some(items: Iterable[str]) -> str:
    """The first few of a list of names, made safe for a terminal, and how many more there are."""
    listed = list(map(shown, items))
    more = len(listed) - _NAMED
    return ", ".join(listed[:_NAMED]) + (f", and {more} more" if more > 0 else "")


def empty_splits(manifest: Mapping[str, Any]) -> list[Verdict]:
    """A verdict per split: none may be without any image, whatever the limits are."""
    return [
        judge(
            Rule(
                gate="balance",
                metric=f"number of images in {split}",
                minimum=1,
                advice=f"Add images or raise data.split.{split}",
            ),
            n,
        )
        for split, n in manifest["counts"].items()
    ]
