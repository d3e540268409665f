"""Projects of the end-to-end tests: folders with an imagegate.yaml, their runs and the contract of a summary."""

import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

TINY = """\
name: tiny
task: single_label
data: {root: data}
balance: {min_examples: 5}
training: {image_size: [8, 8], epochs: 1, batch_size: 16, augment: false}
evaluation:
  slices: [format]
  thresholds:
    - {metric: accuracy, min: 0.0}
    - {metric: loss, max: 100}
push: {destination: models/tiny}
"""

NUMBER = float | int
# The contract of summary.json; for a list, of each element.
CONTRACT = {
    "run_id": str,
    "name": str,
    "task": str,
    "command": str,
    "status": str,
    "exit_code": int,
    "started": str,
    "seconds": NUMBER,
    "stages": [{"name": str, "seconds": NUMBER, "cached": bool, "peak_memory": int | None}],
    "data": {"counts": dict, "labels": dict, "quarantined": list, "fingerprint": str},
    "imbalance": str,
    "label_weights": dict,
    "unlabelled": dict | None,
    "synthetic": dict | None,
    "tuning": dict | None,
    "comparison": dict | None,
    "metrics": dict,
    "per_label": dict,
    "slices": [{"slice": dict, "metrics": dict, "per_label": dict}],
    "weak_groups": dict | None,
    "trivial": dict | None,
    "tfma": dict,
    "baseline": dict | None,
    "checkpoint": {"split": str, "measure": str, "epoch": int},
    "decisions": dict,
    "serving": dict,
    "exports": list,
    "gates": [
        {
            "gate": str,
            "rule": str,
            "label": str | None,
            "slice": dict | None,
            "value": NUMBER | None,
            "passed": bool,
            "reason": str,
        }
    ],
    "pushed": {"path": str, "version": str},
    "report": str | None,
    "error": str | None,
    "notes": list,
    "artifacts": dict,
    "fingerprints": {"code": str, "configuration": str},
    "versions": {"python": str, "imagegate": str, "tfx": str},
    "configuration": {"name": str, "task": str},
}


def assert_like(value: object, contract: object, where: str = "summary") -> None:
    if isinstance(contract, dict):
        assert set(contract) <= set(value), where
        for key, inner in contract.items():
            assert_like(value[key], inner, f"{where}.{key}")
    elif isinstance(contract, list):
        assert value, where
        for i, element in enumerate(value):
            assert_like(element, contract[0], f"{where}[{i}]")
    else:
        assert isinstance(value, contract), (where, value)


@dataclass(frozen=True)
class Run:
    """Exit code, output and duration in seconds of a command."""

    code: int
    out: str
    err: str
    seconds: float


@dataclass(frozen=True)
class Project:
    """A folder with an imagegate.yaml."""

    folder: Path
    name: str

    @property
    def config(self) -> str:
        return str(self.folder / "imagegate.yaml")

    @property
    def output(self) -> Path:
        return self.folder / "runs" / self.name

    @property
    def destination(self) -> Path:
        return self.folder / "models" / self.name

    def latest_summary(self) -> dict[str, Any]:
        """Reads summary.json of the latest run."""
        return json.loads((self.output / "latest" / "summary.json").read_text())

    def artifact(self, stage: str, key: str) -> Path:
        """The newest output of a stage."""
        folders = (self.output / "pipeline" / stage / key).iterdir()
        return max(folders, key=lambda folder: int(folder.name))

    def records(self, split: str) -> list[Any]:
        """The tf.Examples that ingest wrote."""
        import tensorflow as tf

        paths = sorted(map(str, self.artifact("ImageExampleGen", "examples").glob(f"Split-{split}/*")))
        return [tf.train.Example.FromString(r.numpy()) for r in tf.data.TFRecordDataset(paths)]

    def run(self, *overrides: str, force: bool = False) -> dict[str, Any]:
        """Runs in this process, which has the libraries loaded, and returns summary.json's object."""
        from pipeline import config
        from pipeline.runs import local

        settings = config.load(self.config, overrides)
        with warnings.catch_warnings():
            # TFX uses something deprecated of protobuf's, which names the caller's caller for it: us.
            warnings.filterwarnings("ignore", r"label\(\) is deprecated")
            summary = local.Runner(settings, lambda *_: None).run(force=force).freeze()
        plain: dict[str, Any] = json.loads(summary.to_json())
        return plain

    def served(self) -> dict[str, tuple[bytes, int]]:
        """Everything below the push destination, with modification times."""
        paths = [self.destination, *self.destination.rglob("*")] if self.destination.exists() else []
        return {str(p): (p.read_bytes() if p.is_file() else b"", p.stat().st_mtime_ns) for p in paths}


def ran(summary: dict[str, Any]) -> set[str]:
    """The stages that did not come from the cache."""
    return {stage["name"] for stage in summary["stages"] if not stage["cached"]}


def copy_source(folder: Path) -> Path:
    """The packages, to be run from there: the original may be edited while the tests run, a copy by a test."""
    for package in ("components", "pipeline", "schemas"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def command(source: Path, folder: Path, seconds: float = 600) -> Callable[..., Run]:
    """A function that runs `imagegate` with the packages below `source`, in a process of its own in `folder`.

    It raises an error if that takes longer than `seconds`.
    """

    def run(*arguments: object, source: Path = source, **variables: str) -> Run:
        environment = {k: v for k, v in os.environ.items() if k not in ("TF_CPP_MIN_LOG_LEVEL", "PYTHONPATH")}
        environment |= {"PYTHONPATH": str(source)} | variables
        command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
        started = time.monotonic()
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        return Run(done.returncode, done.stdout, done.stderr, time.monotonic() - started)

    return run


@dataclass(frozen=True)
class Demo(Project):
    """The demo after its first run; tests may run it again, but leave its data and destination alone."""

    made: Run
    first: Run
    summary: dict[str, Any]


@dataclass(frozen=True)
class Trained(Project):
    """A demo of another task after its first run; tests leave its data and destination alone."""

    summary: dict[str, Any]


def train_demo(folder: Path, task: str, name: str) -> Trained:
    """Writes a demo and runs it in this process."""
    from pipeline.init import demo

    demo.write(str(folder), task)
    summary = Project(folder, name).run()
    assert summary["status"] == "pushed", summary["error"]
    return Trained(folder, name, summary)


def write_tiny(folder: Path) -> Project:
    """Writes a project of 30 images each of three digits, which trains in a few seconds."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for digit in range(3):
        (folder / "data" / str(digit)).mkdir(parents=True)
        for i, pixels in enumerate(digits.images[digits.target == digit][:30]):
            Image.fromarray((pixels * 15).astype("uint8")).save(folder / "data" / str(digit) / f"{i}.png")
    (folder / "imagegate.yaml").write_text(TINY)
    return Project(folder, "tiny")
