"""`imagegate replay`: the served model and its challenger on images without labels, and where they differ."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from components.base.errors import ConfigError, ImagegateError
from components.base.files import write_atomically
from components.base.text import number, percent, shown
from components.data import decoding, images
from components.labels import kinds
from components.push import versions
from components.report import pictures
from pipeline.predict import contact_sheet, inputs, predict, table
from pipeline.terminal import output_to

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.predict.inputs import Input
    from pipeline.terminal import Terminal

_PICTURES = 60  # on the contact sheet
_INTRO = "Images that the two models answer differently, those that are the most familiar to the served model first."

Answer = dict[str, Any]  # see `predict.predict`


@dataclass(frozen=True)
class Pair:
    """What both models say of one image.

    Attributes:
        name: of the image.
        served, challenger: the answers.
        differ: whether the labels are not the same, of those that both models know.
    """

    name: str
    served: Answer
    challenger: Answer
    differ: bool


@dataclass(frozen=True)
class Replay:
    """Two models on the same images.

    Attributes:
        served, challenger: the versions.
        pairs: the images that both have answered.
        errors: the other images, with the reason.
        limit: `evaluation.max_disagreement`.
    """

    served: str
    challenger: str
    pairs: Sequence[Pair]
    errors: Sequence[tuple[str, str]]
    limit: float | None

    @property
    def differing(self) -> list[Pair]:
        """The images that are answered differently, the most familiar to the served model first."""
        return sorted((p for p in self.pairs if p.differ), key=lambda p: -float(p.served["familiarity"]))

    @property
    def share(self) -> float:
        """The share of the images that are answered differently."""
        return len(self.differing) / len(self.pairs)

    @property
    def refused(self) -> bool:
        """Whether that is above the limit."""
        return self.limit is not None and self.share > self.limit

    def lines(self) -> Iterator[str]:
        """The table, and what it comes to."""
        rows = [("image", f"version {self.served}", f"challenger {self.challenger}")]
        rows += [(p.name, _words(p.served), _words(p.challenger)) for p in self.differing]
        widths = [max(len(table.cell(row[i])) for row in rows) for i in range(2)]
        for first, second, third in rows if len(rows) > 1 else ():
            yield f"{table.cell(first):<{widths[0]}}  {table.cell(second):<{widths[1]}}  {table.cell(third)}"
        n = len(self.differing)
        yield f"{n:,} of {len(self.pairs):,} images ({percent(self.share)}) are answered differently"
        for who, of in (("version " + self.served, "served"), ("challenger " + self.challenger, "challenger")):
            answers = [getattr(pair, of) for pair in self.pairs]
            familiar = float(np.median([answer["familiarity"] for answer in answers]))
            abstains = sum(bool(answer["abstain"]) for answer in answers)
            yield f"{who}: median familiarity {familiar:.2f}, abstains on {abstains:,}"
        if self.refused:
            yield f"refused: {number(self.share)} is above evaluation.max_disagreement {number(self.limit)}"

    def to_json(self) -> str:
        """Everything, as one JSON object."""
        told = {
            "served": self.served,
            "challenger": self.challenger,
            "images": len(self.pairs),
            "different": len(self.differing),
            "share": self.share,
            "max_disagreement": self.limit,
            "refused": self.refused,
            "answers": [
                {"image": p.name, "differ": p.differ, "served": p.served, "challenger": p.challenger}
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
        ConfigError: the task has masks, or the contact sheet cannot be written.
        ImagegateError: there is no challenger, or no image that both models answer.
    """
    if kinds.kind(config.task).per_pixel:
        raise ConfigError(
            f"task: {config.task}: replay compares the labels of images, and masks have none; look at both with "
            "imagegate predict DESTINATION/VERSION FOLDER --overlay DIR"
        )
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
    with output_to(os.devnull):  # decoders print warnings; real problems are listed
        answers = [_answers(model, found) for model in (served, challenger)]
    result = _compared(config, served, challenger, answers)
    if not result.pairs:
        why = f": {result.errors[0][0]}: {result.errors[0][1]}" if result.errors else ""
        raise ImagegateError(f"{folder}: no image that both models answer{why}")
    sheet = contact_sheet.page(f"{config.name}: {served.version} and {challenger.version}", _INTRO, _pictured(result))
    try:
        write_atomically(path, sheet)
    except OSError as error:
        raise ConfigError(f"-o {path}: {error.strerror}") from None
    terminal.line(shown(f"wrote {path}"))
    return result


def _answers(served: versions.Served, found: Sequence[Input]) -> list[Answer]:
    return [answer for batch in predict.predict(served, found) for answer in batch]


def _compared(
    config: Config, served: versions.Served, challenger: versions.Served, answers: Sequence[Sequence[Answer]]
) -> Replay:
    common = set(served.manifest.labels) & set(challenger.manifest.labels)
    pairs, errors = [], []
    for old, new in zip(*answers, strict=True):
        if error := old.get("error") or new.get("error"):
            errors.append((old["image"], error))
            continue
        same = old["label"] == new["label"] if "label" in old else _common(old, common) == _common(new, common)
        pairs.append(Pair(old["image"], old, new, differ=not same))
    return Replay(served.version, challenger.version, pairs, errors, config.evaluation.max_disagreement)


def _common(answer: Answer, labels: set[str]) -> set[str]:
    return set(answer["labels"]) & labels


def _words(answer: Answer) -> str:
    """An answer in one cell: "cat 0.93, familiarity 0.51"."""
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
