"""Programs that a signal asks to end: each ends in time, whatever it is doing, with the exit code of the signal."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GRACE = 0.5
PROGRAM = """
import hashlib, signal, subprocess, sys, threading, time
from pipeline import stopping
stopping.GRACE = {grace}
def record(stopped):
    print("recorded:", stopped, flush=True)
def ready():
    print("ready", flush=True)
{before}
with stopping.stoppable(), stopping.recorded(record):
    try:
{body}
    except KeyboardInterrupt as error:
        print("raised:", error, flush=True)
"""
PATIENT = "        ready(); time.sleep(60)"
DEAF = """\
        once = [ready]
        while True:
            try:
                if once:
                    once.pop()()
                time.sleep(60)
            except BaseException:
                pass"""
# One call of about a quarter of an hour, before whose end the handler cannot run.
NATIVE = "        threading.Timer(0.5, ready).start(); hashlib.pbkdf2_hmac('sha256', b'', b'', 1_000_000_000)"
BUSY = """\
        threading.Thread(target=time.sleep, args=(60,)).start()
        ready(); time.sleep(60)"""


def program(body: str, before: str = "", *, ignored: signal.Signals | None = None) -> "subprocess.Popen[str]":
    def prepare() -> None:  # a shell that runs the tests in the background, or nohup, has its children ignore some
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        if ignored is not None:
            signal.signal(ignored, signal.SIG_IGN)

    command = [sys.executable, "-c", PROGRAM.format(grace=GRACE, body=body, before=before)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,  # noqa: PLW1509  this is the only thread
    )
    assert process.stdout.readline() == "ready\n"
    return process


def ended(process: "subprocess.Popen[str]", *signals: signal.Signals) -> tuple[int, str, str, float]:
    """Sends the signals; returns the exit code, both outputs and the seconds until the end."""
    began = time.monotonic()
    for number in signals:
        process.send_signal(number)
        time.sleep(0.1)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err, time.monotonic() - began


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("body", [PATIENT, BUSY], ids=["python", "another thread stays"])
def test_a_program_that_listens_ends_at_once(body: str, number: signal.Signals, code: int) -> None:
    found, out, err, seconds = ended(program(body), number)
    assert (found, out, err) == (code, f"raised: stopped by {number.name}\n", "")
    assert seconds < GRACE + 10


@pytest.mark.parametrize("body", [DEAF, NATIVE], ids=["swallows it", "native code"])
def test_one_that_does_not_listen_is_ended_after_its_grace_with_a_record(body: str) -> None:
    found, out, err, seconds = ended(program(body), signal.SIGTERM)
    assert (found, out, err) == (143, "recorded: stopped by SIGTERM\n", "imagegate: stopped by SIGTERM\n")
    assert GRACE < seconds < GRACE + 10


def test_a_second_signal_ends_it_at_once() -> None:
    patient = program(DEAF, before="stopping.GRACE = 60")
    found, out, _, seconds = ended(patient, signal.SIGINT, signal.SIGINT)
    assert (found, out) == (130, "recorded: stopped by SIGINT\n")
    assert seconds < 10


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux lists the children of a process")
def test_what_it_had_started_ends_with_it() -> None:
    child = 'child = subprocess.Popen(["sleep", "60"]); print(child.pid, file=sys.stderr, flush=True)'
    process = program(DEAF, before=child)
    pid = int(process.stderr.readline())
    ended(process, signal.SIGTERM)
    for _ in range(100):  # until it is collected
        if not Path("/proc", str(pid)).exists() or "Z (zombie)" in Path("/proc", str(pid), "status").read_text():
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} is still there")


def test_a_signal_that_was_to_be_ignored_is_ignored() -> None:
    """As under nohup, or in the background of a script."""
    process = program("        ready(); time.sleep(1)", ignored=signal.SIGHUP)
    assert ended(process, signal.SIGHUP)[:3] == (0, "", "")
