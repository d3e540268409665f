"""Images to look at: the model's mistakes and doubts, suspected label errors, near-duplicates; plain JSON values.

An image is an object: path, truth and predicted (label names), probability, familiarity, split, note, width and height
of the image in pixels, thumbnail (a key of `images`); with masks also truth_overlay and predicted_overlay.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from components.base.errors import ImagegateError
from components.base.text import shown
from components.data import features
from components.data.dataset import SPLITS
from components.drawing import overlay
from components.evaluation import predictions
from components.ingest import census, manifest
from components.labels.kind import LabelKind
from components.report import answers, budget, choose, pictures, suspects
from components.report.answers import Answers
from components.report.choose import Pick
from components.report.pictures import Album, Identity

_KINDS = ("mistakes", "hits", "random")
_SPLIT = "test"

Object = dict[str, Any]


def collect(examples: str, evaluation: str, model: str, kind: LabelKind, labels: Sequence[str], seed: int) -> Object:
    """What a trained model's page shows.

    Args:
        examples, evaluation, model: folders of the artifacts.
        kind: what the labels are.
        labels: in the order of the model's outputs.
        seed: of what is drawn at random.

    Returns:
        `labels` [{label, mistakes, hits, random}], without masks; `masks`, also with `why` each was chosen, and their
        `legend` [{label, colour}]; `unfamiliar`; `suspects`; `omitted`, a sentence or ""; `images` {key: data URI}.

    Raises:
        ImagegateError: the artifacts are damaged or do not belong together.
    """
    found = answers.read(evaluation, predictions.CANDIDATE, kind, labels)
    masks = kind.per_pixel
    picks = {
        "masks": choose.masks(found, labels, seed) if masks else [],
        "suspects": suspects.find(found, kind, labels),
        "unfamiliar": choose.unfamiliar(found, kind),
    }
    level = 0 if masks else budget.level(len(labels))
    by_label = [] if masks else _by_label(found, kind, labels, seed, level)
    album = Album()
    side = pictures.MASK_SIDE if masks else pictures.SIDE
    overlaid = {pick.index for pick in picks["masks"] + picks["suspects"]} if masks else set()
    wanted = {pick.index for pick in itertools.chain(*picks.values(), *(p for label in by_label for p in label))}
    drawn = _drawn(examples, model, found, wanted, overlaid, side, len(labels), album)

    def told(chosen: Sequence[Pick]) -> list[Object]:
        return [_told(found, pick, labels, drawn) for pick in chosen]

    sections = {name: told(chosen) for name, chosen in picks.items()}
    sections["unfamiliar"] = [_without_masks(one) for one in sections["unfamiliar"]]
    kept, omitted = budget.fit([[told(kind) for kind in label] for label in by_label], level, sections, album)
    return sections | {
        "labels": [
            {"label": name} | dict(zip(_KINDS, kinds, strict=True)) for name, kinds in zip(labels, kept, strict=False)
        ],
        "legend": _legend(labels) if masks else [],
        "omitted": omitted,
        "images": budget.used([*sections.values(), kept], album),
    }


def _by_label(found: Answers, kind: LabelKind, labels: Sequence[str], seed: int, level: int) -> list[list[list[Pick]]]:
    """Picks by label and kind; of too many labels those with the most mistakes have any."""
    wrong = ((found.truth >= 0) & (found.decided != (found.truth == 1))).sum(axis=0)
    kept = set(np.argsort(-wrong, kind="stable")[: budget.labels(level)].tolist())
    mistakes, hits, random = budget.LEVELS[level]
    return [
        [
            choose.mistakes(found, k, kind, mistakes),
            choose.hits(found, k, hits),
            choose.at_random(found, k, kind, seed, random),
        ]
        if k in kept
        else [[], [], []]
        for k in range(len(labels))
    ]


def _drawn(
    examples: str,
    model: str,
    found: Answers,
    wanted: Collection[int],
    overlaid: Collection[int],
    side: int,
    classes: int,
    album: Album,
) -> dict[Identity, Object]:
    """Identity -> size and picture keys of the images wanted, with masks of those `overlaid`."""
    identities = {i: (found.paths[i], found.sha256[i]) for i in wanted}
    with_masks = {identities[i] for i in overlaid}
    drawn: dict[Identity, Object] = {}
    masks = []  # (identity, encoded, small, truth)
    for identity, told, picture in pictures.reduced(examples, _SPLIT, set(identities.values()), side):
        drawn[identity] = _size_of(told) | {"thumbnail": album.add(picture)}
        if identity in with_masks:
            encoded = told[features.IMAGE].bytes_list.value[0]
            masks.append((identity, encoded, picture, pictures.stored_mask(told)))
    said = pictures.predicted_masks(model, [encoded for _, encoded, _, _ in masks])
    colours = overlay.palette(classes)
    for (identity, _, picture, truth), answer in zip(masks, said, strict=True):
        for name, ids in (("truth_overlay", truth), ("predicted_overlay", answer)):
            drawn[identity][name] = album.add(overlay.draw(picture, ids, colours))
    for path, _ in set(identities.values()) - set(drawn):
        raise ImagegateError(f"{examples}: holds no image {shown(path)}, which was evaluated; run again with --force")
    return drawn


def _without_masks(told: Object) -> Object:
    return {key: value for key, value in told.items() if not key.endswith("_overlay")}


def _told(found: Answers, pick: Pick, labels: Sequence[str], drawn: dict[Identity, Object]) -> Object:
    i = pick.index
    familiarity = float(found.familiarity[i])
    told = {
        "path": found.paths[i],
        "truth": [name for name, state in zip(labels, found.truth[i], strict=True) if state == 1],
        "predicted": [name for name, says in zip(labels, found.decided[i], strict=True) if says],
        "probability": pick.probability,
        "familiarity": familiarity if np.isfinite(familiarity) else None,
        "split": _SPLIT,
        "note": pick.note,
    }
    return told | ({"why": pick.why} if pick.why else {}) | drawn[found.paths[i], found.sha256[i]]


def _legend(labels: Sequence[str]) -> list[Object]:
    colours = overlay.palette(len(labels))
    return [{"label": name, "colour": f"#{bytes(c).hex()}"} for name, c in zip(labels, colours, strict=True)]


def _size_of(told: Any) -> dict[str, int]:
    return {"width": told[features.WIDTH].int64_list.value[0], "height": told[features.HEIGHT].int64_list.value[0]}


def duplicates(examples: str, distance: int | None, contradictions: bool) -> tuple[list[Object], dict[str, str]]:
    """Equal and nearly equal images that lie in different splits or under different labels.

    Args:
        examples: folder of the artifact; nothing else is needed.
        distance: bits of the perceptual hashes that may differ, None: equal files only.
        contradictions: whether nearly equal images under different labels count.

    Returns:
        [{first, second, bits (None: equal files), what: "different labels" or "different splits"}], the most similar
        ones first, both kinds in turn; the pictures {key: data URI}.
    """
    found = census.Images.read(examples)
    pairs = choose.pairs(found.rows, distance, contradictions)
    indices = sorted({i for pair, _ in pairs for i in (pair.first, pair.second)})
    paths = dict(zip(indices, found.paths(indices), strict=True))
    album, labels = Album(), list(manifest.read(examples).labels)
    told: dict[int, Object] = {}
    for number, split in enumerate(SPLITS):
        wanted = {
            (_written(paths[i]), found.rows["sha256"][i].tobytes().hex()): i
            for i in indices
            if found.rows["split"][i] == number
        }
        for identity, record, picture in pictures.reduced(examples, split, wanted):
            told[wanted[identity]] = _unanswered(identity[0], split, record, labels, album.add(picture))
    for i in set(indices) - set(told):
        raise ImagegateError(f"{examples}: holds no image {shown(paths[i])}; run again with --force")
    return [
        {"first": told[pair.first], "second": told[pair.second], "bits": pair.bits, "what": what}
        for pair, what in pairs
    ], album.images


def _written(path: str) -> str:
    """A path as in the predictions, whose text is UTF-8."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _unanswered(path: str, split: str, told: Any, labels: Sequence[str], thumbnail: str) -> Object:
    """An image as no model has seen it."""
    if features.PIXELS in told:
        truth = [name for name, n in zip(labels, told[features.PIXELS].int64_list.value, strict=True) if n]
    else:
        truth = [name.decode() for name in told[features.LABEL].bytes_list.value]
    nothing: Object = {"predicted": [], "probability": None, "familiarity": None, "note": ""}
    return {"path": path, "truth": truth, "split": split, **nothing, **_size_of(told), "thumbnail": thumbnail}
