"""Trivial methods on literal predictions, against scikit-learn and by hand; the gain's interval against simulation."""

from typing import Any

import numpy as np
import pytest
from counting import Seen as Counted
from counting import manifest, merged
from sklearn import metrics as sk
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from components.data import properties
from components.evaluation import trivial
from components.evaluation.groups.parts import Neighbours, Seen
from components.gates import intervals
from components.gates.found import TrivialMethod
from components.labels import kinds

LABELS = ["cat", "dog"]
SINGLE, MULTI, MASKS = (kinds.kind(task) for task in ("single_label", "multi_label", "segmentation"))


def answered(applies: list[str], p: list[float], unknown: tuple[str, ...] = (), weight: float = 1.0) -> Any:
    row = {"path": "", "sha256": "", "labels": applies, "unknown": list(unknown), "weight": weight, "slices": []}
    return row | {"probabilities": p, "uncalibrated": p, "decisions": [x >= 0.5 for x in p], "abstain": False}


def coloured(label: tuple[str, ...], colour: tuple[float, float, float], content: str) -> Counted:
    return Counted(content, labels=label, properties=(*((64.0, 64.0, 1.0, 0.5, 0.2, 0.01)), *colour))


def colours(*given: tuple[float, float, float]) -> Seen:
    return Seen({name: np.array(given)[:, i] for i, name in enumerate(("red", "green", "blue"))})


# Four images of train: three red cats and a blue dog.
TRAIN, _ = merged(
    [coloured(("cat",), (0.9, 0.1, 0.1), str(i)) for i in range(3)] + [coloured(("dog",), (0.1, 0.1, 0.9), "d")]
)
CAT, DOG = [0.8, 0.2], [0.3, 0.7]


def named(methods: tuple[TrivialMethod, ...]) -> dict[str, TrivialMethod]:
    return {method.name: method for method in methods}


def test_the_most_frequent_label_and_the_nearest_colour_of_single_labels() -> None:
    """Truth: cat, dog, dog, cat. Colours: red, blue, red, blue. The model is right but for the last."""
    truth, red, blue = [0, 1, 1, 0], (0.8, 0.2, 0.2), (0.2, 0.2, 0.8)
    rows = [answered([LABELS[t]], p) for t, p in zip(truth, (CAT, DOG, DOG, DOG), strict=True)]
    methods = named(trivial.measure(rows, LABELS, SINGLE, TRAIN, colours(red, blue, red, blue)).methods)
    assert list(methods) == ["always answering 'cat'", "the nearest mean colour"]
    for name, answers in (("always answering 'cat'", [0, 0, 0, 0]), ("the nearest mean colour", [0, 1, 0, 1])):
        numbers = methods[name].numbers
        assert numbers["accuracy"] == sk.accuracy_score(truth, answers)
        assert numbers["balanced_accuracy"] == sk.balanced_accuracy_score(truth, answers)
        assert numbers["macro_f1"] == pytest.approx(sk.f1_score(truth, answers, average="macro"))
        assert [numbers[f"f1/{label}"] for label in LABELS] == pytest.approx(
            sk.f1_score(truth, answers, average=None).tolist()
        )
        assert "loss" not in numbers
    # Three of four are right, of the constant answer two, of the colours two.
    assert [method.paired["accuracy"].gain for method in methods.values()] == [0.25, 0.25]


def test_the_nearest_colour_is_that_of_scikit_learns_nearest_centroid() -> None:
    """Bins are 1/64 wide, so that images near the border between two labels may be told apart otherwise."""
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 300)
    rgb = np.clip(np.eye(3)[truth] * 0.3 + 0.3 + random.normal(scale=0.1, size=(300, 3)), 0, 1)
    labels = ["red", "green", "blue"]
    train, _ = merged(
        [coloured((labels[t],), tuple(c), str(i)) for i, (t, c) in enumerate(zip(truth, rgb, strict=True))], labels
    )
    rows = [answered([labels[t]], [1.0, 0.0, 0.0]) for t in truth]
    [_, method] = trivial.measure(rows, labels, SINGLE, train, colours(*map(tuple, rgb))).methods
    expected = NearestCentroid().fit(rgb, truth).score(rgb, truth)
    assert method.numbers["accuracy"] == pytest.approx(expected, abs=0.01)
    assert 0.9 < expected < 1
    assert properties.BINS == 64


def test_the_nearest_neighbour_is_that_of_scikit_learn_by_the_cosine() -> None:
    random = np.random.default_rng(1)
    train, test = random.normal(size=(90, 6)), random.normal(size=(1_500, 6))
    of_train, truth = (train[:, 0] > 0).astype(int), (test[:, 0] > 0).astype(int)
    near = Neighbours(train, np.eye(2, dtype=bool)[of_train])
    rows = [answered([LABELS[t]], CAT) for t in truth]
    methods = named(trivial.measure(rows, LABELS, SINGLE, TRAIN, Seen({}, test), near).methods)
    expected = KNeighborsClassifier(1, metric="cosine").fit(train, of_train).score(test, truth)
    assert methods["the nearest neighbour in features"].numbers["accuracy"] == pytest.approx(expected)
    assert 0.6 < expected < 1


