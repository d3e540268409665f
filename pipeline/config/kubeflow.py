"""The section `kubeflow` of the configuration."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from components.base.values import Positive, Value
from pipeline.stages import BY_NAME, TRAINER

# An amount as Kubernetes writes it; in YAML, `cpu: 2` is a number.
Quantity = Annotated[
    str,
    BeforeValidator(lambda v: f"{v:g}" if isinstance(v, int | float) and not isinstance(v, bool) else v),
    Field(pattern=r"^\d+(\.\d+)?(m|[kMGTP]|[KMGTP]i)?$"),
]
_DNS_NAME = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"


class Gpu(Value):
    """The GPUs that the Trainer's pod requests."""

    resource: str = Field(
        "nvidia.com/gpu",
        pattern=r"^[a-z0-9.-]+/[A-Za-z0-9_.-]+$",
        description="Name of the GPU in the cluster's device plugin, such as `amd.com/gpu` or `nvidia.com/mig-1g.5gb`.",
    )
    count: Positive = Field(1, description="Number of GPUs. Several train one model together.")


class Resources(Value):
    """Resources of one stage's pod: the limits, which it may use at most, and the requests."""

    cpu: Quantity | None = Field(None, description="Limit of CPU cores, such as `2` or `500m`.")
    memory: Quantity | None = Field(None, description="Limit of memory, such as `4Gi`.")
    cpu_request: Quantity | None = Field(
        None, description="CPU cores that a node must have to spare before the pod starts there; at most `cpu`."
    )
    memory_request: Quantity | None = Field(None, description="Likewise for memory; at most `memory`.")


class Secret(Value):
    """An environment variable from a Kubernetes secret. Its value is read in the cluster and written nowhere."""

    secret: str = Field(pattern=_DNS_NAME, description="Name of the secret.")
    key: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", description="Key of the value in the secret.")
    env: str = Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Name of the variable, such as `AWS_ACCESS_KEY_ID`."
    )


