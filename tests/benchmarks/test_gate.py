"""That the data gate's benchmark runs and measures what it says."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_the_check_reads_every_photo_and_the_search_finds_what_was_planted(tmp_path: Path) -> None:
    out = tmp_path / "numbers.json"
    options = ["--photos", "200", "--hashes", "1000", "2000", "--rounds", "1"]
    command = [sys.executable, "-m", "benchmarks.gate", *options, "--folder", tmp_path, "--json", out]
    subprocess.run(command, cwd=ROOT, check=True)
    numbers = json.loads(out.read_text())
    [measured] = numbers["check"]
    assert {side: told["images"] for side, told in measured.items()} == dict.fromkeys(
        ("check", "tensorflow", "pillow"), 200
    )
    assert measured["check"]["code"] == 0
    assert 0 < measured["check"]["rules_seconds"] < measured["check"]["seconds"]
    assert [(n["hashes"], n["skewed"], n["recall"]) for n in numbers["near"]] == [
        (1000, False, 1),
        (2000, False, 1),
        (1000, True, 1),
        (2000, True, 1),
    ]
