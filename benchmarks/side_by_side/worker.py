"""One measurement in a new process: imports everything, then times the work. Started by `benchmarks`."""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from dataclasses import dataclass

from benchmarks.side_by_side import load

RESULT = "result.json"
_MODULES = {
    "ours": "benchmarks.side_by_side.ours",
    "stock": "benchmarks.side_by_side.stock",
    "lean": "benchmarks.side_by_side.stock",
    "loop": "benchmarks.side_by_side.loop",
}
# Modules that a run imports later; importing them first leaves only work in the measured time.
_LATE = (
    "apache_beam.runners.portability.fn_api_runner.fn_runner",
    "fsspec",
    "google_crc32c",
    "pyarrow.pandas_compat",
    "setuptools",
    "tensorboard.summary",
    "tensorflow_model_analysis",
    "tfx.components.evaluator.executor",
    "tfx.components.example_validator.executor",
    "tfx.components.pusher.executor",
    "tfx.components.schema_gen.executor",
    "tfx.components.statistics_gen.executor",
    "tfx.components.trainer.executor",
    "tfx.components.transform.executor",
)
_LATE_OURS = (
    *(
        f"components.stages.{stage}"
        for stage in ("ingest", "schema", "class_balance", "transform", "baseline", "evaluator")
    ),
    "components.stages.pusher",
    "components.evaluation.analysis",
    "components.model.preprocessing",
    "components.model.fitting.training",
    "schemas",
)
_IMPORTS = {"ours": _LATE + _LATE_OURS, "stock": _LATE, "lean": _LATE, "loop": ()}


@dataclass(frozen=True, kw_only=True)
class Job:
    """One measurement.

    Attributes:
        side: "ours", "stock", "lean" (stock without the image in its statistics) or "loop" (no pipeline).
        stage: the last stage to run: "ingest", "transform" or "push"; "import" for none.
        photos: path of the data set.
        work: path of an empty folder for all output.
        backbone: path of the network's file.
    """

    side: str
    stage: str
    photos: str
    work: str
    backbone: str


def _measure(job: Job) -> dict[str, object]:
    started = time.perf_counter()
    side = importlib.import_module(_MODULES[job.side])
    for name in _IMPORTS[job.side]:
        importlib.import_module(name)
    imported = time.perf_counter()
    if job.stage == "import":
        return {"import_seconds": imported - started}
    modules, cpu = set(sys.modules), load.now().own
    stages = side.run(job)
    seconds, cpu_seconds = time.perf_counter() - imported, load.now().own - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "import_seconds": imported - started,
        "peak_mib": peak / (1 << 20 if sys.platform == "darwin" else 1 << 10),
        "stages": stages,
        "late_imports": len(set(sys.modules) - modules),
        "examples": side.examples(job.work),
        "pushed": side.pushed(job.work),
    }


if __name__ == "__main__":
    given = Job(**json.loads(sys.argv[1]))
    result = _measure(given)
    with open(os.path.join(given.work, RESULT), "w", encoding="utf-8") as file:
        json.dump(result, file)
