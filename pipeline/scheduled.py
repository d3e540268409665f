"""The program that cron starts: one logged run of a configuration, skipped while the previous one continues."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import fcntl
import itertools
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from components.base import machine
from components.base.errors import ImagegateError
from components.base.text import shown
from pipeline import stopping
from pipeline.cron import crontab

if TYPE_CHECKING:
    from pipeline.config import Config

_LOCK = "schedule.lock"
_LOG_BYTES = 1_000_000  # a log of that size is put aside before a run
_JUDGED = (0, 3)  # exit codes of runs that need not be repeated while the data stay as they are
_NOT_PUSHED = 4  # nor need this one, unless another version was served meanwhile: then it is to be compared with that
_OLD_LOGS = 4  # schedule.log.1, the newest, to schedule.log.4


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the run's exit code, or 0 if it was skipped. Prints only on failure, because cron mails all output.

    Args:
        arguments: default: those of this process, which is the program then and ends at a signal; see `stopping`.
    """
    if arguments is None:
        machine.limit_threads()
        with stopping.stoppable():
            return main(sys.argv[1:])
    from pipeline import cli, config, notice
    from pipeline.cron import change
    from pipeline.terminal import output_to

    parser = argparse.ArgumentParser(prog="python -m pipeline.scheduled")
    parser.add_argument("config")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--min-new", type=int)  # with it, a run waits for changes of the data
    parser.add_argument("--max-days", type=float, default=math.inf)
    options = parser.parse_args(arguments)
    try:
        settings = config.load(options.config, options.overrides)
        with notice.failures(settings):
            os.makedirs(settings.output_folder, exist_ok=True)
    except (ImagegateError, OSError) as error:
        print(f"imagegate: {shown(str(error))}", file=sys.stderr)
        return error.exit_code if isinstance(error, ImagegateError) else 1
    with _alone(settings.output_folder) as alone:
        if not alone:
            return 0
        log = os.path.join(settings.output_folder, crontab.LOG)
        _rotate(log)
        with output_to(log):
            print(f"== {datetime.datetime.now().astimezone():%Y-%m-%d %H:%M:%S %z}", flush=True)
            listing = None if options.min_new is None else change.listed(settings, time.time())
            if listing is not None:
                before = change.read(settings.output_folder)
                due, why = change.due(before, listing, options.min_new, options.max_days)
                print(why, flush=True)
                if not due:
                    return 0
            served = "" if listing is None else _served(settings)
            code = cli.main(["run", options.config, *(f"--set={override}" for override in options.overrides)])
            if listing is not None and (code in _JUDGED or (code == _NOT_PUSHED and _served(settings) == served)):
                with contextlib.suppress(OSError):  # then the next one runs, and finds that nothing is new
                    change.write(settings.output_folder, listing)
    if code:
        print(shown(f"imagegate: {settings.name}: exit code {code}; see {log}"), file=sys.stderr)
    return code


def _served(config: Config) -> str:
    """The version that is served; "" for none, or where that cannot be told, of which the run tells more."""
    from components.push import versions

    with contextlib.suppress(ImagegateError):
        served = versions.current(config.destination, config.trust())
        return served.version if served else ""
    return ""


def _rotate(log: str) -> None:
    """Puts a long log aside, and removes the oldest. Only one scheduled run does so at a time, and none writes then."""
    with contextlib.suppress(OSError):  # without a log, or where names cannot change, the run goes on
        if os.path.getsize(log) < _LOG_BYTES:
            return
        names = [log, *(f"{log}.{number}" for number in range(1, _OLD_LOGS + 1))]
        for newer, older in reversed(list(itertools.pairwise(names))):
            with contextlib.suppress(FileNotFoundError):
                os.replace(newer, older)


@contextlib.contextmanager
def _alone(folder: str) -> Iterator[bool]:
    """Yields whether no other scheduled run is in progress; the kernel releases the lock when a process dies."""
    with open(os.path.join(folder, _LOCK), "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


if __name__ == "__main__":
    raise SystemExit(main())
