"""The data gate's rules against the served model's data: changes are refused, and chance differences pass."""

import dataclasses
import io
import math
import random
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from counting import PROPERTIES, Seen, merged

from components.base.verdict import Verdict
from components.data.manifest import KnownData
from components.gates import reference
from components.gates.data_rules import label_drift, property_drift, relabelled
from components.gates.data_rules.base import GateInput
from components.gates.judge import failed
from components.gates.reference import Reference
from components.gates.settings import DataGateLimits

OFF: dict[str, Any] = {
    "contradictions": True,
    "min_labels": 2,
    "max_bad_fraction": None,
    "max_drift": None,
    "max_property_drift": None,
    "max_relabelled": None,
    "allow_vanished_labels": True,
    "allow_new_labels": True,
}
LABELS = ("cat", "dog")
RULES = (
    label_drift.vanished_labels,
    label_drift.new_labels,
    label_drift.label_shares,
    property_drift.served_properties,
    relabelled.relabelled_images,
)


def images(label: str, count: int, start: int = 0, split: str = "train", **fields: Any) -> list[Seen]:
    return [Seen(f"{split}{i}", split, (label,), **fields) for i in range(start, start + count)]


def served(seen: Iterable[Seen], labels: tuple[str, ...] = LABELS) -> Reference:
    """As a pushed model keeps it: through JSON and a file."""
    kept, content = reference.remember(*merged(seen, labels))
    assert kept.labels == labels
    return Reference("7", KnownData.from_json(kept.to_json()), np.load(io.BytesIO(content), allow_pickle=False))


def verdicts(before: list[Seen], after: list[Seen], labels: tuple[str, ...] = LABELS, **limits: Any) -> list[Verdict]:
    data, settings = GateInput(*merged(after, labels), served(before)), DataGateLimits(**(OFF | limits))
    return [verdict for rule in RULES for verdict in rule(data, settings)]


def reasons(before: list[Seen], after: list[Seen], labels: tuple[str, ...] = LABELS, **limits: Any) -> list[str]:
    return [v.reason for v in failed(verdicts(before, after, labels, **limits))]


BOTH = images("cat", 50) + images("dog", 50, 50)


def test_a_vanished_label_is_named() -> None:
    [reason] = reasons(BOTH, images("cat", 100), allow_vanished_labels=False)
    assert "vanished labels" in reason
    assert "is 1, above the maximum 0: 'dog', which version 7 of the model was trained on" in reason
    assert "balance.allow_vanished_labels" in reason
    [verdict] = failed(verdicts(BOTH, images("cat", 100), ("cat",), allow_vanished_labels=False))
    assert verdict.label == "dog"
    assert reasons(BOTH, images("cat", 100)) == []
    # One that had no image before either has not vanished.
    assert reasons(images("cat", 50), images("cat", 50), allow_vanished_labels=False) == []


def test_a_new_label_is_named() -> None:
    after, labels = BOTH + images("emu", 9, 100), ("cat", "dog", "emu")
    [reason] = reasons(BOTH, after, labels, allow_new_labels=False)
    assert (
        "new labels of label 'emu' is 1, above the maximum 0: 'emu', which version 7 of the model does not know"
        in reason
    )
    assert "balance.allow_new_labels" in reason
    assert reasons(BOTH, after, labels) == []
    assert reasons(BOTH, BOTH, allow_new_labels=False, allow_vanished_labels=False) == []


def test_drift_of_the_label_shares_is_a_jensen_shannon_distance() -> None:
    # 1/2 and 1/2 -> 9/10 and 1/10. The mean is 7/10 and 3/10; the entropies in bits are 1, 0.468996 and 0.881291:
    # divergence 0.881291 - (1 + 0.468996) / 2 = 0.146793, distance 0.383136.
    after = images("cat", 90) + images("dog", 10, 90)
    results = failed(verdicts(BOTH, after, max_drift=0.383))
    assert [v.label for v in results] == [None, "cat", "dog"]
    assert [v.value for v in results] == [pytest.approx(0.383136, abs=1e-6)] * 3
    assert "'cat' 50 % -> 90 %, 'dog' 50 % -> 10 %" in results[0].reason
    assert "50 % of 100 images -> 10 % of 100" in results[2].reason
    assert "balance.max_drift" in results[0].reason
    assert reasons(BOTH, after, max_drift=0.384) == []


def test_drift_in_few_images_passes_with_a_note() -> None:
    # 5 of 10 -> 9 of 10: that far out chance goes in one of seven cases (Fisher's exact test, p = 0.14).
    before, after = images("cat", 5) + images("dog", 5, 5), images("cat", 9) + images("dog", 1, 9)
    results = verdicts(before, after, max_drift=0.2)
    assert not failed(results)
    assert results[0].value == pytest.approx(0.383136, abs=1e-6)
    assert "Chance alone" in results[0].reason


