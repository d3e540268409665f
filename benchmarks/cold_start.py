"""Measures the cold start of each stage's container: `python -m benchmarks.cold_start [--repeats N] [CHECKOUT ...]`.

A pod of a compiled pipeline starts a fresh interpreter, imports the entry point and the stage's executor, and only then
begins to work. This measures that start in seconds of processor time, the smallest of several, since the rest of a busy
machine only adds to it, and the memory that it takes. Checkouts are measured in turns, so that they can be compared.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence

import yaml

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_CONFIGURATION = """\
name: cold
task: single_label
data: {root: data}
push: {destination: models/cold}
kubeflow: {image: imagegate}
"""
_LOAD = """
import importlib, os, resource, sys
importlib.import_module(sys.argv[1])
module, _, name = sys.argv[2].rpartition(".")
getattr(importlib.import_module(module), name)
print(sum(os.times()[:2]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def executors(checkout: str) -> dict[str, tuple[str, str]]:
    """Stage -> (module of the entry point, path of the executor class), read from a compiled pipeline."""
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "c.yaml"), "w", encoding="utf-8") as f:
            f.write(_CONFIGURATION)
        os.mkdir(os.path.join(folder, "data"))
        compiled = os.path.join(folder, "p.yaml")
        command = ["-m", "pipeline", "compile", os.path.join(folder, "c.yaml"), "-o", compiled]
        _python(checkout, *command)
        with open(compiled, encoding="utf-8") as f:
            spec = next(iter(yaml.safe_load_all(f)))
    found = {}
    for label, executor in spec["deploymentSpec"]["executors"].items():
        container = executor["container"]
        if "--executor_class_path" in container["args"]:
            path = container["args"][container["args"].index("--executor_class_path") + 1]
            found[label.removesuffix("_executor")] = (container["command"][-1], path)
    return found


def _python(checkout: str, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": checkout, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, check=True, env=environment, capture_output=True, text=True, cwd=checkout).stdout


def cost(checkout: str, entry: str, executor: str) -> tuple[float, float]:
    """What a fresh interpreter costs that imports what a stage needs: processor seconds, and MiB at its peak."""
    seconds, peak = _python(checkout, "-c", _LOAD, entry, executor).split()[-2:]
    return float(seconds), int(peak) / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a row for every stage, two columns for every checkout."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cold_start", description=__doc__)
    parser.add_argument("checkouts", metavar="CHECKOUT", nargs="*", default=[_HERE], help="default: this one")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    checkouts = [os.path.abspath(checkout) for checkout in options.checkouts]
    stages = {checkout: executors(checkout) for checkout in checkouts}
    for stage in stages[checkouts[0]]:
        best = dict.fromkeys(checkouts, (float("inf"), float("inf")))
        for _ in range(options.repeats):
            for checkout in checkouts:
                best[checkout] = min(best[checkout], cost(checkout, *stages[checkout][stage]))
        told = (f"{seconds:8.2f} s {memory:6.0f} MiB" for seconds, memory in best.values())
        print(f"{stage:<18}" + "".join(told), flush=True)


if __name__ == "__main__":
    main()
