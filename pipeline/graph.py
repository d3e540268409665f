"""build(config) -> the TFX pipeline. Only wiring; one graph for every runner."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from components.base import fingerprint
from components.evaluation import out_of_distribution
from components.gates.data_gate import Limits
from pipeline.config import Balance, Training

if TYPE_CHECKING:
    from tfx.orchestration.pipeline import Pipeline

    from pipeline.config import Config

# In process, named: Beam's own default first tries another runner, and to download it.
_IN_PROCESS = "--runner=apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner"
# Or else TFX packs itself into an archive for workers elsewhere, once per stage.
_NO_PACKING = "--sdk_container_image=none"
# Beam's type checks while it builds a stage's graph cost more than the stage's own work on a few thousand labels.
_NO_TYPE_CHECK = "--no_pipeline_type_check"


def limits(config: Config) -> Limits:
    """The data gate's limits; the same for `imagegate check` and the run."""
    several = config.task == "multi_label"
    return Limits(
        **config.balance.model_dump() | ({} if several else {"max_cooccurrence": None}),
        max_bad_fraction=config.data.max_bad_fraction,
        contradictions=config.task == "single_label",
        min_labels=1 if several or config.detects else 2,
    )


def fingerprints(config: Config) -> dict[str, str]:
    """Of what a run is told and made by, for its report."""
    return {"configuration": config.fingerprint(), "code": fingerprint.everything()}