class Toleration(Value):
    """A toleration as in Kubernetes: the Trainer's pod may run on nodes with a matching taint."""

    key: str | None = Field(
        None, description="Key of the taint. `Equal` needs it; with `Exists`, `null` matches every taint."
    )
    operator: Literal["Equal", "Exists"] = Field(
        "Equal", description="`Equal`: the taint's value must be equal to `value`. `Exists`: any value matches."
    )
    value: str | None = Field(None, description="Value of the taint, for `Equal`.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Effect of the taint; `null` matches every effect."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Toleration:
        if self.operator == "Exists" and self.value is not None:
            raise ValueError(f"value: {self.value!r} has no effect with operator Exists; remove one of the two")
        if self.operator == "Equal" and self.key is None:
            raise ValueError(
                "key: operator Equal needs the key of a taint, got null; give it, or choose operator Exists"
            )
        return self


class Kubeflow(Value):
    """The pipeline that `imagegate compile` writes for [Kubeflow](kubeflow.md). `imagegate run` does not use it."""

    image: str | None = Field(
        None,
        pattern=r"^[^\s@]+(@sha256:[0-9a-f]{64})?$",
        description="Container image that holds imagegate; `imagegate compile` needs it. Give it with its digest, "
        "`registry/name@sha256:…`: cached results are kept apart by this text, and a tag can point to another image "
        "tomorrow.",
    )
    pipeline_root: str = Field(
        "minio://mlpipeline/v2/artifacts",
        pattern=r"^(minio|s3|gs)://[^/]+.*$",
        description="Where artifacts are written: `minio://`, `s3://` or `gs://`, then a bucket. `imagegate run` takes "
        "`output.artifacts` instead.",
    )
    gpu: Gpu | None = Field(
        None, description="GPUs of the Trainer, see [`kubeflow.gpu`](#kubeflowgpu). With `null`, it has none."
    )
    memory: Quantity = Field("16Gi", description="Limit of the Trainer's memory.")
    shared_memory: Quantity | None = Field(
        None,
        description="Size of the Trainer's `/dev/shm`, through which several GPUs exchange data. It is a part of "
        "`memory` and must be smaller.",
    )
    stages: dict[str, Resources] = Field(
        {},
        description="Resources of a stage in place of its defaults, such as `Evaluator: {cpu: 4, memory: 16Gi}`; each "
        "key may be left out. [Kubeflow](kubeflow.md#resources) lists the defaults.",
    )
    node_selector: dict[str, str] = Field({}, description="Labels that a node must have for the Trainer to run on it.")
    tolerations: tuple[Toleration, ...] = Field(
        (), description="Tolerations of the Trainer, see [an entry](#an-entry-of-kubeflowtolerations)."
    )
    volumes: dict[Annotated[str, Field(pattern=_DNS_NAME)], str] = Field(
        {},
        description="Persistent volume claims and the absolute path that each is mounted at, such as `images: /data`, "
        "in "
        "the stages that read the data set or the push destination.",
    )
    secrets: tuple[Secret, ...] = Field(
        (),
        description="Environment variables of the same stages, from Kubernetes secrets, see [an "
        "entry](#an-entry-of-kubeflowsecrets). Those that `notify` names are given to the task "
        "`Notify` alone, those of `push.sign` to `Pusher`.",
    )
    retries: Annotated[int, Field(ge=0, le=10)] = Field(
        2,
        description="How often a stage that failed is tried again: first after 30 s, then after twice as long each "
        "time. "
        "Stages that refuse data or a model are not tried again.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Kubeflow:
        trainer = TRAINER.name
        memory = self.stages.get(trainer, Resources.model_construct(memory=None)).memory
        if memory is not None and "memory" in self.model_fields_set:
            raise ValueError(
                f"stages.{trainer}.memory: {memory}, but memory, which is also the {trainer}'s, is {self.memory}; "
                "remove one of the two"
            )
        memory = memory or self.memory
        if self.shared_memory is not None and amount(self.shared_memory) >= amount(memory):
            raise ValueError(
                f"shared_memory: expected less than memory, {memory}, of which it is a part; got {self.shared_memory}"
            )
        for name, given in self.stages.items():
            self._check_requests(name, given)
        for claim, path in self.volumes.items():
            if not path.startswith("/") or _mount(path) in ("/", "/dev/shm"):  # noqa: S108  a mount's name
                raise ValueError(f"volumes.{claim}: expected an absolute path to mount it at, got {path!r}")
        _refuse_repeated("volumes: two claims are mounted at", map(_mount, self.volumes.values()))
        _refuse_repeated("secrets: two secrets set the variable", (secret.env for secret in self.secrets))
        return self

    def _check_requests(self, name: str, given: Resources) -> None:
        """Raises ValueError if a request is above its limit: Kubernetes refuses such a pod."""
        stage = BY_NAME.get(name)
        if stage is None:
            return  # the compiler names it
        limits = {"cpu": given.cpu or stage.cpu, "memory": given.memory or stage.memory or self.memory}
        for key, limit in limits.items():
            request = getattr(given, f"{key}_request")
            if request is not None and amount(request) > amount(limit):
                raise ValueError(
                    f"stages.{name}.{key}_request: expected at most the limit {key}, {limit}; got {request}"
                )


_SUFFIXES = {"m": 1e-3} | {s: 1000.0**i for i, s in enumerate("kMGTP", 1)} | {"": 1.0}
_SUFFIXES |= {f"{s}i": 1024.0**i for i, s in enumerate("KMGTP", 1)}


def amount(quantity: str) -> float:
    """Returns the number that a Kubernetes quantity stands for.

    >>> amount("4Ki"), amount("500m")
    (4096.0, 0.5)
    """
    number = quantity.rstrip("kKMGTPim")
    return float(number) * _SUFFIXES[quantity[len(number) :]]


def _mount(path: str) -> str:
    return "/" + os.path.normpath(path).lstrip("/")


def _refuse_repeated(message: str, names: Iterable[str]) -> None:
    listed = list(names)
    twice = sorted({name for name in listed if listed.count(name) > 1})
    if twice:
        raise ValueError(f"{message} {twice[0]}; change one of them")
