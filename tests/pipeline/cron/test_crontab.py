"""`imagegate schedule --local`: the block in the crontab, and what cron then runs."""

import datetime
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.base.errors import ImagegateError
from pipeline import cli
from pipeline.cron import crontab

ROOT = Path(__file__).parents[3]
Call = Callable[..., tuple[int, str, str]]
BEGIN, END = "# imagegate: birds begin", "# imagegate: birds end"
OTHERS = b"MAILTO=me\n# imagegate: fish begin\n1 2 3 4 5 true \\% \xff\n# imagegate: fish end\n\n  @daily  x\t\n"

# The interface of every cron's crontab command: -l prints, - reads; without a table, -l fails and says so.
FAKE = """#!/bin/sh
test -e "{folder}/refuse" && {{ echo "You (me) are not allowed to use this program (crontab)" >&2; exit 1; }}
case "$1" in
  -l) test -e "{folder}/table" && exec cat "{folder}/table"; echo "no crontab for me" >&2; exit 1;;
  -) cat > "{folder}/new"; grep -q forbidden "{folder}/new" && {{ echo "bad minute" >&2; exit 1; }}
     mv "{folder}/new" "{folder}/table";;
  *) exit 2;;
esac
"""


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a crontab command: the table is its file `table`."""
    folder = tmp_path / "spool"
    folder.mkdir()
    command = folder / "crontab"
    command.write_text(FAKE.format(folder=folder))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration in a folder whose name a shell and cron would both trip over."""
    folder = tmp_path / "50% of 'my $HOME'; touch x"
    (folder / "data" / "cat").mkdir(parents=True)
    path = folder / "imagegate.yaml"
    path.write_text("name: birds\ntask: single_label\ndata: {root: data}\npush: {destination: models}\n")
    return path


