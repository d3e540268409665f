"""Networks for single images with any number of bands, and for sequences of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from components.model.networks.bands import DAYS, PIXELS, SINGLE, VALID, masked, temporal
from components.model.networks.bands.masked import Block, Convolution

Map = tuple[Any, Any]  # features and where they are valid

# Channels of the maps, finest first. Chosen by hand; not measured.
_SINGLE = (32, 64, 128)
_SEQUENCE = (16, 32, 64)
_STATE = 32  # of the recurrence, at half the size of the image
_HEADS, _KEYS = 4, 8


class Inputs(NamedTuple):
    """What a network takes.

    Attributes:
        pixels: float32 [n, T, H, W, B], or [n, H, W, B] for single images.
        valid: float32, 1 or 0, of the same shape without the bands.
        days: float32 [n, T], since the first moment; None for single images.
    """

    pixels: Any
    valid: Any
    days: Any = None


def inputs(moments: int | None, size: tuple[int, int], bands: int) -> Inputs:
    """Makes the inputs of a network.

    Args:
        moments: T; None for single images.
        size: height and width.
        bands: number of bands, B.
    """
    time = () if moments is None else (moments,)
    return Inputs(
        keras.Input((*time, *size, bands), name=PIXELS),
        keras.Input((*time, *size), name=VALID),
        None if moments is None else keras.Input((moments,), name=DAYS),
    )


def normalised(given: Inputs, mean: ArrayLike, deviation: ArrayLike) -> Map:
    """The bands with mean 0 and deviation 1 in train, and 0 where they are invalid.

    Args:
        given: see `inputs`.
        mean, deviation: of each band, over the valid pixels of train, [B].
    """
    valid = ops.cast(ops.expand_dims(given.valid, -1) > 0, "float32")
    # A band that was constant in train says nothing; another value of it must not become a large number.
    spread = np.asarray(deviation, np.float32)
    scale = np.where(spread > 0, 1 / np.where(spread > 0, spread, 1), 0).astype(np.float32)
    x = masked.kept(given.pixels, valid)
    return masked.kept((x - np.asarray(mean, np.float32)) * scale, valid), valid


def maps(given: Inputs, x: Any, valid: Any, backbone: str) -> list[Map]:
    """Builds the backbone, which turns images or sequences into maps of shrinking size.

    Args:
        given: see `inputs`.
        x, valid: see `normalised`.
        backbone: "small" for single images; "convlstm" or "temporal_attention" for sequences.

    Returns:
        maps, finest first; each has half the height and width of the one before, rounded up.
    """
    if backbone == SINGLE:
        return _levels(x, valid, _SINGLE)
    if backbone == "convlstm":
        return _recurrent(x, valid)
    return _attentive(x, valid, given.days)


def decoder(levels: Sequence[Map], classes: int) -> Any:
    """Builds the way back to a logit for each pixel and label: float32 [n, H, W, K] (U-Net, Ronneberger et al. 2015).

    A pixel that is never valid is answered from its surroundings, as far as the windows of all layers reach.

    Args:
        levels: maps, finest first.
        classes: number of labels, K.
    """
    x, valid = levels[-1]
    for finer, there in reversed(levels[:-1]):
        x, valid = masked.joined(*masked.enlarged(x, valid, tuple(finer.shape[1:3])), finer, there)
        x, valid = Block(finer.shape[-1], times=1)(x, valid)
    logits, _ = Convolution(classes, 1, bias=True, name="logits")(x, valid)
    return ops.cast(logits, "float32")


def _levels(x: Any, valid: Any, channels: Sequence[int]) -> list[Map]:
    found: list[Map] = []
    for place, filters in enumerate(channels):
        if place:
            x, valid = masked.halved(x, valid)
        x, valid = Block(filters)(x, valid)
        found.append((x, valid))
    return found


def _folded(x: Any) -> Any:
    """[n, T, h, w, channels] -> [n T, h, w, channels]."""
    return ops.reshape(x, (-1, *x.shape[2:]))


def _unfolded(x: Any, moments: int) -> Any:
    return ops.reshape(x, (-1, moments, *x.shape[1:]))


def _recurrent(x: Any, valid: Any) -> list[Map]:
    """A convolutional LSTM at half the size; what is finer than that is a mean over the moments."""
    moments = x.shape[1]
    fine, coarse = _levels(_folded(x), _folded(valid), _SEQUENCE[:2])
    fine_x, fine_valid = (_unfolded(part, moments) for part in fine)
    state = temporal.Recurrence(_STATE)(*(_unfolded(part, moments) for part in coarse))
    even = ops.ones_like(fine_x[..., :1])
    return [temporal.weighted(fine_x, fine_valid, even), state]


def _attentive(x: Any, valid: Any, days: Any) -> list[Map]:
    """U-TAE (Garnot & Landrieu, ICCV 2021): attention over the coarsest maps; finer ones take over its weights."""
    moments = x.shape[1]
    levels = [
        tuple(_unfolded(part, moments) for part in level) for level in _levels(_folded(x), _folded(valid), _SEQUENCE)
    ]
    coarse, there, weights = temporal.Attention(_HEADS, _KEYS)(*levels[-1], days)
    found: list[Map] = [(coarse, there)]
    for finer, finer_valid in reversed(levels[:-1]):
        enlarged, _ = masked.enlarged(_folded(weights), _folded(weights), tuple(finer.shape[2:4]))
        weights = _unfolded(enlarged, moments)
        found.insert(0, temporal.weighted(finer, finer_valid, weights))
    return found
