"""The stages of the graph, one function each, with the settings that each takes.

`graph` connects them: it passes the outputs of other stages as keyword arguments. Imports TFX.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import tensorflow_data_validation as tfdv
from tfx.components import ExampleValidator, StatisticsGen
from tfx.dsl.components.base.base_node import BaseNode
from tfx.proto import trainer_pb2

from components.base import fingerprint
from components.exports.formats import FORMATS
from components.model.comparing.settings import Plan
from components.stages.baseline import Baseline
from components.stages.class_balance import ClassBalance
from components.stages.evaluator import Evaluator
from components.stages.ingest import ImageExampleGen
from components.stages.optional.comparison import Comparison
from components.stages.optional.model_export import ModelExport
from components.stages.optional.synthesis import Synthesis
from components.stages.optional.tuner import Tuner
from components.stages.optional.unlabelled import UnlabelledExampleGen
from components.stages.pusher import Pusher
from components.stages.report import ModelReport
from components.stages.schema import CuratedSchema
from components.stages.serving_check import ServingCheck
from components.stages.trainer import Trainer
from components.stages.transform import Transform
from pipeline import derived
from pipeline.config import Config

_SERVING = "tensorflow_serving"


@dataclass(frozen=True)
class Run:
    """The run that a graph is built for; see `graph.build` for its fields, and `ImageExampleGen` for some."""

    config: Config
    data_fingerprint: str
    earlier_splits: str
    remembered: str
    artifacts: str
    served_version: str
    frozen: str
    files: derived.Files


def ingest(run: Run) -> BaseNode:
    return ImageExampleGen(
        source=run.config.source.to_json(),
        data_fingerprint=run.data_fingerprint,
        earlier_splits=run.earlier_splits,
        destination=run.config.destination,
        verify=_verify(run),
        artifacts=run.artifacts,
        remembered=run.remembered,
        task=run.config.task,
        code_fingerprint=fingerprint.code("components.stages.ingest"),
    )


def unlabelled(run: Run, **inputs: Any) -> BaseNode:
    pool = run.config.pool
    assert pool is not None
    return UnlabelledExampleGen(
        **inputs,
        pool=pool.to_json(),
        pool_fingerprint=run.files.unlabelled,
        remembered=run.remembered,
        code_fingerprint=fingerprint.code("components.stages.optional.unlabelled"),
    )


def curated_schema(run: Run, **inputs: Any) -> BaseNode:
    return CuratedSchema(
        **inputs,
        task=run.config.task,
        columns=json.dumps(run.config.data.columns.slices),
        frozen=run.frozen,
        code_fingerprint=fingerprint.code("components.stages.schema"),
    )


def statistics(**inputs: Any) -> BaseNode:
    # The schema has no feature for the image's bytes, and features that are not in the schema are not read.
    # Sketches are exact for features with few values, such as the label. They only estimate the number of unique names
    # and digests, which nothing uses. Exact counts need a Beam graph for each split, a quarter of the stage's time.
    options = tfdv.StatsOptions(experimental_filter_read_paths=True, use_sketch_based_topk_uniques=True)
    return StatisticsGen(**inputs, stats_options=options)


def example_validator(**inputs: Any) -> BaseNode:
    return ExampleValidator(**inputs)


def class_balance(run: Run, **inputs: Any) -> BaseNode:
    config = run.config
    features = config.feature_settings(run.files.backbone)
    return ClassBalance(
        **inputs,
        frozen=run.frozen,
        frozen_file=config.data.schema_file or "",
        limits=config.data_gate_limits.to_json(),
        features=features.to_json() if features else "",
        task=config.task,
        destination=config.destination,
        verify=_verify(run),
        served_version=run.served_version,
        code_fingerprint=fingerprint.code("components.stages.class_balance"),
    )


def transform(run: Run, **inputs: Any) -> BaseNode:
    code = fingerprint.code("components.stages.transform") + fingerprint.code("components.model.preprocessing")
    return Transform(
        **inputs,
        preprocessing_fn="components.model.preprocessing.preprocessing_fn",
        materialize=False,
        disable_statistics=True,
        disable_analyzer_cache=True,
        custom_config={
            "task": run.config.task,
            "count_ignored": run.config.labels.count_ignored,
            "code_fingerprint": code,
        },
    )


def tuner(run: Run, **inputs: Any) -> BaseNode:
    code = fingerprint.code("components.stages.optional.tuner") + fingerprint.code("components.model.tuning.tuner")
    return Tuner(
        **inputs,
        tuner_fn="components.model.tuning.tuner.tuner_fn",
        train_args=trainer_pb2.TrainArgs(splits=["train"]),
        eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
        custom_config=run.config.tuner_settings(code + run.files.backbone).model_dump(mode="json"),
    )


def synthesis(run: Run, **inputs: Any) -> BaseNode:
    settings = run.config.synthesis_settings(fingerprint.code("components.stages.optional.synthesis"))
    return Synthesis(**inputs, settings=settings.to_json())


def comparison(run: Run, plan: Plan, **inputs: Any) -> BaseNode:
    code = fingerprint.code("components.stages.optional.comparison")
    settings = run.config.comparison_settings(code + run.files.backbone, plan)
    return Comparison(**inputs, settings=settings.to_json())


def trainer(run: Run, **inputs: Any) -> BaseNode:
    code = fingerprint.code("components.model.fitting.training")
    return Trainer(
        **inputs,
        run_fn="components.model.fitting.training.run_fn",
        custom_config=run.config.trainer_settings(code + run.files.backbone).model_dump(mode="json"),
    )


def baseline(run: Run, **inputs: Any) -> BaseNode:
    return Baseline(
        **inputs,
        task=run.config.task,
        destination=run.config.destination,
        verify=_verify(run),
        served_version=run.served_version,
        code_fingerprint=fingerprint.code("components.stages.baseline"),
    )


def evaluator(run: Run, **inputs: Any) -> BaseNode:
    config, root = run.config, run.config.out_of_distribution_root
    distance = config.balance.near_duplicate_distance
    features = config.feature_settings(run.files.backbone)
    return Evaluator(
        **inputs,
        task=config.task,
        settings=config.absolute_evaluation.to_json(),
        features=features.to_json() if features else "",
        max_pixels=config.data.max_pixels if root else 0,
        bits=(config.data.bits or 0) if root else 0,
        near_duplicate_distance=-1 if distance is None else distance,
        out_of_distribution_fingerprint=run.files.out_of_distribution,
        without_thresholds=int(config.push.without_thresholds),
        code_fingerprint=fingerprint.code("components.stages.evaluator"),
    )


def serving_check(run: Run, **inputs: Any) -> BaseNode:
    return ServingCheck(
        **inputs,
        task=run.config.task,
        limits=run.config.serving.to_json(),
        bits=run.config.data.bits or 0,
        # The warm-up requests are written with its messages.
        code_fingerprint=f"{fingerprint.code('components.stages.serving_check')} {fingerprint.libraries([_SERVING])}",
    )


def model_export(run: Run, **inputs: Any) -> BaseNode:
    code = fingerprint.code("components.stages.optional.model_export")
    modules = {module for name in run.config.push.exports for module in FORMATS[name].modules}
    settings = run.config.export_settings(f"{code} {fingerprint.libraries(modules)}")
    return ModelExport(**inputs, settings=settings.to_json())


def pusher(run: Run, **inputs: Any) -> BaseNode:
    config = run.config
    facts = {
        "name": config.name,
        "task": config.task,
        "image_size": None if config.searches and "image_size" in config.tunes else config.training.image_size,
        "bits": config.data.bits,
        "bands": config.data.arrays and config.data.arrays.model_dump(mode="json"),
        "code_fingerprint": fingerprint.code("components.model.fitting.training"),
        "configuration_fingerprint": config.fingerprint(),
    }
    build = {"configuration": config.published(), "environment": fingerprint.versions()}
    return Pusher(
        **inputs,
        settings=config.absolute_push.to_json(),
        served_version=run.served_version,
        facts=json.dumps(facts),
        build="" if config.push.sign is None else json.dumps(build),
        code_fingerprint=fingerprint.code("components.stages.pusher"),
    )


def _verify(run: Run) -> str:
    verify = run.config.absolute_push.verify
    return "" if verify is None else verify.to_json()


def model_report(run: Run, **inputs: Any) -> BaseNode:
    config, plain = run.config, run.config.plain()
    facts = {
        "name": config.name,
        "task": config.task,
        "configuration": plain,
        "fingerprints": derived.fingerprints(config, fingerprint.everything()),
        "versions": fingerprint.versions(),
    }
    settings = {"destination": config.destination, "without_thresholds": config.push.without_thresholds}
    return ModelReport(
        **inputs,
        facts=json.dumps(facts),
        settings=json.dumps(settings | derived.picture_settings(plain)),
        code_fingerprint=fingerprint.code("components.stages.report"),
    )
