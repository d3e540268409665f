"""The data gate: what a data set must satisfy before anything is trained on it. `changes` is its half that compares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from components.base.text import number, truncated_list
from components.base.verdict import Verdict
from components.data import duplicates
from components.data.dataset import SPLITS
from components.data.manifest import DatasetManifest
from components.gates import changes, drift
from components.gates.judge import Rule, judge
from components.gates.settings import DataGateLimits
from components.ingest.census import Images
from components.labels.weights import label_weights, stated


def check(
    manifest: DatasetManifest,
    images: Images,
    limits: DataGateLimits,
    reference: changes.Reference | None = None,
    anomalies: Sequence[tuple[str, str]] = (),
) -> list[Verdict]:
    """Judges a data set.

    Args:
        manifest, images: what `census.merge` counted.
        limits: the bounds.
        reference: the data behind the model that is now served, if there is one to compare with.
        anomalies: (feature, text) that was found against the schema.

    Returns:
        a verdict per rule, label and split; the data set is fit if all passed.
    """
    verdicts = list(_files(manifest, limits))
    verdicts += _duplicates(images, limits)
    verdicts.append(
        judge(
            Rule(
                gate="data_gate",
                metric="number of labels",
                minimum=limits.min_labels,
                advice="A choice needs two; add images of another label",
            ),
            len(manifest.labels),
            detail=truncated_list(map(repr, manifest.labels)) if len(manifest.labels) < limits.min_labels else "",
        )
    )
    verdicts += _counts(manifest, limits)
    if manifest.pixels:
        verdicts += _mask_shares(manifest, limits)
    if limits.max_cooccurrence is not None:
        verdicts += _cooccurrence(manifest, limits.max_cooccurrence)
    if limits.max_split_drift is not None:
        verdicts += changes.splits(manifest, limits.max_split_drift)
    if reference is not None:
        verdicts += changes.check(manifest, images, reference, limits)
    for feature, text in anomalies:
        schema = Rule(gate="data_gate", metric=f"number of schema anomalies of feature {feature!r}", maximum=0)
        verdicts.append(judge(schema, 1, detail=text))
    return verdicts


def _files(manifest: DatasetManifest, limits: DataGateLimits) -> Iterable[Verdict]:
    bad, kept = manifest.quarantined, sum(manifest.counts.values())
    total = kept + len(bad)
    if total == 0:
        rule = Rule(gate="data_gate", metric="number of images", minimum=1, advice="Check data.root")
        yield judge(rule, 0)
        return
    if limits.max_bad_fraction is not None:
        rule = Rule(
            gate="data_gate",
            metric="share of quarantined files",
            maximum=limits.max_bad_fraction,
            advice="Repair or remove them, or raise data.max_bad_fraction",
        )
        named = (
            f"{len(bad)} of {total} files, {truncated_list(q.path + ' (' + q.reason + ')' for q in bad)}" if bad else ""
        )
        yield judge(rule, len(bad) / total, detail=named)
    unclear = manifest.contradictory
    rule = Rule(
        gate="data_gate",
        metric="number of files of which different things are said",
        maximum=0,
        advice="Keep the entry that is right",
    )
    yield judge(rule, len(unclear), detail=truncated_list(f"{q.path} ({q.reason})" for q in unclear))
    if limits.max_unlabelled is not None and kept:
        rule = Rule(
            gate="data_gate",
            metric="share of images of which nothing is known",
            maximum=limits.max_unlabelled,
            advice="Label them or leave them out, or raise balance.max_unlabelled",
        )
        unlabelled = sum(manifest.unlabelled.values())
        yield judge(rule, unlabelled / kept, detail=f"{number(unlabelled)} of {number(kept)} images")


def _duplicates(images: Images, limits: DataGateLimits) -> Iterable[Verdict]:
    conflicts, leaks = duplicates.equal_files(images.rows)
    one_of_them = "Keep the file under the label that is right"
    yield _pairs(images, conflicts, "equal files under different labels", one_of_them)
    distance = limits.near_duplicate_distance
    near = "Keep one of them, or lower balance.near_duplicate_distance"
    if distance is not None and limits.contradictions:
        found = duplicates.nearly_equal_images(images.rows, "truth", distance)
        yield _pairs(images, found, "nearly equal images under different labels", near)
    if not limits.allow_duplicates_across_splits:
        either = "or set balance.allow_duplicates_across_splits"
        yield _pairs(images, leaks, "equal files in different splits", f"Keep one of them, {either}")
        if distance is not None:
            yield from _near_leaks(
                images, duplicates.nearly_equal_images(images.rows, "split", distance), limits, f"{near}, {either}"
            )


def _near_leaks(
    images: Images, pairs: Sequence[duplicates.Pair], limits: DataGateLimits, advice: str
) -> Iterable[Verdict]:
    """Of splits that people made, no pair is let pass; the hash of a file's content cannot know, so a few are."""
    rows = images.rows
    named = [pair for pair in pairs if rows["named"][[pair.first, pair.second]].any()]
    yield _pairs(images, named, "nearly equal images in different splits, as the data set names them", advice)
    judged = int((rows["split"] != SPLITS.index("train")).sum())
    if limits.max_near_duplicates is not None and judged:
        by_hash = [pair for pair in pairs if pair not in named]
        leaked = {i for pair in by_hash for i in (pair.first, pair.second) if SPLITS[rows["split"][i]] != "train"}
        rule = Rule(
            gate="data_gate",
            metric="share of eval and test that is nearly equal to an image of another split",
            maximum=limits.max_near_duplicates,
            advice=f"{advice}, or raise balance.max_near_duplicates",
        )
        yield judge(rule, len(leaked) / judged, detail=_told(images, by_hash))


