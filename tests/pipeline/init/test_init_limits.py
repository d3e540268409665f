"""Limits of the data gate that `init` writes, because today's data break the defaults."""

import math

import pytest

from components.base.verdict import Verdict
from components.gates.judge import Rule, judge
from pipeline.init.limits import Limit, loosened, of_sample


def verdict(metric: str, key: str, value: float, label: str | None = None, **bounds: float) -> Verdict:
    return judge(Rule(gate="data_gate", metric=metric, label=label, advice=f"Or lower {key}", **bounds), value)


def test_the_smallest_label_decides_how_many_examples_are_needed() -> None:
    metric = "number of examples in train"
    verdicts = [verdict(metric, "balance.min_examples", n, label, minimum=10) for label, n in (("a", 7), ("b, c", 4))]
    verdicts.append(verdict(metric, "balance.min_examples", 12, "d", minimum=10))
    assert loosened(verdicts) == [
        Limit(
            "balance.min_examples",
            4,
            "today's number of examples in train of label 'b, c' is 4, and 1 more like it; the default is 10",
        )
    ]


@pytest.mark.parametrize(
    ("key", "value", "bounds", "written"),
    [
        ("balance.min_examples", 0, {"minimum": 10}, None),  # a label without images in train: no number would hold
        ("balance.max_ratio", 112.3, {"maximum": 100}, 113),
        ("balance.max_ratio", math.inf, {"maximum": 100}, None),
        ("balance.min_pixel_share", 0.00000123, {"minimum": 1e-5}, 0.0000012),
        ("balance.min_image_share", 0.0, {"minimum": 0.001}, None),
        ("balance.max_cooccurrence", 0.9912, {"maximum": 0.98}, 1.0),  # two digits: 1.00
        ("data.max_bad_fraction", 0.0312, {"maximum": 0.01}, 0.032),
    ],
)
def test_a_limit_becomes_what_the_data_have(
    key: str, value: float, bounds: dict[str, float], written: float | None
) -> None:
    [limit] = loosened([verdict("share", key, value, **bounds)])
    assert (limit.key, limit.value) == (key, written)


def test_many_broken_files_stay_refused() -> None:
    assert loosened([verdict("share of quarantined files", "data.max_bad_fraction", 0.4, maximum=0.01)]) == []


def test_broken_files_of_a_sample_are_tolerated_twofold() -> None:
    [limit] = of_sample(broken=6, opened=294)  # 6 / 300 = 0.02
    assert (limit.key, limit.value) == ("data.max_bad_fraction", 0.04)
    assert of_sample(broken=3, opened=297) == []  # 0.01, the default
    assert of_sample(broken=90, opened=210) == []  # 0.3: something else is wrong


def test_rules_about_single_images_stay_as_they_are() -> None:
    leak = verdict("nearly equal images", "balance.near_duplicate_distance", 1, maximum=0)
    assert loosened([leak]) == []
