"""A variational autoencoder of small images, of one label or of all of them.

Kingma & Welling, "Auto-Encoding Variational Bayes", ICLR 2014; with labels, Sohn, Lee & Yan, "Learning Structured
Output Representation using Deep Conditional Generative Models", NeurIPS 2015. The variance of the pixels is that which
fits best, so that nothing has to weight the two terms of the loss: Rybkin, Daniilidis & Levine, "Simple and Effective
VAE Training with Calibrated Decoders", ICML 2021.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from components.base import progress

Pixels = NDArray[np.uint8]

STRIDE = 8  # height and width of the images are multiples of it
_LATENT, _HIDDEN = 32, 128  # numbers of a code; units of the layers next to it
_WIDTHS = (16, 32, 64)  # channels at strides 2, 4 and 8
_STEPS, _BATCH, _RATE = 1000, 32, 1e-3
_LEAST = 1e-6  # mean squared error, with values from 0 to 1


class Vae(keras.Model):
    """Maps images to codes of 32 numbers and back.

    Args:
        size: height and width of the images, multiples of `STRIDE`.
        labels: number of labels that the images are given with; 0 for images of one label.
        seed: of the initial weights and of the draws.
    """

    def __init__(self, size: tuple[int, int], labels: int, seed: int) -> None:
        super().__init__()
        self._seeds = keras.random.SeedGenerator(seed)
        draw = np.random.default_rng(seed)

        def start() -> keras.Initializer:
            return keras.initializers.HeNormal(int(draw.integers(2**31)))

        def dense(units: int, activation: str | None) -> layers.Layer:
            return layers.Dense(units, activation, kernel_initializer=start())

        grid = size[0] // STRIDE, size[1] // STRIDE
        image, label = keras.Input((*size, 3)), keras.Input((labels,))
        x: Any = image
        for width in _WIDTHS:
            x = layers.Conv2D(width, 4, 2, "same", activation="relu", kernel_initializer=start())(x)
        x = dense(_HIDDEN, "relu")(layers.Concatenate()([layers.Flatten()(x), label]))
        self.encoder = keras.Model([image, label], [dense(_LATENT, None)(x), dense(_LATENT, None)(x)])
        code = keras.Input((_LATENT,))
        x = dense(_HIDDEN, "relu")(layers.Concatenate()([code, label]))
        x = layers.Reshape((*grid, _WIDTHS[-1]))(dense(grid[0] * grid[1] * _WIDTHS[-1], "relu")(x))
        for width in reversed(_WIDTHS[:-1]):
            x = layers.Conv2DTranspose(width, 4, 2, "same", activation="relu", kernel_initializer=start())(x)
        x = layers.Conv2DTranspose(3, 4, 2, "same", activation="sigmoid", kernel_initializer=start())(x)
        self.decoder = keras.Model([code, label], x)

    def call(self, inputs: tuple[Any, Any], training: bool = False) -> Any:
        """Reconstructs images, uint8 [n, H, W, 3] with one-hot labels [n, K], as values from 0 to 1."""
        del training
        images, label = inputs
        pixels = ops.cast(images, "float32") / 255.0
        mean, log_variance = self.encoder([pixels, label])
        drawn = keras.random.normal(ops.shape(mean), seed=self._seeds)
        found = self.decoder([mean + ops.exp(0.5 * log_variance) * drawn, label])
        self.add_loss(loss(pixels, found, mean, log_variance))
        return found


def loss(pixels: Any, found: Any, mean: Any, log_variance: Any) -> Any:
    """The negative evidence lower bound per image, but for a constant.

    With D values per image and Gaussian noise of the variance that fits best, the mean squared error e, it is
    D/2 ln e, plus the divergence of the codes from a standard normal distribution, 1/2 sum(m^2 + v - ln v - 1).

    Args:
        pixels: [n, H, W, 3], what is to be reconstructed.
        found: likewise, what was.
        mean, log_variance: [n, L], of the codes.
    """
    values = int(np.prod(pixels.shape[1:]))
    error = ops.maximum(ops.mean(ops.square(found - pixels)), _LEAST)
    divergence = 0.5 * ops.sum(ops.square(mean) + ops.exp(log_variance) - log_variance - 1.0, axis=1)
    return 0.5 * values * ops.log(error) + ops.mean(divergence)


def train(images: Pixels, label: NDArray[np.float32], seed: int, task: str) -> Vae:
    """Trains on images uint8 [n, H, W, 3] with one-hot labels [n, K], in 1,000 steps.

    Args:
        images: at least one.
        label: K is 0 for images of one label.
        seed: of everything.
        task: what progress is reported as.
    """
    model = Vae((images.shape[1], images.shape[2]), label.shape[1], seed)
    model.compile(keras.optimizers.Adam(_RATE), loss=None)
    order = np.random.default_rng(seed)
    size = min(_BATCH, len(images))
    for step in range(_STEPS):
        drawn = order.choice(len(images), size, replace=False)
        model.train_on_batch((images[drawn], label[drawn]))
        progress.report(task, step + 1, _STEPS)
    return model


def sample(model: Vae, label: NDArray[np.float32], seed: int) -> Pixels:
    """Draws an image for each row of one-hot labels [n, K]; uint8 [n, H, W, 3]."""
    codes = np.random.default_rng(seed).standard_normal((len(label), _LATENT)).astype(np.float32)
    found = model.decoder.predict([codes, label], verbose=0)
    return np.asarray(np.rint(np.clip(found, 0, 1) * 255), np.uint8)