def test_drift_of_masks_compares_pixels_with_each_image_counted_once() -> None:
    def masks(cat: int, dog: int, count: int) -> list[Seen]:
        return [Seen(str(i), pixels=(cat, dog), mask=str(i).encode()) for i in range(count)]

    # Pixels 1/2 and 1/2 -> 9/10 and 1/10: the mean is 7/10 and 3/10, the entropies are 1, 0.468996 and 0.881291.
    distance = math.sqrt(0.881291 - (1 + 0.468996) / 2)
    # One verdict: each label is in every image before and after, so only the pixels of all together have drifted.
    [verdict] = failed(verdicts(masks(50, 50, 100), masks(90, 10, 100), max_drift=0.3831))
    assert (verdict.label, verdict.value) == (None, pytest.approx(distance, abs=1e-5))
    assert reasons(masks(50, 50, 100), masks(90, 10, 100), max_drift=0.3832) == []
    # A million pixels of three images are three images.
    assert reasons(masks(500_000, 500_000, 3), masks(900_000, 100_000, 3), max_drift=0.3) == []


def looking(brightness: float, *, label: str, count: int, start: int) -> list[Seen]:
    rng = random.Random(start)
    return [
        dataclasses.replace(one, properties=(*PROPERTIES[:3], brightness + rng.uniform(-0.1, 0.1), *PROPERTIES[4:]))
        for one in images(label, count, start)
    ]


def test_a_label_whose_images_all_got_darker_is_named() -> None:
    before = looking(0.6, label="cat", count=100, start=0) + looking(0.6, label="dog", count=20, start=100)
    after = looking(0.6, label="cat", count=100, start=200) + looking(0.3, label="dog", count=20, start=300)
    [verdict] = failed(verdicts(before, after, max_property_drift=0.5))
    assert verdict.label == "dog"
    assert "distance of the brightness in train from that of version 7 of label 'dog' is 1, above" in verdict.reason
    assert "of 20 images" in verdict.reason
    assert "balance.max_property_drift" in verdict.reason
    assert reasons(before, looking(0.6, label="cat", count=100, start=400), max_property_drift=0.5) == []
    # Three images are too few to say.
    few = looking(0.6, label="cat", count=100, start=500) + looking(0.3, label="dog", count=3, start=600)
    assert reasons(before, few, max_property_drift=0.5) == []


def between_splits(seen: list[Seen]) -> list[Verdict]:
    limits = DataGateLimits(**OFF | {"max_split_drift": 0.5})
    return list(property_drift.split_properties(GateInput(*merged(seen)), limits))


def test_splits_that_look_different_are_named() -> None:
    seen = looking(0.6, label="cat", count=60, start=0)
    dark = [dataclasses.replace(one, split="test") for one in looking(0.2, label="cat", count=60, start=100)]
    [reason] = [v.reason for v in failed(between_splits(seen + dark))]
    assert "distance of the brightness in test from that in train is 1, above the maximum 0.5" in reason
    assert "balance.max_split_drift" in reason
    same = [dataclasses.replace(one, split="test") for one in looking(0.6, label="cat", count=60, start=100)]
    assert failed(between_splits(seen + same)) == []


def test_images_that_got_another_label_are_named() -> None:
    # 5 of 50 cats are dogs now: 10 % of the cats, and of 55 dogs 5 are new to it.
    after = images("dog", 5) + images("cat", 45, 5) + images("dog", 50, 50)
    results = failed(verdicts(BOTH, after, max_relabelled=0.05))
    assert [(v.label, v.value) for v in results] == [("cat", 5 / 50), ("dog", pytest.approx(5 / 55))]
    assert "5 of 50 images, train0, train1, train2, train3, train4" in results[0].reason
    assert "balance.max_relabelled" in results[0].reason
    assert reasons(BOTH, after, max_relabelled=0.1) == []


def test_a_single_correction_passes_and_new_images_are_not_relabelled() -> None:
    before = images("cat", 10) + images("dog", 10, 10)
    assert reasons(before, images("dog", 1) + images("cat", 9, 1) + images("dog", 10, 10), max_relabelled=0.05) == []
    assert reasons(before, images("dog", 10, 100) + images("cat", 30, 200), max_relabelled=0.0) == []
    # A label that is unknown now, or was unknown before, has not changed.
    unknown = [dataclasses.replace(one, labels=(), unknown=LABELS) for one in before]
    assert reasons(before, unknown, max_relabelled=0.0) == reasons(unknown, before, max_relabelled=0.0) == []


def test_masks_that_changed_are_named() -> None:
    before = [Seen(str(i), pixels=(1, 2), mask=b"a", path=f"{i}.png") for i in range(20)]
    after = [dataclasses.replace(one, mask=b"b" if i < 3 else b"a") for i, one in enumerate(before)]
    [reason] = reasons(before, after, max_relabelled=0.1)
    assert "is 0.15, above the maximum 0.1: 3 of 20 images, 0.png, 1.png, 2.png" in reason
    assert reasons(before, after, max_relabelled=0.15) == []


def test_the_same_data_pass_whatever_the_limits() -> None:
    tight = {
        "max_drift": 0.0,
        "max_property_drift": 0.0,
        "max_relabelled": 0.0,
        "allow_new_labels": False,
        "allow_vanished_labels": False,
    }
    results = verdicts(BOTH, BOTH, **tight)
    assert not failed(results)
    # Vanished, new, all shares, and of each property and of the labels' shares and relabelling the largest.
    assert len(results) == 2 + 1 + 1 + 9 + 1
