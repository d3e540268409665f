"""Commands of Kubeflow Pipelines and of schedules: compile, submit, schedule."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.commands.local import load

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.cron.expression import Row
    from pipeline.kubeflow.package import Package


def compile(options: argparse.Namespace) -> int:
    from components.base.text import shown
    from pipeline.kubeflow import compiler, pods
    from pipeline.terminal import output_to

    config = load(options)
    _say_of_beam(config)
    with output_to(os.devnull):
        compiler.write(config, options.output)
    for note in pods.notes(config):
        print(shown(f"note: {note}"), file=sys.stderr)
    print(shown(f"wrote {options.output}"))
    return 0


def _say_of_beam(config: Config) -> None:
    """Prints what there is to say of the key `beam` where pods start the stages."""
    from components.base.text import shown
    from pipeline.config import beam

    for line in beam.check(config, here=False):
        print(shown(line), file=sys.stderr)


def submit(options: argparse.Namespace) -> int:
    from components.base.text import shown
    from pipeline.kubeflow import follow, package, server, submit
    from pipeline.terminal import Terminal

    config = load(options)
    to = server.address(options.host, options.namespace, options.token_file, options.ca)
    client = server.connect(to)
    compiled = _package(config)
    values = package.parameters(compiled.spec, options.params)
    with Terminal() as terminal:
        run = submit.submit(client, to, compiled, values)
        terminal.line(shown(f"submitted run {run}: {to.page('runs', run)}"))
        if options.wait:
            follow.follow(client, to, run, compiled.tasks, terminal.stage)
            terminal.line(shown(f"the run {run} succeeded"))
    return 0


def _package(config: Config) -> Package:
    from components.base.text import shown
    from pipeline.kubeflow import compiler, pods
    from pipeline.kubeflow.package import Package
    from pipeline.terminal import output_to

    _say_of_beam(config)
    with output_to(os.devnull):
        spec, platform = compiler.compile(config)
    for note in pods.notes(config):
        print(shown(f"note: {note}"), file=sys.stderr)
    return Package(config.name, spec, platform, config.kubeflow.pipeline_root)


def schedule(options: argparse.Namespace) -> int:
    from components.base.errors import ConfigError

    config = load(options)
    if options.on_change is None and not (options.min_new is None and options.max_days is None):
        raise ConfigError("--min-new, --max-days: need --on-change; with --cron, every run starts at its time")
    if options.local:
        return _schedule_local(options, config)
    from components.base.text import shown
    from pipeline.cron import expression
    from pipeline.kubeflow import package, schedule, server

    to = server.address(options.host, options.namespace, options.token_file, options.ca)
    times = options.cron if options.on_change is None else options.on_change
    fields = expression.parse(times) if times is not None else ""
    waits = _waits(options)
    client = server.connect(to)
    if options.list:
        _show(schedule.rows(client, to, config.name))
    elif options.delete:
        there = schedule.delete(client, to, config.name)
        print(shown(f"deleted the schedule {config.name}" if there else f"there is no schedule {config.name}"))
    else:
        compiled = _package(config)
        poll = None if waits is None else lambda started: _poll_package(config, started, *waits)
        values = package.parameters(compiled.spec, options.params)
        made = schedule.replace(client, to, compiled, fields, values, poll)
        print(shown(f"scheduled {config.name} at {fields!r}{_new(waits)}: {to.page('recurringrun', made)}"))
    return 0


def _poll_package(config: Config, started: Mapping[str, Any], min_new: int, max_days: float) -> Package:
    from pipeline.kubeflow import compiler, schedule
    from pipeline.kubeflow.package import Package

    spec, platform = compiler.compile_poll(config, started, min_new, max_days)
    return Package(schedule.poll_name(config.name), spec, platform, config.kubeflow.pipeline_root)


def _waits(options: argparse.Namespace) -> tuple[int, float] | None:
    """The new images and the days that a schedule waits for; None where it does not wait."""
    from components.base.errors import ConfigError
    from pipeline.cron import change

    if options.on_change is None:
        return None
    min_new = change.MIN_NEW if options.min_new is None else options.min_new
    max_days = change.MAX_DAYS if options.max_days is None else options.max_days
    if min_new < 1 or not 0 < max_days < math.inf:
        raise ConfigError(
            f"--min-new, --max-days: expected 1 or more images and more than 0 days, got {min_new} and {max_days:g}"
        )
    return min_new, max_days


def _new(waits: tuple[int, float] | None) -> str:
    return "" if waits is None else f", if {waits[0]:,} images are new or any is after {waits[1]:g} days"


def _schedule_local(options: argparse.Namespace, config: Config) -> int:
    from components.base.errors import ConfigError
    from components.base.text import shown
    from pipeline.cron import change, crontab, expression

    for name in ("host", "namespace", "token_file", "ca", "params"):
        if getattr(options, name):
            raise ConfigError(
                f"--local: takes no --{name.replace('_', '-').removesuffix('s')}; --set changes a setting"
            )
    if options.list:
        _show(crontab.rows(config))
    elif options.delete:
        there = crontab.delete(config.name)
        print(shown(f"deleted the schedule {config.name}" if there else f"there is no schedule {config.name}"))
    else:
        waits = _waits(options)
        fields = expression.parse(options.cron if waits is None else options.on_change)
        further = () if waits is None else change.arguments(*waits)
        crontab.schedule(config, options.config, fields, options.overrides, further)
        log = os.path.join(config.output_folder, crontab.LOG)
        print(shown(f"scheduled {config.name} at {fields!r}{_new(waits)} in the crontab; its log: {log}"))
    return 0


def _show(rows: Sequence[Row]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from components.base.text import shown
    from pipeline.terminal import Terminal

    if not rows:
        print("there is no schedule")
        return
    table = Table("name", "cron", "state", "latest run", "next run", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(escape(shown(c)) for c in (row.name, row.cron, row.state, row.latest_run, row.next_run)))
    with Terminal() as terminal:
        terminal.console.print(table)
