"""Weak groups on literal predictions; chance against scipy, against enumeration and against permutations."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from components.evaluation.comparison import Scope
from components.evaluation.groups import chance
from components.evaluation.groups.find import FEWEST, find
from components.evaluation.groups.parts import Clusters, Seen, common, extremes
from components.evaluation.groups.questions import questions
from components.gates.found import WeakGroups
from components.gates.judge import CHANCE
from components.labels import kinds

LABELS = ["cat", "dog"]
SINGLE, MULTI, MASKS = (kinds.kind(task) for task in ("single_label", "multi_label", "segmentation"))


def answered(name: str, applies: list[str], p: list[float], unknown: tuple[str, ...] = ()) -> Any:
    row = {"path": name, "sha256": f"digest of {name}", "labels": applies, "unknown": list(unknown), "weight": 1.0}
    answer = {"probabilities": p, "uncalibrated": p, "decisions": [x >= 0.5 for x in p]}
    return row | answer | {"slices": [], "familiarity": 1.0, "abstain": False}


def masked(name: str, confusion: list[list[int]]) -> Any:
    return answered(name, [], []) | {"confusion": np.ravel(confusion).tolist(), "calibration": [1.0] * 90}


def cats_and_dogs(right: list[bool], truth: list[int]) -> list[Any]:
    """Images named by their number; a wrong answer is the other label."""
    said = [t if yes else 1 - t for t, yes in zip(truth, right, strict=True)]
    return [
        answered(f"{i:03}.jpg", [LABELS[t]], [0.2 + 0.6 * (s == 0), 0.2 + 0.6 * (s == 1)])
        for i, (t, s) in enumerate(zip(truth, said, strict=True))
    ]


def found(rows: list[Any], seen: Seen, kind: Any = SINGLE) -> WeakGroups:
    def numbers(members: Any) -> Any:
        return Scope(kind=kind, labels=LABELS, served=LABELS).results(members, LABELS)[0][1]

    return find(rows, LABELS, kind, seen, numbers)


# Chance.


@pytest.mark.parametrize(("right", "drawn", "hits"), [(8, 5, 2), (15, 10, 5), (3, 3, 0), (20, 10, 10), (0, 4, 0)])
def test_one_stratum_is_fishers_exact_test(right: int, drawn: int, hits: int) -> None:
    """20 images, `right` of them answered rightly; a group of `drawn`, `hits` of them rightly."""
    table = [[hits, drawn - hits], [right - hits, 20 - drawn - right + hits]]
    score = np.concatenate([np.repeat([1.0, 0.0], row) for row in table])
    p = chance.weaker(score, np.arange(20) < drawn, np.zeros(20, int))
    assert p == pytest.approx(stats.fisher_exact(table, alternative="less").pvalue)


def test_strata_are_drawn_from_one_by_one() -> None:
    """4 easy images (3 right) and 3 hard ones (1 right); the group has 2 easy and 2 hard ones with 1 right answer.

    Of 6 x 3 = 18 such groups, those with at most 1 right answer are counted.
    """
    score = np.array([1.0, 0, 1, 1, 0, 0, 1])
    strata = np.array([0, 0, 0, 0, 1, 1, 1])
    inside = np.isin(np.arange(7), [0, 1, 4, 5])
    groups = itertools.product(itertools.combinations(range(4), 2), itertools.combinations(range(4, 7), 2))
    sums = [sum(score[list(easy)]) + sum(score[list(hard)]) for easy, hard in groups]
    assert len(sums) == 18
    assert chance.weaker(score, inside, strata) == pytest.approx(np.mean(np.array(sums) <= 1))


def test_a_group_of_hard_images_is_not_weak_within_its_stratum() -> None:
    """Dogs are hard, and all dogs are in the group: nothing is left to compare them with."""
    score = np.array([1.0] * 20 + [0.0] * 20)
    inside, strata = np.arange(40) >= 20, np.arange(40) // 20
    assert chance.weaker(score, inside, strata) == 1
    assert chance.weaker(score, inside, np.zeros(40, int)) < 1e-9  # without strata it would be
    assert math.isnan(chance.rest(score, inside, strata))


def test_shares_are_tested_by_ranks_as_permutations_would() -> None:
    random = np.random.default_rng(0)
    score = np.round(random.beta(4, 2, 120), 1)
    inside = np.arange(120) < 20
    score[inside] = np.round(score[inside] * 0.85, 1)
    ranks = stats.rankdata(score)
    drawn = np.array([ranks[random.permutation(120)[:20]].sum() for _ in range(20_000)])
    p = chance.weaker(score, inside, np.zeros(120, int))
    assert p == pytest.approx(np.mean(drawn <= ranks[inside].sum()), rel=0.15)
    assert 0.001 < p < 0.2
    assert chance.weaker(np.full(120, 0.5), inside, np.zeros(120, int)) == 1


def test_holms_correction_by_hand() -> None:
    """0.001 x 4, then 0.01 x 3, then 0.04 x 2; 0.05 x 1 is less than what came before, which it cannot be."""
    assert chance.holm([0.04, 0.001, 0.05, 0.01]).tolist() == pytest.approx([0.08, 0.004, 0.08, 0.03])
    assert chance.holm([0.9, 0.8]).tolist() == [1, 1]
    assert chance.holm([]).tolist() == []


# Questions.


def test_single_labels_are_asked_about_within_their_label() -> None:
    rows = [*cats_and_dogs([True, False, True], [0, 0, 1]), answered("unknown.jpg", [], [0.5, 0.5], ("cat", "dog"))]
    whole, cats, dogs = questions(rows, LABELS, SINGLE)
    assert (whole.label, whole.images.tolist(), whole.score.tolist()) == (None, [0, 1, 2], [1, 0, 1])
    assert whole.strata.tolist() == [0, 0, 1]
    assert (cats.label, cats.images.tolist(), cats.score.tolist()) == ("cat", [0, 1], [1, 0])
    assert (dogs.label, dogs.images.tolist(), dogs.score.tolist()) == ("dog", [2], [1])


def test_several_labels_are_asked_about_by_their_known_answers() -> None:
    rows = [
        answered("0", ["cat"], [0.9, 0.8]),  # cat is found, dog is a false alarm: 1 of 2
        answered("1", ["cat"], [0.1, 0.8], ("dog",)),  # cat is missed, dog is unknown: 0 of 1
        answered("2", [], [0.1, 0.2]),  # 2 of 2
        answered("3", [], [0.1, 0.2], ("cat", "dog")),  # nothing is known
    ]
    whole, cats, dogs = questions(rows, LABELS, MULTI)
    assert (whole.images.tolist(), whole.score.tolist()) == ([0, 1, 2], [0.5, 0, 1])
    assert (cats.images.tolist(), cats.score.tolist(), cats.measure) == ([0, 1], [1, 0], "recall")
    assert dogs.images.tolist() == []


def test_masks_are_asked_about_by_the_iou_of_each_image() -> None:
    """Rows truth, columns prediction. First: cat 6 / (6 + 2 + 1), dog 3 / (3 + 1 + 2); second: cat alone, 4 / 8."""
    rows = [masked("0", [[6, 2], [1, 3]]), masked("1", [[4, 4], [0, 0]]), masked("2", [[0, 0], [0, 0]])]
    whole, cats, dogs = questions(rows, LABELS, MASKS)
    assert whole.images.tolist() == [0, 1]
    assert whole.score.tolist() == pytest.approx([(6 / 9 + 3 / 6) / 2, 4 / 8])
    assert cats.score.tolist() == pytest.approx([6 / 9, 4 / 8])
    assert dogs.images.tolist() == [0]


def test_nothing_is_asked_of_a_detector_and_of_answers_that_are_not_numbers() -> None:
    assert questions([answered("0", ["cat"], [1.0])], ["cat"], SINGLE) == []
    assert questions([answered("0", ["cat"], [math.nan, 1.0])], LABELS, SINGLE) == []
    assert questions([], LABELS, SINGLE) == []


# Parts.


def test_a_part_has_exactly_the_images_that_its_name_tells() -> None:
    """100 values 0.001, 0.012, …: the fifth and the tenth and the twentieth from below and above."""
    values = 0.001 + 0.011 * np.arange(100)
    values[0] = np.nan
    parts = {part.tail: part for part in extremes("brightness", values)}
    assert parts["brightness below 0.22"].head == "dark images"
    for text, part in parts.items():
        limit = float(text.rsplit(" ", 1)[1])
        expected = values < limit if " below " in text else values > limit
        assert part.inside.tolist() == expected.tolist()
        assert not part.inside[0]
    assert {round(part.inside.sum(), -1) for part in parts.values()} == {0, 10, 20}


def test_a_property_that_most_images_share_has_no_extremes() -> None:
    assert list(extremes("width", np.full(50, 640.0))) == []
    assert list(extremes("width", np.full(50, np.nan))) == []
    one = {part.name(None) for part in extremes("width", np.array([640.0] * 45 + [120.0] * 5))}
    assert one == {"narrow images (width below 640 pixels)"}


def test_properties_without_words_of_their_own_are_called_low_and_high() -> None:
    names = {part.head for part in extremes("contrast", np.arange(50) / 100)}
    assert names == {"images of low contrast", "images of high contrast"}


def test_clusters_are_named_by_their_most_typical_image_and_by_what_they_have_in_common() -> None:
    """Two heaps of 40 images: dark dogs, and cats of which a quarter are dogs."""
    random = np.random.default_rng(0)
    truth = [1] * 40 + [0] * 30 + [1] * 10
    rows = cats_and_dogs([True] * 80, truth)
    features = random.normal(scale=0.05, size=(80, 8)) + np.repeat(np.eye(8)[:2], 40, axis=0)
    seen = Seen({"brightness": np.repeat([0.1, 0.6], 40)}, features)
    first, second = sorted(Clusters.of(features).parts(rows, np.arange(80)), key=lambda part: not part.inside[0])
    assert first.inside.tolist() == [True] * 40 + [False] * 40
    centre = (features / np.linalg.norm(features, axis=1, keepdims=True))[:40].mean(axis=0)
    apart = np.linalg.norm(features[:40] / np.linalg.norm(features[:40], axis=1, keepdims=True) - centre, axis=1)
    assert first.tail == f"like {apart.argmin():03}.jpg"
    assert common(first, rows, np.arange(80), seen) == "; 100 % with label 'dog'; median brightness 0.1 against 0.6"
    assert common(second, rows, np.arange(80), seen) == "; 75 % with label 'cat'; median brightness 0.6 against 0.1"


# The search.


def test_a_planted_group_is_found_and_named_with_its_images() -> None:
    """400 images, 5 of 6 right; of the darkest 40, every third."""
    brightness = np.linspace(0.02, 0.98, 400)
    right = [i % 3 == 0 if i < 40 else i % 6 > 0 for i in range(400)]
    rows = cats_and_dogs(right, [i // 2 % 2 for i in range(400)])
    result = found(rows, Seen({"brightness": brightness, "contrast": np.tile([0.1, 0.2, 0.3, 0.4], 100)}))
    [group] = result.groups
    assert group.name == "dark images (brightness below 0.12)"  # the 40th has 0.1162
    assert (group.label, group.measure, group.count) == (None, "accuracy", 42)
    inside = [i for i in range(400) if brightness[i] < 0.12]
    assert group.value == np.mean([right[i] for i in inside])
    assert group.value < 0.4
    assert group.rest > 0.8
    assert group.numbers["accuracy"] == group.value
    assert group.numbers["example_count"] == 42
    assert [path for path, _ in group.images] == [f"{i:03}.jpg" for i in sorted(inside, key=lambda i: right[i])]
    assert group.chance < CHANCE
    assert result.tried == 2 * 3 * 3  # both ends of the brightness, three shares, of all images and of each label


def test_a_group_of_one_label_is_named_with_it() -> None:
    """Only dark cats are hard: 24 of them are all wrong, and all others right but every fifth."""
    brightness = np.linspace(0.0, 1.0, 480)
    truth = [i % 2 for i in range(480)]
    right = [i % 5 > 0 if t or i >= 48 else False for i, t in enumerate(truth)]
    [group] = found(cats_and_dogs(right, truth), Seen({"brightness": brightness})).groups
    assert group.name == "dark images of label 'cat' (brightness below 0.1)"
    assert (group.value, group.label, group.count) == (0, "cat", 24)


def test_a_weak_cluster_is_found_by_its_features() -> None:
    random = np.random.default_rng(1)
    features = random.normal(scale=0.1, size=(200, 16)) + np.repeat(np.eye(16)[:5], 40, axis=0)
    right = [i % 2 == 0 if 80 <= i < 120 else i % 10 > 0 for i in range(200)]
    [group] = found(cats_and_dogs(right, [i // 10 % 2 for i in range(200)]), Seen({}, features)).groups
    assert {path for path, _ in group.images} == {f"{i:03}.jpg" for i in range(80, 120)}
    assert group.name.startswith("look-alike images (like ")


@pytest.mark.parametrize("kind", [SINGLE, MULTI, MASKS], ids=lambda kind: kind.task)
def test_a_weak_group_is_found_for_every_task(kind: Any) -> None:
    """200 images; the model is right but for the 20 darkest."""

    def row(i: int) -> Any:
        name, wrong = f"{i:03}.jpg", i < 20
        if kind.per_pixel:
            return masked(name, [[2, 6], [i % 3, 2]] if wrong else [[7, 1], [i % 3, 8]])
        p = [0.1, 0.9] if wrong == (i % 2 == 0) else [0.9, 0.1]
        return answered(name, [LABELS[i % 2]], p)

    [group] = found([row(i) for i in range(200)], Seen({"brightness": np.arange(200) / 200}), kind).groups
    assert group.name == "dark images (brightness below 0.1)"
    assert {path for path, _ in group.images} == {f"{i:03}.jpg" for i in range(20)}
    assert group.numbers[kind.main] is not None


def test_errors_spread_at_random_give_no_group() -> None:
    """20 permutations of the errors of 300 images over six properties and clusters."""
    random = np.random.default_rng(2)
    right, truth = np.arange(300) % 5 > 0, [i % 2 for i in range(300)]
    seen = Seen({f"property_{i}": random.random(300) for i in range(6)}, random.normal(size=(300, 8)))
    drawn = [found(cats_and_dogs(random.permutation(right).tolist(), truth), seen) for _ in range(20)]
    assert [one.groups for one in drawn] == [()] * 20
    assert all(one.tried > 60 for one in drawn)


def test_shares_that_are_nearly_all_equal_give_no_group_by_chance() -> None:
    """Of 300 images, 5 % have half of their labels right, at random: the normal approximation alone found groups."""
    random = np.random.default_rng(3)
    names = [f"{i:03}.jpg" for i in range(300)]
    for _ in range(40):
        half = set(random.permutation(300)[:15].tolist())
        rows = [answered(name, ["cat"], [0.9, 0.9 if i in half else 0.1]) for i, name in enumerate(names)]
        seen = Seen({f"property_{i}": random.random(300) for i in range(6)})
        assert found(rows, seen, MULTI).groups == ()


def test_one_weak_part_is_told_once() -> None:
    """Of 400 images the 40 darkest are half wrong. Of groups that hold them and others, the others are no worse."""
    random = np.random.default_rng(4)
    brightness = np.linspace(0, 1, 400)
    for _ in range(10):
        right = random.random(400) < np.where(np.arange(400) < 40, 0.5, 0.95)
        groups = found(
            cats_and_dogs(right.tolist(), [i % 2 for i in range(400)]), Seen({"brightness": brightness})
        ).groups
        assert len(groups) <= 1


def test_the_exact_test_of_many_images_leaves_out_only_what_counts_for_nothing() -> None:
    """Of 40,000 images 36,000 are right, and of 8,000 drawn 7,100; SciPy adds all terms up."""
    score, inside = np.arange(40_000) % 10 > 0, np.zeros(40_000, bool)
    inside[np.flatnonzero(score)[:7100]] = inside[np.flatnonzero(~score)[:900]] = True
    p = chance.weaker(score.astype(np.float64), inside, np.zeros(40_000, int))
    assert p == pytest.approx(stats.hypergeom.cdf(7100, 40_000, 36_000, 8_000), rel=1e-9)


def test_few_images_are_no_group_and_neither_is_a_small_difference() -> None:
    brightness = np.linspace(0.0, 1.0, 100)
    few = [i >= FEWEST - 1 for i in range(100)]  # all errors are the 9 darkest images
    darkest = Seen({"brightness": np.where(np.arange(100) < FEWEST - 1, 0.1, 0.5 + brightness / 2)})
    result = found(cats_and_dogs(few, [0] * 100), darkest)
    assert not [group for group in result.groups if group.count < FEWEST]
    many = np.arange(8_000)
    slight = np.where(many < 800, many % 100 >= 5, many % 100 >= 1)  # 0.95 against 0.99
    assert chance.weaker(slight.astype(float), many < 800, np.zeros(8_000, int)) < 1e-9
    assert found(cats_and_dogs(slight.tolist(), [0] * 8_000), Seen({"brightness": many / 8_000})).groups == ()


def test_the_result_is_the_same_again_and_travels_as_json() -> None:
    random = np.random.default_rng(3)
    right = [i % 2 == 0 if i < 40 else i % 8 > 0 for i in range(200)]
    rows = cats_and_dogs(right, [i // 4 % 2 for i in range(200)])
    seen = Seen({"brightness": np.arange(200) / 200}, random.normal(size=(200, 8)))
    one, other = found(rows, seen), found(rows, seen)
    assert one.groups
    assert one == other == WeakGroups.from_json(one.to_json())
