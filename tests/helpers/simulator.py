"""A Kubeflow backend on this machine: driver, launcher and cache over a compiled pipeline; each task is a process.

Written from what the backend (releases 2.14 to 2.17) does, and stricter: what it lets pass with a warning is an error
here. Metadata go through ML Metadata's own store, as they do there. Unlike a cluster it has no containers: commands run
with this interpreter, their paths below a folder of their own (see `pod` for more). Volumes are this machine's paths,
mounted or not.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlmd
import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2 as pb
from mlmd import Refused

Json = dict[str, Any]

SCHEMES = {"minio://": "/minio/", "s3://": "/s3/", "gs://": "/gcs/"}
TYPES = {"STRING": str, "NUMBER_INTEGER": int, "NUMBER_DOUBLE": float, "BOOLEAN": bool, "TASK_FINAL_STATUS": dict}
AT_EXIT = "ALL_UPSTREAM_TASKS_COMPLETED"
LOGS = "executor-logs"
LONGEST = 32 * 4096  # MAX_ARG_STRLEN, with the end


def parse(path: Path) -> tuple[Json, Json]:
    """Both documents, without a key that the backend's schemas do not know."""
    spec, platform = yaml.safe_load_all(path.read_text())
    json_format.ParseDict(spec, pb.PipelineSpec())
    json_format.ParseDict(spec["deploymentSpec"], pb.PipelineDeploymentConfig())
    json_format.ParseDict(platform, pb.PlatformSpec())
    for executor in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
        json_format.ParseDict(executor, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
    return spec, platform


@dataclass(frozen=True)
class Artifact:
    """As the metadata store has it."""

    id: int
    uri: str
    schema: Json
    metadata: Json  # as the launcher has them


@dataclass
class Task:
    """What became of one task of a run."""

    status: str  # succeeded, cached, failed or skipped
    log: str = ""
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    parameters: Json = field(default_factory=dict)
    attempts: int = 0


@dataclass(frozen=True)
class Pod:
    """One attempt at a task: what the container finds at its paths, and what it is started with."""

    task: str
    folder: Path
    command: list[str]
    environment: dict[str, str]


# As `python -m MODULE` does, and then tells which modules it took.
_WATCHED = """
import atexit, json, runpy, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=open("modules.json", "w")))
module = sys.argv.pop(1)
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def in_process_of_its_own(source: Path, loaded: dict[str, set[str]]) -> Callable[[Pod], tuple[int, str]]:
    """Runs a pod's command as a cluster would, with the packages below `source`; notes what each task `loaded`."""

    def execute(pod: Pod) -> tuple[int, str]:
        inherited = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TF_CPP_MIN_LOG_LEVEL")}
        paths = {"PYTHONPATH": str(source), "TMPDIR": str(pod.folder)}
        assert pod.command[:2] == ["python", "-m"]
        done = subprocess.run(
            [sys.executable, "-c", _WATCHED, *pod.command[2:]],
            cwd=pod.folder,
            env=inherited | pod.environment | paths,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        loaded[pod.task] = set(json.loads((pod.folder / "modules.json").read_text()))
        return done.returncode, done.stdout

    return execute


def in_this_process(pod: Pod) -> tuple[int, str]:
    """The same without the seconds that a start takes; the entry point and its arguments are those of the command."""
    import signal

    from pipeline.kubeflow import container

    assert pod.command[1:3] == ["-m", "pipeline.kubeflow.container"]
    before, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
    os.environ.update(pod.environment)
    log = io.StringIO()
    try:
        with contextlib.redirect_stderr(log):
            return container.main(pod.command[3:]), log.getvalue()
    finally:
        os.environ.clear()
        os.environ.update(before)
        signal.signal(signal.SIGTERM, handler)


class Backend:
    """Object store, metadata and cache, which outlive a run.

    Args:
        folder: for everything.
        execute: runs a pod; returns exit code and log.
        release: whose paths: "2.14" or "2.17".
        logs: whether the backend keeps each task's log as an additional output.
    """

    def __init__(
        self, folder: Path, execute: Callable[[Pod], tuple[int, str]], release: str = "2.17", logs: bool = False
    ) -> None:
        self.store, self._pods = folder / "store", folder / "pods"
        self._execute, self._release, self._logs = execute, release, logs
        self._cache: dict[str, Task] = {}
        self.metadata = mlmd.Metadata()

    def run(self, path: Path, parameters: Mapping[str, Any] | None = None) -> dict[str, Task]:
        """Runs a compiled pipeline to its end; tasks by name, in the order they ran in."""
        spec, platform = parse(path)
        given = self._root_parameters(spec, parameters or {})
        run, outer = str(uuid.uuid4()), spec["root"]["dag"]["tasks"]
        exits = [name for name, task in outer.items() if task.get("triggerPolicy", {}).get("strategy") == AT_EXIT]
        if not exits:
            return self._run_tasks(spec, platform, run, given)
        # As the backend has it: a hook of one task, which holds others, and whose state is all that the hook is told.
        [exit_task] = exits
        [within] = set(outer) - set(exits)
        if outer[exit_task].get("dependentTasks") != [within]:
            raise Refused(f"{exit_task} does not wait for {within} alone")
        component = spec["components"][within]
        passed = {key: {"componentInputParameter": key} for key in component["inputDefinitions"]["parameters"]}
        if outer[within]["inputs"]["parameters"] != passed:
            raise Refused(f"{within} is not given its parameters")
        root = {"dag": component["dag"], "inputDefinitions": component["inputDefinitions"]}
        tasks = self._run_tasks(spec | {"root": root}, platform, run, given)
        state = "COMPLETE" if all(task.status in ("succeeded", "cached") for task in tasks.values()) else "FAILED"
        status = {"state": state, "pipelineTaskName": within, "pipelineJobResourceName": "a-run", "error": {}}
        driver = _Driver(self, spec, platform, run, given, {}, {within: status})
        return tasks | {exit_task: driver.drive(exit_task)}

    def _run_tasks(self, spec: Json, platform: Json, run: str, given: Json) -> dict[str, Task]:
        tasks: dict[str, Task] = {}
        for name in ordered(spec["root"]["dag"]["tasks"]):
            dependencies = spec["root"]["dag"]["tasks"][name].get("dependentTasks", [])
            if any(tasks[other].status in ("failed", "skipped") for other in dependencies):
                tasks[name] = Task("skipped")
            else:
                tasks[name] = _Driver(self, spec, platform, run, given, tasks).drive(name)
        return tasks

    @staticmethod
    def _root_parameters(spec: Json, given: Mapping[str, Any]) -> Json:
        known = spec["root"].get("inputDefinitions", {}).get("parameters", {})
        if set(given) - set(known):
            raise Refused(f"unknown parameters: {set(given) - set(known)}")
        values = {name: given.get(name, one.get("defaultValue")) for name, one in known.items()}
        for name, value in values.items():
            check_type(name, value, known[name]["parameterType"])
        return values

    def path(self, uri: str) -> Path:
        """Where the object store keeps what lies at `uri`."""
        return self.store / uri.partition("://")[2]


def check_type(name: str, value: Any, kind: str) -> None:
    if type(value) is not TYPES[kind]:
        raise Refused(f"{name}: expected {kind}, got {value!r}")


def ordered(tasks: Json) -> list[str]:
    """Each task after those that it waits for; a producer that is not waited for may not have run yet."""
    done: list[str] = []
    for name, task in tasks.items():
        inputs = task.get("inputs", {})
        sources = [s for kind in inputs.values() for s in kind.values()]
        for source in sources:
            producer = (source.get("taskOutputArtifact") or source.get("taskOutputParameter") or {}).get("producerTask")
            if producer and producer not in task.get("dependentTasks", []):
                raise Refused(f"{name} takes what {producer} puts out, but does not wait for it")
    while len(done) < len(tasks):
        ready = [n for n in sorted(tasks) if n not in done and set(tasks[n].get("dependentTasks", [])) <= set(done)]
        if not ready:
            raise Refused("the tasks wait for one another")
        done += ready
    return done


@dataclass(frozen=True)
class _Driver:
    """Of the tasks of one run."""

    backend: Backend
    spec: Json
    platform: Json
    run: str
    given: Json
    tasks: dict[str, Task]
    statuses: Json = field(default_factory=dict)  # task -> its final status, for a task that runs at exit

    @property
    def root(self) -> str:
        """What every output of this run lies below."""
        return f"{self.spec['defaultPipelineRoot']}/{self.spec['pipelineInfo']['name']}/{self.run}"

    def drive(self, name: str) -> Task:
        task, component = self.spec["root"]["dag"]["tasks"][name], self.spec["components"][name]
        container = self.spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        told = self._inputs(name, task, component) | self._outputs(name, component)
        json_format.ParseDict(told, pb.ExecutorInput())
        key = self._key(told, component, container) if task.get("cachingOptions", {}).get("enableCache") else None
        if key is not None and key in self.backend._cache:
            found = self.backend._cache[key]
            return Task("cached", artifacts=found.artifacts, parameters=found.parameters)
        attempts = 1 + task.get("retryPolicy", {}).get("maxRetryCount", 0)
        for attempt in range(1, attempts + 1):
            done = self._launch(name, self._attempt(told, attempt), component, container)
            done.attempts = attempt
            if done.status == "succeeded":
                break
        if key is not None and done.status == "succeeded":
            self.backend._cache[key] = done
        return done

    def _inputs(self, name: str, task: Json, component: Json) -> Json:
        definitions, inputs = component.get("inputDefinitions", {}), task.get("inputs", {})
        for kind in ("parameters", "artifacts"):
            if set(inputs.get(kind, {})) != set(definitions.get(kind, {})):
                raise Refused(f"{name}: {kind} are not those of its component")
        parameters, artifacts = {}, {}
        for key, source in inputs.get("parameters", {}).items():
            kind = definitions["parameters"][key]["parameterType"]
            parameters[key] = self._parameter(key, source, kind)
            check_type(f"{name}.{key}", parameters[key], kind)
        for key, source in inputs.get("artifacts", {}).items():
            producer = source["taskOutputArtifact"]
            found = self.tasks[producer["producerTask"]].artifacts[producer["outputArtifactKey"]]
            artifacts[key] = {"artifacts": [self.backend.metadata.resolve(found.id)]}
        return {"inputs": {"parameterValues": parameters, "artifacts": artifacts}}

    def _parameter(self, key: str, source: Json, kind: str) -> Any:
        if "componentInputParameter" in source:
            return self.given[source["componentInputParameter"]]
        if "taskOutputParameter" in source:
            wanted = source["taskOutputParameter"]
            outputs = self.spec["components"][wanted["producerTask"]]["outputDefinitions"]["parameters"]
            if outputs[wanted["outputParameterKey"]]["parameterType"] != kind:
                raise Refused(f"{key}: not the type that {wanted['producerTask']} puts out")
            return self.tasks[wanted["producerTask"]].parameters[wanted["outputParameterKey"]]
        if "taskFinalStatus" in source:
            return self.statuses[source["taskFinalStatus"]["producerTask"]]
        value = source["runtimeValue"]["constant"]
        value = self.run if value == "{{$.pipeline_job_uuid}}" else value
        return int(value) if kind == "NUMBER_INTEGER" and float(value).is_integer() else value

    def _outputs(self, name: str, component: Json) -> Json:
        definitions = component.get("outputDefinitions", {})
        folder = f"{self.root}/{name}/{uuid.uuid4()}"
        types = {key: one["artifactType"] for key, one in definitions.get("artifacts", {}).items()}
        if self.backend._logs:
            types[LOGS] = {"schemaTitle": "system.Artifact"}
        old = self.backend._release == "2.14"
        artifacts = {
            key: {"artifacts": [({} if old else {"name": key}) | {"uri": f"{folder}/{key}", "type": kind}]}
            for key, kind in types.items()
        }
        parameters = {key: {"outputFile": f"/tmp/kfp/outputs/{key}"} for key in definitions.get("parameters", {})}
        file = "/tmp/kfp_outputs/output_metadata.json" if old else f"{local(folder)}/output_metadata.json"
        return {"outputs": {"artifacts": artifacts, "parameters": parameters, "outputFile": file}}

    def _attempt(self, told: Json, attempt: int) -> Json:
        """What the launcher makes of it: since 2.17 each attempt's log has a name of its own."""
        told = json.loads(json.dumps(told))
        if LOGS in told["outputs"]["artifacts"] and self.backend._release != "2.14":
            told["outputs"]["artifacts"][LOGS]["artifacts"][0]["uri"] += f"-{attempt - 1}"
        return told

    def _key(self, told: Json, component: Json, container: Json) -> str:
        """Who made the inputs, what is told, what comes out, and how; neither URIs nor what an image's tag means."""
        executors = self.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        mounts = executors.get(component["executorLabel"], {}).get("pvcMount", [])
        inputs, outputs = told["inputs"], told["outputs"]
        seen = [
            {key: [a["name"] for a in listed["artifacts"]] for key, listed in inputs["artifacts"].items()},
            inputs["parameterValues"],
            {
                key: [a.get("name"), a["type"]]
                for key, listed in outputs["artifacts"].items()
                for a in listed["artifacts"]
            },
            component.get("outputDefinitions", {}).get("parameters", {}),
            [container["image"], container["command"], container["args"], container.get("env", [])],
            sorted(mount["constant"] for mount in mounts),
            self.spec["pipelineInfo"]["name"],
        ]
        return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()

    def _launch(self, name: str, told: Json, component: Json, container: Json) -> Task:
        folder = self.backend._pods / str(uuid.uuid4())
        folder.mkdir(parents=True)
        try:
            return self._launch_in(name, folder, told, component, container)
        finally:
            shutil.rmtree(folder)

    def _launch_in(self, name: str, pod: Path, told: Json, component: Json, container: Json) -> Task:
        for listed in told["inputs"]["artifacts"].values():
            for artifact in listed["artifacts"]:
                self._download(artifact["uri"], pod)
        outputs = [(key, a) for key, listed in told["outputs"]["artifacts"].items() for a in listed["artifacts"]]
        for _, artifact in outputs:
            below(pod, local(artifact["uri"])).parent.mkdir(parents=True, exist_ok=True)
        for parameter in told["outputs"]["parameters"].values():
            below(pod, parameter["outputFile"]).parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(whole(json_format.MessageToDict(json_format.ParseDict(told, pb.ExecutorInput()))))
        arguments = [argument.replace("{{$}}", text) for argument in container["args"]]
        if any(len(argument.encode()) >= LONGEST for argument in [text, *arguments]):
            raise Refused(f"{name}: longer than an argument may be on Linux")
        environment = {one["name"]: one["value"] for one in container.get("env", [])} | {"IMAGEGATE_STAGING": str(pod)}
        code, log = self.backend._execute(Pod(name, pod, [*container["command"], *arguments], environment))
        if code:
            return Task("failed", log)
        if LOGS in told["outputs"]["artifacts"]:
            below(pod, local(told["outputs"]["artifacts"][LOGS]["artifacts"][0]["uri"])).write_text(log)
        made = self._executor_output(below(pod, told["outputs"]["outputFile"]))
        return Task("succeeded", log, self._publish(pod, outputs, made), self._parameters(pod, told, component, made))

    def _download(self, uri: str, pod: Path) -> None:
        source, target = self.backend.path(uri), below(pod, local(uri))
        copy_files(source, target)
        if self.backend._release == "2.14":  # what begins like it comes with it: model_run with model
            for other in source.parent.glob(f"{glob.escape(source.name)}?*"):
                copy_files(other, target.parent / other.name)

    @staticmethod
    def _executor_output(file: Path) -> Json:
        if not file.exists():
            return {}
        made = json.loads(file.read_text(), parse_constant=lambda name: (_ for _ in ()).throw(Refused(name)))
        for listed in made.get("artifacts", {}).values():
            for artifact in listed["artifacts"]:
                for key, value in artifact.get("metadata", {}).items():
                    mlmd.to_value(key, value)
        json_format.ParseDict(made, pb.ExecutorOutput())
        return made

    def _publish(self, pod: Path, outputs: list[tuple[str, Json]], made: Json) -> dict[str, Artifact]:
        unknown = set(made.get("artifacts", {})) - {key for key, _ in outputs}
        if unknown:
            raise Refused(f"no such outputs: {unknown}")
        published = {}
        for key, artifact in outputs:
            [told] = made.get("artifacts", {}).get(key, {"artifacts": [{}]})["artifacts"]
            uri = told.get("uri") or artifact["uri"]
            if not uri.startswith(f"{self.root}/"):
                raise Refused(f"{uri} is not below {self.root}")
            copy_files(below(pod, local(uri)), self.backend.path(uri))
            metadata = artifact.get("metadata", {}) | told.get("metadata", {})
            number = self.backend.metadata.record(key, uri, artifact["type"], metadata)
            published[key] = Artifact(number, uri, artifact["type"], metadata)
        return published

    @staticmethod
    def _parameters(pod: Path, told: Json, component: Json, made: Json) -> Json:
        values = {}
        for key, parameter in told["outputs"]["parameters"].items():
            if key in made.get("parameterValues", {}):
                values[key] = made["parameterValues"][key]
            else:
                values[key] = below(pod, parameter["outputFile"]).read_text()
            check_type(key, values[key], component["outputDefinitions"]["parameters"][key]["parameterType"])
        return values


def local(uri: str) -> str:
    """The path of what lies at `uri`, in a container."""
    for scheme, mount in SCHEMES.items():
        if uri.startswith(scheme):
            return mount + uri.removeprefix(scheme)
    raise Refused(f"{uri}: unknown scheme, nothing would be uploaded")


def whole(told: Any) -> Any:
    """As Go writes JSON: whole doubles without a point."""
    if isinstance(told, dict):
        return {key: whole(value) for key, value in told.items()}
    if isinstance(told, list):
        return [whole(value) for value in told]
    return int(told) if isinstance(told, float) and told.is_integer() else told


def below(pod: Path, path: str) -> Path:
    """A path of a container, on this machine."""
    return pod / path.lstrip("/")


def copy_files(source: Path, target: Path) -> None:
    """An object store holds files: folders without any are lost; a link to a folder ends the launcher."""
    for path in _files(source):
        to = target / path.relative_to(source) if source.is_dir() else target
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)


def _files(source: Path) -> Iterator[Path]:
    if source.is_file():
        yield source
    for path in sorted(source.rglob("*")):
        if path.is_symlink() and path.is_dir():
            raise Refused(f"{path}: a link to a folder is read as a file")
        if path.is_file():
            yield path
