"""Reads the options of the key `beam` as Beam does, and says what it would not understand.

Beam passes over what it does not know, and ends the process where it cannot read a value. No message holds the value
of an option that may be a credential: values are shown only where a number or one of a few names was expected.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from components.base.errors import ConfigError
from pipeline.config.beam import java

_NEAR = 0.8  # similarity from which on a name is taken for a misspelt one: "regoin" and "region" have 0.83
_NUMBER = re.compile(r"-\d+(\.\d*)?")
_KINDS = {int: "a whole number", float: "a number"}
# Options that hold a secret -> the environment variable that Beam's workers read in their place.
_SECRETS = {
    "--azure_connection_string": "AZURE_STORAGE_CONNECTION_STRING",
    "--s3_secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "--s3_session_token": "AWS_SESSION_TOKEN",
}


def refuse_secrets(beam: Sequence[str]) -> None:
    """Refuses options whose value is a secret: reports, logs and compiled pipelines repeat the configuration.

    Raises:
        ValueError: which names the option.
    """
    for i, entry in enumerate(beam):
        if variable := _SECRETS.get(entry.partition("=")[0]):
            raise ValueError(
                f"beam.{i}: {entry.partition('=')[0]} holds a secret, which reports, logs and compiled pipelines would "
                f"repeat; remove it, and set {variable} in the environment of the workers"
            )


@dataclasses.dataclass(frozen=True)
class Given:
    """An option as it was written.

    Attributes:
        name: with its dashes.
        value: behind the equals sign or in the next entry; None if there is none.
    """

    name: str
    value: str | None

    @property
    def arguments(self) -> list[str]:
        """What argparse takes it from."""
        return [self.name if self.value is None else f"{self.name}={self.value}"]


def given(beam: Sequence[str]) -> list[Given]:
    """Joins the options with those values that are entries of their own.

    Raises:
        ConfigError: an entry is neither an option nor the value of one.

    >>> given(["--runner", "FlinkRunner", "--parallelism=-1", "--streaming"])  # doctest: +NORMALIZE_WHITESPACE
    [Given(name='--runner', value='FlinkRunner'), Given(name='--parallelism', value='-1'),
     Given(name='--streaming', value=None)]
    """
    found: list[Given] = []
    waits = False  # whether the last entry is an option without its value
    for i, entry in enumerate(beam):
        name, equals, value = entry.partition("=")
        if re.fullmatch(r"--[^\s-]\S*", name):
            found.append(Given(name, value if equals else None))
            waits = not equals
        elif waits and (not entry.startswith("-") or _NUMBER.fullmatch(entry)):
            found[-1] = Given(found[-1].name, entry)
            waits = False
        else:
            raise ConfigError(f"beam.{i}: {_misplaced(name, found[-1].name if waits else None)}")
    return found


def _misplaced(name: str, before: str | None) -> str:
    """Says what is wrong with an entry that is neither an option nor a value; `before`: an option without value."""
    if re.match(r"--[^\s-]\S*\s", name):
        return f"expected an equals sign between an option and its value, as in {name.split(maxsplit=1)[0]}=VALUE"
    near = nearest(name, _known(parser()))
    if near is not None:
        return f"expected an option, which begins with two dashes; did you mean {near}?"
    if before is not None:
        return f"expected the value of {before}; one that begins with a dash is written as {before}=VALUE"
    return "expected an option, which begins with two dashes, such as --runner=FlinkRunner"


def parser() -> Any:
    """Returns Beam's own parser of all options, those of runners that are imported by now included."""
    from apache_beam.options.pipeline_options import PipelineOptions

    found: list[argparse.ArgumentParser] = []
    PipelineOptions([]).get_all_options(add_extra_args_fn=found.append)
    found[0].exit_on_error = False
    return found[0]


def _known(reader: Any) -> Collection[str]:
    return (reader._option_string_actions.keys() | java.RUNNERS.keys()) - {"-h", "--help"}


def values(options: Sequence[Given]) -> dict[str, Any]:
    """Returns the values of all options that Beam's Python part knows; defaults where none is given."""
    return vars(parser().parse_known_args([a for one in options for a in one.arguments])[0])


def check(options: Sequence[Given], runners: Collection[str]) -> Iterator[str]:
    """Yields a sentence for each option that Beam's Python part does not know.

    Args:
        options: see `given`.
        runners: the names of those whose Java part may get the options.

    Raises:
        ConfigError: an option has nearly the name of a known one, or a value that Beam cannot read.
    """
    reader = parser()
    actions: Mapping[str, argparse.Action] = reader._option_string_actions
    for one in options:
        if one.name in actions:
            _check_value(reader, actions[one.name], one)
        elif one.name in java.RUNNERS:
            yield _java(one.name, runners)
        elif near := nearest(one.name, _known(reader)):
            raise ConfigError(f"beam: {one.name} is no option of Beam; did you mean {near}?")
        else:
            yield f"warning: beam: Beam does not know the option {one.name}"


def _java(name: str, runners: Collection[str]) -> str:
    known = java.RUNNERS[name]
    of = f"an option of the Java part of {' and '.join(sorted(known))}"
    if known.isdisjoint(runners):
        return f"warning: beam: {name} has no effect with this runner: it is {of}"
    return f"note: beam: {name} is {of}, which alone can check its value"


def nearest(name: str, known: Collection[str]) -> str | None:
    """Returns the known option that a name is a misspelling of, or None.

    >>> nearest("-numWorkers", ["--num_workers", "--runner"]), nearest("--color", ["--runner"])
    ('--num_workers', None)
    """
    plain = {_plain(option): option for option in sorted(known)}  # of two spellings, the one with underscores
    found = difflib.get_close_matches(_plain(name), plain, 1, _NEAR)
    return plain[found[0]] if found else None


def _plain(name: str) -> str:
    """Returns an option's name without dashes, in lower case, with underscores."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip("-–—")).replace("-", "_").lower()


def _check_value(reader: Any, action: argparse.Action, one: Given) -> None:
    """Raises ConfigError if Beam cannot read the value of an option."""
    if one.name == "--help":
        raise ConfigError("beam: --help is no option of a pipeline; remove it")
    if action.nargs == 0:
        if one.value is not None:
            raise ConfigError(f"beam: {one.name}: expected no value; write {one.name} alone")
    elif one.value is None and action.nargs is None:
        raise ConfigError(f"beam: {one.name}: expected a value; write {one.name}=VALUE")
    elif action.choices is not None and one.value not in action.choices:
        raise ConfigError(f"beam: {one.name}: expected one of {', '.join(action.choices)}; got {one.value!r}")
    # Two options are declared as text, and read as whole numbers by others.
    elif (kind := int if type(action.default) is int else action.type) in _KINDS:
        try:
            kind(one.value)
        except ValueError:
            raise ConfigError(f"beam: {one.name}: expected {_KINDS[kind]}; got {one.value!r}") from None
    else:
        try:
            reader.parse_known_args(one.arguments)
        except (argparse.ArgumentError, ValueError, TypeError, AttributeError, AssertionError):
            raise ConfigError(f'beam: {one.name}: expected JSON, such as {{"KEY": "VALUE"}}') from None
