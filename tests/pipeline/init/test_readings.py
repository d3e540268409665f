"""Which reading of a data set is preferred, and which are named besides."""

from collections.abc import Iterator

import pytest

from components.base.errors import ConfigError
from pipeline.init.readings import readings
from pipeline.init.recognise.sight import Proposal, Recogniser, Sight

SIGHT = Sight("pets", {})


def coco(_: Sight) -> Iterator[Proposal]:
    yield Proposal("coco", ("segmentation", "multi_label"), "there are polygons")


def folders(_: Sight) -> Iterator[Proposal]:
    yield Proposal("folders", ("single_label",), "there are folders")


def one_folder(_: Sight) -> Iterator[Proposal]:
    yield Proposal("folders", ("single_label",), "there is one folder", last=True)


def names(*recognisers: Recogniser, task: str | None = None) -> list[tuple[str, str]]:
    return [(reading.proposal.layout, reading.task) for reading in readings(SIGHT, task, recognisers)]


def test_the_order_of_the_recognisers_decides_and_second_tasks_come_last() -> None:
    assert names(coco, folders) == [("coco", "segmentation"), ("folders", "single_label"), ("coco", "multi_label")]
    assert names(folders, coco)[0] == ("folders", "single_label")


def test_a_task_chooses_among_the_readings() -> None:
    assert names(coco, folders, task="multi_label") == [("coco", "multi_label")]
    assert names(coco, folders, task="single_label") == [("folders", "single_label")]


def test_a_proposal_of_last_resort_is_named_only_alone() -> None:
    assert names(one_folder, coco) == [("coco", "segmentation"), ("coco", "multi_label")]
    assert names(one_folder) == [("folders", "single_label")]


def test_a_task_that_no_reading_has_is_refused_with_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"task single_label; it can be read as layout coco for task segmentation"):
        names(coco, one_folder, task="single_label")
