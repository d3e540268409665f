"""The command `pull`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from components.push.pull import Pulled
    from components.push.signing.trust import Trust

PAUSE_S = 30.0  # between two looks at the destination. Chosen by hand; not measured.


def pull(options: argparse.Namespace) -> int:
    from components.base.errors import ConfigError
    from components.push.pull import pull

    if options.keep < 1:
        raise ConfigError(f"--keep: expected 1 or more versions, got {options.keep}")
    if options.watch:
        return _watch(options)
    _show(pull(options.url, options.folder, options.keep, _trust(options)), as_json=options.json)
    return 0


def _trust(options: argparse.Namespace) -> Trust:
    from components.push.signing import trust

    return trust.of_options(options.key, options.key_env)


def _watch(options: argparse.Namespace) -> int:
    """Pulls what is served whenever that changes, until a signal ends it. A failure is said once, and tried again."""
    from components.base.errors import ImagegateError
    from components.base.text import shown
    from components.push.destination import at
    from components.push.pull import is_current, pull, require_own

    at(options.url)  # what is wrong with the command line does not pass
    _trust(options)
    require_own(options.url, options.folder)
    pulled, trouble = None, ""
    while True:
        try:
            trust = _trust(options)  # each time, since keys are replaced
            if pulled is None or not is_current(options.url, pulled, trust):
                pulled = pull(options.url, options.folder, options.keep, trust)
                _show(pulled, as_json=options.json)
            trouble = ""
        except (ImagegateError, OSError) as error:
            if str(error) != trouble:
                print(f"imagegate: {shown(str(error))}".replace("\n", " "), file=sys.stderr, flush=True)
            trouble = str(error)
        time.sleep(PAUSE_S)


def _show(pulled: Pulled, *, as_json: bool) -> None:
    import dataclasses

    from components.base.text import shown, truncated_list

    if as_json:
        print(json.dumps(dataclasses.asdict(pulled)), flush=True)
        return
    print(shown(f"{'pulled' if pulled.new else 'already here:'} version {pulled.version} -> {pulled.path}"), flush=True)
    if pulled.removed:
        print(f"removed {truncated_list(pulled.removed)}", flush=True)
    if pulled.note:
        print(shown(f"imagegate: {pulled.note}"), file=sys.stderr, flush=True)
