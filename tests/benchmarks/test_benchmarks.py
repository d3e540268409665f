"""That the benchmark runs, and compares like with like."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PHOTOS = 40  # four of each label: the splits of our ingest and of TFX's all get some


@pytest.mark.slow  # with `make test`, test_gate.py runs a benchmark
def test_both_sides_ingest_every_photo(tmp_path: Path) -> None:
    out = tmp_path / "numbers.json"
    options = f"--photos {PHOTOS} --more 0 --rounds 1 --only ingest".split()
    subprocess.run(
        [sys.executable, "-m", "benchmarks", *options, "--folder", tmp_path, "--json", out], cwd=ROOT, check=True
    )
    numbers = json.loads(out.read_text())
    measured = {r["side"]: r for r in numbers["runs"] if r["stage"] == "ingest"}
    assert {side: r["examples"] for side, r in measured.items()} == {"ours": PHOTOS, "stock": PHOTOS}
    assert all(r["seconds"] > 0 and r["peak_mib"] > 0 for r in measured.values())
    (row,) = numbers["rows"]
    assert row["ratio"] == measured["stock"]["seconds"] / measured["ours"]["seconds"]  # medians of one are the ones
    photos = list((tmp_path / f"photos-{PHOTOS}").glob("class_*/*.jpg"))
    assert len({p.read_bytes() for p in photos}) == PHOTOS
    assert all(25_000 < p.stat().st_size < 55_000 for p in photos)


@pytest.mark.slow  # three calls of init
def test_init_is_timed_on_a_folder_and_archives() -> None:
    command = [sys.executable, "-m", "benchmarks.first_look", "100", "10"]
    lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["many", "one.zip", "two.tar.gz"]


@pytest.mark.slow  # five processes, two of which load TFX
def test_the_memory_of_the_driver_is_measured_step_by_step() -> None:
    command = [sys.executable, "-m", "benchmarks.driver", "2000"]
    lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    steps = [line.split("  ")[1].strip() for line in lines if "B/image at most" in line]
    assert {"listing of folders", "listing of a table", "data gate"} <= set(steps)
    assert [steps.count(step) for step in ("settling.merge", "ledger.write", "the whole stage")] == [2, 2, 2]
    fingerprints = {line.split()[0] for line in lines if line.strip().startswith(tuple("0123456789abcdef"))}
    assert len([one for one in fingerprints if len(one) == 16]) == 1  # both layouts list the same records


@pytest.mark.slow  # waits until change times prove something
def test_a_night_with_nothing_new_is_timed() -> None:
    command = [sys.executable, "-m", "benchmarks.nightly", "100"]
    lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    assert lines[0].startswith("100 files; sizes and times alone: ")
    assert [line.split(",")[0].split(":")[0] for line in lines[1:]] == [
        "first night",
        "a night with nothing new",
        "a copy with other times",
    ]
