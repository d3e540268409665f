import datetime
import re
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.data import properties as image_properties
from components.data.manifest import PropertyHistograms
from components.drawing import charts, svg
from components.drawing.curves import Curve

SVG = "{http://www.w3.org/2000/svg}"
LEFT, TOP, INNER = 48, 24, 378  # of the panel of a chart, in user units
HOSTILE = [
    "<script>alert(1)</script>",
    "a&b]]>",
    "\"quoted\" 'names'",
    "$x_1$ \\frac{1}{2}",
    "very_long_" * 30,
    "中文标签",
    "😀👍🏽",
    "שלום",
    "two\nlines",
    "\x1b[31m\x00\ud800\ufffe",
    "@0@",
    "_hidden",
    "%s {0} &lt;",
    "e\u0301" * 20,
]


@pytest.fixture(autouse=True)
def _strict() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def curve(name: str, area: float = 0.5, bold: bool = False) -> Curve:
    return Curve(name, (0.0, 0.5, 1.0), (1.0, 0.75, 0.25), area, bold)


def several(labels: Sequence[str]) -> list[Curve]:
    return [*(curve(name, 0.9 - 0.01 * i) for i, name in enumerate(labels)), curve("all", 0.8, bold=True)]


def calibration(**bins: tuple[float, float, float]) -> Any:
    sums = np.zeros((3, 15))
    for i, (weight, score, hit) in bins.items():
        sums[:, int(i[1:])] = weight, weight * score, weight * hit
    return sums


def counts(labels: Sequence[str]) -> dict[str, dict[str, int]]:
    return {label: {"train": 80 - i, "eval": 10, "test": 10} for i, label in enumerate(labels)}


def histograms(**bins: Mapping[int, int]) -> PropertyHistograms:
    whole = {name: {"20": 5, "21": 5} for name in image_properties.NAMES}
    return PropertyHistograms(all=whole | {name: {str(i): n for i, n in found.items()} for name, found in bins.items()})


def epoch(loss: float, tempered: float | None = None) -> dict[str, float]:
    own = {} if tempered is None else {"tempered_loss": tempered, "val_tempered_loss": tempered}
    return {"accuracy": 0.5, "loss": loss, "val_accuracy": 0.6, "val_loss": loss + 0.1} | own | {"learning_rate": 0.1}


TIME = "2026-01-02T03:04:05+00:00"
SUMS = calibration(b3=(5, 0.22, 0.4), b14=(5, 0.95, 0.8))
EVERY: Mapping[str, Callable[[Sequence[str]], str]] = {
    "precision_recall": lambda labels: charts.precision_recall(several(labels), labels[0]),
    "roc": lambda labels: charts.roc(several(labels), labels[0]),
    "reliability": lambda labels: charts.reliability(SUMS, SUMS * [[1], [0.9], [1]], labels[0]),
    "shares": lambda labels: charts.shares(counts(labels), dict.fromkeys([*labels, "old"], 3), labels[0]),
    "training": lambda labels: charts.training({"head": [epoch(2)], "all": [epoch(1.5), epoch(1)]}, labels[0]),
    "properties": lambda _: charts.properties({"train": histograms(), "eval": histograms()}, histograms()),
    "runs": lambda _: charts.runs([(TIME, 0.5, "pushed"), (TIME, None, "failed"), (TIME, 0.4, "not_blessed")]),
}


def parsed(chart: str) -> ET.Element:
    return ET.fromstring(chart)


def tips(chart: str) -> dict[str, ET.Element]:
    """Groups with a tooltip: text -> group."""
    found = {group.findtext(f"{SVG}title") or "": group for group in parsed(chart).iter(f"{SVG}g")}
    assert "" not in found
    return found


def path(element: ET.Element) -> list[tuple[float, float]]:
    """Points of the element's first path."""
    [drawn, *_] = element.iter(f"{SVG}path")
    numbers = [float(n) for n in re.findall(r"-?[\d.]+", drawn.attrib["d"])]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def markers(element: ET.Element) -> list[tuple[float, float]]:
    at = [p.attrib["transform"] for p in element.iter(f"{SVG}path") if "transform" in p.attrib]
    return [(float(x), float(y)) for x, y in (re.findall(r"-?[\d.]+", a) for a in at)]


