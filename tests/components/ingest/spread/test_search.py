"""The search for nearly equal images on workers finds what the search in one process finds."""

from __future__ import annotations

import os
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from hypothesis import given
from hypothesis import strategies as st

from components.data import duplicates, perceptual
from components.data.perceptual import connected, near_pairs
from components.ingest.counts import census
from components.ingest.spread import search
from components.ingest.spread.plan import UnseenError
from components.ingest.spread.search import Task
from components.stages import ingest

DISTANCE = 6
Hashes = np.ndarray


@pytest.fixture(autouse=True)
def in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few hashes are looked for in bands, too, rather than each compared with each."""
    monkeypatch.setattr(perceptual, "_EXHAUSTIVE", 1)


def here(task: Task) -> None:
    for index in reversed(range(task.count)):  # in another order than that of the bands
        search.work(task, index)
    search.work(task, 0)  # a worker may be told twice


def near_some(seeds: list[tuple[int, list[int]]]) -> Hashes:
    """Hashes [n, 4]: some of a few random ones, each with some of its 256 bits changed."""
    base = np.random.default_rng(0).integers(0, 1 << 63, (4, 4), np.uint64)
    rows = base[[seed for seed, _ in seeds]] if seeds else np.zeros((0, 4), np.uint64)
    for row, (_, changed) in zip(rows, seeds, strict=True):
        for bit in changed:
            row[bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    return rows


SEEDS = st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(0, 255), max_size=4, unique=True)), max_size=24)


def sets(numbers: Hashes) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(numbers == number).tolist()) for number in numbers.tolist()}


@given(SEEDS, st.data())
def test_both_searches_find_the_same(
    tmp_path_factory: pytest.TempPathFactory, seeds: list[tuple[int, list[int]]], data: st.DataObject
) -> None:
    hashes, spread = near_some(seeds), search.spread(str(tmp_path_factory.mktemp("search")), here)
    groups = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(hashes), max_size=len(hashes))), np.int64)
    found = near_pairs(hashes, groups, DISTANCE, spread)
    np.testing.assert_array_equal(found, near_pairs(hashes, groups, DISTANCE))
    assert sets(connected(hashes, DISTANCE, spread)) == sets(connected(hashes, DISTANCE))
    # All pairs within 23 bits are found: compared with every pair.
    near = np.bitwise_count(hashes[:, None] ^ hashes[None]).sum(axis=2) <= DISTANCE  # [n, n]
    apart = groups[:, None] != groups[None]
    assert set(found.ravel().tolist()) <= set(np.flatnonzero((near & apart).any(axis=1)).tolist())
    reached = np.linalg.matrix_power(near.astype(float), max(1, len(hashes))) > 0 if len(hashes) else near
    assert sets(connected(hashes, DISTANCE, spread)) == {frozenset(np.flatnonzero(row).tolist()) for row in reached}


def test_beam_runs_it_and_nothing_is_left(tmp_path: Path) -> None:
    hashes = near_some([(i % 4, [i, 2 * i]) for i in range(1, 40)])
    groups = np.arange(len(hashes)) % 3
    beam_search = ingest._search(lambda: beam.Pipeline(runner=FnApiRunner()), str(tmp_path))
    np.testing.assert_array_equal(
        near_pairs(hashes, groups, DISTANCE, beam_search), near_pairs(hashes, groups, DISTANCE)
    )
    assert len(near_pairs(hashes, groups, DISTANCE)) > 0
    assert os.listdir(tmp_path) == []


def test_pairs_that_were_found_before_are_those_that_the_data_gate_would_find(tmp_path: Path) -> None:
    rows = np.zeros(39, census.ROW)
    rows["perceptual"] = near_some([(i % 4, [i, 2 * i]) for i in range(1, 40)])
    rows["comparable"], rows["truth"], rows["sha256"][:, 0] = True, np.arange(39) % 3, np.arange(39) // 2
    rows["comparable"][5] = False
    images = census.Images(rows, listed=[f"{i}.png" for i in range(39)])
    images.write(str(tmp_path))
    images.write_near_pairs(str(tmp_path), "truth", DISTANCE, search.spread(str(tmp_path), here))
    expected = duplicates.nearly_equal_images(rows, "truth", DISTANCE)
    assert len(expected) > 0
    read = census.Images.read(str(tmp_path))
    assert read.near_pairs("truth", DISTANCE) == images.near_pairs("truth", DISTANCE) == expected
    stored = tmp_path / f"near-truth-{DISTANCE}.npy"
    np.save(stored, np.load(stored)[:1])
    assert read.near_pairs("truth", DISTANCE) == expected[:1]  # it is read, not found again
    assert read.near_pairs("truth", 2) == duplicates.nearly_equal_images(rows, "truth", 2)


def test_a_worker_that_does_not_see_the_hashes_says_so(tmp_path: Path) -> None:
    task = search.write(str(tmp_path / "a"), near_some([(0, [])] * 2), np.arange(2), None, DISTANCE)
    with pytest.raises(UnseenError, match=r"worker \S+ does not see /elsewhere; all workers must see"):
        search.work(Task("/elsewhere", task.count, DISTANCE, False), 0)
    with pytest.raises(UnseenError, match=r"0000\.npy is missing, so the workers wrote it to disks of their own"):
        list(search.results(task))
