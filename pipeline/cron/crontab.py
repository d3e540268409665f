"""`imagegate schedule --local`: a marked block in this user's crontab, one per configuration; all else stays."""

from __future__ import annotations

import datetime
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from components.base.artifact_files import SUMMARY
from components.base.errors import ConfigError, ImagegateError
from pipeline.cron import expression

if TYPE_CHECKING:
    from pipeline.config import Config

LOG = "schedule.log"  # in the output folder; scheduled runs append to it

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def schedule(config: Config, path: str, fields: str, overrides: Sequence[str]) -> None:
    """Creates or replaces the schedule of a configuration.

    Args:
        path: of the configuration.
        fields: what `expression.parse` returned.
        overrides: see `line`.

    Raises:
        ConfigError: the name is taken by another configuration's schedule; see also `line`.
        ImagegateError: see `read`, `change`, `write`.
    """
    new, table = line(fields, path, overrides, os.getcwd(), os.environ), read()
    old = find(table, config.name)
    if old is not None and _escaped(shlex.quote(os.path.abspath(path))) not in old:
        raise ConfigError(f"the crontab schedules another configuration of the name {config.name}: {old}; rename one")
    write(change(table, config.name, new))


def delete(name: str) -> bool:
    """Removes the schedule; returns whether there was one."""
    table = read()
    there = find(table, name) is not None
    if there:
        write(change(table, name, None))
    return there


def rows(config: Config) -> list[expression.Row]:
    """The schedule, with the configuration's latest run and the next, by this machine's clock."""
    found = find(read(), config.name)
    if found is None:
        return []
    fields = " ".join(found.split()[:5])
    following = expression.following(fields, datetime.datetime.now().astimezone())
    return [
        expression.Row(config.name, fields, "on", _latest(config.output_folder), f"{following:{expression.FORMAT}}")
    ]


def _latest(output: str) -> str:
    try:
        with open(os.path.join(output, "latest", SUMMARY), encoding="utf-8") as f:
            summary = json.load(f)
        return f"{datetime.datetime.fromisoformat(summary['started']):{expression.FORMAT}} {summary['status']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "never"


def line(fields: str, config: str, overrides: Sequence[str], folder: str, environment: Mapping[str, str]) -> str:
    """The crontab's line: `scheduled` as it would run now, in this folder, with this Python.

    Args:
        fields: what `expression.parse` returned.
        config: path of the configuration.
        overrides: "KEY=VALUE", as for `--set`.
        folder: the working directory.
        environment: of which only PYTHONPATH is kept; cron has its own.

    Raises:
        ConfigError: a line break in any of it, which no crontab can hold.
    """
    path = environment.get("PYTHONPATH")
    command = ["cd", shlex.quote(folder), "&&", *([f"PYTHONPATH={shlex.quote(path)}"] if path else [])]
    # Unless it lies here, the package is installed, and nothing that lies here shall be taken for it.
    python = [sys.executable, *([] if folder == _ROOT else ["-P"]), "-m", "pipeline.scheduled", os.path.abspath(config)]
    command += map(shlex.quote, [*python, *(word for override in overrides for word in ("--set", override))])
    text = " ".join(command)
    if "\n" in text or "\0" in text:
        raise ConfigError("a crontab cannot hold a path or --set with a line break; rename it")
    return f"{fields} {_escaped(text)}"


def _escaped(text: str) -> str:
    """cron takes a bare % for the end of the line."""
    return text.replace("%", "\\%")


def find(table: bytes, name: str) -> str | None:
    """The line scheduled for `name`, None for none.

    Raises:
        ImagegateError: see `change`.
    """
    block = _split(table, name)[1]
    return os.fsdecode(block[1]) if len(block) > 2 else None


def change(table: bytes, name: str, new: str | None) -> bytes:
    """A crontab with the block of `name` changed in place, appended, or, for None, gone; no other byte differs.

    Raises:
        ImagegateError: its marks are not a pair, so nobody can tell what lies between them.
    """
    before, old, after = _split(table, name)
    block = b"" if new is None else b"\n".join([*_marks(name)[:1], os.fsencode(new), *_marks(name)[1:], b""])
    if not old and new is not None and before and not before.endswith(b"\n"):
        before += b"\n"
    return before + block + after


def read() -> bytes:
    """This user's crontab, empty where there is none.

    Raises:
        ImagegateError: there is no crontab command, or this user may not use it.
    """
    done = _call("-l")
    if done.returncode == 0:
        return done.stdout
    # Only then: what was taken for empty would be overwritten. The second is BusyBox's way to say it.
    if any(words in done.stderr.lower() for words in (b"no crontab for", b"no such file")):
        return b""
    raise ImagegateError(f"crontab -l: {_reason(done)}")


def write(table: bytes) -> None:
    """Replaces this user's crontab.

    Raises:
        ImagegateError: it was refused; the old one stays.
    """
    done = _call("-", table)
    if done.returncode:
        raise ImagegateError(f"crontab: {_reason(done)}; the crontab is as it was")


def _marks(name: str) -> tuple[bytes, bytes]:
    return f"# imagegate: {name} begin".encode(), f"# imagegate: {name} end".encode()


def _split(table: bytes, name: str) -> tuple[bytes, list[bytes], bytes]:
    """What stands before the block, the block's lines, and what stands after it."""
    begin, end = _marks(name)
    lines = table.split(b"\n")
    at = [i for i, text in enumerate(lines) if text in (begin, end)]
    if not at:
        return table, [], b""
    if [lines[i] for i in at] != [begin, end] or at[1] - at[0] != 2:
        raise ImagegateError(
            f"the crontab's lines {begin.decode()!r} and {end.decode()!r} no longer hold one line between them; "
            "remove them with crontab -e"
        )
    first, last = at
    before = b"".join(text + b"\n" for text in lines[:first])
    return before, lines[first : last + 1], b"\n".join(lines[last + 1 :])


def _call(argument: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["crontab", argument],  # noqa: S607  the user's own, wherever it is
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
