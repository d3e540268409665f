"""What each stage's pod asks Kubernetes for: cores, memory and the GPU; volumes, secrets, nodes and shared memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from components.data import storage

if TYPE_CHECKING:
    from pipeline.config import Config

Spec = dict[str, Any]

# Read data or the push destination.
_OUTWARD = ("Preflight", "ImageExampleGen", "ClassBalance", "Baseline", "Pusher")
# Cores and memory of a stage's pod. What a stage holds in memory does not grow with the data, but with the model.
_RESOURCES = {
    "ImageExampleGen": ("2", "4Gi"),
    "StatisticsGen": ("2", "4Gi"),
    "Transform": ("2", "4Gi"),
    "Trainer": ("4", ""),
    "Baseline": ("1", "4Gi"),
    "Evaluator": ("2", "8Gi"),
    "ServingCheck": ("2", "4Gi"),
}
_OTHERS = ("1", "2Gi")


def resources(stage: str, config: Config) -> Spec:
    """Limits, which are also the requests where those are not given; the GPU is the Trainer's alone."""
    settings = config.kubeflow
    cpu, memory = _RESOURCES.get(stage, _OTHERS)
    given = settings.stages.get(stage)
    asked: Spec = {
        "resourceCpuLimit": (given and given.cpu) or cpu,
        "resourceMemoryLimit": (given and given.memory) or memory or settings.memory,
    }
    if stage == "Trainer" and settings.gpu is not None:
        kind, count = settings.gpu.resource, str(settings.gpu.count)
        # Backends before 2.4 read the former two.
        asked["accelerator"] = {"type": kind, "count": count, "resourceType": kind, "resourceCount": count}
    return asked


def platform(labels: Mapping[str, str], config: Config) -> Spec:
    """What Kubernetes is told beyond resources, for each stage that needs it.

    Args:
        labels: stage -> label of its executor.
        config: the settings.
    """
    outward = {*_OUTWARD}
    if config.out_of_distribution_root is not None:
        outward.add("Evaluator")
    if config.backbone.endswith(".keras"):
        outward.add("Trainer")
    executors: Spec = {}
    for stage, label in labels.items():
        told = (_outward(config) if stage in outward else {}) | (_trainer(config) if stage == "Trainer" else {})
        if told:
            executors[label] = told
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}


def _outward(config: Config) -> Spec:
    """Volumes and secrets. Names stand twice: where backends look now, and where those before 2.5 did."""
    mounts = [
        {"constant": claim, "pvcNameParameter": {"runtimeValue": {"constant": claim}}, "mountPath": path}
        for claim, path in config.kubeflow.volumes.items()
    ]
    secrets = [
        {
            "secretName": one.secret,
            "secretNameParameter": {"runtimeValue": {"constant": one.secret}},
            "keyToEnv": [{"secretKey": one.key, "envVar": one.env}],
        }
        for one in config.kubeflow.secrets
    ]
    return ({"pvcMount": mounts} if mounts else {}) | ({"secretAsEnv": secrets} if secrets else {})


def _trainer(config: Config) -> Spec:
    """Which nodes, and /dev/shm."""
    settings, told = config.kubeflow, Spec()
    if settings.node_selector:
        told["nodeSelector"] = {"labels": dict(settings.node_selector)}
    if settings.tolerations:
        told["tolerations"] = [one.model_dump(exclude_none=True) for one in settings.tolerations]
    if settings.shared_memory is not None:
        told["emptyDirMounts"] = [
            {
                "volumeName": "shared-memory",
                "mountPath": "/dev/shm",  # noqa: S108
                "medium": "Memory",
                "sizeLimit": settings.shared_memory,
            }
        ]
    return told


def outside_of_volumes(config: Config) -> list[str]:
    """Sentences on paths that a pod would look for in its image, since no volume is mounted there."""
    mounts = [os.path.normpath(path) for path in config.kubeflow.volumes.values()]
    paths = {
        "data.root": config.data_root,
        "push.destination": config.destination,
        "evaluation.out_of_distribution": config.out_of_distribution_root or "",
        "training.backbone": config.backbone if config.backbone.endswith(".keras") else "",
    }
    return [
        f"{key}: {path} lies in none of kubeflow.volumes, so that a pod looks for it in its image"
        + (", and what it writes there is lost with it" if key == "push.destination" else "")
        for key, path in paths.items()
        if path and not storage.is_url(path) and not any(f"{path}/".startswith(f"{mount}/") for mount in mounts)
    ]
