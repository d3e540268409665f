"""The task of a schedule that waits for changes: it lists the data, and starts a run of the pipeline if one is due.

It ends well whether it has started one or not. What the latest run was started for lies beside the versions in the push
destination, since a pod keeps nothing; whether that run has to be repeated, the API says.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from typing import Any

from components.base.errors import ConfigError, ImagegateError
from components.base.values import parsed_json
from components.push import destination, versions
from components.push.destination import Destination
from components.push.served import readable_errors
from pipeline.config import Config, validated
from pipeline.cron import change
from pipeline.cron.change import Listing
from pipeline.kubeflow import follow, gate_log, server
from pipeline.kubeflow.api_errors import ServerError, required_id
from pipeline.stages import BY_NAME

_FOLDER = ".imagegate-schedule"  # in the destination; servers ignore names that are not numbers
_UNENDED = ("PENDING", "RUNNING", "CANCELING", "PAUSED")
_SETTLED, _STARTED, _RUN = "settled.npz", "started.npz", "started.json"


def poll(config: str, min_new: str, max_days: str, submission: str) -> None:
    """Starts a run if one is due, and writes into the log why, or why not.

    Args:
        config: JSON of the configuration's keys, `folder` and `file`.
        min_new: new or changed images with which a run starts at once.
        max_days: days after the run before with which any change is enough.
        submission: JSON of what is started: `experiment`, `pipeline`, `version`, `name`, `root` and `values`.

    Raises:
        ConfigError: the configuration does not fit the data, or no API is known here.
        ImagegateError: the data cannot be listed, the API refuses, or the destination cannot be read or written.
    """
    told = json.loads(submission)
    raw = json.loads(config)
    settings = validated(raw | {"data": raw["data"] | {"root": told["values"].get("data_root", raw["data"]["root"])}})
    there = server.in_pod()
    if there is None:
        raise ConfigError(
            f"schedule --on-change: the API that starts the run is not in this pod's namespace; set "
            f"{server.API_VARIABLES[0]} by an entry of kubeflow.secrets"
        )
    client = server.connect(there)
    listing = change.listed(settings, time.time())
    if listing is None:
        raise ImagegateError(f"data.root: {settings.data_root} cannot be listed; imagegate check says why")
    with readable_errors(settings.destination):
        place = destination.at(settings.destination)
        served = _served(settings)
        before, goes_on = _before(client, place, served)
    if goes_on:
        _say(f"the run {goes_on} continues: nothing to do")
        return
    due, why = change.due(before, listing, int(min_new), float(max_days))
    _say(why)
    if due:
        # What is not kept would be started again and again: the state is written first, and shows that it can be.
        with readable_errors(settings.destination), place.locked():
            _put(place, {_RUN: b"{}", _STARTED: change.encoded(listing)})
            if goes_on := _unended(client, there, told):
                _say(f"the run {goes_on} continues: nothing to do")
                return
            run = _submit(client, there, told)
            _put(place, {_RUN: json.dumps({"run": run, "served": served}).encode()})
        _say(f"started run {run}: {there.page('runs', run)}")


def _before(client: Any, place: Destination, served: str) -> tuple[Listing | None, str]:
    """Returns what the latest run that need not be repeated was started for; and the run that goes on, or ""."""
    settled = change.decoded(place.read(_FOLDER, _SETTLED))
    started = _started(place.read(_FOLDER, _RUN))
    if started is None:
        return settled, ""
    identity, served_then = started
    try:
        run = client.get_run(identity)
    except ServerError as error:
        if error.status != 404:  # somebody removed it
            raise
        return settled, ""
    if run.state not in follow.ENDS:
        return settled, identity
    if not _is_judged(client, run, same=served == served_then):
        return settled, ""
    content = place.read(_FOLDER, _STARTED)
    if content is not None:
        with place.locked():
            _put(place, {_SETTLED: content, _RUN: b"{}"})
    return change.decoded(content), ""


def _started(content: bytes | None) -> tuple[str, str] | None:
    """The run that was started last and the version that was served then; None if there is none, or none readable."""
    try:
        told = parsed_json(content or b"{}")
        run, served = told["run"], told["served"]
    except (ValueError, TypeError, KeyError):
        return None
    return (run, served) if isinstance(run, str) and isinstance(served, str) and run else None


def _is_judged(client: Any, run: Any, *, same: bool) -> bool:
    """Whether a run that has ended need not be repeated while the data stay as they are; see `pipeline.scheduled`.

    Args:
        same: whether the version is served that was served when the run began.
    """
    if run.state == "SUCCEEDED":
        return True
    tasks = (run.run_details and run.run_details.task_details) or ()
    failed = [task for task in tasks if task.state == "FAILED" and task.display_name in BY_NAME]
    codes = {gate_log.exit_code(client, run, task) for task in failed}
    return 3 in codes or (4 in codes and same)


def _submit(client: Any, there: server.Server, told: dict[str, Any]) -> str:
    with server.quietly():
        run = client.run_pipeline(
            told["experiment"],
            told["name"],
            pipeline_id=told["pipeline"],
            version_id=told["version"],
            params=told["values"],
            pipeline_root=told["root"],
        )
    return required_id(run.run_id, there.host)


def _unended(client: Any, there: server.Server, told: dict[str, Any]) -> str:
    """The run of the pipeline that has not ended, also one that somebody else has started; "" if there is none."""
    for run in server.latest_runs(client, told["experiment"]):
        version = run.pipeline_version_reference
        if version is not None and version.pipeline_id == told["pipeline"] and run.state in _UNENDED:
            return required_id(run.run_id, there.host)
    return ""


def _served(settings: Config) -> str:
    with contextlib.suppress(ImagegateError):  # of which the run tells more
        served = versions.current(settings.destination, settings.trust())
        return served.version if served else ""
    return ""


def _put(place: Destination, files: dict[str, bytes]) -> None:
    """Writes files of the state; the destination is locked."""
    for name, content in files.items():
        place.write(f"{_FOLDER}/{name}", content)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
