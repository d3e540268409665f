"""Our side: the product's own graph from a configuration file, with every check that it always makes."""

from __future__ import annotations

import glob
import json
import os
from typing import TYPE_CHECKING

from benchmarks import network
from benchmarks.launch import launch
from components.base.artifact_files import DATASET_MANIFEST
from components.ingest import manifest
from pipeline import config, graph, stages
from pipeline.runs import local

if TYPE_CHECKING:
    from benchmarks.worker import Job

UNTIL = {"ingest": stages.INGEST.name, "transform": stages.TRANSFORM.name, "push": stages.PUSHER.name}


def run(job: Job) -> dict[str, float]:
    """Our graph up to and with the job's stage; returns the seconds of each node."""
    settings = config.load(_configuration(job))
    dataset, _ = local.read_dataset(settings)
    pipeline = graph.build(settings, data_fingerprint=dataset.fingerprint(), served_version="")
    return launch(pipeline, UNTIL[job.stage])


def _configuration(job: Job) -> str:
    """Thresholds that any model passes; all that is not about the network is the default."""
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
    """How many it ingested, over all splits."""
    (path,) = glob.glob(os.path.join(work, "output", "pipeline", UNTIL["ingest"], "examples", "*", DATASET_MANIFEST))
    return sum(manifest.read(os.path.dirname(path)).counts.values())


def pushed(work: str) -> bool:
    """Whether a model was pushed."""
    return bool(glob.glob(os.path.join(work, "served", "*", "saved_model.pb")))
