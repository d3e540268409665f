"""Charts of arrays: what is drawn, and what is said of it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from components.data.arrays.curves import Histogram, OverTime
from components.drawing import band_charts

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert(1)</script>"
DAY = 17167.0  # 2017-01-01


def over_time(mean: object, at: list[float], *, dated: bool = True) -> OverTime:
    return OverTime(np.array(at), dated, 0.0, np.array(mean, np.float64), np.linspace(0.25, 0.75, len(at)))


def texts(chart: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(chart).iter(f"{SVG}text")]


def description(chart: str) -> str:
    return ET.fromstring(chart).findtext(f"{SVG}desc") or ""


def lines(chart: str) -> dict[str, list[list[tuple[float, float]]]]:
    """Label -> points of each of its lines."""
    found: dict[str, list[list[tuple[float, float]]]] = {}
    for group in ET.fromstring(chart).iter(f"{SVG}g"):
        for path in group.iter(f"{SVG}path"):
            numbers = [float(n) for n in re.findall(r"-?[\d.]+", path.attrib["d"])]
            points = list(zip(numbers[::2], numbers[1::2], strict=True))
            found.setdefault(group.findtext(f"{SVG}title") or "", []).append(points)
    return found


def test_each_band_has_a_panel_and_each_label_a_line() -> None:
    mean = [[[1, 10], [2, 20], [3, 30]], [[3, 30], [np.nan, np.nan], [1, 10]]]
    chart = band_charts.over_time(over_time(mean, [DAY, DAY + 50, DAY + 100]), ["nir", "red"], ["oak", "fir"], "t")
    drawn = lines(chart)
    assert [len(points) for points in drawn["oak"]] == [3, 3]
    assert [len(points) for points in drawn["fir"]] == [2, 2]  # through the points that have a value
    [(first, low), (middle, _), (last, high)] = drawn["oak"][0]
    assert middle - first == pytest.approx(last - middle, abs=0.1)
    assert low > high  # y goes down
    assert {"nir", "red", "valid pixels", "oak", "fir", "2017-01-01", "2017-04-11", "date"} <= set(texts(chart))
    assert "nir: largest 3 (oak, 2017-04-11), smallest 1 (oak, 2017-01-01)" in description(chart)
    assert "Valid pixels at a moment: from 25 % to 75 %." in description(chart)


def test_moments_without_dates_are_numbered() -> None:
    chart = band_charts.over_time(over_time([[[5.0], [7.0]]], [1, 2], dated=False), ["a"], ["x"], "t")
    assert {"number of the moment", "1", "2"} <= set(texts(chart))
    assert "a: largest 7 (x, moment 2), smallest 5 (x, moment 1)" in description(chart)


@pytest.mark.parametrize("dated", [True, False])
def test_a_single_moment_is_a_point(dated: bool) -> None:
    chart = band_charts.over_time(over_time([[[5.0]]], [DAY], dated=dated), ["a"], ["x"], "t")
    assert "x" in lines(chart)
    assert "translate(" in chart  # a marker


def test_a_label_without_a_value_is_not_in_the_legend() -> None:
    mean = [[[1.0], [2.0]], [[np.nan], [np.nan]]]
    assert "fir" not in texts(band_charts.over_time(over_time(mean, [1, 2], dated=False), ["a"], ["oak", "fir"], "t"))
    nothing = over_time([[[np.nan]]], [1], dated=False)
    assert "largest" not in description(band_charts.over_time(nothing, ["a"], ["oak"], "t"))


def test_a_histogram_is_drawn_at_the_middles_of_its_bins() -> None:
    found = Histogram(np.array([0.0, 1, 2, 3]), np.array([[0.5, 0.25, 0.25], [np.nan] * 3]))
    chart = band_charts.values([found], ["nir"], ["oak", "fir"], "t")
    [points] = lines(chart)["oak"]
    wide = 440 - 60 - 14
    assert [x for x, _ in points] == pytest.approx([60 + wide * (i + 0.5) / 3 for i in range(3)], abs=0.1)
    assert "fir" not in texts(chart)
    assert "Most frequent value of each label: nir: oak 0.5." in description(chart)


def test_values_that_are_all_equal_are_told_and_not_drawn() -> None:
    chart = band_charts.values([Histogram(np.array([7.0]), np.zeros((1, 0)))], ["nir"], ["oak"], "t")
    assert "all values are 7" in texts(chart)
    assert "nir: all values are equal" in description(chart)


def test_names_are_text() -> None:
    one = band_charts.over_time(over_time([[[1.0], [2.0]]], [1, 2], dated=False), [HOSTILE], [HOSTILE], HOSTILE)
    other = band_charts.values([Histogram(np.arange(3.0), np.ones((1, 2)))], [HOSTILE], [HOSTILE], HOSTILE)
    for chart in (one, other):
        assert "<script" not in chart
        assert HOSTILE in (ET.fromstring(chart).findtext(f"{SVG}title") or "")


def test_twelve_labels_look_different() -> None:
    names = [f"label {i}" for i in range(12)]
    chart = band_charts.values([Histogram(np.arange(3.0), np.ones((12, 2)))], ["a"], names, "t")
    looks = {
        (path.get("stroke"), path.get("stroke-dasharray"))
        for group in ET.fromstring(chart).iter(f"{SVG}g")
        for path in group.iter(f"{SVG}path")
    }
    assert len(looks) == 12
