"""Images that the served model had right and the candidate has wrong, on literal predictions, counted by hand."""

import math
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from components.base.verdict import Verdict
from components.evaluation import regressions
from components.evaluation.comparison import Scope
from components.gates import model_gate
from components.gates.compared import Compared, Regressions, whole
from components.gates.settings import Threshold
from components.labels import kinds

LABELS = ["cat", "dog", "emu"]


def row(name: str, applies: list[str], p: list[float], unknown: tuple[str, ...] = (), **more: Any) -> Any:
    common = {"path": f"{name}.jpg", "sha256": name, "labels": applies, "unknown": list(unknown), "weight": 1.0}
    return common | {"slices": [], "probabilities": p} | more


def found(task: str, before: list[Any], now: list[Any], **given: Any) -> Regressions:
    scope = Scope(kind=kinds.kind(task), labels=LABELS, version="5", **{"served": LABELS} | given)
    both = (before, scope.served), (now, LABELS)
    return regressions.find(scope.kind, scope.common, *both, scope.places)


# One image each: right and right, right and wrong, wrong and right, wrong and wrong, right and wrong.
TRUTH = ["cat", "cat", "dog", "dog", "dog"]
BEFORE = [[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.5, 0.3, 0.2], [0.5, 0.1, 0.4], [0.1, 0.8, 0.1]]
NOW = [[0.7, 0.2, 0.1], [0.3, 0.7, 0.0], [0.1, 0.9, 0.0], [0.9, 0.1, 0.0], [0.05, 0.0, 0.95]]
CAMERAS = ["day", "night", "night", "day", "day"]


def singles(answers: list[list[float]]) -> list[Any]:
    images = zip(TRUTH, answers, CAMERAS, strict=True)
    return [row(str(i), [label], p, slices=[("camera", camera)]) for i, (label, p, camera) in enumerate(images)]


def test_images_of_one_label_count_where_only_the_served_model_was_right() -> None:
    told = found("single_label", singles(BEFORE), singles(NOW))
    assert [image.path for image in told.images] == ["4.jpg", "1.jpg"]  # 0.95 is the more confident mistake
    assert [image.labels for image in told.images] == [("dog",), ("cat",)]
    assert (told.images[0].served, told.images[0].candidate) == ("'dog' (0.80)", "'emu' (0.95)")
    counts = whole(told.numbers)
    assert {key: n for key, n in counts.items() if "regressions" in key} == {
        "regressions": 2,
        "regressions/cat": 1,
        "regressions/dog": 1,
    }
    assert (counts["example_count"], counts["effective_positives/cat"], counts["effective_positives/dog"]) == (5, 2, 3)
    assert told.sentence("5") == "Of the 5 images that are compared, 2 were right in version 5 and are wrong now."


def test_slices_are_counted_by_themselves() -> None:
    told = found("single_label", singles(BEFORE), singles(NOW), slices={("camera",)})
    by_slice = {tuple(one.where.values()): one.numbers["regressions"] for one in told.numbers}
    assert by_slice == {(): 2, ("day",): 1, ("night",): 1}
    assert [image.path for image in told.of(None, {"camera": "night"})] == ["1.jpg"]
    assert [image.path for image in told.of("dog", {})] == ["4.jpg"]


def test_an_answer_that_is_not_a_number_is_wrong() -> None:
    """As the new answer it is a regression, as the served model's it cannot be one."""
    right, broken = [row("a", ["cat"], [0.9, 0.1, 0.0])], [row("a", ["cat"], [math.nan, 0.1, 0.0])]
    assert whole(found("single_label", right, broken).numbers)["regressions"] == 1
    assert whole(found("single_label", broken, right).numbers)["regressions"] == 0


def test_an_image_whose_label_is_unknown_or_not_common_is_not_looked_at() -> None:
    p = [0.1, 0.1, 0.8]
    images = [row("none", [], p), row("new", ["emu"], p), row("cat", ["cat"], p)]
    served = [row("none", [], [0.9, 0.1]), row("new", ["emu"], [0.9, 0.1]), row("cat", ["cat"], [0.9, 0.1])]
    told = found("single_label", served, images, served=["cat", "dog"])
    assert [image.path for image in told.images] == ["cat.jpg"]  # 'emu', which the served model does not know, is wrong
    assert whole(told.numbers)["example_count"] == 1


