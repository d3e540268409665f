"""The model card: every number in its table, every limit in words, and nothing of the data's names as markup."""

import math
from html import unescape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from components import metrics
from components.base.checkpoint import Checkpoint
from components.labels import kinds
from components.push import model_card

NASTY = ["a|b", "`c` *d* _e_", "<script>alert(1)</script>", "two\nlines", "[x](javascript:y) ~~z~~ \\|"]
COUNTS = {
    NASTY[0]: {"train": 1200, "eval": 10, "test": 25},
    NASTY[1]: {"train": 30, "eval": 3, "test": 100},
    NASTY[2]: {"train": 5, "eval": 0, "test": 0},
    NASTY[3]: {"train": 0, "eval": 1, "test": 400},
    NASTY[4]: {"train": 9, "eval": 9, "test": 99},
}


def numbers(value: float) -> dict[str, Any]:
    return dict.fromkeys(kinds.kind("single_label").metric_names(NASTY), value) | {"example_count": 624.0}


def facts(**changes: Any) -> model_card.Facts:
    told: dict[str, Any] = {
        "name": "birds",
        "task": "single_label",
        "date": "2026-01-02 03:04 UTC",
        "labels": NASTY,
        "counts": {"train": 1244, "eval": 23, "test": 624},
        "label_counts": COUNTS,
        "imbalance": "weights",
        "label_weights": dict(zip(NASTY, (0.5, 1.0, 1.25, 0.0, 2.0), strict=True)),
        "results": [
            ({}, numbers(0.75) | {metrics.key("recall", NASTY[0]): 0.125, metrics.key("recall", NASTY[2]): math.nan}),
            ({"camera": "day|night", "label": NASTY[2]}, numbers(0.5) | {"example_count": 7.0}),
        ],
        "thresholds": ["recall of label 'a|b' is 0.125 (25 examples): recall >= 0.1"],
        "fingerprints": {"data": "abc", "code": "def"},
        "written_by": {"tensorflow": "2.21.0"},
    }
    return model_card.Facts(**told | changes)


def test_the_card_says_how_the_weights_were_chosen() -> None:
    said = Checkpoint(
        measure="tempered_loss", phase="all", epoch=2, epochs=3, allowed=5, loss=0.25, last=0.5
    ).sentence()
    card = model_card.render(facts(training=said))
    part = card.split("## Training\n\n")[1].split("\n\n## Metrics")[0]
    assert part == (
        "The weights are those after epoch 2 of 3 of training all layers (5 were allowed). Of all, they had the least "
        "tempered loss on the eval split: 0.25; it was 0.5 after the last epoch."
    )
    assert "## Training" not in model_card.render(facts())


def tables(card: str) -> list[list[list[str]]]:
    """Of each table the rows of cells, as a reader sees them: rendered by another's Markdown."""
    found: list[list[list[str]]] = []
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(card):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.level >= 4:
            assert all(child.type in ("text", "text_special") for child in token.children), token.content
            found[-1][-1].append("".join(child.content for child in token.children))
    return found


def html(card: str) -> str:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(card)


def seen(label: str) -> str:
    return " ".join(label.split())


def test_every_number_stands_in_its_cell() -> None:
    data, overall, per_label, per_slice, fingerprints, software = tables(model_card.render(facts()))
    assert data[0] == ["label", "train", "eval", "test", "weight in the loss"]
    assert data[1] == ["a|b", "1,200", "10", "25", "0.5"]
    assert data[4] == ["two lines", "0", "1", "400", "0"]
    assert data[-1] == ["all images", "1,244", "23", "624", ""]
    assert overall[0] == ["metric", "this model"]
    assert overall[1:] == [[name, "0.75"] for name in kinds.kind("single_label").overall]
    assert per_label[0] == ["label", *kinds.kind("single_label").per_label]
    assert [row[0] for row in per_label[1:]] == [seen(label) for label in NASTY]
    recall = per_label[0].index("recall")
    assert [row[recall] for row in per_label[1:]] == ["0.125", "0.75", "-", "0.75", "0.75"]
    assert per_slice[0] == ["slice", "examples", *kinds.kind("single_label").overall]
    assert per_slice[1] == [f"camera = day|night, label = {NASTY[2]}", "7", *["0.5"] * (len(per_slice[0]) - 2)]
    assert fingerprints[1:] == [["data", "abc"], ["code", "def"]]
    assert software == [["name", "release"], ["tensorflow", "2.21.0"]]
    assert "\n\nRare labels: weights (`training.imbalance`).\n\n" in model_card.render(facts())
    assert "Rare labels" not in model_card.render(facts(imbalance=""))  # of an earlier release


