"""`imagegate compile`: writes the graph as a Kubeflow pipeline of schema 2.1.0.

TFX compiles the graph. The result is then changed where the open-source backend needs something else, or where TFX has
no word for it: parameters that may be set when a run is submitted, the tasks around the graph, caching, retries, and
what `pods` requests.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from components.base.errors import ConfigError, ImagegateError
from pipeline import stages
from pipeline.kubeflow import pods, spec, views
from pipeline.kubeflow.gate_log import NESTED
from pipeline.kubeflow.spec import Spec
from pipeline.stages import BY_NAME, NOTIFY, ON_CHANGE, PREFLIGHT, STAGES, Source

if TYPE_CHECKING:
    from pipeline.config import Config

WITHIN_FLAG = "--within"

# Outputs of Preflight. Each stage of the graph that has a parameter of such a name takes it from there, so that its
# cache key follows the data and the served version.
_PREFLIGHT_OUTPUTS = ("data_fingerprint", "served_version", "earlier_splits")
# Likewise for the stages that read files of which the graph knows no version.
_FILES_VERSION = "files_version"
_FILES = {Source.BACKBONE, Source.UNLABELLED, Source.OUT_OF_DISTRIBUTION}


def compile(config: Config) -> tuple[Spec, Spec]:
    """Compiles the graph; reads no data.

    Returns:
        The pipeline spec, as in `pipeline_spec_pb2`, and the platform spec, as in `kubernetes_executor_config_pb2`.

    Raises:
        ConfigError: a setting that this needs is missing or fits no stage, or the backbone or schema file is wrong.
        ImagegateError: Kubeflow's libraries are not installed.
    """
    pipeline = _compile_graph(config)
    _add_preflight(pipeline, config)
    _add_model_gate(pipeline, config)
    _add_views(pipeline, config)
    _add_parameters(pipeline, config)
    _follow_preflight(pipeline)
    _check_names(pipeline, config)
    for name in spec.tasks(pipeline):
        _configure(pipeline, name, config)
    names = list(spec.tasks(pipeline))
    if config.notify:
        _add_notify(pipeline, config)
        names.append(NOTIFY.name)
    labels = {name: pipeline["components"][name]["executorLabel"] for name in names}
    return pipeline, pods.platform(labels, config)


def compile_poll(config: Config, submission: Mapping[str, Any], min_new: int, max_days: float) -> tuple[Spec, Spec]:
    """Compiles the pipeline of the task that starts runs where enough is new, see `poll`.

    Args:
        submission: what it starts.
        min_new, max_days: see `cron.change.due`.

    Returns:
        As `compile`.
    """
    pipeline: Spec = {
        "pipelineInfo": {"name": f"{pipeline_name(config)[:118]}-on-change"},
        "schemaVersion": "2.1.0",
        "sdkVersion": "imagegate",
        "defaultPipelineRoot": config.kubeflow.pipeline_root,
        "components": {},
        "deploymentSpec": {"executors": {}},
        "root": {"dag": {"tasks": {}}},
    }
    spec.add_task(pipeline, ON_CHANGE.name, config.kubeflow.image, inputs={}, outputs=())
    told = {
        "config": _raw(config),
        "min_new": str(min_new),
        "max_days": f"{max_days:g}",
        "submission": json.dumps(dict(submission)),
    }
    for key, value in told.items():
        spec.set_parameter(pipeline, ON_CHANGE.name, key, spec.constant(value))
    _configure(pipeline, ON_CHANGE.name, config)
    labels = {ON_CHANGE.name: pipeline["components"][ON_CHANGE.name]["executorLabel"]}
    return pipeline, pods.platform(labels, config)


def _raw(config: Config) -> str:
    """JSON of the configuration's keys, for tasks that check it again where they run."""
    return json.dumps(config.portable() | {"folder": config.folder, "file": config.file})


