"""Distances and p-values: against scipy and scikit-learn, by hand, and with how often chance alone cries wolf."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import matthews_corrcoef

from components.gates import drift

COUNTS = st.lists(st.integers(0, 1000), min_size=4, max_size=4).map(np.array)
FILLED = COUNTS.filter(lambda c: c.sum() > 0)


def test_the_jensen_shannon_distance_matches_a_calculation_by_hand() -> None:
    # (1, 0) and (0, 1) have nothing in common; (1, 1) and (3, 1): mean 5/8 and 3/8 with entropy 0.954434 bits, their
    # own entropies are 1 and 0.811278, divergence 0.954434 - 0.905639 = 0.048795, distance 0.220896.
    assert drift.jensen_shannon([1, 0], [0, 1]) == 1
    assert drift.jensen_shannon([1, 1], [3, 1]) == pytest.approx(0.220896, abs=1e-6)
    assert drift.jensen_shannon([0, 0], [3, 1]) == 0


def test_nearly_equal_shares_have_no_distance() -> None:
    # SciPy alone answers NaN: it takes the square root of a sum that rounding puts just below 0.
    assert drift.jensen_shannon([861508, 857015], [861509, 857016]) == 0


@given(FILLED, FILLED, FILLED)
def test_the_jensen_shannon_distance_is_a_metric(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> None:
    distance = drift.jensen_shannon(p, q)
    assert 0 <= distance <= 1
    assert distance == pytest.approx(drift.jensen_shannon(q, p), abs=1e-9)
    assert drift.jensen_shannon(p, p * 3) == pytest.approx(0, abs=1e-6)
    assert distance <= drift.jensen_shannon(p, r) + drift.jensen_shannon(r, q) + 1e-6


def test_homogeneity_is_tested_by_the_g_test_where_counts_are_large() -> None:
    table = [[160, 1140, 30, 0, 200], [100, 1000, 90, 0, 300]]
    expected = stats.chi2_contingency(np.delete(table, 3, axis=1), lambda_="log-likelihood", correction=False)
    assert drift.homogeneity(*table) == pytest.approx(expected.pvalue)
    # G is the Jensen-Shannon divergence, weighted by the sample sizes, times 2 (n + m) ln 2.
    n, m = map(sum, table)
    p, q = (np.delete(row, 3) / sum(row) for row in table)
    mean = (n * p + m * q) / (n + m)

    def entropy(share: np.ndarray) -> float:
        return float(-(share * np.log2(share)).sum())

    divergence = entropy(mean) - (n * entropy(p) + m * entropy(q)) / (n + m)
    assert 2 * (n + m) * math.log(2) * divergence == pytest.approx(expected.statistic)


def test_homogeneity_of_few_counts_is_tested_by_permutation() -> None:
    # 3 and 0 against 0 and 3: of the 20 ways to deal out three of each, two are as far out.
    assert drift.homogeneity([3, 0], [0, 3]) == pytest.approx(0.1, abs=0.02)
    assert drift.homogeneity([3, 0], [3, 0]) == drift.homogeneity([0, 0], [3, 1]) == 1
    assert drift.homogeneity([5, 1, 2], [4, 2, 2]) == drift.homogeneity([5, 1, 2], [4, 2, 2])


@pytest.mark.parametrize(("labels", "images"), [(10, 400), (10, 30), (5, 15)])
def test_chance_alone_is_rarely_taken_for_a_drift(labels: int, images: int) -> None:
    random = np.random.default_rng(1)
    shares = random.dirichlet(np.ones(labels))
    found = [drift.homogeneity(*random.multinomial(images, shares, 2)) for _ in range(150)]
    assert np.mean(np.array(found) < 0.05) < 0.11  # 0.05, and three times its standard error of 0.018
    assert min(found) > 0.0005


def test_the_change_of_a_share_is_tested_by_fisher_s_exact_test() -> None:
    # Of 8 images 4 each; 4 of 4 against 0 of 4: 2 of the C(8, 4) = 70 ways are that far out.
    assert drift.proportion_change(4, 4, 0, 4) == pytest.approx(2 / 70)
    assert drift.proportion_change(0, 0, 3, 9) == 1
    # Of ten million each, a difference of 500 per million, by the normal law.
    z = 500e-6 / math.sqrt(2 * 0.1 * 0.9 / 1e7)
    p = drift.proportion_change(1_005_000, 10_000_000, 1_000_000, 10_000_000)
    assert p == pytest.approx(2 * stats.norm.sf(z), rel=0.05)


def test_the_kolmogorov_smirnov_statistic_matches_a_calculation_by_hand() -> None:
    # Shares (3/4, 1/4, 0) and (0, 1/2, 1/2): cumulative 3/4, 1, 1 and 0, 1/2, 1.
    assert drift.kolmogorov_smirnov([3, 1, 0], [0, 1, 1]) == 0.75
    assert drift.kolmogorov_smirnov([0, 0], [1, 1]) == 0
    assert drift.kolmogorov_smirnov_p([0, 0], [1, 1]) == 1
    # Three below twenty: 2 of the C(23, 3) = 1,771 ways to deal them out.
    assert drift.kolmogorov_smirnov_p([20, 0], [0, 3]) == pytest.approx(2 / 1771)
    # 16 images of a class, all darker than all before.
    assert drift.kolmogorov_smirnov_p([0, 16], [16, 0]) < 1e-5


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_the_kolmogorov_smirnov_statistic_is_scipy_s(first: list[int], second: list[int]) -> None:
    histograms = [np.bincount(values, minlength=10) for values in (first, second)]
    expected = stats.ks_2samp(first, second, method="exact")
    assert drift.kolmogorov_smirnov(*histograms) == pytest.approx(expected.statistic)
    assert drift.kolmogorov_smirnov_p(*histograms) == pytest.approx(expected.pvalue)
    assert drift.kolmogorov_smirnov(*histograms[::-1]) == pytest.approx(expected.statistic)


def test_many_observations_are_tested_by_the_asymptotic_distribution() -> None:
    random = np.random.default_rng(2)
    first, second = random.integers(0, 50, 3000), np.minimum(random.integers(0, 51, 2500), 49)
    expected = stats.ks_2samp(first, second, method="asymp")
    found = drift.kolmogorov_smirnov_p(np.bincount(first), np.bincount(second))
    assert found == pytest.approx(expected.pvalue)


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_association_is_the_matthews_correlation(both: int, first: int, second: int, neither: int) -> None:
    total = both + first + second + neither
    phi, given_second, given_first = drift.association(both, both + first, both + second, total)
    rows = [(1, 1)] * both + [(1, 0)] * first + [(0, 1)] * second + [(0, 0)] * neither
    expected = matthews_corrcoef(*zip(*rows, strict=True)) if rows else 0
    assert phi == pytest.approx(expected, abs=1e-9)
    assert given_second == (both / (both + second) if both + second else 0)
    assert given_first == (both / (both + first) if both + first else 0)


def test_association_matches_a_calculation_by_hand_and_chance_is_not_taken_for_it() -> None:
    # Of 10 images 4 have the first, 5 the second, 3 both: (10 * 3 - 4 * 5) / sqrt(4 * 6 * 5 * 5) = 10 / 24.49.
    phi, given_second, given_first = drift.association([3], [4], [5], [10])
    assert (phi[0], given_second[0], given_first[0]) == (pytest.approx(10 / math.sqrt(600)), 0.6, 0.75)
    # All ways to choose 4 and 5 of 10 images: how many share as many or more, or are as unlikely on the other side.
    ways = [math.comb(5, k) * math.comb(5, 4 - k) / math.comb(10, 4) for k in range(5)]
    expected = sum(w for w in ways if w <= ways[3] + 1e-12)
    assert drift.association_p(3, 4, 5, 10) == pytest.approx(expected)
    assert drift.association_p(20, 20, 20, 40) == pytest.approx(2 / math.comb(40, 20))
    for k, n in itertools.product(range(3), range(3)):
        assert 0 <= drift.association_p(0, min(k, n), 0, n) <= 1
