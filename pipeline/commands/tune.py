"""The command `tune`."""

from __future__ import annotations

import argparse
import os


def tune(options: argparse.Namespace) -> int:
    from components.base.text import shown
    from pipeline.commands.local import say_of_beam
    from pipeline.runs import local
    from pipeline.runs import tune as search
    from pipeline.runs.show import show
    from pipeline.terminal import Terminal

    config = search.configuration(options.config, options.overrides, options.trials, options.minutes, options.over)
    with Terminal() as terminal:
        say_of_beam(config, terminal)
        terminal.line(shown(search.announced(config)))
        summary = local.Runner(config, terminal.stage, only_search=True).run()
        terminal.close()
        show(summary.freeze(), terminal.console)
        if summary.exit_code == 0:
            path = search.pin(config, summary.freeze())
            with open(path, encoding="utf-8") as f:
                terminal.line(shown(f.read().rstrip()))
            relative = os.path.relpath(path, config.folder)
            terminal.line(shown(f"wrote {path}"))
            terminal.line(shown(f"next: in {options.config}, below training:, tuned: {relative}"))
    return summary.exit_code
