"""The commands. Imports nothing heavy before a command needs it: `--help` answers at once."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.config import Config

_TASKS = ("single_label", "multi_label", "segmentation")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code: 0 done, 1 broke, 2 configuration, 3 data gate, 4 model gate."""
    options = _parser().parse_args(arguments)
    from components.errors import ImagegateError, shown

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
    init.add_argument("--task", choices=_TASKS, default=_TASKS[0], help="default: %(default)s")
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

    predict = commands.add_parser("predict", help="labels and probabilities from a pushed model")
    predict.add_argument(
        "model", metavar="MODEL", help="a version's folder or URL, or the push destination: its newest"
    )
    predict.add_argument("images", metavar="IMAGE", nargs="+")
    predict.add_argument("--json", action="store_true", help="one JSON object per image and line")
    predict.set_defaults(command=_predict)
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


def _load(options: argparse.Namespace) -> Config:
    from pipeline import config

    return config.load(options.config, options.overrides)


def _init(options: argparse.Namespace) -> int:
    from components.errors import shown
    from pipeline import starter

    path = shown(starter.write(options.folder, task=options.task, demo=options.demo))
    print(f"wrote {path}\nnext: imagegate run {path}")
    return 0


def _check(options: argparse.Namespace) -> int:
    from pipeline import check, show

    with show.Terminal() as terminal:
        return check.run(_load(options), terminal)


def _run(options: argparse.Namespace) -> int:
    from pipeline import local, show

    config = _load(options)
    out = show.Terminal()
    with show.Terminal(stderr=options.json) as terminal:
        runner = local.Runner(config, terminal.stage)
        summary = runner.run(force=options.force)
        terminal.close()
        if options.json:
            out.line(json.dumps(summary.to_json(), ensure_ascii=True, indent=1, allow_nan=False))
        else:
            summary.show(terminal.console)
    return summary.exit_code


def _compile(options: argparse.Namespace) -> int:
    from components.errors import shown
    from pipeline import kubeflow, pods, show

    config = _load(options)
    with show.output_to(os.devnull):
        kubeflow.write(config, options.output)
    for note in pods.outside_of_volumes(config):
        print(shown(f"note: {note}"), file=sys.stderr)
    print(shown(f"wrote {options.output}"))
    return 0


def _schema(options: argparse.Namespace) -> int:
    from components.errors import shown
    from pipeline import freeze

    config = _load(options)
    path = freeze.run(config, options.output)
    print(shown(f"wrote {path}"))
    if config.schema_path is None or os.path.abspath(path) != config.schema_path:
        print(shown(f"next: in {options.config}, below data:, schema_file: {os.path.relpath(path, config.folder)}"))
    return 0


def _rollback(options: argparse.Namespace) -> int:
    from components.errors import shown
    from pipeline import rollback

    print(shown(rollback.run(_load(options), options.version)))
    return 0


def _predict(options: argparse.Namespace) -> int:
    from components.errors import shown
    from pipeline import predict, show

    out, problems, failures = show.Terminal(), show.Terminal(stderr=True), 0
    with show.output_to(os.devnull):
        for result in predict.predict(options.model, options.images):
            failures += "error" in result
            if options.json:
                out.line(json.dumps(result, ensure_ascii=True, allow_nan=False))
            elif "error" in result:
                problems.line(shown(f"{result['image']}: {result['error']}"))
            else:
                out.line(shown(predict.line(result)))
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
