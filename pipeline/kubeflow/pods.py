"""Requests of each stage's pod to Kubernetes: cores, memory and GPUs; volumes, secrets, nodes and shared memory."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from components.data import storage
from components.model.networks import weights
from pipeline.config.kubeflow import Resources, amount
from pipeline.kubeflow.server import API_VARIABLES
from pipeline.kubeflow.spec import Spec
from pipeline.stages import BY_NAME, MODEL_GATE, NOTIFY, ON_CHANGE, PUSHER, Source, Stage

if TYPE_CHECKING:
    from pipeline.config import Config

# All that the backend takes, from 2.16 on; older ones ignore it. The user is the image's, or the one of a policy.
# It adds no privilege escalation, no capabilities and its default seccomp profile by itself, and has no word for a
# read-only root file system. Where a policy of the cluster adds that, all that a stage writes outside of the launcher's
# folders, which are volumes of the backend's, lies in /tmp.
_SECURITY = {"runAsNonRoot": True}
_TEMPORARY = {"volumeName": "temporary", "mountPath": "/tmp"}  # noqa: S108  a volume of the pod's own


def resources(stage: Stage, config: Config) -> Spec:
    """Returns the limits of a stage's pod and its requests, which are smaller."""
    settings = config.kubeflow
    given = settings.stages.get(stage.name, Resources())
    cpu, memory = given.cpu or stage.cpu, given.memory or stage.memory or settings.memory
    asked: Spec = {
        "resourceCpuLimit": cpu,
        "resourceMemoryLimit": memory,
        "resourceCpuRequest": given.cpu_request or min(stage.cpu_request, cpu, key=amount),
        "resourceMemoryRequest": given.memory_request or min(stage.memory_request, memory, key=amount),
    }
    if stage.trains and settings.gpu is not None:
        kind, count = settings.gpu.resource, str(settings.gpu.count)
        # Backends before 2.4 read the former two.
        asked["accelerator"] = {"type": kind, "count": count, "resourceType": kind, "resourceCount": count}
    return asked


def platform(labels: Mapping[str, str], config: Config) -> Spec:
    """Returns the platform spec: what each stage's pod needs beyond resources.

    Args:
        labels: stage -> label of its executor.
        config: the settings.
    """
    outside = {Source.DATA, Source.DESTINATION}
    if config.out_of_distribution_root is not None:
        outside.add(Source.OUT_OF_DISTRIBUTION)
    if config.pool is not None:
        outside.add(Source.UNLABELLED)
    if config.backbone_files:
        outside.add(Source.BACKBONE)
    executors: Spec = {}
    for name, label in labels.items():
        stage = BY_NAME[name]
        executors[label] = {
            "securityContext": _SECURITY,
            "emptyDirMounts": [_TEMPORARY, *(_shared_memory(config) if stage.trains else [])],
            **(_volumes(config) | _secrets(config, _of_stages(config, stage)) if stage.reads & outside else {}),
            **(_secrets(config, _of_notify(config)) if stage is NOTIFY else {}),
            **(_secrets(config, _of_stages(config, stage) | {*API_VARIABLES}) if stage is ON_CHANGE else {}),
            **(_secrets(config, config.sinks.variables) if stage is MODEL_GATE else {}),
            **(_node(config) if stage.trains else {}),
        }
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}


def _of_notify(config: Config) -> set[str]:
    """The variables that the pod needs that tells people: their addresses, and the way to the API."""
    return {name for one in config.notify for name in one.variables} | {*API_VARIABLES}


def _of_stages(config: Config, stage: Stage) -> set[str]:
    """The other variables; of them, those of the private key are for the Pusher alone."""
    others = {*config.sinks.variables} | (_of_notify(config) if config.notify else set())
    if config.push.sign is not None and stage is not PUSHER:
        others |= {*config.push.sign.variables}
    return {secret.env for secret in config.kubeflow.secrets} - others


def _volumes(config: Config) -> Spec:
    # Names stand twice, here and for secrets: where backends look now, and where those before 2.5 did.
    mounts = [
        {"constant": claim, "pvcNameParameter": {"runtimeValue": {"constant": claim}}, "mountPath": path}
        for claim, path in config.kubeflow.volumes.items()
    ]
    return {"pvcMount": mounts} if mounts else {}


