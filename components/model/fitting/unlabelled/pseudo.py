"""Pseudo-labels: which of a network's own answers are sure enough to learn from. Pure functions of tensors.

All of them take probabilities over S states along the last axis, which sum to 1: the K labels, of which one applies,
[..., K]; or for labels that are independent of each other the two states of each, [..., K, 2], does not apply and
applies. States that belong together are compared with each other only.

- FixMatch: Sohn et al., NeurIPS 2020, equation 4: an answer counts if its largest probability reaches a threshold.
- FlexMatch: Zhang et al., NeurIPS 2021: the threshold of a state falls with what has been learnt of it.
- Distribution alignment: Berthelot et al., "ReMixMatch", ICLR 2020, section 3.1: answers are corrected so that their
  mean is the share of the states among the labelled images.
"""

from __future__ import annotations

from typing import Any

from keras import ops

# Smallest share and mean by which is divided: a state that no answer gave yet must not be scaled to infinity.
_TINY = 1e-6


def states(logits: Any, *, exclusive: bool) -> Any:
    """Converts logits [..., K] to probabilities of states, float32 [..., K], or [..., K, 2] if not exclusive."""
    logits = ops.cast(logits, "float32")
    if exclusive:
        return ops.softmax(logits, axis=-1)
    return ops.stack([ops.sigmoid(-logits), ops.sigmoid(logits)], axis=-1)


def aligned(probabilities: Any, shares: Any, means: Any) -> Any:
    """Aligns answers with the labelled images: p * share / mean, divided by its sum over the states.

    Args:
        probabilities: float32 [..., S].
        shares: of the states among labelled images, float32 [S], or [K, 2] for [..., K, 2].
        means: of the probabilities of the answers so far, of the same shape.

    Returns:
        float32 [..., S].
    """
    scaled = probabilities * (shares / ops.maximum(means, _TINY))
    return ops.divide_no_nan(scaled, ops.sum(scaled, axis=-1, keepdims=True))


def sure(probabilities: Any, threshold: Any) -> Any:
    """Tells which answers give each state with a probability that reaches its threshold.

    Args:
        probabilities: float32 [..., S].
        threshold: scalar, or one per state.

    Returns:
        float32 [..., S]: 1 for the most probable state of an answer, the first of equal ones, if the answer is sure;
        else 0.
    """
    largest = ops.one_hot(ops.argmax(probabilities, axis=-1), probabilities.shape[-1], dtype="float32")
    return largest * ops.cast(probabilities >= threshold, "float32")


def thresholds(learnt: Any, shares: Any, highest: float, lowest: float = 0.0) -> Any:
    """Computes FlexMatch's threshold of each state.

    The paper counts sigma(c), the unlabelled images that are sure to be c (equation 5), and takes, with their number N,

        beta(c) = sigma(c) / max(max_c sigma(c), N - sum_c sigma(c))     (equations 6 and 11)
        threshold(c) = max(beta(c) / (2 - beta(c)) * highest, lowest)    (equation 10, with the convex mapping)

    The second term of the divisor is the warm-up: as long as most images are not sure, all thresholds are low. Here,
    `learnt` is sigma / N. The paper's classes are equally common; for others, sigma(c) is divided by S * share(c),
    which is 1 in the paper, as a state of which there is less cannot be found as often. The paper has no `lowest`.

    Args:
        learnt: share of the unlabelled images that are sure to be in each state, float32 [S] or [K, 2].
        shares: of the states among labelled images, of the same shape.
        highest: the threshold of the state of which most is learnt, in (0, 1].
        lowest: the least threshold of any state.

    Returns:
        float32, of the same shape.
    """
    relative = learnt / ops.maximum(shares * shares.shape[-1], _TINY)
    unsure = 1.0 - ops.sum(learnt, axis=-1, keepdims=True)
    beta = ops.divide_no_nan(relative, ops.maximum(ops.max(relative, axis=-1, keepdims=True), unsure))
    return ops.maximum(beta / (2.0 - beta) * highest, lowest)


def mean(values: Any, weight: Any) -> Any:
    """The weighted mean of [N, ..., S], or [N, K, 2], over all but the axes of the states; 0 if all weights are 0.

    Args:
        values: float32 [N, S], [N, H, W, S] or [N, K, 2].
        weight: of the examples, float32 [N].

    Returns:
        float32 [S] or [K, 2]; the axes between are averaged for [N, H, W, S] only.
    """
    if len(values.shape) > 3:
        values = ops.mean(values, axis=(1, 2))
    shape = (-1,) + (1,) * (len(values.shape) - 1)
    return ops.divide_no_nan(ops.sum(values * ops.reshape(weight, shape), axis=0), ops.sum(weight))
