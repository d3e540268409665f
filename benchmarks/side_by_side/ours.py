"""Our side: the pipeline from a configuration file, with all of its checks."""

from __future__ import annotations

import glob
import json
import os
from typing import TYPE_CHECKING

from benchmarks.side_by_side import network
from benchmarks.side_by_side.launch import launch
from components.base.artifact_files import DATASET_MANIFEST
from components.ingest import manifest
from pipeline import config, graph, stages
from pipeline.runs import data

if TYPE_CHECKING:
    from benchmarks.side_by_side.worker import Job

UNTIL = {"ingest": stages.INGEST.name, "transform": stages.TRANSFORM.name, "push": stages.PUSHER.name}


def run(job: Job) -> dict[str, float]:
    """Runs our graph up to and including the job's stage. Returns the seconds that each node took."""
    settings = config.load(_configuration(job))
    dataset, _ = data.read_dataset(settings)
    pipeline = graph.build(settings, data_fingerprint=dataset.fingerprint(), served_version="")
    return launch(pipeline, UNTIL[job.stage])


def _configuration(job: Job) -> str:
    """Writes a configuration with thresholds that any model passes, and defaults for everything but the network."""
    settings = {
        "name": "ours",
        "task": "single_label",
        "output": "output",
        "data": {"root": job.photos},
        "balance": {"min_examples": 1},
        "training": {
            "backbone": job.backbone,
            "image_size": network.IMAGE_SIZE,
            "freeze_epochs": 0,
            "epochs": 1,
            "batch_size": network.BATCH,
            "augment": False,
        },
        "evaluation": {"thresholds": [{"metric": "accuracy", "min": 0.0}]},
        "push": {"destination": "served"},
    }
    path = os.path.join(job.work, "imagegate.yaml")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(settings, f)
    return path


def examples(work: str) -> int:
    """Returns the number of ingested examples in all splits."""
    (path,) = glob.glob(os.path.join(work, "output", "pipeline", UNTIL["ingest"], "examples", "*", DATASET_MANIFEST))
    return sum(manifest.read(os.path.dirname(path)).counts.values())


def pushed(work: str) -> bool:
    """Returns whether a model was pushed."""
    return bool(glob.glob(os.path.join(work, "served", "*", "saved_model.pb")))