def test_several_labels_get_each_their_most_frequent_answer() -> None:
    """Train: cat applies to two of the three images for which it is known, dog to one of four."""
    seen = [
        Counted("0", labels=("cat",)),
        Counted("1", labels=("cat", "dog")),
        Counted("2"),
        Counted("3", unknown=("cat",)),
    ]
    train, _ = merged(seen)
    targets = [[1, 0], [0, 1], [1, 1], [0, 0]]
    rows = [answered([n for n, t in zip(LABELS, target, strict=True) if t], [0.9, 0.1]) for target in targets]
    rows[3]["unknown"] = [
        "dog"
    ]  # entries: 7, of which the answer cat, not dog is right in 1 0, 0 1, 1 1, 0: 2 + 0 + 1 + 0
    [method] = trivial.measure(rows, LABELS, MULTI, train, Seen()).methods
    assert method.name == "the most frequent answer of each label"
    assert method.numbers["binary_accuracy"] == pytest.approx(3 / 7)
    assert method.numbers["hamming_loss"] == pytest.approx(4 / 7)
    assert method.numbers["exact_match"] == 1 / 4
    # The model gives the same answers.
    assert {key: paired.gain for key, paired in method.paired.items()} == dict.fromkeys(
        ("binary_accuracy", "hamming_loss", "exact_match"), 0
    )


def test_several_labels_by_colour_are_those_whose_images_are_nearer_than_the_others() -> None:
    """Cats are red, and dogs are in the shade: a red and dark image has both."""
    seen = [coloured(("cat", "dog"), (0.5, 0.1, 0.1), "0"), coloured(("cat",), (0.9, 0.5, 0.5), "1")]
    seen += [coloured(("dog",), (0.1, 0.1, 0.1), "2"), coloured((), (0.5, 0.5, 0.5), "3")]
    train, _ = merged(seen)
    # Means: cat 0.7 0.3 0.3 against 0.3 0.3 0.3, dog 0.3 0.1 0.1 against 0.7 0.5 0.5.
    looked = colours((0.6, 0.1, 0.1), (0.9, 0.6, 0.6), (0.2, 0.1, 0.1), (0.4, 0.7, 0.7))
    rows = [answered(names, [0.0, 0.0]) for names in (["cat", "dog"], ["cat"], ["dog"], [])]
    methods = named(trivial.measure(rows, LABELS, MULTI, train, looked).methods)
    assert methods["the nearest mean colour"].numbers["exact_match"] == 1


def test_masks_get_the_label_with_the_most_pixels_everywhere() -> None:
    """Truth of both images together: 10 pixels of cat, 4 of dog; the model has 5 + 2 and 3 + 1 right."""
    confusions = [[[5, 1], [0, 2]], [[3, 1], [1, 1]]]
    rows = [answered([], []) | {"confusion": np.ravel(c).tolist(), "calibration": [0.0] * 90} for c in confusions]
    train = manifest(pixels={"train": ((70, 90, 100), (20, 90, 100), (10, 0, 0))}, counts={"train": 1})
    [method] = trivial.measure(rows, LABELS, MASKS, train, Seen()).methods
    assert method.name == "always answering 'cat'"
    assert method.numbers["pixel_accuracy"] == pytest.approx(10 / 14)
    assert method.numbers["iou/cat"] == pytest.approx(sk.jaccard_score([0] * 10 + [1] * 4, [0] * 14, pos_label=0))
    assert method.numbers["mean_iou"] == pytest.approx(10 / 14 / 2)
    assert method.paired["pixel_accuracy"].gain == pytest.approx((11 - 10) / 14)


def test_a_detector_and_an_empty_split_have_no_trivial_methods() -> None:
    assert trivial.measure([answered(["cat"], [1.0])], ["cat"], SINGLE, TRAIN, Seen()).methods == ()
    assert trivial.measure([], LABELS, SINGLE, TRAIN, Seen()).methods == ()


def test_answers_that_are_not_numbers_have_no_gain() -> None:
    rows = [answered([], []) | {"confusion": [float("nan")] * 4, "calibration": [0.0] * 90}]
    train = manifest(pixels={"train": ((70, 90, 100), (20, 90, 100), (10, 0, 0))}, counts={"train": 1})
    [method] = trivial.measure(rows, LABELS, MASKS, train, Seen()).methods
    assert method.paired == {}
    assert method.numbers["pixel_accuracy"] is None


def test_weights_count_in_the_gain() -> None:
    """The model is right on an image of weight 3, and always answering 'cat' on one of weight 1."""
    rows = [answered(["dog"], DOG, weight=3.0), answered(["cat"], DOG, weight=1.0)]
    [method] = trivial.measure(rows, LABELS, SINGLE, TRAIN, Seen()).methods
    assert method.paired["accuracy"].gain == (3 - 1) / 4
    assert method.paired["accuracy"].images == 16 / 10  # Kish: (3 + 1)^2 / (9 + 1)


def test_the_interval_of_the_gain_covers_it_as_often_as_it_says() -> None:
    """2,000 samples of 150 images: both right in 0.5, the model in 0.3, the method in 0.1: the gain is 0.2."""
    random = np.random.default_rng(0)
    z, covered = intervals.two_sided(0.95), 0
    for _ in range(2_000):
        case = random.choice(4, 150, p=[0.5, 0.3, 0.1, 0.1])
        own, other, one = (case < 2).astype(float), ((case == 0) | (case == 2)).astype(float), np.ones(150)
        paired = trivial._paired(own, other, one, one)
        assert paired is not None
        low, high = intervals.difference(paired.gain, intervals.worth(paired.worth, paired.images, z), z)
        covered += low <= 0.2 <= high
    assert 0.94 < covered / 2_000 < 0.965
