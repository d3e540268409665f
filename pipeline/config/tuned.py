"""The values that a search found, `training.tuned`, and checks of the section `tuning`."""

from __future__ import annotations

import difflib
import itertools
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from components.base.errors import ConfigError
from components.model.tuning.settings import Range, tunable
from pipeline.config import messages, yaml

if TYPE_CHECKING:
    from components.model.tuning.settings import Tuning
    from pipeline.config.config import Config

_LARGEST = 1 << 20  # bytes of a file of values; a real one has some hundred
_HINT = "`imagegate tune CONFIG` writes such a file"


def values(path: str) -> dict[str, Any]:
    """Reads the file that `training.tuned` names.

    Args:
        path: absolute path.

    Returns:
        Keys of `training` and their values.

    Raises:
        ConfigError: it cannot be read, or is no such file.
    """
    try:
        with open(path, encoding="utf-8") as f:
            text = f.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"training.tuned: {path}: {error.strerror}; {_HINT}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"training.tuned: {path}: not UTF-8 text; {_HINT}") from None
    if len(text) > _LARGEST:
        raise ConfigError(f"training.tuned: {path}: larger than {_LARGEST:,} bytes; {_HINT}")
    found, _ = yaml.parse(text, f"training.tuned: {path}")
    if not isinstance(found, dict) or not found:
        raise ConfigError(f"training.tuned: {path}: expected keys of training and their values; {_HINT}")
    for key in found:
        if key not in tunable():
            near = difflib.get_close_matches(str(key), tunable(), 1)
            hint = f"did you mean {near[0]}?" if near else _HINT
            raise ConfigError(f"training.tuned: {path}: {key!r} is no key of training that can be tuned; {hint}")
    return found


def overlaid(raw: Mapping[str, Any], folder: str, explicit: Collection[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Puts the values of `training.tuned` in place of those in the section `training`.

    Args:
        raw: keys and values as in YAML.
        folder: where a relative path starts.
        explicit: dotted keys of the command line, which stay.

    Returns:
        The keys and values; and the dotted keys that were replaced, with the file.

    Raises:
        ConfigError: see `values`.
    """
    training = raw.get("training")
    path = training.get("tuned") if isinstance(training, dict) else None
    if not isinstance(path, str) or not isinstance(training, dict):
        return dict(raw), {}
    path = os.path.normpath(os.path.join(folder, os.path.expanduser(path)))
    found = {key: value for key, value in values(path).items() if f"training.{key}" not in explicit}
    return {**raw, "training": {**training, **found}}, {f"training.{key}": path for key in found}


def without(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The keys and values without `training.tuned`: a search begins with the configuration as it is."""
    training = raw.get("training")
    if not isinstance(training, dict):
        return dict(raw)
    return {**raw, "training": {key: value for key, value in training.items() if key != "tuned"}}


def check(config: Config) -> None:
    """Raises ConfigError if a value of `tuning.over` is none that its key takes."""
    if config.tuning is None:
        return
    for key, value in _listed(config.tuning):
        problem = _problem(config, {key: value})
        others = [{k: v, key: value} for k, v in _listed(config.tuning) if k != key]
        if problem is not None and all(_problem(config, one) is not None for one in others):
            raise ConfigError(problem)


def _listed(tuning: Tuning) -> Iterator[tuple[str, Any]]:
    for key, given in tuning.over.items():
        ends = (given.min, given.max) if isinstance(given, Range) else given or ()
        yield from zip(itertools.repeat(key), ends)


def weighted(config: Config) -> list[str]:
    """The labels whose weights a search tries."""
    over = config.tuning.over if config.tuning is not None else {}
    values = over.get("label_weights")
    return [label for one in (values if isinstance(values, tuple) else ()) if isinstance(one, dict) for label in one]


def _problem(config: Config, overlay: Mapping[str, Any]) -> str | None:
    """Says why the configuration with these values in `training` is wrong; None if it is right."""
    raw = config.model_dump(exclude_unset=True, exclude={"tuning"})
    training = {**raw.get("training", {}), **overlay}
    try:
        type(config)(**{**raw, "training": training, "folder": config.folder, "file": config.file})
    except ConfigError as error:
        return str(error).replace("training.", "tuning.over.", 1)
    except ValidationError as error:
        sentence = messages.sentences(error.errors(), type(config))[0]
        return sentence.replace("training.", "tuning.over.", 1)
    return None


def pinned(found: Mapping[str, Any], about: str) -> str:
    """The text of a file of values.

    Args:
        found: keys of `training` and their values.
        about: sentences for its head, one a line.
    """
    head = "".join(f"# {line}\n" for line in about.splitlines())
    return head + "".join(f"{key}: {_plain(value)}\n" for key, value in sorted(found.items()))


def _plain(value: Any) -> str:
    """JSON is YAML; text that YAML reads as text goes without quotes."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z_]\w*", value) and yaml.parse(value, "")[0] == value:
        return value
    return json.dumps(value, ensure_ascii=False)
