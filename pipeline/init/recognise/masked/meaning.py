"""The section `labels` for masks: from the values that they hold and the files that name these values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.base.text import percent
from pipeline.init.recognise.masked.class_names import ClassNames
from pipeline.init.recognise.masked.values import Values

_VOID = 255
_UNLABELLED = {"void", "unlabeled", "unlabelled", "ignore", "ignored", "dontcare", "don't care"}
_MOST_LABELS = 253
_COVERED = 0.95  # share of the pixels whose colours a file must name
_TWO = ("background", "foreground")

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Meaning:
    """Values of the section `labels`, with comments for it, and sentences on what was guessed."""

    labels: dict[str, Any]
    comments: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def labels(values: Values, files: Sequence[ClassNames]) -> Meaning | None:
    """Concludes the labels; None if the values cannot be those of masks."""
    if values.lossy:
        return Meaning(
            {"colors": dict(zip(_TWO, (0, _VOID), strict=True))},
            notes=("the masks are JPEG or WebP, which changes their values; save them as PNG",),
        )
    found = _of_colours(values, files) if values.colored else _of_ids(values, files)
    return found if found is not None and len(found.labels.get("names") or found.labels["colors"]) > 1 else None


def _seen(values: Values) -> str:
    return f"{values.read:,} of {values.total:,} masks were opened"


def _of_ids(values: Values, files: Sequence[ClassNames]) -> Meaning | None:
    ids = sorted(values.pixels)
    void = _VOID if _VOID in ids and len(ids) > 2 else None
    others = [i for i in ids if i != void]
    if len(others) > _MOST_LABELS or min(others, default=0) < 0:
        return None
    for file in files:
        named = _named(others, file, values)
        if named is not None:
            return _meaning(named, void, values, f"named by {file.path}", 0 if 0 in others else None)
    if not values.complete and max(others) < 2 * len(others):  # a rare id may not have been met
        others = list(range(max(others) + 1))
    names = {_number_name(i, others): i for i in others}
    why = "two values" if set(names) == set(_TWO) else "ids as names, since no file names them"
    return _meaning(names, void, values, why, None)


def _number_name(value: int, others: Sequence[int]) -> str:
    if len(others) == 2 and others[0] == 0:
        return _TWO[value != 0]
    return str(value)


def _named(others: Sequence[int], file: ClassNames, values: Values) -> dict[str, int] | None:
    """Returns name -> id by a file that names all ids but perhaps 0; None if it does not."""
    if file.colours:
        by_colour = {colour: name for name, colour in file.colours.items()}
        ids = {by_colour[c]: i for i in others if (c := values.palette.get(i)) in by_colour}
    else:
        names = list(file.names)
        if not file.ids and len(names) == max(others):
            names = [_TWO[0], *names]  # names from id 1 on
        ids = dict(file.ids) or {name: i for i, name in enumerate(names)}
    known = set(ids.values())
    return ids if len(known) > 1 and all(i in known or i == 0 for i in others) else None


def _meaning(names: Mapping[str, int], void: int | None, values: Values, why: str, zero: int | None) -> Meaning:
    """Writes ids from 0 on as `names`, others as `colors`; ignores a void id, or 0 where it has no name."""
    ordered = sorted(names, key=lambda name: names[name])
    key = "names" if [names[name] for name in ordered] == list(range(len(ordered))) else "colors"
    found: dict[str, Any] = {key: ordered if key == "names" else {name: names[name] for name in ordered}}
    comments = {f"labels.{key}": f"{why}; {_seen(values)}"}
    total = values.pixels.total()
    if void is not None and void not in names.values():
        found["ignore"] = void
        comments["labels.ignore"] = f"by custom, pixels without a label: {percent(values.pixels[void] / total)} of them"
    elif zero is not None and zero not in names.values():
        found["ignore"] = zero
        comments["labels.ignore"] = f"it has no name there: {percent(values.pixels[zero] / total)} of the pixels"
    elif unlabelled := [name for name in ordered if name.lower() in _UNLABELLED]:
        found["ignore"] = unlabelled[0]
        comments["labels.ignore"] = "pixels without a label, by its name"
    return Meaning(found, comments)


def _of_colours(values: Values, files: Sequence[ClassNames]) -> Meaning | None:
    colours = {_colour(code): n for code, n in values.pixels.items()}
    if len(colours) > _MOST_LABELS:
        return None
    for file in files:
        named = {colour: name for name, colour in file.colours.items()}
        if named and sum(n for c, n in colours.items() if c in named) >= _COVERED * sum(colours.values()):
            return _coloured(
                named | {c: _colour_name(c) for c in colours if c not in named}, values, f"named by {file.path}"
            )
    if set(colours) == {(0, 0, 0), (255, 255, 255)}:
        return _coloured({(0, 0, 0): _TWO[0], (255, 255, 255): _TWO[1]}, values, "two colours")
    names = {colour: _colour_name(colour) for colour in sorted(colours)}
    return _coloured(names, values, "colours as names, since no file names them")


def _coloured(names: Mapping[Colour, str], values: Values, why: str) -> Meaning:
    found: dict[str, Any] = {"colors": {name: list(colour) for colour, name in names.items()}}
    comments = {"labels.colors": f"{why}; {_seen(values)}"}
    if unlabelled := [name for name in names.values() if name.lower() in _UNLABELLED]:
        found["ignore"] = unlabelled[0]
        comments["labels.ignore"] = "pixels without a label, by its name"
    return Meaning(found, comments)


def _colour(code: int) -> Colour:
    return code & 255, code >> 8 & 255, code >> 16


def _colour_name(colour: Colour) -> str:
    """Names a colour: of grey ones the level, of others the hexadecimal digits.

    >>> _colour_name((128, 64, 32)), _colour_name((7, 7, 7))
    ('color_804020', '7')
    """
    red, green, blue = colour
    return str(red) if red == green == blue else f"color_{red:02x}{green:02x}{blue:02x}"
