"""Perceptual hashes hardly change with the file, and the search finds the pairs that comparing every pair finds."""

import io
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from components.data import images, perceptual
from components.data.perceptual import DEFAULT_DISTANCE, near_pairs, perceptual_hash

Hashes = np.ndarray


def bits(first: Hashes, second: Hashes) -> int:
    return int(np.bitwise_count(first ^ second).sum())


def test_a_bit_says_whether_a_frequency_is_above_the_median() -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    grey = np.asarray(Image.fromarray(rgb).convert("L"), np.float64)
    # The orthonormal DCT-II by its formula.
    k, n = np.mgrid[:16, :32]
    cosines = np.where(k == 0, np.sqrt(1 / 32), np.sqrt(2 / 32)) * np.cos(np.pi * (2 * n + 1) * k / 64)
    table = cosines @ grey @ cosines.T
    above = table > np.median(table.ravel()[1:])
    words = perceptual_hash(Image.fromarray(rgb).convert("L"))
    for y, x in itertools.product(range(16), range(16)):
        word, place = 2 * (y // 8) + x // 8, 8 * (y % 8) + x % 8
        assert bool(words[word] >> np.uint64(place) & np.uint64(1)) == above[y, x]


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (40, 33), (200, 300)])
def test_any_size_has_a_hash(size: tuple[int, int]) -> None:
    assert perceptual_hash(Image.new("L", size, 130)).tolist() == [1, 0, 0, 0]


def recoded(data: bytes, scale: float, quality: int) -> bytes:
    out = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        size = round(image.width * scale), round(image.height * scale)
        image.convert("RGB").resize(size).save(out, "JPEG", quality=quality)
    return out.getvalue()


def hashed(data: bytes) -> Hashes:
    words = images.check(data, 100_000_000).perceptual
    assert words is not None
    return words


@pytest.mark.real_images
def test_scaled_and_compressed_photos_are_paired_and_others_are_not(real_images: Path) -> None:
    photos = [path.read_bytes() for path in sorted((real_images / "clothing").glob("*/*.jpg"))]
    hashes = np.stack([hashed(photo) for photo in photos])
    # Two photos of white T-shirts on red cloth are the nearest, 52 bits apart.
    assert len(near_pairs(hashes, np.arange(len(hashes)), DEFAULT_DISTANCE)) == 0
    for scale, quality in ((1.0, 50), (0.7, 60), (0.5, 75), (0.5, 50), (2.0, 75)):
        again = np.stack([hashed(recoded(photo, scale, quality)) for photo in photos[::4]])
        groups = np.repeat([0, 1], [len(hashes), len(again)])
        pairs = near_pairs(np.concatenate([hashes, again]), groups, DEFAULT_DISTANCE)
        expected = [(i, len(hashes) + i // 4) for i in range(0, len(photos), 4)]
        assert pairs.tolist() == [list(pair) for pair in expected], (scale, quality)


def by_comparing_every_pair(hashes: Hashes, groups: np.ndarray, distance: int) -> set[tuple[int, int]]:
    """Each hash that has a partner with its nearest one, of several the first; copies in a group count once."""
    kept = [
        i
        for i in range(len(hashes))
        if not any(groups[j] == groups[i] and bits(hashes[i], hashes[j]) == 0 for j in range(i))
    ]
    pairs = set()
    for i in kept:
        near = [(bits(hashes[i], hashes[j]), j) for j in kept if groups[i] != groups[j]]
        near = [pair for pair in near if pair[0] <= distance]
        if near:
            pairs.add((min(near)[0], i))
    return pairs


def changed(hashes: Hashes, index: int, flips: list[int]) -> Hashes:
    """A hash with these bits flipped."""
    words = hashes[index].copy()
    for flip in flips:
        words[flip // 64] ^= np.uint64(1) << np.uint64(flip % 64)
    return words


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.lists(st.integers(0, 255), max_size=26, unique=True)), max_size=25),
    st.lists(st.integers(0, 2), min_size=31, max_size=31),
    st.integers(0, 23),
)
def test_every_pair_within_23_bits_is_found(
    near: list[tuple[int, list[int]]], groups: list[int], distance: int
) -> None:
    base = np.random.default_rng(3).integers(0, 2**64, (6, 4), dtype=np.uint64)
    hashes = np.concatenate([base, *(changed(base, i, flips)[None] for i, flips in near)])
    own = np.array(groups[: len(hashes)])
    pairs = near_pairs(hashes, own, distance)
    apart = {(a, b): bits(hashes[a], hashes[b]) for a, b in pairs.tolist()}
    assert all(n <= distance and own[a] != own[b] for (a, b), n in apart.items())
    nearest = {i: min(n for pair, n in apart.items() if i in pair) for i in np.unique(pairs).tolist()}
    assert {(n, i) for i, n in nearest.items()} == by_comparing_every_pair(hashes, own, distance)


def test_equal_hashes_are_paired_across_groups_once() -> None:
    hashes = np.zeros((1000, 4), np.uint64)
    groups = np.zeros(1000, np.int64)
    groups[[400, 900]] = 1
    groups[700] = 2
    assert near_pairs(hashes, groups, 0).tolist() == [[0, 400], [0, 700]]
    assert near_pairs(hashes, np.zeros(1000, np.int64), 32).tolist() == []
    assert near_pairs(hashes[:0], groups[:0], 32).tolist() == []


def test_equal_hashes_of_any_number_of_groups_are_paired_with_the_first() -> None:
    """Also where there are more of them than neighbours of equal key that the search compares."""
    count = perceptual._NEIGHBOURS + 100
    pairs = near_pairs(np.zeros((count, 4), np.uint64), np.arange(count), 0)
    assert pairs.tolist() == [[0, i] for i in range(1, count)]


def test_a_key_that_all_hashes_share_costs_no_square_of_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Photos of things on a white ground share their low frequencies and differ in the fine ones only."""
    count = 4_000
    random = np.random.default_rng(4)
    hashes = random.integers(0, 2**64, (count, 4), dtype=np.uint64)
    hashes[:, 0] = 7
    hashes[-1] = changed(hashes, 123, [70, 130, 200])
    groups = np.arange(count) % 2
    groups[-1], groups[123] = 1, 0
    compared = []
    compare = perceptual._compare

    def counting(rows: Hashes, own: np.ndarray, left: np.ndarray, *rest: Any) -> None:
        compared.append(len(left))
        compare(rows, own, left, *rest)

    monkeypatch.setattr(perceptual, "_compare", counting)
    assert near_pairs(hashes, groups, 23).tolist() == [[123, count - 1]]
    keys = math.comb(perceptual._agreeing_blocks(count) + 5, 5)
    # Word 0 is equal in all; each of the other words has about 8 hashes to a key.
    assert sum(compared) < keys * count * (perceptual._NEIGHBOURS + 3 * 8) < keys * count**2 / 10


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 3)), max_size=40))
def test_the_order_is_that_of_numpy(rows: list[tuple[int, int, int]]) -> None:
    keys = [np.array(column, np.uint64) for column in zip(*rows, strict=True)] or [np.empty(0, np.uint64)]
    assert perceptual.lexsort(keys).tolist() == np.lexsort(keys).tolist()
