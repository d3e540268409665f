"""The search for better settings, without any training: order, early stops, budget, and what survives a kill."""

import itertools
import json
from typing import Any

import pytest
from pydantic import ValidationError

from components.base.errors import ImagegateError
from components.labels import kinds
from components.model.tuning import pruning, space, tuner
from components.model.tuning.journal import Journal, Trial
from components.model.tuning.search import Result, Search, Stopped
from components.model.tuning.settings import Range, TunerSettings, Tuning

LOSSES = [{"loss": "cross_entropy"}, {"loss": "focal"}]
SIZES = [{"image_size": 32}, {"image_size": 64}, {"image_size": 96}]


def resolved(overlay):
    return json.dumps({"loss": "cross_entropy", "image_size": 32, "rate": 1} | overlay, sort_keys=True)


def order(seed=1, listed=(LOSSES, SIZES), drawn=(), resolve=resolved):
    return space.candidates(listed, drawn, seed, resolve)


def test_every_combination_comes_once_and_the_settings_as_they_are_come_first():
    found = list(order())
    assert found[0] == {}  # which is cross_entropy at 32
    assert len(found) == 2 * 3
    assert len({resolved(one) for one in found}) == 6


def test_the_order_depends_on_the_seed_alone():
    assert list(order(1)) == list(order(1))
    assert any(list(order(1)) != list(order(seed)) for seed in (2, 3, 4))


def test_settings_that_contradict_each_other_are_not_tried():
    found = list(order(resolve=lambda o: None if o.get("image_size") == 96 else resolved(o)))
    assert len(found) == 2 * 2


def test_a_range_is_drawn_from_evenly_and_without_end():
    rates = Range(min=1e-4, max=1e-2)
    found = list(itertools.islice(order(listed=(LOSSES,), drawn=[lambda share: {"rate": rates.at(share)}]), 1 + 16))
    drawn = [one["rate"] for one in found[1:]]
    assert sum(rate < 1e-3 for rate in drawn) == 8  # half of the 2 x 8 strata lie below the middle, 0.001
    assert all(1e-4 <= rate <= 1e-2 for rate in drawn)
    assert sum(one["loss"] == "focal" for one in found[1:]) == 8  # each loss as often


def test_few_trials_are_enough_for_few_combinations_of_many_settings():
    many = [[{f"key{i}": value} for value in range(10)] for i in range(5)]  # 100,000 combinations
    found = list(itertools.islice(order(listed=many), 1 + 10))
    assert [sorted(one["key0"] for one in found[1:])] == [list(range(10))]


def test_the_losses_of_one_label_are_as_configured_and_with_and_without_weights():
    found = space.choices("loss", kinds.kind("single_label"), {}, {"cat": 0.5, "dog": 0.5})
    assert [(one["loss"], one.get("label_weights")) for one in found] == [
        ("cross_entropy", None),
        ("cross_entropy", "none"),
        ("cross_entropy", "median_frequency"),
        ("focal", None),
        ("focal", "none"),
        ("focal", "median_frequency"),
    ]


@pytest.mark.parametrize(
    ("task", "training", "tried"),
    [
        ("single_label", {}, 6),
        ("single_label", {"imbalance": "weights"}, 4),  # whose default is the median frequency
        ("single_label", {"imbalance": "balanced_softmax"}, 2),
        ("multi_label", {}, 5),
        ("multi_label", {"imbalance": "logit_adjustment"}, 4),
    ],
)
def test_a_method_for_rare_labels_that_is_written_down_stays(task: str, training: dict[str, Any], tried: int):
    told = {"positive": None, "bits": None, "decisions": {}, "code_fingerprint": "", "task": task}
    settings = TunerSettings(tuning=Tuning(over={"loss": None}), training=training, trainer=told, checkpoints="")
    overlays = list(tuner.plan(settings, kinds.kind(task), {"cat": 0.5, "dog": 0.25}))
    assert len(overlays) == tried
    methods = {settings.of_trial(one).imbalance for one in overlays}
    default = {"single_label": {"logit_adjustment", "weights"}, "multi_label": {"weights"}}[task]
    assert methods == ({training["imbalance"]} if training else default)


