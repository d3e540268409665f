"""The meaning of the values in mask files: a table of ids or colours, made from the settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from components.base.errors import ConfigError
from components.data import features

_MOST_LABELS = features.IGNORED_ID - 2  # 254 marks values without a meaning while a mask is read
_MOST_ID = 0xFFFF  # of 16-bit grey


@dataclass(frozen=True)
class Rule:
    """The meaning of the values in mask files; made by `rule`.

    Attributes:
        labels: in the order of the model's outputs, without the ignored ones.
        codes: (id, or colour as r + 256 g + 65536 b; index into `labels` or IGNORED_ID), sorted.
        colored: whether codes are colours.
        ignored: names that take no part in loss, weights and metrics.
        background: label of pixels outside all regions, or "", which ignores them.
    """

    labels: tuple[str, ...]
    codes: tuple[tuple[int, int], ...]
    colored: bool = False
    ignored: tuple[str, ...] = ()
    background: str = ""

    def index(self, label: str) -> int | None:
        """The label's value in the mask, or None for a name that is neither a label nor ignored.

        >>> [rule(["sky", "void", "road"], ignore="void").index(name) for name in ("road", "void", "car")]
        [1, 255, None]
        """
        if label in self.labels:
            return self.labels.index(label)
        return features.IGNORED_ID if label in self.ignored else None


def rule(
    names: Sequence[str],
    *,
    ignore: str | int | None = None,
    colors: Mapping[str, Sequence[int] | int] | None = None,
    background: str | None = None,
) -> Rule:
    """Derives the meaning of masks from the settings.

    Args:
        names: `labels.names`, including the ignored one; in id masks without `colors`, id i means names[i]. Empty: the
            names in `colors`, in their order.
        ignore: a name, or an id, which need not have a name, such as 255 for the borders in Pascal VOC's masks.
        colors: name -> (red, green, blue) of every name; or name -> id, such as 0 and 255. None: ids are in the order
            of `names`.
        background: the label of pixels outside all regions; COCO only.

    Raises:
        ConfigError: a setting is invalid or contradicts another; the message names it.

    >>> rule(["sky", "road"], ignore=255).codes
    ((0, 0), (1, 1), (255, 255))
    >>> rule(["sky", "road"], colors={"sky": [0, 0, 1], "road": [1, 0, 0]}).codes
    ((1, 1), (65536, 0))
    >>> rule([], colors={"pet": 1, "ground": 2, "border": 3}, ignore=2).labels
    ('pet', 'border')
    """
    names = tuple(names) or tuple(colors or ())
    ignore = _named(ignore, names, colors)
    ignored = (ignore,) if isinstance(ignore, str) else ()
    labels = tuple(name for name in names if name not in ignored)
    _check_names(names, labels, ignore, colors, background)
    value = dict.fromkeys(ignored, features.IGNORED_ID) | {name: i for i, name in enumerate(labels)}
    colored = colors is not None and not all(isinstance(color, int) for color in colors.values())
    ids = dict(zip(names, range(len(names)), strict=True)) if colors is None else colors
    codes = {_code(name, color, colored): value[name] for name, color in ids.items()}
    if len(codes) < len(ids):
        raise ConfigError("labels.colors: two names have the same colour or id; each needs its own")
    if isinstance(ignore, int):
        codes[ignore] = features.IGNORED_ID
    return Rule(labels, tuple(sorted(codes.items())), colored, ignored, background or "")


def of_segments(rule: Rule, segments: Iterable[tuple[int, str]]) -> Rule:
    """The meaning of a panoptic mask, in which a pixel's colour is the number of its segment.

    Args:
        rule: the labels. Pixels in no segment, whose number is 0, are its background or, if there is none, ignored.
        segments: (number, label); the number is red + 256 green + 65536 blue.

    Raises:
        ValueError: a segment is of a label that `rule` does not know.

    >>> of_segments(rule(["sky", "road"]), [(7, "road"), (300, "sky")]).codes
    ((0, 255), (7, 1), (300, 0))
    """
    codes = {0: rule.background or None} | dict(segments)
    indices = {code: features.IGNORED_ID if label is None else rule.index(label) for code, label in codes.items()}
    strange = next((codes[code] for code, index in indices.items() if index is None), None)
    if strange is not None:
        raise ValueError(f"a segment is of {strange!r}, which is not among labels.names")
    known = sorted((code, index) for code, index in indices.items() if index is not None)
    return replace(rule, codes=tuple(known), colored=True)


def _named(
    ignore: str | int | None, names: Sequence[str], colors: Mapping[str, Sequence[int] | int] | None
) -> str | int | None:
    """Replaces an id by its name, where it has one: in `colors`, if these are ids, else by its place in `names`."""
    if not isinstance(ignore, int):
        return ignore
    if colors is not None:
        return next((name for name, code in colors.items() if code == ignore), ignore)
    return names[ignore] if 0 <= ignore < len(names) else ignore


def _check_names(
    names: Sequence[str],
    labels: Sequence[str],
    ignore: str | int | None,
    colors: Mapping[str, Sequence[int] | int] | None,
    background: str | None,
) -> None:
    known = {*names, *([ignore] if isinstance(ignore, str) else [])}
    if not 2 <= len(labels) <= _MOST_LABELS or len(set(names)) < len(names):
        raise ConfigError(f"labels.names: expected 2 to {_MOST_LABELS} different labels to learn, got {len(labels)}")
    if isinstance(ignore, int) and not 0 <= ignore <= _MOST_ID:
        raise ConfigError(f"labels.ignore: expected a name or an id from 0 to {_MOST_ID}, got {ignore}")
    if colors is None and isinstance(ignore, str) and ignore not in names:
        hint = f"; for the id {ignore}, write it without quotes" if ignore.isdecimal() else ""
        raise ConfigError(
            f"labels.ignore: {ignore!r} is not among labels.names; add it at the position of its id{hint}"
        )
    if isinstance(ignore, int) and colors is not None and not all(isinstance(color, int) for color in colors.values()):
        raise ConfigError(
            f"labels.ignore: labels.colors defines the values in masks by their colours, so no name has the id "
            f"{ignore}; give a name, and its colour in labels.colors"
        )
    if colors is not None and set(colors) != known:
        odd = sorted(set(colors) ^ known)[0]
        raise ConfigError(
            f"labels.colors: {odd!r} " + ("has no colour" if odd in known else "is not among labels.names")
        )
    if background is not None and background not in labels:
        raise ConfigError(f"labels.background: {background!r} is not a label to learn; expected one of labels.names")


def _code(name: str, color: Sequence[int] | int, colored: bool) -> int:
    if isinstance(color, int):
        if not colored and 0 <= color <= _MOST_ID:
            return color
    elif colored and len(color) == 3 and all(isinstance(v, int) and 0 <= v <= 255 for v in color):
        return color[0] | color[1] << 8 | color[2] << 16
    got = color if isinstance(color, int) else list(color)
    raise ConfigError(
        f"labels.colors: {name}: expected [red, green, blue] from 0 to 255, or an id from 0 to {_MOST_ID}, the same "
        f"kind for every name, got {got}"
    )
