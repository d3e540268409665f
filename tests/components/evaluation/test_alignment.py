"""A served model gets masks with its own label ids, and its answers are used in the order of the new labels."""

import numpy as np
import tensorflow as tf

from components.data import features
from components.evaluation import alignment
from components.labels import kinds, outputs

NEW, OLD = ["sky", "wall", "tree"], ["tree", "floor", "wall"]  # in common: wall, tree


def example(truth: list[list[int]], answer: list[list[int]]) -> bytes:
    raw = {
        features.MASK: tf.io.encode_png(np.array(truth, np.uint8)[..., None]).numpy(),
        features.IMAGE: np.array(answer, np.uint8).tobytes(),
    }
    feature = {k: tf.train.Feature(bytes_list=tf.train.BytesList(value=[v])) for k, v in raw.items()}
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def evaluate(examples: tf.Tensor) -> dict[str, tf.Tensor]:
    """Counts the pixels of OLD by truth and answer; 255 is ignored. The answers stand in the place of the images."""
    tables = []
    for one in examples.numpy():
        feature = tf.train.Example.FromString(one).features.feature
        truth = tf.io.decode_png(feature[features.MASK].bytes_list.value[0]).numpy().ravel()
        answer = np.frombuffer(feature[features.IMAGE].bytes_list.value[0], np.uint8)
        known = truth != features.IGNORED_ID
        tables.append(np.bincount(truth[known] * 3 + answer[known], minlength=9).reshape(3, 3))
    return {outputs.CONFUSION: tf.constant(np.array(tables, np.float32))}


def test_masks_are_given_with_the_served_models_ids_and_the_counts_come_back_in_the_new_order() -> None:
    """Truth: sky, wall, wall, tree and one ignored pixel. The served model says floor, wall, floor, tree, tree."""
    truth, answer = [[0, 1, 1, 2, 255]], [[1, 2, 1, 0, 0]]
    adapted = alignment.adapt(evaluate, kinds.kind("segmentation"), NEW, OLD)
    found = adapted(examples=tf.constant([example(truth, answer)]))[outputs.CONFUSION].numpy()
    assert alignment.aligned(NEW, OLD) == ["wall", "tree", "floor"]
    # Rows of wall and tree: one wall is called wall and one floor; tree is called tree. Of sky nothing is counted.
    assert found.tolist() == [[[1, 0, 1], [0, 1, 0], [0, 0, 0]]]


def test_probabilities_and_decisions_come_in_the_new_order() -> None:
    def answer(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        p = tf.constant([[0.5, 0.3, 0.2]])
        return {"probabilities": p, "uncalibrated": p / 2, "decisions": p > 0.4, "familiarity": tf.constant([0.9])}

    adapted = alignment.adapt(answer, kinds.kind("multi_label"), NEW, OLD)
    found = {name: value.numpy().tolist() for name, value in adapted(examples=tf.constant([b""])).items()}
    assert found["probabilities"] == [[np.float32(x) for x in (0.2, 0.5, 0.3)]]  # wall, tree, floor
    assert found["uncalibrated"] == [[np.float32(x) / 2 for x in (0.2, 0.5, 0.3)]]
    assert found["decisions"] == [[False, True, False]]
    assert found["familiarity"] == [np.float32(0.9)]
