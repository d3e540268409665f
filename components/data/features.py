"""Names of the features of an example."""

IMAGE = "image/encoded"  # bytes: the input of images.decode
PATH = "image/path"  # bytes: relative to data.root; only for messages
SHA256 = "image/sha256"  # bytes: hexadecimal, of the original file
FORMAT = "image/format"  # bytes: of IMAGE
WIDTH = "image/width"  # int64: pixels, upright
HEIGHT = "image/height"  # int64
WEIGHT = "image/weight"  # float: of the example in loss and metrics
LABEL = "label"  # bytes, any number: the labels that apply
UNKNOWN = "label/unknown"  # bytes, any number: the labels not known to apply or not to
MASK = "mask/encoded"  # bytes: PNG, 8-bit grey, each pixel the index of its label or IGNORED_ID
PIXELS = "mask/pixels"  # int64 [K]: pixels of each label in MASK
IGNORED = "mask/ignored"  # int64: pixels of IGNORED_ID, excluded from loss, weights and metrics
SLICE = "slice/"  # + column, bytes: the value of that column in the manifest

IGNORED_ID = 255

# Features that Transform adds.
TARGET = "target"  # float32 [K]: 1 applies, 0 does not, -1 unknown; single labels are one-hot, or all -1
LABEL_WEIGHTS = "label/weights"  # float32 [K], the same row for every example

# Configured name -> feature, for slices of the evaluation.
SLICES = {"label": LABEL, "format": FORMAT}
