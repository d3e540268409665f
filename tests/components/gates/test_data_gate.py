"""The data gate: each rule by itself, with the sentence that names what is wrong."""

import dataclasses
import itertools
import json
from typing import Any

import counting
import numpy as np
import pytest
from counting import Seen, merged
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import matthews_corrcoef

from components.base.verdict import Verdict
from components.data.manifest import DatasetManifest, NearDuplicates
from components.data.perceptual import DEFAULT_DISTANCE
from components.gates.data_gate import check, empty_splits, unknown, warnings, weights
from components.gates.data_rules.base import GateInput
from components.gates.judge import failed
from components.gates.settings import DataGateLimits
from components.ingest.counts.census import ROW, Images

OFF: dict[str, Any] = {
    "contradictions": True,
    "min_labels": 2,
    "min_examples": None,
    "min_eval_examples": None,
    "min_pixel_share": None,
    "min_image_share": None,
    "max_ratio": None,
    "max_cooccurrence": None,
    "max_drift": None,
    "max_property_drift": None,
    "max_split_drift": None,
    "max_relabelled": None,
    "max_bad_fraction": None,
    "max_unlabelled": None,
    "allow_duplicates_across_splits": True,
    "near_duplicate_distance": None,
    "max_near_duplicates": None,
    "allow_vanished_labels": True,
    "allow_new_labels": True,
}
NO_IMAGES = Images(np.empty(0, ROW))

FIELDS: dict[str, Any] = {
    "labels": ["cat", "dog"],
    "counts": {"train": 30, "eval": 4, "test": 6},
    "label_counts": {"cat": {"train": 20, "eval": 3, "test": 3}, "dog": {"train": 10, "eval": 1, "test": 3}},
    "unknown": {"cat": {"train": 0, "eval": 0, "test": 0}, "dog": {"train": 0, "eval": 0, "test": 0}},
    "unlabelled": {"train": 0, "eval": 0, "test": 0},
}


def manifest(**changes: Any) -> DatasetManifest:
    return counting.manifest(**FIELDS | changes)


FINE = manifest()


def reasons(data: DatasetManifest, **limits: Any) -> list[str]:
    return [verdict.reason for verdict in failed(check(GateInput(data, NO_IMAGES), DataGateLimits(**(OFF | limits))))]


def of_seen(seen: list[Seen], labels: tuple[str, ...] = ("cat", "dog"), **limits: Any) -> list[str]:
    """Why these images are refused."""
    return [
        verdict.reason for verdict in failed(check(GateInput(*merged(seen, labels)), DataGateLimits(**(OFF | limits))))
    ]


def refusal(data: DatasetManifest, **limits: Any) -> str:
    [reason] = reasons(data, **limits)
    return reason


def test_each_label_needs_its_examples_in_train() -> None:
    assert reasons(FINE, min_examples=10) == []
    reason = refusal(FINE, min_examples=11)
    assert "examples in train of label 'dog' is 10, below the minimum 11" in reason
    assert "balance.min_examples" in reason


def test_each_label_needs_its_examples_in_eval_and_in_test() -> None:
    assert reasons(FINE, min_eval_examples=1) == []
    reason = refusal(FINE, min_eval_examples=3)
    assert "examples in eval of label 'dog' is 1, below the minimum 3" in reason
    assert "data.split.eval" in reason
    assert len(reasons(FINE, min_eval_examples=4)) == 4


def test_the_ratio_compares_the_most_and_the_least_frequent_label() -> None:
    assert reasons(FINE, max_ratio=2) == []  # 20 / 10
    reason = refusal(FINE, max_ratio=1.9)
    assert "is 2, above the maximum 1.9" in reason
    assert "'cat' has 20, 'dog' has 10" in reason
    assert "balance.max_ratio" in reason


def test_a_label_without_images_has_no_finite_ratio() -> None:
    data = manifest()
    data.label_counts["dog"]["train"] = 0
    [verdict] = failed(check(GateInput(data, NO_IMAGES), DataGateLimits(**(OFF | {"max_ratio": 1e9}))))
    assert "'dog' has 0" in verdict.reason
    json.dumps(vars(verdict), allow_nan=False)


