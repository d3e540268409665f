"""Requests of each stage's pod to Kubernetes: cores, memory and GPUs; volumes, secrets, nodes and shared memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from components.data import storage
from pipeline.kubeflow.spec import Spec
from pipeline.stages import BY_NAME, Source, Stage

if TYPE_CHECKING:
    from pipeline.config import Config


def resources(stage: Stage, config: Config) -> Spec:
    """Returns the limits of a stage's pod, which are also its requests since those are not given."""
    settings = config.kubeflow
    given = settings.stages.get(stage.name)
    limits: Spec = {
        "resourceCpuLimit": (given and given.cpu) or stage.cpu,
        "resourceMemoryLimit": (given and given.memory) or stage.memory or settings.memory,
    }
    if stage.trains and settings.gpu is not None:
        kind, count = settings.gpu.resource, str(settings.gpu.count)
        # Backends before 2.4 read the former two.
        limits["accelerator"] = {"type": kind, "count": count, "resourceType": kind, "resourceCount": count}
    return limits


def platform(labels: Mapping[str, str], config: Config) -> Spec:
    """Returns the platform spec: what each stage's pod needs beyond resources.

    Args:
        labels: stage -> label of its executor.
        config: the settings.
    """
    outside = {Source.DATA, Source.DESTINATION}
    if config.out_of_distribution_root is not None:
        outside.add(Source.OUT_OF_DISTRIBUTION)
    if config.backbone.endswith(".keras"):
        outside.add(Source.BACKBONE)
    executors: Spec = {}
    for name, label in labels.items():
        stage = BY_NAME[name]
        pod = (_volumes_and_secrets(config) if stage.reads & outside else {}) | (_node(config) if stage.trains else {})
        if pod:
            executors[label] = pod
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}


def _volumes_and_secrets(config: Config) -> Spec:
    # Names stand twice: where backends look now, and where those before 2.5 did.
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


def _node(config: Config) -> Spec:
    """Returns which nodes the pod may run on, and the size of its /dev/shm."""
    settings, pod = config.kubeflow, Spec()
    if settings.node_selector:
        pod["nodeSelector"] = {"labels": dict(settings.node_selector)}
    if settings.tolerations:
        pod["tolerations"] = [one.model_dump(exclude_none=True) for one in settings.tolerations]
    if settings.shared_memory is not None:
        pod["emptyDirMounts"] = [
            {
                "volumeName": "shared-memory",
                "mountPath": "/dev/shm",  # noqa: S108
                "medium": "Memory",
                "sizeLimit": settings.shared_memory,
            }
        ]
    return pod


def outside_of_volumes(config: Config) -> list[str]:
    """Returns a sentence for each path that a pod would look for in its image, since no volume is mounted there."""
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
