"""The search on the page: the trials, best first, and sentences that say what was found."""

from components.model.tuning.journal import Trial, Trials
from components.report import trials

FOUND = Trials(
    measure="calibrated cross-entropy",
    trials=(
        Trial(number=1, overlay={}, status="finished", measure=0.5, metrics={"accuracy": 0.75}, seconds=61),
        Trial(
            number=2,
            overlay={"loss": "focal", "learning_rate": 0.00123, "image_size": [64, 96]},
            status="finished",
            measure=0.25,
            metrics={"accuracy": 0.875},
            curve=(0.5, 0.25),
            seconds=2,
        ),
        Trial(
            number=3, overlay={"focal": {"gamma": 2.0}}, status="failed", measure=None, seconds=1, reason="too <odd>"
        ),
    ),
    best=2,
    values={"loss": "focal"},
)


def test_trials_come_best_first_and_say_how_they_ended() -> None:
    table = trials.table(FOUND)
    assert table is not None
    assert table["heads"] == ["trial", "calibrated cross-entropy", "accuracy", "epochs", "seconds", "outcome"]
    rows = [[row["name"], *(cell["text"] if cell else "" for cell in row["cells"])] for row in table["rows"]]
    assert rows == [
        ["2: loss focal, learning_rate 0.00123, image_size [64, 96]", "0.250", "0.875", "2", "2", "best"],
        ["1: as configured", "0.500", "0.750", "", "61", "finished"],
        ["3: focal {gamma: 2.0}", "", "", "", "1", "too <odd>"],
    ]


def test_sentences_compare_the_best_with_the_configuration() -> None:
    assert trials.introduction(FOUND).endswith("The best is trial 2: 0.25; as configured: 0.5.")
    alone = FOUND.model_copy(update={"best": 1})
    assert trials.introduction(alone).endswith("The best is trial 1: 0.5, the settings as configured.")


def test_without_a_search_there_is_nothing() -> None:
    assert (trials.table(None), trials.picture(None), trials.introduction(None)) == (None, "", "")
