"""Shards, models and records that are damaged at random positions: they are refused or written anew, never used.

Each damage is given to the functions with which stages and commands read.
`make faults FAULTS=tests/faults/test_damaged_files.py` runs all of it.
"""

import dataclasses
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from broken import table
from broken.damage import KINDS, Files, damaged
from projects import Project

from components.base.artifact_files import LEDGER
from components.base.errors import ImagegateError
from components.data.dataset import SPLITS, Dataset
from components.data.manifest import Assigned
from components.ingest import earlier, ledger, manifest, reuse
from components.ingest.layouts import folders
from components.ingest.stored import index
from components.push import pull, rollback, versions
from pipeline.runs.handed_on import HandedOn

COMMAND = "make faults FAULTS=tests/faults/test_damaged_files.py"
SHARES = {"train": 0.8, "eval": 0.1, "test": 0.1}
SEED = 26


@pytest.fixture(scope="module")
def project(undisturbed: Callable[[str], Project], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a run, whose files may be damaged."""
    original = undisturbed("single_label")
    folder = tmp_path_factory.mktemp("damaged") / "project"
    shutil.copytree(original.folder, folder, symlinks=True)
    return Project(folder, original.name)


def tries(files: Files, count: int) -> Iterator[str]:
    """Damages the files `count` times, one at a time; yields what was done."""
    draws = random.Random(SEED)
    for _ in range(count):
        what = files.damage(draws)
        yield what
        files.mend()


def refused(read: Callable[[], object], what: str) -> str:
    """Requires that reading raises an error of one sentence; returns it."""
    try:
        read()
    except ImagegateError as error:
        said = str(error)
    else:
        pytest.fail(f"used without a word: {what}")
    assert said == " ".join(said.split()), what
    return said


def share(fast: int, full: int) -> pytest.MarkDecorator:
    """How many damages are tried with `make test`, and with `make faults`."""
    return pytest.mark.parametrize("count", [fast, pytest.param(full, marks=pytest.mark.slow)])


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_content_is_another_content(kind: str) -> None:
    draws = random.Random(SEED)
    for content in (b"", b"\0", bytes(2000), draws.randbytes(2000)):
        for _ in range(20):
            assert damaged(content, [content, b"other"], kind, draws) != content


@share(10, 300)
def test_shards_are_refused(project: Project, count: int) -> None:
    examples = project.artifact("ImageExampleGen", "examples")

    def read() -> None:
        for split in SPLITS:
            manifest.verify(str(examples), split)

    read()
    for what in tries(Files(examples, "Split-*/*.tfrecord"), count):
        assert "run again with --force" in refused(read, what)
    read()
    table.add("a damaged shard, read by a stage", count, "refused with its name", COMMAND)


@share(10, 200)
def test_records_are_refused_or_whole(project: Project, count: int) -> None:
    """Whoever reads single records may not notice damages elsewhere: what comes is what was written."""
    examples = project.artifact("ImageExampleGen", "examples")

    def read() -> list[list[bytes]]:
        return [list(index.numbered(str(examples), split, range(0, 100, 3))) for split in SPLITS]

    whole, used = read(), 0
    for files in (Files(examples, "Split-*/*.tfrecord"), Files(examples, "records.bin")):
        for what in tries(files, count // 2):
            try:
                found = read()
            except ImagegateError:
                continue
            assert found == whole, what
            used += 1
    assert used < count / 2
    assert read() == whole
    table.add("a damaged shard or index, of which single records are read", count, "refused, or whole", COMMAND)


@share(10, 150)
def test_what_any_stage_handed_on_is_refused(project: Project, count: int) -> None:
    artifacts = project.latest_summary()["artifacts"].values()

    def read() -> None:
        run = HandedOn(str(project.output))
        for path in artifacts:
            run.add(str(project.output / path), cached=True)
        run.check()

    read()
    done = 0
    for path in artifacts:
        folder = project.output / path
        if any(file.is_file() and file.name != LEDGER for file in folder.rglob("*")):
            for what in tries(Files(folder, leave_out=LEDGER), max(1, count // len(artifacts))):
                refused(read, what)
                done += 1
    read()
    table.add("a damaged file of an artifact, before the next stage", done, "refused with its name", COMMAND)


@share(10, 200)
def test_a_served_model_is_refused_by_whoever_loads_copies_or_brings_it_back(
    project: Project, count: int, tmp_path: Path
) -> None:
    served = versions.current(str(project.destination))
    assert served is not None

    def load() -> None:
        with versions.local(served):
            pass

    def copy() -> None:
        pull.pull(str(project.destination), str(tmp_path / "pulled"), keep=2)

    def bring_back() -> None:
        rollback.roll_back(str(project.destination), served.version, name=project.name)

    readers = (lambda: versions.verify(served), load, copy, bring_back)
    versions.verify(served)
    files = Files(project.destination / served.version, leave_out="imagegate.json")  # which nothing seals
    for number, what in enumerate(tries(files, count)):
        refused(readers[number % len(readers)], what)
        assert versions.current(str(project.destination)) == served
        assert not list((tmp_path / "pulled").glob("[0-9]*"))
    versions.verify(served)
    table.add("a damaged served model: loaded, pulled, rolled back to", count, "refused; nothing is copied", COMMAND)


@share(50, 200)
def test_the_splits_of_earlier_runs_are_refused(count: int, tmp_path: Path) -> None:
    rows = np.zeros(20, earlier.SEEN)
    rows["sha256"], rows["split"] = np.random.default_rng(SEED).integers(0, 2**63, rows["sha256"].shape), 1
    path = tmp_path / "splits.npy"
    earlier.Seen(rows, Assigned(fractions=SHARES, origin="ab12", earlier=""), "cd34").write(str(path))
    for what in tries(Files(tmp_path), count):
        refused(lambda: earlier.Seen.read(str(path)), what)
    whole = earlier.Seen.read(str(path))
    assert whole is not None
    assert (whole.rows.tobytes(), whole.served) == (rows.tobytes(), "cd34")
    table.add("a damaged record of earlier splits", count, "refused with its name", COMMAND)


def listed(root: Path) -> Dataset:
    """The listing as it would be some seconds later, when the last change is long ago."""
    dataset = folders.read(str(root), SHARES)
    records = [dataclasses.replace(r, version=r.version.replace("~", "")) for r in dataset.records]
    return dataclasses.replace(dataset, records=tuple(records))


@share(5, 100)
def test_the_next_ingest_comes_to_the_same_whatever_happened_to_the_last_one(
    count: int, tmp_path: Path, png: Callable[..., bytes]
) -> None:
    """A new image has one shard written; the others are taken over, unless anything of them was damaged."""
    from prepared import ingest

    root, runs = tmp_path / "data", tmp_path / "examples"
    for i in range(24):
        path = root / ("cat" if i % 2 else "dog") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(i))

    def night(folder: Path, previous: reuse.Previous | None = None) -> dict[str, bytes]:
        dataset = listed(root)
        ingest(dataset, folder, previous=previous)
        digests = {record.path: content for record, content in ledger.digests(str(root), dataset.records, 1 << 30)}
        proofs = ((record.path, record.version) for record in dataset.records)
        ledger.write(str(folder), "key", dataset, proofs, digests.items())
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    night(runs / "1")
    (root / "cat" / "new.png").write_bytes(png(99))
    whole = night(tmp_path / "alone")
    for what in tries(Files(runs / "1"), count):
        again = night(runs / "2", reuse.find(str(runs / "2")))
        assert again == whole, what
        shutil.rmtree(runs / "2")
    table.add(
        "a damaged file of the last ingest, before the next one", count, "equal to an ingest from nothing", COMMAND
    )
