"""The solved head against scikit-learn, in float64, and on data that have no best answer."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special
from sklearn.linear_model import LogisticRegression

from components.base.errors import ImagegateError
from components.model.fitting import regression, solver
from components.model.fitting.regression import Examples

Floats = NDArray[np.float64]
rng = np.random.default_rng(5)
N, F = 300, 12
FEATURES = rng.normal(size=(N, F)) * rng.uniform(0.1, 5, F) + 3
WEIGHT = rng.uniform(0.2, 3, N)
TRUE = rng.normal(size=(F, 4)) * 0.3
CLASS = (FEATURES @ TRUE + rng.gumbel(size=(N, 4)) * 3).argmax(axis=1)
ONE_HOT = np.eye(4)[CLASS]
LABEL_WEIGHTS = [1.0, 2.0, 0.5, 3.0]


def standardised() -> tuple[Floats, Floats]:
    """The features with the weighted mean 0 and deviation 1, and the deviation."""
    mean = np.average(FEATURES, axis=0, weights=WEIGHT)
    deviation = np.sqrt(np.average((FEATURES - mean) ** 2, axis=0, weights=WEIGHT))
    return (FEATURES - mean) / deviation, deviation


def reference(x: Floats, truth: Floats, weight: Floats, strength: float) -> Any:
    c = 1 / (strength * weight.sum())
    return LogisticRegression(C=c, tol=1e-12, max_iter=20_000).fit(x, truth, sample_weight=weight)


def solved(examples: Examples, exclusive: bool, label_weights: list[float], strength: float) -> tuple[Floats, Floats]:
    head = regression.Head(examples, exclusive, label_weights)
    return head.layer(head.solve(strength))


@pytest.mark.parametrize("strength", [1.0, 0.03])
def test_exclusive_labels_agree_with_multinomial_regression(strength: float) -> None:
    weight = WEIGHT * np.array(LABEL_WEIGHTS)[CLASS]
    x, deviation = standardised()
    expected = reference(x, CLASS, weight, strength)
    kernel, bias = solved(Examples(FEATURES, ONE_HOT, WEIGHT), True, LABEL_WEIGHTS, strength)
    np.testing.assert_allclose(kernel, expected.coef_.T / deviation[:, None], atol=1e-6)
    np.testing.assert_allclose(special.softmax(FEATURES @ kernel + bias, axis=1), expected.predict_proba(x), atol=1e-6)


def test_independent_labels_agree_with_a_regression_each_over_what_is_known() -> None:
    target = (rng.random((N, 3)) < special.expit(standardised()[0] @ TRUE[:, :3])).astype(float)
    target[rng.random((N, 3)) < 0.2] = -1
    kernel, bias = solved(Examples(FEATURES, target, WEIGHT), False, LABEL_WEIGHTS[:3], 0.03)
    x, deviation = standardised()
    for k, own in enumerate(LABEL_WEIGHTS[:3]):
        known = target[:, k] >= 0
        weight = (WEIGHT * np.where(target[:, k] > 0, own, 1))[known]
        expected = reference(x[known], target[known, k], weight, 0.03)
        np.testing.assert_allclose(kernel[:, k], expected.coef_[0] / deviation, atol=1e-6)
        p = special.expit(FEATURES @ kernel[:, k] + bias[k])
        np.testing.assert_allclose(p[known], expected.predict_proba(x[known])[:, 1], atol=1e-6)


def test_one_unit_for_two_labels_agrees_with_binary_regression_at_the_chosen_strength() -> None:
    """100 eval images are enough to choose on eval; the weights of both labels count."""
    target = np.stack([CLASS < 2, CLASS >= 2], axis=1).astype(float)
    both = Examples(FEATURES, target, WEIGHT)
    found = solver.solve_one_of_two(both, both.take(np.arange(100)), 0, [2.0, 0.5])
    assert (found.kernel.shape, found.bias.shape, found.split) == ((F, 1), (1,), "eval")
    x, deviation = standardised()
    weight = WEIGHT * np.where(target[:, 0] > 0, 2.0, 0.5)
    expected = reference(x, target[:, 0], weight, found.strength)
    np.testing.assert_allclose(found.kernel[:, 0], expected.coef_[0] / deviation, atol=1e-6)


@pytest.mark.parametrize("exclusive", [True, False])
def test_from_the_solution_of_nearly_the_same_examples_the_same_is_found_sooner(
    exclusive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other examples lack ten images, so that they have other means and axes."""
    fewer = Examples(FEATURES[10:], ONE_HOT[10:], WEIGHT[10:])
    before = solved(fewer, exclusive, LABEL_WEIGHTS, 0.03)
    head = regression.Head(Examples(FEATURES, ONE_HOT, WEIGHT), exclusive, LABEL_WEIGHTS)
    steps: list[int] = []
    at = head._at
    monkeypatch.setattr(head, "_at", lambda *args: steps.append(1) or at(*args))
    alone = head.layer(head.solve(0.03))
    first = len(steps)
    again = head.layer(head.solve(0.03, head.near(before)))
    for one, other in zip(alone, again, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert len(steps) - first < first
    for one, other in zip(head.layer(head.near(before)), before, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


@pytest.mark.parametrize("exclusive", [True, False])
def test_the_number_of_threads_changes_no_digit(exclusive: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does how many rows are multiplied at once change more than rounding does."""
    head = regression.Head(Examples(FEATURES, ONE_HOT, WEIGHT), exclusive, LABEL_WEIGHTS)
    one, three = (head.solve(0.03, threads=threads) for threads in (1, 3))
    assert one.tobytes() == three.tobytes()
    monkeypatch.setattr(regression, "_CACHED", 1)
    np.testing.assert_allclose(head.solve(0.03), one, atol=1e-6)


def test_an_adjustment_shifts_the_biases_alone() -> None:
    """With it, the loss has the logits that scikit-learn's solution has without it."""
    adjustment = [np.log(0.1), np.log(0.2), np.log(0.3), np.log(0.4)]
    x, deviation = standardised()
    expected = reference(x, CLASS, WEIGHT, 0.03)
    head = regression.Head(Examples(FEATURES, ONE_HOT, WEIGHT), True, [1.0] * 4, adjustment)
    kernel, bias = head.layer(head.solve(0.03))
    np.testing.assert_allclose(kernel, expected.coef_.T / deviation[:, None], atol=1e-6)
    in_the_loss = special.softmax(FEATURES @ kernel + bias + adjustment, axis=1)
    np.testing.assert_allclose(in_the_loss, expected.predict_proba(x), atol=1e-6)


def test_an_adjustment_of_two_labels_with_one_unit_is_their_difference() -> None:
    target = np.stack([CLASS < 1, CLASS >= 1], axis=1).astype(float)
    both = Examples(FEATURES, target, WEIGHT)
    plain = solver.solve_one_of_two(both, both, 0, [1.0, 1.0])
    adjusted = solver.solve_one_of_two(both, both, 0, [1.0, 1.0], [np.log(0.2), np.log(0.8)])
    np.testing.assert_allclose(adjusted.kernel, plain.kernel, atol=1e-6)
    np.testing.assert_allclose(adjusted.bias + np.log(0.2 / 0.8), plain.bias, atol=1e-5)


def test_more_features_than_images_agree_as_well() -> None:
    few = Examples(rng.normal(size=(20, 50)), np.eye(2)[np.arange(20) % 2], np.ones(20))
    kernel, _ = solved(few, True, [1.0, 1.0], 0.1)
    x = (few.features - few.features.mean(axis=0)) / few.features.std(axis=0)
    # scikit-learn has one unit u for two labels. Two units of +u/2 and -u/2 have half its penalty, hence twice its C.
    c = 2 / (0.1 * 20)
    one = LogisticRegression(C=c, tol=1e-12, max_iter=20_000).fit(x, np.arange(20) % 2)
    np.testing.assert_allclose(kernel[:, 1] - kernel[:, 0], one.coef_[0] / few.features.std(axis=0), atol=1e-6)


def test_float32_in_pieces_is_solved_like_float64_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = Examples(FEATURES.astype(np.float32), ONE_HOT, WEIGHT)
    whole = solved(examples, True, LABEL_WEIGHTS, 0.1)
    monkeypatch.setattr(regression, "_CHUNK", 7)
    pieces = solved(examples, True, LABEL_WEIGHTS, 0.1)
    np.testing.assert_allclose(pieces[0], whole[0], atol=1e-6)


def test_noise_gets_the_strongest_term_and_what_separates_clearly_the_weakest() -> None:
    noise = Examples(rng.normal(size=(400, 30)), np.eye(2)[rng.integers(0, 2, 400)], np.ones(400))
    path = solver.solve(noise, noise.take(np.arange(200)), exclusive=True, label_weights=[1, 1]).path
    assert [step.strength for step in path] == sorted((step.strength for step in path), reverse=True)
    other = Examples(rng.normal(size=(200, 30)), np.eye(2)[rng.integers(0, 2, 200)], np.ones(200))
    assert solver.solve(noise, other, exclusive=True, label_weights=[1, 1]).strength > 1
    clear = Examples(np.repeat([[-1.0], [1.0]], 200, axis=0), np.repeat(np.eye(2), 200, axis=0), np.ones(400))
    assert solver.solve(clear, clear, exclusive=True, label_weights=[1, 1]).strength < 1e-3


def test_with_few_eval_images_train_decides_in_cross_validation() -> None:
    examples = Examples(FEATURES, ONE_HOT, WEIGHT)
    wrong = Examples(FEATURES[:20], ONE_HOT[:20, ::-1], WEIGHT[:20])
    found = solver.solve(examples, wrong, exclusive=True, label_weights=LABEL_WEIGHTS)
    assert found.split == "train"
    assert (
        found.strength
        == solver.solve(examples, examples.take([]), exclusive=True, label_weights=LABEL_WEIGHTS).strength
    )


THREE = np.eye(3)[np.arange(9) % 3]
DEGENERATE = {
    "a single image": (np.ones((1, 3)), np.array([[1.0, 0, 0]])),
    "one image of each label": (np.eye(3), np.eye(3)),
    "equal features": (np.ones((9, 3)), THREE),
    "a label without an image": (rng.normal(size=(9, 3)), np.eye(3)[np.arange(9) % 2]),
    "images without a label": (
        rng.normal(size=(9, 3)),
        np.where(np.arange(9)[:, None] < 5, -1, THREE),
    ),
    "one label on all images": (rng.normal(size=(9, 3)), np.eye(3)[np.zeros(9, int)]),
}


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("case", DEGENERATE.values(), ids=DEGENERATE)
def test_data_without_a_best_answer_have_a_finite_one(case: tuple[Floats, Floats], exclusive: bool) -> None:
    features, target = case
    examples = Examples(features, target, np.ones(len(features)))
    found = solver.solve(examples, examples, exclusive=exclusive, label_weights=[1, 1, 1])
    assert np.isfinite(found.kernel).all()
    assert np.isfinite(found.bias).all()


def test_a_label_without_an_image_is_never_the_answer_and_rare_as_smoothing_says() -> None:
    """Independent, 0 of 9 images: (0 + 1) / (9 + 2) = 1 / 11."""
    features, target = DEGENERATE["a label without an image"]
    examples = Examples(features, target, np.ones(9))
    exclusive = solver.solve(examples, examples, exclusive=True, label_weights=[1, 1, 1])
    assert (exclusive.logits(features).argmax(axis=1) < 2).all()
    single = solver.solve(examples, examples, exclusive=False, label_weights=[1, 1, 1])
    np.testing.assert_allclose(special.expit(single.logits(features)[:, 2]), 1 / 11)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_are_named(bad: float) -> None:
    examples = Examples(np.array([[1.0], [bad]]), np.eye(2), np.ones(2))
    with pytest.raises(ImagegateError, match="features of 1 of 2 train images are not finite"):
        solver.solve(examples, examples, exclusive=True, label_weights=[1, 1])


def test_no_image_is_refused() -> None:
    none = Examples(np.ones((0, 2)), np.ones((0, 2)), np.ones(0))
    with pytest.raises(ImagegateError, match="the train split has no image"):
        solver.solve(none, none, exclusive=True, label_weights=[1, 1])
