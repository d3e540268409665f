"""The model gate's rules on literal numbers."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from components.gates import intervals, model_gate
from components.gates.compared import Compared, numbers
from components.gates.settings import Threshold
from components.labels import kinds
from components.metrics import curves, mask, multi, single
from components.metrics.scored import Answer

LABELS = ["cat", "dog"]
WHOLE = {"accuracy": 0.8, "loss": 0.5, "example_count": 10.0, "recall/cat": 0.9, "recall/dog": 0.25}
WHOLE |= {"effective_count": 10.0, "effective_positives/cat": 6.0, "effective_positives/dog": 4.0}
WHOLE |= {"support/cat": 6.0, "support/dog": 4.0, "auc/cat": math.nan, "ece": math.nan}
NIGHT = {"accuracy": 0.5, "example_count": 2.0, "effective_count": 2.0}
NIGHT |= {"recall/cat": 1.0, "support/cat": 2.0, "effective_positives/cat": 2.0}
RESULTS = [({}, WHOLE), ({"format": "png"}, NIGHT)]


NOTHING = np.zeros((2, 3, curves.CALIBRATION_BINS))


def said(p: object) -> Answer:
    """A model's answer; its own thresholds are 0.5."""
    p = np.asarray(p, np.float32)
    return Answer(p, p, p >= 0.5, False)


def rule(metric: str, **given: Any) -> Threshold:
    return Threshold(metric=metric, **given)


def judge(*rules: Threshold, baseline: model_gate.Results | None = None) -> list:
    return model_gate.thresholds(rules, LABELS, "single_label", RESULTS, baseline)


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        (rule("accuracy", min=0.8), True),  # bounds are inclusive
        (rule("accuracy", min=0.81), False),
        (rule("accuracy", max=0.8), True),
        (rule("accuracy", max=0.79), False),
        (rule("accuracy", min=0.7, max=0.9), True),
        (rule("loss", max=0.6), True),
        (rule("recall", label="dog", min=0.25), True),
        (rule("recall", label="dog", min=0.5), False),
        (rule("accuracy", slice={"format": "png"}, min=0.5), True),
        (rule("accuracy", slice={"format": "png"}, min=0.6), False),
        (rule("recall", label="cat", slice={"format": "png"}, min=1), True),
    ],
    ids=str,
)
def test_a_metric_must_lie_within_its_bounds(given: Threshold, passed: bool) -> None:
    [verdict] = judge(given)
    assert verdict.passed is passed


def test_a_star_judges_every_label_by_its_name() -> None:
    found = judge(rule("recall", label="*", min=0.5))
    assert [(v.label, v.value, v.passed) for v in found] == [("cat", 0.9, True), ("dog", 0.25, False)]
    low, high = stats.binomtest(1, 4).proportion_ci(method="wilson")
    assert found[1].reason == (
        f"recall of label 'dog' is 0.25 (4 examples, 95 % interval {low:.2f} to {high:.2f}), below the minimum 0.5"
    )
    assert found[1].interval == pytest.approx([low, high])
    assert (found[1].bound, found[1].examples) == (0.5, 4)
    assert found[1].rule == "recall >= 0.5"
    assert found[1].gate == "model_gate"


def test_each_rule_and_label_has_one_verdict_in_their_order() -> None:
    found = judge(rule("accuracy", min=0), rule("recall", label="*", min=0), rule("loss", max=1))
    assert [(v.rule, v.label) for v in found] == [
        ("accuracy >= 0", None),
        ("recall >= 0", "cat"),
        ("recall >= 0", "dog"),
        ("loss <= 1", None),
    ]


