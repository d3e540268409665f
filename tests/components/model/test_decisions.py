"""What each task's model gets to decide by."""

import numpy as np
import pytest
from scipy import special

from components.labels import kinds
from components.model import calibration, decisions, familiarity
from components.model.settings import DecisionSettings

SINGLE, MULTI, _ = kinds.KINDS.values()

RANDOM = np.random.default_rng(0)
TRAIN = RANDOM.normal(size=(40, 6)).astype(np.float32)


def settings(**changed: object) -> DecisionSettings:
    return DecisionSettings(**({"calibrate": True, "threshold": "f1", "abstain_below": 0.01} | changed))


def answers(task: str, classes: int = 3, n: int = 400, seed: int = 1) -> decisions.Answers:
    """Logits three times too large, of which a tenth has no known target."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(n, classes)) * 2
    if task == "multi_label":
        target = (random.random((n, classes)) < special.expit(logits)).astype(np.float32)
    else:
        target = np.eye(classes)[(logits + random.gumbel(size=logits.shape)).argmax(axis=1)].astype(np.float32)
    target[random.random(n) < 0.1] = -1
    return decisions.Answers(
        features=random.normal(size=(n, 6)).astype(np.float32),
        logits=(logits * 3).astype(np.float32),
        target=target,
        weight=random.uniform(0.5, 2, n),
    )


def known(told: decisions.Answers) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = (told.target >= 0).any(axis=1)
    return told.logits[rows], told.target[rows], told.weight[rows]


@pytest.mark.parametrize("task", ["single_label", "segmentation"])
def test_one_label_of_several_gets_a_temperature(task: str) -> None:
    told = answers(task)
    found = decisions.fit(kinds.kind(task), TRAIN, told, settings())
    logits, target, weight = known(told)
    t = calibration.temperature(logits, target.argmax(axis=1), weight)
    assert t == pytest.approx(3, rel=0.3)
    assert found.scale.tolist() == [1 / t] * 3
    assert found.bias.tolist() == [0] * 3
    p = special.softmax(logits / t, axis=1)
    np.testing.assert_allclose(found.thresholds, calibration.decision_thresholds(p, target, weight), rtol=1e-6)


def test_several_labels_get_a_scale_and_a_bias_each() -> None:
    told = answers("multi_label")
    told.target[::7, 1] = -1  # unknown of one label only
    told.logits[:, 0] += 6  # of another, the network is too sure
    found = decisions.fit(MULTI, TRAIN, told, settings())
    logits, target, weight = known(told)
    scale, bias = calibration.platt(logits, target, weight)
    assert bias[0] == pytest.approx(-6 * scale[0], rel=0.3)
    assert len(set(scale.tolist())) > 1
    np.testing.assert_array_equal([found.scale, found.bias], [scale, bias])
    np.testing.assert_allclose(found.scale, 1 / 3, rtol=0.3)
    p = special.expit(logits * scale + bias)
    np.testing.assert_allclose(found.thresholds, calibration.decision_thresholds(p, target, weight), rtol=1e-6)


@pytest.mark.parametrize("task", ["single_label", "multi_label", "segmentation"])
def test_without_calibration_thresholds_apply_to_the_raw_probabilities(task: str) -> None:
    told = answers(task)
    found = decisions.fit(kinds.kind(task), TRAIN, told, settings(calibrate=False, threshold={"recall": 0.9}))
    assert (found.scale.tolist(), found.bias.tolist()) == ([1] * 3, [0] * 3)
    logits, target, weight = known(told)
    p = special.expit(logits) if task == "multi_label" else special.softmax(logits, axis=1)
    for i, threshold in enumerate(found.thresholds):
        hit = target[:, i] > 0
        assert weight[hit & (p[:, i] >= threshold)].sum() / weight[hit].sum() >= 0.9
        # The next higher score would find fewer than nine tenths.
        higher = p[p[:, i] >= threshold, i].min()
        assert weight[hit & (p[:, i] > higher)].sum() / weight[hit].sum() < 0.9


@pytest.mark.parametrize("task", ["single_label", "multi_label", "segmentation"])
def test_familiarity_counts_all_eval_images_labelled_or_not(task: str) -> None:
    told = answers(task)
    found = decisions.fit(kinds.kind(task), TRAIN, told, settings())
    expected = familiarity.fit(TRAIN, told.features)
    np.testing.assert_array_equal(found.reference.features, expected.features)
    np.testing.assert_array_equal(found.reference.distances, expected.distances)
    assert found.reference.neighbour == expected.neighbour


@pytest.mark.parametrize(("below", "expected"), [(0.2, 0.2), (0.0, 0.0), (None, 0.0)])
def test_an_abstention_bound_of_null_never_abstains(below: float | None, expected: float) -> None:
    assert decisions.fit(SINGLE, TRAIN, answers("single_label"), settings(abstain_below=below)).abstain_below == (
        expected
    )


def test_a_detector_decides_by_what_it_abstains_below() -> None:
    told = answers("single_label", classes=1)
    found = decisions.fit(SINGLE, TRAIN, told, settings(abstain_below=0.05))
    assert (found.scale.tolist(), found.bias.tolist(), found.thresholds.tolist()) == ([1], [0], [0.05])
    assert found.abstain_below == 0.05


@pytest.mark.parametrize(
    ("task", "classes", "detects"),
    [("single_label", 1, True), ("single_label", 2, False), ("multi_label", 1, False), ("segmentation", 1, False)],
)
def test_only_a_single_label_without_an_alternative_is_detected(task: str, classes: int, detects: bool) -> None:
    assert kinds.kind(task).is_detector(classes) == detects


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_nan_answers_and_an_unlabelled_eval_split_leave_the_defaults(task: str) -> None:
    told = answers(task)
    logits, target = told.logits.copy(), told.target.copy()
    logits[:5, 1], target[5:] = np.nan, -1
    broken = decisions.Answers(features=told.features, logits=logits, target=target, weight=told.weight)
    found = decisions.fit(kinds.kind(task), TRAIN, broken, settings())
    assert (found.scale.tolist(), found.bias.tolist()) == ([1] * 3, [0] * 3)
    assert found.thresholds.tolist() == [0.5] * 3


def test_the_summary_shows_calibration_and_thresholds() -> None:
    found = decisions.Decisions(
        scale=np.array([0.5, 2.0]),
        bias=np.array([0.0, -1.0]),
        thresholds=np.array([0.25, 0.75]),
        reference=familiarity.fit(TRAIN, TRAIN),
        abstain_below=0.01,
    )
    assert found.to_json(["cat", "dog"]) == {
        "labels": {
            "cat": {"threshold": 0.25, "scale": 0.5, "bias": 0.0},
            "dog": {"threshold": 0.75, "scale": 2.0, "bias": -1.0},
        },
        "abstain_below": 0.01,
        "reference_images": 40,
    }
