"""`imagegate replay`: the served model and its challenger on images without labels, and where they differ."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from components.base.errors import ConfigError, ImagegateError
from components.base.files import write_atomically
from components.base.text import number, percent, shown
from components.data import decoding, images
from components.drawing.two_masks import TwoMasks
from components.labels import kinds
from components.push import versions
from components.report import pictures
from pipeline.predict import contact_sheet, inputs, overlays, predict, table
from pipeline.predict.masks import Masks
from pipeline.predict.unlabelled import guess
from pipeline.terminal import output_to

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.predict.inputs import Input
    from pipeline.terminal import Terminal

_PICTURES = 60  # on the contact sheet; of masks, also the images in the table
_INTRO = "Images that the two models answer differently, those that are the most familiar to the served model first."
_INTRO_MASKS = (
    "Images whose masks differ the most: on the left the mask of version {served}, in the middle that of challenger "
    "{challenger}, and on the right, in red, where they differ."
)

Answer = dict[str, Any]  # see `predict.predict`


@dataclass(frozen=True)
class Pair:
    """What both models say of one image.

    Attributes:
        name: of the image.
        served, challenger: the answers.
        share: 1 where the labels are not the same, of those that both models know, else 0; of masks, the share of the
            pixels whose labels are not the same. None where there is no label, or no pixel, that both models know.
    """

    name: str
    served: Answer
    challenger: Answer
    share: float | None


@dataclass(frozen=True)
class Replay:
    """Two models on the same images.

    Attributes:
        served, challenger: the versions.
        pairs: the images that both have answered.
        errors: the other images, with the reason.
        limit: `evaluation.max_disagreement`.
        overlaps: of masks, label -> IoU of the two models' pixels of it in all images; None for other answers.
    """

    served: str
    challenger: str
    pairs: Sequence[Pair]
    errors: Sequence[tuple[str, str]]
    limit: float | None
    overlaps: Mapping[str, float] | None = None

    @property
    def differing(self) -> list[Pair]:
        """The images that are answered differently, most of all first, then the most familiar to the served model."""
        found = [(share, pair) for pair in self.pairs if (share := pair.share)]
        return [pair for _, pair in sorted(found, key=lambda it: (-it[0], -float(it[1].served["familiarity"])))]

    @property
    def compared(self) -> list[float]:
        """The shares of the images that have one."""
        return [pair.share for pair in self.pairs if pair.share is not None]

    @property
    def share(self) -> float:
        """The share of the images that are answered differently; of masks, the mean of the images' shares."""
        return sum(self.compared) / len(self.compared)

    @property
    def refused(self) -> bool:
        """Whether that is above the limit."""
        return self.limit is not None and self.share > self.limit

    def lines(self) -> Iterator[str]:
        """The table, and what it comes to."""
        rows = [("image", "differs", f"version {self.served}", f"challenger {self.challenger}")]
        shown = self.differing if self.overlaps is None else self.differing[:_PICTURES]
        rows += [(p.name, percent(p.share or 0.0), _words(p.served), _words(p.challenger)) for p in shown]
        columns = (0, 2, 3) if self.overlaps is None else range(4)  # of labels, all differ alike
        widths = [max(len(table.cell(row[i])) for row in rows) for i in range(4)]
        for row in rows if len(rows) > 1 else ():
            yield "  ".join(f"{table.cell(row[i]):<{widths[i]}}" for i in columns).rstrip()
        yield from self._shares()
        for who, of in (("version " + self.served, "served"), ("challenger " + self.challenger, "challenger")):
            answers = [getattr(pair, of) for pair in self.pairs]
            familiar = float(np.median([answer["familiarity"] for answer in answers]))
            abstains = sum(bool(answer["abstain"]) for answer in answers)
            yield f"{who}: median familiarity {familiar:.2f}, abstains on {abstains:,}"
        if self.refused:
            yield f"refused: {number(self.share)} is above evaluation.max_disagreement {number(self.limit)}"

    def _shares(self) -> Iterator[str]:
        images, left = _images(len(self.compared)), len(self.pairs) - len(self.compared)
        if self.overlaps is None:
            yield f"{len(self.differing):,} of {images} ({percent(self.share)}) are answered differently"
            return
        yield f"{percent(self.share)} of the pixels are answered differently, on average over {images}"
        if left:
            yield f"{_images(left)} without a pixel that both models answer: not compared"
        yield "IoU between the two models: " + ", ".join(f"{label} {iou:.2f}" for label, iou in self.overlaps.items())

    def to_json(self) -> str:
        """Everything, as one JSON object."""
        told = {
            "served": self.served,
            "challenger": self.challenger,
            "images": len(self.pairs),
            "compared": len(self.compared),
            "different": len(self.differing),
            "share": self.share,
            "max_disagreement": self.limit,
            "refused": self.refused,
            **({} if self.overlaps is None else {"iou": dict(self.overlaps)}),
            "answers": [
                {
                    "image": p.name,
                    "differ": bool(p.share),
                    **({} if self.overlaps is None else {"share": p.share}),
                    "served": p.served,
                    "challenger": p.challenger,
                }
                for p in self.pairs
            ],
            "errors": [{"image": name, "error": error} for name, error in self.errors],
        }
        return json.dumps(told, ensure_ascii=True, allow_nan=False, indent=1)


