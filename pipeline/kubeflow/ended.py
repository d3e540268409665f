"""The task that tells people how a run on Kubeflow ended, and what other tasks leave for it.

The backend gives it the final status of the tasks: whether they succeeded, and nothing else. An output of a task is no
input of one that runs also where that task failed. So each task writes what there is to tell into its log, and this one
reads it through the API, where it can; otherwise people get the status and the ID of the run.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from components.base.artifact_files import REPORT, SUMMARY
from components.base.values import Value
from components.notify import sending
from components.notify.message import Message
from components.notify.settings import Recipient
from components.report.run_summary import RunSummary
from components.sinks.settings import Sinks
from pipeline import notice
from pipeline import sinks as records
from pipeline.kubeflow import gate_log, server
from pipeline.stages import BY_NAME, MODEL_GATE

_SUCCEEDED = ("COMPLETE", "SUCCEEDED")  # ML Metadata's word, and that of newer backends


class _End(Value):
    """The end of a run, in the log of the task that came to it."""

    status: str = "failed"
    exit_code: int = 0


def record(report: str, name: str = "", sinks: str = "", run: str = "") -> None:
    """Writes into the log what there is to tell of a run that came to its end, and hands its record to the sinks.

    Args:
        report: folder of the output of ModelReport.
        name: of the configuration.
        sinks: JSON of the section `sinks`; "": there is none.
        run: ID of the run.
    """
    with open(os.path.join(report, SUMMARY), "rb") as f:
        summary = RunSummary.from_json(f.read())
    told = notice.message(summary, recovered=False).model_dump(mode="json", exclude={"run_id", "report"})
    print(gate_log.OUTCOME + json.dumps(told), file=sys.stderr, flush=True)
    if sinks:
        page = os.path.join(report, REPORT)
        known = {"run_id": run, "report": page if os.path.exists(page) else None}
        for problem in records.send(Sinks.from_json(sinks), name, None, summary.model_copy(update=known)):
            print(f"warning: sinks: {problem}", file=sys.stderr, flush=True)


def notify(name: str, recipients: str, run: str, status: Mapping[str, Any]) -> None:
    """Tells people how a run ended. Who cannot be reached is a line in the log of this task, which succeeds.

    Args:
        name: of the configuration.
        recipients: JSON of the section `notify`.
        run: ID of the run.
        status: `PipelineTaskFinalStatus` of the other tasks.
    """
    wanted = [Recipient.model_validate(one) for one in json.loads(recipients)]
    succeeded = status.get("state") in _SUCCEEDED
    page, told, recovered = None, dict[str, Any](), False
    try:
        if (there := server.in_pod()) is not None:
            # The address of a service is none for people.
            page = there.page("runs", run) if os.environ.get(server.API_VARIABLES[0]) else None
            client = server.connect(there)
            latest = client.get_run(run)
            told = _told(client, latest)
            recovered = succeeded and _follows_a_failure(client, latest)
    except Exception as error:  # noqa: BLE001  whatever the API says, people are told
        print(f"warning: what the tasks have to tell cannot be read: {type(error).__name__}", file=sys.stderr)
    ending = message(name, run, told, succeeded=succeeded, recovered=recovered, page=page)
    for problem in sending.send(wanted, ending):
        print(f"warning: notify: {problem}", file=sys.stderr, flush=True)


def message(
    name: str,
    run: str,
    told: Mapping[str, Any],
    *,
    succeeded: bool,
    recovered: bool = False,
    page: str | None = None,
) -> Message:
    """Returns the message.

    Args:
        name: of the configuration.
        run: ID of the run.
        told: fields of a message from the logs; empty if none could be read.
        succeeded: whether all tasks did.
        recovered: whether the run before failed.
        page: address of the run for people.
    """
    known: dict[str, Any] = {"name": name, "run_id": run, "report": page}
    with contextlib.suppress(ValidationError):  # what another release has written
        if told:
            end = _End.model_validate({key: told[key] for key in _End.model_fields if key in told})
            code = end.exit_code or (0 if succeeded else 1)
            events = notice.events(end.status if code == 0 else "failed", code, recovered=recovered)
            fields = {key: told[key] for key in Message.model_fields if key in told}
            return Message.model_validate({**fields, **known, "exit_code": code, "events": events})
    unknown = "the logs of the tasks could not be read; the page of the run says more"
    if succeeded:
        reason = f"whether a model was pushed is unknown: {unknown}"
        events = notice.events("pushed", 0, recovered=recovered)
        return Message(**known, events=events, exit_code=0, reason=reason)
    return Message(**known, events=("refused", "failed"), exit_code=1, reason=f"why is unknown: {unknown}")


def _told(client: Any, run: Any) -> dict[str, Any]:
    """Returns what the log of the task that failed has to tell, or that of the last one; empty if there is nothing."""
    details = (run.run_details and run.run_details.task_details) or ()
    tasks = [task for task in details if task.display_name in BY_NAME]
    failed = [task for task in tasks if task.state == "FAILED"]
    for task in failed or [task for task in tasks if task.display_name == MODEL_GATE.name]:
        if told := gate_log.outcome(client, run, task):
            return told
    return {}


def _follows_a_failure(client: Any, run: Any) -> bool:
    """Whether the run of the same pipeline before this one failed. One that was cancelled says nothing."""
    before = (one for one in server.latest_runs(client, run.experiment_id) if _is_before(one, run))
    return next((one.state for one in before if one.state in ("SUCCEEDED", "FAILED")), "") == "FAILED"


def _is_before(other: Any, run: Any) -> bool:
    versions = [one.pipeline_version_reference for one in (other, run)]
    same = versions[0] is not None and versions[1] is not None and versions[0].pipeline_id == versions[1].pipeline_id
    return same and other.run_id != run.run_id and other.created_at <= run.created_at
