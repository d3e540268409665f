"""How the labels are encoded, counted, learnt and shown in training: one module for each head.

Every module has `head`, `loss`, `metrics` and `probabilities`, which are `keras` and `keras.ops` only, and `encode`
(`pixels`: `decode_mask`) and `count`, which run in TensorFlow graphs. `heads.head_of` chooses by what the labels are.
"""