@pytest.mark.parametrize(
    "given",
    [
        rule("ece", max=1),  # NaN over all examples
        rule("auc", label="cat", min=0),  # NaN of a label
        rule("accuracy", slice={"format": "bmp"}, min=0),  # no such slice
        rule("recall", label="dog", slice={"format": "png"}, min=0),  # no such number
        rule("ece", max_drop=1),
        rule("accuracy", slice={"format": "bmp"}, max_drop=1),
    ],
    ids=str,
)
def test_a_metric_that_cannot_be_judged_refuses_the_model(given: Threshold) -> None:
    [verdict] = judge(given)
    assert not verdict.passed
    assert verdict.value is None
    assert "cannot be judged" in verdict.reason


def test_an_empty_test_split_is_refused() -> None:
    [verdict] = model_gate.thresholds([rule("accuracy", min=0)], LABELS, "single_label", [], None)
    assert not verdict.passed
    assert verdict.reason == "accuracy cannot be judged: there is no example to compute it from; expected accuracy >= 0"


@pytest.mark.parametrize(
    ("metric", "served", "drop", "passed"),
    [
        ("accuracy", 0.9, 0.1, True),  # 0.9 - 0.8 is exactly the bound
        ("accuracy", 0.91, 0.1, False),
        ("accuracy", 0.5, 0.0, True),  # it got better
        ("loss", 0.4, 0.1, True),  # smaller is better: 0.5 - 0.4
        ("loss", 0.3, 0.1, False),
        ("loss", 0.9, 0.0, True),
    ],
)
def test_a_drop_is_measured_against_the_served_model(metric: str, served: float, drop: float, passed: bool) -> None:
    [verdict] = judge(rule(metric, max_drop=drop), baseline=[({}, {metric: served})])
    assert verdict.passed is passed


def test_a_drop_of_a_label_in_a_slice_compares_the_same_label_and_slice() -> None:
    baseline = [({}, {"recall/cat": 0.0}), ({"format": "png"}, {"recall/cat": 1.0})]
    given = rule("recall", label="cat", slice={"format": "png"}, max_drop=0.1)
    assert judge(given, baseline=baseline)[0].passed  # 1.0 now, 1.0 then
    baseline[1][1]["recall/cat"] = 1.2
    assert not judge(given, baseline=baseline)[0].passed


def test_without_a_served_model_a_drop_holds_and_with_a_number_missing_it_fails() -> None:
    given = rule("accuracy", max_drop=0.0)
    assert judge(given, baseline=None)[0].passed
    assert not judge(given, baseline=[({}, {"accuracy": math.nan})])[0].passed
    assert not judge(given, baseline=[])[0].passed


def test_a_rule_of_several_bounds_names_each_that_fails() -> None:
    [verdict] = judge(rule("accuracy", min=0.85, max_drop=0.05), baseline=[({}, {"accuracy": 0.9})])
    assert verdict.reason == (
        "accuracy is 0.8 (10 examples, 95 % interval 0.49 to 0.94), below the minimum 0.85; "
        "accuracy is 0.8 (10 examples, 95 % interval 0.49 to 0.94), 0.1 worse than the served model's 0.9; "
        "at most 0.05 is allowed"
    )
    assert verdict.rule == "accuracy >= 0.85 and accuracy >= served model's - 0.05"


def test_no_rule_gives_no_verdict() -> None:
    assert judge() == []


# Every value of a column. (camera, truth, answer) of each example; what an accumulator makes of those of each camera.
SEEN = [
    *[("day", "cat", "cat")] * 3,  # day: accuracy 4/6; recall of cat 3/4, of dog 1/2
    *[("day", "cat", "dog"), ("day", "dog", "dog"), ("day", "dog", "cat")],
    *[("night", "cat", "cat"), ("night", "cat", "dog")],  # night: 1/2, recall of cat 1/2, no dog
    ("dawn", "dog", "cat"),  # dawn: 0, recall of dog 0
]


def counted(examples: Iterable[tuple[str, str, str]], weight: float = 1.0) -> dict:
    accumulator = kinds.kind("single_label").accumulator(2)
    for _, truth, answer in examples:
        p = np.array([0.9, 0.1] if answer == "cat" else [0.1, 0.9], np.float32) if answer else np.full(2, np.nan)
        accumulator.add([single.row(LABELS.index(truth), said(p), weight)])
    return dict(accumulator.result(LABELS))


