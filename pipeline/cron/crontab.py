"""`imagegate schedule --local`: schedules in the user's crontab.

Each configuration owns one block between two marker lines; every other byte of the crontab stays as it is.
"""

from __future__ import annotations

import datetime
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from components.base.artifact_files import SUMMARY
from components.base.errors import ConfigError, ImagegateError
from components.base.values import parsed_json
from pipeline.cron import expression

if TYPE_CHECKING:
    from pipeline.config import Config

LOG = "schedule.log"  # in the output folder; scheduled runs append to it

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def schedule(config: Config, path: str, fields: str, overrides: Sequence[str], options: Sequence[str] = ()) -> None:
    """Creates or replaces the schedule of a configuration.

    Args:
        path: path of the configuration file.
        fields: five cron fields, as `expression.parse` returns them.
        overrides: "KEY=VALUE" settings, as for `--set`.
        options: further ones of `pipeline.scheduled`, see `change.arguments`.

    Raises:
        ConfigError: another configuration of the same name is scheduled, or see `line`.
        ImagegateError: see `read`, `change`, `write`.
    """
    new, table = line(fields, path, overrides, os.getcwd(), os.environ, options), read()
    old = find(table, config.name)
    if old is not None and _escaped(shlex.quote(os.path.abspath(path))) not in old:
        raise ConfigError(f"the crontab already schedules another configuration named {config.name}: {old}; rename one")
    write(change(table, config.name, new))


def delete(name: str) -> bool:
    """Removes the schedule of `name` and returns whether there was one."""
    table = read()
    exists = find(table, name) is not None
    if exists:
        write(change(table, name, None))
    return exists


def rows(config: Config) -> list[expression.Row]:
    """Lists the configuration's schedule with its latest and next run, in local time; empty if there is none."""
    scheduled = find(read(), config.name)
    if scheduled is None:
        return []
    fields = " ".join(scheduled.split()[:5])
    next_run = expression.next_time(fields, datetime.datetime.now().astimezone())
    return [expression.Row(config.name, fields, "on", _latest(config.output_folder), f"{next_run:{expression.FORMAT}}")]


def _latest(output: str) -> str:
    try:
        with open(os.path.join(output, "latest", SUMMARY), encoding="utf-8") as f:
            summary = parsed_json(f.read())
        return f"{datetime.datetime.fromisoformat(summary['started']):{expression.FORMAT}} {summary['status']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "never"


def line(
    fields: str,
    config: str,
    overrides: Sequence[str],
    folder: str,
    environment: Mapping[str, str],
    options: Sequence[str] = (),
) -> str:
    """Builds the line for the crontab, which runs `pipeline.scheduled` in `folder` with the current Python.

    Args:
        fields: five cron fields, as `expression.parse` returns them.
        config: path of the configuration file.
        overrides: "KEY=VALUE" settings, as for `--set`.
        folder: the working directory.
        environment: the current environment. Only PYTHONPATH is copied, since cron provides its own.
        options: further ones of the program.

    Raises:
        ConfigError: a path or an override holds a line break, which a crontab cannot represent.
    """
    path = environment.get("PYTHONPATH")
    command = ["cd", shlex.quote(folder), "&&", *([f"PYTHONPATH={shlex.quote(path)}"] if path else [])]
    # Outside the source tree, -P keeps Python from importing a `pipeline` folder that happens to lie in `folder`.
    python = [sys.executable, *([] if folder == _ROOT else ["-P"]), "-m", "pipeline.scheduled", os.path.abspath(config)]
    settings = (word for override in overrides for word in ("--set", override))
    command += map(shlex.quote, [*python, *settings, *options])
    text = " ".join(command)
    if "\n" in text or "\0" in text:
        raise ConfigError("a crontab cannot hold a path or --set with a line break; rename it")
    return f"{fields} {_escaped(text)}"


def _escaped(text: str) -> str:
    """Escapes every %, which cron would otherwise read as the end of the command."""
    return text.replace("%", "\\%")


def find(table: bytes, name: str) -> str | None:
    """Returns the line scheduled for `name`, or None if there is none.

    Raises:
        ImagegateError: see `change`.
    """
    block = _split(table, name)[1]
    return os.fsdecode(block[1]) if len(block) > 2 else None


def change(table: bytes, name: str, new: str | None) -> bytes:
    """Returns the crontab with the block of `name` replaced in place, or appended if it has none.

    No other byte changes, except that a missing final line break is added before a new block.

    Args:
        table: the crontab.
        name: the configuration's name.
        new: the new line, or None to remove the block.

    Raises:
        ImagegateError: the block's two markers do not enclose exactly one line, so it is unclear what to replace.
    """
    before, old, after = _split(table, name)
    begin, end = _marks(name)
    block = b"" if new is None else b"\n".join([begin, os.fsencode(new), end, b""])
    if not old and new is not None and before and not before.endswith(b"\n"):
        before += b"\n"
    return before + block + after


def read() -> bytes:
    """Reads the user's crontab; it is empty if the user has none.

    Raises:
        ImagegateError: there is no crontab command, or the user may not use it.
    """
    done = _call("-l")
    if done.returncode == 0:
        return done.stdout
    # Any other failure must not pass for an empty crontab, which `write` would then overwrite. BusyBox reports a
    # missing crontab as "no such file".
    if any(phrase in done.stderr.lower() for phrase in (b"no crontab for", b"no such file")):
        return b""
    raise ImagegateError(f"crontab -l: {_reason(done)}")


def write(table: bytes) -> None:
    """Replaces the user's crontab.

    Raises:
        ImagegateError: the crontab command refused it; the old crontab stays.
    """
    done = _call("-", table)
    if done.returncode:
        raise ImagegateError(f"crontab: {_reason(done)}; the crontab is unchanged")


def _marks(name: str) -> tuple[bytes, bytes]:
    return f"# imagegate: {name} begin".encode(), f"# imagegate: {name} end".encode()


def _split(table: bytes, name: str) -> tuple[bytes, list[bytes], bytes]:
    """Splits the crontab into the bytes before the block, the block's lines, and the bytes after it."""
    begin, end = _marks(name)
    lines = table.split(b"\n")
    at = [i for i, text in enumerate(lines) if text in (begin, end)]
    if not at:
        return table, [], b""
    if [lines[i] for i in at] != [begin, end] or at[1] - at[0] != 2:
        raise ImagegateError(
            f"the crontab's lines {begin.decode()!r} and {end.decode()!r} no longer enclose exactly one line; "
            "remove them with crontab -e"
        )
    first, last = at
    before = b"".join(text + b"\n" for text in lines[:first])
    return before, lines[first : last + 1], b"\n".join(lines[last + 1 :])


def _call(argument: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["crontab", argument],  # noqa: S607  found on PATH, since systems install it in different places
            input=stdin,
            capture_output=True,
            check=False,
            timeout=60,
            env=os.environ | {"LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise ImagegateError(
            "there is no crontab command on this machine; install cron, or schedule on a server"
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ImagegateError(f"crontab: {error}") from None


def _reason(done: subprocess.CompletedProcess[bytes]) -> str:
    return " ".join(os.fsdecode(done.stderr).split()) or f"exit code {done.returncode}"
