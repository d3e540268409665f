"""The search: one trial after another, until there is nothing left to try, or the trials or the time are used up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from components.base.errors import ImagegateError
from components.model.tuning import journal, pruning
from components.model.tuning.journal import Journal, Status, Trial
from components.model.tuning.space import Overlay


class Stopped(Exception):
    """Ends a trial early."""

    def __init__(self, status: Status) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True)
class Result:
    """What a trial came to: its measure on the eval split, of which smaller is better, and metrics to show."""

    measure: float
    metrics: Mapping[str, float]


class Watch:
    """Follows one trial while it trains, and ends it where it is hopeless or the time is used up.

    Args:
        others: curves of the earlier trials.
        deadline: in seconds of `clock`; None: none.
        clock: seconds.

    Attributes:
        curve: measure after each epoch so far.
    """

    def __init__(self, others: list[tuple[float, ...]], deadline: float | None, clock: Callable[[], float]) -> None:
        self.curve: list[float] = []
        self._others, self._deadline, self._clock = others, deadline, clock

    def step(self) -> None:
        """Raises Stopped if the time is used up; called after every step."""
        if self._deadline is not None and self._clock() > self._deadline:
            raise Stopped("out_of_time")

    def epoch(self, measure: float) -> None:
        """Notes the measure after an epoch; raises Stopped if the trial is hopeless."""
        self.curve.append(measure)
        if pruning.is_hopeless(self.curve, self._others):
            raise Stopped("pruned")


Learn = Callable[[Overlay, Watch], Result]


class Search:
    """Conducts trials and keeps them in a journal; those that are in the journal already are not repeated.

    The first trial, the settings as they are, always ends: there is something to compare with, and to fall back on.

    Args:
        kept: the journal.
        candidates: what to try, in the same order in every process; see `space.candidates`.
        trials: largest number of trials; None: no limit.
        seconds: that all trials together may take; None: no limit.
        prunes: whether a trial ends early that is worse than half of the others were.
        clock: seconds.

    Attributes:
        begun: number of the trial that `following` returned last.
    """

    def __init__(
        self,
        kept: Journal,
        candidates: Iterator[Overlay],
        *,
        trials: int | None,
        seconds: float | None,
        prunes: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prunes = prunes
        self._journal, self._candidates, self._clock = kept, candidates, clock
        self._trials, self._seconds, self.begun = trials, seconds, 0
        if self.trials and self.trials[-1].status == "out_of_time" and not self._is_over():
            kept.trials.pop()  # there is more time now

    @property
    def trials(self) -> list[Trial]:
        """The trials so far, also those of an earlier process that this one has not come to yet."""
        return self._journal.trials

    @property
    def conducted(self) -> list[Trial]:
        """The trials that this search has come to: fewer than are known, if it was longer in an earlier process."""
        return self.trials[: self.begun]

    def following(self) -> Overlay | None:
        """Returns what to try next, or None if the search is over."""
        if self._trials is not None and self.begun >= self._trials:
            return None
        if self.begun >= len(self.trials) and self._is_over():
            return None
        overlay = next(self._candidates, None)
        self.begun += overlay is not None
        return overlay

    def conduct(self, overlay: Overlay, learn: Learn) -> Trial:
        """Conducts the trial that `following` returned, or takes it from the journal.

        Args:
            overlay: what to try.
            learn: trains and judges.

        Raises:
            OSError: a disk is full.
        """
        number = self.begun
        if number <= len(self.trials):
            return self.trials[number - 1]
        started = self._clock()
        deadline = None if self._seconds is None or number == 1 else started + self._seconds - self._spent()
        watch = Watch([trial.curve for trial in self.trials if self._prunes], deadline, self._clock)
        status: Status = "finished"
        reason, result = "", None
        try:
            result = learn(overlay, watch)
        except Stopped as stopped:
            status = stopped.status
            result = Result(min(watch.curve), {}) if watch.curve else None
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001  settings that cannot be learnt with; the others may be better
            status, reason = "failed", _gist(error)
        trial = Trial(
            number=number,
            overlay=dict(overlay),
            status=status,
            measure=None if result is None else result.measure,
            metrics={} if result is None else dict(result.metrics),
            curve=tuple(watch.curve),
            seconds=round(self._clock() - started, 3),
            reason=reason,
        )
        self._journal.add(trial)
        return trial

    def best(self) -> Trial:
        """Returns the best finished trial.

        Raises:
            ImagegateError: none finished.
        """
        found = journal.best(self.conducted)
        if found is None:
            reasons = "; ".join(dict.fromkeys(trial.reason for trial in self.conducted if trial.reason))
            raise ImagegateError(f"tuning: no trial could be finished: {reasons or 'there was none'}")
        return found

    def _spent(self) -> float:
        return sum(trial.seconds for trial in self.trials)

    def _is_over(self) -> bool:
        """Whether the time is used up; the first trial has as much as it needs."""
        return bool(self.trials) and self._seconds is not None and self._spent() >= self._seconds


def _gist(error: Exception) -> str:
    """The first line of what went wrong, with the name of a library's error."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")[:300]
    return text if isinstance(error, ImagegateError) else f"{type(error).__name__}: {text}"
