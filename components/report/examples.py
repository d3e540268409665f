"""Pictures for the page: mistakes, correct predictions, unfamiliar images, suspected label errors, near-duplicates."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from components.base.errors import ImagegateError
from components.base.text import shown
from components.data import features
from components.data.dataset import SPLITS
from components.data.manifest import ArrayFacts
from components.drawing import overlay
from components.evaluation import predictions
from components.gates.compared import Regression
from components.gates.data_rules import image_pairs
from components.gates.found import WeakGroup
from components.gates.records import Found
from components.ingest import manifest
from components.ingest.counts import census
from components.labels.kind import LabelKind
from components.report import answers, budget, choose, pictures, suspects
from components.report.answers import Answers
from components.report.arrays import strips
from components.report.choose import Pick
from components.report.pictures import Album, Identity
from components.report.records import (
    FindingGroup,
    GroupExamples,
    LabelExamples,
    LegendEntry,
    ModelExamples,
    NearDuplicates,
    Pictures,
    ShownImage,
)

_SPLIT = "test"
_GROUPS = 6  # weak groups that have pictures
_OF_A_KIND = 8  # findings of a kind that are shown


def collect(
    examples: str,
    evaluation: str,
    model: str,
    kind: LabelKind,
    labels: Sequence[str],
    seed: int,
    groups: Sequence[WeakGroup] = (),
    regressed: Sequence[Regression] = (),
) -> tuple[ModelExamples, dict[str, str]]:
    """Test images with the model's predictions, and their pictures: key -> data URI.

    Args:
        examples, evaluation, model: folders of the artifacts.
        kind: of the labels.
        labels: in the order of the model's outputs.
        seed: of the random choices.
        groups: weak groups with the images to show of each.
        regressed: the images to show that the served model had right.

    Raises:
        ImagegateError: the artifacts are damaged or do not belong together.
    """
    read = answers.read(evaluation, predictions.CANDIDATE, kind, labels)
    masks = kind.per_pixel
    of_groups = {f"group {i}": choose.members(read, group.images, kind) for i, group in enumerate(groups[:_GROUPS])}
    picks = {
        "masks": choose.masks(read, labels, seed) if masks else [],
        "suspects": suspects.find(read, kind, labels),
        "unfamiliar": choose.unfamiliar(read, kind),
        "regressions": choose.regressed(read, regressed, kind),
        **of_groups,
    }
    level = 0 if masks else budget.level(len(labels))
    by_label = [] if masks else _by_label(read, kind, labels, seed, level)
    album = Album()
    overlaid = {pick.index for pick in picks["masks"] + picks["suspects"] + picks["regressions"]} if masks else set()
    wanted = {pick.index for pick in itertools.chain(*picks.values(), *itertools.chain(*by_label))}
    facts = manifest.read(examples).arrays if wanted else None
    drawn = _draw(examples, model, read, wanted, overlaid, kind, len(labels), facts, album)

    def describe(chosen: Sequence[Pick]) -> list[ShownImage]:
        return [_shown_image(read, pick, labels, drawn) for pick in chosen]

    sections = {name: describe(chosen) for name, chosen in picks.items()}
    for image in itertools.chain(sections["unfamiliar"], *(sections[key] for key in of_groups)):
        image.pop("truth_overlay", None)
        image.pop("predicted_overlay", None)
    by_group = [[describe(group) for group in of_label] for of_label in by_label]
    kept, omitted = budget.fit(by_group, level, sections, album)
    result = ModelExamples(
        labels=[
            LabelExamples(label=name, mistakes=mistakes, hits=hits, random=random)
            for name, (mistakes, hits, random) in zip(labels, kept, strict=False)
        ],
        masks=sections["masks"],
        legend=_legend(labels) if masks else [],
        unfamiliar=sections["unfamiliar"],
        suspects=sections["suspects"],
        regressions=sections["regressions"],
        groups=[
            GroupExamples(name=group.name, images=sections[key]) for key, group in zip(of_groups, groups, strict=False)
        ],
        omitted=omitted,
        strips=strips.about(facts) if facts is not None else "",
    )
    return result, budget.used(itertools.chain(*sections.values(), *itertools.chain(*kept)), album)


def _by_label(read: Answers, kind: LabelKind, labels: Sequence[str], seed: int, level: int) -> list[list[list[Pick]]]:
    """Mistakes, hits and random images of each label; of too many labels, only those with the most mistakes."""
    wrong = ((read.truth >= 0) & (read.decided != (read.truth == 1))).sum(axis=0)
    kept = set(np.argsort(-wrong, kind="stable")[: budget.labels(level)].tolist())
    mistakes, hits, random = budget.LEVELS[level]
    return [
        [
            choose.mistakes(read, k, kind, mistakes),
            choose.hits(read, k, hits),
            choose.at_random(read, k, kind, seed, random),
        ]
        if k in kept
        else [[], [], []]
        for k in range(len(labels))
    ]


def _draw(
    examples: str,
    model: str,
    read: Answers,
    wanted: Collection[int],
    overlaid: Collection[int],
    kind: LabelKind,
    classes: int,
    facts: ArrayFacts | None,
    album: Album,
) -> dict[Identity, Pictures]:
    """Adds pictures of the images `wanted` to the album, of sequences also moments, and masks of those `overlaid`."""
    identities = {i: (read.paths[i], read.sha256[i]) for i in wanted}
    with_masks = {identities[i] for i in overlaid}
    side = pictures.MASK_SIDE if kind.per_pixel else pictures.SIDE
    drawn: dict[Identity, Pictures] = {}
    masks = []  # (identity, encoded, thumbnail, truth)
    for identity, record, picture in pictures.reduced(examples, _SPLIT, set(identities.values()), side):
        drawn[identity] = _pictures(record, album.add(picture))
        encoded = record[features.IMAGE].bytes_list.value[0]
        if facts is not None and facts.frames:
            strip = strips.strip(encoded, facts)
            drawn[identity] |= {"strip": album.add(strip.picture), "days": strip.days, "moments": strip.moments}
        if identity in with_masks:
            masks.append((identity, encoded, picture, pictures.stored_mask(record)))
    predicted = pictures.predicted_masks(model, [encoded for _, encoded, _, _ in masks])
    colours = overlay.palette(classes)
    for (identity, _, picture, truth), prediction in zip(masks, predicted, strict=True):
        drawn[identity]["truth_overlay"] = album.add(overlay.draw(picture, truth, colours))
        drawn[identity]["predicted_overlay"] = album.add(overlay.draw(picture, prediction, colours))
    for path, _ in set(identities.values()) - set(drawn):
        raise ImagegateError(f"{examples}: holds no image {shown(path)}, which was evaluated; run again with --force")
    return drawn


def _shown_image(read: Answers, pick: Pick, labels: Sequence[str], drawn: Mapping[Identity, Pictures]) -> ShownImage:
    i = pick.index
    familiarity = float(read.familiarity[i])
    return ShownImage(
        **drawn[read.paths[i], read.sha256[i]],
        path=read.paths[i],
        truth=[name for name, state in zip(labels, read.truth[i], strict=True) if state == 1],
        predicted=[name for name, decided in zip(labels, read.decided[i], strict=True) if decided],
        probability=pick.probability,
        familiarity=familiarity if np.isfinite(familiarity) else None,
        split=_SPLIT,
        note=pick.note,
        why=pick.why,
    )


def _legend(labels: Sequence[str]) -> list[LegendEntry]:
    colours = overlay.palette(len(labels))
    return [{"label": name, "colour": f"#{bytes(c).hex()}"} for name, c in zip(labels, colours, strict=True)]


def _pictures(record: Any, thumbnail: str) -> Pictures:
    width, height = (record[key].int64_list.value[0] for key in (features.WIDTH, features.HEIGHT))
    return {"width": width, "height": height, "thumbnail": thumbnail}


def duplicates(
    examples: str, distance: int | None, contradictions: bool
) -> tuple[list[NearDuplicates], dict[str, str]]:
    """Pairs of identical or similar images with different splits or labels, and their pictures: key -> data URI.

    The most similar pairs come first, alternating between different labels and different splits.

    Args:
        examples: folder of the artifact.
        distance: bits of the perceptual hashes that may differ; None: identical files only.
        contradictions: whether similar images with different labels count.
    """
    images = census.Images.read(examples)
    pairs = choose.pairs(images, distance, contradictions)
    drawn, album = _without_predictions(examples, images, {i for pair, _ in pairs for i in (pair.first, pair.second)})
    return [
        {"first": drawn[pair.first], "second": drawn[pair.second], "bits": pair.bits, "what": what}
        for pair, what in pairs
    ], album.images


def findings(examples: str, found: Sequence[Found]) -> tuple[list[FindingGroup], dict[str, str]]:
    """Images that the data gate objects to or suspects, by kind, and their pictures: key -> data URI.

    Pairs are shown as near-duplicates, and quarantined files cannot be shown.

    Args:
        examples: folder of the artifact.
        found: the findings, most certain first.
    """
    shown_of: dict[str, list[Found]] = {}
    for one in found:
        group = shown_of.setdefault(one.kind, [])
        if len(group) < _OF_A_KIND and one.kind not in image_pairs.KINDS:
            group.append(one)
    images = census.Images.read(examples)
    index = images.find({one.path for group in shown_of.values() for one in group})
    drawn, album = _without_predictions(examples, images, set(index.values()))
    groups = [
        FindingGroup(
            kind=kind,
            images=[{**drawn[index[one.path]], "note": one.reason} for one in group if one.path in index],
        )
        for kind, group in shown_of.items()
    ]
    return [group for group in groups if group["images"]], album.images


def _without_predictions(
    examples: str, images: census.Images, wanted: Collection[int]
) -> tuple[dict[int, ShownImage], Album]:
    """Some images of any split by their indices, and the album of their pictures."""
    indices = sorted(wanted)
    paths = dict(zip(indices, images.paths(indices), strict=True))
    album, labels = Album(), list(manifest.read(examples).labels)
    described: dict[int, ShownImage] = {}
    for number, split in enumerate(SPLITS):
        of_split = {
            (_as_text(paths[i]), images.rows["sha256"][i].tobytes().hex()): i
            for i in indices
            if images.rows["split"][i] == number
        }
        for identity, record, picture in pictures.reduced(examples, split, of_split):
            described[of_split[identity]] = _without_prediction(identity[0], split, record, labels, album.add(picture))
    for i in set(indices) - set(described):
        raise ImagegateError(f"{examples}: holds no image {shown(paths[i])}; run again with --force")
    return described, album


def _as_text(path: str) -> str:
    """A path as in the predictions, whose text is UTF-8."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _without_prediction(path: str, split: str, record: Any, labels: Sequence[str], thumbnail: str) -> ShownImage:
    if features.PIXELS in record:
        truth = [name for name, n in zip(labels, record[features.PIXELS].int64_list.value, strict=True) if n]
    else:
        truth = [name.decode() for name in record[features.LABEL].bytes_list.value]
    return ShownImage(
        **_pictures(record, thumbnail),
        path=path,
        truth=truth,
        predicted=[],
        probability=None,
        familiarity=None,
        split=split,
        note="",
        why="",
    )
