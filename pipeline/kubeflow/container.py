"""The entry point in the Kubeflow container: runs one stage on what the backend's launcher passes, and reports back.

The launcher copies a task's inputs to local paths, runs this, and uploads what then lies at the local paths of the
outputs. TFX's own entry point reads the URIs instead, imports TFMA for every stage, and cannot read artifacts as the
open-source backend describes them; so this one takes its place. It imports what its stage needs, no more.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from components.base import machine
from components.base.errors import ImagegateError, print_trace
from components.base.text import shown, without_passwords
from pipeline import stopping
from pipeline.kubeflow import artifacts
from pipeline.kubeflow.artifacts import Json
from pipeline.kubeflow.gate_log import EXIT_CODE, OUTCOME


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the stage that the arguments name; returns the exit code, with the reason as the last line of stderr.

    Args:
        arguments: default: those of this process, which is the program then and ends at a signal; see `stopping`.
    """
    if arguments is None:
        machine.limit_threads()
        with stopping.stoppable():
            return main(sys.argv[1:])
    options, beam = _parser().parse_known_args(arguments)
    from pipeline.terminal import Terminal

    try:
        with Terminal(stderr=True):  # a line now and then, in the pod's log
            _run(options, beam)
    except ImagegateError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt as error:
        stopped = stopping.Stopped.by(error)
        return _fail(str(stopped), stopped.exit_code)
    except Exception as error:  # noqa: BLE001  a bug: its trace, then its gist
        print_trace()
        return _fail(without_passwords(f"{type(error).__name__}: {error}"), 1)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline.kubeflow.container", allow_abbrev=False)
    stage = parser.add_mutually_exclusive_group(required=True)
    stage.add_argument("--executor_class_path", metavar="MODULE.CLASS", help="a stage of the graph")
    stage.add_argument("--task", help="one of the tasks around it; see pipeline.kubeflow.around")
    parser.add_argument(
        "--json_serialized_invocation_args",
        required=True,
        type=json.loads,
        dest="executor_input",
        help="the launcher's ExecutorInput",
    )
    parser.add_argument("--json_serialized_inputs_spec_args", required=True, type=json.loads, dest="spec")
    parser.add_argument("--within", type=json.loads, default={}, help="parameter: [another, which is JSON, keys in it]")
    return parser


def _fail(reason: str, code: int) -> int:
    sys.stdout.flush()
    outcome = OUTCOME + json.dumps({"exit_code": code, "reason": reason})
    print(f"{outcome}\n{EXIT_CODE}{code}\nimagegate: {shown(reason)}", file=sys.stderr, flush=True)
    return code


def _run(options: argparse.Namespace, beam: list[str]) -> None:
    """Runs the stage or task, and writes its outputs to the file that the launcher reads."""
    executor_input = options.executor_input
    path = os.environ.get(artifacts.STAGING, "") + executor_input["outputs"]["outputFile"]
    values = parameters(executor_input, options.spec, options.within)
    if options.task:
        from pipeline.kubeflow import around

        inputs = artifacts.inputs(executor_input, options.spec)
        made: Json = {"parameterValues": around.run(options.task, values, inputs)}
    else:
        made = {"artifacts": _run_executor(options, values, beam)}
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(made, f, allow_nan=False)


def parameters(executor_input: Json, spec: Json, within: Mapping[str, Sequence[str]]) -> Json:
    """Returns the values of a stage's parameters.

    Args:
        executor_input: the launcher's. It holds whole numbers as doubles.
        spec: the stage's `inputDefinitions`, which say what is a whole number.
        within: parameter -> (another, which is JSON, and the key in it that this one replaces).
    """
    kinds = {name: one.get("parameterType") for name, one in spec.get("parameters", {}).items()}
    values: Json = {
        name: int(value) if kinds.get(name) == "NUMBER_INTEGER" else value
        for name, value in executor_input.get("inputs", {}).get("parameterValues", {}).items()
    }
    for name, (parameter, *keys) in within.items():
        values[parameter] = json.dumps(_replaced(json.loads(values[parameter]), keys, values.pop(name)))
    return values


def _replaced(content: Json, keys: Sequence[str], value: Any) -> Json:
    """Puts `value` at the end of the path `keys` in a copy of `content`."""
    key, *deeper = keys
    return content | {key: _replaced(content[key], deeper, value) if deeper else value}


def _run_executor(options: argparse.Namespace, values: Json, beam: list[str]) -> Json:
    """Runs a stage of the graph as TFX's launcher does; returns its output artifacts."""
    executor = _load(options.executor_class_path)
    from tfx.dsl.components.base import base_beam_executor, base_executor

    inputs = artifacts.inputs(options.executor_input, options.spec)
    outputs = artifacts.outputs(options.executor_input)
    with tempfile.TemporaryDirectory(prefix="imagegate-") as folder:
        if "custom_config" in values:
            values["custom_config"] = _with_own_checkpoints(values["custom_config"], folder)
        if issubclass(executor, base_beam_executor.BaseBeamExecutor):
            context = base_beam_executor.BaseBeamExecutor.Context(
                beam_pipeline_args=beam, tmp_dir=folder, unique_id="stage"
            )
        else:
            context = base_executor.BaseExecutor.Context(tmp_dir=folder, unique_id="stage")
        executor(context).Do(inputs, outputs, values)
    from pipeline.kubeflow import views

    drawn = views.fill(options.executor_input, inputs, outputs, artifacts.local)
    return artifacts.result(options.executor_input, outputs) | drawn


def _load(path: str) -> Any:
    """Returns the class at MODULE.CLASS."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _with_own_checkpoints(custom_config: str, folder: str) -> str:
    """Sets the folder of checkpoints. It ends with the pod, so a training that was killed begins anew."""
    settings = json.loads(custom_config)
    if "checkpoints" in settings:
        settings["checkpoints"] = os.path.join(folder, "checkpoints")
    return json.dumps(settings)


if __name__ == "__main__":
    raise SystemExit(main())
