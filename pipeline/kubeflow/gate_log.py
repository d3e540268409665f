"""Reads from the log of a failed gate's pod whether it refused or broke, since the API only says that it failed.

The API server streams the log of a pod, or its archived copy, at an address that is not part of the client. Its answer
has status 200 even where there is no log; what follows is then an error in JSON.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

from pipeline.kubeflow.api_errors import ServerError

# Beginnings of lines that a stage writes, see `container`: the backend keeps no exit codes.
EXIT_CODE = "imagegate: exit code "
OUTCOME = "imagegate: outcome "  # then JSON of what there is to tell people, see `ended`
# Template of the pod in which the backend's compiler runs a task that is not retried, as no gate is.
_TEMPLATE = "system-container-impl"
_LARGEST = 32 << 20  # bytes of a log that are looked through; the code stands in the last lines
_CHUNK = 1 << 16


def exit_code(client: Any, run: str, task: Any) -> int | None:
    """Returns the exit code of a failed task's stage.

    Args:
        client: see `server.connect`.
        run: ID of the run.
        task: the task's details; its child is the node of its pod.

    Returns:
        None if the log cannot be read, or does not say: the pod was killed or never started.
    """
    found = _lines(client, run, task, rf"{EXIT_CODE}(\d+)")
    return int(found[-1]) if found else None


def outcome(client: Any, run: str, task: Any) -> dict[str, Any]:
    """Returns what the log of a task has for those who are told of the run, see `ended`; empty if there is nothing.

    Args:
        client, run, task: see `exit_code`.
    """
    told: dict[str, Any] = {}
    for line in _lines(client, run, task, rf"{OUTCOME}(\{{.*\}})"):
        with contextlib.suppress(ValueError):
            told |= json.loads(line)
    return told


def _lines(client: Any, run: str, task: Any, pattern: str) -> list[str]:
    """Returns the groups of a pattern that whole lines of a task's log match; none if it cannot be read."""
    for child in task.child_tasks or ():
        for pod in _pods(child.pod_name or ""):
            try:
                found = re.findall(rf"^{pattern}\r?$", _tail(client, run, pod), re.MULTILINE)
            except ServerError:
                continue
            if found:
                return found
    return []


def _pods(node: str) -> list[str]:
    """Returns the names that the pod of an Argo node may have; older controllers name it like the node.

    >>> _pods("clothes-x2b7q-1234567890")
    ['clothes-x2b7q-system-container-impl-1234567890', 'clothes-x2b7q-1234567890']
    """
    workflow, _, number = node.rpartition("-")
    return [f"{workflow}-{_TEMPLATE}-{number}", node] if workflow else []


def _tail(client: Any, run: str, pod: str) -> str:
    """Returns the last part of a pod's log, at least `_CHUNK` bytes if there are as many."""
    from urllib3 import exceptions

    answer = client._run_api.api_client.call_api(
        "/apis/v1alpha1/runs/{run}/nodes/{pod}/log",
        "GET",
        path_params={"run": run, "pod": pod},
        auth_settings=["Bearer"],
        _preload_content=False,
        _return_http_data_only=True,
    )
    tail, size = b"", 0
    try:
        for chunk in answer.stream(_CHUNK):
            tail, size = (tail + chunk)[-2 * _CHUNK :], size + len(chunk)
            if size > _LARGEST:
                break
    except exceptions.HTTPError:
        return ""
    finally:
        answer.close()
    return tail.decode("utf-8", "replace")
