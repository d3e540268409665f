"""The commands. Imports nothing heavy before a command needs it: `--help` answers at once."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.init import TASKS

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.cron.expression import Row
    from pipeline.kubeflow.package import Package


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code: 0 done, 1 broke, 2 configuration, 3 data gate, 4 model gate."""
    options = _parser().parse_args(arguments)
    from components.base.errors import ImagegateError
    from components.base.text import shown

    try:
        code: int = options.command(options)
        sys.stdout.flush()  # here, where a reader that has left is expected
    except ImagegateError as error:
        print(f"imagegate: {shown(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("imagegate: interrupted", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output has left: `imagegate … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="imagegate",
        description="Turns a folder of labelled images into a served model, and lets nothing bad through.",
        epilog="exit codes: 0 pushed or nothing new, 1 it broke, 2 configuration or usage, 3 the data gate refused, "
        "4 the model gate refused",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    init = commands.add_parser("init", help="write a commented imagegate.yaml")
    init.add_argument("folder", metavar="DIR")
    init.add_argument("--task", choices=TASKS, default=TASKS[0], help="default: %(default)s")
    init.add_argument("--demo", action="store_true", help="also a small data set: handwritten digits, or drawn shapes")
    init.set_defaults(command=_init)

    check = commands.add_parser("check", help="read data and configuration, apply the data gate, train nothing")
    _add_config(check)
    check.set_defaults(command=_check)

    run = commands.add_parser("run", help="the whole pipeline")
    _add_config(run)
    run.add_argument("--force", action="store_true", help="run every stage again, even where nothing is new")
    run.add_argument("--json", action="store_true", help="print summary.json instead of tables")
    run.set_defaults(command=_run)

    report = commands.add_parser("report", help="write the page of a run again, and print where it is")
    report.add_argument("run", metavar="CONFIG|RUN", help="an imagegate.yaml: its newest run; or the folder of a run")
    report.set_defaults(command=_report)

    history = commands.add_parser("history", help="every run with its verdict and main metric, newest first")
    _add_config(history)
    history.set_defaults(command=_history)

    compile_ = commands.add_parser("compile", help="write the pipeline for Kubeflow Pipelines; reads no data")
    _add_config(compile_)
    compile_.add_argument("-o", dest="output", metavar="FILE.yaml", required=True)
    compile_.set_defaults(command=_compile)

    schema = commands.add_parser("schema", help="freeze what the latest run's data are like; later data must be so")
    _add_config(schema)
    schema.add_argument("-o", dest="output", metavar="FILE", help="default: data.schema_file, or schema.pbtxt")
    schema.set_defaults(command=_schema)

    rollback = commands.add_parser("rollback", help="serve an older version again, as a new one")
    _add_config(rollback)
    rollback.add_argument("version", metavar="VERSION", nargs="?", help="default: the one before the served one")
    rollback.set_defaults(command=_rollback)

    predict = commands.add_parser("predict", help="labels and probabilities from a pushed model, in a table")
    predict.add_argument(
        "model", metavar="MODEL", help="a version's folder or URL, or the push destination: its newest"
    )
    predict.add_argument(
        "images", metavar="IMAGE", nargs="+", help="a file, a folder of images, a pattern such as 'photos/**/*.jpg'"
    )
    predict.add_argument("--json", action="store_true", help="one JSON object per image and line")
    predict.add_argument(
        "--overlay", metavar="DIR", help="write each image there with its mask over it; what is there is not read"
    )
    predict.set_defaults(command=_predict)

    submit = commands.add_parser("submit", help="a run on a Kubeflow Pipelines server")
    _add_config(submit)
    _add_server(submit)
    submit.add_argument("--wait", action="store_true", help="follow the run; exit as it ends")
    submit.set_defaults(command=_submit)

    schedule = commands.add_parser("schedule", help="runs at set times, on a Kubeflow Pipelines server or this machine")
    _add_config(schedule)
    what = schedule.add_mutually_exclusive_group(required=True)
    what.add_argument("--cron", metavar="EXPR", help="create or replace: minute hour day month weekday, or @daily")
    what.add_argument("--list", action="store_true", help="show it, its latest run and its next")
    what.add_argument("--delete", action="store_true", help="remove it")
    schedule.add_argument("--local", action="store_true", help="in this user's crontab instead of a server")
    _add_server(schedule)
    schedule.set_defaults(command=_schedule)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="an imagegate.yaml")
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="override a key, such as training.epochs=3; may be repeated",
    )


def _add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", metavar="URL", help="of the Kubeflow Pipelines API; or KF_PIPELINES_ENDPOINT")
    parser.add_argument("--namespace", metavar="NAME", help="where the server keeps several; or KFP_NAMESPACE")
    parser.add_argument(
        "--token-file", metavar="FILE", help="read for each request; or the token in KFP_EXISTING_TOKEN"
    )
    parser.add_argument("--ca", metavar="FILE", help="certificates, in PEM, of a server with a private authority")
    parser.add_argument(
        "--param",
        dest="params",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a parameter of the compiled pipeline; may be repeated",
    )


