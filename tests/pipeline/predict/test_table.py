"""The table of answers: its columns, its widths, and what a narrow terminal makes of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from pipeline.predict import table

SINGLE = {"label": "b", "probabilities": {"a": 0.1, "b": 0.5, "c": 0.15, "d": 0.25}}
MULTI = {"labels": ["a", "c", "d", "e"], "probabilities": {"a": 0.5, "b": 0.4, "c": 0.99, "d": 0.7, "e": 0.6}}
SHARES = {"shares": {"sky": 0.25, "car": 0.0, "road": 0.6994, "sign": 0.0506}}

CELLS = {
    "the best and the next two": (
        SINGLE,
        {"label": "b", "probability": "0.500", "next likely": "d 0.250, c 0.150"},
    ),
    "the only label": (
        {"label": "a", "probabilities": {"a": 0.1}},
        {"label": "a", "probability": "0.100", "": ""},
    ),
    "what applies": (MULTI, {"labels": "c 0.990, d 0.700, e 0.600, a 0.500"}),
    "nothing applies": (
        {"labels": [], "probabilities": {"a": 0.1, "b": 0.3}},
        {"labels": "none; the likeliest is b 0.300"},
    ),
    "shares": (SHARES, {"share of each label": "road 69.9%, sky 25.0%, sign 5.1%"}),
    "shares and an overlay": (
        {**SHARES, "overlay": "out/1.png"},
        {"overlay": "out/1.png", "share of each label": "road 69.9%, sky 25.0%, sign 5.1%"},
    ),
    "hostile names": (
        {"label": "\x1b[2J", "probabilities": {"\x1b[2J": 0.75, "a\nb": 0.25}},
        {"label": r"\x1b[2J", "probability": "0.750", "next likely": r"a\nb 0.250"},
    ),
}


@pytest.mark.parametrize(("result", "expected"), CELLS.values(), ids=CELLS)
def test_a_row_lists_the_likeliest_or_largest_labels_first(result: dict, expected: dict) -> None:
    assert table.cells({"image": "x/1.png", "abstain": False, **result}) == {"image": "x/1.png", **expected}


def lines(results: list[dict[str, Any]], width: int | None) -> list[str]:
    rows = table.Table([r["image"] for r in results], [r["overlay"] for r in results if "overlay" in r], width)
    return [line for result in results for line in rows.rows({"abstain": False, **result})]


def test_columns_are_aligned_before_the_widest_row_has_come() -> None:
    results = [{"image": "1.png", **SINGLE}, {"image": "日本/1.png", "abstain": True, **SINGLE}]  # 10 columns wide
    assert lines(results, None) == [
        "image       label  probability  next likely",
        "1.png       b      0.500        d 0.250, c 0.150",
        "日本/1.png  b      0.500        d 0.250, c 0.150  abstains: unlike all that the model knows",
    ]
    assert lines(results, 200) == lines(results, None)


def test_a_narrow_terminal_folds_names_at_their_folders_and_lists_between_items() -> None:
    result = {"image": "photos/holidays/2024/beach.png", "overlay": "out/beach.png", "abstain": True, **SHARES}
    # 60 columns: 20 for the last, two gaps of 2, so the others have 36; the wider gives way: 36 - 13 = 23.
    assert lines([result], 60) == [
        "image                    overlay        share of each label",
        "photos/holidays/2024/    out/beach.png  road 69.9%,",
        "beach.png                               sky 25.0%, sign 5.1%",
        "                                        abstains: unlike all",
        "                                        that the model knows",
    ]


def test_without_a_terminal_nothing_is_folded_however_long() -> None:
    name = "a/" * 2000 + "1.png"
    [_, row] = lines([{"image": name, **MULTI}], None)
    assert row == f"{name}  c 0.990, d 0.700, e 0.600, a 0.500"


texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=40)


@given(texts, texts, st.integers(60, 120), st.booleans())
def test_on_a_terminal_no_line_is_too_long_and_nothing_is_lost(
    name: str, label: str, width: int, abstain: bool
) -> None:
    result = {"image": name, "label": label, "probabilities": {label: 0.75, "other": 0.25}, "abstain": abstain}
    found = lines([result], width)
    assert all(cell_len(line) <= width for line in found)
    assert all(line.isprintable() for line in found)
    together = "".join(found)
    for said in (table.cell(name), table.cell(label), "other 0.250", *([table.ABSTAINS] if abstain else [])):
        letters = list(together)
        for letter in said.replace(" ", ""):  # each of its letters is there
            letters.remove(letter)
