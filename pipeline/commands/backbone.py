"""The command `backbone`."""

from __future__ import annotations

import argparse
import os


def show(options: argparse.Namespace) -> int:
    """Lists good backbones."""
    from rich.table import Table

    from components.model.networks import pretrained
    from pipeline.terminal import Terminal

    table = Table(box=None, header_style="bold")
    for column in ("training.backbone", "MB", "ImageNet", "speed", "licence", "here"):
        table.add_column(column, justify="right" if column in ("MB", "ImageNet", "speed") else "left")
    for each in pretrained.LISTED:
        here = "yes" if os.path.isfile(pretrained.path(each)) else ""
        numbers = (str(each.megabytes), f"{each.accuracy:.1%}", f"{each.speed:.2f}")
        table.add_row(each.name, *numbers, each.licence, here)
    with Terminal() as terminal:
        terminal.console.print(table)
        terminal.line(
            "ImageNet: share of correct answers as published; speed: images per second relative to the first one. "
            f"Weights lie in {pretrained.folder()}. Also: small, any other name of keras.applications, a .keras file."
        )
    return 0


def fetch(options: argparse.Namespace) -> int:
    """Downloads the weights of a backbone."""
    import difflib

    from components.base.errors import ConfigError
    from components.base.text import shown
    from components.model.networks import pretrained
    from pipeline.terminal import Terminal

    network = pretrained.BY_NAME.get(options.name)
    if network is None:
        near = difflib.get_close_matches(options.name, pretrained.BY_NAME, 1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(pretrained.BY_NAME)}"
        raise ConfigError(f"{options.name!r} is not in imagegate backbone list; {hint}")
    there = pretrained.is_there(network)
    with Terminal() as terminal:
        path = pretrained.fetch(network)
        terminal.line(shown(f"{path} was there" if there else f"wrote {path}"))
    return 0
