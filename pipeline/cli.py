"""The command line. Imports nothing heavy before a command needs it: `--help` answers at once."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from components.base import machine
from pipeline import stopping
from pipeline.commands import backbone, local, promotion, remote
from pipeline.commands.compare import compare as _compare
from pipeline.commands.next_images import next_ as _next
from pipeline.commands.pull import pull as _pull
from pipeline.commands.tune import tune as _tune
from pipeline.commands.verify import verify as _verify
from pipeline.commands.watch import watch as _watch
from pipeline.init import TASKS


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code: 0 done, 1 broke, 2 configuration, 3 data gate, 4 model gate.

    Args:
        arguments: default: those of this process, which is the program then and ends at a signal; see `stopping`.
    """
    if arguments is None:
        machine.limit_threads()
        with stopping.stoppable():
            return main(sys.argv[1:])
    options = _parser().parse_args(arguments)
    from components.base.errors import ImagegateError
    from components.base.text import shown

    try:
        code: int = options.command(options)
        sys.stdout.flush()  # here, where a reader that has left is expected
    except ImagegateError as error:
        print(f"imagegate: {shown(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as error:
        stopped = stopping.Stopped.by(error)
        print(f"imagegate: {stopped}", file=sys.stderr)
        return stopped.exit_code
    except BrokenPipeError:  # the reader of our output has left: `imagegate … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as error:
        from pipeline.disk import room

        full = room.explain(error, ())
        if full is None:
            raise
        print(f"imagegate: {shown(str(full))}", file=sys.stderr)
        return full.exit_code
    return code


class _Parser(argparse.ArgumentParser):
    """Does not repeat the password of a URL in an argument that no command takes."""

    def error(self, message: str) -> NoReturn:
        from components.base.text import without_passwords

        super().error(without_passwords(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="imagegate",
        description="Turns a folder of labelled images into a served model, and lets nothing bad through.",
        epilog="exit codes: 0 pushed or nothing new, 1 it broke, 2 configuration or usage, 3 the data gate refused, "
        "4 the model gate refused, 130 or 143 it was stopped by Ctrl-C or SIGTERM",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    init = commands.add_parser("init", help="look at a data set and write its configuration, NAME.yaml")
    init.add_argument("path", metavar="PATH", help="a folder, archive, table, annotation file or URL")
    init.add_argument("-o", dest="output", metavar="FILE", help="default: NAME.yaml beside the data")
    init.add_argument("--task", choices=TASKS, help="default: the most likely one")
    init.add_argument(
        "--demo", action="store_true", help="write a small data set, digits or shapes, and imagegate.yaml into PATH"
    )
    init.add_argument(
        "--bands", action="store_true", help="with --demo --task segmentation: sequences of images with six bands"
    )
    init.set_defaults(command=local.init)

    data = "; a folder, archive, table or URL: its NAME.yaml, which `init` writes if there is none"
    check = commands.add_parser("check", help="read data and configuration, apply the data gate, train nothing")
    _add_config(check, data)
    check.add_argument(
        "-o", dest="output", metavar="FILE.csv", help="write every finding there, in the form that data.exclude reads"
    )
    check.set_defaults(command=local.check)

    run = commands.add_parser("run", help="the whole pipeline")
    _add_config(run, data)
    run.add_argument("--force", action="store_true", help="run every stage again, even where nothing is new")
    run.add_argument("--json", action="store_true", help="print summary.json instead of tables")
    run.set_defaults(command=local.run)

    tune = commands.add_parser("tune", help="search for better settings of training, on train and eval alone")
    _add_config(tune)
    tune.add_argument("--trials", metavar="N", type=int, help="largest number of trials; default: tuning.trials")
    tune.add_argument("--minutes", metavar="M", type=float, help="how long it may take; default: tuning.minutes")
    tune.add_argument(
        "--over", metavar="KEY,…", help="keys of training to try values of, such as loss; default: tuning.over"
    )
    tune.set_defaults(command=_tune)

    compare = commands.add_parser("compare", help="methods for rare labels, side by side, on train and eval alone")
    _add_config(compare)
    compare.add_argument("--methods", metavar="A,B,…", help="default: all for rare labels that apply to the task")
    compare.add_argument("--seeds", metavar="N", type=int, default=3, help="trainings of each method; default: 3")
    compare.set_defaults(command=_compare)

    networks = commands.add_parser("backbone", help="pretrained networks: which are good, and their weights")
    what_for = networks.add_subparsers(title="commands", required=True, metavar="COMMAND")
    listed = what_for.add_parser("list", help="some that are good for what they cost, and which are on this machine")
    listed.set_defaults(command=backbone.list_)
    fetched = what_for.add_parser("fetch", help="download and check the ImageNet weights of one, for use offline")
    fetched.add_argument("name", metavar="NAME", help="in keras.applications, such as EfficientNetV2B0")
    fetched.set_defaults(command=backbone.fetch)

    notify = commands.add_parser("notify", help="send a test message to everyone in the section notify")
    _add_config(notify)
    notify.add_argument("--test", action="store_true", required=True, help="say that it is a test")
    notify.set_defaults(command=local.notify)

    report = commands.add_parser("report", help="write the page of a run again, and print where it is")
    report.add_argument("run", metavar="CONFIG|RUN", help="a configuration: its newest run; or the folder of a run")
    report.set_defaults(command=local.report)

    history = commands.add_parser("history", help="every run with its verdict and main metric, newest first")
    _add_config(history)
    history.set_defaults(command=local.history)

    clean = commands.add_parser("clean", help="remove what runs beyond output.keep wrote, and remains of killed runs")
    _add_config(clean)
    clean.add_argument("--dry-run", dest="dry", action="store_true", help="only tell what would be removed")
    clean.set_defaults(command=local.clean)

    compile_ = commands.add_parser("compile", help="write the pipeline for Kubeflow Pipelines; reads no data")
    _add_config(compile_)
    compile_.add_argument("-o", dest="output", metavar="FILE.yaml", required=True)
    compile_.set_defaults(command=remote.compile)

    schema = commands.add_parser("schema", help="freeze what the latest run's data are like; later data must be so")
    _add_config(schema)
    schema.add_argument("-o", dest="output", metavar="FILE", help="default: data.schema_file, or schema.pbtxt")
    schema.set_defaults(command=local.schema)

    rollback = commands.add_parser("rollback", help="serve an older version again, as a new one")
    _add_config(rollback)
    rollback.add_argument("version", metavar="VERSION", nargs="?", help="default: the one before the served one")
    rollback.set_defaults(command=local.rollback)

    pull = commands.add_parser("pull", help="copy the served version to a folder from which a server loads it")
    pull.add_argument("url", metavar="URL", help="the push destination, folder or URL")
    pull.add_argument("folder", metavar="DIR", help="made if missing; for versions from this destination alone")
    pull.add_argument("--watch", action="store_true", help="go on, and pull each version that is served from then on")
    pull.add_argument("--keep", metavar="N", type=int, default=2, help="versions that stay in DIR; default: 2")
    pull.add_argument("--json", action="store_true", help="one JSON object per pull and line")
    _add_keys(pull)
    pull.set_defaults(command=_pull)

    verify = commands.add_parser("verify", help="whether a trusted key signed a pushed version, and where it came from")
    verify.add_argument("model", metavar="MODEL", help="a version's folder or URL, or the push destination: its newest")
    verify.add_argument("--json", action="store_true", help="one JSON object instead of sentences")
    _add_keys(verify)
    verify.set_defaults(command=_verify)

    promote = commands.add_parser("promote", help="serve the challenger that push.as: challenger has pushed")
    _add_config(promote)
    promote.add_argument("version", metavar="VERSION", nargs="?", help="default: the newest challenger")
    promote.set_defaults(command=promotion.promote)

    replay = commands.add_parser("replay", help="the served model and its challenger on images: where they differ")
    _add_config(replay)
    replay.add_argument("images", metavar="FOLDER", help="of images without labels; a path, a pattern or a URL")
    replay.add_argument("-o", dest="output", metavar="FILE.html", help="default: replay.html beside the configuration")
    replay.add_argument("--json", action="store_true", help="print JSON instead of a table")
    replay.set_defaults(command=promotion.replay)

    served = commands.add_parser("served", help="which version was served when, from which data and code")
    _add_config(served)
    served.add_argument(
        "--at", metavar="DATE", help="only what was served then: 2026-05-03 or 2026-05-03T14:30, in UTC"
    )
    served.add_argument("--json", action="store_true", help="print JSON instead of a table")
    served.set_defaults(command=promotion.served)

    predict = commands.add_parser("predict", help="labels and probabilities from a pushed model, in a table")
    predict.add_argument(
        "model",
        metavar="MODEL",
        help="a version's folder or URL, or the push destination: its newest; or an exported file",
    )
    predict.add_argument(
        "images", metavar="IMAGE", nargs="+", help="a file, a folder of images, a pattern such as 'photos/**/*.jpg'"
    )
    predict.add_argument("--json", action="store_true", help="one JSON object per image and line")
    predict.add_argument(
        "--overlay", metavar="DIR", help="write each image there with its mask over it; what is there is not read"
    )
    predict.add_argument(
        "--masks", metavar="DIR", help="write each mask there, as a PNG or GeoTIFF file of label indices"
    )
    _add_keys(predict)
    predict.set_defaults(command=local.predict)

    watch = commands.add_parser("watch", help="whether images that come in are like those that a model learnt from")
    watch.add_argument("model", metavar="MODEL", help="a version's folder or URL, or the push destination: its newest")
    watch.add_argument("folder", metavar="FOLDER", help="of images without labels; a folder, archive or URL")
    watch.add_argument("--json", action="store_true", help="one JSON object instead of sentences")
    _add_keys(watch)
    watch.set_defaults(command=_watch)

    following = commands.add_parser("next", help="which images of data.unlabelled to label next, in a table and a page")
    _add_config(following)
    following.add_argument("-n", dest="count", metavar="N", type=int, default=100, help="how many; default: 100")
    following.add_argument(
        "-o",
        dest="output",
        metavar="FILE.csv",
        help="default: next.csv beside the configuration; the page is FILE.html",
    )
    following.set_defaults(command=_next)

    submit = commands.add_parser("submit", help="a run on a Kubeflow Pipelines server")
    _add_config(submit)
    _add_server(submit)
    submit.add_argument("--wait", action="store_true", help="follow the run; exit as it ends")
    submit.set_defaults(command=remote.submit)

    schedule = commands.add_parser("schedule", help="runs at set times, on a Kubeflow Pipelines server or this machine")
    _add_config(schedule)
    what = schedule.add_mutually_exclusive_group(required=True)
    what.add_argument("--cron", metavar="EXPR", help="create or replace: minute hour day month weekday, or @daily")
    what.add_argument(
        "--on-change",
        metavar="EXPR",
        nargs="?",
        const="@hourly",
        help="look at the data at these times, default @hourly, and run if enough is new",
    )
    what.add_argument("--list", action="store_true", help="show it, its latest run and its next")
    what.add_argument("--delete", action="store_true", help="remove it")
    schedule.add_argument("--min-new", metavar="N", type=int, help="enough for --on-change; default: 100")
    schedule.add_argument(
        "--max-days", metavar="D", type=float, help="after which --on-change takes any change; default: 7"
    )
    schedule.add_argument("--local", action="store_true", help="in this user's crontab instead of a server")
    _add_server(schedule)
    schedule.set_defaults(command=remote.schedule)
    return parser


def _add_config(parser: argparse.ArgumentParser, data: str = "") -> None:
    parser.add_argument("config", metavar="CONFIG|PATH" if data else "CONFIG", help=f"a configuration{data}")
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="override a key, such as training.epochs=3; may be repeated",
    )


def _add_keys(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--key",
        metavar="FILE",
        action="append",
        default=[],
        help="public keys, in PEM, of which one must have signed the model; may be repeated",
    )
    parser.add_argument("--key-env", metavar="NAME", help="such keys in this environment variable")


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


if __name__ == "__main__":
    raise SystemExit(main())
