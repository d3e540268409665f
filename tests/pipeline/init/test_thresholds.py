"""The thresholds that `init` writes: better than a model that always gives the same answer."""

from collections.abc import Mapping
from typing import Any

import pytest

from components.data.manifest import DatasetManifest
from components.labels import kinds
from pipeline.init.thresholds import above, thresholds

Splits = tuple[int, int, int]


def manifest(labels: Mapping[str, Splits], images: Splits, pixels: Mapping[str, Any] | None = None) -> DatasetManifest:
    names = ("train", "eval", "test")
    zeros = dict.fromkeys(names, 0)
    return DatasetManifest(
        labels=tuple(labels),
        counts=dict(zip(names, images, strict=True)),
        label_counts={label: dict(zip(names, n, strict=True)) for label, n in labels.items()},
        unknown=dict.fromkeys(labels, zeros),
        unlabelled=zeros,
        pixels=dict(pixels or {}),
        quarantined=(),
        contradictory=(),
        ignored=(),
        changed={},
        formats={},
        slices={},
        sizes={},
        properties={},
        content="",
    )


def entries(task: str, data: DatasetManifest) -> list[dict[str, Any]]:
    return [entry for entry, _ in thresholds(kinds.kind(task), data)]


def test_accuracy_must_be_above_the_share_of_the_most_frequent_label() -> None:
    data = manifest({"cat": (50, 8, 15), "dog": (40, 6, 10)}, (90, 14, 25))
    # In test, cat is 15 of 25 = 0.6; in all, 73 of 129 = 0.566: the larger one counts.
    found = thresholds(kinds.kind("single_label"), data)
    assert found[0] == (
        {"metric": "accuracy", "min": 0.61},
        "always answering 'cat' is right for 15 of 25 test images: 0.600",
    )
    # Ten test images have each label and ten have not, so that a rule for each label says something.
    assert found[1][0] == {"metric": "auc", "label": "*", "min": 0.51, "min_examples": 10}
    assert found[2][0] == {"metric": "accuracy", "max_drop": 0.02}


def test_a_label_of_nearly_every_test_image_is_not_judged_by_itself() -> None:
    # 10 of 15 test images have cat, and only 5 have not: the model gate could not judge its auc.
    data = manifest({"cat": (50, 8, 10), "dog": (40, 6, 9)}, (60, 9, 15))
    assert [entry["metric"] for entry in entries("multi_label", data)] == ["mean_average_precision"] * 2


def test_uneven_labels_count_alike() -> None:
    data = manifest({"cat": (60, 8, 12), "dog": (10, 1, 2), "emu": (10, 1, 2), "fox": (10, 1, 0)}, (90, 11, 16))
    # cat is 80 of 117 = 0.684, more than 1.5 / 4. Three labels are in test: the answer is right for one of them.
    assert thresholds(kinds.kind("single_label"), data)[0] == (
        {"metric": "balanced_accuracy", "min": 0.34},
        "always answering 'cat' is right for 80 of 117 images, but only for 1 of 3 labels: 0.333",
    )


def test_a_rule_for_each_label_is_left_out_where_no_label_has_ten_test_images() -> None:
    data = manifest({"cat": (30, 4, 4), "dog": (30, 4, 4)}, (60, 8, 8))
    assert entries("single_label", data) == [
        {"metric": "accuracy", "min": 0.51},  # 4 of 8
        {"metric": "accuracy", "max_drop": 0.02},
    ]


def test_mean_average_precision_must_be_above_the_mean_share_of_the_labels() -> None:
    data = manifest({"sea": (10, 1, 4), "trees": (20, 2, 2)}, (40, 4, 8))
    # In test 4 / 8 and 2 / 8, mean 0.375; in all 15 / 52 and 24 / 52, mean 0.375, too.
    assert entries("multi_label", data)[0] == {"metric": "mean_average_precision", "min": 0.38}


def test_mean_iou_must_be_above_that_of_a_mask_of_the_largest_label() -> None:
    cells = [(600, 0, 0), (300, 0, 0), (100, 0, 0), (50, 0, 0)]  # three labels, and ignored pixels
    data = manifest({"sky": (9, 1, 2), "road": (9, 1, 2), "car": (9, 1, 2)}, (9, 1, 2), {"test": cells})
    # sky everywhere: IoU 600 / 1000 for sky, 0 for the others: 0.6 / 3 = 0.2.
    assert entries("segmentation", data) == [
        {"metric": "mean_iou", "min": 0.21},
        {"metric": "mean_iou", "max_drop": 0.02},
    ]


def test_a_detector_of_one_label_must_know_most_of_its_own_images() -> None:
    assert entries("single_label", manifest({"cat": (30, 4, 4)}, (30, 4, 4))) == [{"metric": "abstained", "max": 0.2}]


@pytest.mark.parametrize(("share", "least"), [(0.29, 0.3), (0.3, 0.31), (0.989, 0.99), (0.99, 0.991), (1.0, 1.0)])
def test_the_least_value_is_the_next_number_above_the_share(share: float, least: float) -> None:
    assert above(share) == least
