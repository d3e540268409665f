"""Rules on single images: shares of each label, chance, sizes, and what somebody decided to keep."""

from typing import Any

import pytest
from counting import Seen, merged
from scipy import stats
from test_data_gate import OFF

from components.base.verdict import Verdict
from components.data import looks
from components.gates.data_rules import single_images
from components.gates.data_rules.base import Finding, GateInput
from components.gates.settings import DataGateLimits
from components.ingest.settings import Exclusion


def limits(**changes: Any) -> DataGateLimits:
    return DataGateLimits(**OFF | changes)


def seen(
    label: str, count: int, *, fault: str = "", faulty: int = 0, size: tuple[int, int] = (640, 480), start: int = 0
) -> list[Seen]:
    """Images of one label, of which the first have a fault."""
    bit = 1 << looks.FAULTS.index(fault) if fault else 0
    return [
        Seen(f"{label}/{i}.jpg", "train", (label,), look=(bit * (i < start + faulty), 128, 77, *size, 0, 0, 0))
        for i in range(start, start + count)
    ]


def judged(images: list[Seen], **changes: Any) -> dict[str, Verdict]:
    """The verdict on each fault that fails, or else has the largest share."""
    verdicts = single_images.faulty_images(GateInput(*merged(images)), limits(**changes))
    return {verdict.rule.removeprefix("share of images that are ").partition(" <=")[0]: verdict for verdict in verdicts}


def found(images: list[Seen], **changes: Any) -> list[Finding]:
    return list(single_images.findings(GateInput(*merged(images)), limits(**changes)))


@pytest.mark.parametrize("fault", [fault for fault in looks.FAULTS if fault != "border"])
def test_a_label_with_too_large_a_share_is_refused_and_its_files_are_named(fault: str) -> None:
    images = [*seen("cat", 60, fault=fault, faulty=30), *seen("dog", 200)]
    verdict = judged(images)[fault]
    assert not verdict.passed
    assert verdict.reason.startswith(
        f"share of images that are {fault} of label 'cat' is 0.5, above the maximum 0.2: 30 of 60 images, cat/0.jpg, "
        "cat/1.jpg, cat/10.jpg, cat/11.jpg, cat/12.jpg, and 25 more. "
    )
    assert f"raise balance.max_{fault}" in verdict.reason
    assert judged(images, **{f"max_{fault}": 0.5})[fault].passed


def test_a_share_that_chance_explains_is_tolerated() -> None:
    """Of 10 images, 4 are dark. If 0.2 are in truth, 4 or more have p = 0.12; times 7 faults and 2 labels, 1."""
    verdict = judged([*seen("cat", 10, fault="dark", faulty=4), *seen("dog", 10)])["dark"]
    assert verdict.passed
    assert "Chance alone can cause a difference of this size (p = 1)" in verdict.reason
    assert (
        single_images._chance(4, 10, 0.2)
        == pytest.approx(stats.binom.sf(3, 10, 0.2))
        == pytest.approx(0.1209, abs=1e-4)
    )


def test_below_the_limits_all_hold_and_the_files_are_findings_all_the_same() -> None:
    images = [*seen("cat", 50, fault="dark", faulty=2), *seen("dog", 50)]
    assert all(verdict.passed for verdict in judged(images).values())
    assert found(images) == [
        Finding("cat/0.jpg", "too dark, mean luma 0.50", "dark", 0.7),
        Finding("cat/1.jpg", "too dark, mean luma 0.50", "dark", 0.7),
    ]
    assert found(images, max_dark=None) == []


def test_grey_images_are_findings_among_colours_only() -> None:
    assert [f.path for f in found([*seen("cat", 9, fault="grey", faulty=2), *seen("dog", 9)])] == [
        "cat/0.jpg",
        "cat/1.jpg",
    ]
    assert found([*seen("cat", 9, fault="grey", faulty=9), *seen("dog", 9, fault="grey", faulty=1)]) == []


def test_what_most_images_have_is_how_the_data_set_looks() -> None:
    """12 of 20 images are dark, 6 of each label: no finding, but a note. Of 11 of 20, 10 of them cats, each is one."""
    most = [*seen("cat", 10, fault="dark", faulty=6), *seen("dog", 10, fault="dark", faulty=6)]
    assert found(most) == []
    assert judged(most)["dark"].value == 0
    told = single_images.notes(GateInput(*merged(most)), limits())
    assert told == ["12 of 20 images are dark: so most of this data set look, and none of them is a finding"]
    cats = [*seen("cat", 10, fault="dark", faulty=10), *seen("dog", 10, fault="dark", faulty=1)]
    assert len(found(cats)) == 11
    assert single_images.notes(GateInput(*merged(cats)), limits()) == []
    constant = seen("cat", 20, fault="uninformative", faulty=20)
    assert len(found(constant)) == 20  # nothing can be learnt of it


@pytest.mark.parametrize("size", [(213, 160), (1920, 1440), (1280, 240), (240, 1280)])
def test_sizes_of_a_third_or_three_times_all_others_are_odd(size: tuple[int, int]) -> None:
    """All others are 640 x 480. Half, twice and the same turned by 90 degrees are not odd."""
    usual = seen("cat", 40) + seen("dog", 2, size=(480, 640)) + seen("dog", 1, size=(320, 240), start=2)
    usual += seen("dog", 1, size=(1280, 960), start=3)
    assert found(usual) == []
    beyond = (size[0] - 1, size[1] - 1) if max(size) < 640 else (size[0] + 1, size[1] + 1)
    if min(size) == 240:  # three times the aspect ratio of 4:3, and then some
        beyond = (1930, 480) if size[0] > size[1] else (210, 640)
    odd = found([*usual, *seen("dog", 1, size=beyond, start=4)])
    assert odd == [
        Finding("dog/4.jpg", f"{beyond[0]} x {beyond[1]} pixels, unlike nearly all other images", "odd size", 0.4)
    ]


def test_a_data_set_of_many_sizes_has_no_odd_one() -> None:
    images = [one for i, side in enumerate(range(100, 2000, 50)) for one in seen("cat", 1, size=(side, side), start=i)]
    assert found(images) == []


def test_masks_have_one_share_for_all_images() -> None:
    images = [
        Seen(f"{i}", pixels=(1, 1), mask=b"m", path=f"{i:02}.png", look=(i < 20, 0, 0, 640, 480, 0, 0, 0))
        for i in range(40)
    ]
    verdict = judged(images)["dark"]
    assert (verdict.label, verdict.value, verdict.passed) == (None, 0.5, False)


def test_what_is_kept_is_neither_found_nor_counted() -> None:
    images = [*seen("cat", 60, fault="dark", faulty=30), *seen("dog", 60)]
    kept = (Exclusion(path="cat/*", kind="dark", decision="keep"),)
    assert judged(images, kept=kept)["dark"].value == 0
    assert found(images, kept=kept) == []
    other = (Exclusion(path="cat/*", kind="blurred", decision="keep"),)
    assert len(found(images, kept=other)) == 30
    one = (Exclusion(path="cat/0.jpg", decision="keep"),)
    assert judged(images, kept=one)["dark"].value == pytest.approx(29 / 60)
