"""All settings of the stage that compares methods."""

from __future__ import annotations

from pydantic import JsonValue

from components.base.values import Positive, Value
from components.model.settings import TrainerSettings
from components.model.tuning.settings import TrialSettings

_SEEDS = 2**32 - 3  # the largest of `training.seed`, and 0


class Plan(Value):
    """What is compared.

    Attributes:
        methods: name -> keys of `training` that make it up, in order; the first is what the others are compared with.
        seeds: number of trainings of each.
    """

    methods: dict[str, dict[str, JsonValue]]
    seeds: Positive


class ComparisonSettings(TrialSettings):
    """See `Plan` and `TrialSettings`."""

    plan: Plan

    def seeds(self) -> list[int]:
        """The seeds: the configured one, and those that follow."""
        first = self.of_trial({}).seed
        return [(first + i) % _SEEDS for i in range(self.plan.seeds)]

    def of_training(self, method: str, seed: int, checkpoints: str = "") -> TrainerSettings:
        """The settings of the Trainer for one training."""
        return self.of_trial({**self.plan.methods[method], "seed": seed}, checkpoints)
