"""The autoencoder: its loss against NumPy, and that it learns."""

import numpy as np
import pytest

from components.model.synthesis import vae


def test_the_loss_is_the_bound_with_the_best_variance() -> None:
    pixels = np.array([0.0, 1.0, 0.5, 0.5, 0.25, 0.75], np.float32).reshape(1, 1, 2, 3)
    found = np.array([0.5, 1.0, 0.5, 0.0, 0.25, 0.25], np.float32).reshape(1, 1, 2, 3)
    mean, log_variance = np.array([[1.0, 0.0]], np.float32), np.array([[0.0, np.log(2)]], np.float32)
    # Mean squared error: (0.25 + 0.25 + 0.25) / 6 = 0.125. Six values: 6/2 ln 0.125.
    # Divergence: 1/2 ((1 + 1 - 0 - 1) + (0 + 2 - ln 2 - 1)) = 1 - 1/2 ln 2.
    wanted = 3 * np.log(0.125) + 1 - 0.5 * np.log(2)
    assert float(vae.loss(pixels, found, mean, log_variance)) == pytest.approx(wanted, rel=1e-6)


def test_that_variance_is_the_best_one() -> None:
    """-log N(x; y, s^2) summed over D values is D/2 ln(2 pi s^2) + D e / (2 s^2), least at s^2 = e."""
    error, values = 0.125, 6
    variances = np.linspace(0.05, 0.5, 901)
    likelihood = 0.5 * values * (np.log(2 * np.pi * variances) + error / variances)
    assert variances[likelihood.argmin()] == pytest.approx(error, abs=1e-3)
    constant = 0.5 * values * (np.log(2 * np.pi) + 1)
    assert likelihood.min() - constant == pytest.approx(0.5 * values * np.log(error), abs=1e-4)


@pytest.fixture(scope="module")
def learnt() -> vae.Vae:
    """Of two labels: dark images, and bright ones."""
    patched = pytest.MonkeyPatch()
    patched.setattr(vae, "_STEPS", 400)
    draw = np.random.default_rng(0)
    greys = np.concatenate([draw.integers(0, 60, 20), draw.integers(190, 250, 20)])
    images = np.clip(greys[:, None, None, None] + draw.normal(0, 20, (40, 8, 8, 3)), 0, 255)
    label = np.repeat(np.eye(2, dtype=np.float32), 20, axis=0)
    try:
        return vae.train(images.astype(np.uint8), label, 1, "learning")
    finally:
        patched.undo()


def test_images_are_those_of_the_label(learnt: vae.Vae) -> None:
    dark = vae.sample(learnt, np.eye(2, dtype=np.float32)[[0] * 10], 1)
    bright = vae.sample(learnt, np.eye(2, dtype=np.float32)[[1] * 10], 1)
    assert dark.shape == (10, 8, 8, 3)
    assert dark.dtype == np.uint8
    # Of the training images: 220 and 30. The codes tell the brightness as well, and here they are drawn.
    assert bright.mean() > dark.mean() + 30


def test_a_seed_gives_the_same_images(learnt: vae.Vae) -> None:
    rows = np.eye(2, dtype=np.float32)[[0] * 3]
    assert (vae.sample(learnt, rows, 1) == vae.sample(learnt, rows, 1)).all()
    assert (vae.sample(learnt, rows, 1) != vae.sample(learnt, rows, 2)).any()
