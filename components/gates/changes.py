"""The data gate's second half: this run's data against the data behind the model that is now served.

`remember` is what a pushed model's manifest keeps of its data, `recall` reads it back, `check` compares.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.base.artifact_files import KNOWN_IMAGES, PUSHED_MANIFEST
from components.base.errors import ImagegateError
from components.base.text import number, truncated_list
from components.base.verdict import Verdict
from components.data import properties
from components.data.manifest import DatasetManifest, KnownData, LabelCounts
from components.gates import drift
from components.gates.judge import Rule, judge
from components.gates.settings import Balance
from components.ingest import census
from components.ingest.census import Images
from components.push import versions
from components.push.versions import Served

# 16 bytes an image. sha256: its first 64 bits; truth: see `census.truth`.
_KNOWN = np.dtype([("sha256", "<u8"), ("truth", "<u8")])


@dataclass(frozen=True)
class Reference:
    """The data behind a served model: their counts, and for each image a digest of its labels."""

    version: str
    data: KnownData
    known: NDArray[np.void]


def remember(manifest: DatasetManifest, images: Images) -> tuple[KnownData, bytes]:
    """What the manifest of a pushed model says under "data", and the content of the file `KNOWN_IMAGES` beside it."""
    known = np.empty(len(images.rows), _KNOWN)
    known["sha256"], known["truth"] = images.rows["sha256"][:, 0], images.rows["truth"]
    out = io.BytesIO()
    np.save(out, np.unique(known), allow_pickle=False)
    kept = KnownData(
        counts=manifest.counts,
        label_counts=manifest.label_counts,
        unknown=manifest.unknown,
        pixels=manifest.pixels,
        label_sets=[] if manifest.pixels else manifest.label_sets,  # where there are masks, these are compared
        properties=manifest.properties["train"],
    )
    return kept, out.getvalue()


def recall(served: Served | None, task: str) -> Reference | None:
    """What the served model's data were, or None where there is nothing to compare: no model, or one of another task.

    Raises:
        ImagegateError: what the model keeps of its data is missing, changed or not of this release.
    """
    if served is None or served.manifest.task != task:
        return None
    try:
        known = np.load(io.BytesIO(versions.content(served, KNOWN_IMAGES)), allow_pickle=False)
        if known.dtype != _KNOWN:
            raise ImagegateError(f"{served.path}/{KNOWN_IMAGES} holds rows of {known.dtype}, expected {_KNOWN}")
        kept = served.manifest.data
        if kept is None:
            raise ImagegateError(f"its {PUSHED_MANIFEST} does not describe its data")
    except ImagegateError as error:
        raise ImagegateError(
            f"version {served.version} is served, but these data cannot be compared with its data: {error}. Bring an "
            f"older version back (imagegate rollback CONFIG), or remove {served.path}"
        ) from None
    return Reference(served.version, kept, known)


def check(manifest: DatasetManifest, images: Images, reference: Reference, limits: Balance) -> list[Verdict]:
    """Judges what has changed; see `balance.check`."""
    verdicts = [*_labels(manifest, reference, limits)]
    common = [label for label in manifest.labels if label in reference.data.labels]
    if limits.max_drift is not None:
        verdicts += _shares(manifest, reference, common, limits.max_drift)
    if limits.max_property_drift is not None:
        verdicts += _looks(manifest, reference, common, limits.max_property_drift)
    if limits.max_relabelled is not None:
        verdicts += _relabelled(manifest, images, reference, common, limits.max_relabelled)
    return verdicts


def _labels(manifest: DatasetManifest, reference: Reference, limits: Balance) -> Iterable[Verdict]:
    def there(data: DatasetManifest | KnownData) -> list[str]:
        return [label for label in data.labels if any(data.label_counts[label].values())]

    model = f"version {reference.version} of the model"
    vanished = [label for label in there(reference.data) if label not in there(manifest)]
    new = [label for label in there(manifest) if label not in reference.data.labels]
    if not limits.allow_vanished_labels:
        rule = Rule(
            gate="data_gate",
            metric="number of vanished labels",
            label=vanished[0] if len(vanished) == 1 else None,
            maximum=0,
            advice="Bring their images back, or set balance.allow_vanished_labels",
        )
        yield judge(rule, len(vanished), detail=_named(vanished, f"{model} was trained on, and no image has now"))
    if not limits.allow_new_labels:
        rule = Rule(
            gate="data_gate",
            metric="number of new labels",
            label=new[0] if len(new) == 1 else None,
            maximum=0,
            advice="If they are meant, set balance.allow_new_labels",
        )
        yield judge(rule, len(new), detail=_named(new, f"{model} does not know"))


def _named(labels: Sequence[str], what: str) -> str:
    return f"{truncated_list(map(repr, labels))}, which {what}" if labels else ""


def _shares(manifest: DatasetManifest, reference: Reference, common: Sequence[str], limit: float) -> Iterable[Verdict]:
    """Label shares in train: of all labels together, and of each among the images of which it is known.

    What has vanished or is new has rules of its own, and its absence would be told as a drift of all others.
    """
    now, then = _amounts(manifest, common), _amounts(reference.data, common)
    advice = "If the change is meant, raise balance.max_drift"
    most = sorted(common, key=lambda n: -abs(now[n] / (sum(now.values()) or 1) - then[n] / (sum(then.values()) or 1)))
    rule = Rule(
        gate="data_gate",
        metric=f"Jensen-Shannon distance of label shares in train from those of version {reference.version}",
        maximum=limit,
        advice=advice,
    )
    p, q = list(now.values()), list(then.values())
    told = truncated_list(f"{n!r} {_percent(then[n], sum(q))} -> {_percent(now[n], sum(p))}" for n in most)
    yield judge(rule, drift.jensen_shannon(p, q), chance=_chance(manifest, reference, p, q), detail=told)
    worst: list[tuple[float, Verdict]] = []
    for label in common:
        (k, n), (j, m) = _known(manifest, label), _known(reference.data, label)
        rule = Rule(
            gate="data_gate",
            metric=f"Jensen-Shannon distance of the share in train from that of version {reference.version}",
            label=label,
            maximum=limit,
            advice=advice,
        )
        distance = drift.jensen_shannon([k, n - k], [j, m - j])
        chance = len(common) * drift.proportion_change(k, n, j, m) if distance > limit else 1.0
        told = f"{_percent(j, m)} of {number(m)} images -> {_percent(k, n)} of {number(n)}"
        worst.append((distance, judge(rule, distance, chance=chance, detail=told)))
    yield from _largest(worst)


def _chance(manifest: DatasetManifest, reference: Reference, p: Sequence[float], q: Sequence[float]) -> float:
    """p-value; pixels of one image are not independent, so each image counts once."""
    if not manifest.pixels:
        return drift.homogeneity(p, q)
    scaled = [
        np.asarray(amounts) / max(1.0, sum(amounts)) * data.counts["train"]
        for amounts, data in ((p, manifest), (q, reference.data))
    ]
    return drift.homogeneity(*scaled)


def _amounts(data: DatasetManifest | KnownData, labels: Sequence[str]) -> dict[str, int]:
    """Pixels of each label in train, or images it applies to."""
    if data.pixels:
        cells = data.pixels.get("train", ((0, 0, 0),) * (len(data.labels) + 1))
        own = {label: cell[0] for label, cell in zip(data.labels, cells, strict=False)}
    else:
        own = {label: by_split["train"] for label, by_split in data.label_counts.items()}
    return {label: own[label] for label in labels}


def _known(data: LabelCounts, label: str) -> tuple[int, int]:
    """Images of train to which the label applies; of which it is known whether it does."""
    unknown = data.unknown[label]["train"]
    return data.label_counts[label]["train"], data.counts["train"] - unknown


def _looks(manifest: DatasetManifest, reference: Reference, common: Sequence[str], limit: float) -> Iterable[Verdict]:
    """Image properties in train, of all images and of each label's."""
    now, then = manifest.properties["train"], reference.data.properties
    pairs: list[tuple[str | None, Any, Any]] = [(None, now.all, then.all)]
    pairs += [(name, now.labels.get(name, {}), then.labels.get(name, {})) for name in common]
    tests = len(pairs) * len(properties.NAMES)
    for i, name in enumerate(properties.NAMES):
        verdicts = []
        for label, after, before in pairs:
            rule = Rule(
                gate="data_gate",
                metric=f"Kolmogorov-Smirnov distance of {properties.WORDS[name]} in train from that of version "
                f"{reference.version}",
                label=label,
                maximum=limit,
                advice="Look at the new images; if the change is meant, raise balance.max_property_drift",
            )
            verdicts.append(_moved(rule, name, census.dense(before)[i], census.dense(after)[i], tests))
        yield from _largest(verdicts)


