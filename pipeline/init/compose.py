"""The configuration of a data set: what was found as values, and what was concluded from it as comments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from components.base.text import number, percent
from components.data.dataset import SPLITS, Dataset
from components.gates.data_rules.base import share
from components.ingest.settings import Split
from components.model.networks.bands import SEQUENCES, SINGLE
from pipeline.init import backbones, document, limits, values
from pipeline.init.found import Found
from pipeline.init.places import Place
from pipeline.init.readings import Reading, meanings
from pipeline.init.thresholds import thresholds

if TYPE_CHECKING:
    from pipeline.config import Config

_TASKS = {
    "single_label": "each image has exactly one label",
    "multi_label": "each image has any number of labels, or none",
    "segmentation": "each pixel has one label",
}
_FEW = 10  # images of a split, below which one of them decides too much
_LARGER = Split(train=0.6, eval=0.2, test=0.2)
_MOST_LABELS = 100  # that are listed with their counts


def sections(place: Place, reading: Reading) -> dict[str, Any]:
    """Returns the keys without which the data set cannot be read."""
    proposal = reading.proposal
    below = f"/{proposal.below}" if proposal.below else ""
    labels = {"labels": dict(proposal.labels)} if proposal.labels else {}
    return {
        "name": place.name,
        "task": reading.task,
        **({} if place.output == f"runs/{place.name}" else {"output": place.output}),
        "data": {"root": f"{place.written_root.rstrip('/')}{below}", "layout": proposal.layout} | dict(proposal.data),
        **labels,
        "push": {"destination": place.destination},
    }


def few(dataset: Dataset) -> bool:
    """Whether the default shares would leave fewer than ten images in a split that a hash makes."""
    hashed = sum(record.split is None for record in dataset.records)
    return any(hashed * part < _FEW for name, part in dataset.fractions.items() if name != "train")


def with_larger_splits(config: Config) -> Config:
    """Returns the configuration with larger shares of eval and test."""
    return config.model_copy(update={"data": config.data.model_copy(update={"split": _LARGER})})


def text(place: Place, reading: Reading, notes: Sequence[str], found: Found, lowered: Sequence[limits.Limit]) -> str:
    """Returns the text of the configuration.

    Args:
        place: where it goes.
        reading: how the data set is read.
        notes: sentences for the head of the file.
        found: what the data set holds.
        lowered: limits of the data gate that differ from the defaults.
    """
    least = sections(place, reading)
    meaning = meanings().get(reading.proposal.layout, "")
    comments = {"task": _TASKS.get(reading.task, ""), "data.layout": meaning} | dict(reading.proposal.comments)
    data, labels = dict(least["data"]), least.get("labels")
    if len(found.dataset.fractions) > 1 and "split" not in data:
        data["split"] = {name: round(value, 4) for name, value in found.config.data.split}
        comments["data.split"] = _hash_split(found)
    if found.config.data.bits is not None and "bits" not in data:
        data["bits"] = found.config.data.bits
        comments["data.bits"] = (
            f"{_several(found.deep, 'image')} of 16 bits opened, the highest value is {found.highest:,}"
        )
    balance: dict[str, float | None] = {}
    for limit in lowered:
        section, key = limit.key.split(".")
        (data if section == "data" else balance)[key] = limit.value
        comments[limit.key] = limit.comment
    if found.config.kind.per_pixel and labels:
        comments = _pixel_shares(found, labels) | comments
    training, training_comments = _training(place, found)
    entries = thresholds(found.config.kind, found.manifest, exact=found.images is not None)
    comments |= training_comments | {f"evaluation.thresholds.{i}": why for i, (_, why) in enumerate(entries)}
    comments["evaluation"] = "the model is pushed only if all of these hold on the test split"
    comments["output"] = f"folder of the runs; runs/{place.name} would be inside the data"
    comments["push.destination"] = "receives numbered versions, as TensorFlow Serving expects"
    tree = {
        "name": least["name"],
        "task": least["task"],
        **({"output": least["output"]} if "output" in least else {}),
        "data": data,
        **({"labels": labels} if labels else {}),
        **({"balance": balance} if balance else {}),
        "training": training,
        "evaluation": {"thresholds": [entry for entry, _ in entries]},
        "push": least["push"],
    }
    if balance:
        comments.setdefault("balance", "limits of the data gate that today's data break, set to what they have")
    return document.text(tree, comments, list(_head(reading, notes, found)))


def summary(reading: Reading, found: Found) -> str:
    """Returns a sentence on what was found and how it is read."""
    images, labels = len(found.dataset.records), len(found.manifest.labels)
    return f"{_several(images, 'image')} with {_several(labels, 'label')}, read as {reading}"


def _several(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _head(reading: Reading, notes: Sequence[str], found: Found) -> Iterator[str]:
    yield "docs/configuration.md describes every key. Relative paths start at this file's folder."
    yield f"Written by `imagegate init`: {summary(reading, found)}."
    if found.images is None:
        yield (
            f"Estimates: all {len(found.dataset.records):,} images are listed, {found.opened:,} of them were opened; "
            "`imagegate check` opens all."
        )
    yield from notes
    yield _counts(found)


def describe(other: Reading) -> str:
    """Returns a sentence on another reading, with the keys that choose it."""
    keys = {"layout": other.proposal.layout} | dict(other.proposal.data)
    labels = f", labels: {document.flow(other.proposal.labels)}" if other.proposal.labels else ""
    return f"{other}; to choose it, set task: {other.task}, data: {document.flow(keys)}{labels}"


def _counts(found: Found) -> str:
    total = {label: sum(counts.values()) for label, counts in found.manifest.label_counts.items()}
    order = sorted(total, key=lambda label: -total[label])
    listed = ", ".join(f"{label}: {number(total[label])}" for label in order[:_MOST_LABELS])
    more = f", and {len(order) - _MOST_LABELS:,} more labels" if len(order) > _MOST_LABELS else ""
    return f"Images per label: {listed}{more}."


def _hash_split(found: Found) -> str:
    sizes = ", ".join(f"{name} {found.manifest.counts[name]:,}" for name in SPLITS)
    missing = [name for name in SPLITS if name in found.dataset.fractions and name != "train"]
    larger = found.config.data.split == _LARGER
    about = "" if found.images is not None else "about "
    why = f"; more for {' and '.join(missing)} than the default, since there are few images" if larger else ""
    if len(missing) == 2:
        return f"by a hash of each image's content: {about}{sizes}{why}"
    return f"{missing[0]} is cut from train by a hash of each image's content: {about}{sizes}{why}"


def _pixel_shares(found: Found, labels: Mapping[str, Any]) -> dict[str, str]:
    """Returns comments on the labels of masks: their share of the pixels, and the images that they are in."""
    by_split = ([own for own, _, _ in cells] for cells in found.manifest.pixels.values())
    pixels = [sum(own) for own in zip(*by_split, strict=True)]
    known = sum(pixels[:-1])
    shares = dict(zip(found.manifest.labels, pixels, strict=False))
    comments = {}
    for key in ("names", "colors"):
        named = labels.get(key) or ()
        for i, name in enumerate(named):
            where = f"labels.{key}.{name if isinstance(named, Mapping) else i}"
            if name in shares:
                images = sum(found.manifest.label_counts[name].values())
                what = f"{percent(round(share(shares[name], known), 4))} of the pixels, in {number(images)} images"
                comments[where] = what if isinstance(named, Mapping) else f"id {i}: {what}"
        if comments:
            break
    return comments


def _training(place: Place, found: Found) -> tuple[dict[str, Any], dict[str, str]]:
    if (bands := found.config.data.arrays) is not None:
        return _training_of_arrays(found, sequences=bands.frames is not None)
    backbone, why = backbones.at_hand(place.folder)
    size, proportions = values.image_size(found, pretrained=backbone != "small")
    batch, reason = values.batch_size(found)
    training = {"backbone": backbone, "image_size": size, "batch_size": batch}
    comments = {"training.backbone": why, "training.image_size": proportions, "training.batch_size": reason}
    return training, comments


def _training_of_arrays(found: Found, *, sequences: bool) -> tuple[dict[str, Any], dict[str, str]]:
    """Arrays are never reduced, and their networks start from random weights."""
    batch, reason = values.batch_size(found)
    training = {"backbone": SEQUENCES[0] if sequences else SINGLE, "batch_size": batch}
    others = f"; {' or '.join(SEQUENCES[1:])} is for sequences, too" if sequences else ""
    why = f"starts from random weights, for arrays{others}"
    return training, {"training.backbone": why, "training.batch_size": reason}
