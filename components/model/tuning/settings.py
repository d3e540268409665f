"""The section `tuning` of the configuration, and all settings of the Tuner."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, JsonValue, field_validator, model_validator

from components.base.values import Positive, Value
from components.labels import kinds
from components.model.settings import TrainerSettings, Training
from components.model.tuning.space import DEFAULTS

# Keys of `training` that are no settings of how a model learns: a search over them would compare luck or machines.
_FIXED = ("seed", "mixed_precision", "tuned", "module", "unlabelled")
_RANGED = "learning_rate"
_TRIALS, _MINUTES = 12, 60.0  # of a search without a limit


class Range(Value):
    """Numbers between two ends, drawn evenly on a logarithmic scale."""

    min: Annotated[float, Field(gt=0)] = Field(description="Smallest value.")
    max: Annotated[float, Field(gt=0)] = Field(description="Largest value.")

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.min >= self.max:
            raise ValueError(f"min: expected less than max, {self.max:g}; got {self.min:g}")
        return self

    def at(self, share: float) -> float:
        """The number at a share of the range, 0 to 1, with three significant digits.

        >>> Range(min=0.0001, max=0.01).at(0.5)
        0.001
        """
        return float(f"{math.exp(math.log(self.min) + share * math.log(self.max / self.min)):.3g}")


def tunable() -> tuple[str, ...]:
    """The keys of `training` that a search may change."""
    return tuple(key for key in Training.model_fields if key not in _FIXED)


Values = Range | Annotated[tuple[JsonValue, ...], Field(min_length=1)] | None


class Tuning(Value):
    """A search for better settings of `training`; see [searching](tune.md).

    With this section, and without `training.tuned`, every run searches before it trains, unless nothing has changed.
    """

    over: dict[str, Values] = Field(
        {},
        description="What is tried: keys of `training`, each with a list of values, such as `loss: [cross_entropy, "
        f"focal]`, or `{_RANGED}: {{min: 0.0003, max: 0.003}}`. Each value must be one that the key itself takes. "
        f"Without values (`loss: null`), {', '.join(f'`{name}`' for name in DEFAULTS)} have their own. Default: "
        "`loss` and `learning_rate`.",
    )
    trials: Positive | None = Field(
        None,
        description=f"Largest number of trials. Default: no limit if `minutes` is given, otherwise {_TRIALS}.",
    )
    minutes: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="How long the search may take, in minutes; the trial that runs at that time is stopped. Default: "
        f"no limit if `trials` is given, otherwise {_MINUTES:g}.",
    )

    @field_validator("over")
    @classmethod
    def _keys(cls, over: dict[str, Values]) -> dict[str, Values]:
        for key, values in over.items():
            if key not in tunable():
                near = difflib.get_close_matches(key, tunable(), 1)
                hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(tunable())}"
                raise ValueError(f"{key}: no key of training that can be tuned; {hint}")
            if values is None and key not in DEFAULTS:
                raise ValueError(f"{key}: list the values to try, such as {key}: [A, B]")
            if isinstance(values, Range) and key != _RANGED:
                raise ValueError(f"{key}: only {_RANGED} takes min and max; list the values to try")
        return over

    @property
    def most_trials(self) -> int | None:
        """Largest number of trials; None: no limit."""
        return _TRIALS if self.trials is None and self.minutes is None else self.trials

    @property
    def most_seconds(self) -> float | None:
        """Seconds that the search may take; None: no limit."""
        minutes = _MINUTES if self.trials is None and self.minutes is None else self.minutes
        return None if minutes is None else 60 * minutes


class TrialSettings(Value):
    """Settings of a stage that trains with several settings.

    Attributes:
        training: the section `training`; only the keys that are set, so that the defaults of others follow a trial's.
        trainer: the other settings of the Trainer.
        checkpoints: a folder that outlives the run, for journals; what was killed continues from there.
    """

    training: dict[str, JsonValue]
    trainer: dict[str, JsonValue]
    checkpoints: str

    def of_trial(self, overlay: Mapping[str, JsonValue], checkpoints: str = "") -> TrainerSettings:
        """Returns the settings with which the Trainer does what a trial does.

        Args:
            overlay: keys of `training` and their values.
            checkpoints: folder of the trial.

        Raises:
            pydantic.ValidationError: the values contradict each other.
        """
        return TrainerSettings.model_validate({**self.trainer, **self.training, **overlay, "checkpoints": checkpoints})


class TunerSettings(TrialSettings):
    """All settings of the Tuner.

    Attributes:
        tuning: the section `tuning`.
    """

    tuning: Tuning

    @property
    def task(self) -> str:
        """The task."""
        return str(self.trainer["task"])

    @property
    def balanced(self) -> bool:
        """Whether trials are judged by the mean over the labels, and not by that over the images.

        It is so for one label per image, unless the configuration makes up for rare labels by nothing or by weights of
        its own.
        """
        told = self.of_trial({})
        makes_up = told.imbalance != "none" and told.label_weights in (None, "median_frequency", "square_root")
        return kinds.kind(self.task).one_per_image and makes_up
