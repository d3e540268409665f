"""Reads and changes a pipeline spec: `pipeline_spec_pb2.PipelineSpec` of schema 2.1.0 as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Spec = dict[str, Any]

COMMAND = ("python", "-m", "pipeline.kubeflow.container")
RUN_ID = "{{$.pipeline_job_uuid}}"  # a constant that the backend replaces by the ID of the run
SPEC_FLAG = "--json_serialized_inputs_spec_args"


def tasks(spec: Spec) -> dict[str, Spec]:
    """Returns the tasks of the pipeline by the names of their stages."""
    found: dict[str, Spec] = spec["root"]["dag"]["tasks"]
    return found


def container(spec: Spec, stage: str) -> Spec:
    """Returns the container that a stage runs in."""
    found: Spec = spec["deploymentSpec"]["executors"][spec["components"][stage]["executorLabel"]]["container"]
    return found


def output(spec: Spec, stage: str, name: str) -> Spec:
    """Returns the definition of an output artifact."""
    found: Spec = spec["components"][stage]["outputDefinitions"]["artifacts"][name]
    return found


def add_pipeline_parameter(spec: Spec, name: str, kind: str, default: str | int) -> None:
    """Adds a parameter that may be set when a run is submitted."""
    parameters = spec["root"].setdefault("inputDefinitions", {}).setdefault("parameters", {})
    parameters[name] = {"parameterType": kind, "defaultValue": default}


def set_parameter(spec: Spec, stage: str, name: str, source: Spec, kind: str = "STRING") -> None:
    """Takes a parameter of a stage from `source`, such as `constant` or `pipeline_parameter` return."""
    spec["components"][stage]["inputDefinitions"].setdefault("parameters", {})[name] = {"parameterType": kind}
    tasks(spec)[stage]["inputs"].setdefault("parameters", {})[name] = source


def constant(value: str) -> Spec:
    """Returns the source of a fixed value."""
    return {"runtimeValue": {"constant": value}}


def pipeline_parameter(name: str) -> Spec:
    """Returns the source of a value that is set when a run is submitted."""
    return {"componentInputParameter": name}


def task_output(producer: str, name: str) -> Spec:
    """Returns the source of a value that another task puts out."""
    return {"taskOutputParameter": {"producerTask": producer, "outputParameterKey": name}}


def run_after(spec: Spec, stage: str, other: str) -> None:
    """Lets a stage wait for another one."""
    task = tasks(spec)[stage]
    task["dependentTasks"] = sorted({*task.get("dependentTasks", ()), other})


def nest(spec: Spec, name: str) -> None:
    """Makes all tasks those of one task, which gets the parameters of the pipeline and ends when they have ended."""
    parameters = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    given = {key: {"parameterType": one["parameterType"]} for key, one in parameters.items()}
    spec["components"][name] = {"dag": {"tasks": tasks(spec)}, "inputDefinitions": {"parameters": given}}
    spec["root"]["dag"]["tasks"] = {
        name: {
            "taskInfo": {"name": name},
            "componentRef": {"name": name},
            "inputs": {"parameters": {key: pipeline_parameter(key) for key in parameters}},
        }
    }


def run_at_exit(spec: Spec, stage: str, other: str, status: str) -> None:
    """Lets a stage run when another one has ended, however that was, and gives it the final status as a parameter."""
    set_parameter(spec, stage, status, {"taskFinalStatus": {"producerTask": other}}, "TASK_FINAL_STATUS")
    run_after(spec, stage, other)
    tasks(spec)[stage]["triggerPolicy"] = {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}


def add_output(spec: Spec, stage: str, name: str, kind: str) -> None:
    """Adds an output artifact of one of Kubeflow's types, such as "system.Metrics"."""
    spec["components"][stage]["outputDefinitions"]["artifacts"][name] = {
        "artifactType": {"schemaTitle": kind, "schemaVersion": "0.0.1"}
    }


def add_task(
    spec: Spec, name: str, image: str | None, *, inputs: Mapping[str, tuple[str, str]], outputs: tuple[str, ...]
) -> None:
    """Adds a task that is not part of the graph; see `pipeline.kubeflow.around`.

    Args:
        inputs: input artifact -> (stage, its output).
        outputs: names of the parameters that the task puts out, all of them text.
    """
    definitions: Spec = {"parameters": {}, "artifacts": {}}
    sources: Spec = {"parameters": {}, "artifacts": {}}
    for key, (producer, artifact) in inputs.items():
        definitions["artifacts"][key] = {"artifactType": output(spec, producer, artifact)["artifactType"]}
        sources["artifacts"][key] = {"taskOutputArtifact": {"producerTask": producer, "outputArtifactKey": artifact}}
    component: Spec = {"executorLabel": f"{name}_executor", "inputDefinitions": definitions}
    if outputs:
        component["outputDefinitions"] = {"parameters": {key: {"parameterType": "STRING"} for key in outputs}}
    spec["components"][name] = component
    tasks(spec)[name] = {"taskInfo": {"name": name}, "componentRef": {"name": name}, "inputs": sources}
    arguments = ["--task", name, "--json_serialized_invocation_args", "{{$}}", SPEC_FLAG, ""]
    spec["deploymentSpec"]["executors"][f"{name}_executor"] = {
        "container": {"image": image, "command": list(COMMAND), "args": arguments}
    }
