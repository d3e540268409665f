"""Argo and a kubelet, as far as a compiled workflow needs them: templates filled in, pods run with their real programs.

A pod is a process in namespaces (see pod.sh): it writes to its own /tmp, to its empty volumes and to claims,
and nowhere else. Not here: images, resources, back-off, more than one pod at a time.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services import NAMESPACE

Json = dict[str, Any]

SCRIPT = Path(__file__).parent / "pod.sh"
TOOLS = "/usr/sbin:/usr/bin:/sbin:/bin"
ACCOUNT = "run/secrets/kubernetes.io/serviceaccount"
# As the image has it.
IMAGE = {"HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def why_not(folder: Path) -> str:
    """Why no pod can run here; "" where it can."""
    if missing := [name for name in ("unshare", "setpriv", "pivot_root") if not shutil.which(name, path=TOOLS)]:
        return f"no {missing[0]}"
    if os.path.realpath("/var/run") != "/run":
        return "/var/run is no link to /run"
    code, log = start(folder / "none", [], ["true"], {"PATH": TOOLS})
    return f"no namespaces for users: {log.strip()}" if code else ""


def start(pod: Path, volumes: list[str], command: list[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Runs a command where `pod`'s folders lie at /; returns exit code and log."""
    root = pod.parent / f"{pod.name}-root"
    root.mkdir(parents=True)
    pod.mkdir(exist_ok=True)
    alone = ["env", "-i", *(f"{name}={value}" for name, value in environment.items()), *command]
    try:
        done = subprocess.run(
            ["unshare", "--user", "--map-root-user", "--mount", "sh", SCRIPT, root, pod, *volumes, "--", *alone],
            env={"PATH": TOOLS},
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=900,
        )
    finally:
        root.rmdir()
    return done.returncode, done.stdout


@dataclass
class Node:
    """What became of one task of a workflow."""

    status: str  # Succeeded, Failed, Skipped or Omitted
    log: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    attempts: int = 0  # pods; none where the result came from the cache