def by_camera(examples: Sequence[tuple[str, str, str]], weight: float = 1.0) -> list:
    cameras = sorted({camera for camera, _, _ in examples})
    slices = [({"camera": c}, counted([e for e in examples if e[0] == c], weight)) for c in cameras]
    return [({}, counted(examples, weight)), *slices]


def judged(*rules: Threshold, examples: Sequence[tuple[str, str, str]] = SEEN, weight: float = 1.0) -> list:
    return model_gate.thresholds(rules, LABELS, "single_label", by_camera(examples, weight), None)


ANY = {"camera": "*"}


def test_every_value_of_a_column_is_judged_by_itself() -> None:
    found = judged(rule("accuracy", slice=ANY, min=0.5))
    assert [(v.slice, v.value, v.passed) for v in found] == [
        ({"camera": "dawn"}, 0.0, False),
        ({"camera": "day"}, pytest.approx(4 / 6), True),
        ({"camera": "night"}, 0.5, True),
    ]
    low, high = stats.binomtest(0, 1).proportion_ci(method="wilson")
    assert found[0].reason == (
        f"accuracy where camera=dawn is 0 (1 example, 95 % interval {low:.2f} to {high:.2f}), below the minimum 0.5"
    )


def test_values_with_too_few_examples_pass_by_name() -> None:
    found = judged(rule("accuracy", slice=ANY, min=0.6, min_examples=3))
    assert [(v.slice, v.value, v.passed) for v in found] == [
        ({"camera": "day"}, pytest.approx(4 / 6), True),
        (ANY, None, True),
    ]
    assert found[1].reason == (
        "accuracy where camera=* is not judged where there are fewer than 3 examples: camera=dawn (1), camera=night (2)"
    )


def test_min_examples_of_a_label_metric_counts_the_label_s_own_examples() -> None:
    """Without min_examples one is enough: cat has none at dawn, dog none at night."""
    found = judged(rule("recall", label="*", slice=ANY, min=0.5))
    assert [(v.label, v.slice, v.value) for v in found[:-1]] == [
        ("dog", {"camera": "dawn"}, 0.0),
        ("cat", {"camera": "day"}, 0.75),
        ("dog", {"camera": "day"}, 0.5),
        ("cat", {"camera": "night"}, 0.5),
    ]
    assert found[-1].reason == (
        "recall where camera=* is not judged where there is no example: "
        "label 'cat' where camera=dawn (0), label 'dog' where camera=night (0)"
    )


@pytest.mark.parametrize("weight", [1.0, 0.1, 7.0])
@pytest.mark.parametrize(
    ("metric", "least", "cameras"),
    [
        ("recall", 2, ["day", "night"]),  # cats: day 4, night 2
        ("recall", 3, ["day"]),
        ("precision", 2, ["day", "night"]),  # not by how often the model says cat: night 1
        ("specificity", 2, ["day"]),  # others than cats: dawn 1, day 2
        ("auc", 1, ["day"]),  # both
        ("binary_accuracy", 1, ["dawn", "day", "night"]),
    ],
)
def test_min_examples_counts_the_examples_that_a_metric_needs(
    metric: str, least: int, cameras: list, weight: float
) -> None:
    found = judged(rule(metric, label="cat", slice=ANY, min=0, min_examples=least), weight=weight)
    assert [v.slice["camera"] for v in found if v.value is not None] == cameras


def test_a_label_that_the_model_never_answers_does_not_get_out_of_precision() -> None:
    examples = [("day", "cat", "dog"), ("day", "dog", "dog")]
    found = judged(rule("precision", label="*", slice=ANY, min=0.5), examples=examples)
    assert [(v.label, v.passed) for v in found] == [("cat", False), ("dog", True)]
    assert found[0].reason == (
        "precision of label 'cat' where camera=day cannot be judged: the model predicts this label for no example; "
        "expected precision >= 0.5"
    )


