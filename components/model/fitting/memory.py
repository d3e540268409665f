"""The memory that training needs, estimated before it starts, and parts of a batch that keep it small."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.base.errors import ImagegateError
from components.base.machine import available_memory

if TYPE_CHECKING:
    import keras

_FLOAT = 4  # bytes
# What a part's activations may take, if there is as much. On CPUs, small parts are as fast as large ones or faster;
# `python -m benchmarks.training` compares them.
_PART = 768 << 20
# Values of each weight in memory: itself, its gradient, the sum of the parts, two moments of Adam, an average, and the
# best weights so far.
_COPIES = 7
# TensorFlow with its compiled graphs, on top of what the process has before they exist.
_GRAPHS = 400 << 20
_GIB = 1 << 30


@dataclass(frozen=True)
class Plan:
    """How a phase goes through a batch.

    Attributes:
        batch: images per step.
        part: examples whose gradients are computed at once; the batch size: all.
        needed: bytes of memory that training takes on top of what the process has.
    """

    batch: int
    part: int
    needed: int

    @property
    def divided(self) -> int | None:
        """The size of the parts; None where a batch is one, and needs no loop over them."""
        return self.part if self.part < self.batch else None

    def sentence(self) -> str:
        """This in a few words.

        >>> Plan(batch=32, part=8, needed=1_500_000_000).sentence()
        'about 1.4 GiB more memory, with batches of 32 in parts of 8'
        """
        parts = "" if self.divided is None else f", with batches of {self.batch} in parts of {self.part}"
        return f"about {self.needed / _GIB:.1f} GiB more memory{parts}"


def plan(
    model: keras.Model,
    activations: int,
    *,
    batch: int,
    cached: int,
    statistics: bool,
    available: int | None = None,
) -> Plan:
    """Chooses the parts of a batch on a CPU.

    A batch is halved until the activations of a part fit. A network that learns statistics of its batches is given
    whole ones as long as there is the memory.

    Args:
        model: what is trained.
        activations: numbers that training keeps for each image, see `network.Parts`.
        batch: images per step.
        cached: bytes of decoded images that are kept.
        statistics: whether the network learns from the statistics of a batch.
        available: bytes of memory; None: what the machine has.

    Raises:
        ImagegateError: not even one image at a time fits.
    """
    available = available_memory() if available is None else available
    image = _FLOAT * activations
    fixed = _GRAPHS + cached + _FLOAT * _COPIES * _count(model)
    room = math.inf if available is None else available - fixed
    most = room if statistics else min(_PART, room)
    part = batch
    while part > 1 and part * image > most:
        part = -(-part // 2)
    if part * image > room:
        raise ImagegateError(
            f"training: needs about {(fixed + image) / _GIB:.1f} GiB of memory even with one image at a time, and "
            f"{(available or 0) / _GIB:.1f} GiB are free; choose smaller training.image_size or another backbone, or "
            "give it more memory"
        )
    return Plan(batch, part, fixed + part * image)


def _count(model: Any) -> int:
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)
