"""From disk to a served model, as a table: `PYTHONPATH=.:tests/helpers python -m any_layout.table FOLDER [NAME...]`.

Runs `imagegate init` and `imagegate run` on every data set of `photos` and on the real ones beside the project, one
after the other, and edits nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from any_layout.photos import BROUGHT, photos

ROOT = Path(__file__).parents[3]
REAL = ROOT.parent / "shared" / "data"


def call(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """Runs the command in a folder."""
    command = [sys.executable, "-m", "pipeline", *map(str, words)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(folder), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def row(folder: Path, title: str, path: Path) -> str:
    """Brings one data set to a pushed model; returns its row of the table, or what refused it."""
    start = time.monotonic()
    first = call(folder, "init", path, "-o", "pets.yaml")
    if not (folder / "pets.yaml").exists():
        return f"| {title} | init: {first.stdout[-300:]} {first.stderr[-300:]} |"
    second = call(folder, "run", "pets.yaml", "--json")
    seconds = time.monotonic() - start
    (folder / "output.txt").write_text(first.stdout + first.stderr + second.stdout + second.stderr)
    try:
        summary = json.loads(second.stdout)
    except ValueError:
        return f"| {title} | run: {second.returncode} {(second.stdout + second.stderr)[-500:]} |"
    gates = [gate for gate in summary["gates"] if gate["gate"] == "model_gate" and not gate["label"]]
    judged = "; ".join(f"{gate['rule']}: {gate['value']:.3f}" for gate in gates if gate["value"] is not None)
    images, labels = sum(summary["data"]["counts"].values()), len(summary["label_weights"])
    return (
        f"| {title} | {summary['task']} | {images:,} | {labels} | 2 | 0 | {judged or 'none'} | "
        f"{seconds:.0f} s | {summary['status']} |"
    )


def main(folder: str, *names: str) -> None:
    """Prints the table."""
    for number, name in enumerate(names or (*BROUGHT, "clothing", "cifar10", "miml", "camvid")):
        place = Path(folder, str(number))
        place.mkdir(parents=True)
        path = REAL / name
        if name in BROUGHT:
            found = BROUGHT[name]
            found.write(place / "data", photos(found.kind, found.split))
            path = place / "data" / found.path
        print(row(place, name, path), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
