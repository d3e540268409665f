"""The stock side: TFX's own components, combined as in its guides and examples. It does not check the images.

Where there is a choice, this side uses the faster one that an experienced TFX user would make:
- It names Beam's in-process runner, which needs no packaging of TFX, as our graph does.
- It refers to code by dotted names, as TFX's project template does; a `module_file` would be built into a wheel twice.
- Transform passes the encoded image through, and the Trainer decodes it in parallel. TFX's CIFAR-10 example decodes in
  Transform, which writes and reads every image as float32.
- The image is included in the statistics, as in TFX's MNIST and CIFAR-10 examples. SchemaGen derives the schema from
  the statistics, and Transform can only pass on what is in the schema. The side `lean` leaves the image out, which is
  the least that these components can do, but its transformed examples are useless for training.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import tensorflow as tf
import tensorflow_data_validation as tfdv
from tensorflow_model_analysis.proto import config_pb2
from tfx.components import Evaluator, ExampleValidator, Pusher, SchemaGen, StatisticsGen, Trainer, Transform
from tfx.components.example_gen import base_example_gen_executor
from tfx.components.example_gen.component import FileBasedExampleGen
from tfx.dsl.components.base import executor_spec
from tfx.dsl.io import fileio
from tfx.orchestration import metadata
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import example_gen_pb2, pusher_pb2, trainer_pb2

from benchmarks import photos
from benchmarks.side_by_side import stock_model
from benchmarks.side_by_side.launch import launch
from benchmarks.side_by_side.stock_model import IMAGE, LABEL, PROBABILITIES, TRANSFORM

if TYPE_CHECKING:
    from benchmarks.side_by_side.worker import Job

UNTIL = {"ingest": "ExampleGen", "transform": Transform.__name__, "push": Pusher.__name__}
_BEAM = (
    "--runner=apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner",
    "--sdk_container_image=none",
)


@beam.typehints.with_input_types(str)
@beam.typehints.with_output_types(tf.train.Example)
class _ToExample(beam.DoFn):
    def process(self, path: str) -> Iterator[tf.train.Example]:
        with open(path, "rb") as f:
            image = f.read()
        values = {IMAGE: image, LABEL: os.path.basename(os.path.dirname(path)).encode()}
        feature = {
            name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for name, value in values.items()
        }
        yield tf.train.Example(features=tf.train.Features(feature=feature))


@beam.ptransform_fn
@beam.typehints.with_input_types(beam.Pipeline)
@beam.typehints.with_output_types(tf.train.Example)
def _FilesToExamples(  # noqa: N802  TFX names transforms like classes
    pipeline: beam.Pipeline, exec_properties: dict[str, Any], split_pattern: str
) -> beam.PCollection:
    files = fileio.glob(os.path.join(exec_properties["input_base"], split_pattern))
    return pipeline | "Files" >> beam.Create(files) | "ToExample" >> beam.ParDo(_ToExample())


class PhotoExecutor(base_example_gen_executor.BaseExampleGenExecutor):
    """Reads photos; TFX splits, shuffles, compresses and writes them."""

    def GetInputSourceToExamplePTransform(self) -> beam.PTransform:  # noqa: N802  TFX's name
        return _FilesToExamples


def run(job: Job) -> dict[str, float]:
    """Runs the pipeline up to and including the job's stage. Returns the seconds that each node took."""
    return launch(_build(job, lean=job.side == "lean"), UNTIL[job.stage])


def _build(job: Job, *, lean: bool) -> Pipeline:
    split = example_gen_pb2.SplitConfig.Split
    shares = [
        split(name="train", hash_buckets=8),
        split(name="eval", hash_buckets=1),
        split(name="test", hash_buckets=1),
    ]
    ingest = FileBasedExampleGen(
        input_base=job.photos,
        input_config=example_gen_pb2.Input(splits=[example_gen_pb2.Input.Split(name="photos", pattern="*/*.jpg")]),
        output_config=example_gen_pb2.Output(split_config=example_gen_pb2.SplitConfig(splits=shares)),
        custom_executor_spec=executor_spec.BeamExecutorSpec(PhotoExecutor),
    ).with_id(UNTIL["ingest"])
    examples = ingest.outputs["examples"]
    statistics = StatisticsGen(
        examples=examples, stats_options=tfdv.StatsOptions(feature_allowlist=[LABEL]) if lean else None
    )
    schema = SchemaGen(statistics=statistics.outputs["statistics"], infer_feature_shape=True)
    validator = ExampleValidator(statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"])
    transform = Transform(
        examples=examples,
        schema=schema.outputs["schema"],
        preprocessing_fn=f"{stock_model.__name__}.preprocessing_fn",
    )
    trainer = Trainer(
        run_fn=f"{stock_model.__name__}.run_fn",
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema.outputs["schema"],
        train_args=trainer_pb2.TrainArgs(splits=["train"]),
        eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
        custom_config={"backbone": job.backbone},
    )
    evaluator = Evaluator(
        examples=examples, model=trainer.outputs["model"], eval_config=_eval_config(), example_splits=["test"]
    )
    pusher = Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=os.path.join(job.work, "served"))
        ),
    )
    return Pipeline(
        pipeline_name="stock",
        pipeline_root=os.path.join(job.work, "pipeline"),
        metadata_connection_config=metadata.sqlite_metadata_connection_config(
            os.path.join(job.work, "metadata.sqlite")
        ),
        components=[ingest, statistics, schema, validator, transform, trainer, evaluator, pusher],
        enable_cache=True,
        beam_pipeline_args=list(_BEAM),
    )


def _eval_config() -> config_pb2.EvalConfig:
    """Selects those metrics of our Evaluator that TFMA provides, over all examples and for each label."""
    config = config_pb2.EvalConfig()
    config.model_specs.add(
        signature_name="serving_default",
        prediction_key=PROBABILITIES,
        label_key=stock_model.ONE_HOT,
        preprocessing_function_names=[TRANSFORM],
    )
    config.slicing_specs.add()
    config.slicing_specs.add(feature_keys=[LABEL])
    overall = config.metrics_specs.add()
    for name in ("ExampleCount", "CategoricalCrossentropy"):
        overall.metrics.add(class_name=name)
    accuracy = overall.metrics.add(class_name="CategoricalAccuracy")
    accuracy.threshold.value_threshold.lower_bound.value = -1.0  # any model passes
    per_label = config.metrics_specs.add()
    per_label.binarize.class_ids.values.extend(range(len(photos.LABELS)))
    for name in ("Precision", "Recall", "BinaryAccuracy", "AUC", "AUCPrecisionRecall"):
        per_label.metrics.add(class_name=name)
    return config


def examples(work: str) -> int:
    """Returns the number of ingested examples in all splits."""
    files = glob.glob(os.path.join(work, "pipeline", UNTIL["ingest"], "examples", "*", "Split-*", "*.gz"))
    return sum(1 for _ in tf.data.TFRecordDataset(files, compression_type="GZIP"))


def pushed(work: str) -> bool:
    """Returns whether a model was pushed."""
    return bool(glob.glob(os.path.join(work, "served", "*", "saved_model.pb")))
