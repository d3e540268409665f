"""The same work with TFX's own components, as their guides and examples show it. Checks nothing about the images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tfx.components.example_gen import base_example_gen_executor
from tfx.dsl.io import fileio

LABEL, IMAGE = "label", "image"


@beam.typehints.with_input_types(str)
@beam.typehints.with_output_types(tf.train.Example)
class _ToExample(beam.DoFn):
    def process(self, path: str) -> Iterator[tf.train.Example]:
        with open(path, "rb") as f:
            image = f.read()
        label = os.path.basename(os.path.dirname(path)).encode()
        feature = {
            IMAGE: tf.train.Feature(bytes_list=tf.train.BytesList(value=[image])),
            LABEL: tf.train.Feature(bytes_list=tf.train.BytesList(value=[label])),
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
    """Reads photos; splitting, shuffling and writing are TFX's."""

    def GetInputSourceToExamplePTransform(self) -> beam.PTransform:  # noqa: N802  TFX's name
        return _FilesToExamples


def build(root: str, work: str, variant: str = "plain"):
    import tensorflow_data_validation as tfdv
    from tfx.components import ExampleValidator, SchemaGen, StatisticsGen, Trainer, Transform, Evaluator, Pusher
    from tfx.components.example_gen.component import FileBasedExampleGen
    from tfx.dsl.components.base import executor_spec
    from tfx.orchestration import metadata, pipeline
    from tfx.proto import example_gen_pb2, trainer_pb2

    S = example_gen_pb2.SplitConfig.Split
    ingest = FileBasedExampleGen(
        input_base=root,
        input_config=example_gen_pb2.Input(splits=[example_gen_pb2.Input.Split(name="all", pattern="*/*.jpg")]),
        output_config=example_gen_pb2.Output(split_config=example_gen_pb2.SplitConfig(splits=[S(name="train", hash_buckets=8), S(name="eval", hash_buckets=1), S(name="test", hash_buckets=1)])),
        custom_executor_spec=executor_spec.BeamExecutorSpec(PhotoExecutor),
    ).with_id("ExampleGen")
    ex = ingest.outputs["examples"]
    opts = tfdv.StatsOptions(feature_allowlist=[LABEL]) if "allow" in variant else None
    stats = StatisticsGen(examples=ex, stats_options=opts)
    sch = SchemaGen(statistics=stats.outputs["statistics"], infer_feature_shape=True)
    val = ExampleValidator(statistics=stats.outputs["statistics"], schema=sch.outputs["schema"])
    kw = {}
    if "tstat" in variant: kw["stats_options_updater_fn"] = "benchmarks.stock.updater"
    tr = Transform(examples=ex, schema=sch.outputs["schema"], preprocessing_fn="benchmarks.stock.preprocessing_fn", **kw)
    return pipeline.Pipeline(
        pipeline_name="stock", pipeline_root=os.path.join(work, "pipeline"),
        metadata_connection_config=metadata.sqlite_metadata_connection_config(os.path.join(work, "m.sqlite")),
        components=[ingest, stats, sch, val, tr],
        beam_pipeline_args=["--runner=apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner", "--sdk_container_image=none"],
    )


def preprocessing_fn(inputs):
    import tensorflow_transform as tft
    out = {}
    idx = tft.compute_and_apply_vocabulary(inputs[LABEL], vocab_filename="labels")
    out["label_xf"] = tf.one_hot(tf.reshape(idx, [-1]), 10)
    if IMAGE in inputs:
        out["image_xf"] = inputs[IMAGE]
    return out


def updater(stats_type, stats_options):
    stats_options.feature_allowlist = [LABEL, "label_xf"]
    return stats_options
