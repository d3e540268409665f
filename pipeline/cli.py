"""The commands. Imports nothing heavy before a command needs it: `--help` answers at once."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.config import Config

# TensorFlow's native code prints what it finds on this machine, unless told not to before it is loaded.
_QUIET = "3"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code: 0 done, 1 broke, 2 configuration, 3 data gate, 4 model gate."""
    options = _parser().parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", options.tensorflow_log)
    from components.errors import ImagegateError, shown

    try:
        code: int = options.command(options)
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
    init.add_argument("--task", choices=["single_label"], default="single_label", help="default: %(default)s")
    init.add_argument("--demo", action="store_true", help="also a small real data set: handwritten digits")
    init.set_defaults(command=_init, tensorflow_log=_QUIET)

    check = commands.add_parser("check", help="read data and configuration, apply the data gate, train nothing")
    _add_config(check)
    check.set_defaults(command=_check, tensorflow_log=_QUIET)

    run = commands.add_parser("run", help="the whole pipeline")
    _add_config(run)
    run.add_argument("--force", action="store_true", help="run every stage again, even where nothing is new")
    run.add_argument("--json", action="store_true", help="print summary.json instead of tables")
    run.set_defaults(command=_run, tensorflow_log="0")  # it goes to the run's log

    predict = commands.add_parser("predict", help="labels and probabilities from a pushed model")
    predict.add_argument("model", metavar="MODEL", help="a version's folder, or the push destination: its newest")
    predict.add_argument("images", metavar="IMAGE", nargs="+")
    predict.add_argument("--json", action="store_true", help="one JSON object per image and line")
    predict.set_defaults(command=_predict, tensorflow_log=_QUIET)
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
    from pipeline import starter

    path = starter.write(options.folder, demo=options.demo)
    print(f"wrote {path}\nnext: imagegate run {path}")
    return 0


def _check(options: argparse.Namespace) -> int:
    from pipeline import check, show

    return check.run(_load(options), show.Terminal())


def _run(options: argparse.Namespace) -> int:
    from pipeline import local, show

    config = _load(options)
    with show.Terminal(stderr=options.json) as terminal:
        runner = local.Runner(config, terminal.stage)
        summary = runner.run(force=options.force)
        terminal.close()
        if options.json:
            _print_json(summary.to_json(), indent=1)
        else:
            summary.show(terminal.console)
    return summary.exit_code


def _predict(options: argparse.Namespace) -> int:
    from components.errors import shown
    from pipeline import predict

    failures = 0
    for result in predict.predict(options.model, options.images):
        failures += "error" in result
        if options.json:
            _print_json(result)
        elif "error" in result:
            print(shown(f"{result['image']}: {result['error']}"), file=sys.stderr)
        else:
            best = sorted(result["probabilities"].items(), key=lambda item: -item[1])[:3]
            print(shown(f"{result['image']}: " + ", ".join(f"{label} {p:.3f}" for label, p in best)))
    return 1 if failures else 0


def _print_json(value: Any, indent: int | None = None) -> None:
    print(json.dumps(value, ensure_ascii=True, indent=indent, allow_nan=False))


if __name__ == "__main__":
    raise SystemExit(main())
