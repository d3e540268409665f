"""The registry of label kinds, and what each kind must agree with."""

import dataclasses

import pytest

from components.base.errors import ConfigError
from components.labels import kinds, multi, single
from components.labels.learning import heads, pixels, sigmoid, softmax


def test_every_task_has_its_kind() -> None:
    assert kinds.kind("single_label") is single.KIND
    assert list(kinds.KINDS) == ["single_label", "multi_label", "segmentation"]
    with pytest.raises(ConfigError, match="task: 'detection' is none of single_label, multi_label, segmentation"):
        kinds.kind("detection")


def test_the_head_follows_what_the_labels_are() -> None:
    assert [heads.head_of(kind) for kind in kinds.KINDS.values()] == [softmax, sigmoid, pixels]


@pytest.mark.parametrize("kind", kinds.KINDS.values(), ids=kinds.KINDS)
def test_the_accumulator_gives_every_metric_that_the_kind_names(kind: kinds.LabelKind) -> None:
    assert sorted(kind.accumulator(2).result(["a", "b"])) == sorted(kind.metric_names(["a", "b"]))


@pytest.mark.parametrize("wrong", [{"main": "iou"}, {"columns": ("accuracy",)}, {"main_of_label": "accuracy"}])
def test_a_kind_refuses_a_metric_that_it_does_not_have(wrong: dict) -> None:
    with pytest.raises(ValueError, match=r"label kind single_label: it has no metric (iou|accuracy)"):
        dataclasses.replace(single.KIND, **wrong)


@pytest.mark.parametrize(("pretrained", "fewest"), [(False, [2, 1, 2]), (True, [1, 1, 2])])
def test_only_independent_labels_and_detectors_can_do_with_one(pretrained: bool, fewest: list[int]) -> None:
    assert [kind.fewest_labels(pretrained=pretrained) for kind in kinds.KINDS.values()] == fewest
    assert single.KIND.is_detector(1)
    assert not multi.KIND.is_detector(1)
