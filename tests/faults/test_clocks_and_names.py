"""Clocks that go back, files that change while they are read or cannot be read, strange names, and very many files.

`make faults FAULTS=tests/faults/test_clocks_and_names.py` runs all of it.
"""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from broken import shim, small, table
from broken.session import Session
from broken.shim import Shim
from projects import ROOT, Project

pytestmark = pytest.mark.end_to_end
COMMAND = "make faults FAULTS=tests/faults/test_clocks_and_names.py"
DAY = 86_400.0


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shim, Session]]:
    """One process for all tests: it loads TFX once."""
    shim_ = Shim(tmp_path_factory.mktemp("shim"))
    with Session(shim_.environment) as session:
        yield shim_, session


@pytest.fixture
def broken(faulty: tuple[Shim, Session]) -> Shim:
    return faulty[0]


@pytest.fixture
def session(faulty: tuple[Shim, Session]) -> Iterator[Session]:
    shim_, session = faulty
    yield session
    shim_.disarm()
    shim_.set_clock(0)
    if session.busy:  # the test failed before the command had ended
        session.stop()


def copied(project: Project, folder: Path) -> Project:
    """The same project without its runs."""
    shutil.copytree(project.folder, folder, ignore=shutil.ignore_patterns("runs", "models"))
    return Project(folder, project.name)


def versions(project: Project) -> list[int]:
    return sorted(int(path.name) for path in project.destination.iterdir() if path.name.isdigit())


@pytest.mark.slow
@pytest.mark.parametrize("back", [3600.0, 400 * DAY])
def test_a_clock_that_goes_back_between_runs_loses_nothing(
    back: float, undisturbed: Callable[[str], Project], tmp_path: Path, broken: Shim, session: Session
) -> None:
    """The third of three runs of other data, and its repetition, are dated before the first."""
    project = copied(undisturbed("single_label"), tmp_path / "project")
    for number in range(3):
        if number:
            image = project.folder / "data" / "0" / f"{number}.png"
            shutil.copy(image, image.with_name(f"copy-{number}.png"))
        broken.set_clock(-back if number == 2 else 0)
        done = session.run("run", project.config, "--set", "output.keep=1", "--set", f"training.seed={number}")
        assert done.code == 0, done.printed
        assert project.latest_summary()["status"] == "pushed", number
        assert len(versions(project)) == number + 1
        served = max(versions(project))
        assert str(served) == project.latest_summary()["pushed"]["version"]
    assert small.broken_versions(project.destination) == []
    # What the run needs of the newest one is still there: nothing runs again.
    done = session.run("run", project.config, "--set", "output.keep=1", "--set", "training.seed=2")
    assert (done.code, project.latest_summary()["status"]) == (0, "up_to_date")
    assert all((project.output / path).is_dir() for path in project.latest_summary()["artifacts"].values())
    broken.set_clock(0)
    done = session.run("run", project.config, "--set", "output.keep=1", "--set", "training.seed=2")
    assert (done.code, project.latest_summary()["status"]) == (0, "up_to_date")
    done = session.run("rollback", project.config)
    assert done.code == 0, done.printed
    assert max(versions(project)) > served
    assert small.broken_versions(project.destination) == []
    table.add(
        f"the clock goes back by {back / DAY:g} days between runs" if back > DAY else "the clock goes back by an hour",
        1,
        "version numbers grow, what is served and its artifacts stay, the next run finds that nothing is new",
        COMMAND,
    )


@pytest.mark.slow
def test_a_clock_that_goes_back_in_each_stage_changes_no_result(
    undisturbed: Callable[[str], Project], tmp_path: Path, broken: Shim, session: Session
) -> None:
    """An hour at a time."""
    expected = undisturbed("single_label")
    project = copied(expected, tmp_path / "project")
    stages = [stage["name"] for stage in expected.latest_summary()["stages"]]
    jumps = 0
    session.begin("run", project.config)
    assert session.process is not None
    for stage in stages:
        while not any(
            f"in the stage {later};" in told for later in stages[stages.index(stage) :] for told in running(project)
        ):
            if (project.output / "latest").exists():
                break
            time.sleep(0.005)
        jumps += 1
        broken.set_clock(-3600.0 * jumps)
    done = session.end()
    assert done.code == 0, done.printed
    assert small.differences(small.results(expected.output), small.results(project.output)) == []
    assert small.remains(project.output, project.destination) == []
    summary = project.latest_summary()
    assert all(stage["seconds"] >= 0 for stage in summary["stages"])
    assert summary["seconds"] >= 0
    table.add("the clock goes back by an hour in a run", jumps, "equal results; no time is negative", COMMAND)