def test_the_share_of_quarantined_files_is_of_all_files() -> None:
    data = manifest(quarantined=[{"path": f"{i}.png", "reason": "empty file"} for i in range(10)])
    assert reasons(data, max_bad_fraction=0.2) == []  # 10 / (40 + 10)
    reason = refusal(data, max_bad_fraction=0.19)
    assert "is 0.2, above the maximum 0.19" in reason
    assert "10 of 50 files, 0.png (empty file), 1.png (empty file)" in reason
    assert "4.png (empty file), and 5 more" in reason


def test_one_bad_file_is_too_many_where_none_is_allowed() -> None:
    data = manifest(quarantined=[{"path": "1.png", "reason": "empty file"}])
    assert "1 of 41 files, 1.png (empty file)" in refusal(data, max_bad_fraction=0)


def test_equal_files_under_different_labels_are_named_whatever_the_limits() -> None:
    seen = [Seen("1", labels=("cat",), path="cat/1.png"), Seen("1", labels=("dog",), path="dog/7.png")]
    [reason] = of_seen(seen)
    assert "equal files under different labels is 1" in reason
    assert "cat/1.png = dog/7.png" in reason


def test_a_file_with_two_different_rows_is_named_whatever_the_limits() -> None:
    reason = "row 3 of labels.csv: the same file is named with other labels or values in row 9 of labels.csv"
    told = refusal(manifest(contradictory=[{"path": "7.png", "reason": reason}]))
    assert f"number of files with contradictory entries is 1, above the maximum 0: 7.png ({reason})" in told


def test_equal_files_in_different_splits_are_named_unless_allowed() -> None:
    seen = [Seen("1", "train", path="train/7.png"), Seen("1", "test", path="test/1.png")]
    assert of_seen(seen, allow_duplicates_across_splits=True) == []
    [reason] = of_seen(seen, allow_duplicates_across_splits=False)
    assert "test/1.png = train/7.png" in reason
    assert "balance.allow_duplicates_across_splits" in reason


def test_nearly_equal_images_are_named_with_how_near_they_are() -> None:
    # Apart by 2 bits, of another split; by 1 bit, of another label.
    seen = [
        Seen("1", labels=("cat",), path="1.png", perceptual=0),
        Seen("2", "test", ("cat",), path="2.png", perceptual=0b11),
        Seen("3", labels=("dog",), path="3.png", perceptual=0b111 << 200),
        Seen("4", labels=("cat",), path="4.png", perceptual=0b110 << 200),
    ]
    near = {"near_duplicate_distance": 2}
    leak, contradiction = "1.png ~ 2.png (2 of 256 bits differ)", "3.png ~ 4.png (1 of 256 bits differ)"
    [reason] = of_seen(seen, **near)
    assert "nearly equal images under different labels is 1, above" in reason
    assert "data.exclude" in reason
    assert contradiction in reason
    # Ingest moves what the hash put there; where the data set names the splits, nothing is moved.
    assert len(of_seen(seen, allow_duplicates_across_splits=False, **near)) == 1
    by_name = [dataclasses.replace(one, named=True) for one in seen]
    named, _ = of_seen(by_name, allow_duplicates_across_splits=False, **near)[::-1]
    assert "nearly equal images in different predefined splits is 1, above" in named
    assert leak in named
    # Where an image has several labels, or a mask, the next picture of a series may well have others.
    assert of_seen(seen, contradictions=False, **near) == []
    assert of_seen(seen, allow_duplicates_across_splits=False) == []