def near(points: Sequence[tuple[float, float]], expected: Sequence[tuple[float, float]]) -> bool:
    return np.array(points) == pytest.approx(np.array(expected), abs=0.06)


def texts(chart: str) -> list[str]:
    return [element.text or "" for element in parsed(chart).iter(f"{SVG}text")]


def description(chart: str) -> str:
    return parsed(chart).findtext(f"{SVG}desc") or ""


@pytest.mark.parametrize("name", list(EVERY))
def test_a_chart_is_a_picture_within_a_page_and_says_what_it_shows(name: str) -> None:
    chart = EVERY[name](HOSTILE)
    root = parsed(chart)
    assert root.attrib["role"] == "img"
    assert root.attrib["viewBox"].startswith("0 0 440 ")
    assert root.attrib["width"] == "100%"
    assert "height" not in root.attrib
    assert [child.tag for child in root[:2]] == [f"{SVG}title", f"{SVG}desc"]
    assert all(child.text for child in root[:2])
    assert chart.startswith("<svg ")
    # Neither refers to anything, nor can it be in the way of another chart or of the page's security policy.
    allowed = {"svg", "title", "desc", "g", "path", "text"}
    for element in root.iter():
        assert element.tag.removeprefix(SVG) in allowed
        assert not {"id", "style", "class", "href"} & set(element.attrib)
        assert not any("url(" in value or "://" in value for value in element.attrib.values())
    sizes = [float(e.get("font-size", root.attrib["font-size"])) for e in root.iter(f"{SVG}text")]
    assert min(sizes) >= 11


@pytest.mark.parametrize("name", list(EVERY))
def test_every_colour_is_one_of_the_page(name: str) -> None:
    allowed = {"none", *(f"var({variable},{otherwise})" for variable, otherwise in svg.COLOURS.values())}
    for element in parsed(EVERY[name](HOSTILE)).iter():
        assert {element.attrib[key] for key in ("fill", "stroke") if key in element.attrib} <= allowed
        assert element.tag != f"{SVG}text" or "fill" in element.attrib


def test_equal_input_gives_equal_bytes_whatever_matplotlib_is_set_to_and_stays_set_to() -> None:
    before = [draw(["a", "b"]) for draw in EVERY.values()]
    with mpl.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.grid": False, "text.color": "red"}):
        own = dict(mpl.rcParams)
        assert [draw(["a", "b"]) for draw in EVERY.values()] == before
        assert dict(mpl.rcParams) == own


@pytest.mark.parametrize(("name", "room"), [("precision_recall", 270), ("roc", 270), ("shares", 116)])
@pytest.mark.parametrize("label", HOSTILE)
def test_names_are_drawn_literally(name: str, room: float, label: str) -> None:
    chart, shown = EVERY[name]([label, "other"]), svg.literal(label)
    assert svg.shortened(shown, room) in [text.strip("\u2068\u2069") for text in texts(chart)]
    assert any(tip.startswith((f"{shown}: ", f"{shown}, ")) for tip in tips(chart))
    assert parsed(chart).findtext(f"{SVG}title") == shown
    assert shown in description(chart)


@given(st.text(min_size=1, max_size=60))
def test_any_name_can_be_drawn(label: str) -> None:
    chart = charts.shares({label: {"train": 1, "eval": 0, "test": 0}}, None, label)
    assert parsed(chart).findtext(f"{SVG}title") == svg.literal(label)
    assert f"{svg.literal(label)}, train: 1 of 1" in tips(chart)


@given(st.text(max_size=200), st.floats(30, 400))
def test_shortened_names_fit_and_begin_as_the_whole(text: str, room: float) -> None:
    short = svg.shortened(text, room)
    assert svg.units(short) <= room
    head, _, tail = short.partition("…")
    assert short == text or (text.startswith(head) and text.endswith(tail))


def test_a_name_from_right_to_left_does_not_reorder_the_text_beside_it() -> None:
    assert "\u2068שלום\u2069" in texts(charts.roc([curve("שלום")], "ROC"))