def running(project: Project) -> list[str]:
    found = []
    for path in (project.output / "history").glob("*/running.json"):
        try:
            found.append(json.loads(path.read_text())["error"])
        except (OSError, ValueError):
            continue
    return found


def change(path: Path) -> None:
    other = path.with_name("1.png")
    path.write_bytes(other.read_bytes())


def grow(path: Path) -> None:
    with path.open("ab") as f:
        f.write(b"more" * 100)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "after"),
    [(what, after) for what in (Path.unlink, change, grow, cut) for after in (0, 1)],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_file_that_changes_while_it_is_read(
    what: Callable[[Path], None], after: int, tmp_path: Path, broken: Shim, session: Session
) -> None:
    """The run is stopped when it opens the file (0), or when it reads it (1), and goes on when the file has changed.

    It may use what it has read, or leave the file out; the next run must see that the file is another one. Of that one
    and of the one that it is compared with, the data gate refuses all data: what they have ingested is known then.
    """
    project = small.write(tmp_path / "project", "single_label")
    image = project.folder / "data" / "0" / "7.png"
    whole = image.read_bytes()
    settings = ["--set", "data.max_bad_fraction=0.5"]
    broken.arm(shim.OPEN if after == 0 else shim.READ, shim.STOP, str(image), times=1)
    session.begin("run", project.config, *settings)
    assert session.process is not None
    pid, status = os.waitpid(session.process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), "it ended without a look at the file"
    what(image)
    os.kill(pid, signal.SIGCONT)
    done = session.end()
    assert done.code == 0, done.printed
    first = project.latest_summary()
    broken.disarm()
    settings += ["--set", "balance.min_examples=1000"]
    again = session.run("run", project.config, *settings)
    assert again.code == 3, again.printed
    second = project.latest_summary()
    # A run from nothing of the data as they are now comes to the same.
    alone = [f"output.folder={tmp_path / 'alone'}", f"push.destination={tmp_path / 'models'}"]
    new = session.run("run", project.config, *settings, *(part for key in alone for part in ("--set", key)))
    assert new.code == 3, new.printed
    expected = json.loads((tmp_path / "alone" / "latest" / "summary.json").read_text())
    assert second["data"]["counts"] == expected["data"]["counts"]
    assert second["data"]["quarantined"] == expected["data"]["quarantined"]
    assert sum(first["data"]["counts"].values()) in (89, 90)
    assert image.exists() is (what is not Path.unlink)
    assert not image.exists() or image.read_bytes() != whole
    table.add(
        f"a file is subject to `{what.__name__}` when it is {('opened', 'read')[after]}",
        1,
        "read as it was, or left out with a reason; the next run sees the data as they are",
        COMMAND,
    )


@pytest.mark.parametrize("command", ["check", pytest.param("run", marks=pytest.mark.slow)])
def test_a_file_that_must_not_be_read(command: str, tmp_path: Path, broken: Shim, session: Session) -> None:
    """Permissions say that it may be read, and the system refuses it, as with access control lists or SELinux."""
    project = small.write(tmp_path / "project", "single_label")
    broken.arm(shim.OPEN, errno.EACCES, "/data/0/7.png")
    done = session.run(command, project.config)
    text = " ".join(done.printed.split())
    assert done.code == 3, done  # one of 90 is more than 1 %
    assert "0/7.png" in text
    assert "Permission denied" in text
    assert "Traceback" not in text
    broken.disarm()
    assert session.run(command, project.config).code == 0
    table.add(
        f"an image that the system refuses to open: `{command}`", 1, "named, exit code 3; then it is read", COMMAND
    )


