"""Networks for arrays of which some pixels carry no information.

In all of them, a map is a pair: features x [n, h, w, channels], and `valid` [n, h, w, 1], 1 where x rests on at least
one valid pixel and 0 elsewhere, where x has no influence on anything. Only `keras` and `keras.ops`.
"""

SINGLE, SEQUENCES = "small", ("temporal_attention", "convlstm")  # backbones: of single images, of sequences
PIXELS, VALID, DAYS = "pixels", "valid", "days"  # inputs of a network
