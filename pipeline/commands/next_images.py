"""The command `next`."""

from __future__ import annotations

import argparse


def next_(options: argparse.Namespace) -> int:
    from pipeline import config
    from pipeline.predict import next_images
    from pipeline.terminal import Terminal

    settings = config.load(options.config, options.overrides)
    with Terminal() as terminal:
        next_images.run(settings, options.count, options.output, terminal)
    return 0
