"""`imagegate compile`: the graph as a Kubeflow pipeline of schema 2.1.0.

TFX compiles the graph. What the open-source backend wants otherwise, or TFX cannot say, is changed in the result: what
may be told when a run is submitted, the tasks around the graph, caching, retries, and what `pods` asks for.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import yaml

from components.base.errors import ConfigError, ImagegateError
from pipeline.kubeflow import pods, views

if TYPE_CHECKING:
    from pipeline.config import Config

Spec = dict[str, Any]

COMMAND = ("python", "-m", "pipeline.kubeflow.container")
PREFLIGHT, MODEL_GATE = "Preflight", "ModelGate"  # see `pipeline.kubeflow.around`
SPEC_FLAG = "--json_serialized_inputs_spec_args"
WITHIN_FLAG = "--within"

# What may be told at submission: name -> (type, stages that it reaches).
_TOLD = {
    "data_root": ("STRING", (PREFLIGHT, "ImageExampleGen")),
    "data_version": ("STRING", (PREFLIGHT,)),
    "epochs": ("NUMBER_INTEGER", (PREFLIGHT, "Trainer")),
}
# Stage -> parameter -> where it belongs in another parameter, which is JSON.
WITHIN = {"ImageExampleGen": {"data_root": ("layout", "root")}, "Trainer": {"epochs": ("custom_config", "epochs")}}
# What Preflight finds out, for every stage of the graph with a parameter of this name: its cache key follows.
_FOUND = ("data_fingerprint", "served_version")
# The same for those that read files of which the graph knows no version.
_FILES, _READ_FILES = "files_version", ("Trainer", "Evaluator")
# They answer for the moment that they run in: of the data and of the push destination.
_NEVER_CACHED = (PREFLIGHT, "Pusher", MODEL_GATE)
# A refusal stays one however often it is repeated.
_GATES = (PREFLIGHT, "ImageExampleGen", "ClassBalance", MODEL_GATE)


def compile(config: Config) -> tuple[Spec, Spec]:
    """The pipeline spec and the platform spec, as `pipeline_spec_pb2` has them. Reads no data.

    Raises:
        ConfigError: a setting that this needs is missing or fits no stage, or the backbone or schema file is wrong.
        ImagegateError: Kubeflow's libraries are not installed.
    """
    spec = _of_graph(config)
    _surround(spec, config)
    _add_views(spec, config)
    for name, (kind, stages) in _TOLD.items():
        definition = {"parameterType": kind, "defaultValue": _default(config, name)}
        spec["root"].setdefault("inputDefinitions", {}).setdefault("parameters", {})[name] = definition
        for stage in stages:
            _take(spec, stage, name, kind, {"componentInputParameter": name})
    for stage, task in _tasks(spec).items():
        known = task["inputs"].get("parameters", {})
        for name in [n for n in _FOUND if n in known] + [_FILES] * (stage in _READ_FILES):
            source = {"taskOutputParameter": {"producerTask": PREFLIGHT, "outputParameterKey": name}}
            _take(spec, stage, name, "STRING", source)
            _after(spec, stage, PREFLIGHT)
    _check_stages(spec, config)
    for stage in _tasks(spec):
        _settle(spec, stage, config)
    labels = {stage: spec["components"][stage]["executorLabel"] for stage in _tasks(spec)}
    return spec, pods.platform(labels, config)


def write(config: Config, path: str) -> None:
    """Writes both as the two documents of one YAML file.

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


def _of_graph(config: Config) -> Spec:
    """What TFX makes of the graph."""
    if config.kubeflow.image is None:
        raise ConfigError("kubeflow.image: this key is missing; the image that holds imagegate")
    from pipeline import graph
    from pipeline.runs import local

    try:
        from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner as runner
    except ImportError as error:
        raise ImagegateError(f"{error.name} is not installed; install imagegate[kubeflow]") from None
    built = graph.build(
        config, data_fingerprint="", served_version="", frozen=local.frozen_schema(config), elsewhere=True
    )
    built.pipeline_info.pipeline_name = pipeline_name(config)
    told = runner.KubeflowV2DagRunnerConfig(
        default_image=config.kubeflow.image, default_commands=list(COMMAND), use_pipeline_spec_2_1=True
    )
    spec: Spec = runner.KubeflowV2DagRunner(told).run(built, write_out=False)["pipelineSpec"]
    spec["defaultPipelineRoot"] = config.kubeflow.pipeline_root
    # A folder of the machine that compiles; the container takes one of its own.
    trainer = _tasks(spec)["Trainer"]["inputs"]["parameters"]["custom_config"]["runtimeValue"]
    trainer["constant"] = json.dumps(json.loads(trainer["constant"]) | {"checkpoints": ""})
    return spec


def pipeline_name(config: Config) -> str:
    """`name` in the letters that Kubeflow takes."""
    return re.sub("[^a-z0-9]+", "-", config.name.lower()).strip("-")[:128]