def _moved(
    rule: Rule, name: str, before: NDArray[np.int64], after: NDArray[np.int64], tests: int
) -> tuple[float, Verdict]:
    """How far a property's histogram has moved, and what the rule says to that."""
    distance = drift.kolmogorov_smirnov(before, after)
    beyond = rule.maximum is not None and distance > rule.maximum
    chance = tests * drift.kolmogorov_smirnov_p(before, after) if beyond else 1.0
    told = ""
    if before.sum() and after.sum():
        told = " -> ".join(
            f"median {properties.text(name, properties.median(name, h))} of {number(h.sum())} images"
            for h in (before, after)
        )
    return distance, judge(rule, distance, chance=chance, detail=told)


def splits(manifest: DatasetManifest, limit: float) -> Iterable[Verdict]:
    """Image properties of eval and of test against those of train."""
    tests = 2 * len(properties.NAMES)
    for other in ("eval", "test"):
        for i, name in enumerate(properties.NAMES):
            rule = Rule(
                gate="data_gate",
                metric=f"Kolmogorov-Smirnov distance of {properties.WORDS[name]} in {other} from that in train",
                maximum=limit,
                advice="Mix the splits anew, or raise balance.max_split_drift",
            )
            before, after = (census.dense(manifest.properties[split].all)[i] for split in ("train", other))
            yield _moved(rule, name, before, after, tests)[1]


