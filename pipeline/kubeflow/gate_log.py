"""Reads from the log of a failed stage's pod whether it refused or broke, since the API only says that it failed.

The API server streams the log of a pod, or its archived copy, at an address that is not part of the client. Its answer
has status 200 even where there is no log; what follows is then an error in JSON.

Where a stage is retried, each attempt has a pod of its own. The API lists the identities of their nodes without saying
whose they are, so they are computed as Argo does: from the path of the node, `pets-x1.root.Trainer.executor(0)`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from components.base.values import parsed_json
from pipeline.kubeflow.api_errors import ServerError

# Beginnings of lines that a stage writes, see `container`: the backend keeps no exit codes.
EXIT_CODE = "imagegate: exit code "
OUTCOME = "imagegate: outcome "  # then JSON of what there is to tell people, see `ended`
NESTED = "Stages"  # the task that holds all others, where one is to run when they have ended
# Templates of the pods in which the backend's compiler runs tasks without and with retries. An installation may have
# Argo retry the former, too.
_TEMPLATES = ("system-container-impl", "retry-system-container-impl")
_LARGEST = 32 << 20  # bytes of a log that are looked through; the code stands in the last lines
_CHUNK = 1 << 16


def exit_code(client: Any, run: Any, task: Any) -> int | None:
    """Returns the exit code of a failed task's stage, of its last attempt.

    Args:
        client: see `server.connect`.
        run: the run, with the details of all tasks.
        task: the task's details; its child is the node of its pod, or of its attempts.

    Returns:
        None if the log cannot be read, or does not say: the pod was killed or never started.
    """
    found = _lines(client, run, task, rf"{EXIT_CODE}(\d+)")
    return int(found[-1]) if found else None


def outcome(client: Any, run: Any, task: Any) -> dict[str, Any]:
    """Returns what the log of a task has for those who are told of the run, see `ended`; empty if there is nothing.

    Args:
        client, run, task: see `exit_code`.
    """
    told: dict[str, Any] = {}
    for line in _lines(client, run, task, rf"{OUTCOME}(\{{.*\}})"):
        with contextlib.suppress(ValueError):
            told |= json.loads(line)
    return told


def _lines(client: Any, run: Any, task: Any, pattern: str) -> list[str]:
    """Returns the groups of a pattern that whole lines of a task's log match; none if it cannot be read.

    Only the log of the last attempt counts: what an earlier one wrote says nothing about the end of the task.
    """
    details = (run.run_details and run.run_details.task_details) or ()
    known = {child.pod_name for one in details for child in one.child_tasks or ()}
    for child in task.child_tasks or ():
        node = child.pod_name or ""
        last = next(iter(_attempts(node, task.display_name, known)), node)
        tails = (_tail(client, run.run_id, pod) for pod in _pods(last))
        log = next((tail for tail in tails if tail is not None), None)
        if log is not None:
            return re.findall(rf"^{pattern}\r?$", log, re.MULTILINE)
    return []


def _attempts(node: str, task: str, known: Collection[str]) -> list[str]:
    """Returns the nodes of the attempts at a task that is retried, the last one first; none if it is not.

    Args:
        node: the child of the task's node.
        task: name of the task.
        known: the nodes of the run.

    >>> _attempts("pets-x1-908235645", "Trainer", {"pets-x1-4110044172", "pets-x1-284703113"})
    ['pets-x1-284703113', 'pets-x1-4110044172']
    """
    workflow = node.rpartition("-")[0]
    for parents in ("root", f"root.{NESTED}"):
        path = f"{workflow}.{parents}.{task}.executor"
        if _node(workflow, path) == node:
            attempts = (_node(workflow, f"{path}({i})") for i in itertools.count())
            return list(itertools.takewhile(known.__contains__, attempts))[::-1]
    return []


def _node(workflow: str, path: str) -> str:
    """Returns the identity of a node as Argo makes it, from the 32-bit FNV-1a hash of its path.

    >>> _node("pets-x1", "pets-x1.root.Trainer.executor")
    'pets-x1-908235645'
    """
    value = 2166136261
    for byte in path.encode():
        value = (value ^ byte) * 16777619 % (1 << 32)
    return f"{workflow}-{value}"


def _pods(node: str) -> Iterator[str]:
    """Yields the names that the pod of an Argo node may have; older controllers name it like the node.

    >>> list(_pods("pets-x1-908235645"))
    ['pets-x1-system-container-impl-908235645', 'pets-x1-retry-system-container-impl-908235645', 'pets-x1-908235645']
    """
    workflow, _, number = node.rpartition("-")
    if workflow:
        yield from (f"{workflow}-{template}-{number}" for template in _TEMPLATES)
        yield node


def _tail(client: Any, run: str, pod: str) -> str | None:
    """Returns the last part of a pod's log, at least `_CHUNK` bytes if there are as many; None if there is no log."""
    from urllib3 import exceptions

    try:
        answer = _asked(client, run, pod)
    except ServerError:
        return None
    tail, size = b"", 0
    try:
        for chunk in answer.stream(_CHUNK):
            tail, size = (tail + chunk)[-2 * _CHUNK :], size + len(chunk)
            if size > _LARGEST:
                break
    except exceptions.HTTPError:
        return None
    finally:
        answer.close()
    text = tail.decode("utf-8", "replace")
    return None if _is_error(text) else text


def _is_error(text: str) -> bool:
    """Whether this is what comes in place of a log that cannot be read."""
    try:
        answer = parsed_json(text)
    except ValueError:
        return False
    return isinstance(answer, dict) and {"error_message", "error_details"} <= answer.keys()


def _asked(client: Any, run: str, pod: str) -> Any:
    return client._run_api.api_client.call_api(
        "/apis/v1alpha1/runs/{run}/nodes/{pod}/log",
        "GET",
        path_params={"run": run, "pod": pod},
        auth_settings=["Bearer"],
        _preload_content=False,
        _return_http_data_only=True,
    )
