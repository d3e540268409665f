"""Sends a message to all who want it, at the same time and within a limit."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping

from components.notify import services, webhook
from components.notify.errors import NotSent
from components.notify.message import Message
from components.notify.settings import Recipient

LIMIT = 60.0  # seconds, for all recipients together


def send(
    recipients: Iterable[Recipient],
    message: Message,
    environment: Mapping[str, str] = os.environ,
    *,
    limit: float = LIMIT,
    retry: bool = True,
) -> list[str]:
    """Sends a message to the recipients that want one of its events; a test message to all.

    Args:
        recipients: of the configuration.
        message: what to say.
        environment: variables that hold addresses and secrets.
        limit: seconds after which whoever does not answer is given up.
        retry: whether a failed attempt is repeated.

    Returns:
        A sentence for each recipient that was not reached. It names the variable, and holds nothing of its value.
    """
    logging.getLogger("urllib3").setLevel(logging.INFO)  # below, its records hold the paths of addresses
    wanted = [one for one in recipients if message.test or {*one.on} & {*message.events}]
    problems: dict[int, str] = dict.fromkeys(range(len(wanted)), f"no answer within {limit:g} s")

    def deliver(number: int, recipient: Recipient) -> None:
        problems[number] = _deliver(recipient, message, environment, limit, retry=retry)

    # A thread each, which nobody waits for beyond the limit: a server may send its answer byte by byte.
    threads = [threading.Thread(target=deliver, args=pair, daemon=True) for pair in enumerate(wanted)]
    end = time.monotonic() + limit
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    outcomes = dict(problems)  # a thread that was given up may still change its own
    return [f"{one.to} ({one.url_env}): not sent: {outcomes[i]}" for i, one in enumerate(wanted) if outcomes[i]]


def _deliver(
    recipient: Recipient, message: Message, environment: Mapping[str, str], limit: float, *, retry: bool
) -> str:
    """Returns what went wrong, or ""."""
    missing = [name for name in recipient.variables if not environment.get(name, "").strip()]
    if missing:
        return f"the environment variable {' and '.join(missing)} is not set"
    url = environment[recipient.url_env].strip()
    try:
        if recipient.secret_env is not None:
            secret = environment[recipient.secret_env].strip()
            webhook.send(url, secret, message.to_json().encode(), attempts=webhook.ATTEMPTS if retry else 1)
        else:
            services.send(recipient.to, url, recipient.address, message, limit=limit, retry=retry)
    except NotSent as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  whatever a library raises, the run goes on; its text may hold the address
        return f"{type(error).__name__}"
    return ""