def run(config: Config, folder: str, output: str | None, terminal: Terminal) -> Replay:
    """Asks both models about every image, and writes the contact sheet of those that they answer differently.

    Args:
        config: the settings.
        folder: of the images: a path, a pattern or a URL.
        output: path of the contact sheet, or None for `replay.html` beside the configuration.
        terminal: where notes are printed.

    Raises:
        ConfigError: the contact sheet cannot be written.
        ImagegateError: there is no challenger, or no image that both models answer, or nothing in their answers that
            can be compared.
    """
    path = os.path.join(config.folder, "replay.html") if output is None else output
    if os.path.lexists(path):
        raise ConfigError(f"-o: {path} is there already; name another file with -o, or move it away")
    trust = config.trust()
    served, beside = predict.find(config.destination, trust), versions.challenger(config.destination, trust)
    if beside is None:
        which = "no challenger that a key of push.verify signed" if trust.keys else "no challenger"
        raise ImagegateError(f"push.destination: {config.destination}: {which}; push.as: challenger pushes one")
    challenger = predict.find(beside.path, trust)
    with predict.listing(served):
        found, notes = inputs.expand([folder])
    for note in notes:
        terminal.line(table.cell(note))
    with tempfile.TemporaryDirectory() as work:
        masks = None
        if kinds.kind(config.task).per_pixel:
            masks = TwoMasks(served.manifest.labels, challenger.manifest.labels)
        with output_to(os.devnull):  # decoders print warnings; real problems are listed
            answers = [
                _answers(model, found, None if masks is None else os.path.join(work, str(i)))
                for i, model in enumerate((served, challenger))
            ]
        result = _compared(config, served, challenger, answers, masks)
        if not result.pairs:
            why = f": {result.errors[0][0]}: {result.errors[0][1]}" if result.errors else ""
            raise ImagegateError(f"{folder}: no image that both models answer{why}")
        if not result.compared:
            what = "label that both models have" if masks is None else "pixel that both models answer"
            raise ImagegateError(f"{folder}: nothing can be compared: there is no {what}")
        title = f"{config.name}: {served.version} and {challenger.version}"
        if masks is None:
            sheet = contact_sheet.page(title, _INTRO, _pictured(result))
        else:
            intro = _INTRO_MASKS.format(served=served.version, challenger=challenger.version)
            sheet = contact_sheet.page(title, intro, _drawn(result, served, masks), across=3)
    try:
        write_atomically(path, sheet)
    except OSError as error:
        raise ConfigError(f"-o {path}: {error.strerror}") from None
    terminal.line(shown(f"wrote {path}"))
    return result


