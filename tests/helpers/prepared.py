"""What the stages before the Trainer leave behind, made without them: shards, a schema and a transform graph."""

import dataclasses
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils
from tfx.components.trainer.fn_args_utils import FnArgs

from components.base.artifact_files import SCHEMA, TRAINING_HISTORY
from components.data import schema
from components.data.arrays.spec import Bands
from components.data.dataset import UNLABELLED, Dataset
from components.data.manifest import DatasetManifest
from components.data.mask_rules import Rule
from components.ingest import manifest, reuse, settling, shards
from components.ingest.counts import census
from components.ingest.earlier import Earlier
from components.ingest.settings import NearLimits, Pool
from components.ingest.stored import index
from components.ingest.unlabelled import listing, merging
from components.labels import kinds
from components.model import preprocessing
from components.model.fitting import training
from components.model.fitting.batches import Batches
from components.model.fitting.given import Given
from components.model.fitting.training import Learnt
from components.model.settings import TrainerSettings

RUNNER = "apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner"
SETTINGS: dict[str, Any] = {
    "backbone": "small",
    "weights": None,
    "image_size": [8, 8],
    "freeze_epochs": 0,
    "epochs": 3,
    "batch_size": 5,
    "learning_rate": 1e-3,
    "label_weights": "median_frequency",
    "augment": False,
    "mixed_precision": "auto",
    "seed": 1,
    "loss": "cross_entropy",
    "positive": None,
    "bits": None,
    "decisions": {"calibrate": True, "threshold": "f1", "abstain_below": 0.01},
    "code_fingerprint": "",
}
UNCALIBRATED = {"calibrate": False, "threshold": "f1", "abstain_below": 0.01}  # for logits as training's loss saw them


@dataclass(frozen=True)
class Prepared:
    """The folders."""

    task: str
    examples: Path
    schema: Path
    transform: Path

    def arguments(self, folder: Path, **changed: object) -> FnArgs:
        """The Trainer's, for a run in `folder`."""
        config = SETTINGS | {"task": self.task, "checkpoints": str(folder / "checkpoints")} | changed
        (folder / "run").mkdir(parents=True, exist_ok=True)
        return FnArgs(
            train_files=[str(self.examples / "Split-train" / "*")],
            transform_graph_path=str(self.transform),
            schema_path=str(self.schema / SCHEMA),
            model_run_dir=str(folder / "run"),
            serving_model_dir=str(folder / "serving"),
            custom_config=config,
        )

    def batches(self, **changed: Any) -> Batches:
        """Of five images of 8 x 8 pixels, unless told otherwise."""
        told = {"image_size": (8, 8), "batch_size": 5, "epochs": 3, "seed": 1} | changed
        output = tft.TFTransformOutput(str(self.transform))
        return Batches(str(self.examples), output, kind=kinds.kind(self.task), **told)

    def records(self, split: str) -> list[bytes]:
        """The serialised examples of a split, in the order of the shards."""
        paths = [str(p) for p in sorted(self.examples.glob(f"Split-{split}/*"))]
        return [record.numpy() for record in tf.data.TFRecordDataset(paths)]


def learn(arguments: FnArgs) -> Learnt:
    """What the Trainer does before it decides and exports, which takes as long as a small training."""
    settings = TrainerSettings.model_validate(arguments.custom_config)
    with training.prepared(settings) as gpus:
        return training.learn(Given.of(arguments, settings, arguments.model_run_dir), settings, gpus)


def history(folder: Path) -> dict[str, list[dict[str, float]]]:
    """The metrics of every epoch of each phase, which a run in `folder` wrote."""
    found: dict[str, list[dict[str, float]]] = json.loads((folder / "run" / TRAINING_HISTORY).read_text())
    return found