def test_the_served_model_stands_beside_it() -> None:
    card = model_card.render(facts(served="17", served_numbers={"accuracy": 0.7, "loss": math.nan}))
    overall = tables(card)[1]
    assert overall[0] == ["metric", "this model", "version 17"]
    by_name = {row[0]: row[1:] for row in overall[1:]}
    assert (by_name["accuracy"], by_name["loss"]) == (["0.75", "0.7"], ["0.75", "-"])
    assert "Compared with version 17, which was served then, on the same images." in card
    card = model_card.render(facts(not_compared="version 16 has other labels: only version 16 has '<b>'"))
    assert "Compared with no other model: version 16 has other labels: only version 16 has '&lt;b&gt;'." in card
    assert "Compared with no other model: none was served." in model_card.render(facts())


def test_intended_use_is_left_for_people_to_fill_in() -> None:
    card = model_card.render(facts())
    assert card.startswith("# Model card: birds\n\nTask `single_label`, pushed 2026-01-02 03:04 UTC by imagegate.")
    assert "## Intended use\n\n**To be filled in by the owner of this model, in a copy of this card:**" in card


def test_the_limitations_follow_from_the_data() -> None:
    card = unescape(html(model_card.render(facts(notes=["3 files could not be used."]))))
    limits = card[card.index("<h2>Limits") : card.index("<h2>Fingerprints")]
    # 0.98 / sqrt(25) = 0.196, 0.98 / sqrt(99) = 0.0985; 100 and more are not few.
    assert "Labels with fewer than 100 test images: 'a|b' 25 (±0.20), " in limits
    assert "99 (±0.10). The number in brackets" in limits
    assert "Labels without an image in train, so nothing about them was learnt: 'two\\nlines'." in limits
    assert "Labels without an image in test, so nothing about them was tested: '<script>alert(1)</script>'." in limits
    assert "every image gets one of them" in limits
    assert "<li>3 files could not be used.</li>" in limits
    plenty = {label: dict.fromkeys(("train", "eval", "test"), 100) for label in NASTY}
    card = model_card.render(facts(label_counts=plenty, task="multi_label", results=[({}, {})]))
    assert "fewer than" not in card
    assert "Without" not in card
    assert "gets one of them" not in card
    assert "### Per slice" not in card


def test_nothing_in_a_name_becomes_markup() -> None:
    page = html(model_card.render(facts(thresholds=[f"recall of label {label!r} is 1" for label in NASTY])))
    for tag in ("<script", "<em>", "<s>", "<a ", "<br", "<img"):
        assert tag not in page
    assert "<code>c</code>" not in page


@given(st.text(min_size=1))
def test_any_text_stays_in_its_cell_as_it_is(name: str) -> None:
    table = f"| a | b |\n| --- | --- |\n| {model_card.text(name)} | {model_card.text('x' + name + 'y')} |\n"
    [[_, [first, second]]] = tables(table)
    expected = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name.replace("\n", " "))
    assert first == " ".join(expected.split())
    assert second == " ".join(f"x{expected}y".split())


@pytest.mark.parametrize("task", ["multi_label", "segmentation"])
def test_each_task_has_its_metrics(task: str) -> None:
    values = dict.fromkeys(kinds.kind(task).metric_names(NASTY), 0.5)
    _, overall, per_label, *_ = tables(model_card.render(facts(task=task, results=[({}, values)])))
    assert [row[0] for row in overall[1:]] == list(kinds.kind(task).overall)
    assert per_label[0] == ["label", *kinds.kind(task).per_label]