def _pairs(images: Images, pairs: Sequence[duplicates.Pair], what: str, advice: str) -> Verdict:
    rule = Rule(gate="data_gate", metric=f"number of {what}", maximum=0, advice=advice)
    return judge(rule, len(pairs), detail=_told(images, pairs))


def _told(images: Images, pairs: Sequence[duplicates.Pair]) -> str:
    """Pairs by the names of their files."""
    paths = images.paths(i for pair in pairs for i in (pair.first, pair.second))
    told = []
    for pair, *both in zip(pairs, paths[::2], paths[1::2], strict=True):
        one, other = sorted(both)
        told.append(f"{one} = {other}" if pair.bits is None else f"{one} ~ {other} ({pair.bits} of 256 bits differ)")
    return truncated_list(told)


def _counts(manifest: DatasetManifest, limits: DataGateLimits) -> Iterable[Verdict]:
    counts: Mapping[str, Mapping[str, int]] = manifest.label_counts
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
                gate="data_gate",
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
            gate="data_gate",
            metric="ratio of the most to the least frequent label in train",
            maximum=limits.max_ratio,
            advice="Add images of the rare label, or raise balance.max_ratio",
        )
        ratio = train[most] / train[fewest] if train[fewest] else float("inf")
        yield judge(rule, ratio, detail=f"{most!r} has {number(train[most])}, {fewest!r} has {number(train[fewest])}")


def _mask_shares(manifest: DatasetManifest, limits: DataGateLimits) -> Iterable[Verdict]:
    cells = manifest.pixels.get("train", ((0, 0, 0),) * (len(manifest.labels) + 1))
    known = sum(cell[0] for cell in cells[:-1])
    images = manifest.counts["train"]
    for label, cell in zip(manifest.labels, cells[:-1], strict=True):
        n = manifest.label_counts[label]["train"]
        for key, minimum, what, part, whole in (
            ("min_pixel_share", limits.min_pixel_share, "share of the known pixels of train", cell[0], known),
            ("min_image_share", limits.min_image_share, "share of the images of train", n, images),
        ):
            if minimum is not None:
                rule = Rule(
                    gate="data_gate",
                    metric=what,
                    label=label,
                    minimum=minimum,
                    advice=f"Add images of it, drop the label, or lower balance.{key}",
                )
                yield judge(rule, _share(part, whole), detail=f"{number(part)} of {number(whole)}")


