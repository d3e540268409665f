"""Parts of the test images that have something in common; they are made without looking at the answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from components.base.text import percent
from components.data import properties
from components.evaluation.predictions import Prediction
from components.metrics.base import Bools, Floats
from components.model.familiarity import normalised

# Shares of the images at either end of a property. Chosen by hand; not measured.
_ENDS = (0.05, 0.1, 0.2)
_LARGEST = 0.4  # share of the images from which a part is no extreme any more: many have the same value
_PER_CLUSTER = 40  # images, so that the clusters of a small split are not too small to be judged
_CLUSTERS = (2, 20)  # at least and at most
_SEED = 0
_MOSTLY = 0.5  # share of a part that must have a label, and distance of a property from the rest, to be named
# Property -> images with little and with much of it. Others are "of low" and "of high" value.
_WORDS = {
    "brightness": ("dark images", "bright images"),
    "width": ("narrow images", "wide images"),
    "height": ("low images", "tall images"),
    "aspect_ratio": ("upright images", "panoramic images"),
    "red": ("images with little red", "images with much red"),
    "green": ("images with little green", "images with much green"),
    "blue": ("images with little blue", "images with much blue"),
}


@dataclass(frozen=True)
class Seen:
    """What is known of n test images besides the answers, in the order of the predictions.

    Attributes:
        properties: name -> [n], see `data.properties`; NaN for an image that was not measured.
        features: [n, F] of a pretrained network, or None.
    """

    properties: Mapping[str, Floats] = field(default_factory=dict)
    features: NDArray[np.floating] | None = None


@dataclass(frozen=True)
class Neighbours:
    """The images of train that a test image may be nearest to.

    Attributes:
        features: [m, F].
        applies: [m, K], which labels each has.
    """

    features: NDArray[np.floating]
    applies: Bools


@dataclass(frozen=True)
class Part:
    """Some of the images.

    Attributes:
        head: what they are, such as "dark images".
        tail: what tells them from the others, such as "brightness below 0.2".
        inside: [m], which of the images that were asked about.
    """

    head: str
    tail: str
    inside: Bools

    def name(self, label: str | None, common: str = "") -> str:
        """The part in words.

        >>> Part("dark images", "brightness below 0.2", np.ones(1, bool)).name("cat")
        "dark images of label 'cat' (brightness below 0.2)"
        """
        return f"{self.head}{'' if label is None else f' of label {label!r}'} ({self.tail}{common})"


def extremes(name: str, values: Floats) -> Iterator[Part]:
    """The images with the least and with the most of a property, several shares of them.

    The limit is rounded before the images are chosen by it, so that a name tells exactly which images it is about.

    Args:
        name: of the property.
        values: [m]; NaN for an image that is in no part.
    """
    known = np.sort(values[np.isfinite(values)])
    if not len(known):
        return
    low, high = _WORDS.get(name, (f"images of low {_plain(name)}", f"images of high {_plain(name)}"))
    for share in _ENDS:
        place = int(share * len(known))
        for head, side, at in ((low, "below", known[place]), (high, "above", known[-1 - place])):
            limit = float(f"{at:.2g}")
            inside = np.asarray(values < limit if side == "below" else values > limit)
            if 0 < inside.sum() <= _LARGEST * len(values):
                yield Part(head, f"{_plain(name)} {side} {properties.text(name, limit)}", inside)


@dataclass(frozen=True)
class Clusters:
    """Images that look alike.

    Attributes:
        number: [n], of the cluster of each image.
        apart: [n], distance of its features from the centre of the cluster.
    """

    number: NDArray[np.intp]
    apart: Floats

    @staticmethod
    def of(features: NDArray[np.floating]) -> Clusters:
        """Finds clusters of features [n, F] by k-means, about one for each 40 images; equal arguments, equal clusters.

        Of a large split, the centres are those of the first 10,000 images.
        """
        from sklearn.cluster import KMeans

        rows = normalised(features)
        count = int(np.clip(len(rows) // _PER_CLUSTER, *_CLUSTERS))
        means = KMeans(min(count, len(np.unique(rows, axis=0))), n_init=4, random_state=_SEED).fit(rows[:10_000])
        apart = means.transform(rows)
        number = apart.argmin(axis=1)
        return Clusters(number, apart[np.arange(len(rows)), number].astype(np.float64))

    def parts(self, rows: Sequence[Prediction], images: NDArray[np.intp]) -> Iterator[Part]:
        """Each cluster's share of some images [m], named by its most typical one."""
        number, apart = self.number[images], self.apart[images]
        for k in np.unique(number):
            inside = np.asarray(number == k)
            typical = images[inside][np.argmin(apart[inside])]
            yield Part("look-alike images", f"like {rows[typical]['path']}", inside)


def common(part: Part, rows: Sequence[Prediction], images: NDArray[np.intp], seen: Seen) -> str:
    """What the images of a part have in common besides, from "; " on: a label, and a property; or "".

    Args:
        part: some of the images.
        rows: all predictions.
        images: [m], places of the images that were asked about.
        seen: what is known of all images.
    """
    texts = [*_label_of(part, [rows[i]["labels"] for i in images]), *_property_of(part, images, seen)]
    return "".join(f"; {text}" for text in texts)


def _label_of(part: Part, labels: Sequence[Sequence[str]]) -> Iterator[str]:
    """The label that most images inside have, and at most half as many of the rest; nothing if there is none."""

    def share(label: str, chosen: Bools) -> float:
        return float(np.mean([label in names for names, there in zip(labels, chosen, strict=True) if there]))

    names = [name for of_image, there in zip(labels, part.inside, strict=True) if there for name in of_image]
    label = max(sorted(set(names)), key=names.count, default="")
    if label and (own := share(label, part.inside)) >= max(_MOSTLY, 2 * share(label, ~part.inside)):
        yield f"{percent(round(own, 2))} with label {label!r}"


def _property_of(part: Part, images: NDArray[np.intp], seen: Seen) -> Iterator[str]:
    """The other property that tells the images inside from the rest best, if one does, by their medians."""
    from scipy import stats

    distances = {}
    for name, values in seen.properties.items():
        own, others = (
            chosen[np.isfinite(chosen)] for chosen in (values[images][part.inside], values[images][~part.inside])
        )
        if len(own) and len(others) and not part.tail.startswith(_plain(name)):
            distances[name] = float(stats.ks_2samp(own, others, method="asymp").statistic)
    name = max(distances, key=distances.__getitem__, default="")
    if name and distances[name] >= _MOSTLY:
        medians = [np.nanmedian(seen.properties[name][images][chosen]) for chosen in (part.inside, ~part.inside)]
        own_text, others_text = (properties.text(name, float(median)) for median in medians)
        yield f"median {_plain(name)} {own_text} against {others_text}"


def _plain(name: str) -> str:
    return name.replace("_", " ")