@pytest.fixture
def call(config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("PYTHONPATH", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["schedule", str(config), "--local", *arguments])
        return (code, *capsys.readouterr())

    return run


def as_cron(line: str) -> subprocess.Popen[str]:
    """Runs a crontab's line as cron does: `\\%` is a %, a bare % ends it, sh, and next to no environment."""
    command = line.split(maxsplit=5)[5].replace("\\%", "\0")
    assert "%" not in command
    command = command.replace("\0", "%")
    return subprocess.Popen(
        ["/bin/sh", "-c", command],
        env={"HOME": "/", "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "LOGNAME": "me"},
        cwd="/",
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def block(table: bytes) -> str:
    lines = table.decode(errors="surrogateescape").split("\n")
    return lines[lines.index(BEGIN) + 1]


def test_schedules_are_created_replaced_listed_and_deleted(call: Call, spool: Path, config: Path) -> None:
    table = spool / "table"
    log = config.parent / "runs/birds/schedule.log"
    assert call("--list") == (0, "there is no schedule\n", "")
    assert call("--cron", "30 3 * * MON") == (
        0,
        f"scheduled birds at '30 3 * * 1' in the crontab; its log: {log}\n",
        "",
    )
    first = table.read_bytes()
    assert first == f"{BEGIN}\n{block(first)}\n{END}\n".encode()
    assert block(first).startswith(f"30 3 * * 1 cd {ROOT} && {sys.executable} -m pipeline.scheduled ")
    assert call("--cron", "@yearly", "--set", "training.epochs=2")[0] == 0
    second = table.read_bytes()
    assert second.count(BEGIN.encode()) == 1
    assert block(second) == "0 0 1 1 *" + block(first).removeprefix("30 3 * * 1") + " --set training.epochs=2"
    code, out, _ = call("--list")
    cells = [c.strip() for c in out.splitlines()[1].split("  ") if c.strip()]
    assert code == 0
    assert cells[:4] == ["birds", "0 0 1 1 *", "on", "never"]
    assert cells[4].startswith(f"{datetime.datetime.now().astimezone().year + 1}-01-01 00:00")
    assert call("--delete") == (0, "deleted the schedule birds\n", "")
    assert table.read_bytes() == b""
    assert call("--delete") == (0, "there is no schedule birds\n", "")


def test_a_process_of_its_own_prints_the_list_too(call: Call, spool: Path, config: Path) -> None:
    assert call("--cron", "@daily")[0] == 0
    command = [sys.executable, "-m", "pipeline", "schedule", config, "--local", "--list"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1].startswith("birds  0 0 * * *  on ")


def test_other_lines_stay_byte_for_byte(call: Call, spool: Path) -> None:
    table = spool / "table"
    table.write_bytes(OTHERS)
    assert call("--cron", "@daily")[0] == 0
    made = table.read_bytes()
    assert made.startswith(OTHERS + BEGIN.encode())
    table.write_bytes(made + b"# after\n")
    assert call("--cron", "@weekly")[0] == 0
    assert table.read_bytes() == OTHERS + made[len(OTHERS) :].replace(b"0 0 * * *", b"0 0 * * 0") + b"# after\n"
    assert call("--delete")[0] == 0
    assert table.read_bytes() == OTHERS + b"# after\n"


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}", fullmatch=True)
lines = st.lists(st.binary(max_size=12).filter(lambda b: b"\n" not in b), max_size=5).map(
    lambda found: b"".join(line + b"\n" for line in found)
)


@given(lines, lines, names, st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"]), min_size=1))
def test_a_block_is_added_changed_and_removed(before: bytes, after: bytes, name: str, line: str) -> None:
    made = crontab.change(before, name, line)
    assert made == before + f"# imagegate: {name} begin\n{line}\n# imagegate: {name} end\n".encode()
    assert crontab.find(made + after, name) == line
    other = crontab.change(made + after, name, "0 0 * * * true")
    assert crontab.find(other, name) == "0 0 * * * true"
    assert crontab.change(other, name, line) == made + after
    assert crontab.change(other, name, None) == before + after
    assert crontab.find(before + after, name) is None


def test_a_table_without_a_last_line_break_gets_one(call: Call, spool: Path) -> None:
    (spool / "table").write_bytes(b"@daily x")
    assert call("--cron", "@daily")[0] == 0
    assert (spool / "table").read_bytes().startswith(b"@daily x\n# imagegate: birds begin\n")


@pytest.mark.parametrize(
    "broken",
    [
        f"{BEGIN}\n1 2 3 4 5 x\n",
        f"1 2 3 4 5 x\n{END}\n",
        f"{END}\n1 2 3 4 5 x\n{BEGIN}\n",
        f"{BEGIN}\n{END}\n",
        f"{BEGIN}\n1 2 3 4 5 x\n@daily precious\n{END}\n",
        f"{BEGIN}\n@daily precious\n{BEGIN}\n1 2 3 4 5 x\n{END}\n",
    ],
)
@pytest.mark.parametrize("arguments", [("--cron", "@daily"), ("--delete",), ("--list",)])
def test_unpaired_marks_are_left_alone(call: Call, spool: Path, broken: str, arguments: tuple[str, ...]) -> None:
    (spool / "table").write_text(broken)
    code, out, err = call(*arguments)
    assert (code, out) == (1, "")
    assert err == (
        f"imagegate: the crontab's lines '{BEGIN}' and '{END}' no longer enclose exactly one line; "
        "remove them with crontab -e\n"
    )
    assert (spool / "table").read_text() == broken


def test_another_configuration_of_the_same_name_is_not_replaced(call: Call, spool: Path, tmp_path: Path) -> None:
    assert call("--cron", "@daily")[0] == 0
    before = (spool / "table").read_bytes()
    other = tmp_path / "other.yaml"
    other.write_text("name: birds\ntask: single_label\ndata: {root: data}\npush: {destination: models}\n")
    assert cli.main(["schedule", str(other), "--local", "--cron", "@hourly"]) == 2
    assert (spool / "table").read_bytes() == before


def test_a_table_that_cannot_be_read_is_not_taken_for_empty(
    call: Call, spool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (spool / "table").write_bytes(OTHERS)
    (spool / "refuse").touch()
    code, _, err = call("--cron", "@daily")
    assert code == 1
    assert err == "imagegate: crontab -l: You (me) are not allowed to use this program (crontab)\n"
    assert (spool / "table").read_bytes() == OTHERS


def test_a_refused_table_leaves_the_old_one(call: Call, spool: Path) -> None:
    (spool / "table").write_bytes(OTHERS)
    code, _, err = call("--cron", "@daily", "--set", "output=forbidden")
    assert (code, err) == (1, "imagegate: crontab: bad minute; the crontab is unchanged\n")
    assert (spool / "table").read_bytes() == OTHERS


def test_a_missing_crontab_command_is_reported_in_one_sentence(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    code, out, err = call("--list")
    assert (code, out) == (1, "")
    assert err == "imagegate: there is no crontab command on this machine; install cron, or schedule on a server\n"


@pytest.mark.parametrize(
    "option", [("--host", "http://x"), ("--namespace", "x"), ("--token-file", "x"), ("--ca", "x"), ("--param", "a=b")]
)
def test_options_of_a_server_exit_with_2(call: Call, option: tuple[str, str]) -> None:
    code, _, err = call("--cron", "@daily", *option)
    assert (code, err) == (2, f"imagegate: --local: takes no {option[0]}; --set changes a setting\n")


def test_a_wrong_expression_exits_with_2_and_writes_nothing(call: Call, spool: Path) -> None:
    code, _, err = call("--cron", "0 3 * * 9")
    assert code == 2
    assert err.startswith("imagegate: --cron: day of week: '9': expected 0 to 7")
    assert not (spool / "table").exists()


def test_a_line_break_is_refused(call: Call, spool: Path) -> None:
    code, _, err = call("--cron", "@daily", "--set", "data.split={train: 0.8,\n eval: 0.1, test: 0.1}")
    assert code == 2
    assert err.startswith("imagegate: a crontab cannot hold a path or --set with a line break")
    assert not (spool / "table").exists()


def test_the_line_is_quoted_for_the_shell_and_for_cron() -> None:
    made = crontab.line("0 3 * * 1", "/a b/100%.yaml", ["x='$y'"], "/tmp/c d", {"PYTHONPATH": "/e f", "SECRET": "no"})
    words = shlex.split(made.removeprefix("0 3 * * 1 ").replace("\\%", "%"))
    assert words == [
        "cd", "/tmp/c d", "&&", "PYTHONPATH=/e f",
        sys.executable, "-P", "-m", "pipeline.scheduled", "/a b/100%.yaml", "--set", "x='$y'",
    ]  # fmt: skip
    assert "-P" not in crontab.line("* * * * *", "x", [], str(ROOT), {}).split()


# What cron runs.


@pytest.fixture
def scheduled(call: Call, spool: Path) -> str:
    assert call("--cron", "@daily")[0] == 0
    return block((spool / "table").read_bytes())


def test_the_line_runs_and_its_words_go_to_the_log(scheduled: str, config: Path, call: Call) -> None:
    """There are no images, so the data gate refuses: a whole run, yet a quick one."""
    output = config.parent / "runs/birds"
    done = as_cron(scheduled)
    out, err = done.communicate()
    log = (output / "schedule.log").read_text()
    assert (done.returncode, out) == (3, ""), (err, log)
    assert err == f"imagegate: birds: exit code 3; see {output}/schedule.log\n"
    assert "refused" in log
    assert len(list((output / "history").iterdir())) == 1
    assert not (config.parent / "x").exists()
    assert not list(ROOT.glob("x"))
    as_cron(scheduled).communicate()
    assert (output / "schedule.log").read_text().startswith(log)
    assert (output / "schedule.log").stat().st_size > len(log)
    assert "data_rejected" in call("--list")[1]


HOLD = """
import fcntl, sys, time
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_while_a_run_goes_on_the_next_is_skipped_silently(scheduled: str, config: Path) -> None:
    output = config.parent / "runs/birds"
    output.mkdir(parents=True)
    one = subprocess.Popen(
        [sys.executable, "-c", HOLD, output / "schedule.lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert one.stdout is not None
    assert one.stdout.readline() == "held\n"
    done = as_cron(scheduled)
    assert (*done.communicate(), done.returncode) == ("", "", 0)
    assert sorted(os.listdir(output)) == ["schedule.lock"]
    one.kill()  # even so: the lock dies with its process
    one.communicate()
    done = as_cron(scheduled)
    done.communicate()
    assert done.returncode == 3


def test_two_at_once_do_not_overlap(scheduled: str, config: Path) -> None:
    """The first is halted once it has begun, until the second is through."""
    log = config.parent / "runs/birds/schedule.log"
    first = as_cron(scheduled)
    deadline = time.monotonic() + 60
    while not log.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(first.pid, signal.SIGSTOP)
    second = as_cron(scheduled)
    assert (*second.communicate(timeout=60), second.returncode) == ("", "", 0)
    assert first.poll() is None
    os.killpg(first.pid, signal.SIGCONT)
    first.communicate(timeout=60)
    assert first.returncode == 3
    assert [line for line in log.read_text().splitlines() if line.startswith("== ")] == [log.read_text().split("\n")[0]]


def test_a_configuration_that_is_gone_is_reported_to_cron(scheduled: str, config: Path) -> None:
    config.unlink()
    done = as_cron(scheduled)
    out, err = done.communicate()
    assert (done.returncode, out) == (2, "")
    assert err == f"imagegate: {config}: No such file or directory; `imagegate init` writes a configuration file\n"


def test_find_raises_on_a_broken_block() -> None:
    with pytest.raises(ImagegateError, match="no longer enclose exactly one line"):
        crontab.find(f"{BEGIN}\n".encode(), "birds")
