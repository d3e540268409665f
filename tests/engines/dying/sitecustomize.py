"""Kills one of Beam's workers, with SIGKILL, in the middle of each stage that the test names.

Python imports this module when it starts, where this folder is on PYTHONPATH; so the workers of every engine do. A
file in the folder `IMAGEGATE_DEATHS`, named by a stage, has one worker die in this stage, at the place below, or wait
there if that is what the file says. The worker moves the file to `STAGE.reached` first, so that only one does.
"""

import importlib.machinery
import os
import signal
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

_WORKER = "apache_beam.runners.worker.bundle_processor"
# Part of the name of a step that does the stage's work, as others only prepare it. The worker has computed its elements
# and written files, and has not told the engine.
_STEPS = {
    "StatisticsGen": "WriteStatsOutput[train]/WriteStats/Write/WriteImpl/WriteBundles",
    "Transform": "ApplySavedModel[Phase0]/ApplySavedModel",
    "Evaluator": "ExtractAndEvaluate/BoundBatches",
}
_SIGNAL = 20  # bytes; an element of no more only starts a step


def _reach(stage: str) -> None:
    """Dies or waits, if that was asked for in this stage and no other worker has done so."""
    folder = Path(os.environ["IMAGEGATE_DEATHS"])
    reached = folder / f"{stage}.reached"
    try:
        os.rename(folder / stage, reached)
    except FileNotFoundError:
        return
    if not reached.read_text():
        os.kill(os.getpid(), signal.SIGKILL)
    while not (folder / "go").exists():
        time.sleep(0.1)


def _heed(event: str, arguments: tuple[Any, ...]) -> None:
    """In ingest, a shard is written and does not have its name yet."""
    if event == "os.rename" and "/.partial-" in str(arguments[0]):
        _reach("ImageExampleGen")


class _Finder(importlib.machinery.PathFinder):
    """Finds the module with which a worker computes, and has it watched as soon as it is loaded."""

    @classmethod
    def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if fullname != _WORKER:
            return None
        spec = super().find_spec(fullname, path, target)
        assert spec is not None
        assert spec.loader is not None
        load = spec.loader.exec_module

        def load_and_watch(module: ModuleType) -> None:
            load(module)
            _watch(module)

        spec.loader.exec_module = load_and_watch  # type: ignore[method-assign]
        return spec


def _watch(module: Any) -> None:
    process_bundle = module.BundleProcessor.process_bundle

    def watched(self: Any, *arguments: Any, **named: Any) -> Any:
        names = [step.unique_name for step in self.process_bundle_descriptor.transforms.values()]
        for stage, part in _STEPS.items():
            if any(part in name for name in names):
                for operation in self.ops.values():
                    if isinstance(operation, module.DataInputOperation):
                        operation.process_encoded = _reached_after(operation.process_encoded, stage)
        return process_bundle(self, *arguments, **named)

    module.BundleProcessor.process_bundle = watched


def _reached_after(compute: Any, stage: str) -> Any:
    def process_encoded(elements: bytes) -> None:
        compute(elements)
        if len(elements) > _SIGNAL:
            _reach(stage)

    return process_encoded


if "IMAGEGATE_DEATHS" in os.environ:
    sys.addaudithook(_heed)
    sys.meta_path.insert(0, _Finder())
