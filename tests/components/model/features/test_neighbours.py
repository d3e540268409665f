"""Pairs with similar features, against all pairs."""

import numpy as np
import pytest

from components.model.features import neighbours


def planted(count: int, width: int) -> np.ndarray:
    """Rows of which each two that follow one another are similar: i and i + 1 for every even i."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(count, width))
    rows[1::2] = rows[::2] + 0.3 * random.normal(size=(count // 2, width))
    return rows.astype(np.float32)


def test_compact_rows_have_the_angles_of_the_standardised_ones() -> None:
    """With no more features than components, nothing is left out."""
    rows = planted(60, 20) * np.arange(1, 21) + 5
    standardised = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    expected = standardised / np.linalg.norm(standardised, axis=1, keepdims=True)
    found = neighbours.compact(rows)
    pairs = np.array([(i, j) for i in range(60) for j in range(i)])
    np.testing.assert_allclose(neighbours.cosine(found, pairs), (expected @ expected.T)[tuple(pairs.T)], atol=1e-4)
    assert found.std() == pytest.approx(1, rel=1e-5)


def test_a_constant_feature_tells_nothing() -> None:
    rows = planted(30, 8)
    wider = np.concatenate([rows, np.full((30, 1), 7, np.float32)], axis=1)
    pairs = np.array([(0, 1), (2, 9)])
    one, other = neighbours.compact(rows), neighbours.compact(wider)
    np.testing.assert_allclose(neighbours.cosine(one, pairs), neighbours.cosine(other, pairs), atol=1e-4)


@pytest.mark.parametrize("exact", [True, False], ids=["all", "cells"])
def test_every_similar_pair_of_different_groups_is_found(exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs of one group are not wanted: those whose even number is divisible by 4."""
    rows = planted(2000, 32)
    if not exact:
        monkeypatch.setattr(neighbours, "_EXACT", 100)
    groups = np.arange(2000)
    groups[1::4] = groups[::4]
    found = neighbours.similar(rows, [groups], 0.85, 3)
    wanted = {(i, i + 1) for i in range(2, 2000, 4)}
    assert not set(map(tuple, found.tolist())) - wanted
    assert len(found) >= (len(wanted) if exact else 0.95 * len(wanted))


def test_only_the_most_similar_partners_are_named() -> None:
    angles = np.deg2rad([0, 10, 15, 40])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    # Each names its nearest: 0 and 10 degrees 10 and 15, 15 degrees 10, and 40 degrees 15.
    assert neighbours.similar(rows, [np.arange(4)], 0.5, 1).tolist() == [[0, 1], [1, 2], [2, 3]]
    # cos 25 degrees is 0.906
    assert neighbours.similar(rows, [np.arange(4)], 0.91, 1).tolist() == [[0, 1], [1, 2]]


def test_each_grouping_has_partners_of_its_own() -> None:
    """At 0, 4, 10 and 60 degrees, in the groups a, a, b, b and in c, d, c, d."""
    angles = np.deg2rad([0, 4, 10, 60])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    one, other = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    # The nearest of another group is, of 0 and 4 degrees, 10, and of 10 and 60 degrees 4 (cos 56 degrees is 0.56).
    assert neighbours.similar(rows, [one], 0.5, 1).tolist() == [[0, 2], [1, 2], [1, 3]]
    # Of 0 degrees 4, of 4 degrees 0, of 10 degrees 4, and of 60 degrees 10.
    assert neighbours.similar(rows, [other], 0.5, 1).tolist() == [[0, 1], [1, 2], [2, 3]]
    assert neighbours.similar(rows, [one, other], 0.5, 1).tolist() == [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3]]


@pytest.mark.parametrize("alike", [0, 150], ids=["few alike", "many alike"])
@pytest.mark.parametrize(("sparse", "held"), [(64, 1 << 22), (1, 50), (1 << 30, 1 << 22)])
def test_all_ways_to_choose_partners_name_the_same(
    alike: int, sparse: int, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a loop over rows: the three most similar of other groups, of equally similar ones the first."""
    monkeypatch.setattr(neighbours, "_SPARSE", sparse)  # 1: all are sorted; 1 << 30: none
    monkeypatch.setattr(neighbours, "_HELD", held)
    monkeypatch.setattr(neighbours, "_CELLS", 3_000)  # several blocks
    rows = planted(300, 8)
    rows[:alike] = rows[0]
    groupings = [np.arange(300) % 4, np.arange(300) // 100]
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosine = np.round(unit @ unit.T, 5)  # equal rows are equally similar
    wanted = set()
    for groups in groupings:
        for i in range(300):
            others = [j for j in range(300) if groups[j] != groups[i] and cosine[i, j] >= 0.7]
            for j in sorted(others, key=lambda j: (-cosine[i, j], j))[:3]:
                wanted.add((min(i, j), max(i, j)))
    found = neighbours.similar(rows, groupings, 0.7, 3)
    assert set(map(tuple, found.tolist())) == wanted
    assert len(wanted) > 100
