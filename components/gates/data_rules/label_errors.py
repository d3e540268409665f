"""Rule on labels of train that the other images contradict; needs the features of a pretrained backbone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import scipy  # which loads a part when it is used
from numpy.typing import NDArray

from components.base.text import number, percent, truncated_list
from components.base.verdict import Verdict
from components.data import perceptual
from components.data.dataset import SPLITS
from components.gates import intervals
from components.gates.data_rules import kept
from components.gates.data_rules.base import Finding, GateInput, bound
from components.gates.judge import judge
from components.gates.settings import DataGateLimits
from components.ingest.counts import census
from components.model import label_errors
from components.model.features import neighbours
from components.model.label_errors import Suspects

# Fewer images of train say little about a label, and a recall below this little about the errors that are not found.
# Chosen by hand; not measured.
_IMAGES, _RECALL = 100, 0.1
_NEAR = 0.9  # cosine of the features of images that must not be in two folds; chosen by hand; not measured
_PARTNERS = 3
KIND = "suspected label error"
# Of what is listed, 80 to 97 % was wrong (docs/data-gate.md): so no finding of this kind is more certain.
_PRECISION = 0.8
_ADVICE = (
    "Correct the labels, or list the images in data.exclude (`imagegate check CONFIG -o issues.csv` writes the list), "
    "or raise balance.max_label_errors"
)


def wrong_labels(data: GateInput, limits: DataGateLimits) -> Iterable[Verdict]:
    """Bounds the share of wrong labels in train from below.

    Those that are certain are counted; what share of all errors that is was learnt from labels changed for the purpose.
    """
    if limits.max_label_errors is None or (searched := _searched(data, limits)) is None:
        return
    indices, found = searched
    sure, stated = label_errors.certain(found), int(np.isfinite(found.stated).sum())
    listed = _listed(data, indices, found)
    left = set(kept.undecided((finding for _, finding in listed), limits))
    sure[[i for i, finding in listed if finding not in left]] = False
    if not stated or not _tells(found):
        return  # see `notes`
    count = int(sure.sum())
    rule = bound(metric="share of wrong labels in train", maximum=limits.max_label_errors, advice=_ADVICE)
    z = intervals.two_sided(intervals.SHOWN)
    low, high = intervals.wilson(count / stated, stated, z)
    least, most = intervals.wilson(found.recall, found.planted, z)
    places = sorted(zip(*np.nonzero(sure), strict=True), key=lambda place: found.stated[place])
    paths = data.images.paths(int(indices[i]) for i, _ in places)
    texts = (f"{path} ({_said(data, found, i, k)})" for path, (i, k) in zip(paths, places, strict=True))
    detail = f"{number(count)} of {number(stated)} labels look wrong, and about {percent(found.recall)} of "
    detail += f"wrong labels do: {truncated_list(texts)}"
    yield judge(
        rule,
        min(1.0, count / stated / found.recall),
        interval=(low / most, min(1.0, high / max(least, 1e-9))),
        # If the share were that of the limit, and as many errors as possible were found.
        chance=float(scipy.special.bdtrc(count - 1, stated, limits.max_label_errors * most)) if count else 1.0,
        detail=detail if count else "",
    )


def findings(data: GateInput, limits: DataGateLimits) -> Iterator[Finding]:
    """Yields the images of train with a label that all others contradict, the most certain first."""
    if (searched := _searched(data, limits)) is None or not _tells(searched[1]):
        return
    yield from kept.undecided((finding for _, finding in _listed(data, *searched)), limits)


def notes(data: GateInput, limits: DataGateLimits) -> list[str]:
    """Says why `balance.max_label_errors` was not judged, if it was not."""
    if limits.max_label_errors is None:
        return []
    if data.features is None:
        why = "it needs a pretrained training.backbone, and one or several labels for each image"
    elif (searched := _searched(data, limits)) is None:
        why = f"it needs two labels and {_IMAGES} images in train"
    elif not _tells(searched[1]):
        why = "with these features, too few labels that were changed on purpose were found"
    else:
        return []
    return [f"balance.max_label_errors was not judged: {why}"]


def _tells(found: Suspects) -> bool:
    """Whether enough of the labels that were changed on purpose were found."""
    return found.planted > 0 and found.recall >= _RECALL


def _listed(data: GateInput, indices: NDArray[np.int64], found: Suspects) -> list[tuple[int, Finding]]:
    """The images of train with such a label, by their numbers in train."""
    wrong: dict[int, list[tuple[float, str]]] = {}
    for i, k in zip(*np.nonzero(label_errors.certain(found)), strict=True):
        wrong.setdefault(int(i), []).append((float(found.stated[i, k]), _said(data, found, int(i), int(k))))
    ranked = sorted(wrong, key=lambda i: min(wrong[i]))
    listed = []
    for i, path in zip(ranked, data.images.paths(int(indices[i]) for i in ranked), strict=True):
        said = sorted(wrong[i])
        reason = f"suspected label error: {'; '.join(text for _, text in said)}"
        listed.append((i, Finding(path, reason, KIND, _PRECISION * (1 - said[0][0]))))
    return listed


def _searched(data: GateInput, limits: DataGateLimits) -> tuple[NDArray[np.int64], Suspects] | None:
    """The images of train, and what is said of their labels; None without features, or if there are too few images."""
    features = data.features
    train = np.flatnonzero(data.images.rows["split"] == SPLITS.index("train"))
    if features is None or len(train) < _IMAGES or len(data.manifest.labels) < 1 + limits.contradictions:
        return None
    # One label for each image: nearly equal images with different labels are then a contradiction.
    exclusive = limits.contradictions

    def search() -> Suspects:
        rows = neighbours.compact(features.rows[train])
        target = _targets(data)[train]
        return label_errors.search(rows, target, _together(data, train, rows), exclusive=exclusive)

    return train, features.once("label errors", search)


def _targets(data: GateInput) -> NDArray[np.float32]:
    """Targets [n, K] of all images: 1 the label applies, 0 it does not, -1 unknown."""
    labels = data.manifest.labels
    place = {name: k for k, name in enumerate(labels)}
    hashes, rows = [], []
    for _, names, unknown, _ in data.manifest.label_sets:
        row = np.zeros(len(labels), np.float32)
        row[[place[name] for name in unknown]] = -1
        row[[place[name] for name in names]] = 1
        hashes.append(census.truth(names, unknown))
        rows.append(row)
    known, first = np.unique(np.array(hashes, np.uint64), return_index=True)
    return np.stack(rows)[first][known.searchsorted(data.images.rows["truth"])]


def _together(data: GateInput, train: NDArray[np.int64], rows: NDArray[np.float32]) -> NDArray[np.int64]:
    """Numbers [n] that are equal for images that are nearly equal, by their hashes or their features."""
    own = data.images.rows[train]
    pairs = neighbours.similar(rows, [np.arange(len(rows))], _NEAR, _PARTNERS)
    sets = perceptual.joined(np.arange(len(rows)), pairs[:, 0], pairs[:, 1])
    places = np.flatnonzero(own["comparable"])
    if len(places):
        near = perceptual.connected(own["perceptual"][places], perceptual.DEFAULT_DISTANCE)
        first = np.unique(near, return_index=True, return_inverse=True)
        sets = perceptual.joined(sets, places, places[first[1][first[2]]])
    return sets


def _said(data: GateInput, found: Suspects, i: int, k: int) -> str:
    """What speaks against the label k of the image i of train."""
    labels, p = data.manifest.labels, found.probability[i]
    if found.exclusive:
        other = int(np.argmax(np.where(np.arange(len(p)) == k, -1, p)))
        return f"labelled {labels[k]!r}, looks like {labels[other]!r}, probability {p[other]:.2f}"
    applies = p[k] == found.stated[i, k]
    return (
        f"{'' if applies else 'not '}labelled {labels[k]!r}, probability of the opposite {1 - found.stated[i, k]:.2f}"
    )
