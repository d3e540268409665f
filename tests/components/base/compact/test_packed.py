"""Packed sequences are the sequences that were put in, and sort as `sorted` does."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.base.compact import packed
from components.base.compact.packed import Packed
from components.base.compact.places import Places


@dataclass(frozen=True)
class Item:
    key: int
    name: str = ""
    more: tuple[tuple[str, float | None], ...] = ()


ITEMS = st.lists(
    st.builds(
        Item,
        st.integers(-3, 3),
        st.text(st.characters(codec="utf-8") | st.just("\udcff"), max_size=3),
        st.lists(st.tuples(st.text(max_size=2), st.none() | st.floats(allow_nan=False)), max_size=2).map(tuple),
    ),
    max_size=60,
)


@pytest.fixture(params=[(2, 4, 3, 64), (1, 1, 2, 2), (1024, 32768, 16, 64)], autouse=True, ids=str, scope="module")
def sizes(request: pytest.FixtureRequest) -> object:
    """Blocks, runs and merges that are so small that a few items need several of each, also in files; and today's."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("_BLOCK", "_RUN", "_FAN", "_HELD"), request.param, strict=True):
            patch.setattr(packed, name, value)
        yield


@given(ITEMS)
def test_what_was_put_in_comes_out(items: list[Item]) -> None:
    found = Packed(Item, iter(items))
    assert len(found) == len(items)
    assert list(found) == items
    assert [found[i] for i in range(-len(items), len(items))] == items + items
    assert found[1:-1] == items[1:-1]
    assert found == items
    assert (found == [*items, Item(0)]) is False
    assert list(found.values("name", "key")) == [(item.name, item.key) for item in items]
    assert list(found.values("more")) == [(item.more,) for item in items]
    with pytest.raises(IndexError):
        found[len(items)]


@given(ITEMS)
def test_equal_keys_stay_in_their_order(items: list[Item]) -> None:
    found = Packed.ordered(Item, iter(items), key=lambda item: item.key)
    assert list(found) == sorted(items, key=lambda item: item.key)
    again = Packed.ordered(Item, iter(found), key=lambda item: item.key)  # nothing to sort
    assert again == found
    assert [again[i] for i in range(len(again))] == list(found)


def test_paths_in_order_take_a_tenth_of_the_room() -> None:
    items = [Item(i, f"label-{i // 1000}/IMG_{i:09}.jpg") for i in range(20_000)]
    blocks = [block for block in Packed(Item, items)._blocks if isinstance(block, bytes)]
    assert sum(map(len, blocks)) < len(items) * 30 or packed._BLOCK < 1024


def test_the_last_blocks_are_in_a_file_however_the_items_came() -> None:
    items = [Item(i) for i in range(200 * packed._BLOCK)] if packed._BLOCK < 1024 else []
    for given_items in (items, items[::-1]):
        blocks = Packed.ordered(Item, iter(given_items), key=lambda item: item.key)._blocks
        assert sum(isinstance(block, bytes) for block in blocks) == min(len(blocks), packed._HELD)


@given(st.lists(st.text(max_size=3), unique=True), st.text(max_size=3))
def test_every_key_is_found_in_its_place(keys: list[str], other: str) -> None:
    places = Places(keys, len(keys))
    assert places.find(keys).tolist() == [places.of(key) for key in keys] == list(range(len(keys)))
    if other not in keys:
        assert places.of(other) == places.find([other])[0] == -1


class SameHash(str):
    """Texts of which all have one hash."""

    __slots__ = ()

    def __hash__(self) -> int:
        return 7


def test_keys_with_one_hash_are_told_apart() -> None:
    keys = [SameHash(text) for text in "abc"]
    places = Places(keys, 3)
    assert places.find(keys).tolist() == [places.of(key) for key in keys] == [0, 1, 2]
