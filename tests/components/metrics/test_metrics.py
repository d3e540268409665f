"""What holds for the metrics of every task: parts merge to the whole, names, weights, the unknown and the invalid."""

import itertools
import math
import pickle
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import metrics
from components.labels import kinds
from components.metrics import curves, mask, multi, single
from components.metrics.scored import Answer

LABELS = ("cat", "dog", "owl", "red|fox")
K = len(LABELS)
TASKS = ("single_label", "multi_label", "segmentation")
SCORED = TASKS[:2]
ANSWER = {"single_label": 2, "multi_label": 1 + K, "segmentation": 1}  # where in a row the model's answer starts


def rows(task: str, n: int, seed: int = 0) -> list[np.ndarray]:
    """Random examples, a tenth of them unlabelled; eighths as weights, which float32 holds exactly."""
    random = np.random.default_rng(seed)
    weight = random.integers(1, 33, n) / 8
    unlabelled, abstain = random.random(n) < 0.1, random.random(n) < 0.3
    if task == "segmentation":
        pixels = random.integers(0, 9, (n, K, K)) * ~unlabelled[:, None, None]
        calibration = random.integers(1, 9, (n, 2, 3, curves.CALIBRATION_BINS)) / 8
        calibration[:, :, 1:] *= calibration[:, :, :1]  # no more than the pixels' own weight
        return [mask.row(*each) for each in zip(pixels, calibration, abstain, weight, strict=True)]
    raw, decided = random.dirichlet(np.ones(K), n).astype(np.float32), random.random((n, K)) < 0.4
    if task == "multi_label":
        target = np.where(unlabelled[:, None], -1, random.integers(-1, 2, (n, K)))
        p = random.random((n, K), np.float32)
        answers = map(Answer, p, raw, decided, abstain)
        return [multi.row(*each) for each in zip(target, answers, weight, strict=True)]
    truth = np.where(unlabelled, single.UNLABELLED, random.integers(0, K, n))
    p = random.dirichlet(np.ones(K), n).astype(np.float32)
    answers = map(Answer, p, raw, decided, abstain)
    return [single.row(*each) for each in zip(truth, answers, weight, strict=True)]


def result(task: str, examples: list[np.ndarray]) -> metrics.base.Result:
    accumulator = kinds.kind(task).accumulator(K)
    accumulator.add(examples)
    return accumulator.result(LABELS)


def effective(names: Iterable[str]) -> set[str]:
    return {name for name in names if name.startswith("effective_")}


def assert_same(found: metrics.base.Result, expected: metrics.base.Result) -> None:
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-12, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("n", [0, 1, 5, 9000])
def test_the_result_has_exactly_the_names(task: str, n: int) -> None:
    found = result(task, rows(task, n))
    assert sorted(found) == sorted(kinds.kind(task).metric_names(LABELS))
    assert metrics.key("recall", "red|fox") in found
    assert (metrics.CONFUSION in found) == kinds.kind(task).exclusive


def test_what_is_better_when_smaller_is_a_metric() -> None:
    assert {name for task in TASKS for name in kinds.kind(task).overall} >= metrics.SMALLER_IS_BETTER
    assert set(kinds.KINDS) == set(TASKS)


@pytest.mark.parametrize("task", TASKS)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 50), cuts=st.lists(st.integers(0, 50), max_size=6))
def test_any_partition_merges_to_the_whole(task: str, seed: int, n: int, cuts: list[int]) -> None:
    examples = rows(task, n, seed)
    merged = kinds.kind(task).accumulator(K)
    for start, end in itertools.pairwise(sorted({0, n, *(min(c, n) for c in cuts)})):
        part = kinds.kind(task).accumulator(K)
        part.add(examples[start:end])
        merged.merge([part, kinds.kind(task).accumulator(K)])
    assert_same(merged.result(LABELS), result(task, examples))


@pytest.mark.parametrize("task", SCORED)
@pytest.mark.parametrize("edges", [(0, 7000, 20_000), (0, 9000, 9001, 20_000), (0, 500, 1000, 12_000, 20_000)])
def test_partitions_of_many_rows_merge_to_the_whole(task: str, edges: tuple[int, ...]) -> None:
    """Parts below and above the size where raw scores become histograms, in every order of the two."""
    examples = rows(task, 20_000)
    parts = []
    for start, end in itertools.pairwise(edges):
        parts.append(kinds.kind(task).accumulator(K))
        parts[-1].add(np.stack(examples[start:end]))
    merged = kinds.kind(task).accumulator(K)
    merged.merge(reversed(parts))
    assert_same(merged.result(LABELS), result(task, examples))


@pytest.mark.parametrize("task", TASKS)
@given(order=st.permutations(range(12)))
def test_the_order_of_examples_does_not_matter(task: str, order: list[int]) -> None:
    examples = rows(task, 12)
    assert_same(result(task, [examples[i] for i in order]), result(task, examples))


@pytest.mark.parametrize("task", TASKS)
def test_merge_leaves_the_merged_alone_and_result_can_be_asked_twice(task: str) -> None:
    part, other = kinds.kind(task).accumulator(K), kinds.kind(task).accumulator(K)
    part.add(rows(task, 9000))
    other.add(rows(task, 300, seed=1))
    before = part.result(LABELS)
    other.merge([part])
    np.testing.assert_equal(part.result(LABELS), before)
    np.testing.assert_equal(other.result(LABELS), other.result(LABELS))
    found = other.result(LABELS)
    assert found["example_count"] + found["unlabelled_count"] == 9300


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("n", [0, 30, 9000])
def test_an_accumulator_travels_to_another_worker_as_few_arrays(task: str, n: int) -> None:
    accumulator = kinds.kind(task).accumulator(K)
    for row in rows(task, n):
        accumulator.add([row])
    travelled = pickle.loads(pickle.dumps(accumulator))
    assert len(travelled._rows) == 1
    assert_same(travelled.result(LABELS), accumulator.result(LABELS))


