"""The command `compare`."""

from __future__ import annotations

import argparse


def compare(options: argparse.Namespace) -> int:
    from components.base.text import shown
    from pipeline.commands.local import say_of_beam
    from pipeline.runs import compare as comparison
    from pipeline.runs import local
    from pipeline.runs.show import show
    from pipeline.terminal import Terminal

    config, plan = comparison.configuration(options.config, options.overrides, options.methods, options.seeds)
    with Terminal() as terminal:
        say_of_beam(config, terminal)
        terminal.line(shown(comparison.announced(config, plan)))
        summary = local.Runner(config, terminal.stage, compares=plan).run()
        terminal.close()
        show(summary.freeze(), terminal.console)
        if summary.exit_code == 0:
            terminal.line(shown(f"wrote {comparison.write(config, summary.freeze())}"))
    return summary.exit_code