def test_names_that_are_long_not_utf8_or_differ_in_case_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each image counts once under its own name; what is printed and written is valid text."""
    from pipeline import cli

    project = small.write(tmp_path / "project", "single_label")
    images, folder = sorted((project.folder / "data" / "0").iterdir()), os.fsencode(project.folder / "data" / "0")
    names = [
        b"x" * 251 + b".png",  # the longest name that most file systems allow, 255 bytes
        ("\N{CYRILLIC SMALL LETTER ZHE}" * 125).encode() + b".png",
        b"\xff\xfe\x80.png",
        b"\xe4\xf6\xfc.png",
        b"Same.png",
        b"same.png",
        b"new\nline.png",
        b"\x1b[31mred.png",
        b"%s{0}$(id).png",
    ]
    for image, name in zip(images, names, strict=False):
        os.rename(image, os.path.join(folder, name))
    assert len(os.listdir(folder)) == 30
    assert cli.main(["check", project.config]) == 0
    assert "\x1b[31m" not in capsys.readouterr().out
    # What cannot be used is named in a form that `data.exclude` reads, byte for byte.
    (project.folder / "data" / "0" / "broken.png").write_bytes(b"no image")
    os.rename(project.folder / "data" / "0" / "broken.png", os.path.join(folder, b"\xff\n\x1b[31m.png"))
    findings = tmp_path / "findings.csv"
    assert cli.main(["check", project.config, "-o", str(findings)]) == 3
    out = capsys.readouterr().out
    assert "\x1b[31m" not in out
    assert "quarantined: 0/\\udcff\\n\\x1b[31m.png: no image" in out, "a name cannot begin a line of its own"
    assert b"\xff\n\x1b[31m.png" in findings.read_bytes()
    findings.write_bytes(re.sub(rb"(,quarantined,[^,]*,[^,]*),\r\n", rb"\1,exclude\r\n", findings.read_bytes()))
    assert cli.main(["check", project.config, "--set", f"data.exclude={findings}"]) == 0
    table.add("long names, no UTF-8, control characters, case only", len(names), "each counts as an image", COMMAND)


@pytest.mark.parametrize("files", [2_000, pytest.param(200_000, marks=pytest.mark.slow)])
def test_very_many_files_in_one_folder(files: int, tmp_path: Path) -> None:
    """`check` of BMP files of 4 x 4 random pixels."""
    folder = tmp_path / "data"
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
    side = 4
    head = b"BM" + (54 + side * side * 3).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
    head += (40).to_bytes(4, "little") + side.to_bytes(4, "little") * 2 + (1).to_bytes(2, "little")
    head += (24).to_bytes(2, "little") + bytes(24)
    draws = np.random.default_rng(0)
    for i, pixels in enumerate(draws.integers(0, 256, (files, side * side * 3), np.uint8)):
        label = "dog" if i < 100 else "cat"
        (folder / label / f"{i}.bmp").write_bytes(head + pixels.tobytes())
    (tmp_path / "imagegate.yaml").write_text(
        "name: many\ntask: single_label\ndata: {root: data}\nbalance: {max_ratio: null}\n"
        "push: {destination: models, without_thresholds: true}\n"
    )
    # A process that starts another leaves it the mark of its own memory, so a small one stands between.
    between = "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:]); "
    between += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
    command = [sys.executable, "-c", between, sys.executable, "-m", "pipeline", "check"]
    command.append(str(tmp_path / "imagegate.yaml"))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    began = time.monotonic()
    with (tmp_path / "printed").open("w+") as f:
        process = subprocess.Popen(command, env=environment, stdout=f, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds, printed = time.monotonic() - began, (tmp_path / "printed").read_text()
    assert process.returncode in (0, 3), printed
    assert f"{files:,}" in printed or str(files) in printed, printed
    assert "Traceback" not in printed
    cpu, memory = usage.ru_utime + usage.ru_stime, int(printed.splitlines()[-1]) / 1024
    assert memory < 1000 + files / 200_000 * 1000
    table.add(
        f"{files:,} files in one folder, `check`",
        1,
        f"{seconds:.0f} s, {cpu:.0f} s of CPU, {memory:.0f} MiB at most",
        COMMAND,
    )
