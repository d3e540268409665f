"""The search behind the interface of TFX's Tuner, which takes KerasTuner's `BaseTuner`.

KerasTuner runs the loop and keeps the results; which values come next, what stops early and what survives a kill is
decided in `search`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import keras
import keras_tuner
from pydantic import ValidationError
from tfx.components.tuner.component import TunerFnResult

from components.base import progress
from components.base.errors import ConfigError
from components.base.text import number
from components.data import schema
from components.ingest import manifest
from components.labels import kinds
from components.labels.kind import LabelKind
from components.model.settings import Training
from components.model.tuning import journal, space, trial
from components.model.tuning.journal import Journal, Trial, Trials
from components.model.tuning.search import Result, Search, Watch
from components.model.tuning.settings import Range, TunerSettings
from components.model.tuning.space import Draw, Overlay

if TYPE_CHECKING:
    from tfx.components.trainer.fn_args_utils import FnArgs

_JOURNAL = "trials.jsonl"
_MANY = 100_000  # trials, where only the time is limited: KerasTuner wants a number
_KEYS = set(Training.model_fields)


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """Prepares the search; called by TFX's Tuner.

    Raises:
        ConfigError: with a single label there is nothing to search for.
    """
    settings = TunerSettings.model_validate(fn_args.custom_config)
    known = manifest.read(os.path.dirname(os.path.dirname(fn_args.train_files[0])))
    names = schema.labels(os.path.dirname(fn_args.schema_path))
    kind = kinds.kind(str(settings.trainer["task"]))
    if kind.is_detector(len(names)):
        raise ConfigError(f"tuning: with the only label {names[0]!r} nothing is trained; remove the section")
    images = max(1, known.counts["train"])
    shares = {name: known.label_counts[name]["train"] / images for name in names}
    folder = os.path.join(settings.checkpoints, _key(settings, known.content, names))
    search = Search(
        Journal(os.path.join(folder, _JOURNAL)),
        plan(settings, kind, shares),
        trials=settings.tuning.most_trials,
        seconds=settings.tuning.most_seconds,
    )
    tuner = Tuner(search, settings, folder, fn_args.working_dir)
    return TunerFnResult(tuner=tuner, fit_kwargs={"fn_args": fn_args})


def plan(settings: TunerSettings, kind: LabelKind, shares: Mapping[str, float]) -> Iterator[Overlay]:
    """What the search tries, in this order; see `space.candidates`.

    Args:
        settings: of the Tuner.
        kind: the label kind.
        shares: label -> share of the training images to which it applies.
    """
    as_it_is = settings.of_trial({})
    over = settings.tuning.over or dict.fromkeys(space.BY_DEFAULT)
    # A method that is written down stays, where the search is not over methods; weights would contradict it.
    kept = () if settings.training.get("imbalance") in (None, "weights") else ("label_weights",)
    listed: list[list[Overlay]] = []
    drawn: list[Draw] = []
    for name, values in over.items():
        if isinstance(values, tuple):
            listed.append([{name: value} for value in values])
        elif name == "learning_rate":
            least, most = space.rates(as_it_is.learning_rate)
            ends = values or Range(min=least, max=min(1.0, most))
            drawn.append(functools.partial(_drawn, name, ends))
        else:
            choices = space.choices(name, kind, as_it_is.model_dump(), shares)
            listed.append([{k: v for k, v in one.items() if k == name or k not in (*over, *kept)} for one in choices])

    def resolve(overlay: Overlay) -> str | None:
        try:
            return settings.of_trial(overlay).model_dump_json()
        except ValidationError:
            return None

    return space.candidates(listed, drawn, as_it_is.seed, resolve)


def _drawn(name: str, ends: Range, share: float) -> Overlay:
    return {name: ends.at(share)}


class _Oracle(keras_tuner.Oracle):
    """Gives KerasTuner the values of the next trial: of all keys of `training`, so that they are complete."""

    def __init__(self, search: Search, settings: TunerSettings) -> None:
        super().__init__(
            objective=keras_tuner.Objective(trial.MEASURE, "min"),
            max_trials=settings.tuning.most_trials or _MANY,
            # A trial that fails is one that is not chosen.
            max_consecutive_failed_trials=2**31,
        )
        self.search, self.overlay, self._settings = search, dict[str, Any](), settings

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        following = self.search.following()
        if following is None:
            return {"status": "STOPPED"}
        self.overlay = dict(following)
        return {
            "status": "RUNNING",
            "values": self._settings.of_trial(following).model_dump(mode="json", include=_KEYS),
        }


class Tuner(keras_tuner.engine.base_tuner.BaseTuner):
    """Runs trials one after another.

    Args:
        search: decides what to try.
        settings: of the Tuner.
        folder: for the checkpoints of a trial.
        working: for KerasTuner's own files, which nothing reads again.
    """

    def __init__(self, search: Search, settings: TunerSettings, folder: str, working: str) -> None:
        super().__init__(oracle=_Oracle(search, settings), directory=working, project_name="tuner", overwrite=True)
        self.oracle.verbose = 0
        self._search, self._settings, self._folder = search, settings, folder

    def found(self) -> Trials:
        """Returns what the search came to.

        Raises:
            ImagegateError: no trial finished.
        """
        best = self._search.best()
        tried = {key for trial_ in self._search.conducted for key in trial_.overlay} | set(self._settings.tuning.over)
        if "label_weights" in tried:
            tried.add("imbalance")  # weights come with the method of this name
        values = self._settings.of_trial(best.overlay).model_dump(mode="json", include=tried)
        return Trials(
            measure=trial.name_of_measure(kinds.kind(self._settings.task), balanced=self._settings.balanced),
            trials=tuple(self._search.conducted),
            best=best.number,
            values={key: value for key, value in values.items() if value is not None},
        )

    def run_trial(self, trial_: Any, *, fn_args: FnArgs) -> dict[str, float]:
        """Trains and judges; called by KerasTuner.

        Raises:
            keras_tuner.errors.FailedTrialError: the trial ended early.
            keras_tuner.errors.FatalError: the search ends; it has the reason as its cause.
        """

        def learn(overlay: Overlay, watch: Watch) -> Result:
            checkpoints = os.path.join(self._folder, "checkpoints")
            own = self._settings.of_trial(overlay, checkpoints)
            return trial.learn(fn_args, own, watch, balanced=self._settings.balanced)

        try:
            with progress.within(self._announced()):
                done = self._search.conduct(self.oracle.overlay, learn)
        except Exception as error:
            raise keras_tuner.errors.FatalError from error  # it would go on after any other error
        keras.utils.clear_session()  # also collects the network of this trial, which refers to itself
        self._tell(done)
        if done.status != "finished" or done.measure is None:
            raise keras_tuner.errors.FailedTrialError(done.reason or done.status)
        return {trial.MEASURE: done.measure}

    def _announced(self) -> str:
        most = self._settings.tuning.most_trials
        return f"trial {self._search.begun}" + (f" of {most}" if most else "")

    def _tell(self, done: Trial) -> None:
        """Reports a trial, the best one so far, and how long the others may take."""
        most, best = self._settings.tuning.most_trials, journal.best(self._search.conducted)
        measured = number(done.measure) if done.measure is not None else done.reason or done.status
        note = f"{done.settings()}: {measured}"
        note += f"; best: {number(best.measure)} (trial {best.number})" if best else ""
        if most:
            seconds = [one.seconds for one in self._search.conducted]
            left = sum(seconds) / len(seconds) * (most - done.number)
            note += f"; about {number(left / 60, 2)} minutes left"
        progress.report("trials", done.number, most, note)


def _key(settings: TunerSettings, content: str, names: list[str]) -> str:
    """Names a search by data, settings and code, without its limits: with others it goes on where it was."""
    told = settings.model_dump(mode="json", exclude={"checkpoints": True, "tuning": {"trials", "minutes"}})
    return hashlib.sha256(json.dumps([content, names, told], sort_keys=True).encode()).hexdigest()[:16]