def _load(options: argparse.Namespace) -> Config:
    from pipeline import config

    return config.load(options.config, options.overrides)


def _init(options: argparse.Namespace) -> int:
    from components.base.text import shown
    from pipeline.init import starter

    path = shown(starter.write(options.folder, task=options.task, demo=options.demo))
    print(f"wrote {path}\nnext: imagegate run {path}")
    return 0


def _check(options: argparse.Namespace) -> int:
    from pipeline.runs import check
    from pipeline.terminal import Terminal

    with Terminal() as terminal:
        return check.run(_load(options), terminal)


def _run(options: argparse.Namespace) -> int:
    from pipeline.runs import local
    from pipeline.terminal import Terminal

    config = _load(options)
    out = Terminal()
    with Terminal(stderr=options.json) as terminal:
        runner = local.Runner(config, terminal.stage)
        summary = runner.run(force=options.force)
        terminal.close()
        if options.json:
            out.line(json.dumps(summary.to_json(), ensure_ascii=True, indent=1, allow_nan=False))
        else:
            summary.show(terminal.console)
    return summary.exit_code


def _report(options: argparse.Namespace) -> int:
    from components.base.text import shown
    from pipeline.runs import report
    from pipeline.terminal import output_to

    with output_to(os.devnull):
        path = report.again(options.run)
    print(shown(path))
    return 0


def _history(options: argparse.Namespace) -> int:
    from pipeline.runs import history
    from pipeline.terminal import Terminal

    table, terminal = history.table(_load(options)), Terminal()
    terminal.console.print(table)
    return 0


def _compile(options: argparse.Namespace) -> int:
    from components.base.text import shown
    from pipeline.kubeflow import compiler, pods
    from pipeline.terminal import output_to

    config = _load(options)
    with output_to(os.devnull):
        compiler.write(config, options.output)
    for note in pods.outside_of_volumes(config):
        print(shown(f"note: {note}"), file=sys.stderr)
    print(shown(f"wrote {options.output}"))
    return 0


def _schema(options: argparse.Namespace) -> int:
    from components.base.text import shown
    from pipeline.runs import freeze

    config = _load(options)
    path = freeze.run(config, options.output)
    print(shown(f"wrote {path}"))
    if config.schema_path is None or os.path.abspath(path) != config.schema_path:
        print(shown(f"next: in {options.config}, below data:, schema_file: {os.path.relpath(path, config.folder)}"))
    return 0


def _rollback(options: argparse.Namespace) -> int:
    from components.base.text import shown
    from pipeline.runs import rollback

    print(shown(rollback.run(_load(options), options.version)))
    return 0


def _predict(options: argparse.Namespace) -> int:
    from pipeline.predict import inputs, predict, table
    from pipeline.terminal import Terminal, output_to

    served = predict.find(options.model)
    found, notes = inputs.expand(options.images, options.overlay)
    overlays = predict.overlays_for(served, options.overlay, found) if options.overlay is not None else None
    out, failures = Terminal(), 0
    rows = table.Table((i.name for i in found), overlays.paths if overlays else (), out.width)
    with Terminal(stderr=True) as terminal, output_to(os.devnull):
        with terminal.hidden():
            for note in notes:
                terminal.line(table.cell(note))
        for batch in predict.predict(served, found, overlays):
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


def _submit(options: argparse.Namespace) -> int:
    from components.base.text import shown
    from pipeline.kubeflow import follow, package, server, submit
    from pipeline.terminal import Terminal

    config = _load(options)
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

    with output_to(os.devnull):
        spec, platform = compiler.compile(config)
    for note in pods.outside_of_volumes(config):
        print(shown(f"note: {note}"), file=sys.stderr)
    return Package(config.name, spec, platform, config.kubeflow.pipeline_root)


def _schedule(options: argparse.Namespace) -> int:
    config = _load(options)
    if options.local:
        return _schedule_local(options, config)
    from components.base.text import shown
    from pipeline.cron import expression
    from pipeline.kubeflow import package, schedule, server

    to = server.address(options.host, options.namespace, options.token_file, options.ca)
    fields = expression.parse(options.cron) if options.cron is not None else ""
    client = server.connect(to)
    if options.list:
        _show(schedule.rows(client, to, config.name))
    elif options.delete:
        there = schedule.delete(client, to, config.name)
        print(shown(f"deleted the schedule {config.name}" if there else f"there is no schedule {config.name}"))
    else:
        compiled = _package(config)
        made = schedule.replace(client, to, compiled, fields, package.parameters(compiled.spec, options.params))
        print(shown(f"scheduled {config.name} at {fields!r}: {to.page('recurringrun', made)}"))
    return 0


def _schedule_local(options: argparse.Namespace, config: Config) -> int:
    from components.base.errors import ConfigError
    from components.base.text import shown
    from pipeline.cron import crontab, expression

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
        fields = expression.parse(options.cron)
        crontab.schedule(config, options.config, fields, options.overrides)
        log = os.path.join(config.output_folder, crontab.LOG)
        print(shown(f"scheduled {config.name} at {fields!r} in the crontab; its log: {log}"))
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


if __name__ == "__main__":
    raise SystemExit(main())