def test_a_model_that_answers_nan_does_not_get_out_of_a_small_slice() -> None:
    examples = [*SEEN, ("dusk", "cat", "")]
    found = judged(rule("accuracy", slice=ANY, min=0, min_examples=3), examples=examples)
    assert [(v.slice["camera"], v.passed) for v in found[:2]] == [("day", True), ("dusk", False)]
    assert found[1].reason == (
        "accuracy where camera=dusk cannot be judged: the model's answer is not a number for 1 example; "
        "expected accuracy >= 0"
    )


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (
            rule("accuracy", slice=ANY, min=0, min_examples=7),
            (
                "accuracy where camera=* cannot be judged: every slice and label has fewer than 7 examples: "
                "camera=dawn (1), camera=day (6), camera=night (2); expected accuracy >= 0"
            ),
        ),
        (
            rule("accuracy", slice={"format": "*"}, min=0),
            "accuracy where format=* cannot be judged: there is no example to compute it from; expected accuracy >= 0",
        ),
        (
            rule("accuracy", min=0, min_examples=10),
            "accuracy cannot be judged: min_examples is 10, but there are only 9; expected accuracy >= 0",
        ),
        (
            rule("recall", label="cat", slice={"camera": "dawn"}, min=0, min_examples=1),
            (
                "recall of label 'cat' where camera=dawn cannot be judged: there is no example to compute it from; "
                "expected recall >= 0"
            ),
        ),
        (
            rule("recall", label="cat", slice={"camera": "noon"}, min=0),
            (
                "recall of label 'cat' where camera=noon cannot be judged: there is no example to compute it from; "
                "expected recall >= 0"
            ),
        ),
    ],
)
def test_a_rule_that_is_left_with_nothing_to_judge_refuses(given: Threshold, reason: str) -> None:
    [verdict] = judged(given)
    assert not verdict.passed
    assert verdict.reason == reason


def test_labels_below_min_examples_pass_by_name_and_refuse_without_it() -> None:
    given = rule("recall", label="*", slice={"camera": "night"}, min=0.5)
    assert [(v.label, v.passed) for v in judged(given)] == [("cat", True), ("dog", False)]
    found = judged(given.model_copy(update={"min_examples": 2}))
    assert [(v.label, v.value, v.passed) for v in found] == [("cat", 0.5, True), (None, None, True)]
    assert found[1].reason == (
        "recall where camera=night is not judged where there are fewer than 2 examples: "
        "label 'dog' where camera=night (0)"
    )


def test_a_slice_may_combine_every_value_of_one_column_with_a_given_one_of_another() -> None:
    slices = [({"camera": c, "format": f}, counted(SEEN[:n])) for c, f, n in [("a", "png", 3), ("b", "jpeg", 4)]]
    slices += [({"camera": "c"}, counted(SEEN)), ({"format": "png"}, counted(SEEN)), ({}, counted(SEEN))]
    given = rule("accuracy", slice={"format": "png", "camera": "*"}, min=0)
    [verdict] = model_gate.thresholds([given], LABELS, "single_label", slices, None)
    assert (verdict.slice, verdict.value) == ({"camera": "a", "format": "png"}, 1.0)


def test_a_drop_in_every_slice_compares_the_same_slice() -> None:
    """The served model is right on all of dawn and night; the candidate loses 1 there, and 1/2."""
    baseline = by_camera([(camera, truth, truth) for camera, truth, _ in SEEN])
    given = rule("accuracy", slice=ANY, max_drop=0.5)
    found = model_gate.thresholds([given], LABELS, "single_label", by_camera(SEEN), baseline)
    assert [(v.slice["camera"], v.passed, v.bound) for v in found] == [
        ("dawn", False, 0.5),
        ("day", True, 0.5),
        ("night", True, 0.5),
    ]