def test_images_that_ingest_moved_to_train_pass_and_chains_that_it_left_are_refused() -> None:
    # Apart by 2 bits, in train and in test; what ingest said about them differs.
    seen = [Seen("1", path="1.png", perceptual=0), Seen("2", "test", path="2.png", perceptual=0b11)]
    limits = DataGateLimits(
        **OFF | {"allow_duplicates_across_splits": False, "near_duplicate_distance": 2, "max_near_duplicates": 0.1}
    )
    counted, images = merged(seen)

    def judged(eval_found: int, test_found: int, *, moved: bool) -> list[Verdict]:
        found = {"eval": eval_found, "test": test_found}
        near = NearDuplicates(assigned={"eval": 20, "test": 30}, found=found, moved=moved)
        verdicts = check(GateInput(counted.model_copy(update={"near_duplicates": near}), images), limits)
        return [v for v in verdicts if "nearly equal to images of other splits" in v.reason]

    # 2 of 20 and 3 of 30 are 10 %.
    passed = judged(2, 3, moved=True)
    assert not failed(passed)
    assert passed[0].reason.endswith("2 of 20 images, which were moved to train")
    [reason] = [v.reason for v in failed(judged(2, 4, moved=False))]
    assert "share of test that is nearly equal to images of other splits is 0.1333, above the maximum 0.1" in reason
    assert "4 of 30 images, such as 1.png ~ 2.png (2 of 256 bits differ)" in reason
    assert "data.columns.group" in reason
    assert "balance.max_near_duplicates" in reason
    # One image of a small split is let pass, however large a share it is.
    one = NearDuplicates(assigned={"eval": 4, "test": 4}, found={"eval": 1, "test": 0}, moved=True)
    assert not failed(check(GateInput(counted.model_copy(update={"near_duplicates": one}), images), limits))


def test_too_many_images_without_any_known_label_are_refused() -> None:
    seen = [Seen(str(i), labels=("cat",)) for i in range(3)] + [Seen("4", unknown=("cat", "dog"))]
    assert of_seen(seen, max_unlabelled=0.25) == []  # 1 of 4
    [reason] = of_seen(seen, max_unlabelled=0.24)
    assert "is 0.25, above the maximum 0.24: 1 of 4 images" in reason
    assert "balance.max_unlabelled" in reason


def test_masks_need_their_share_of_pixels_and_of_images() -> None:
    # In train, cat has 95 of 100 known pixels and is in both images; dog has 5 and is in one of two.
    seen = [
        Seen("1", pixels=(45, 5), ignored=50, mask=b"1"),
        Seen("2", pixels=(50, 0), mask=b"2"),
        Seen("3", "eval", pixels=(0, 50), mask=b"3"),
    ]
    assert of_seen(seen, min_pixel_share=0.05, min_image_share=0.5) == []
    [reason] = of_seen(seen, min_pixel_share=0.051)
    assert "share of the known pixels of train of label 'dog' is 0.05, below the minimum 0.051: 5 of 100" in reason
    [reason] = of_seen(seen, min_image_share=0.6)
    assert "share of the images of train of label 'dog' is 0.5, below the minimum 0.6: 1 of 2" in reason
    assert "balance.min_image_share" in reason


# Of 40 images, 20 have both labels and 20 none: they say the same thing.
SAME = [Seen(f"a{i}", labels=("cat", "dog")) for i in range(20)] + [Seen(f"b{i}") for i in range(20)]


def test_labels_that_always_come_together_are_named_with_their_counts() -> None:
    [reason] = of_seen(SAME, max_cooccurrence=0.98)
    assert "co-occurrence (phi) of labels 'cat' and 'dog' in train is 1, above the maximum 0.98" in reason
    assert "20 of 40 images have both, 20 have 'cat', 20 have 'dog'" in reason
    assert "of those with 'dog' 100 % have 'cat'" in reason
    assert "balance.max_cooccurrence" in reason
    assert of_seen(SAME) == []


def test_labels_of_which_exactly_one_always_applies_are_named() -> None:
    seen = [Seen(f"a{i}", labels=("cat",)) for i in range(20)] + [Seen(f"b{i}", labels=("dog",)) for i in range(20)]
    [reason] = of_seen(seen, max_cooccurrence=0.98)
    assert "mutual exclusion (phi) of labels 'cat' and 'dog' in train is 1, above" in reason
    assert "0 of 40 images have both" in reason


def test_co_occurrence_by_chance_passes() -> None:
    # A part of the other: 5 dogs, all among 20 cats, of 40 images; a model can tell them apart.
    part = [Seen(f"a{i}", labels=("cat", "dog") if i < 5 else ("cat",) if i < 20 else ()) for i in range(40)]
    assert of_seen(part, max_cooccurrence=0.98) == []
    # Two labels on one image of 40 coincide with probability 1/40.
    rare = [Seen(f"a{i}", labels=() if i else ("cat", "dog")) for i in range(40)]
    assert of_seen(rare, max_cooccurrence=0.98) == []
    # Where one is unknown, nothing can be said of the two.
    unknown_one = [Seen(f"a{i}", labels=("cat",), unknown=("dog",)) for i in range(20)]
    assert of_seen(unknown_one + SAME[20:], max_cooccurrence=0.5) == []