def test_a_curve_goes_through_its_points() -> None:
    for chart in (charts.precision_recall([curve("cat", 0.6543)], "t"), charts.roc([curve("cat", 0.6543)], "t")):
        drawn = [(LEFT + INNER * x, TOP + INNER * (1 - y)) for x, y in ((0, 1), (0.5, 0.75), (1, 0.25))]
        assert near(path(tips(chart)["cat: 0.654"]), drawn)
        assert {"cat", "0.654"} <= set(texts(chart))
    assert "random guessing" in texts(chart)


def test_up_to_8_labels_have_their_own_colours_and_beyond_that_the_worst_do() -> None:
    def looks(chart: str, names: Sequence[str]) -> list[tuple[str, str]]:
        drawn = {tip.split(":")[0]: group for tip, group in tips(chart).items()}
        each = [next(drawn[name].iter(f"{SVG}path")).attrib for name in names]
        return [(a["stroke"], a.get("stroke-dasharray", "")) for a in each]

    few = charts.roc(several("abcdefgh"), "t")
    assert len(set(looks(few, [*"abcdefgh", "all"]))) == 9
    assert set("abcdefgh") <= set(texts(few))
    many = charts.roc(several("abcdefghi"), "t")  # whose areas fall from a on
    assert set("abcdefghi") & set(texts(many)) == set("efghi")
    assert len(set(looks(many, "abcd"))) == 1
    assert len(set(looks(many, [*"efghi", "a", "all"]))) == 7
    assert "4 other labels" in texts(many)
    assert "Lowest: i 0.820, h 0.830, g 0.840, f 0.850, e 0.860." in description(many)


def test_only_some_curves_of_very_many_labels_are_drawn_and_the_chart_says_so() -> None:
    chart = charts.precision_recall(several([f"label {i}" for i in range(500)]), "t")
    # Besides the 5 worst: every 9th of 495.
    assert "495 other labels, 55 of them drawn" in texts(chart)
    assert len(tips(chart)) == 55 + 5 + 1


def test_reliability_shows_how_often_each_bin_was_right() -> None:
    # Of 4 predictions with probability 0.25, half are correct; of 12 with 0.75, all are.
    sums = calibration(b3=(4, 0.25, 0.5), b11=(12, 0.75, 1.0))
    chart = charts.reliability(sums, sums, "t")
    expected = [(LEFT + INNER * x, TOP + 300 * (1 - y)) for x, y in ((0.25, 0.5), (0.75, 1))]
    assert near(markers(parsed(chart))[:2], expected)
    assert "uncalibrated" not in texts(chart)
    assert "75 %" in texts(chart)  # 12 of 16 in one bin
    # (4 x 0.25 + 12 x 0.75) / 16 and (2 + 12) / 16
    assert "mean predicted probability 62.5 %, observed frequency 87.5 %" in description(chart)
    both = charts.reliability(sums, sums * [[1], [0.9], [1]], "t")
    assert "uncalibrated" in texts(both)
    assert "Uncalibrated: mean predicted probability 56.25 %" in description(both)


def test_shares_are_shares_of_the_labels_in_a_split() -> None:
    found = {"cat": {"train": 6, "eval": 1, "test": 0}, "dog": {"train": 2, "eval": 3, "test": 0}}
    chart = charts.shares(found, {"cat": 1, "eel": 3}, "t")
    width = {tip: path(group)[-1][0] - 132 for tip, group in tips(chart).items() if "(served model)" not in tip}
    # 6/8, 2/8, 1/4, 3/4; test has none. eel has no image now.
    unit = width["cat, train: 6 of 8"] / 0.75
    assert width["dog, train: 2 of 8"] == pytest.approx(0.25 * unit, abs=0.2)
    assert width["cat, eval: 1 of 4"] == pytest.approx(0.25 * unit, abs=0.2)
    assert width["dog, eval: 3 of 4"] == pytest.approx(0.75 * unit, abs=0.2)
    assert width["eel, train: 0 of 8"] == pytest.approx(0, abs=0.1)
    assert not any(", test" in tip for tip in tips(chart))
    [(x, _)] = markers(tips(chart)["eel, train (served model): 3 of 4"])
    assert x - 132 == pytest.approx(0.75 * unit, abs=0.2)
    assert [text for text in texts(chart) if text in ("cat", "dog", "eel")] == ["cat", "dog", "eel"]


