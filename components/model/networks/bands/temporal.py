"""Layers over the moments of a sequence, [n, T, h, w, channels], of which some are not valid at some pixels."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from components.model.networks.bands.masked import Convolution, kept

_PERIOD = 1000.0  # days; of the slowest position (Garnot & Landrieu, "Lightweight temporal attention", 2020)
_LOWEST = -1e9  # stands for minus infinity, which would give NaN where no moment is valid


class Recurrence(keras.layers.Layer):
    """A convolutional LSTM (Shi et al., NeurIPS 2015, without peepholes) that skips invalid moments pixel by pixel.

    Keras's ConvLSTM2D can skip a moment as a whole only. Here, the state of a pixel changes at the moments at which the
    pixel is valid, and the convolution of the state is renormalised by which pixels have seen a valid moment.

    Args:
        filters: channels of the state.
        width: height and width of the windows.
    """

    def __init__(self, filters: int, width: int = 3, name: str | None = None) -> None:
        super().__init__(name=name)
        self._filters = filters
        self._inputs = Convolution(4 * filters, width, bias=True, name="inputs")
        self._states = Convolution(4 * filters, width, name="states")

    def build(self, x_shape: Any, valid_shape: Any = None) -> None:
        """Creates the weights for x [n, T, h, w, channels]."""
        self._inputs.build((None, *x_shape[2:]))
        self._states.build((None, *x_shape[2:4], self._filters))

    def call(self, x: Any, valid: Any) -> tuple[Any, Any]:
        """Reads the moments in their order.

        Args:
            x: [n, T, h, w, channels].
            valid: [n, T, h, w, 1].

        Returns:
            the state after the last moment, [n, h, w, filters], and where any moment was valid, [n, h, w, 1].
        """
        (moments, height, width), rest = x.shape[1:4], x.shape[4:]
        gates, seen = self._inputs(
            ops.reshape(x, (-1, height, width, *rest)), ops.reshape(valid, (-1, height, width, 1))
        )
        gates = ops.reshape(gates, (-1, moments, height, width, 4 * self._filters))
        seen = ops.reshape(seen, (-1, moments, height, width, 1))
        empty = ops.zeros_like(gates[:, 0, ..., : self._filters])

        def step(state: tuple[Any, Any, Any], moment: tuple[Any, Any]) -> tuple[tuple[Any, Any, Any], None]:
            hidden, cell, ever = state
            gate, now = moment
            gate = gate + self._states(hidden, ever)[0]
            i, f, o, g = ops.split(gate, 4, axis=-1)
            # A forget gate starts at about 0.73: with 0.5, nothing of the first of 50 moments would be left.
            new_cell = ops.sigmoid(f + 1.0) * cell + ops.sigmoid(i) * ops.tanh(g)
            new_hidden = ops.sigmoid(o) * ops.tanh(new_cell)
            there = now > 0
            return (
                ops.where(there, new_hidden, hidden),
                ops.where(there, new_cell, cell),
                ops.maximum(ever, now),
            ), None

        first = (empty, empty, ops.zeros_like(seen[:, 0]))
        by_moment = (ops.moveaxis(gates, 1, 0), ops.moveaxis(seen, 1, 0))
        (hidden, _, ever), _ = ops.scan(step, first, by_moment, length=moments)
        return hidden, ever

    def compute_output_spec(self, x: Any, valid: Any) -> tuple[Any, Any]:
        """The shapes of the results."""
        shape = (x.shape[0], *x.shape[2:4])
        return keras.KerasTensor((*shape, self._filters), x.dtype), keras.KerasTensor((*shape, 1), valid.dtype)


class Attention(keras.layers.Layer):
    """Attention over the valid moments of each pixel (L-TAE; Garnot & Landrieu 2020).

    Each head has a query of its own, which is learnt and the same for all pixels; keys come from the features and their
    date, and values are parts of the features. Moments that are not valid get the weight 0.

    Args:
        heads: number of heads; it divides the channels.
        keys: size of a key.
    """

    def __init__(self, heads: int = 4, keys: int = 8, name: str | None = None) -> None:
        super().__init__(name=name)
        self._heads, self._size = heads, keys
        self._keys = keras.layers.Dense(heads * keys, name="keys")

    def build(self, x_shape: Any, valid_shape: Any = None, days_shape: Any = None) -> None:
        """Creates the weights for x [n, T, h, w, channels]."""
        self._keys.build(x_shape)
        self.query = self.add_weight(
            shape=(self._heads, self._size), initializer=keras.initializers.RandomNormal(stddev=0.5), name="query"
        )

    def call(self, x: Any, valid: Any, days: Any) -> tuple[Any, Any, Any]:
        """Weighs the moments.

        Args:
            x: [n, T, h, w, channels].
            valid: [n, T, h, w, 1].
            days: [n, T], since the first moment.

        Returns:
            the weighted features [n, h, w, channels]; where any moment is valid, [n, h, w, 1]; the weights
            [n, T, h, w, heads], which add up to 1 over the valid moments of a pixel.
        """
        (moments, height, width, channels), heads = x.shape[1:5], self._heads
        position = positions(days, channels)[:, :, None, None, :]
        keys = self._keys(kept(x, valid) + ops.cast(position, x.dtype))
        keys = ops.reshape(keys, (-1, moments, height, width, heads, self._size))
        score = ops.sum(keys * self.query, axis=-1) / np.sqrt(self._size)
        weights = shares(score, valid)
        values = ops.reshape(kept(x, valid), (-1, moments, height, width, heads, channels // heads))
        found = ops.sum(weights[..., None] * values, axis=1)
        return ops.reshape(found, (-1, height, width, channels)), ops.max(valid, axis=1), weights

    def compute_output_spec(self, x: Any, valid: Any, days: Any) -> tuple[Any, Any, Any]:
        """The shapes of the results."""
        shape = (x.shape[0], *x.shape[2:4])
        weights = keras.KerasTensor((*x.shape[:4], self._heads), x.dtype)
        return keras.KerasTensor((*shape, x.shape[4]), x.dtype), keras.KerasTensor((*shape, 1), valid.dtype), weights


def shares(score: Any, valid: Any) -> Any:
    """The softmax over the valid moments, [n, T, h, w, heads]; 0 at the others, and where there is none."""
    there = valid > 0
    score = ops.where(there, score, _LOWEST)
    power = ops.where(there, ops.exp(score - ops.stop_gradient(ops.max(score, axis=1, keepdims=True))), 0.0)
    return power / ops.maximum(ops.sum(power, axis=1, keepdims=True), 1e-12)


def weighted(x: Any, valid: Any, weights: Any) -> tuple[Any, Any]:
    """Carries the weights of coarser maps to finer ones: the mean of x by them, over the moments that are valid here.

    Args:
        x: [n, T, h, w, channels].
        valid: [n, T, h, w, 1].
        weights: [n, T, h, w, heads]; each is for as many channels.

    Returns:
        [n, h, w, channels], and where any moment is valid, [n, h, w, 1].
    """
    channels, heads = x.shape[-1], weights.shape[-1]
    weights = kept(weights, valid)
    weights = weights / ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1e-12)
    each = ops.repeat(weights, channels // heads, axis=-1)
    return ops.sum(kept(x, valid) * each, axis=1), ops.max(valid, axis=1)


def positions(days: Any, channels: int) -> Any:
    """Sines and cosines of a date (Vaswani et al. 2017, with periods up to 1000 times 2 pi days): [n, T, channels].

    Args:
        days: [n, T].
        channels: an even number.
    """
    rates = _PERIOD ** (-np.arange(0, channels, 2, dtype=np.float32) / channels)
    angles = ops.expand_dims(ops.cast(days, "float32"), -1) * rates
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)