def _largest(verdicts: Sequence[tuple[float, Verdict]]) -> list[Verdict]:
    """Those that refuse, or else the one of the largest distance: labels times properties would be a long list."""
    failed = [verdict for _, verdict in verdicts if not verdict.passed]
    return failed or [verdict for _, verdict in sorted(verdicts, key=lambda pair: -pair[0])[:1]]


def _relabelled(
    manifest: DatasetManifest, images: Images, reference: Reference, common: Sequence[str], limit: float
) -> Iterable[Verdict]:
    """What is said of images that the served model was trained on, too: equal files, so no chance is in it."""
    # A served model was trained on at least one image.
    known, rows = reference.known, images.rows
    at = np.minimum(np.searchsorted(known["sha256"], rows["sha256"][:, 0]), len(known) - 1)
    shared = np.flatnonzero(known["sha256"][at] == rows["sha256"][:, 0])
    before, after = known["truth"][at[shared]], rows["truth"][shared]
    advice = "If the new labels are right, raise balance.max_relabelled"
    if manifest.pixels:
        rule = Rule(
            gate="data_gate",
            metric=f"share of images whose mask is not that of version {reference.version}",
            maximum=limit,
            advice=advice,
        )
        changed = shared[before != after]
        if len(shared):
            yield judge(rule, _two(len(changed)) / len(shared), detail=_files(images, changed, len(shared)))
        return
    sets_then, sets_now = _label_sets(reference.data), _label_sets(manifest)
    verdicts = []
    for label in common:
        was, now = _states(before, sets_then, label), _states(after, sets_now, label)
        carriers = int(max((was == 1).sum(), (now == 1).sum()))
        changed = shared[(was != now) & (was >= 0) & (now >= 0)]
        if not carriers:
            continue
        rule = Rule(
            gate="data_gate",
            metric=f"share of images relabelled since version {reference.version}",
            label=label,
            maximum=limit,
            advice=advice,
        )
        value = _two(len(changed)) / carriers
        verdicts.append((value, judge(rule, value, detail=_files(images, changed, carriers))))
    yield from _largest(verdicts)


def _two(count: int) -> int:
    """One image is a correction, whatever share of a rare label it is."""
    return count if count > 1 else 0


def _label_sets(data: LabelCounts) -> dict[int, tuple[set[str], set[str]]]:
    """Truth -> (labels that apply, labels of which nobody said)."""
    return {census.truth(labels, unknown): (set(labels), set(unknown)) for _, labels, unknown, _ in data.label_sets}


def _states(truths: NDArray[np.uint64], sets: Mapping[int, tuple[set[str], set[str]]], label: str) -> NDArray[np.int64]:
    """[n]: 1 the label applies, 0 it does not, -1 nobody said."""
    distinct, index = np.unique(truths, return_inverse=True)

    def state(truth: int) -> int:
        labels, unknown = sets.get(truth, (set(), {label}))
        return -1 if label in unknown else int(label in labels)

    return np.array([state(int(t)) for t in distinct], np.int64)[index] if len(distinct) else np.empty(0, np.int64)


def _files(images: Images, changed: NDArray[np.int64], of: int) -> str:
    if not len(changed):
        return ""
    return f"{number(len(changed))} of {number(of)} images, {truncated_list(images.paths(changed.tolist()))}"


def _percent(part: float, whole: float) -> str:
    return f"{number(100 * part / whole, 3)} %" if whole and math.isfinite(whole) else "nothing"