def _cooccurrence(manifest: DatasetManifest, limit: float) -> Iterable[Verdict]:
    """Two labels that always come together, or always exclude each other, say the same thing twice."""
    labels = manifest.labels
    together, first, second, total = _pair_counts(manifest)
    i, j = np.triu_indices(len(labels), 1)
    if not len(i):
        return
    phi, given_second, given_first = drift.association(together[i, j], first[i, j], second[i, j], total[i, j])
    order = np.argsort(-np.abs(phi), kind="stable")
    beyond = [n for n in order if abs(phi[n]) > limit]
    verdicts = []
    for n in beyond or order[:1]:
        a, b = labels[i[n]], labels[j[n]]
        counts = [int(table[i[n], j[n]]) for table in (together, first, second, total)]
        rule = Rule(
            gate="data_gate",
            metric=f"{'co-occurrence' if phi[n] >= 0 else 'mutual exclusion'} (phi) of labels {a!r} and {b!r} in train",
            maximum=limit,
            advice="Merge or drop one of them, add images of one without the other, or raise balance.max_cooccurrence",
        )
        both, has_a, has_b, known = map(number, counts)
        told = (
            f"{both} of {known} images have both, {has_a} have {a!r}, {has_b} have {b!r}; of those with {b!r} "
            f"{number(100 * given_second[n])} % have {a!r}, of those with {a!r} {number(100 * given_first[n])} % {b!r}"
        )
        chance = len(i) * drift.association_p(*counts) if abs(phi[n]) > limit else 1.0
        verdicts.append(judge(rule, abs(float(phi[n])), chance=chance, detail=told))
    yield from [v for v in verdicts if not v.passed] or verdicts[:1]


def _pair_counts(manifest: DatasetManifest) -> tuple[NDArray[np.int64], ...]:
    """[K, K] each, of the images of train of which both labels are known: with both, with the row's, with the
    column's, all. Sums of whole numbers below 2^53, so the floating-point products are exact."""
    labels = manifest.labels
    index = {label: i for i, label in enumerate(labels)}
    sets = [row[1:] for row in manifest.label_sets if row[0] == "train"]
    together, first, total = (np.zeros((len(labels), len(labels))) for _ in range(3))
    for start in range(0, len(sets), 4096):
        part = sets[start : start + 4096]
        applies, known = np.zeros((len(part), len(labels))), np.ones((len(part), len(labels)))
        for row, (names, unknown, _) in enumerate(part):
            applies[row, [index[name] for name in names]] = 1
            known[row, [index[name] for name in unknown]] = 0
        times = np.array([n for _, _, n in part], np.float64)[:, None]
        together += applies.T @ (applies * times)
        first += (applies * times).T @ known
        total += known.T @ (known * times)
    return together.astype(np.int64), first.astype(np.int64), first.T.astype(np.int64), total.astype(np.int64)


def weights(
    manifest: DatasetManifest,
    configured: str | Mapping[str, float] = "median_frequency",
    *,
    count_ignored: bool = False,
) -> dict[str, float]:
    """Weight of every label in the loss; by median frequency, it is that over the train split.

    Args:
        manifest: of the data set.
        configured: see `labels.weights.stated`.
        count_ignored: masks only, see `labels.weights.pixel_counts`.
    """
    labels = manifest.labels
    told = stated(configured, labels)
    if told is not None:
        return dict(zip(labels, told, strict=True))
    if manifest.pixels:
        cells = manifest.pixels.get("train", ((0, 0, 0),) * (len(labels) + 1))
        cells = cells if count_ignored else cells[:-1]
        own, total = [c[0] for c in cells], [c[2 if count_ignored else 1] for c in cells]
    else:
        own = [manifest.label_counts[label]["train"] for label in labels]
        total = [manifest.counts["train"] - manifest.unknown[label]["train"] for label in labels]
    return dict(zip(labels, label_weights(own, total, len(labels)).tolist(), strict=True))


def unknown(manifest: DatasetManifest) -> dict[str, float]:
    """Shares that take part in nothing: of the `images`, and of the `labels` of all images or of the `pixels`."""
    images = sum(manifest.counts.values())
    shares = {"images": _share(sum(manifest.unlabelled.values()), images)}
    if manifest.pixels:
        cells = [[cell[0] for cell in by_label] for by_label in manifest.pixels.values()]
        return shares | {"pixels": _share(sum(own[-1] for own in cells), sum(map(sum, cells)))}
    said = sum(sum(by_split.values()) for by_split in manifest.unknown.values())
    return shares | {"labels": _share(said, images * len(manifest.labels))}


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def warnings(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """A sentence on the labels that nothing can be learnt of, if there are any; see `label_counts` of the manifest."""
    absent = [repr(label) for label, by_split in counts.items() if not by_split["train"]]
    return [f"without any example in train, not learnt: {truncated_list(absent)}"] if absent else []


def empty_splits(manifest: DatasetManifest) -> list[Verdict]:
    """A verdict per split: none may be without any image, whatever the limits are."""
    return [
        judge(
            Rule(
                gate="data_gate",
                metric=f"number of images in {split}",
                minimum=1,
                advice=f"Add images or raise data.split.{split}",
            ),
            n,
        )
        for split, n in manifest.counts.items()
    ]