def test_of_several_labels_an_image_is_right_if_all_known_ones_are() -> None:
    """Image a loses one of its labels, b a label of an image that was wrong before, c only an unknown one."""
    truth = {"a": (["cat", "dog"], ()), "b": (["cat"], ()), "c": (["dog"], ("cat",))}
    before = {"a": [0.9, 0.5, 0.4], "b": [0.8, 0.2, 0.9], "c": [0.9, 0.9, 0.1]}
    now = {"a": [0.9, 0.49, 0.6], "b": [0.1, 0.2, 0.1], "c": [0.1, 0.9, 0.1]}
    told = found("multi_label", *([row(n, truth[n][0], p[n], truth[n][1]) for n in truth] for p in (before, now)))
    assert [(image.path, image.whole, image.labels) for image in told.images] == [
        ("a.jpg", True, ("dog", "emu")),
        ("b.jpg", False, ("cat",)),  # its label emu was wrong before
    ]
    assert (told.images[0].served, told.images[1].candidate) == ("'cat', 'dog'", "no label")
    counts = whole(told.numbers)
    assert (counts["regressions"], counts["regressions/cat"], counts["regressions/dog"]) == (1, 1, 1)
    assert (counts["example_count"], counts["effective_known/cat"]) == (3, 2)  # of image c, cat is unknown


def test_a_mask_is_a_regression_if_its_iou_is_lower_by_more_than_a_tenth() -> None:
    """Of ten pixels of cat, n are hit and the others called dog; of ten of dog, all are hit: dog has 10 / (20 - n).

    The mean IoU of 9 hits is (9 / 10 + 10 / 11) / 2 = 0.905, of 8 hits 0.817, of 7 hits 0.735. Image a falls by 0.088,
    but cat in it from 0.9 to 0.8, which is not more than 0.1; image b falls by 0.17 from 9 to 7 hits.
    """

    def masks(hits: dict[str, int]) -> list[Any]:
        shared = {"labels": [], "unknown": [], "slices": [], "weight": 1.0}
        confusion = {name: [[n, 10 - n, 0], [0, 10, 0], [0, 0, 0]] for name, n in hits.items()}
        rows = {name: np.ravel(c).tolist() for name, c in confusion.items()}
        return [shared | {"path": name, "sha256": name, "confusion": c} for name, c in rows.items()]

    told = found("segmentation", masks({"a": 9, "b": 9, "c": 7}), masks({"a": 8, "b": 7, "c": 9}))
    assert [(image.path, image.whole, image.labels) for image in told.images] == [("b", True, ("cat", "dog"))]
    assert pytest.approx(0.1399, abs=1e-4) == 10 / 11 - 10 / 13  # dog in image b
    assert (told.images[0].served, told.images[0].candidate) == ("mean IoU 0.90", "mean IoU 0.73")
    counts = whole(told.numbers)
    assert (counts["regressions"], counts["regressions/cat"], counts["example_count"]) == (1, 1, 3)
    assert "regressions/emu" not in counts  # no image has it


def test_a_label_that_only_one_network_sees_at_its_size_is_not_compared() -> None:
    shared = {"path": "a", "sha256": "a", "labels": [], "unknown": [], "slices": [], "weight": 1.0}
    large = np.ravel([[8, 0, 0], [0, 1, 0], [0, 0, 0]]).tolist()  # dog has one pixel
    small = np.ravel([[2, 0, 0], [0, 0, 0], [0, 0, 0]]).tolist()
    told = found("segmentation", [shared | {"confusion": large}], [shared | {"confusion": small}])
    assert told.images == ()
    assert "regressions/dog" not in whole(told.numbers)


# As a threshold.


NUMBERS = {"accuracy": 0.6, "example_count": 6.0, "effective_count": 6.0}
NUMBERS |= {f"effective_positives/{label}": n for label, n in {"cat": 2.0, "dog": 3.0, "emu": 1.0}.items()}