@given(st.lists(st.tuples(st.sampled_from([0, 1, None]), st.sampled_from([0, 1, None])), min_size=1, max_size=40))
def test_co_occurrence_is_the_correlation_over_what_is_known(rows: list[tuple[int | None, int | None]]) -> None:
    names = ("cat", "dog")
    seen = [
        Seen(
            str(i),
            labels=tuple(n for n, state in zip(names, row, strict=True) if state),
            unknown=tuple(n for n, state in zip(names, row, strict=True) if state is None),
        )
        for i, row in enumerate(rows)
    ]
    [verdict] = [
        v
        for v in check(GateInput(*merged(seen)), DataGateLimits(**(OFF | {"max_cooccurrence": 1.0})))
        if "phi" in v.rule
    ]
    both = [row for row in rows if None not in row]
    expected = matthews_corrcoef(*zip(*both, strict=True)) if both else 0.0
    assert verdict.value == pytest.approx(abs(expected), abs=1e-9)


def test_a_single_label_is_refused_as_a_classification() -> None:
    data = manifest(labels=["cat"], label_counts={"cat": FINE.label_counts["cat"]})
    assert "labels is 1, below the minimum 2: 'cat'" in refusal(data)
    assert reasons(data, min_labels=1) == []  # but a question that has an answer each, for multi-label


def test_a_data_set_without_images_is_refused_with_one_sentence() -> None:
    nothing = dict.fromkeys(("train", "eval", "test"), 0)
    data = manifest(counts=nothing, label_counts={"cat": nothing, "dog": nothing})
    reason = refusal(data, max_bad_fraction=0.01)
    assert "images is 0, below the minimum 1" in reason
    assert "data.root" in reason


def test_file_names_cannot_write_to_the_terminal() -> None:
    data = manifest(quarantined=[{"path": "\x1b[2J\u202e.png", "reason": "empty file"}])
    assert refusal(data, max_bad_fraction=0).isprintable()


def test_anomalies_of_the_validator_refuse_the_data() -> None:
    anomalies = [("label", "Unexpected string values: emu")]
    [verdict] = failed(check(GateInput(FINE, NO_IMAGES, anomalies=anomalies), DataGateLimits(**OFF)))
    assert "'label'" in verdict.reason
    assert "Unexpected string values: emu" in verdict.reason


@given(st.permutations(["cat", "dog", "emu"]), st.integers(1, 30))
def test_the_verdicts_do_not_depend_on_the_order_of_labels(order: list[str], minimum: int) -> None:
    counts = {"cat": 5, "dog": 15, "emu": 25}
    by_label = {name: dict.fromkeys(("train", "eval", "test"), counts[name]) for name in order}
    found = reasons(manifest(labels=order, label_counts=by_label), min_examples=minimum)
    assert len(found) == sum(n < minimum for n in counts.values())


def test_every_rule_has_a_verdict_even_where_it_holds() -> None:
    seen = [Seen(f"{s}{i}", s, ("dog",) if i % 2 else ("cat",)) for s in ("train", "eval", "test") for i in range(8)]
    limits = {
        "min_examples": 1,
        "min_eval_examples": 1,
        "max_ratio": 9,
        "max_cooccurrence": 1.0,
        "max_split_drift": 0.5,
        "max_bad_fraction": 0.5,
        "max_unlabelled": 0.5,
        "allow_duplicates_across_splits": False,
        "near_duplicate_distance": DEFAULT_DISTANCE,
        "max_near_duplicates": 0.0,
    }
    verdicts = check(GateInput(*merged(seen)), DataGateLimits(**(OFF | limits)))
    assert not failed(verdicts)
    # 2 labels x 3 splits; 9 properties x 2 splits; quarantine, unlabelled, two of labels and two of splits for
    # equal and nearly equal images, contradictory entries, number of labels, ratio, co-occurrence; 7 faults of images.
    assert len(verdicts) == 2 * 3 + 9 * 2 + 2 + 4 + 4 + 7
    assert all(verdict.gate == "data_gate" for verdict in verdicts)