@pytest.mark.parametrize("task", TASKS)
def test_a_weight_counts_like_as_many_copies(task: str) -> None:
    examples = np.stack(rows(task, 40))
    times = np.arange(40) % 4 + 1
    examples[:, 0] = times
    copies = np.repeat(examples, times, axis=0)
    copies[:, 0] = 1
    weighted, repeated = result(task, list(examples)), result(task, list(copies))
    names = kinds.kind(task).metric_names(LABELS)
    for name in set(names) - {"example_count", "unlabelled_count"} - effective(names):
        np.testing.assert_allclose(weighted[name], repeated[name], rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("n", [30, 12_000])
def test_unequal_weights_are_worth_fewer_examples(task: str, n: int) -> None:
    """(sum w)^2 / sum w^2 of the examples that each number rests on; a seventh as weight for all changes nothing."""
    examples = np.stack(rows(task, n)).astype(np.float64)
    found = result(task, list(examples.astype(np.float32)))
    used = examples[kinds.kind(task).accumulator(K).labelled(examples.astype(np.float32))]
    if task == "segmentation":
        parts = {"positives": used[:, 1 : 1 + K * K].reshape(-1, K, K).sum(axis=2) > 0}
    else:
        score = used[:, -1 - 3 * K :][:, :K]
        target = used[:, 1 : 1 + K] if task == "multi_label" else np.eye(K)[used[:, 1].astype(int)]
        said = score >= 0.5 if task == "multi_label" else score == score.max(axis=1, keepdims=True)
        true, known = target == 1, target >= 0
        parts = {"positives": true, "negatives": target == 0, "decided": said & known, "known": known}
        parts["involved"] = (said & known) | true
        chosen = used[:, -1 - K : -1] > 0
        parts |= {"threshold_decided": chosen & known, "threshold_involved": (chosen & known) | true}

    def kish(w: np.ndarray) -> float:
        return w.sum() ** 2 / (w**2).sum()

    weight = np.repeat(used[:, :1], K, axis=1)
    assert found["effective_count"] == pytest.approx(kish(used[:, 0]))
    assert found["effective_count"] < len(used) == found["example_count"]
    for part, inside in parts.items():
        for i, label in enumerate(LABELS):
            assert found[f"effective_{part}/{label}"] == pytest.approx(kish(weight[inside[:, i], i])), part
    examples[:, 0] = np.float32(1 / 7)
    equal = result(task, list(examples.astype(np.float32)))
    for part, inside in parts.items():
        assert [equal[f"effective_{part}/{label}"] for label in LABELS] == inside.sum(axis=0).tolist()
    assert equal["effective_count"] == len(used)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("n", [30, 12_000])
def test_unlabelled_examples_take_part_in_nothing_but_their_count(task: str, n: int) -> None:
    examples = rows(task, n)
    labelled = [e for e in examples if kinds.kind(task).accumulator(K).labelled(e[np.newaxis])[0]]
    assert 0 < len(labelled) < n
    with_all, without = result(task, examples), result(task, labelled)
    assert with_all.pop("unlabelled_count") == n - len(labelled)
    assert without.pop("unlabelled_count") == 0
    assert with_all["example_count"] == len(labelled)
    assert_same(with_all, without)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("n", [10, 9000])
def test_one_invalid_prediction_voids_every_metric_and_is_counted(task: str, wrong: float, n: int) -> None:
    examples = rows(task, n)
    before = result(task, examples)
    first = next(e for e in examples if kinds.kind(task).accumulator(K).labelled(e[np.newaxis])[0])
    first[ANSWER[task]] = wrong
    found = result(task, examples)
    assert found["invalid_predictions"] == 1
    assert found["example_count"] == before["example_count"] - 1
    for name in set(found) - {*metrics.COUNTS, metrics.CONFUSION} - effective(found):
        assert math.isnan(found[name]), name
    if kinds.kind(task).exclusive:
        assert np.isfinite(found[metrics.CONFUSION]).all()


@pytest.mark.parametrize("task", SCORED)
def test_an_invalid_prediction_for_an_unlabelled_example_is_ignored(task: str) -> None:
    examples = rows(task, 30)
    before = result(task, examples)
    unlabelled = next(e for e in examples if not kinds.kind(task).accumulator(K).labelled(e[np.newaxis])[0])
    unlabelled[ANSWER[task]] = math.nan
    assert_same(result(task, examples), before)


@pytest.mark.parametrize("task", TASKS)
def test_without_examples_nothing_is_a_number_but_the_counts(task: str) -> None:
    found = kinds.kind(task).accumulator(K).result(LABELS)
    for name in kinds.kind(task).metric_names(LABELS):
        if name == metrics.CONFUSION:
            assert found[name].tolist() == [[0] * K] * K
            assert found[name].dtype == np.float64  # TFMA writes integers elsewhere
        elif name in metrics.COUNTS or name.startswith(("support/", "effective_")):
            assert found[name] == 0, name
        else:
            assert math.isnan(found[name]), name


@pytest.mark.parametrize("task", TASKS)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_rates_lie_between_0_and_1(task: str, seed: int, n: int) -> None:
    found = result(task, rows(task, n, seed))
    rates = set(found) - {"loss", "uncalibrated_loss", *metrics.COUNTS, metrics.CONFUSION} - effective(found)
    for name in rates - {metrics.key("support", label) for label in LABELS}:
        assert math.isnan(found[name]) or -1e-12 <= found[name] <= 1 + 1e-12, name
