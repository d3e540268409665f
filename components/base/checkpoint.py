"""How the weights of a model were chosen among those that its training went through."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import Field

from components.base.artifact_files import CHECKPOINT
from components.base.text import number
from components.base.values import Sparse


class Checkpoint(Sparse):
    """The epoch whose weights a model has, and why, as the Trainer writes it beside its history."""

    solved: bool = Field(False, description="whether the head was solved, and its weights come from no epoch")
    split: str = Field("eval", description="split that decided")
    measure: str = Field("", description="what was least")
    phase: Literal["head", "all"] | None = Field(
        None, description="layers that were trained; null: the head was solved"
    )
    epoch: int = Field(0, description="epoch after which the network had these weights; 0: the phase began with them")
    epochs: int = Field(0, description="epochs that the phase had")
    allowed: int = Field(0, description="epochs that the phase could have had")
    runs: int = Field(1, description="how many times the phase was trained")
    averaged: int = Field(1, description="runs whose weights were averaged; the epochs are those of the best run")
    retrained: bool = Field(False, description="whether the head was solved again at the end")
    loss: float | None = Field(None, description="the measure of these weights")
    last: float | None = Field(None, description="the measure after the last epoch")

    def sentence(self) -> str:
        """This, as a sentence or two.

        >>> print(Checkpoint(phase="head", epoch=3, epochs=4, allowed=5).sentence())
        The weights are those after epoch 3 of 4 of training the head (5 were allowed).
        >>> print(Checkpoint(solved=True, split="train", measure="loss", loss=0.5).sentence())
        The head was solved. Of the L2 strengths tried, its own has the least loss on the train split: 0.5.
        >>> averaged = Checkpoint(phase="all", epoch=4, epochs=5, allowed=5, runs=3, averaged=2, loss=0.25,
        ... measure="tempered_loss")
        >>> print(averaged.sentence())
        The weights are those after epoch 4 of 5 of training all layers. Averaged with those of 1 of 2 other runs, \
their tempered loss on the eval split is 0.25.
        """
        return f"{self._chosen()} Then the head was solved again." if self.retrained else self._chosen()

    def _chosen(self) -> str:
        if self.loss is None:
            return "The head was solved, not trained in epochs." if self.solved else self._epoch()
        measure = self.measure.replace("_", " ")
        least = f"the least {measure} on the {self.split} split: {number(self.loss)}"
        if self.solved:
            return f"The head was solved. Of the L2 strengths tried, its own has {least}."
        if self.runs > 1:
            return f"{self._epoch()} {self._average()}"
        last = "" if self.last is None else f"; it was {number(self.last)} after the last epoch"
        return f"{self._epoch()} Of all, they had {least}{last}."

    def _average(self) -> str:
        now = f"{self.measure.replace('_', ' ')} on the {self.split} split is {number(self.loss)}."
        if self.averaged == 1:
            return f"Of {self.runs} runs, theirs is the best, and no average was better; their {now}"
        return f"Averaged with those of {self.averaged - 1} of {self.runs - 1} other runs, their {now}"

    def _epoch(self) -> str:
        layers = "training the head" if self.phase == "head" else "training all layers"
        early = f" ({self.allowed} were allowed)" if self.epochs < self.allowed else ""
        if self.epoch == 0:
            return f"The weights are those from before {layers}, which no epoch of {self.epochs} improved{early}."
        return f"The weights are those after epoch {self.epoch} of {self.epochs} of {layers}{early}."


def read(folder: str) -> Checkpoint | None:
    """Reads it from the folder beside the training's history; None where nothing was trained."""
    path = os.path.join(folder, CHECKPOINT)
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8") as f:
        return Checkpoint.from_json(f.read())
