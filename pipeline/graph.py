"""Builds the TFX pipeline of a configuration: which stage reads which outputs. All runners use the same graph.

Imports TFX, which takes seconds: import this module only when a graph is needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration import metadata
from tfx.orchestration.pipeline import Pipeline

from components.model.comparing.methods import SYNTHETIC
from components.model.comparing.settings import Plan
from pipeline import derived, nodes
from pipeline.config import Config, beam


def build(
    config: Config,
    *,
    data_fingerprint: str,
    served_version: str,
    earlier_splits: str = "",
    frozen: str = "",
    cache: bool = True,
    files: derived.Files | None = None,
    only_search: bool = False,
    compares: Plan | None = None,
) -> Pipeline:
    """Builds the graph of one run.

    Args:
        config: the settings.
        data_fingerprint: changes when the data do; see `ingest.ledger.recognise`.
        served_version: newest version in the push destination, or "" if there is none.
        earlier_splits: digest of the splits of earlier runs, see `ingest.earlier.key`; "" if there are none.
        frozen: text of the user's schema, or "" if there is none.
        cache: whether stages reuse the results of an earlier run with the same inputs, settings and code.
        files: digests of the files that stages read besides the data; None where these are on other machines.
        only_search: whether the graph ends with the search for better settings, which it then has in any case.
        compares: methods that the graph ends with a comparison of, instead of a model; or None.
    """
    remembered, artifacts = ("", "") if files is None else (derived.remembered(config), config.artifacts)
    files = files or derived.Files()
    run = nodes.Run(config, data_fingerprint, earlier_splits, remembered, artifacts, served_version, frozen, files)
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=artifacts or os.path.join(config.output_folder, "pipeline"),
        metadata_connection_config=metadata.sqlite_metadata_connection_config(
            os.path.join(config.output_folder, "metadata.sqlite")
        ),
        components=list(_stages(run, only_search=only_search, compares=compares)),
        enable_cache=cache,
        beam_pipeline_args=beam.passed(config.beam),
    )


def _stages(run: nodes.Run, *, only_search: bool, compares: Plan | None) -> Iterator[BaseNode]:
    """Yields the stages in the order in which they run, each connected to the outputs that it reads."""
    yield (ingest := nodes.ingest(run))
    examples = ingest.outputs["examples"]
    pool = {}
    if run.config.pool is not None:
        yield (reader := nodes.unlabelled(run, examples=examples))
        pool = {"unlabelled": reader.outputs["unlabelled"]}
    yield (curated := nodes.curated_schema(run, examples=examples))
    schema = curated.outputs["schema_out"]
    yield (statistics_gen := nodes.statistics(examples=examples, schema=schema))
    statistics = statistics_gen.outputs["statistics"]
    yield (validator := nodes.example_validator(statistics=statistics, schema=schema))
    anomalies = validator.outputs["anomalies"]
    yield (data_gate := nodes.class_balance(run, examples=examples, statistics=statistics, anomalies=anomalies))
    yield (transform := nodes.transform(run, examples=examples, schema=schema))
    transform.add_upstream_node(data_gate)  # nothing is trained on refused data
    graph = transform.outputs["transform_graph"]
    inputs = {"examples": examples, "transform_graph": graph, "schema": schema}
    same, made = {"examples": examples, "transform_graph": graph, "schema_in": schema}, {}
    makes = SYNTHETIC in compares.methods if compares else not only_search
    if run.config.training.synthetic is not None and makes:
        yield (synthesis := nodes.synthesis(run, **same))
        made = {"synthetic": synthesis.outputs["synthetic"]}
    if compares is not None:
        yield nodes.comparison(run, compares, **same, **pool, **made)
        return
    found, trials = {}, {}
    if run.config.searches or only_search:
        yield (tuner := nodes.tuner(run, **inputs))
        found = {"hyperparameters": tuner.outputs["best_hyperparameters"]}
        trials = {"tuner_results": tuner.outputs["tuner_results"]}
    if only_search:
        return
    yield (trainer := nodes.trainer(run, **inputs, **found, **pool, **made))
    model, model_run = trainer.outputs["model"], trainer.outputs["model_run"]
    yield (baseline := nodes.baseline(run, schema_in=schema))
    models = {"model": model, "baseline_model": baseline.outputs["baseline_model"]}
    yield (evaluator := nodes.evaluator(run, examples=examples, schema=schema, **models))
    evaluation, blessing = evaluator.outputs["evaluation"], evaluator.outputs["blessing"]
    yield (
        serving_check := nodes.serving_check(
            run, examples=examples, model=model, model_evaluation=evaluation, blessing=blessing
        )
    )
    verdicts = {
        "class_balance": data_gate.outputs["class_balance"],
        "model_evaluation": evaluation,
        "serving_check": serving_check.outputs["serving_check_out"],
    }
    exported = {}
    if run.config.push.exports:
        yield (
            model_export := nodes.model_export(
                run,
                examples=examples,
                schema_in=schema,
                model=model,
                model_evaluation=evaluation,
                blessing=blessing,
                serving_check=serving_check.outputs["serving_check_out"],
            )
        )
        exported = {"exports": model_export.outputs["exports"]}
    yield (pusher := nodes.pusher(run, model=model, model_run=model_run, blessing=blessing, **verdicts, **exported))
    yield nodes.model_report(
        run,
        examples=examples,
        model_run=model_run,
        pushed_model=pusher.outputs["pushed_model"],
        **models,
        **verdicts,
        **trials,
        **pool,
        **made,
        **exported,
    )