@dataclass
class Cluster:
    """Runs workflows.

    Args:
        folder: for the pods.
        programs: the folder with `driver` and `launcher-v2`.
        source: the folder with our packages, as the image has them.
        account: what a pod finds of its service account.
        names: a server's name and port in the cluster -> its address and port here.
        api: the port of the Kubernetes API.
        claims: volume claim -> its folder; mounted where it is here.
    """

    folder: Path
    programs: Path
    source: Path
    account: Path
    names: Mapping[tuple[str, str], tuple[str, str]]
    api: int
    claims: Mapping[str, Path]
    nodes: dict[str, Node] = field(default_factory=dict)

    def submit(self, workflow: Json, uid: str) -> dict[str, Node]:
        """Runs a workflow to its end; its nodes by task."""
        self.nodes = {}
        spec = workflow["spec"]
        self._templates = {template["name"]: template for template in spec["templates"]}
        self._known = {
            f"workflow.parameters.{one['name']}": one["value"] for one in spec.get("arguments", {})["parameters"]
        } | {
            "workflow.uid": uid,
            "workflow.name": f"workflow-{uid}",
            "workflow.creationTimestamp": "2026-01-01T00:00:00Z",
        }
        self._run("entrypoint", spec["entrypoint"], {})
        return self.nodes

    def _run(self, name: str, template: str, given: Mapping[str, str]) -> Node:
        told = self._templates[template]
        declared = told.get("inputs", {}).get("parameters", [])
        values = {one["name"]: given.get(one["name"], one.get("default")) for one in declared}
        assert None not in values.values(), (template, given)
        known = self._known | {f"inputs.parameters.{key}": value for key, value in values.items()}
        return self._dag(name, told, known) if "dag" in told else self._pod(name, told, known)

    def _dag(self, name: str, template: Json, known: Mapping[str, str]) -> Node:
        known, left, done = dict(known), list(template["dag"]["tasks"]), dict[str, Node]()
        while left:
            task = next(t for t in left if _needs(t) <= set(done))
            left.remove(task)
            # The pod within a task is known by the task's name.
            own = name if task["name"] == "executor" else task["name"]
            if any(done[other].status != "Succeeded" for other in _needs(task)):
                node = Node("Omitted")
            elif not _holds(fill(task.get("when", ""), known)):
                node = Node("Skipped")
            else:
                arguments = task.get("arguments", {}).get("parameters", [])
                node = self._run(own, task["template"], {one["name"]: fill(one["value"], known) for one in arguments})
            done[task["name"]] = self.nodes[own] = node
            known |= {f"tasks.{task['name']}.outputs.parameters.{k}": v for k, v in node.outputs.items()}
        failed = any(node.status in ("Failed", "Omitted") for node in done.values())
        [*_, last] = done.values()
        return Node("Failed" if failed else "Succeeded", last.log if len(done) == 1 else "", attempts=last.attempts)

    def _pod(self, name: str, template: Json, known: Mapping[str, str]) -> Node:
        limit = int(fill(template.get("retryStrategy", {}).get("limit", "0"), known))
        for attempt in range(limit + 1):
            node = self._attempt(name, template, {**known, "retries": str(attempt)})
            node.attempts = attempt + 1
            if node.status == "Succeeded":
                break
        return node

    def _attempt(self, name: str, template: Json, known: Mapping[str, str]) -> Node:
        declared = template.get("outputs", {}).get("parameters", [])
        known = {**known, **{f"outputs.parameters.{one['name']}.path": one["valueFrom"]["path"] for one in declared}}
        patch = json.loads(fill(template.get("podSpecPatch", "{}"), known))
        container, volumes = patched(template, patch)
        pod = self.folder / f"{name}-{uuid.uuid4().hex[:8]}"
        shutil.copytree(self.account, pod / ACCOUNT)
        mounts = self._mounts(pod, container.get("volumeMounts", []), volumes)
        log = ""
        for one in [*template.get("initContainers", []), container]:
            environment = self._environment(name, one, known)
            command = [self._word(word, known, environment) for word in one["command"] + one.get("args", [])]
            code, said = start(pod, mounts, self._addresses(command), environment)
            log += said
            if code:
                return Node("Failed", log)
        return Node("Succeeded", log, {one["name"]: _output(pod, one["valueFrom"]) for one in declared})

    def _mounts(self, pod: Path, wanted: list[Json], volumes: Mapping[str, Json]) -> list[str]:
        python = {Path(sys.prefix), Path(sys.base_prefix)}  # which may lie below /tmp, as all else here does
        found = [f"ro:{path}" for path in (*sorted(python), self.programs, self.source)]
        for one in wanted:
            volume = volumes[one["name"]]
            if "emptyDir" in volume:
                (pod / one["mountPath"].lstrip("/")).mkdir(parents=True, exist_ok=True)
            else:
                folder = self.claims[volume["persistentVolumeClaim"]["claimName"]]
                assert str(folder) == one["mountPath"]
                found.append(f"rw:{folder}")
        return found

    def _environment(self, name: str, container: Json, known: Mapping[str, str]) -> dict[str, str]:
        told = {one["name"]: fill(one["value"], known) for one in container.get("env", []) if "value" in one}
        own = {one["name"] for one in container.get("env", []) if "valueFrom" in one}
        assert own <= {"KFP_POD_NAME", "KFP_POD_UID"}
        fields = {"KFP_POD_NAME": f"pod-of-{name.lower()}", "KFP_POD_UID": "an-uid"}
        api = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self.api)}
        path = f"{self.programs}:{Path(sys.executable).parent}:{TOOLS}"
        return IMAGE | api | {"PATH": path, "PYTHONPATH": str(self.source)} | {key: fields[key] for key in own} | told

    @staticmethod
    def _word(word: str, known: Mapping[str, str], environment: Mapping[str, str]) -> str:
        """As Argo fills in its own, then the kubelet the environment's."""
        for name in ("KFP_POD_NAME", "KFP_POD_UID"):
            word = word.replace(f"$({name})", environment.get(name, f"$({name})"))
        return fill(word, known)

    def _addresses(self, command: list[str]) -> list[str]:
        """Names in the cluster as a resolver here would have them."""
        told = list(command)
        for flag in ("--mlmd_server", "--ml_pipeline_server"):
            if f"{flag}_address" in told and "--" not in told[: told.index(f"{flag}_address")]:
                at, port = told.index(f"{flag}_address") + 1, told.index(f"{flag}_port") + 1
                told[at], told[port] = self.names.get((told[at], told[port]), (told[at], told[port]))
        return told


def fill(text: str, known: Mapping[str, str]) -> str:
    """Argo's {{…}}; what is none of Argo's, the launcher's {{$}}, stays."""
    return re.sub(r"\{\{([a-zA-Z][^{}]*)\}\}", lambda found: known[found[1]], text)


def patched(template: Json, patch: Json) -> tuple[Json, dict[str, Json]]:
    """The main container and the volumes by name, as a strategic merge leaves them."""
    [changes] = patch.get("containers", [{"name": "main"}])
    assert changes["name"] == "main"
    container = template["container"]
    merged = {
        key: _by(key, container.get(key, []), value) if key in ("env", "volumeMounts") else value
        for key, value in changes.items()
    }
    listed = [*template.get("volumes", []), *patch.get("volumes", [])]
    return container | merged, {volume["name"]: volume for volume in listed}


def _by(key: str, old: list[Json], new: list[Json]) -> list[Json]:
    name = {"env": "name", "volumeMounts": "mountPath"}[key]
    return list(({one[name]: one for one in old} | {one[name]: one for one in new}).values())


def _needs(task: Json) -> set[str]:
    """Argo's `depends`, of which the compiler writes only this form."""
    parts = [part.strip() for part in task.get("depends", "").split("&&") if part.strip()]
    assert all(part.endswith(".Succeeded") for part in parts), parts
    return {part.removesuffix(".Succeeded") for part in parts}


def _holds(when: str) -> bool:
    if not when:
        return True
    left, right = when.split("!=")
    return left.strip() != right.strip()


def _output(pod: Path, told: Json) -> str:
    file = pod / told["path"].lstrip("/")
    return file.read_text() if file.exists() else told["default"]


NAMES = {
    "metadata": (f"metadata-grpc-service.{NAMESPACE}.svc.cluster.local", "8080"),
    "cache": (f"ml-pipeline.{NAMESPACE}.svc.cluster.local", "8887"),
}
