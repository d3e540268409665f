"""Names of the signature for the evaluation, and of the outputs of all signatures."""

EVALUATE = "evaluate"

# Outputs of every model.
LABELS = "labels"  # string [batch, K], in the order of all other outputs
ERROR = "error"  # string [batch], why an image is refused, or ""; not of the evaluation
FAMILIARITY = "familiarity"  # float32 [batch], in [0, 1]
ABSTAIN = "abstain"  # bool [batch]

# Outputs of a model for labels of images.
PROBABILITIES = "probabilities"  # float32 [batch, K]
UNCALIBRATED = "uncalibrated"  # probabilities without calibration; for the evaluation only
DECISIONS = "decisions"  # bool [batch, K], whether each probability reaches the label's decision threshold
LOGITS = "logits"  # float32 [batch, K]

# Outputs of a model for masks.
MASK = "mask"  # uint8 [batch, H, W]
CONFIDENCE = "confidence"  # float32 [batch, H, W]
OBSERVED = "observed"  # bool [batch, H, W], of arrays: whether a pixel is valid at any moment
CONFUSION = "confusion"  # float32 [batch, K, K], pixels by truth and prediction; for the evaluation only
CALIBRATION = "calibration"  # [batch, 2, 3, bins], `curves.calibration` of pixels, with and without calibration

# Of `serving_default` and `examples`: output -> data type, and number of dimensions, of which the batch is the first.
_ALWAYS = {LABELS: ("string", 2), FAMILIARITY: ("float32", 1), ABSTAIN: ("bool", 1), ERROR: ("string", 1)}
OF_IMAGES = {PROBABILITIES: ("float32", 2), LOGITS: ("float32", 2), DECISIONS: ("bool", 2), **_ALWAYS}
OF_PIXELS = {MASK: ("uint8", 3), CONFIDENCE: ("float32", 3), **_ALWAYS}
OF_PIXELS_OF_ARRAYS = {**OF_PIXELS, OBSERVED: ("bool", 3)}