def judged(compared: Compared, **given: Any) -> list[Verdict]:
    rule, baseline = Threshold(metric="regressions", **given), None if compared.broken else [({}, NUMBERS)]
    return model_gate.thresholds([rule], LABELS, "single_label", [({}, NUMBERS)], baseline, compared)


def compared() -> Compared:
    return Compared(version="5", images=5, regressions=found("single_label", singles(BEFORE), singles(NOW)))


def test_more_regressions_than_the_maximum_refuse_and_name_the_images() -> None:
    [verdict] = judged(compared(), max=1)
    assert not verdict.passed
    assert verdict.reason == ("regressions on the compared images is 2 (5 examples), above the maximum 1: 4.jpg, 1.jpg")
    [held] = judged(compared(), max=2)
    assert (held.passed, held.value, held.examples) == (True, 2, 5)


def test_each_label_is_judged_by_itself_and_those_without_an_image_are_named() -> None:
    cat, dog, emu = judged(compared(), max=0, label="*")
    assert (cat.label, cat.value, cat.examples, cat.passed) == ("cat", 1, 2, False)
    assert (
        dog.reason == "regressions of label 'dog' on the compared images is 1 (3 examples), above the maximum 0: 4.jpg"
    )
    assert (emu.judged, emu.reason) == (False, "regressions is not judged for label 'emu': no example can be compared")


def test_of_several_labels_one_that_is_called_wrongly_is_a_regression_like_one_that_is_missed() -> None:
    """Dog applies to one of four images and is known in three; the served model has these right.

    The new one misses it in a, calls it in b and c, where it does not apply, and in d, where that is unknown. So 3 of
    the 3 images where it is known are regressions, although only one image has the label.
    """
    truth = {"a": (["dog"], ()), "b": (["cat"], ()), "c": ([], ()), "d": ([], ("dog",))}
    before = {"a": [0.1, 0.9, 0.1], "b": [0.9, 0.1, 0.1], "c": [0.1, 0.1, 0.1], "d": [0.1, 0.1, 0.1]}
    now = {name: [p[0], 1 - p[1], p[2]] for name, p in before.items()}
    rows = ([row(n, truth[n][0], p[n], truth[n][1]) for n in truth] for p in (before, now))
    told = Compared(version="5", images=4, regressions=found("multi_label", *rows))
    whole_split = {"example_count": 4.0, "effective_positives/dog": 1.0, "effective_known/dog": 3.0}
    numbers = [({}, whole_split)]

    def verdicts(least: int) -> list[Verdict]:
        rule = Threshold(metric="regressions", label="dog", max=2, min_examples=least)
        return model_gate.thresholds([rule], LABELS, "multi_label", numbers, numbers, told)

    [three] = verdicts(3)
    assert (three.value, three.examples, three.passed) == (3, 3, False)
    [four] = verdicts(4)
    assert four.reason.endswith("cannot be judged: min_examples is 4, but there are only 3; expected regressions <= 2")


def test_a_label_that_the_served_model_does_not_know_is_not_judged() -> None:
    told = compared().model_copy(update={"new": ("emu",)})
    [emu] = judged(told, max=0, label="emu")
    assert emu.reason == "regressions of label 'emu' is not judged: version 5 does not know it"


def test_regressions_are_not_judged_without_a_served_model_and_fail_beside_a_damaged_one() -> None:
    [first] = judged(Compared(why_not="no model is served yet"), max=0)
    assert (first.passed, first.judged, first.reason) == (
        True,
        False,
        "regressions is not judged: no model is served yet",
    )
    [damaged] = judged(Compared(broken="version 5 cannot be loaded", why_not="version 5 cannot be loaded"), max=0)
    assert not damaged.passed
    assert damaged.reason == ("regressions cannot be judged: version 5 cannot be loaded; expected regressions <= 0")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"min": 1}, "takes max alone"),
        ({"max": 2, "max_drop": 0.1}, "remove max_drop"),
        ({"max": 2, "confidence": 0.95}, "remove confidence"),
        ({"max": 0.02}, "max is a number of images, such as 5; got 0.02"),
        ({"max": 2, "slice": "found"}, "does not apply to slice: found"),
    ],
)
def test_a_limit_that_is_no_number_of_images_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Threshold(metric="regressions", **given)