def _secrets(config: Config, variables: Collection[str]) -> Spec:
    secrets = [
        {
            "secretName": one.secret,
            "secretNameParameter": {"runtimeValue": {"constant": one.secret}},
            "keyToEnv": [{"secretKey": one.key, "envVar": one.env}],
        }
        for one in config.kubeflow.secrets
        if one.env in variables
    ]
    return {"secretAsEnv": secrets} if secrets else {}


def _node(config: Config) -> Spec:
    """Returns which nodes the pod may run on."""
    settings, pod = config.kubeflow, Spec()
    if settings.node_selector:
        pod["nodeSelector"] = {"labels": dict(settings.node_selector)}
    if settings.tolerations:
        pod["tolerations"] = [one.model_dump(exclude_none=True) for one in settings.tolerations]
    return pod


def _shared_memory(config: Config) -> list[Spec]:
    size = config.kubeflow.shared_memory
    mount = {"volumeName": "shared-memory", "mountPath": "/dev/shm", "medium": "Memory"}  # noqa: S108  likewise
    return [] if size is None else [mount | {"sizeLimit": size}]


def notes(config: Config) -> list[str]:
    """Returns a sentence for each thing that pods need and that the compiled pipeline does not hold."""
    return [*outside_of_volumes(config), *_fetched(config), *_stored(config), *_told(config), *_signed(config)]


def _told(config: Config) -> list[str]:
    known = {secret.env for secret in config.kubeflow.secrets}
    wanted = {name: "notify" for one in config.notify for name in one.variables}
    wanted |= dict.fromkeys(config.sinks.variables, "sinks")
    return [
        f"{section}: no entry of kubeflow.secrets sets {name}, so that it has to be set in the image"
        for name, section in wanted.items()
        if name not in known
    ]


def _signed(config: Config) -> list[str]:
    sign, verify = config.push.sign, config.push.verify
    wanted = dict.fromkeys(sign.variables if sign else (), "push.sign")
    if verify is not None and verify.keys_env is not None:
        wanted[verify.keys_env] = "push.verify"
    known = {secret.env for secret in config.kubeflow.secrets}
    return [
        f"{key}: no entry of kubeflow.secrets sets {name}, so that it has to be set in the image"
        for name, key in wanted.items()
        if name not in known
    ]


def _stored(config: Config) -> list[str]:
    root = config.kubeflow.pipeline_root
    note = f"output.artifacts: it has no effect on Kubeflow, whose stages write below kubeflow.pipeline_root {root}"
    return [note] if config.artifacts else []


def _fetched(config: Config) -> list[str]:
    return [
        f"training.weights: the pods of the data gate, the Trainer and the Evaluator download the ImageNet weights of "
        f"{name}, unless their image holds them in the folder models below KERAS_HOME, which it sets; "
        f"{weights.MIRROR} there may name another server"
        for name in config.imagenet
    ]


def outside_of_volumes(config: Config) -> list[str]:
    """Returns a sentence for each path that a pod would look for in its image, since no volume is mounted there."""
    mounts = [os.path.normpath(path) for path in config.kubeflow.volumes.values()]
    paths = {
        "data.root": config.data_root,
        "push.destination": config.destination,
        "data.unlabelled": config.unlabelled_root or "",
        "evaluation.out_of_distribution": config.out_of_distribution_root or "",
    }
    push = config.absolute_push
    keys = [("push.sign.key", push.sign.key or "")] if push.sign is not None else []
    keys += [("push.verify.keys", path) for path in push.verify.keys] if push.verify is not None else []
    return [
        f"{key}: {path} lies in none of kubeflow.volumes, so that a pod looks for it in its image"
        + (", and what it writes there is lost with it" if key == "push.destination" else "")
        for key, path in (*paths.items(), *config.backbone_files, *keys)
        if path and not storage.is_url(path) and not any(f"{path}/".startswith(f"{mount}/") for mount in mounts)
    ]