def exported(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of the model that a run in `folder` exported."""
    reader = tf.train.load_checkpoint(str(folder / "serving/variables/variables"))
    found = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    return {name: value for name, value in found.items() if isinstance(value, np.ndarray)}


def ingest(
    dataset: Dataset,
    folder: Path,
    threads: int = 1,
    order: random.Random | None = None,
    rule: Rule | None = None,
    near: NearLimits | None = None,
    moved: dict[str, str] | None = None,
    earlier: Earlier | None = None,
    previous: reuse.Previous | None = None,
    bands: Bands | None = None,
) -> DatasetManifest:
    """What the stage ImageExampleGen does, with a loop in the place of Beam. Returns the manifest.

    `moved` takes the place of `shards.Job.moved`.
    """
    previous = previous or reuse.Previous()
    job = dataclasses.replace(shards.job(dataset, 10_000, rule, earlier=earlier, bands=bands), threads=threads)
    job = job if moved is None else dataclasses.replace(job, moved=moved)
    records = list(dataset.records)
    plan = list(enumerate(shards.plan(records)))
    if order:
        order.shuffle(records)
        plan = list(enumerate(shards.plan(records)))
        order.shuffle(plan)
    there, reports = previous.files, []
    for i, part in plan:
        place = str(folder), i, len(plan)
        known = reuse.known(previous, part, job, "code")
        linked = reuse.link(there.folder, known.whole, *place, lambda _: None) if known.whole else None
        reports.append((i, linked or shards.write(*place, part, job, lambda _: None, there, known)))
    reports = [report for _, report in sorted(reports, key=lambda one: one[0])]
    counted, images = settling.merge(dataset, reports, job, near, str(folder), there)
    images.write(str(folder))
    counted = counted.model_copy(update={"records": index.write(str(folder), counted.files, reports)})
    manifest.write(str(folder), counted)
    reuse.write(str(folder), shards.plan(dataset.records), reports, job, "code")
    return counted


def prepare(base: Path, task: str, dataset: Dataset, rule: Rule | None = None) -> Prepared:
    """Ingests a data set into `base` and learns what Transform would."""
    found = Prepared(task, base / "examples", base / "schema", base / "transform")
    ingest(dataset, found.examples, rule=rule)
    schema.write(str(found.schema), schema.curated(task, dataset.labels))
    _write_transform(found, dataset.labels)
    return found


def prepare_pool(root: Path, out: Path) -> str:
    """What the stage UnlabelledExampleGen does with the images in `root`, none of which is labelled elsewhere.

    Returns the folder of the shards, `out`.
    """
    dataset = listing.read(Pool(root=str(root), max_pixels=1000))
    job = dataclasses.replace(shards.job(dataset, 1000), splits=(UNLABELLED,))
    plan = shards.plan(dataset.records)
    reports = [shards.write(str(out), i, len(plan), part, job, lambda _: None) for i, part in enumerate(plan)]
    nothing = census.Images(np.zeros(0, census.ROW))
    manifest.write(str(out), merging.merge(dataset, reports, nothing, 32, str(out)))
    return str(out)


def _write_transform(prepared: Prepared, labels: tuple[str, ...]) -> None:
    """What TFX's Transform does with `preprocessing_fn`."""
    metadata = dataset_metadata.DatasetMetadata(schema.read(str(prepared.schema)))
    spec = schema_utils.schema_as_feature_spec(metadata.schema).feature_spec
    parsed = [tf.io.parse_single_example(record, spec) for record in prepared.records("train")]
    rows = [{name: _values(value) for name, value in row.items()} for row in parsed]
    with beam.Pipeline(RUNNER) as pipeline, tft_beam.Context(temp_dir=str(prepared.transform / "temporary")):
        told = {"task": prepared.task, "labels": list(labels), "count_ignored": False}
        analyse = tft_beam.AnalyzeDataset(lambda inputs: preprocessing.preprocessing_fn(inputs, told))
        transform = (pipeline | beam.Create(rows), metadata) | analyse
        _ = transform | tft_beam.WriteTransformFn(str(prepared.transform))
        _ = metadata | tft_beam.WriteMetadata(str(prepared.transform / "metadata"), pipeline)


def _values(value: tf.Tensor | tf.SparseTensor) -> np.ndarray:
    return value.values.numpy() if isinstance(value, tf.SparseTensor) else value.numpy()
