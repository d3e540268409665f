"""What a page tells of methods: their comparison, its chart, and synthetic images."""

import xml.etree.ElementTree as ET

from components.drawing.methods import methods as chart
from components.model.comparing.record import Difference, Figure, Method, MethodComparison
from components.model.fitting.synthetic import OfLabel, Synthetic
from components.model.fitting.tried import Tried
from components.model.fitting.unlabelled.record import Pool
from components.report import page, tables, trials
from components.report.cells import count
from components.report.run_summary import RunSummary


def method(name: str, accuracy: float, loss: float, apart: tuple[float, float] | None = None) -> Method:
    """Figures with intervals of +- 0.1; differences from 0.5 and 1.0, +- `apart`."""
    differences = {}
    if apart:
        differences = {
            "accuracy": Difference(
                mean=accuracy - 0.5, interval=(accuracy - 0.5 - apart[0], accuracy - 0.5 + apart[0])
            ),
            "loss": Difference(mean=loss - 1, interval=(loss - 1 - apart[1], loss - 1 + apart[1])),
        }
    figures = {
        "accuracy": Figure(
            mean=accuracy, interval=(accuracy - 0.1, accuracy + 0.1), values=(accuracy - 0.05, accuracy + 0.05)
        ),
        "loss": Figure(mean=loss, interval=(loss, loss), values=(loss, loss)),
    }
    return Method(name=name, overlay={}, figures=figures, differences=differences, seconds=1.25)


FOUND = MethodComparison(
    figures=("accuracy", "loss"),
    seeds=(1, 2, 3),
    images=100,
    methods=(
        method("weights", 0.5, 1.0),
        method("none", 0.625, 1.5, (0.0625, 0.25)),
        Method(name="retrained_head", overlay={}, reason="too <odd>"),
    ),
)


def test_figures_and_differences_are_tables() -> None:
    figures, differences = trials.methods(FOUND), trials.differences(FOUND)
    assert figures is not None
    assert differences is not None
    assert figures["heads"] == ["method", "accuracy", "loss", "seconds"]
    rows = [[row["name"], *(cell["text"] if cell else "" for cell in row["cells"])] for row in figures["rows"]]
    assert rows == [
        ["weights", "0.500 ± 0.100", "1.000", "1.2"],
        ["none", "0.625 ± 0.100", "1.500", "1.2"],
        ["retrained_head", "", "", ""],
    ]
    [row] = differences["rows"]
    assert row["name"] == "none"
    # A higher accuracy is better, and a higher loss worse.
    assert [(cell["text"], cell.get("mood")) for cell in row["cells"] if cell] == [
        ("+0.125 (+0.062 to +0.188) *", "good"),
        ("+0.500 (+0.250 to +0.750) *", "bad"),
    ]


def test_a_difference_within_chance_is_neither_good_nor_bad() -> None:
    luck = FOUND.model_copy(update={"methods": (FOUND.methods[0], method("none", 0.625, 1.5, (0.25, 1.0)))})
    table = trials.differences(luck)
    assert table is not None
    assert [cell.get("mood") for cell in table["rows"][0]["cells"] if cell] == ["", ""]


def test_a_sentence_says_what_was_compared_and_how_to_read_it() -> None:
    told = trials.about_methods(FOUND)
    assert told.startswith(
        "3 methods learnt from train with the same data, seeds and settings, and were judged on eval."
    )
    assert "± is the 95 % interval over 3 seeds." in told
    assert told.endswith("retrained_head: too <odd>")


def test_seeds_that_change_nothing_are_said_to() -> None:
    solved = [one.model_copy(update={"figures": {"loss": one.figures.get("loss")}}) for one in FOUND.methods[:2]]
    said = FOUND.model_copy(update={"methods": tuple(solved)}).remarks()
    assert said[0] == "Every seed gives the same figures: a head that is solved depends on no chance."


def test_without_a_comparison_there_is_nothing() -> None:
    nothing = (trials.methods(None), trials.differences(None), trials.about_methods(None), trials.methods_picture(None))
    assert nothing == (None, None, "", "")
    alone = FOUND.model_copy(update={"methods": FOUND.methods[:1]})
    assert trials.differences(alone) is None
    assert chart(alone, "Methods") == ""


def test_the_chart_names_every_method_that_has_figures() -> None:
    told = [element.text or "" for element in ET.fromstring(chart(FOUND, "Methods")).iter() if element.text]
    assert {"accuracy, eval", "loss, eval", "better beyond chance", "worse beyond chance"} <= set(told)
    assert "none: 0.625 ± 0.100, difference +0.125 (+0.062 to +0.188)" in told
    assert "accuracy on eval: weights 0.5, none 0.625." in told
    assert not [text for text in told if text.startswith("retrained_head")]


def test_the_page_tells_what_became_of_synthetic_images() -> None:
    labels = {"hat": OfLabel(train=4, images=6), "fox": OfLabel(train=1, images=0, reason="none was made: <why>")}
    made = Synthetic(method="mixup", labels=labels)
    html = page.render(
        RunSummary(name="x", task="single_label", status="failed", synthetic=made),
        {"synthetic": "data:image/jpeg;base64,"},
    )
    assert "<p>synthetic images of fox: none was made: &lt;why&gt;</p>" in html
    assert tables.synthetic(made) == {
        "heads": ["label", "train", "made", "outcome"],
        "rows": [
            {"name": "hat", "cells": [count(4), count(6), None]},
            {"name": "fox", "cells": [count(1), count(0), {"value": 0, "text": "none is used", "mood": "bad"}]},
        ],
    }
    assert 'src="data:image/jpeg;base64,"' in html
    assert "Synthetic images" not in page.render(RunSummary(name="x", task="single_label", status="failed"), {})


def test_the_page_has_a_table_of_all_methods_that_were_tried() -> None:
    """A loss that is lower beyond chance is good; a refused method has no figures; made images come last."""
    tried = (
        Tried(method="propagation", used=True, reason="", images=120, difference=-0.25, interval=(-0.5, -0.125)),
        Tried(method="consistency", used=False, reason="", images=120, difference=0.0625, interval=(-0.25, 0.5)),
        Tried(method="autoencoder", used=False, reason="not used: it is refused"),
    )
    worse = Tried(method="synthetic", used=False, reason="", images=120, difference=0.5, interval=(0.25, 1.0))
    pool = Pool(images=1000, tried=tried)
    made = Synthetic(method="vae", labels={}, tried=worse)
    table = trials.tried(pool, made)
    assert table is not None
    assert [
        [row["name"], *((cell["text"], cell.get("mood", "")) if cell else None for cell in row["cells"])]
        for row in table["rows"]
    ] == [
        ["propagation", ("120", ""), ("-0.250 (-0.500 to -0.125)", "good"), ("yes", "")],
        ["consistency", ("120", ""), ("+0.062 (-0.250 to +0.500)", ""), ("no", "")],
        ["autoencoder", None, None, ("no", "")],
        ["synthetic", ("120", ""), ("+0.500 (+0.250 to +1.000)", "bad"), ("no", "")],
    ]
    html = page.render(RunSummary(name="x", task="single_label", status="failed", unlabelled=pool), {})
    assert "-0.250 (-0.500 to -0.125)" in html
    assert trials.tried(None, None) is None
    assert trials.tried(Pool(images=10), Synthetic(method="vae", labels={})) is None
