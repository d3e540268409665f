"""`imagegate schedule`: recurring runs on a Kubeflow Pipelines server, one per configuration."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from components.base.errors import ConfigError, ImagegateError
from pipeline.cron import expression
from pipeline.kubeflow.api_errors import ServerError, required_id
from pipeline.kubeflow.package import Package
from pipeline.kubeflow.server import Server, latest_runs, quietly
from pipeline.kubeflow.submit import name_filter, upload

Poll = Callable[[Mapping[str, Any]], Package]  # what is to be started -> the pipeline that starts it, see `poll`


def replace(
    client: Any,
    server: Server,
    package: Package,
    fields: str,
    values: Mapping[str, Any],
    poll: Poll | None = None,
) -> str:
    """Creates the schedule, then removes those that it replaces, so that one exists whatever fails.

    Args:
        fields: what `expression.parse` returned.
        values: of the pipeline's parameters.
        poll: makes the pipeline that waits for changes, which is then what recurs.

    Returns:
        The recurring run's ID.

    Raises:
        ImagegateError: an older schedule could not be removed; both are there, and the message says so.
    """
    try:
        made = _create(client, server, package, fields, values, poll)
    except ServerError as error:
        uncertain = "; whether the new schedule is on beside the old one is unknown: look with --list, or give it again"
        raise ServerError(f"{error}{uncertain if error.uncertain else '; the old schedule, if any, stays'}") from None
    both = "the new schedule is on, but an older one may be too, which would start runs as well"
    try:
        for old in _schedule_ids(client, server, package.name):
            if old != made:
                _remove(client, old)
        left = [old for old in _schedule_ids(client, server, package.name) if old != made]
    except ServerError as error:
        raise ImagegateError(f"{both}: {error}; then give the same command again") from None
    if left:
        pages = ", ".join(server.page("recurringrun", old) for old in left)
        raise ImagegateError(f"{both}: {pages}; somebody made it just now: give the same command again")
    return made


@quietly()
def _create(
    client: Any, server: Server, package: Package, fields: str, values: Mapping[str, Any], poll: Poll | None
) -> str:
    experiment, pipeline, version, name = upload(client, server, package)
    recurring = package
    if poll is not None:
        started = {"experiment": experiment, "pipeline": pipeline, "version": version, "values": dict(values)}
        recurring, values = poll(started | {"name": f"{package.name} {name}", "root": package.root}), {}
        # Polls are many, and have an experiment of their own, so that the runs that they start are found.
        experiment, pipeline, version, _ = upload(client, server, recurring)
    made = client.create_recurring_run(
        experiment,
        package.name,
        cron_expression=f"0 {fields}",  # Kubeflow counts seconds; it would read five fields as second to month
        max_concurrency=1,
        no_catchup=True,
        params=dict(values),
        pipeline_id=pipeline,
        version_id=version,
        pipeline_root=recurring.root,
    )
    return required_id(made.recurring_run_id, server.host)


def delete(client: Any, server: Server, name: str) -> int:
    """Removes the schedule; returns how many there were."""
    identities = _schedule_ids(client, server, name)
    for identity in identities:
        _remove(client, identity)
    return len(identities)


def rows(client: Any, server: Server, name: str) -> list[expression.Row]:
    """Returns the schedule with its latest run and its next, in UTC.

    Of a schedule that waits for changes, that is the run that looked for them, and the row says so.
    """
    listed = []
    for experiment, ending in _experiments(client, server, name):
        for it in _schedules(client, experiment, name):
            runs = latest_runs(client, experiment)
            last = next((r for r in runs if r.recurring_run_id == it.recurring_run_id), None)
            told = f"{last.created_at:{expression.FORMAT}} {last.state}{ending}" if last else "never"
            listed.append(_row(it, told))
    return listed


def _row(it: Any, last: str) -> expression.Row:
    on = it.mode == "ENABLE"
    trigger = it.trigger and it.trigger.cron_schedule
    seconds, _, fields = (trigger.cron if trigger and trigger.cron else "").partition(" ")
    try:
        times = expression.parse(fields) if seconds == "0" else ""
    except ConfigError:  # somebody changed it elsewhere, in Kubeflow's own way
        times = ""
    following = (
        f"{expression.next_time(times, datetime.datetime.now(datetime.UTC)):{expression.FORMAT}}"
        if times
        else "unknown"
    )
    return expression.Row(
        it.display_name, times or "unknown", "on" if on else "off", last, following if on else "never"
    )


def _schedule_ids(client: Any, server: Server, name: str) -> list[str]:
    return [
        required_id(it.recurring_run_id, server.host)
        for experiment, _ in _experiments(client, server, name)
        for it in _schedules(client, experiment, name)
    ]


def _experiments(client: Any, server: Server, name: str) -> Iterator[tuple[str, str]]:
    """Yields the experiments that may hold the schedule, each with what the state of its runs is of."""
    for wanted, ending in ((name, ""), (poll_name(name), " (the check)")):
        answer = client.list_experiments(namespace=server.namespace, filter=name_filter(wanted), page_size=100)
        for experiment in answer.experiments or ():
            if experiment.display_name == wanted:
                yield required_id(experiment.experiment_id, server.host), ending
                break


def poll_name(name: str) -> str:
    """Returns the name of the pipeline that waits for changes, and of the experiment of its runs."""
    return f"{name} on change"


def _schedules(client: Any, experiment: str, name: str) -> Iterator[Any]:
    page = ""
    while True:
        answer = client.list_recurring_runs(
            page_token=page, page_size=100, experiment_id=experiment, filter=name_filter(name)
        )
        yield from (it for it in answer.recurring_runs or () if it.display_name == name)
        page = answer.next_page_token
        if not page:
            return


def _remove(client: Any, identity: str) -> None:
    try:
        client.delete_recurring_run(identity)
    except ServerError as error:
        if error.status != 404:  # somebody else was quicker
            raise