def test_shares_have_no_marks_without_a_served_model_and_no_chart_without_images() -> None:
    assert "train (served model)" not in texts(charts.shares(counts("ab"), None, "t"))
    assert charts.shares({"a": {"train": 0, "eval": 0, "test": 0}}, None, "t") == ""


def test_only_the_most_frequent_and_the_rarest_of_very_many_labels_have_bars() -> None:
    found = {f"label {i}": {"train": 1000 - i, "eval": 0, "test": 0} for i in range(200)}
    chart = charts.shares(found, None, "t")
    shown = [text for text in texts(chart) if text.startswith(("label ", "…"))]
    assert shown == [*(f"label {i}" for i in range(60)), "… 80 more", *(f"label {i}" for i in range(140, 200))]


@pytest.mark.parametrize(
    ("head", "whole", "best"),
    [
        ([], [(3, 3), (2, 2), (1, 2.5)], 2),  # the loss falls on, the tempered one does not
        ([(3, 1), (2, 2)], [(1, 1)], 1),  # of equal ones the first
        ([(3, None)], [(2, None), (2.5, None)], 2),  # by val_loss
    ],
)
def test_the_best_epoch_is_the_one_whose_weights_are_kept(head: Any, whole: Any, best: int) -> None:
    history = {"head": [epoch(*pair) for pair in head], "all": [epoch(*pair) for pair in whole]}
    chart = charts.training(history, "t")
    assert f"best epoch: {best}" in texts(chart)
    assert f"Epoch {best} is the best;" in description(chart)
    assert ("head only | all layers" in texts(chart)) == bool(head)
    n = len(head) + len(whole)
    upright = {p[0][0] for element in parsed(chart).iter(f"{SVG}path") if len(p := path_of(element)) == 2 and _up(p)}
    assert any(x == pytest.approx(LEFT + INNER * (best - 0.5) / n, abs=0.06) for x in upright)
    assert not head or any(x == pytest.approx(LEFT + INNER * len(head) / n, abs=0.06) for x in upright)


def path_of(element: ET.Element) -> list[tuple[float, float]]:
    return path(ET.fromstring(f'<svg xmlns="{SVG[1:-1]}">{ET.tostring(element, encoding="unicode")}</svg>'))


def _up(line: Sequence[tuple[float, float]]) -> bool:
    return line[0][0] == line[1][0] and abs(line[0][1] - line[1][1]) > 100


def test_training_shows_the_first_metric_of_the_eval_split() -> None:
    assert "accuracy, eval" in texts(charts.training({"head": [], "all": [epoch(1)]}, "t"))
    of_masks = {"loss": 1.0, "val_loss": 1.0, "val_mean_iou": 0.5, "val_pixel_accuracy": 0.6}
    assert "mean iou, eval" in texts(charts.training({"head": [], "all": [of_masks]}, "t"))
    only_losses = charts.training({"head": [], "all": [{"loss": 1.0, "val_loss": 1.0}]}, "t")
    assert not any(text.endswith(", eval") for text in texts(only_losses))


def test_properties_are_cropped_to_where_images_are() -> None:
    # Widths are bins of equal ratio from 4 to 65,536: bin 24 begins at 4 x 16384^(24/64) = 152.2, 36 ends at 1,117.
    found = histograms(width={24: 3, 36: 1}, brightness={0: 1, 63: 1})
    chart = charts.properties({"train": found, "eval": PropertyHistograms()}, None)
    written = texts(chart)
    assert written[: written.index("width (pixels)")] == ["200", "500", "1,000"]
    names = [text.split(" (")[0].replace(" ", "_") for text in written]
    assert [name for name in names if name in image_properties.NAMES] == list(image_properties.NAMES)
    assert "train" in written
    assert "eval" not in written  # which has no image
    assert "train (served model)" in texts(charts.properties({"train": found}, histograms()))


