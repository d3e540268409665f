"""The command line as its users see it: help, wrong usage, exit codes, and how quick it answers."""

import io
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline import cli

ROOT = Path(__file__).parents[2]
COMMANDS = (
    "init",
    "check",
    "run",
    "report",
    "history",
    "compile",
    "submit",
    "schedule",
    "rollback",
    "pull",
    "predict",
    "watch",
    "backbone",
    "next",
    "served",
    "promote",
    "replay",
)


def imagegate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and error output, in this process."""
    try:
        code = cli.main(arguments)
    except SystemExit as exit_:  # argparse
        code = int(exit_.code or 0)
    return (code, *capsys.readouterr())


def test_help_answers_in_less_than_half_a_second() -> None:
    seconds = []
    for _ in range(5):  # the best of five: other jobs run beside the tests
        started = time.perf_counter()
        process = imagegate("--help")
        seconds.append(time.perf_counter() - started)
        assert process.returncode == 0
    assert all(command in process.stdout for command in COMMANDS)
    assert min(seconds) < 0.5


def test_help_loads_no_tensorflow() -> None:
    code = "import runpy, sys; sys.argv[1:] = ['--help']\ntry: runpy.run_module('pipeline', run_name='__main__')\n"
    code += "except SystemExit: print(sorted({'tensorflow', 'tfx', 'numpy', 'yaml'} & set(sys.modules)))"
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert process.stdout.endswith("\n[]\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    code, out, _ = call(capsys, command, "--help")
    assert code == 0
    assert out.startswith(f"usage: imagegate {command} ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["train"], "invalid choice: 'train'"),
        (["check"], "the following arguments are required: CONFIG"),
        (["run", "a.yaml", "--forse"], "unrecognized arguments: --forse"),
        (["compile", "a.yaml"], "the following arguments are required: -o"),
        (["run", "a.yaml", "--set"], "argument --set: expected one argument"),
        (["predict", "model"], "the following arguments are required: IMAGE"),
        (["init", "folder", "--task", "regression"], "invalid choice: 'regression'"),
        (["init"], "the following arguments are required: PATH"),
        (["schedule", "a.yaml"], "one of the arguments --cron --on-change --list --delete is required"),
        (["schedule", "a.yaml", "--list", "--delete"], "argument --delete: not allowed with argument --list"),
    ],
)
def test_wrong_usage_exits_with_two(capsys: pytest.CaptureFixture[str], arguments: Sequence[str], message: str) -> None:
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("usage: imagegate")
    assert message in err


@pytest.mark.parametrize("command", ["check", "run", "rollback", "submit", "next", "served", "promote"])
def test_a_missing_configuration_is_one_sentence(capsys: pytest.CaptureFixture[str], command: str) -> None:
    code, out, err = call(capsys, command, "none.yaml")
    assert (code, out) == (2, "")
    assert err == "imagegate: none.yaml: No such file or directory; `imagegate init` writes a configuration file\n"


def test_a_file_name_cannot_write_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, err = call(capsys, "check", "\x1b[2Jnone.yaml")
    assert "\\x1b[2Jnone.yaml" in err


def test_overrides_reach_the_configuration(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    call(capsys, "init", str(tmp_path), "--demo")
    config = str(tmp_path / "imagegate.yaml")
    code, _, err = call(capsys, "run", config, "--set", "training.epochs=0", "--set", "data.max_pixels=x")
    assert code == 2
    assert "data.max_pixels: " in err
    assert "training: epochs: expected 1 or more" in err


def test_the_demo_says_what_comes_next(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "pets" / "imagegate.yaml"
    written = (0, f"wrote {path}\nnext: imagegate run {path}\n", "")
    assert call(capsys, "init", str(path.parent), "--demo") == written
    code, _, err = call(capsys, "init", str(path.parent), "--demo")
    assert code == 2
    assert err == f"imagegate: {path} exists already; remove it, or choose another folder\n"


def test_an_interrupt_causes_no_stack_trace(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.init import demo

    def interrupted(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "write", interrupted)
    assert call(capsys, "init", "x", "--demo") == (130, "", "imagegate: stopped by SIGINT\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_early_causes_no_stack_trace(tmp_path: Path, unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "pipeline", "init", str(tmp_path / "x"), "--demo"]
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    process = subprocess.run(command, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, env=environment, check=False)
    os.close(writer)
    assert (process.returncode, process.stderr) == (1, b"")


def test_the_package_can_be_run_as_a_module(tmp_path: Path) -> None:
    assert imagegate("init", str(tmp_path / "a"), "--demo").returncode == 0
    assert imagegate("check", str(tmp_path / "none.yaml")).returncode == 2


def test_a_folder_whose_name_is_not_utf8_can_be_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    strict = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict", write_through=True)
    monkeypatch.setattr(sys, "stdout", strict)
    assert cli.main(["init", str(tmp_path / os.fsdecode(b"\xff")), "--demo"]) == 0
    assert rb"/\udcff/imagegate.yaml" in strict.buffer.getvalue()
