"""The commands about what is served: served, promote."""

from __future__ import annotations

import argparse
import json


def served(options: argparse.Namespace) -> int:
    from pipeline import config
    from pipeline.promotion import served
    from pipeline.terminal import Terminal

    entries = served.entries(config.load(options.config, options.overrides), options.at)
    if options.json:
        print(json.dumps([json.loads(entry.to_json()) for entry in entries], indent=1))
    elif entries:
        Terminal().console.print(served.table(entries))
    else:
        print("no version was served then" if options.at else "no version has been pushed yet")
    return 0


def promote(options: argparse.Namespace) -> int:
    from components.base.text import shown
    from pipeline import config
    from pipeline.promotion import promote

    print(shown(promote.run(config.load(options.config, options.overrides), options.version)))
    return 0