def _answers(served: versions.Served, found: Sequence[Input], folder: str | None) -> list[Answer]:
    """What a model says of each image; its masks are written to a folder, in the size of the image."""
    masks = None if folder is None else Masks(folder, found, arrays=False)
    return [answer for batch in predict.predict(served, found, masks=masks) for answer in batch]


def _compared(
    config: Config,
    served: versions.Served,
    challenger: versions.Served,
    answers: Sequence[Sequence[Answer]],
    masks: TwoMasks | None,
) -> Replay:
    common = set(served.manifest.labels) & set(challenger.manifest.labels)
    pairs, errors = list[Pair](), list[tuple[str, str]]()
    share: float | None
    for old, new in zip(*answers, strict=True):
        if error := old.get("error") or new.get("error"):
            errors.append((old["image"], error))
            continue
        if masks is not None:
            share = masks.add(old["image"], old.pop("mask"), new.pop("mask"))
        elif not common:
            share = None
        elif "label" in old:
            share = float(old["label"] != new["label"])
        else:
            share = float(_common(old, common) != _common(new, common))
        pairs.append(Pair(old["image"], old, new, share))
    overlaps = None if masks is None else masks.overlaps()
    return Replay(served.version, challenger.version, pairs, errors, config.evaluation.max_disagreement, overlaps)


def _common(answer: Answer, labels: set[str]) -> set[str]:
    return set(answer["labels"]) & labels


def _images(count: int) -> str:
    return f"{count:,} image{'' if count == 1 else 's'}"


def _words(answer: Answer) -> str:
    """An answer in one cell: "cat 0.93, familiarity 0.51"."""
    if "shares" in answer:
        told = guess(answer, "")
    else:
        named = [answer["label"]] if "label" in answer else answer["labels"]
        told = ", ".join(f"{label} {answer['probabilities'][label]:.2f}" for label in named) or "no label"
    return f"{told}, familiarity {answer['familiarity']:.2f}{' (abstains)' if answer['abstain'] else ''}"


def _pictured(result: Replay) -> Iterator[tuple[str, Sequence[str], str]]:
    """Yields name, captions and thumbnail of the images that are answered differently; each is read once more."""
    for pair in result.differing[:_PICTURES]:
        album, picture = pictures.Album(), ""
        with contextlib.suppress(OSError, images.BadImage, ImagegateError):
            encoded = images.check(inputs.content(pair.name), decoding.MAX_PIXELS).encoded
            picture = album.images[album.add(pictures.small(encoded, contact_sheet.SIDE))]
        captions = (f"{result.served}: {_words(pair.served)}", f"{result.challenger}: {_words(pair.challenger)}")
        yield pair.name, captions, picture


def _drawn(result: Replay, served: versions.Served, masks: TwoMasks) -> Iterator[tuple[str, Sequence[str], str]]:
    """Likewise of masks, with both over the image and where they differ; the legend comes first."""
    album, checked = pictures.Album(), predict.checks(served.manifest)
    yield "labels", (), album.images[album.add(masks.legend())]
    shown = (0,) if served.manifest.arrays is None else served.manifest.arrays.shown
    for pair in result.differing[:_PICTURES]:
        picture = ""
        with contextlib.suppress(OSError, images.BadImage, ImagegateError):
            content = checked(pair.name, inputs.content(pair.name))
            with overlays.picture(content, shown) as image:
                small = pictures.fitted(image.convert("RGB"), contact_sheet.SIDE)
            album = pictures.Album()
            picture = album.images[album.add(masks.draw(pair.name, small))]
        captions = (
            f"{percent(pair.share or 0.0)} of the pixels differ",
            f"{result.served}: {_words(pair.served)}",
            f"{result.challenger}: {_words(pair.challenger)}",
        )
        yield pair.name, captions, picture
