"""Wilson's interval against SciPy's, and what holds for every proportion."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from components.gates import intervals

CASES = [(0, 1), (1, 1), (0, 10), (10, 10), (79, 100), (1, 3), (50_000, 100_000), (999_999, 1_000_000)]


@pytest.mark.parametrize(("k", "n"), CASES)
@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95, 0.999])
def test_two_sided_bounds_are_scipy_s(k: int, n: int, confidence: float) -> None:
    expected = stats.binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert intervals.wilson(k / n, n, intervals.two_sided(confidence)) == pytest.approx(tuple(expected), abs=1e-12)


@pytest.mark.parametrize(("k", "n"), CASES)
@pytest.mark.parametrize("confidence", [0.6, 0.95, 0.999])
def test_each_one_sided_bound_is_scipy_s(k: int, n: int, confidence: float) -> None:
    low, high = intervals.wilson(k / n, n, intervals.one_sided(confidence))
    above = stats.binomtest(k, n, alternative="greater").proportion_ci(confidence, method="wilson")
    below = stats.binomtest(k, n, alternative="less").proportion_ci(confidence, method="wilson")
    assert (low, high) == pytest.approx((above.low, below.high), abs=1e-12)


@given(st.floats(0, 1), st.floats(0.5, 1e6), st.floats(0.01, 4))
def test_the_bounds_are_where_the_share_is_z_deviations_away(share: float, n: float, z: float) -> None:
    """Wilson's definition: |share - p| = z sqrt(p (1 - p) / n), for numbers of examples that are not whole, too."""
    low, high = intervals.wilson(share, n, z)
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1
    for bound in (low, high):
        assert abs(share - bound) == pytest.approx(z * math.sqrt(bound * (1 - bound) / n), abs=1e-7)


@given(st.floats(0, 1), st.floats(1, 1e5))
def test_more_examples_and_less_confidence_allow_less(share: float, n: float) -> None:
    def width(n: float, confidence: float) -> float:
        low, high = intervals.wilson(share, n, intervals.two_sided(confidence))
        return high - low

    assert width(2 * n, 0.95) < width(n, 0.95) < width(n, 0.99)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_the_bounds_of_f1_are_those_of_its_jaccard_index(tp: int, fp: int, fn: int) -> None:
    n = tp + fp + fn
    if n == 0:
        return
    jaccard = stats.binomtest(tp, n).proportion_ci(0.95, method="wilson")
    bounds = intervals.f1(2 * tp / (2 * tp + fp + fn), n, intervals.two_sided(0.95))
    # Solved for J instead of set in: 2 J / (1 + J) = F1.
    for bound, expected in zip(bounds, jaccard, strict=True):
        assert optimize.brentq(lambda j, f1=bound: 2 * j / (1 + j) - f1, -0.1, 1.1) == pytest.approx(expected, abs=1e-9)


def test_a_share_a_rounding_error_above_one_counts_as_one() -> None:
    assert intervals.wilson(1 + 1e-15, 10, 1.96) == intervals.wilson(1, 10, 1.96)