@pytest.mark.parametrize(
    ("metric", "label", "share", "n"),
    [
        ("accuracy", None, 5, 9),
        ("recall", "cat", 4, 6),
        ("precision", "cat", 4, 6),  # said 6 times, of which 4 rightly
        ("specificity", "cat", 1, 3),
        ("binary_accuracy", "dog", 5, 9),
    ],
)
def test_an_interval_rests_on_the_denominator_of_its_metric(metric: str, label: str, share: int, n: int) -> None:
    for weight in (1.0, 0.1):
        [verdict] = judged(rule(metric, label=label, min=0), weight=weight)
        expected = stats.binomtest(share, n).proportion_ci(method="wilson")
        assert verdict.value == pytest.approx(share / n)
        assert verdict.examples == n
        assert verdict.interval == pytest.approx(list(expected))


def test_f1_has_the_interval_of_its_jaccard_index() -> None:
    [verdict] = judged(rule("f1", label="cat", min=0))  # tp 4, fp 2, fn 2
    low, high = stats.binomtest(4, 8).proportion_ci(method="wilson")
    assert verdict.examples == 8
    assert verdict.interval == pytest.approx([2 * low / (1 + low), 2 * high / (1 + high)])


@pytest.mark.parametrize(("metric", "label"), [("macro_f1", None), ("balanced_accuracy", None), ("auc", "cat")])
def test_a_metric_that_is_not_a_share_has_no_interval(metric: str, label: str | None) -> None:
    [verdict] = judged(rule(metric, label=label, min=1))
    assert verdict.interval is None
    assert "interval" not in verdict.reason
    assert verdict.examples == (9 if label is None else 6)


def test_unequal_weights_widen_the_interval() -> None:
    """Weights 3, 1, 1, 1: right where it weighs 3 and 1, so 4/6; worth (6)^2 / (9 + 3) = 3 examples, of which 2."""
    accumulator = kinds.kind("single_label").accumulator(2)
    sure = said([0.9, 0.1])
    accumulator.add([single.row(truth, sure, weight) for truth, weight in [(0, 3), (0, 1), (1, 1), (1, 1)]])
    results = [({}, dict(accumulator.result(LABELS)))]
    [verdict] = model_gate.thresholds([rule("accuracy", min=0)], LABELS, "single_label", results, None)
    assert (verdict.value, verdict.examples) == (pytest.approx(4 / 6), 3)
    assert verdict.interval == pytest.approx(list(stats.binomtest(2, 3).proportion_ci(method="wilson")))


def test_multi_label_intervals_count_entries_or_examples() -> None:
    """Targets [1 0], [1 -], [0 1], answers [1 1], [1 1], [0 0]: of 5 known entries 3 are right, of 3 examples 1.

    The labels of an image count together. Right r of known k per image: 1 of 2, 1 of 1, 1 of 2, share 3/5; r - 3/5 k is
    -1/5, 2/5, -1/5, the variance 3/2 * (1 + 4 + 1)/25 / 5^2 = 0.0144, and 3/5 * 2/5 / 0.0144 = 16.7 is more than the 5
    labels that there are. Likewise of tp in tp + fp + fn, 1 of 2, 1 of 1, 0 of 1 (share 1/2): 0, 1/2, -1/2, variance
    3/2 * 1/2 / 4^2 = 0.0469, n = 5.33, but 4 labels. Student's t of 2 degrees of freedom is 4.303; (1.96 / 4.303)^2 =
    0.2075 times 5 or 4 is less than the 3 images, each of which counts as one answer at least.
    """
    accumulator = kinds.kind("multi_label").accumulator(2)
    for target, answer in [([1, 0], [0.9, 0.9]), ([1, -1], [0.9, 0.9]), ([0, 1], [0.1, 0.1])]:
        accumulator.add([multi.row(target, said(answer))])
    results = [({}, dict(accumulator.result(LABELS)))]
    rules = [rule(m, max=0) for m in ("hamming_loss", "binary_accuracy", "exact_match", "micro_f1")]
    found = model_gate.thresholds(rules, LABELS, "multi_label", results, None)
    z = intervals.two_sided(0.95)
    shares = [intervals.wilson(k, 3, z) for k in (2 / 5, 3 / 5, 1 / 3, 1 / 2)]
    shares[3] = [2 * j / (1 + j) for j in shares[3]]  # micro F1: tp 2, fp 1, fn 1
    assert [v.interval for v in found] == [pytest.approx(list(share)) for share in shares]
    assert [v.examples for v in found] == [3, 3, 3, 3]
    assert found[0].reason.startswith("hamming_loss is 0.4 (3 examples, 95 % interval 0.0")


