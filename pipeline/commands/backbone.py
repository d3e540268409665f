"""The commands `backbone list` and `backbone fetch`."""

from __future__ import annotations

import argparse

_SIZE = (224, 224)  # of images; two networks have weights for several sizes, and this is the usual one
_NOTES = """
top-1: percent of ImageNet's validation images, at the size in pixels that the publication names
speed, training: images per second at 224 pixels on one thread, {reference} = 1; times of your machine differ
licence: of the repository that Keras converted the weights from; Keras itself (Apache-2.0) states none for the files
every other network of keras.applications can be named and fetched, too"""


def list_(options: argparse.Namespace) -> int:
    from rich.table import Table

    from components.model.networks import weights
    from components.model.networks.catalogue import RECOMMENDED, REFERENCE, WEIGHTS
    from pipeline.terminal import Terminal

    table = Table(box=None, pad_edge=False)
    for column in ("backbone", "parameters", "download", "top-1", "speed", "training", "licence", "origin", "here"):
        table.add_column(column, justify="left" if column in ("backbone", "licence", "origin", "here") else "right")
    here = {name for name, one in WEIGHTS.items() if weights.cached(one.at(_SIZE))}
    for one in RECOMMENDED:
        table.add_row(
            one.name,
            f"{one.parameters:.1f} M",
            f"{WEIGHTS[one.name].megabytes} MB",
            "{:.1f} at {}".format(*one.top_1),
            f"{one.speed:g}",
            f"{one.training_speed:g}",
            one.origin.licence,
            one.origin.repository,
            "yes" if one.name in here else "no",
        )
    with Terminal() as terminal:
        terminal.console.print(table, highlight=False)
        terminal.line(_NOTES.format(reference=REFERENCE))
        terminal.line(f"here: in {weights.folder()}, which works without a network")
        if others := sorted(here - {one.name for one in RECOMMENDED}):
            terminal.line(f"also here: {', '.join(others)}")
    return 0


def fetch(options: argparse.Namespace) -> int:
    from components.base.errors import ConfigError
    from components.base.text import shown
    from components.model.networks import weights
    from components.model.networks.catalogue import WEIGHTS
    from pipeline.config.backbones import near
    from pipeline.terminal import Terminal

    if options.name not in WEIGHTS:
        raise ConfigError(f"{options.name!r} is no network of keras.applications{near(options.name, sorted(WEIGHTS))}")
    wanted = WEIGHTS[options.name].at(_SIZE)
    with Terminal() as terminal:
        if weights.cached(wanted):
            terminal.line(shown(f"{weights.path(wanted)} is there already"))
        else:
            terminal.line(shown(f"wrote {weights.fetch(wanted)}"))
        terminal.line(f"next: below training:, backbone: {options.name}")
    return 0