@pytest.mark.parametrize("empty", [["test"], ["eval", "test"]])
def test_a_split_without_images_is_refused_by_name(empty: list[str]) -> None:
    data = manifest(counts=FINE.counts | dict.fromkeys(empty, 0))
    found = failed(empty_splits(data))
    for split, verdict in itertools.zip_longest(empty, found):
        assert f"images in {split} is 0, below the minimum 1" in verdict.reason
        assert f"data.split.{split}" in verdict.reason


def test_weights_are_computed_from_train_and_keyed_by_label() -> None:
    # 20 and 10 of 30 images: frequencies 2/3 and 1/3, median 1/2.
    assert weights(FINE) == pytest.approx({"cat": 0.75, "dog": 1.5})


def test_weights_count_only_images_whose_label_is_known() -> None:
    data = manifest(unknown={"cat": {"train": 5, "eval": 0, "test": 0}, "dog": {"train": 10, "eval": 4, "test": 0}})
    # 20 of 25 and 10 of 20 images: frequencies 0.8 and 0.5, median 0.65.
    assert weights(data) == pytest.approx({"cat": 0.65 / 0.8, "dog": 0.65 / 0.5})


def test_stated_weights_are_taken_as_they_are() -> None:
    assert weights(FINE, "none") == {"cat": 1, "dog": 1}
    assert weights(FINE, {"dog": 2.5}) == {"cat": 1, "dog": 2.5}


def test_a_label_that_never_applies_weighs_nothing() -> None:
    nowhere = dict.fromkeys(("train", "eval", "test"), 0)
    data = manifest(label_counts=FINE.label_counts | {"dog": nowhere})
    assert weights(data) == {"cat": 1, "dog": 0}


# Two masks of 100 pixels in train: 60 of cat, 20 of dog, 20 ignored; and 90 of cat, 10 ignored. And one in test.
MASKS: dict[str, Any] = {
    "counts": {"train": 2, "eval": 0, "test": 1},
    "pixels": {
        "train": [[150, 170, 200], [20, 80, 100], [30, 170, 200]],
        "test": [[0, 0, 0], [0, 0, 0], [100, 0, 100]],
    },
}


@pytest.mark.parametrize(
    ("count_ignored", "frequencies", "median"),
    [
        # Of the pixels that are known: 80 + 90, and 80.
        (False, (150 / 170, 20 / 80), (150 / 170 + 20 / 80) / 2),
        # Of all pixels, the ignored ones a class like any other: 0.75, 0.2 and 30 / 200.
        (True, (0.75, 0.2), 0.2),
    ],
)
def test_weights_of_masks_count_pixels(count_ignored: bool, frequencies: tuple[float, float], median: float) -> None:
    expected = {"cat": median / frequencies[0], "dog": median / frequencies[1]}
    assert weights(manifest(**MASKS), count_ignored=count_ignored) == pytest.approx(expected)


def test_the_share_of_unknown_labels_is_reported() -> None:
    assert unknown(FINE) == {"images": 0, "labels": 0}
    missing = {"cat": {"train": 3, "eval": 1, "test": 0}, "dog": {"train": 2, "eval": 0, "test": 0}}
    data = manifest(unknown=missing, unlabelled={"train": 1, "eval": 1, "test": 0})
    # Of 40 images 2, and of their 80 labels 6.
    assert unknown(data) == {"images": 0.05, "labels": 0.075}
    masks = unknown(manifest(**MASKS, unlabelled={"train": 0, "eval": 0, "test": 1}))
    assert masks == pytest.approx({"images": 1 / 3, "pixels": 130 / 300})
    assert unknown(manifest(counts=dict.fromkeys(("train", "eval", "test"), 0)))["images"] == 0


def test_labels_without_examples_cause_a_warning() -> None:
    assert warnings(FINE.label_counts) == []
    nowhere = {"train": 0, "eval": 3, "test": 0}
    told = warnings(FINE.label_counts | {"dog": nowhere})
    assert told == ["without any example in train, not learnt: 'dog'"]