def _surround(spec: Spec, config: Config) -> None:
    """Adds the tasks before and after the graph."""
    told = config.model_dump(mode="json", exclude_unset=True, exclude={"kubeflow"}) | {"folder": config.folder}
    outputs = {name: {"parameterType": "STRING"} for name in (*_FOUND, _FILES)}
    _add_task(spec, PREFLIGHT, config, outputs={"parameters": outputs})
    _set(spec, PREFLIGHT, "config", json.dumps(told))
    graph = [name for name in _tasks(spec) if name != PREFLIGHT]
    inputs = {
        "evaluation": ("Evaluator", "evaluation"),
        "serving_check": ("ServingCheck", "serving_check_out"),
        "pushed_model": ("Pusher", "pushed_model"),
    }
    _add_task(spec, MODEL_GATE, config, artifacts=inputs)
    for name in graph:  # whatever the graph holds, the refusal comes last
        _after(spec, MODEL_GATE, name)


def _add_views(spec: Spec, config: Config) -> None:
    """Outputs that Kubeflow's user interface draws."""
    for stage in _tasks(spec):
        for name, kind in views.types(stage, config.task).items():
            made = spec["components"][stage]["outputDefinitions"]["artifacts"]
            made[name] = {"artifactType": {"schemaTitle": kind, "schemaVersion": "0.0.1"}}


def _add_task(
    spec: Spec,
    name: str,
    config: Config,
    outputs: Spec | None = None,
    artifacts: dict[str, tuple[str, str]] | None = None,
) -> None:
    """A task of ours; `artifacts`: input -> (producer, its output)."""
    definitions: Spec = {"parameters": {}, "artifacts": {}}
    inputs: Spec = {"parameters": {}, "artifacts": {}}
    for key, (producer, output) in (artifacts or {}).items():
        made = spec["components"][producer]["outputDefinitions"]["artifacts"][output]
        definitions["artifacts"][key] = {"artifactType": made["artifactType"]}
        inputs["artifacts"][key] = {"taskOutputArtifact": {"producerTask": producer, "outputArtifactKey": output}}
    component: Spec = {"executorLabel": f"{name}_executor", "inputDefinitions": definitions}
    spec["components"][name] = component | ({"outputDefinitions": outputs} if outputs else {})
    _tasks(spec)[name] = {"taskInfo": {"name": name}, "componentRef": {"name": name}, "inputs": inputs}
    arguments = ["--task", name, "--json_serialized_invocation_args", "{{$}}", SPEC_FLAG, ""]
    container = {"image": config.kubeflow.image, "command": list(COMMAND), "args": arguments}
    spec["deploymentSpec"]["executors"][f"{name}_executor"] = {"container": container}


def _default(config: Config, name: str) -> str | int:
    defaults: dict[str, str | int] = {
        "data_root": config.data_root,
        "data_version": "",
        "epochs": config.training.epochs,
    }
    return defaults[name]


def _set(spec: Spec, stage: str, parameter: str, value: str) -> None:
    _take(spec, stage, parameter, "STRING", {"runtimeValue": {"constant": value}})


def _take(spec: Spec, stage: str, parameter: str, kind: str, source: Spec) -> None:
    """Has a parameter of a stage come from `source`."""
    definitions = spec["components"][stage]["inputDefinitions"].setdefault("parameters", {})
    definitions[parameter] = {"parameterType": kind}
    _tasks(spec)[stage]["inputs"].setdefault("parameters", {})[parameter] = source


def _after(spec: Spec, stage: str, other: str) -> None:
    task = _tasks(spec)[stage]
    task["dependentTasks"] = sorted({*task.get("dependentTasks", ()), other})


def _check_stages(spec: Spec, config: Config) -> None:
    for stage in config.kubeflow.stages:
        if stage not in _tasks(spec):
            raise ConfigError(f"kubeflow.stages: {stage!r} is no stage; there are {', '.join(sorted(_tasks(spec)))}")


def _settle(spec: Spec, stage: str, config: Config) -> None:
    """Caching, retries, resources and the command line of one stage."""
    task, container = _tasks(spec)[stage], _container(spec, stage)
    task["cachingOptions"] = {} if stage in _NEVER_CACHED else {"enableCache": True}
    if config.kubeflow.retries and stage not in _GATES:
        task["retryPolicy"] = {
            "maxRetryCount": config.kubeflow.retries,
            "backoffDuration": "30s",
            "backoffFactor": 2.0,
            "backoffMaxDuration": "3600s",
        }
    container["resources"] = pods.resources(stage, config)
    # TFX wrote the definitions down before they were changed above.
    arguments = container["args"]
    arguments[arguments.index(SPEC_FLAG) + 1] = json.dumps(
        spec["components"][stage]["inputDefinitions"], sort_keys=True
    )
    if stage in WITHIN:
        arguments += [WITHIN_FLAG, json.dumps(WITHIN[stage])]


def _tasks(spec: Spec) -> dict[str, Spec]:
    tasks: dict[str, Spec] = spec["root"]["dag"]["tasks"]
    return tasks


def _container(spec: Spec, stage: str) -> Spec:
    container: Spec = spec["deploymentSpec"]["executors"][spec["components"][stage]["executorLabel"]]["container"]
    return container
