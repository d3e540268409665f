"""Temporary files: in a folder of the run, removed with it, or by the next one where it was killed."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipeline.disk import temporary


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of the machine."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def test_what_killed_runs_left_half_written_goes_and_nothing_else(tmp_path: Path) -> None:
    stages = tmp_path / "out" / "pipeline"
    kept = [
        stages / "ImageExampleGen/examples/1/Split-train/data-00000-of-00004.tfrecord",
        stages / "ImageExampleGen/examples/1/manifest.json",
        stages / "Transform/transform_graph/4/transform_fn/saved_model.pb",
        tmp_path / "out/checkpoints/.new.kept-by-others",
    ]
    left = [
        stages / "ImageExampleGen/examples/1/.partial-train-data.0a",
        stages / "ImageExampleGen/examples/1/.plan/0000000.json",
        stages / "ImageExampleGen/examples/1/.reports/.new.0a.0000000.json",
        stages / "StatisticsGen/statistics/2/Split-train/beam-temp-FeatureStats-0a/part",
        stages / "Transform/transform_graph/3/.temp_path/tftransform_tmp/graph",
        stages / "Evaluator/.system/executor_execution/5/.temp/x",
        stages / "Trainer/model/6/.new.model.json",
    ]
    for path in (*kept, *left):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (outside / ".partial-of-another").write_text("")
    (stages / "ImageExampleGen/examples/1/.plan/link").symlink_to(outside)
    (stages / "link").symlink_to(outside)
    temporary.sweep(str(tmp_path / "out"))
    assert {path for path in (tmp_path / "out").rglob("*") if path.is_file()} == set(kept)
    assert (outside / ".partial-of-another").exists()


def test_a_run_has_a_folder_of_its_own_which_goes_with_it(place: Path, tmp_path: Path) -> None:
    with temporary.own_folder(str(tmp_path / "out")):
        [own] = place.iterdir()
        assert tempfile.gettempdir() == str(own)
        assert own.stat().st_mode & 0o777 == 0o700
        tempfile.mkdtemp()
        told = subprocess.run(
            [sys.executable, "-c", "import tempfile; print(tempfile.gettempdir())"], stdout=subprocess.PIPE, check=True
        )
        assert told.stdout.decode().strip() == str(own), "processes that a run starts use it, too"
    assert list(place.iterdir()) == []
    assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(place)


def test_the_next_run_empties_the_folder_of_one_that_was_killed(place: Path, tmp_path: Path) -> None:
    program = f"""
import os, tempfile
from pipeline.disk import temporary
with temporary.own_folder({str(tmp_path / "out")!r}):
    tempfile.mkdtemp()
    os.kill(os.getpid(), 9)
"""
    killed = subprocess.run([sys.executable, "-c", program], check=False)
    assert killed.returncode == -signal.SIGKILL
    [left] = place.iterdir()
    assert len(list(left.iterdir())) == 1
    with temporary.own_folder(str(tmp_path / "other")):
        assert len(list(left.iterdir())) == 1, "that of another output is not touched"
    with temporary.own_folder(str(tmp_path / "out")):
        assert list(left.iterdir()) == []


def test_a_folder_that_cannot_be_had_is_done_without(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise FileExistsError  # that of another user, which this one may not remove

    monkeypatch.setattr(os, "mkdir", refuse)
    with temporary.own_folder(str(tmp_path / "out")):
        assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(place)


def test_a_link_in_its_place_is_not_followed(place: Path, tmp_path: Path) -> None:
    with temporary.own_folder(str(tmp_path / "out")):
        [own] = place.iterdir()
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("")
    own.symlink_to(tmp_path / "precious")
    with temporary.own_folder(str(tmp_path / "out")):
        assert not own.is_symlink()
    assert (tmp_path / "precious" / "file").exists()