def test_the_medians_are_written_in_the_chart() -> None:
    chart = charts.properties({"train": histograms(brightness={32: 4})}, histograms(brightness={16: 4}))
    # The middle of bin 32 of 64 is 32.5 / 64 = 0.508, of bin 16 it is 0.258.
    assert "the brightness 0.51 in train, 0.26 in train (served model)" in description(chart)


def test_a_refused_run_has_another_shape_and_one_without_a_value_stands_below() -> None:
    days = [f"2026-01-0{i}T03:00:00+00:00" for i in range(1, 7)]
    statuses = ["pushed", "not_blessed", "data_rejected", "up_to_date", "failed", "pushed"]
    values = [0.5, 0.25, None, None, float("nan"), 1.0]
    chart = charts.runs(list(zip(days, values, statuses, strict=True)))
    groups = [group for _, group in sorted(tips(chart).items())]  # by time
    places = [markers(group)[0] for group in groups]
    below = [y for _, y in places[2:5]]
    assert below == [232 + 11] * 3
    high, middle, low = places[5][1], places[0][1], places[1][1]
    # 0.25, 0.5 and 1.0 are 1 and 2 quarters apart.
    assert (low - middle) * 2 == pytest.approx(middle - high, abs=0.3)
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    shapes = [next(group.iter(f"{SVG}path")).attrib["d"] for group in groups]
    assert len(set(shapes[:5])) == 5
    assert shapes[5] == shapes[0]
    assert {"2026-01-01", "2026-01-03", "2026-01-06", "pushed (2)", "failed (1)", "none"} <= set(texts(chart))
    assert "The latest pushed run, of 2026-01-06T03:00:00+00:00, has 1." in description(chart)


def test_the_legend_of_runs_names_each_status_once() -> None:
    chart = charts.runs([(TIME, 0.5, "pushed")] * 3)
    assert [text for text in texts(chart) if text.startswith("pushed")] == ["pushed (3)"]
    assert "none" not in texts(chart)


@pytest.mark.parametrize("n", [1, 2, 200])
@pytest.mark.parametrize("value", [None, 0.5])
def test_any_number_of_runs_can_be_drawn(n: int, value: float | None) -> None:
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    status = "failed" if value is None else "pushed"
    points = [((start + datetime.timedelta(hours=i)).isoformat(), value, status) for i in range(n)]
    chart = charts.runs(points)
    places = [markers(group)[0] for group in tips(chart).values()]
    assert len(places) == n
    assert all(LEFT <= x <= LEFT + INNER for x, _ in places)


@pytest.mark.parametrize(
    "chart",
    [
        lambda: charts.precision_recall([], "t"),
        lambda: charts.roc([], "t"),
        lambda: charts.reliability(np.zeros((3, 15)), np.zeros((3, 15)), "t"),
        lambda: charts.shares({}, None, "t"),
        lambda: charts.training({}, "t"),
        lambda: charts.training({"head": [], "all": []}, "t"),
        lambda: charts.properties({}, None),
        lambda: charts.properties({"train": PropertyHistograms()}, PropertyHistograms()),
        lambda: charts.runs([]),
    ],
)
def test_without_data_there_is_no_chart(chart: Callable[[], str]) -> None:
    assert chart() == ""


def test_charts_of_60_labels_are_small() -> None:
    rng = np.random.default_rng(0)
    line = [(tuple(np.sort(rng.random(100))), tuple(np.sort(rng.random(100))[::-1])) for _ in range(60)]
    curves = [Curve(f"a label of some length {i}", x, y, 0.5) for i, (x, y) in enumerate(line)]
    found = {c.name: {"train": i + 1, "eval": i + 1, "test": i + 1} for i, c in enumerate(curves)}
    reference = {label: n["train"] for label, n in found.items()}
    for chart in (charts.roc(curves, "t"), charts.shares(found, reference, "t")):
        assert len(chart.encode()) < 150_000


def test_importing_the_charts_loads_nothing_heavy() -> None:
    heavy = "{'matplotlib', 'sklearn', 'tensorflow', 'scipy'}"
    code = f"import sys, components.drawing.charts; sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
