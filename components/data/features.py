"""The names of all features of a record, each written once."""

IMAGE = "image/encoded"  # bytes: what images.decode takes
PATH = "image/path"  # bytes: relative to data.root, for people
SHA256 = "image/sha256"  # bytes: hexadecimal, of the file as it was found
FORMAT = "image/format"  # bytes: of IMAGE
WIDTH = "image/width"  # int64: pixels, upright
HEIGHT = "image/height"  # int64
WEIGHT = "image/weight"  # float: how much the example counts
LABEL = "label"  # bytes, any number: the names that apply
UNKNOWN = "label/unknown"  # bytes, any number: the names of which nobody said whether they apply
MASK = "mask/encoded"  # bytes: PNG, 8-bit grey, each pixel the index of its label; IGNORED_ID takes part in nothing
PIXELS = "mask/pixels"  # int64 [K]: pixels of each label in MASK
IGNORED = "mask/ignored"  # int64: pixels that take part in nothing
SLICE = "slice/"  # + column, bytes: what the manifest says of the image

IGNORED_ID = 255

# What Transform makes of them.
TARGET = "target"  # float32 [K]: 1 applies, 0 does not, -1 nobody said; for single labels one-hot, or all -1
LABEL_WEIGHTS = "label/weights"  # float32 [K], the same row for every example

# Names that a user may slice the evaluation by, and the feature behind each.
SLICES = {"label": LABEL, "format": FORMAT}
