"""The section `kubeflow` of the configuration."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from components.base.values import Positive, Value
from pipeline.stages import TRAINER

# As Kubernetes writes amounts; YAML's `cpu: 2` is a number.
Quantity = Annotated[
    str,
    BeforeValidator(lambda v: f"{v:g}" if isinstance(v, int | float) and not isinstance(v, bool) else v),
    Field(pattern=r"^\d+(\.\d+)?(m|[kMGTP]|[KMGTP]i)?$"),
]
_DNS_NAME = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"


class Gpu(Value):
    """What the Trainer's pod asks for."""

    resource: str = Field(
        "nvidia.com/gpu",
        pattern=r"^[a-z0-9.-]+/[A-Za-z0-9_.-]+$",
        description="as the cluster's device plugin calls it, such as `amd.com/gpu` or `nvidia.com/mig-1g.5gb`",
    )
    count: Positive = Field(1, description="how many; more than one train together")


class Resources(Value):
    """Limits of one stage's pod; they are also what the pod asks for."""

    cpu: Quantity | None = Field(None, description="cores, such as `2` or `500m`")
    memory: Quantity | None = Field(None, description="bytes, such as `4Gi`")


class Secret(Value):
    """One environment variable from a Kubernetes secret; its value is read in the cluster, and stands nowhere else."""

    secret: str = Field(pattern=_DNS_NAME, description="the secret's name")
    key: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", description="the key in it")
    env: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="the variable, such as `AWS_ACCESS_KEY_ID`")


class Toleration(Value):
    """A taint that the Trainer's pod may be scheduled in spite of, in Kubernetes' words."""

    key: str | None = Field(None, description="null with `Exists`: every taint")
    operator: Literal["Equal", "Exists"] = Field("Equal", description="whether `value` counts")
    value: str | None = Field(None, description="of the taint")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="null: every effect"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Toleration:
        if self.operator == "Exists" and self.value is not None:
            raise ValueError(f"value: {self.value!r} does not count with operator Exists; leave one of the two out")
        if self.operator == "Equal" and self.key is None:
            raise ValueError("key: operator Equal needs one")
        return self


class Kubeflow(Value):
    """How `imagegate compile` makes a Kubeflow pipeline of the graph; `imagegate run` does not look at it."""

    image: str | None = Field(
        None,
        pattern=r"^[^\s@]+(@sha256:[0-9a-f]{64})?$",
        description="container image that holds imagegate; needed. Give its digest (`registry/name@sha256:…`): cached "
        "results are told apart by this text, not by what a tag points to today",
    )
    pipeline_root: str = Field(
        "minio://mlpipeline/v2/artifacts",
        pattern=r"^(minio|s3|gs)://[^/]+.*$",
        description="where artifacts go: `minio://`, `s3://` or `gs://`, then a bucket",
    )
    gpu: Gpu | None = Field(None, description="of the Trainer: see [`kubeflow.gpu`](#kubeflowgpu); null: none")
    memory: Quantity = Field("16Gi", description="of the Trainer")
    shared_memory: Quantity | None = Field(
        None, description="size of the Trainer's `/dev/shm`, a part of its memory; several GPUs talk through it"
    )
    stages: dict[str, Resources] = Field(
        {}, description="stage: `{cpu: …, memory: …}`, where the defaults do not fit; `Evaluator: {memory: 16Gi}`"
    )
    node_selector: dict[str, str] = Field({}, description="labels of the nodes that the Trainer may run on")
    tolerations: tuple[Toleration, ...] = Field(
        (), description="of the Trainer: see [`kubeflow.tolerations`](#an-entry-of-kubeflowtolerations)"
    )
    volumes: dict[Annotated[str, Field(pattern=_DNS_NAME)], str] = Field(
        {},
        description="persistent volume claim: path to mount it at, in stages that read data or the push destination",
    )
    secrets: tuple[Secret, ...] = Field(
        (), description="environment variables of the same stages, from [secrets](#an-entry-of-kubeflowsecrets)"
    )
    retries: Annotated[int, Field(ge=0, le=10)] = Field(
        2, description="how often a stage that broke is tried again, after 30 s, then twice as long each; no gate is"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Kubeflow:
        trainer = TRAINER.name
        memory = self.stages.get(trainer, Resources.model_construct(memory=None)).memory
        if memory is not None and "memory" in self.model_fields_set:
            raise ValueError(f"stages.{trainer}.memory: {memory}, but memory, which is the {trainer}'s, {self.memory}")
        memory = memory or self.memory
        if self.shared_memory is not None and _amount(self.shared_memory) >= _amount(memory):
            raise ValueError(f"shared_memory: {self.shared_memory} is a part of memory, {memory}, and must be smaller")
        for claim, path in self.volumes.items():
            if not path.startswith("/") or _mount(path) in ("/", "/dev/shm"):  # noqa: S108  a mount's name
                raise ValueError(f"volumes.{claim}: expected an absolute path to mount it at, got {path!r}")
        _once("volumes: two claims are mounted at", map(_mount, self.volumes.values()))
        _once("secrets: two are to be the variable", (secret.env for secret in self.secrets))
        return self


_SUFFIXES = {"m": 1e-3} | {s: 1000.0**i for i, s in enumerate("kMGTP", 1)} | {"": 1.0}
_SUFFIXES |= {f"{s}i": 1024.0**i for i, s in enumerate("KMGTP", 1)}


def _amount(quantity: str) -> float:
    """What a Kubernetes quantity stands for."""
    number = quantity.rstrip("kKMGTPim")
    return float(number) * _SUFFIXES[quantity[len(number) :]]


def _mount(path: str) -> str:
    return "/" + os.path.normpath(path).lstrip("/")


def _once(what: str, names: Iterable[str]) -> None:
    listed = list(names)
    twice = sorted({name for name in listed if listed.count(name) > 1})
    if twice:
        raise ValueError(f"{what} {twice[0]}")