def test_masks_count_the_images_with_a_label_and_their_interval_rests_on_images() -> None:
    """cat is in two images with 3 + 1 pixels, dog in one. All pixels of cat are right: worth two images."""
    accumulator = kinds.kind("segmentation").accumulator(2)
    accumulator.add([mask.row([[3, 0], [1, 0]], NOTHING, False), mask.row([[1, 0], [0, 0]], NOTHING, False)])
    results = [({}, dict(accumulator.result(LABELS)))]
    given = rule("recall", label="*", min=0.5, min_examples=2)
    cat, rest = model_gate.thresholds([given], LABELS, "segmentation", results, None)
    low, high = stats.binomtest(2, 2).proportion_ci(method="wilson")
    support = f"2 examples, 95 % interval {low:.2f} to {high:.2f}"
    assert cat.reason == f"recall of label 'cat' is 1 ({support}): recall >= 0.5"
    assert cat.interval == pytest.approx([low, high])
    assert rest.reason == "recall is not judged where there are fewer than 2 examples: label 'dog' (1)"


@pytest.mark.parametrize(("confidence", "passed"), [(None, True), (0.5, True), (0.8, False), (0.95, False)])
def test_with_confidence_the_lower_end_of_the_interval_must_hold(confidence: float | None, passed: bool) -> None:
    """5 of 9 right is 0.556; one-sided, SciPy's bound is 0.42 with 80 %, 0.30 with 95 %."""
    given = rule("accuracy", min=0.5, confidence=confidence)
    [verdict] = judged(given)
    assert verdict.passed is passed
    if confidence:
        test = stats.binomtest(5, 9, alternative="greater").proportion_ci(confidence, method="wilson")
        assert verdict.interval[0] == pytest.approx(test.low)


def test_with_confidence_the_upper_end_of_the_interval_must_hold() -> None:
    results = [({}, {"exact_match": 0.1, "example_count": 100.0, "effective_count": 100.0})]
    above = stats.binomtest(10, 100, alternative="less").proportion_ci(0.9, method="wilson").high

    def passes(most: float) -> bool:
        given = rule("exact_match", max=most, confidence=0.9)
        return model_gate.thresholds([given], LABELS, "multi_label", results, None)[0].passed

    assert passes(above + 1e-9)
    assert not passes(above - 1e-9)


def test_a_served_model_that_cannot_be_evaluated_refuses_every_drop() -> None:
    why = "version 7 is damaged: saved_model.pb differs from its digest"
    rules = [rule("accuracy", min=0.5), rule("accuracy", max_drop=1), rule("accuracy", slice=ANY, max_drop=1)]
    found = model_gate.thresholds(rules, LABELS, "single_label", by_camera(SEEN), None, Compared(broken=why))
    assert [v.passed for v in found] == [True, False, False, False, False]
    assert all(why in v.reason for v in found[1:])


def compared(candidate: model_gate.Results, served: model_gate.Results, **told: Any) -> Compared:
    """A comparison of a part."""
    return Compared(version="5", labels=LABELS, candidate=numbers(candidate), served=numbers(served), **told)


PART = {"accuracy": 0.75, "example_count": 4.0, "effective_count": 4.0, "recall/cat": 1.0, "support/cat": 4.0}
PART |= {"effective_positives/cat": 4.0}


