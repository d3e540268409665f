"""Judges incoming images, which have no labels: are they still like those that a model learnt from?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from components.base.text import number
from components.base.verdict import Verdict
from components.data import properties
from components.data.manifest import KnownData
from components.gates import drift
from components.gates.data_rules.base import bound, judge_distance
from components.gates.judge import CHANCE, failed_or_largest, judge
from components.gates.settings import Balance
from components.ingest.counts import census

_LIMIT = Balance().max_property_drift  # the data gate's, of which a model keeps no other
_TESTS = len(properties.NAMES) + 1
_ADVICE = "Look at the new images; if they are what the model will see, label some of them and train on them"


def judged(
    histograms: NDArray[np.int64], familiarity: NDArray[np.float64], known: KnownData, version: str
) -> list[Verdict]:
    """Compares images with those behind a model.

    The properties are compared by the data gate's rule for the served model's data, with its default limit. The
    familiarity of images like those of the eval split is spread evenly over [0, 1], because it is a rank among them; it
    is judged by how much lower it is. More familiar images are no reason for concern.

    Args:
        histograms: int64 [P, BINS], of image properties, in the order of `properties.NAMES`.
        familiarity: [n], of the images.
        known: the data behind the model.
        version: of the model.

    Returns:
        of the properties, what fails, or else the largest distance; and the verdict on the familiarity.
    """
    pairs = [
        judge_distance(
            bound(
                metric=f"Kolmogorov-Smirnov distance of {properties.WORDS[name]} in the incoming images from that of "
                f"version {version}",
                maximum=_LIMIT,
                advice=_ADVICE,
            ),
            before,
            after,
            _TESTS,
            partial(_median, name),
        )
        for name, before, after in zip(properties.NAMES, census.dense(known.properties.all), histograms, strict=True)
    ]
    return [*failed_or_largest(pairs), *_unfamiliar(familiarity, known.counts.get("eval", 0), version)]


def tells(images: int, known: KnownData) -> bool:
    """Whether so many images could be told apart from those behind a model, if they were entirely unlike them."""
    learnt = int(census.dense(known.properties.all)[0].sum())
    evaluated = known.counts.get("eval", 0)
    least = min(
        drift.kolmogorov_smirnov_p([learnt, 0], [0, images]),
        drift.lower_p([0, evaluated], [images, 0]) if evaluated else 1.0,
    )
    return _TESTS * least < CHANCE


def _unfamiliar(found: NDArray[np.float64], images: int, version: str) -> Iterator[Verdict]:
    if not images:
        return
    places = np.arange(1, images + 1) / images  # the familiarity of the eval split itself, which is a rank
    edges = np.linspace(0, 1, properties.BINS + 1)
    before, after = (np.histogram(values, edges)[0] for values in (places, found))
    distance = drift.lower(before, after)
    beyond = _LIMIT is not None and distance > _LIMIT
    chance = _TESTS * drift.lower_p(before, after) if beyond else 1.0
    rule = bound(
        metric=f"Kolmogorov-Smirnov distance by which the familiarity of the incoming images is below that of version "
        f"{version}'s eval split",
        maximum=_LIMIT,
        advice=_ADVICE,
    )
    medians = (
        f"median {number(float(np.median(values)), 2)} of {number(len(values))} images" for values in (places, found)
    )
    yield judge(rule, distance, chance=chance, detail=" -> ".join(medians))


def _median(name: str, histogram: NDArray[np.int64]) -> str:
    return properties.text(name, properties.median(name, histogram))
