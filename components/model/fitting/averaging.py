"""The average of the weights of several trainings, as far as it is better than the best of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
from numpy.typing import NDArray

Weights = Sequence[NDArray[np.float32]]


def weights(network: keras.Model) -> list[NDArray[np.float32]]:
    """Copies what a training may change, apart from the states of random numbers."""
    return [keras.ops.convert_to_numpy(variable).copy() for variable in _averaged(network)]


def assign(network: keras.Model, values: Weights) -> None:
    """Sets what `weights` copies."""
    for variable, value in zip(_averaged(network), values, strict=True):
        variable.assign(value)


def greedy(runs: Sequence[tuple[float, Weights]], measure: Callable[[Weights], float]) -> tuple[list[int], float]:
    """Chooses the runs whose weights are averaged (Wortsman et al., "Model soups", ICML 2022, recipe 1).

    Begins with the best run, and takes each other one, in the order of their measures, if the average with it is at
    least as good.

    >>> runs = [(0.5, [np.array(1.0)]), (0.6, [np.array(3.0)]), (0.7, [np.array(9.0)])]
    >>> greedy(runs, lambda weights: float(abs(weights[0] - 2.25)))
    ([0, 1], 0.25)

    Args:
        runs: measure of each run on the eval split, smaller is better, and its weights, which started from the same
            pretrained ones.
        measure: the measure of any weights.

    Returns:
        indices of the chosen runs, the best first; the measure of their average.
    """
    order = sorted(range(len(runs)), key=lambda index: runs[index][0])
    chosen, best = order[:1], runs[order[0]][0]
    for index in order[1:]:
        found = measure(mean([runs[one][1] for one in (*chosen, index)]))
        if found <= best:
            chosen, best = [*chosen, index], found
    return chosen, best


def mean(several: Sequence[Weights]) -> Weights:
    """The mean of each weight."""
    return [np.mean(values, axis=0, dtype=np.float64).astype(values[0].dtype) for values in zip(*several, strict=True)]


def _averaged(network: keras.Model) -> list[keras.Variable]:
    return [variable for variable in network.variables if "float" in keras.backend.standardize_dtype(variable.dtype)]
