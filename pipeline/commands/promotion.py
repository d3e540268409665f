"""The commands about what is served: served, promote, replay."""

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
        terminal = Terminal()  # held, since its output is closed with it
        terminal.console.print(served.table(entries))
    else:
        print("no version was served then" if options.at else "no version has been pushed yet")
    return 0


def promote(options: argparse.Namespace) -> int:
    from components.base.text import shown
    from pipeline import config
    from pipeline.promotion import promote

    print(shown(promote.run(config.load(options.config, options.overrides), options.version)))
    return 0


def replay(options: argparse.Namespace) -> int:
    from pipeline import config
    from pipeline.predict import replay
    from pipeline.terminal import Terminal

    settings = config.load(options.config, options.overrides)
    out = Terminal()
    with Terminal(stderr=True) as terminal:
        result = replay.run(settings, options.images, options.output, terminal)
        for name, error in result.errors:
            terminal.line(f"{name!a}: {error}")
    for line in [result.to_json()] if options.json else result.lines():
        out.line(line)
    return 4 if result.refused else 0