def write(config: Config, path: str) -> None:
    """Writes both specs as the two documents of one YAML file.

    Raises:
        ConfigError: see `compile`; or the file cannot be written.
    """
    if not path.endswith((".yaml", ".yml")):
        raise ConfigError(f"-o {path}: expected a name that ends in .yaml; Kubeflow goes by it")
    text = yaml.safe_dump_all(compile(config), sort_keys=True, allow_unicode=True)
    try:
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    except OSError as error:
        raise ConfigError(f"-o {path}: {error.strerror}") from None


def pipeline_name(config: Config) -> str:
    """Returns `name` in the letters that Kubeflow allows."""
    return re.sub("[^a-z0-9]+", "-", config.name.lower()).strip("-")[:128]


def _compile_graph(config: Config) -> Spec:
    """Returns TFX's own pipeline spec of the graph."""
    if config.kubeflow.image is None:
        raise ConfigError("kubeflow.image: this key is missing; the image that holds imagegate")
    try:
        from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner as runner
    except ImportError as error:
        raise ImagegateError(f"{error.name} is not installed; install imagegate[kubeflow]") from None
    from pipeline import graph
    from pipeline.runs import data

    frozen = data.frozen_schema(config)
    built = graph.build(config, data_fingerprint="", served_version="", frozen=frozen)
    built.pipeline_info.pipeline_name = pipeline_name(config)
    settings = runner.KubeflowV2DagRunnerConfig(
        default_image=config.kubeflow.image, default_commands=list(spec.COMMAND), use_pipeline_spec_2_1=True
    )
    pipeline: Spec = runner.KubeflowV2DagRunner(settings).run(built, write_out=False)["pipelineSpec"]
    pipeline["defaultPipelineRoot"] = config.kubeflow.pipeline_root
    # Folders of the machine that compiles. The container takes one of its own for checkpoints, and keeps no features.
    for name in {stages.TUNER.name, stages.TRAINER.name} & set(spec.tasks(pipeline)):
        told = spec.tasks(pipeline)[name]["inputs"]["parameters"]["custom_config"]["runtimeValue"]
        told["constant"] = json.dumps(_without_folders(json.loads(told["constant"])))
    for name in (stages.DATA_GATE.name, stages.EVALUATOR.name):
        told = spec.tasks(pipeline)[name]["inputs"]["parameters"]["features"]["runtimeValue"]
        if told["constant"]:
            told["constant"] = json.dumps(json.loads(told["constant"]) | {"folder": ""})
    return pipeline


def _without_folders(settings: Spec) -> Spec:
    """Empties the folders in the settings of the Trainer, or of the Tuner, which hold those of the Trainer."""
    emptied = {name: "" for name in ("checkpoints", "features") if name in settings}
    nested = {"trainer": _without_folders(settings["trainer"])} if "trainer" in settings else {}
    return settings | emptied | nested


def _add_preflight(pipeline: Spec, config: Config) -> None:
    outputs = (*_PREFLIGHT_OUTPUTS, _FILES_VERSION)
    spec.add_task(pipeline, PREFLIGHT.name, config.kubeflow.image, inputs={}, outputs=outputs)
    spec.set_parameter(pipeline, PREFLIGHT.name, "config", spec.constant(_raw(config)))


def _add_model_gate(pipeline: Spec, config: Config) -> None:
    graph = [name for name in spec.tasks(pipeline) if BY_NAME[name].in_graph]
    inputs = {
        "evaluation": (stages.EVALUATOR.name, "evaluation"),
        "serving_check": (stages.SERVING_CHECK.name, "serving_check_out"),
        "pushed_model": (stages.PUSHER.name, "pushed_model"),
    }
    if config.notify or config.sinks.any:
        inputs["report"] = (stages.REPORT.name, "report")
    spec.add_task(pipeline, stages.MODEL_GATE.name, config.kubeflow.image, inputs=inputs, outputs=())
    if config.sinks.any:
        for key, value in {"name": config.name, "sinks": config.sinks.to_json(), "run": spec.RUN_ID}.items():
            spec.set_parameter(pipeline, stages.MODEL_GATE.name, key, spec.constant(value))
    for name in graph:  # whatever the graph holds, the refusal comes last
        spec.run_after(pipeline, stages.MODEL_GATE.name, name)


