"""Slack, Teams and mail, through Apprise, which knows the form of each."""

from __future__ import annotations

import logging
import re
from typing import Any
from urllib.parse import quote

from components.notify.errors import NotSent
from components.notify.message import Message

_RETRIES = 2
_PAUSE = 1.0  # seconds between two attempts
_EXPECTED = {
    "slack": "the address of an incoming webhook, https://hooks.slack.com/services/…",
    "teams": "the address of a workflow, https://….logic.azure.com/workflows/… or https://….powerplatform.com/…",
    "email": "a mail server, mailtos://USER:PASSWORD@HOST?from=ADDRESS",
}


def send(to: str, url: str, address: str | None, message: Message, *, limit: float, retry: bool = True) -> None:
    """Sends a message.

    Args:
        to: "slack", "teams" or "email".
        url: where to, or the mail server in Apprise's form.
        address: the recipient of a mail.
        message: what to say.
        limit: seconds for all attempts together.
        retry: whether there may be more than one attempt.

    Raises:
        NotSent: it was not taken.
    """
    import apprise

    _silence()
    service = _service(to, url, address)
    service.retry, service.wait = (_RETRIES if retry else 0), _PAUSE
    channel = apprise.Apprise(asset=service.asset)
    channel.add(service)
    kind = apprise.NotifyType.FAILURE if {"refused", "failed"} & {*message.events} else apprise.NotifyType.SUCCESS
    result = channel.notify(
        title=message.title,
        body=message.text,
        body_format=apprise.NotifyFormat.TEXT,
        notify_type=kind,
        timeout=limit,
        log_level=logging.WARNING,
    )
    if not result:
        raise NotSent(_problem(result))


def _service(to: str, url: str, address: str | None) -> Any:
    import apprise
    from apprise.plugins.email.base import NotifyEmail
    from apprise.plugins.slack import NotifySlack
    from apprise.plugins.workflows import NotifyWorkflows

    # Pictures would come from Apprise's own site, and redirects would carry the message to another one.
    asset = apprise.AppriseAsset(app_id="imagegate", app_desc="imagegate", app_url="", http_redirects=False)
    if address is not None:
        url += f"{'&' if '?' in url else '?'}to={quote(address)}"
    service = apprise.Apprise.instantiate(url, asset=asset)
    kinds = {"slack": NotifySlack, "teams": NotifyWorkflows, "email": NotifyEmail}
    if not isinstance(service, kinds[to]):
        raise NotSent(f"it does not hold {_EXPECTED[to]}")
    service.include_image, service.redirects = False, False
    return service


def _problem(result: Any) -> str:
    """The status in Apprise's own words for a failure; the words may hold more than people should see."""
    import apprise

    statuses = re.findall(r"error=(\d{3})", " ".join(str(entry) for entry in result.logs()))
    if statuses:
        redirect = ", a redirect, and none is followed; set the final address" if statuses[-1].startswith("3") else ""
        return f"the server answered {statuses[-1]}{redirect}"
    if result.status == apprise.AppriseResultStatus.TIMEOUT:
        return "the server did not answer in time"
    return "there was no connection, or the server did not take the message"


def _silence() -> None:
    """Keeps what Apprise logs away from the terminal and the log of the run."""
    logger = logging.getLogger("apprise")
    logger.propagate = False
    logger.setLevel(logging.WARNING)  # below, records hold whole addresses
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())  # else Python writes warnings to stderr
