"""The names of the signature that the evaluation asks and of what a model's signatures give, each written once."""

EVALUATE = "evaluate"

# Of every model.
LABELS = "labels"
FAMILIARITY = "familiarity"  # float32 [batch]
ABSTAIN = "abstain"  # bool [batch]

# Of one that answers with labels of images.
PROBABILITIES = "probabilities"  # float32 [batch, K]
UNCALIBRATED = "uncalibrated"  # the same without calibration; of the evaluation alone
DECISIONS = "decisions"  # bool [batch, K], by the labels' decision thresholds
LOGITS = "logits"  # float32 [batch, K]

# Of one that answers with masks.
MASK = "mask"  # uint8 [batch, H, W]
CONFIDENCE = "confidence"  # float32 [batch, H, W]
CONFUSION = "confusion"  # pixels by truth and prediction, float32 [batch, K, K]; of the evaluation alone
CALIBRATION = "calibration"  # [batch, 2, 3, bins], `curves.calibration` of pixels, as answered and without calibration
