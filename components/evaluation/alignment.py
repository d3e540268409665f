"""A served model with other labels, or the same in another order, answers as if its outputs were in the new order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.data import features
from components.labels import outputs
from components.labels.kind import LabelKind


def common(labels: Sequence[str], served: Sequence[str]) -> list[str]:
    """The labels that both models know, in the order of the new one.

    >>> common(["zero", "one", "two"], ["two", "one", "three"])
    ['one', 'two']
    """
    known = set(served)
    return [label for label in labels if label in known]


def aligned(labels: Sequence[str], served: Sequence[str]) -> list[str]:
    """The served model's labels in the order in which its answers are used: common ones first, as the new model has it.

    >>> aligned(["zero", "one", "two"], ["three", "two", "one"])
    ['one', 'two', 'three']
    """
    shared, new = common(labels, served), set(labels)
    return [*shared, *(label for label in served if label not in new)]


def adapt(
    evaluate: Callable[..., Mapping[str, Any]], kind: LabelKind, labels: Sequence[str], served: Sequence[str]
) -> Callable[..., Mapping[str, Any]]:
    """Adapts the signature `outputs.EVALUATE` of a served model to the labels of a new one.

    The outputs are reordered as in `aligned`. Masks are given to the model with its own label ids; pixels of labels
    that it does not know are ignored.

    Args:
        evaluate: the signature; its only argument, `examples`, is a tensor of serialised tf.Examples.
        kind: of the labels.
        labels, served: names of the labels of the new and of the served model, in the order of their outputs.
    """
    import tensorflow as tf

    place = {label: i for i, label in enumerate(served)}
    order = [place[label] for label in aligned(labels, served)]
    table = np.full(256, features.IGNORED_ID, np.uint8)
    for i, label in enumerate(labels):
        table[i] = place.get(label, features.IGNORED_ID)

    def adapted(examples: Any) -> Mapping[str, Any]:
        if not kind.per_pixel:
            answer = dict(evaluate(examples=examples))
            return answer | {name: tf.gather(answer[name], order, axis=-1) for name in kind.outputs}
        answer = dict(evaluate(examples=tf.constant([with_ids(e, table) for e in examples.numpy()], tf.string)))
        rows = tf.gather(answer[outputs.CONFUSION], order, axis=1)
        return answer | {outputs.CONFUSION: tf.gather(rows, order, axis=2)}

    return adapted


def with_ids(serialised: bytes, table: NDArray[np.uint8]) -> bytes:
    """Replaces every id in the mask of a tf.Example.

    Args:
        serialised: the tf.Example.
        table: uint8 [256]: id -> new id.
    """
    import tensorflow as tf

    example = tf.train.Example.FromString(serialised)
    mask = example.features.feature[features.MASK].bytes_list
    ids = tf.io.decode_png(mask.value[0], channels=1).numpy()
    mask.value[0] = tf.io.encode_png(table[ids], compression=1).numpy()
    changed: bytes = example.SerializeToString()
    return changed
