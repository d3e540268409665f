"""Commands that need no cluster: init, check, run, notify, report, history, clean, schema, rollback, predict."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.init.first import First
    from pipeline.terminal import Terminal


def load(options: argparse.Namespace) -> Config:
    from pipeline import config

    return config.load(options.config, options.overrides)


def say_of_beam(config: Config, terminal: Terminal) -> None:
    """Prints what there is to say of the key `beam`.

    Raises:
        ConfigError: see `beam.check`.
    """
    from components.base.text import shown
    from pipeline.config import beam

    for line in beam.check(config):
        terminal.line(shown(line))


def init(options: argparse.Namespace) -> int:
    from components.base.errors import ConfigError
    from components.base.text import shown
    from pipeline.init import TASKS, demo, first, places
    from pipeline.terminal import Terminal

    if options.demo:
        if options.output is not None:
            raise ConfigError("-o: has no effect with --demo, which writes imagegate.yaml into PATH; remove it")
        task = options.task or TASKS[0]
        if options.bands and task not in demo.OF_BANDS:
            raise ConfigError(f"--bands: the demo is of task {' or '.join(demo.OF_BANDS)}; add --task")
        path = demo.write(options.path, task, bands=options.bands)
        print(shown(f"wrote {path}\nnext: imagegate run {shlex.quote(path)}"))
        return 0
    if options.bands:
        raise ConfigError("--bands: has no effect without --demo; write down data.bands in the configuration")
    place = places.place(options.path, options.output)
    with Terminal() as terminal:
        code = first.write(place, options.task, terminal).show(terminal)
        file = places.quoted(place.config)
        if code:
            terminal.line("the data gate refuses this data set as it is")
            terminal.line(shown(f"next: mend what is refused above, then imagegate check {file}"))
        else:
            terminal.line(shown(f"next: imagegate run {file}"))
    return 0


def check(options: argparse.Namespace) -> int:
    from pipeline.runs import check, preflight
    from pipeline.terminal import Terminal

    with Terminal() as terminal:
        config, written = _configuration(options, terminal)
        say_of_beam(config, terminal)
        preflight.places(config)
        if written:
            preflight.files(config, written.found.dataset)
        # Nothing is decoded twice.
        code = written.show(terminal) if written and not options.overrides and options.output is None else None
        return check.run(config, terminal, options.output) if code is None else code


def _configuration(options: argparse.Namespace, terminal: Terminal) -> tuple[Config, First | None]:
    """Loads the configuration that the user named, or that of the data set; writes the latter if there is none."""
    from components.base.errors import ConfigError
    from components.base.text import shown
    from pipeline import config
    from pipeline.init import first, places

    if not places.is_data(options.config):
        return load(options), None
    place = places.place(options.config)
    path = places.shown_path(place.config)
    if os.path.lexists(place.config):
        terminal.line(shown(f"{path} is there already and is used"))
        loaded = config.load(path, options.overrides)
        if not place.holds(loaded.data_root):
            raise ConfigError(
                f"{path} is there already, but its data.root is {loaded.data_root}; name the configuration to use, or "
                f"write one for {options.config} with `imagegate init {places.quoted(options.config)} -o FILE`"
            )
        return loaded, None
    written = first.write(place, None, terminal, "no configuration yet: ")
    return config.load(path, options.overrides), written


def run(options: argparse.Namespace) -> int:
    from pipeline import notice
    from pipeline.runs import local
    from pipeline.runs.show import show
    from pipeline.terminal import Terminal

    out = Terminal()
    with Terminal(stderr=options.json) as terminal:
        config, _ = _configuration(options, terminal)
        with notice.failures(config):
            say_of_beam(config, terminal)
            summary = local.Runner(config, terminal.stage).run(force=options.force)
        terminal.close()
        if options.json:
            out.line(summary.freeze().to_json(indent=1))
        else:
            show(summary.freeze(), terminal.console)
    return summary.exit_code


def notify(options: argparse.Namespace) -> int:
    from pipeline import notice

    config = load(options)
    problems = notice.test(config)
    for problem in problems:
        print(f"imagegate: {problem}", file=sys.stderr)
    print(f"sent to {len(config.notify) - len(problems)} of {len(config.notify)}")
    return 1 if problems else 0


def report(options: argparse.Namespace) -> int:
    from components.base.text import shown
    from pipeline.runs import report
    from pipeline.terminal import output_to

    with output_to(os.devnull):
        path = report.again(options.run)
    print(shown(path))
    return 0


def history(options: argparse.Namespace) -> int:
    from pipeline.runs import history
    from pipeline.terminal import Terminal

    table, terminal = history.table(load(options)), Terminal()
    terminal.console.print(table)
    return 0


def clean(options: argparse.Namespace) -> int:
    from pipeline.disk import clean

    for line in clean.run(load(options), dry=options.dry):
        print(line)
    return 0


def schema(options: argparse.Namespace) -> int:
    from components.base.text import shown
    from pipeline.runs import freeze

    config = load(options)
    path = freeze.run(config, options.output)
    print(shown(f"wrote {path}"))
    if config.schema_path is None or os.path.abspath(path) != config.schema_path:
        print(shown(f"next: in {options.config}, below data:, schema_file: {os.path.relpath(path, config.folder)}"))
    return 0


def rollback(options: argparse.Namespace) -> int:
    from components.base.text import shown
    from pipeline.runs import rollback

    print(shown(rollback.run(load(options), options.version)))
    return 0


def predict(options: argparse.Namespace) -> int:
    from components.push.signing import trust
    from pipeline.predict import inputs, predict, table
    from pipeline.terminal import Terminal, output_to

    served = predict.find(options.model, trust.of_options(options.key, options.key_env))
    with predict.listing(served):
        found, notes = inputs.expand(options.images, [folder for folder in (options.overlay, options.masks) if folder])
        overlays = predict.overlays_for(served, options.overlay, found) if options.overlay is not None else None
        masks = predict.masks_for(served, options.masks, found) if options.masks is not None else None
        if overlays is not None and masks is not None:
            predict.refuse_one_place(overlays, masks)
    files = [path for written in (overlays, masks) if written is not None for path in written.paths]
    out, failures = Terminal(), 0
    rows = table.Table((i.name for i in found), files, out.width)
    with Terminal(stderr=True) as terminal, output_to(os.devnull):
        with terminal.hidden():
            for note in notes:
                terminal.line(table.cell(note))
        for batch in predict.predict(served, found, overlays, masks):
            with terminal.hidden():
                for result in batch:
                    failures += "error" in result
                    if options.json:
                        out.line(json.dumps(result, ensure_ascii=True, allow_nan=False))
                    elif "error" in result:
                        terminal.line(table.cell(f"{result['image']}: {result['error']}"))
                    else:
                        for line in rows.rows(result):
                            out.line(line)
    return 1 if failures else 0
