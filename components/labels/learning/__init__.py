"""Heads of the network, one module each: they encode and count labels, and give the loss and metrics of training.

Every module has `head` (`pixels`: `decoder`), `loss`, `metrics` and `probabilities`, which use `keras` and `keras.ops`
only, and `encode` (`pixels`: `decode_mask`) and `count`, which run in TensorFlow graphs. `heads.head_of` chooses the
module of a label kind.
"""
