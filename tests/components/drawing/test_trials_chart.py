"""The chart of a search: each trial that was judged is a mark, the best is told apart, and a lonely one is no chart."""

import math
import xml.etree.ElementTree as ET

import pytest

from components.drawing.trials import Point, trials

POINTS = [
    Point(1, "finished", "as configured", 0.5, (0.9, 0.5)),
    Point(2, "finished", "loss <focal> & more", 0.25, (0.8, 0.25)),
    Point(3, "pruned", "learning_rate 1", 0.75, (0.95, 0.75)),
    Point(4, "failed", "learning_rate 2", None),
    Point(5, "out_of_time", "learning_rate 3", 0.6, (0.6,)),
]


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter() if element.text]


def test_every_judged_trial_is_a_mark_with_its_settings() -> None:
    told = texts(trials(POINTS, 2, "1 - mean IoU", "Trials"))
    assert "trial 2: 0.25, loss <focal> & more" in told
    assert "trial 3: 0.75, learning_rate 1" in told
    assert not [text for text in told if text.startswith("trial 4")]
    assert {"finished", "stopped early", "out of time", "best so far", "trial 2, the best"} <= set(told)
    assert "4 trials. Trial 2 is the best: 1 - mean IoU 0.25, as configured 0.5." in told


def test_where_the_configuration_is_the_best_it_is_not_drawn_twice() -> None:
    told = texts(trials(POINTS[:1] + POINTS[2:], 1, "measure", "Trials"))
    assert "trial 1, the best" in told
    assert "trial 1, as configured" not in told


def test_trials_without_epochs_have_no_curves() -> None:
    told = texts(trials([Point(1, "finished", "a", 0.5), Point(2, "finished", "b", 0.4)], 2, "measure", "Trials"))
    assert "epoch" not in told


@pytest.mark.parametrize("points", [[], POINTS[:1], [POINTS[0], Point(2, "failed", "", None)]])
def test_a_single_trial_is_no_chart(points: list[Point]) -> None:
    assert trials(points, 1, "measure", "Trials") == ""


def test_what_is_not_finite_is_left_out() -> None:
    told = texts(trials([*POINTS, Point(6, "pruned", "x", math.inf, (math.inf, math.inf))], 2, "measure", "Trials"))
    assert not [text for text in told if text.startswith("trial 6")]