def _add_notify(pipeline: Spec, config: Config) -> None:
    """Adds the task that runs when all others have ended. It gets names of variables; their values are in the pod."""
    recipients = [one.model_dump(mode="json") for one in config.notify]
    spec.nest(pipeline, NESTED)
    spec.add_task(pipeline, NOTIFY.name, config.kubeflow.image, inputs={}, outputs=())
    for key, value in {"name": config.name, "recipients": json.dumps(recipients), "run": spec.RUN_ID}.items():
        spec.set_parameter(pipeline, NOTIFY.name, key, spec.constant(value))
    spec.run_at_exit(pipeline, NOTIFY.name, NESTED, "status")
    _configure(pipeline, NOTIFY.name, config)


def _add_views(pipeline: Spec, config: Config) -> None:
    for name in spec.tasks(pipeline):
        for output, kind in views.types(BY_NAME[name], config.task).items():
            spec.add_output(pipeline, name, output, kind)


def _add_parameters(pipeline: Spec, config: Config) -> None:
    """Adds the parameters that may be set when a run is submitted, to Preflight and to the stages that use them."""
    parameters: dict[str, tuple[str, str | int]] = {
        "data_root": ("STRING", config.data_root),
        "data_version": ("STRING", ""),
        "epochs": ("NUMBER_INTEGER", config.training.all_epochs),
    }
    for parameter, (kind, default) in parameters.items():
        spec.add_pipeline_parameter(pipeline, parameter, kind, default)
        for stage in STAGES:
            if stage is PREFLIGHT or (parameter in stage.settings and stage.name in spec.tasks(pipeline)):
                source = spec.pipeline_parameter(parameter)
                spec.set_parameter(pipeline, stage.name, parameter, source, kind)


def _follow_preflight(pipeline: Spec) -> None:
    """Joins the stages of the graph to the outputs of Preflight."""
    for name, task in spec.tasks(pipeline).items():
        known = task["inputs"].get("parameters", {})
        followed = [output for output in _PREFLIGHT_OUTPUTS if output in known]
        followed += [_FILES_VERSION] if BY_NAME[name].reads & _FILES else []
        for output in followed:
            spec.set_parameter(pipeline, name, output, spec.task_output(PREFLIGHT.name, output))
            spec.run_after(pipeline, name, PREFLIGHT.name)


def _check_names(pipeline: Spec, config: Config) -> None:
    known = spec.tasks(pipeline)
    for name in config.kubeflow.stages:
        if name not in known:
            raise ConfigError(f"kubeflow.stages: {name!r} is no stage; there are {', '.join(sorted(known))}")


def _configure(pipeline: Spec, name: str, config: Config) -> None:
    """Sets caching, retries, resources and the command line of a stage."""
    stage, task, container = BY_NAME[name], spec.tasks(pipeline)[name], spec.container(pipeline, name)
    task["cachingOptions"] = {"enableCache": True} if stage.cached and stage.cached_by_backend else {}
    if config.kubeflow.retries and stage.retried:
        task["retryPolicy"] = {
            "maxRetryCount": config.kubeflow.retries,
            "backoffDuration": "30s",
            "backoffFactor": 2.0,
            "backoffMaxDuration": "3600s",
        }
    container["resources"] = pods.resources(stage, config)
    # TFX wrote the definitions down before they were changed here.
    definitions = pipeline["components"][name]["inputDefinitions"]
    arguments = container["args"]
    arguments[arguments.index(spec.SPEC_FLAG) + 1] = json.dumps(definitions, sort_keys=True)
    if stage.settings:
        arguments += [WITHIN_FLAG, json.dumps(stage.settings)]
