"""The YAML that `init` writes comes back as it was, whatever names the data hold."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import yaml
from pipeline.init import document

# YAML 1.1 or 1.2 takes these for something else than text, or for syntax.
ODD = [
    *("no", "yes", "010", "1e3", "null", "on", "~", "Null", "TRUE", "y", "N", "<<", "=", ".inf", "0x1F", "1_000"),
    *("12:30", "2020-01-01", "-", "?", ":", "!x", "&a", "*b", "|", ">", "%", "@", "`", "", " ", "a: b", "a #b"),
    *("it's", 'say "hi"', "back\\slash", "{x}", "[x]", "a, b", "日本", "😀", "cafe\u0301", "a\tb", "\x7f", "\u2028"),
]
NAMES = st.sampled_from(ODD) | st.text(max_size=10) | st.from_regex(r"[0-9eExo_.+:-]{1,8}", fullmatch=True)


def back(text: str) -> Any:
    return yaml.parse(text, "x.yaml")[0]


@pytest.mark.parametrize("name", ODD)
def test_a_name_that_yaml_reads_otherwise_comes_back_as_spelt(name: str) -> None:
    tree = {"labels": {"names": [name], "colors": {name: 1}}}
    assert back(document.text(tree, {}, [])) == tree


@given(st.lists(NAMES, max_size=30), st.text(max_size=300))
def test_any_values_and_comments_come_back(names: list[str], comment: str) -> None:
    """Lists that fit on a line and those that do not; comments behind and above a line, of keys and of items."""
    tree = {
        "name": "x",
        "data": {"root": "/".join(names), "images": {name: name for name in names}},
        "labels": {"names": names, "ignore": None},
        "training": {"augment": False, "learning_rate": 1e-5, "image_size": [32, 48]},
    }
    of_items = {f"data.images.{name}": comment for name in names[:1]} | {"labels.names.0": comment}
    of_keys = {"name": comment, "data": comment, "data.root": comment, "labels.names": comment}
    for comments in ({}, of_keys, of_items | of_keys):
        text = document.text(tree, comments, [comment, *names])
        assert back(text) == tree
        assert all(line == line.rstrip() for line in text.splitlines())


def test_a_long_list_is_folded_and_a_list_with_comments_has_a_line_for_each() -> None:
    names = [f"label {i:02d}" for i in range(40)]
    folded = document.text({"labels": {"names": names}}, {}, [])
    assert all(len(line) <= 120 for line in folded.splitlines())
    assert 4 <= len(folded.splitlines()) <= 8  # 40 items of 10 characters on lines of about 105
    each = document.text({"labels": {"names": ["no", "cat"]}}, {"labels.names.0": "id 0", "labels.names.1": "id 1"}, [])
    assert each == (
        '\nlabels:\n  names:\n    - "no"                      # id 0\n    - cat                       # id 1\n'
    )


def test_a_comment_cannot_leave_its_line() -> None:
    text = document.text({"name": "x"}, {"name": "one\nname: y"}, ["two\r\nname: z", "\x1b[2J"])
    assert back(text) == {"name": "x"}
    assert all(re.match("#|name: x|$", line) for line in text.splitlines())
    assert "\x1b" not in text