def test_focal_loss_by_label_makes_up_for_rare_labels():
    found = space.choices("loss", kinds.kind("multi_label"), {}, {"sky": 0.9, "tree": 0.25, "no": 0.0})
    assert [one.get("focal", {}).get("alpha") for one in found] == [
        *(None, None, None),
        0.25,
        {"sky": 0.1, "tree": 0.75, "no": 0.99},
    ]


def test_default_image_sizes_are_multiples_of_16():
    found = space.choices("image_size", kinds.kind("single_label"), {"image_size": (224, 32)}, {})
    assert [one["image_size"] for one in found] == [[112, 16], [224, 32], [336, 48]]


def test_a_trial_is_not_stopped_by_fewer_than_three_others_or_in_its_first_epoch():
    good = [0.1, 0.1]
    assert not pruning.is_hopeless([0.9, 0.9], [good, good])
    assert not pruning.is_hopeless([0.9], [good, good, good])
    assert pruning.is_hopeless([0.9, 0.9], [good, good, good])
    assert not pruning.is_hopeless([0.9, 0.9], [good, good, [0.1]])  # one had stopped before


class Clock:
    """A clock that trials wind."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def conduct(path, curves, *, trials=None, seconds=None, epoch_seconds=1.0, until=None):
    """Conducts trials whose measures are given; returns them, with how many were really trained."""
    clock, trained = Clock(), 0
    search = Search(
        Journal(str(path)), iter([{"number": n} for n in curves]), trials=trials, seconds=seconds, clock=clock
    )

    def learn(overlay, watch):
        nonlocal trained
        trained += 1
        for measure in curves[overlay["number"]]:
            if isinstance(measure, Exception):
                raise measure
            clock.now += epoch_seconds
            watch.step()
            watch.epoch(measure)
        return Result(min(watch.curve), {"accuracy": 1 - min(watch.curve)})

    while (overlay := search.following()) is not None and (until is None or trained < until):
        search.conduct(overlay, learn)
    return search, trained


def test_the_best_is_the_finished_trial_with_the_smallest_measure(tmp_path):
    search, _ = conduct(tmp_path / "t", {1: [0.5, 0.4], 2: [0.6, 0.2], 3: [0.7, 0.3]})
    assert (search.best().number, search.best().measure) == (2, 0.2)
    assert search.best().metrics == {"accuracy": 0.8}


def test_a_trial_worse_than_half_of_the_others_stops_early(tmp_path):
    good = [0.5, 0.4, 0.3]
    search, _ = conduct(tmp_path / "t", {1: good, 2: good, 3: good, 4: [0.9, 0.8, 0.1], 5: [0.4, 0.3, 0.2]})
    statuses = [trial.status for trial in search.trials]
    assert statuses == ["finished"] * 3 + ["pruned", "finished"]
    assert search.trials[3].curve == (0.9, 0.8)
    assert search.best().number == 5


def test_the_number_of_trials_is_kept(tmp_path):
    search, trained = conduct(tmp_path / "t", {n: [0.5] for n in range(1, 9)}, trials=3)
    assert (len(search.trials), trained) == (3, 3)


def test_the_time_is_kept_and_stops_a_trial(tmp_path):
    # Each epoch takes a second: two trials of three epochs, and of the third one epoch until 7 seconds have passed.
    search, _ = conduct(tmp_path / "t", {n: [0.5, 0.4, 0.3] for n in range(1, 9)}, seconds=7)
    assert [trial.status for trial in search.trials] == ["finished", "finished", "out_of_time"]
    assert [len(trial.curve) for trial in search.trials] == [3, 3, 1]


def test_the_first_trial_ends_however_little_time_there_is(tmp_path):
    search, _ = conduct(tmp_path / "t", {1: [0.5, 0.4, 0.3], 2: [0.1]}, seconds=1)
    assert [(trial.number, trial.status) for trial in search.trials] == [(1, "finished")]


def test_a_killed_search_continues_after_its_last_trial(tmp_path):
    curves = {n: [0.5 - n / 100, 0.4 - n / 100] for n in range(1, 6)}
    _, trained = conduct(tmp_path / "killed", curves, trials=5, until=2)
    assert trained == 2
    resumed, trained = conduct(tmp_path / "killed", curves, trials=5)
    whole, _ = conduct(tmp_path / "whole", curves, trials=5)
    assert trained == 3
    assert resumed.trials == whole.trials


def test_more_time_takes_up_the_trial_that_time_stopped(tmp_path):
    curves = {n: [0.5, 0.4, 0.3] for n in range(1, 4)}
    conduct(tmp_path / "t", curves, seconds=5)
    search, trained = conduct(tmp_path / "t", curves, seconds=60)
    assert [trial.status for trial in search.trials] == ["finished"] * 3
    assert trained == 2


def test_the_same_time_again_changes_nothing(tmp_path):
    curves = {n: [0.5, 0.4, 0.3] for n in range(1, 4)}
    first, _ = conduct(tmp_path / "t", curves, seconds=5)
    again, trained = conduct(tmp_path / "t", curves, seconds=5)
    assert trained == 0
    assert again.trials == first.trials


def test_a_shorter_search_forgets_nothing_but_counts_only_its_own_trials(tmp_path):
    curves = {1: [0.5], 2: [0.4], 3: [0.3]}
    conduct(tmp_path / "t", curves, trials=3)
    search, trained = conduct(tmp_path / "t", curves, trials=2)
    assert trained == 0
    assert [trial.number for trial in search.conducted] == [1, 2]
    assert search.best().number == 2
    assert len(Journal(str(tmp_path / "t")).trials) == 3


def test_a_damaged_line_ends_what_is_taken_from_the_journal(tmp_path):
    curves = {n: [0.5] for n in range(1, 4)}
    conduct(tmp_path / "t", curves)
    lines = (tmp_path / "t").read_text().splitlines()
    (tmp_path / "t").write_text(f"{lines[0]}\n{lines[1][:20]}")
    _, trained = conduct(tmp_path / "t", curves)
    assert trained == 2
    assert len(Journal(str(tmp_path / "t")).trials) == 3


def test_settings_that_cannot_be_learnt_with_do_not_end_the_search(tmp_path):
    search, _ = conduct(tmp_path / "t", {1: [0.5], 2: [ImagegateError("the loss is nan")], 3: [0.4]})
    assert [trial.status for trial in search.trials] == ["finished", "failed", "finished"]
    assert (search.trials[1].reason, search.trials[1].measure) == ("the loss is nan", None)


def test_a_search_without_any_finished_trial_says_why(tmp_path):
    search, _ = conduct(tmp_path / "t", {1: [ImagegateError("the loss is nan")], 2: [ValueError("too\nsmall")]})
    with pytest.raises(ImagegateError, match=r"no trial could be finished: the loss is nan; ValueError: too$"):
        search.best()


def test_a_full_disk_ends_the_search(tmp_path):
    with pytest.raises(OSError, match="full"):
        conduct(tmp_path / "t", {1: [OSError("full")]})


def test_a_stop_before_the_first_epoch_has_no_measure(tmp_path):
    search, _ = conduct(tmp_path / "t", {1: [0.5], 2: [Stopped("out_of_time")]})
    assert (search.trials[1].status, search.trials[1].measure) == ("out_of_time", None)


def test_trials_survive_json():
    trial = Trial(number=1, overlay={"image_size": [64, 64]}, status="finished", measure=0.5, seconds=1)
    assert Trial.from_json(trial.to_json()) == trial


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"over": {"los": ["focal"]}}, "los: no key of training that can be tuned; did you mean loss"),
        ({"over": {"seed": [1, 2]}}, "seed: no key of training that can be tuned"),
        ({"over": {"loss": []}}, "at least 1 item"),
        ({"over": {"backbone": None}}, r"backbone: list the values to try, such as backbone: \[A, B\]"),
        ({"over": {"epochs": {"min": 1, "max": 5}}}, "epochs: only learning_rate takes min and max"),
        ({"over": {"learning_rate": {"min": 0.1, "max": 0.1}}}, "min: expected less than max, 0.1; got 0.1"),
        ({"trials": 0}, "greater than 0"),
        ({"minutes": 0}, "greater than 0"),
    ],
)
def test_wrong_settings_are_refused(given, message):
    with pytest.raises(ValidationError, match=message):
        Tuning(**given)


@pytest.mark.parametrize(
    ("given", "trials", "seconds"),
    [
        ({}, 12, 3600),
        ({"trials": 50}, 50, None),
        ({"minutes": 5}, None, 300),
        ({"trials": 50, "minutes": 5}, 50, 300),
    ],
)
def test_one_limit_lifts_the_other(given, trials, seconds):
    assert (Tuning(**given).most_trials, Tuning(**given).most_seconds) == (trials, seconds)
