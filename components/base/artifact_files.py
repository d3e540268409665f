"""Names of the files that one stage or run writes and another reads. Importing this loads nothing."""

from __future__ import annotations

# Ingest, beside the shards.
DATASET_MANIFEST = "manifest.json"
IMAGE_ROWS = "images.npy"
IMAGE_PATHS = "paths.txt"
LEDGER = "ledger.jsonl"
RECORD_INDEX = "records.bin"  # see `ingest.stored.index`
SHARD_REPORTS = "shards.jsonl"
EARLIER_SPLITS = "splits.npy"  # also in `output`: the splits of all images so far, see `ingest.earlier`

# Data gate.
CLASS_BALANCE = "class_balance.json"
KNOWN_IMAGES = "images.npy"  # also beside a pushed model: which images it was trained on, and with which labels

# Training and evaluation.
METHODS = "methods.json"  # of a comparison of methods; see `model.comparing.record.MethodComparison`
TRIALS = "trials.json"  # of a search, with what it found; see `model.tuning.journal.Trials`
TRAINING_HISTORY = "history.json"
CHECKPOINT = "checkpoint.json"  # which epoch was chosen, and why
POOL = "unlabelled.json"  # what became of the images without labels; see `fitting.unlabelled.choice.Pool`
SYNTHETIC = "synthetic.json"  # which images were made for rare labels, and how they did; see `fitting.synthetic`
SYNTHETIC_IMAGES = "images.tfrecord"  # they themselves
SYNTHETIC_PICTURE = "images.jpg"  # some of them, each above the training image that it is nearest to
LABEL_WEIGHTS = "label_weights.json"  # label -> weight in the loss
IMBALANCE = "imbalance.json"  # what made up for rare labels
SAVED_MODEL = "saved_model.pb"
DECISIONS_FILE = "decisions.json"  # in the model's folder `assets.extra`, which is for whatever goes with a SavedModel
VERDICTS = "verdicts.json"
MODEL_DIGESTS = "model_digests.json"  # of the model that was evaluated, which is the one that may be pushed
OUT_OF_DISTRIBUTION_FILE = "out_of_distribution.json"
COMPARISON = "comparison.json"  # with the served model
BESIDE = "beside.json"  # weak groups of the test split, and trivial methods; see `gates.found`
PREDICTIONS = "predictions"  # a folder
SERVING = "serving.json"
EXPORTS = "exports.json"  # what became of each format of the model; see `exports.records`
EXPORTS_FOLDER = "exports"  # in a pushed version
WARM_UP = "assets.extra/tf_serving_warmup_requests"  # also in a pushed version: TensorFlow Serving looks for it there
BATCHING = "batching_params.pbtxt"  # likewise

# Push and report.
PUSHED_MANIFEST = "imagegate.json"
SIGNATURE = "model.sig"  # of a pushed version; the name that model-signing gives it
PROVENANCE = "provenance.json"  # where a signed version came from; see `push.signing.provenance`
MODEL_CARD = "MODEL_CARD.md"
EVIDENCE = "evidence.json"
REPORT = "report.html"

# A run.
SUMMARY = "summary.json"
SCHEMA = "schema.pbtxt"  # the name that TFX's own schema components use
