"""The terminal: a line per stage, a live line where it can be redrawn, and nothing of anybody else's."""

import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TextIO

import pytest

from components.base import progress
from pipeline.terminal import Terminal, output_to


@dataclass(frozen=True)
class Output:
    """A terminal on a file or a pseudo terminal, and what was written to it."""

    terminal: Terminal
    text: Callable[[], str]


def terminal_on(stream: TextIO) -> Terminal:
    """It copies the descriptor of standard output when it is made, and needs it no more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        return Terminal()


@pytest.fixture
def piped(tmp_path: Path) -> Iterator[Output]:
    path = tmp_path / "out"
    with path.open("w") as out:
        yield Output(terminal_on(out), lambda: path.read_text(encoding="utf-8"))


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Output]:
    """`text` is to be called once, at the end."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    ours, theirs = pty.openpty()
    text = bytearray()

    def read() -> None:
        while b"\0" not in text:
            text.extend(os.read(ours, 4096))

    def all_of_it() -> str:
        os.write(theirs, b"\0")
        reader.join()
        return text.decode()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    with os.fdopen(theirs, "w", closefd=False) as out:
        yield Output(terminal_on(out), all_of_it)
    os.close(theirs)
    os.close(ours)


def stages(terminal: Terminal) -> None:
    terminal.stage("Trainer", "started", 0.0, False)
    terminal.stage("Trainer", "finished", 12.34, False)
    terminal.stage("Evaluator", "finished", 0.1, True)
    terminal.stage("Pusher", "failed", 0.25, False)


def test_each_stage_has_a_line(piped: Output) -> None:
    with piped.terminal:
        stages(piped.terminal)
    assert [line.split() for line in piped.text().splitlines()] == [
        ["Trainer", "ok", "12.3", "s"],
        ["Evaluator", "ok", "cached"],
        ["Pusher", "stopped", "0.2", "s"],
    ]
    assert "\x1b" not in piped.text()


def test_names_are_not_taken_for_markup(piped: Output) -> None:
    piped.terminal.line("a [red]label[/red] \\[x]")
    assert piped.text() == "a [red]label[/red] \\[x]\n"


def test_without_a_terminal_progress_is_a_line_now_and_then(piped: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    start = time.monotonic()
    clock = [start]
    monkeypatch.setattr("pipeline.terminal.time", SimpleNamespace(monotonic=lambda: clock[0]))
    with piped.terminal as terminal:
        terminal._printed_at = start
        terminal.stage("Trainer", "started", 0.0, False)
        for second in range(25):
            clock[0] = start + second
            progress.report("training", second, 30, f"note {second}")
    assert piped.text().splitlines() == ["Trainer: training 10 of 30, note 10", "Trainer: training 20 of 30, note 20"]


def test_on_a_terminal_the_live_line_shows_the_progress(screen: Output) -> None:
    with screen.terminal as terminal:
        terminal.stage("ImageExampleGen", "started", 0.0, False)
        for done in (500, 1000, 2000):
            progress.report("images", done, 2000)
            terminal._bar.refresh()
        terminal.stage("ImageExampleGen", "finished", 3.0, False)
    text = screen.text()
    assert "ImageExampleGen: images" in text
    assert "1,000 of 2,000" in text
    assert "\x1b[" in text  # redrawn in place
    assert "3.0 s" in text


def test_the_live_line_makes_room_for_other_output(screen: Output) -> None:
    with screen.terminal as terminal:
        progress.report("images", 500, 2000)
        terminal._bar.refresh()
        with terminal.hidden():
            terminal.line("a row")
            progress.report("images", 1000, 2000)
            time.sleep(0.3)  # a live line would be drawn three times
            terminal.line("another")
        terminal._bar.refresh()
    before, between, after = re.split("a row|another", screen.text())
    assert "500 of 2,000" in before
    assert "\x1b[2K" in before[before.rindex("500 of 2,000") :]  # erased
    assert between == "\r\n"
    assert "1,000 of 2,000" in after


def test_without_a_live_line_nothing_is_hidden(piped: Output) -> None:
    with piped.terminal as terminal, terminal.hidden():
        terminal.line("a row")
    assert piped.text() == "a row\n"


@pytest.mark.parametrize(("stream", "width"), [("screen", 100), ("piped", None)])
def test_only_a_terminal_has_a_width(stream: str, width: int | None, request: pytest.FixtureRequest) -> None:
    output = request.getfixturevalue(stream)
    assert output.terminal.width == width
    output.text()


def test_a_new_task_starts_a_new_live_line(screen: Output) -> None:
    with screen.terminal as terminal:
        progress.report("features of train", 1, 2)
        progress.report("training the head", 1, 20, "eval loss 0.5")
        terminal._bar.refresh()
        assert [task.description for task in terminal._bar.tasks] == ["training the head"]
        assert terminal._bar.tasks[0].percentage == 5
    assert "eval loss 0.5" in screen.text()


def test_after_closing_no_listener_is_left(piped: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    with piped.terminal as terminal:
        pass
    monkeypatch.setattr("pipeline.terminal._PLAIN_SECONDS", 0)
    progress.report("images", 1, 2)
    terminal.console.print("still usable")
    assert piped.text() == "still usable\n"


REDIRECTED = """
import os, sys
from pipeline.terminal import Terminal, output_to

terminal = Terminal(stderr="--json" in sys.argv)
with output_to(sys.argv[1]):
    terminal.line("shown")
    print("printed")
    print("complained", file=sys.stderr)
    os.write(1, b"native\\n")
    os.system("echo child; echo problem >&2")
print("after")
"""


@pytest.mark.parametrize("json", [False, True])
def test_output_of_others_goes_to_the_log(tmp_path: Path, json: bool) -> None:
    log = tmp_path / "log.txt"
    log.write_text("before\n")
    command = [sys.executable, "-c", REDIRECTED, str(log), *(["--json"] if json else [])]
    run = subprocess.run(command, cwd=Path(__file__).parents[2], check=True, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == (("after\n", "shown\n") if json else ("shown\nafter\n", ""))
    expected = ["before", "printed", "complained", "native", "child", "problem"]
    assert sorted(log.read_text().split()) == sorted(expected)
    assert log.read_text().startswith("before\n")


FAILING = """
import sys
from pipeline.terminal import Terminal, output_to

try:
    with output_to(sys.argv[1]):
        raise ValueError("the reason")
except ValueError:
    print("caught")
"""


def test_a_traceback_goes_to_the_log_and_the_error_is_raised_on(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    command = [sys.executable, "-c", FAILING, str(log)]
    run = subprocess.run(command, cwd=Path(__file__).parents[2], check=True, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("caught\n", "")
    assert log.read_text().startswith("Traceback")
    assert log.read_text().endswith("ValueError: the reason\n")


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    def count() -> int:
        return len(os.listdir("/dev/fd"))

    with output_to(str(tmp_path / "log")):
        pass
    before = count()
    for _ in range(5):
        with output_to(str(tmp_path / "log")):
            pass
    assert count() == before