def pictured(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """What the report is told of its pictures; see `report.evidence.collect`.

    Args:
        configuration: as `Config.plain` gives it.
    """
    return {
        "seed": Training(**configuration.get("training", {})).seed,
        "distance": Balance(**configuration.get("balance", {})).near_duplicate_distance,
        "contradictions": configuration["task"] == "single_label",
    }


def build(
    config: Config,
    *,
    data_fingerprint: str,
    served_version: str,
    frozen: str = "",
    cache: bool = True,
    elsewhere: bool = False,
) -> Pipeline:
    """The graph of one run.

    Args:
        config: the settings.
        data_fingerprint: of the data set's listing; see `layouts.Dataset.fingerprint`.
        served_version: newest version in the push destination, "" for none.
        frozen: text of the user's schema, "" for none.
        cache: whether a stage whose inputs, settings and code are those of an earlier run takes its results.
        elsewhere: the graph runs on other machines, whose files nobody here can look at.
    """
    from tfx.components import ExampleValidator, StatisticsGen, Trainer
    from tfx.orchestration import metadata, pipeline
    from tfx.proto import trainer_pb2

    from components.stages.baseline import Baseline
    from components.stages.class_balance import ClassBalance
    from components.stages.evaluator import Evaluator
    from components.stages.ingest import ImageExampleGen
    from components.stages.pusher import Pusher
    from components.stages.report import ModelReport
    from components.stages.schema import CuratedSchema
    from components.stages.serving_check import ServingCheck
    from components.stages.transform import Transform

    ingest = ImageExampleGen(
        layout=json.dumps(config.layout),
        max_pixels=config.data.max_pixels,
        data_fingerprint=data_fingerprint,
        code_fingerprint=fingerprint.code("components.stages.ingest"),
    )
    examples = ingest.outputs["examples"]
    curated = CuratedSchema(
        examples=examples,
        task=config.task,
        columns=json.dumps(config.data.columns.slices),
        frozen=frozen,
        code_fingerprint=fingerprint.code("components.stages.schema"),
    )
    schema = curated.outputs["schema_out"]
    # The schema leaves the image's bytes out, and features that are not in it are not read.
    statistics = StatisticsGen(examples=examples, schema=schema, stats_options=_stats_options())
    validator = ExampleValidator(statistics=statistics.outputs["statistics"], schema=schema)
    balance = ClassBalance(
        examples=examples,
        statistics=statistics.outputs["statistics"],
        anomalies=validator.outputs["anomalies"],
        label_weights=json.dumps(config.training.label_weights),
        count_ignored=int(config.labels.count_ignored),
        frozen=frozen,
        frozen_file=config.data.schema_file or "",
        limits=json.dumps(asdict(limits(config))),
        task=config.task,
        destination=config.destination,
        served_version=served_version,
        code_fingerprint=fingerprint.code("components.stages.class_balance"),
    )
    transform = Transform(
        examples=examples,
        schema=schema,
        preprocessing_fn="components.model.preprocessing.preprocessing_fn",
        materialize=False,
        disable_statistics=True,
        disable_analyzer_cache=True,
        custom_config={
            "task": config.task,
            "count_ignored": config.labels.count_ignored,
            "code_fingerprint": fingerprint.code("components.stages.transform")
            + fingerprint.code("components.model.preprocessing"),
        },
    )
    transform.add_upstream_node(balance)
    trainer = Trainer(
        run_fn="components.model.training.run_fn",
        examples=examples,
        transform_graph=transform.outputs["transform_graph"],
        schema=schema,
        train_args=trainer_pb2.TrainArgs(splits=["train"]),
        eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
        custom_config=_training(config, "" if elsewhere else file_version(config.backbone)),
    )
    baseline = Baseline(
        schema_in=schema,
        task=config.task,
        destination=config.destination,
        served_version=served_version,
        code_fingerprint=fingerprint.code("components.stages.baseline"),
    )
    evaluator = Evaluator(
        examples=examples,
        model=trainer.outputs["model"],
        baseline_model=baseline.outputs["baseline_model"],
        schema=schema,
        task=config.task,
        slices=json.dumps(config.slices),
        standard_metrics=json.dumps([m.model_dump() for m in config.evaluation.tfma_metrics]),
        thresholds=json.dumps([t.model_dump() for t in config.evaluation.thresholds]),
        out_of_distribution=_out_of_distribution(
            config, "" if elsewhere else out_of_distribution.fingerprint(config.out_of_distribution_root)
        ),
        without_thresholds=int(config.push.without_thresholds),
        code_fingerprint=fingerprint.code("components.stages.evaluator"),
    )
    serving_check = ServingCheck(
        examples=examples,
        model=trainer.outputs["model"],
        model_evaluation=evaluator.outputs["evaluation"],
        blessing=evaluator.outputs["blessing"],
        task=config.task,
        limits=config.serving.model_dump_json(),
        code_fingerprint=fingerprint.code("components.stages.serving_check"),
    )
    pusher = Pusher(
        model=trainer.outputs["model"],
        baseline_model=baseline.outputs["baseline_model"],
        model_evaluation=evaluator.outputs["evaluation"],
        blessing=evaluator.outputs["blessing"],
        class_balance=balance.outputs["class_balance"],
        serving_check=serving_check.outputs["serving_check_out"],
        destination=config.destination,
        keep=config.push.keep or 0,
        served_version=served_version,
        facts=json.dumps(
            {
                "name": config.name,
                "task": config.task,
                "image_size": config.training.image_size,
                "code_fingerprint": fingerprint.code("components.model.training"),
                "configuration_fingerprint": config.fingerprint(),
            }
        ),
        code_fingerprint=fingerprint.code("components.stages.pusher"),
    )
    report = ModelReport(
        examples=examples,
        class_balance=balance.outputs["class_balance"],
        model=trainer.outputs["model"],
        model_run=trainer.outputs["model_run"],
        baseline_model=baseline.outputs["baseline_model"],
        model_evaluation=evaluator.outputs["evaluation"],
        serving_check=serving_check.outputs["serving_check_out"],
        pushed_model=pusher.outputs["pushed_model"],
        facts=json.dumps(
            {
                "name": config.name,
                "task": config.task,
                "configuration": config.plain(),
                "fingerprints": fingerprints(config),
                "versions": fingerprint.versions(),
            }
        ),
        settings=json.dumps(
            {"destination": config.destination, "without_thresholds": config.push.without_thresholds}
            | pictured(config.plain())
        ),
        code_fingerprint=fingerprint.code("components.stages.report"),
    )
    return pipeline.Pipeline(
        pipeline_name=config.name,
        pipeline_root=os.path.join(config.output_folder, "pipeline"),
        metadata_connection_config=metadata.sqlite_metadata_connection_config(
            os.path.join(config.output_folder, "metadata.sqlite")
        ),
        components=[
            ingest,
            curated,
            statistics,
            validator,
            balance,
            transform,
            trainer,
            baseline,
            evaluator,
            serving_check,
            pusher,
            report,
        ],
        enable_cache=cache,
        beam_pipeline_args=[*(config.beam or [_IN_PROCESS, _NO_TYPE_CHECK]), _NO_PACKING],
    )


def _stats_options() -> Any:
    import tensorflow_data_validation as tfdv

    # Exact for features of few values, such as the label; what it estimates, unique names and digests, nobody asks for.
    # Counting exactly is a Beam graph of its own for each split, and took a quarter of the stage.
    return tfdv.StatsOptions(experimental_filter_read_paths=True, use_sketch_based_topk_uniques=True)


def _training(config: Config, backbone_version: str) -> dict[str, Any]:
    """The Trainer's `custom_config`; see `components.model.training.Settings`."""
    training = config.training
    settings = training.model_dump(mode="json")
    return {
        **settings,
        "backbone": config.backbone,
        "task": config.task,
        "positive": config.labels.positive,
        "decisions": config.decisions.model_dump(),
        "checkpoints": os.path.join(config.output_folder, "checkpoints"),
        "code_fingerprint": fingerprint.code("components.model.training") + backbone_version,
    }


def _out_of_distribution(config: Config, version: str) -> str:
    """What the Evaluator is told of the images of none of the labels."""
    root = config.out_of_distribution_root
    if root is None:
        return ""
    return json.dumps({"root": root, "max_pixels": config.data.max_pixels, "fingerprint": version})


def file_version(backbone: str) -> str:
    """Changes when a backbone's file does."""
    if not backbone.endswith(".keras"):
        return ""
    status = os.stat(backbone)
    return f":{status.st_size}:{status.st_mtime_ns}"
