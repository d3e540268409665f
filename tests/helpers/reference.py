"""Losses in float64 NumPy, written apart from the code under test, and gradients by central differences."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf


def softmax_entropy(logits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """-log softmax(logits)[truth]; logits [n, K], truth [n] -> [n]."""
    z = logits.astype(np.float64)
    top = z.max(axis=1)
    total = np.exp(z - top[:, None]).sum(axis=1)
    return top + np.log(total) - z[np.arange(len(z)), truth]


def sigmoid_entropy(logits: np.ndarray, applies: np.ndarray) -> np.ndarray:
    """-log sigmoid(logits) where it applies, else -log(1 - sigmoid(logits))."""
    z = logits.astype(np.float64)
    return np.logaddexp(0, np.where(applies, -z, z))


def focal(entropy: np.ndarray, gamma: float) -> np.ndarray:
    """(1 - p)^gamma times the cross-entropy -log p."""
    return (1 - np.exp(-entropy)) ** gamma * entropy


def weighted_mean(loss: np.ndarray, weight: np.ndarray) -> float:
    """sum(weight * loss) / sum(weight), 0 if nothing weighs."""
    return float((weight * loss).sum() / weight.sum()) if weight.sum() else 0.0


def gradient(loss: Callable[[np.ndarray], float], at: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """d loss / d at, one entry after the other."""
    point, slope = at.astype(np.float64), np.zeros(at.shape)
    for index in np.ndindex(at.shape):
        up, down = point.copy(), point.copy()
        up[index] += step
        down[index] -= step
        slope[index] = (loss(up) - loss(down)) / (2 * step)
    return slope


def loss_and_gradient(loss, target, logits, weight=None) -> tuple[float, np.ndarray]:
    """The value of a Keras loss and its gradient at these logits."""
    z = tf.Variable(logits)
    with tf.GradientTape() as tape:
        value = loss(tf.constant(target), z, sample_weight=weight)
    return float(value), tape.gradient(value, z).numpy()
