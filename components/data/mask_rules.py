"""What the values in mask files mean: from the settings to a table of ids or colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.base.errors import ConfigError
from components.data import features

_MOST_LABELS = features.IGNORED_ID - 2  # the last value but one stands for everything without a meaning
_MOST_ID = 0xFFFF


@dataclass(frozen=True)
class Rule:
    """What the values in mask files mean; made by `rule`.

    Attributes:
        labels: in output order, without the ignored ones.
        codes: (id, or colour as r + 256 g + 65536 b; index into `labels` or IGNORED_ID), sorted.
        colored: whether codes are colours.
        ignored: names that take no part in loss, weights and metrics.
        background: label of pixels that lie in no region, or "": they are ignored.
    """

    labels: tuple[str, ...]
    codes: tuple[tuple[int, int], ...]
    colored: bool = False
    ignored: tuple[str, ...] = ()
    background: str = ""

    def index(self, label: str) -> int | None:
        """The label's value in the mask, or None for a name that is neither label nor ignored."""
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
    """The meaning of masks from the settings.

    Args:
        names: `labels.names`; in id masks, id i means names[i], the ignored one included.
        ignore: a name, or an id: of one of `names`, or beyond them, such as 255 for the borders in Pascal VOC's masks.
        colors: name -> (red, green, blue) of every name; or name -> id, where ids are not simply in the order of
            `names`, such as 0 and 255; None: they are.
        background: the label of pixels in no region; COCO only.

    Raises:
        ConfigError: naming the key that contradicts the others.
    """
    if isinstance(ignore, int) and 0 <= ignore < len(names):
        ignore = names[ignore]
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
        raise ConfigError(f"labels.ignore: {ignore!r} is none of labels.names; add it where its id belongs")
    if colors is not None and isinstance(ignore, int):
        raise ConfigError(
            f"labels.ignore: {ignore} is the position of no name, and labels.colors says what is in masks; give a name"
        )
    if colors is not None and set(colors) != known:
        odd = sorted(set(colors) ^ known)[0]
        raise ConfigError(f"labels.colors: {odd!r} " + ("has no colour" if odd in known else "is none of labels.names"))
    if background is not None and background not in labels:
        raise ConfigError(f"labels.background: {background!r} is no label to learn; expected one of labels.names")


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
