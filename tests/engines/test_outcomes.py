"""The comparison of two runs: exact, but for fractions."""

from engines import outcomes
from engines.outcomes import Outcome


def outcome(**results: object) -> Outcome:
    return Outcome({"shards": {"a": "00"}, "metrics": {"loss": 0.5, "count": 3}} | results, {})


def test_fractions_within_a_billionth_are_equal_and_no_others() -> None:
    assert outcomes.differences(outcome(), outcome(metrics={"loss": 0.5 + 9e-10, "count": 3})) == []
    assert outcomes.differences(outcome(), outcome(metrics={"loss": 0.5 + 2e-9, "count": 3})) == [
        ".metrics.loss: 0.5 != 0.500000002"
    ]


def test_counts_digests_and_what_only_one_run_has_differ() -> None:
    other = outcome(shards={"a": "01"}, metrics={"loss": 0.5, "count": 4, "accuracy": 1.0})
    assert outcomes.differences(outcome(), other) == [
        ".metrics.accuracy: only in the second",
        ".metrics.count: 3 != 4",
        ".shards.a: '00' != '01'",
    ]
