"""Disks that are full, read-only or broken in the middle of a run: one sentence, and the next run goes on.

`broken/shim.c` has the calls of a program fail; where user namespaces are allowed, a small tmpfs fills up in earnest.
`make faults FAULTS=tests/faults/test_full_disks.py` runs all of it.
"""

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from broken import shim, small, table
from broken.session import Done, Session
from broken.shim import Shim
from projects import Project

pytestmark = pytest.mark.end_to_end
COMMAND = "make faults FAULTS=tests/faults/test_full_disks.py"
# What a run says, and the faults of which it says it: operations, number.
FULL, QUOTA, READ_ONLY = "no space left on device", "the disk quota is used up", "the file system is read-only"
DEVICE = "the device cannot be read or written"
FAULTS = {
    "exhausted inodes": (shim.CREATE, errno.ENOSPC, FULL),
    "a used up quota": (shim.WRITE, errno.EDQUOT, QUOTA),
    "a read-only output": (shim.CHANGE, errno.EROFS, READ_ONLY),
    "I/O errors when something is written": (shim.WRITE, errno.EIO, DEVICE),
    "I/O errors when what was written is waited for": (shim.SYNC, errno.EIO, DEVICE),
    "a full disk when a file gets its name": (shim.RENAME, errno.ENOSPC, FULL),
}


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for temporary files of the commands."""
    return tmp_path_factory.mktemp("tmp-of-the-tests")


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory, temporary: Path) -> Iterator[tuple[Shim, Session]]:
    """One process for the commands of all tests, since loading TFX takes longer than most of them."""
    shim = Shim(tmp_path_factory.mktemp("shim"))
    with Session(shim.environment | {"TMPDIR": str(temporary)}) as session:
        yield shim, session


@pytest.fixture
def session(process: tuple[Shim, Session]) -> Session:
    return process[1]


@pytest.fixture
def broken(process: tuple[Shim, Session]) -> Iterator[Shim]:
    """The disk of `session`, which is whole before and after each test."""
    yield process[0]
    process[0].disarm()


def copied(project: Project, folder: Path) -> Project:
    """The same project without its runs."""
    shutil.copytree(project.folder, folder, ignore=shutil.ignore_patterns("runs", "models"))
    return Project(folder, project.name)


def written(output: Path, stage: str) -> int:
    """The bytes of what a stage left."""
    return sum(path.stat().st_size for path in (output / "pipeline" / stage).rglob("*") if path.is_file())


def made(output: Path, stage: str) -> int:
    """The number of files and folders that a stage left."""
    return sum(1 for _ in (output / "pipeline" / stage).rglob("*"))


def followed(stages: Sequence[str]) -> list[tuple[str, Sequence[str]]]:
    """Each stage with those that follow it."""
    return [(stage, stages[i + 1 :]) for i, stage in enumerate(stages)]


@contextlib.contextmanager
def ends_before(project: Project, following: Sequence[str]) -> Iterator[None]:
    """Runs in the block end before the first of these stages, which has a file where its folder should be.

    A stage that does not meet the fault would otherwise let the run go on to its end, and no other would be tried.
    """
    barrier = project.output / "pipeline" / following[0] if following else None
    if barrier is not None:
        barrier.parent.mkdir(parents=True, exist_ok=True)
        barrier.touch()
    yield
    if barrier is not None:
        barrier.unlink()


def test_a_call_that_writes_less_than_it_was_given_counts_as_one_that_failed(tmp_path: Path) -> None:
    """Of 10 bytes 4 fit. `write` is called again for the other 6, and fails then; `fwrite` is not."""
    disk, path = Shim(tmp_path), tmp_path / "file"
    write = f"import os; f = os.open({str(path)!r}, os.O_CREAT | os.O_WRONLY); print(os.write(f, b'0123456789'))"
    fwrite = (
        "import ctypes; c = ctypes.CDLL(None); c.fopen.restype = ctypes.c_void_p; "
        f"f = ctypes.c_void_p(c.fopen({os.fsencode(path)!r}, b'w')); print(c.fwrite(b'0123456789', 1, 10, f))"
    )
    for code, failed in ((write, 0), (fwrite, 1)):
        disk.arm(shim.WRITE, errno.ENOSPC, str(path), after=4)
        done = subprocess.run(
            [sys.executable, "-c", code], env=os.environ | disk.environment, check=True, capture_output=True, text=True
        )
        assert (done.stdout, disk.failed) == ("4\n", failed), code


def assert_said(done: Done, words: str, *, where: str, code: int = 1) -> None:
    """Of an attempt that a fault ended: one sentence, the exit code of what broke, and no trace."""
    text = " ".join(done.printed.split())
    assert done.code == code, (where, done)
    assert "Traceback" not in text, (where, done)
    assert words.lower() in text.lower(), (where, done)


def optional(stage: str) -> bool:
    from pipeline.stages import BY_NAME

    return BY_NAME[stage].optional


@pytest.mark.parametrize(
    ("task", "sizes", "stages"),
    [
        pytest.param("single_label", 1, ("ImageExampleGen", "Trainer"), marks=pytest.mark.slow),
        *(pytest.param(task, 10, None, marks=pytest.mark.slow) for task in small.TASKS),
    ],
)
def test_a_disk_that_is_full_at_any_size_in_any_stage(
    task: str,
    sizes: int,
    stages: tuple[str, ...] | None,
    undisturbed: Callable[[str], Project],
    tmp_path: Path,
    broken: Shim,
    session: Session,
) -> None:
    """On one output: a stage that failed at each size goes through when the fault has moved on to the next stage."""
    expected = undisturbed(task)
    project = copied(expected, tmp_path / "project")
    names = [stage["name"] for stage in expected.latest_summary()["stages"]]
    tries = 0
    for stage, following in followed(stages or names):
        whole = written(expected.output, stage)
        if not whole:
            continue
        for i in range(sizes):
            after = whole * (i + 1) // (sizes + 1) if sizes == 1 else whole * i // sizes
            broken.arm(shim.WRITE, errno.ENOSPC, f"{project.output}/pipeline/{stage}/", after=after)
            with ends_before(project, following):
                done = session.run("run", project.config)
            if not broken.failed:
                break  # it wrote less than before: it is through
            tries += 1
            where = f"{stage} after {after:,} of {whole:,} bytes"
            if optional(stage):
                assert done.code == 0, (where, done)
                assert FULL in " ".join(done.printed.split()), (where, done)
                break
            assert_said(done, FULL, where=where)
            assert project.latest_summary()["error"].startswith(f"{stage}: "), where
            assert small.broken_versions(project.destination) == []
            if names.index(stage) <= names.index("Pusher"):
                assert not any(name.isdigit() for name in served(project))
    broken.disarm()
    done = session.run("run", project.config)
    assert done.code == 0, done.printed
    assert tries >= sizes * len(stages or names) / 2  # some stages write nothing, or all at once
    assert_the_same(expected, project)
    table.add(
        f"a disk that is full (ENOSPC) at {sizes} sizes in each stage of `{task}`"
        if sizes > 1
        else f"a disk that is full (ENOSPC) half way through {', '.join(stages or ())}",
        tries,
        "one sentence with the stage, exit code 1; the next run completes, equal results",
        COMMAND,
    )


def served(project: Project) -> list[str]:
    return os.listdir(project.destination) if project.destination.exists() else []


def assert_the_same(expected: Project, project: Project) -> None:
    assert small.differences(small.results(expected.output), small.results(project.output)) == []
    assert small.unfinished_results(project.output) == []
    assert small.remains(project.output, project.destination) == []
    assert small.broken_versions(project.destination) == []
    assert len([name for name in served(project) if name.isdigit()]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_other_faults_of_a_disk_in_any_stage(
    fault: str, undisturbed: Callable[[str], Project], tmp_path: Path, broken: Shim, session: Session
) -> None:
    """Half way through what each stage writes; the first name, or wait, where it is one of these that fails."""
    operations, number, words = FAULTS[fault]
    expected = undisturbed("single_label")
    project = copied(expected, tmp_path / "project")
    tries = 0
    for stage, following in followed([stage["name"] for stage in expected.latest_summary()["stages"]]):
        half = {shim.WRITE: written, shim.CREATE: made, shim.CHANGE: made}.get(operations, lambda *_: 0)
        after = half(expected.output, stage) // 2
        if operations == shim.WRITE and not after:
            continue  # a stage that writes nothing
        broken.arm(operations, number, f"{project.output}/pipeline/{stage}/", after=after)
        with ends_before(project, following):
            done = session.run("run", project.config)
        if not broken.failed:
            continue
        tries += 1
        if done.code != 0:  # an optional stage, or one that gets along without
            assert_said(done, words, where=f"{stage} after {after:,}")
        assert small.broken_versions(project.destination) == []
    broken.disarm()
    done = session.run("run", project.config)
    assert done.code == 0, done.printed
    assert tries >= 5
    assert_the_same(expected, project)
    table.add(
        f"{fault}, in each stage that meets it",
        tries,
        "one sentence, exit code 1; the next run completes, equal",
        COMMAND,
    )


def unchanged(project: Project) -> dict[str, tuple[bytes, int]]:
    """What is served, without the time at which something else came and went beside it."""
    return {path: told for path, told in project.served().items() if path != str(project.destination)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "operations", "number", "words"),
    [
        ("runs/tiny/metadata.sqlite", shim.WRITE, errno.ENOSPC, FULL),
        ("runs/tiny/history/", shim.WRITE, errno.ENOSPC, FULL),
        ("runs/tiny/checkpoints/", shim.WRITE, errno.ENOSPC, FULL),
        ("/tmp", shim.WRITE, errno.ENOSPC, FULL),
        ("models/tiny/", shim.WRITE, errno.ENOSPC, FULL),
        ("models/tiny/", shim.CHANGE, errno.EROFS, READ_ONLY),
        ("runs/tiny/", shim.CHANGE, errno.EROFS, "read-only"),
        ("runs/tiny/", shim.CREATE, errno.ENOSPC, FULL),
        ("runs/tiny/", shim.WRITE | shim.CREATE, errno.ENOSPC, FULL),
    ],
)
def test_places_besides_the_stages(
    place: str,
    operations: int,
    number: int,
    words: str,
    undisturbed: Callable[[str], Project],
    tmp_path: Path,
    temporary: Path,
    broken: Shim,
    session: Session,
) -> None:
    """With a model that is served, which stays as it is; each at several moments of the run."""
    original = undisturbed("single_label")
    project = Project(tmp_path / "project", original.name)
    shutil.copytree(original.folder, project.folder, symlinks=True)
    before, tries = unchanged(project), 0
    # Where models are served, something is written for another model only, of which no try may be complete.
    other = ["--set", "training.seed=2"] if place == "models/tiny/" else []
    moments = (0, 1_000, 20_000, 100_000) if operations == shim.WRITE else (0, 1, 5) if other else (0, 1, 10, 100)
    for after in moments:
        match = f"{temporary}/" if place.startswith("/tmp") else f"{project.folder}/{place}"
        broken.arm(operations, number, match, after=after)
        done = session.run("run", project.config, "--force", *other)
        if not broken.failed:
            break
        tries += 1
        assert not other or done.code, done.printed
        if done.code != 0:  # a place that a run can do without, such as its log
            known = number == errno.EROFS and done.code == 2 and "Trainer" not in done.printed  # before anything runs
            assert_said(done, words, where=f"{place} after {after}", code=2 if known else 1)
        assert unchanged(project) == before
    broken.disarm()
    done = session.run("run", project.config, "--force")
    assert done.code == 0, done.printed
    assert unchanged(project) == before  # the same model
    assert tries
    assert small.differences(small.results(original.output), small.results(project.output)) == []
    assert small.remains(project.output, project.destination) == []
    assert list(temporary.iterdir()) == []
    what = {errno.ENOSPC: "a full disk", errno.EROFS: "a read-only disk"}[number]
    where = "the folder for temporary files" if place.startswith("/tmp") else f"`{place}`"
    how = " (no room for names)" if operations == shim.CREATE else ""
    table.add(f"{what}{how} in {where}", tries, "what is served stays as it is; the next run completes", COMMAND)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "code", "words"),
    [
        # Of 90 images, one is more than 1 %, which the data gate allows.
        ("/data/0/7.png", 3, "cannot be read: Input/output error"),
        ("/pipeline/ImageExampleGen/examples/", 1, DEVICE),
        ("/pipeline/Trainer/", 1, DEVICE),
        ("/pipeline/Transform/", 1, DEVICE),
    ],
)
def test_an_error_in_the_middle_of_a_read(
    file: str,
    code: int,
    words: str,
    undisturbed: Callable[[str], Project],
    tmp_path: Path,
    broken: Shim,
    session: Session,
) -> None:
    """At reads that are spread over all reads of such files."""
    expected = undisturbed("single_label")
    project, tries = copied(expected, tmp_path / "project"), 0
    for after in (0,) if file.startswith("/data") else (0, 5, 20, 60):
        broken.arm(shim.READ, errno.EIO, file, after=after, times=1)
        done = session.run("run", project.config)
        if not broken.failed:
            break
        tries += 1
        text = " ".join(done.printed.split())
        assert "Traceback" not in text
        if done.code != 0:
            assert (done.code, words in text) == (code, True), (after, done)
        assert done.code != 0 or project.latest_summary()["status"] in ("pushed", "up_to_date")
    broken.disarm()
    done = session.run("run", project.config)
    assert done.code == 0, done.printed
    assert tries
    assert_the_same(expected, project)
    outcome = "quarantined, and refused by the data gate" if code == 3 else "one sentence, exit code 1"
    table.add(f"an I/O error in a read of `{file}`", tries, f"{outcome}; the next run completes, equal", COMMAND)


@pytest.mark.slow
def test_a_small_tmpfs_that_fills_up(undisturbed: Callable[[str], Project], tmp_path: Path) -> None:
    """A real file system: it is too small, has too few inodes, is read-only, or another process fills it in a stage."""
    around = ("unshare", "--user", "--map-root-user", "--mount")
    if subprocess.run([*around, "true"], check=False, capture_output=True).returncode:
        pytest.skip("user namespaces, in which a tmpfs can be mounted without being root, are not allowed here")
    expected = undisturbed("single_label")
    names = [stage["name"] for stage in expected.latest_summary()["stages"]]
    project, tries = copied(expected, tmp_path / "project"), 0
    project.output.mkdir(parents=True)
    mount = f'mount -t tmpfs -o size=1m none "{project.output}" && exec "$@"'
    with Session({}, (*around, "sh", "-c", mount, "sh")) as session:

        def remount(options: str) -> None:
            session.shell(f'mount -o remount,{options} "{project.output}"')

        # A tmpfs takes no limit below what is used already: `stat` prints the names there can be, and those left.
        limit = f"$(($(stat -f -c '%c - %d' '{project.output}') + {{}}))"
        for options, words in (
            ("rw,size=1m", FULL),
            *((f"rw,size=100m,nr_inodes={limit.format(free)}", FULL) for free in (4, 30, 80)),
            ("ro,size=100m,nr_inodes=0", "read-only"),
        ):
            remount(options)
            done = session.run("run", project.config)
            assert done.code in (1, 2), (options, done)  # 2: it is known before anything begins
            assert words in " ".join(done.printed.split()).lower(), (options, done)
            assert "Traceback" not in done.printed
            assert served(project) == []
            tries += 1
        remount("rw,size=100m,nr_inodes=0")
        assert session.process is not None
        seen = Project(Path(f"/proc/{session.process.pid}/root{project.folder}"), project.name)
        for stage in ("ImageExampleGen", "StatisticsGen", "Transform", "Trainer", "Evaluator"):
            session.begin("run", project.config)
            with fills(seen.output, stage):
                done = session.end()
            assert_said(done, FULL, where=stage)
            # A stage that is done already takes no room: it is a later one that ends the run.
            assert seen.latest_summary()["error"].partition(": ")[0] in names[names.index(stage) :], stage
            assert served(project) == []
            tries += 1
        done = session.run("run", project.config)
        assert done.code == 0, done.printed
        # SQLite would follow the link /proc/N/root and look for the database beneath the tmpfs.
        shutil.copytree(seen.folder, tmp_path / "copy", symlinks=True)
        assert_the_same(expected, Project(tmp_path / "copy", project.name))
    table.add(
        "a small tmpfs: too small, without inodes, read-only, or filled up in a stage",
        tries,
        "one sentence, exit code 1; the next run completes, equal results",
        COMMAND,
    )


@contextlib.contextmanager
def fills(output: Path, stage: str) -> Iterator[None]:
    """Fills the file system of an output as soon as a run is in a stage, until the end of the block."""
    filler, done = output / "filler", threading.Event()

    def fill() -> None:
        while not done.is_set() and not any(
            f"in the stage {stage};" in path.read_text() for path in (output / "history").glob("*/running.json")
        ):
            time.sleep(0.005)
        with contextlib.suppress(OSError), filler.open("wb", 0) as f:
            while not done.is_set():
                f.write(bytes(1 << 16))

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        filler.unlink(missing_ok=True)