def test_a_drop_is_judged_on_what_is_compared_and_a_minimum_on_everything() -> None:
    """0.8 of all, 0.75 of the compared, where the served model has 0.9: 0.15 worse."""
    part = compared([({}, PART)], [({}, PART | {"accuracy": 0.9})], left_out={"train": 6})
    given = rule("accuracy", min=0.8, max_drop=0.1)
    least, drop = model_gate.thresholds([given], LABELS, "single_label", RESULTS, None, part)
    assert (least.rule, least.passed, least.value) == ("accuracy >= 0.8", True, 0.8)
    assert (drop.rule, drop.passed, drop.value) == ("accuracy >= served model's - 0.1", False, 0.75)
    assert drop.reason == (
        "accuracy on the compared images is 0.75 (4 examples, 95 % interval 0.30 to 0.95), 0.15 worse than the served "
        "model's 0.9; at most 0.1 is allowed"
    )


def test_labels_and_slices_that_cannot_be_compared_are_named_and_not_judged() -> None:
    part = compared([({}, PART)], [({}, PART)], new=["dog"])
    given = rule("recall", label="*", max_drop=0.2)
    held, rest = model_gate.thresholds([given], LABELS, "single_label", RESULTS, None, part)
    assert (held.label, held.passed, held.judged) == ("cat", True, True)
    assert (rest.passed, rest.judged, rest.value) == (True, False, None)
    assert rest.reason == "recall is not judged for label 'dog': version 5 does not know it"
    [of_dog] = model_gate.thresholds(
        [rule("recall", label="dog", max_drop=0)], LABELS, "single_label", RESULTS, None, part
    )
    assert (of_dog.judged, of_dog.reason) == (
        False,
        "recall of label 'dog' is not judged: version 5 does not know it",
    )


def test_a_label_of_which_every_image_is_left_out_is_not_judged() -> None:
    part = compared([({}, PART)], [({}, PART)], left_out={"train": 6})
    _, rest = model_gate.thresholds(
        [rule("recall", label="*", max_drop=0.2)], LABELS, "single_label", RESULTS, None, part
    )
    assert rest.reason == "recall is not judged for label 'dog': no example can be compared"
    few = rule("recall", label="cat", max_drop=0.2, min_examples=5)  # 6 of all, 4 of the compared
    [verdict] = model_gate.thresholds([few], LABELS, "single_label", RESULTS, None, part)
    assert verdict.reason == "recall of label 'cat' is not judged: fewer than 5 examples can be compared"


def test_a_metric_of_common_labels_that_nobody_knows_is_not_judged() -> None:
    part = compared([({}, PART)], [({}, PART)], new=["dog"])
    [verdict] = model_gate.thresholds([rule("loss", max_drop=0.2)], LABELS, "single_label", RESULTS, None, part)
    assert verdict.reason == "loss is not judged: it is known for all labels together only"


def test_where_nothing_is_compared_a_drop_is_not_judged_and_a_minimum_is() -> None:
    why = "version 5 was trained for task multi_label, this run is for single_label"
    given = [rule("accuracy", min=0.5, max_drop=0.1), rule("recall", label="*", max_drop=0)]
    found = model_gate.thresholds(given, LABELS, "single_label", RESULTS, None, Compared(why_not=why))
    assert [(v.rule, v.judged) for v in found] == [
        ("accuracy >= 0.5", True),
        ("accuracy >= served model's - 0.1", False),
        ("recall >= served model's - 0", False),
    ]
    assert found[1].reason == f"accuracy is not judged: {why}"
    assert all(v.passed for v in found)


def test_a_candidate_that_answers_nothing_fails_a_drop_even_if_nothing_is_compared() -> None:
    nothing = [({}, {"accuracy": math.nan, "example_count": 0.0, "invalid_predictions": 3.0})]
    [verdict] = model_gate.thresholds([rule("accuracy", max_drop=1)], LABELS, "single_label", nothing, None)
    assert not verdict.passed
