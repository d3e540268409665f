"""The entries of the section `notify`."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from components.base.values import Value, variable_name

Event = Literal["refused", "failed", "pushed", "recovered"]
EVENTS: tuple[Event, ...] = ("refused", "failed", "pushed", "recovered")
_ADDRESS = re.compile(r"[^\s@,;:/<>\"]+@[^\s@,;:/<>\"]+")


class Recipient(Value):
    """Who is told how a run ended, and of what, see [notifications](notify.md)."""

    to: Literal["slack", "teams", "webhook", "email"] = Field(
        description="`slack`: an incoming webhook of Slack. `teams`: a workflow of Microsoft Teams. `webhook`: signed "
        "JSON for a program. `email`: a mailbox."
    )
    url_env: str = Field(
        description="Name of the environment variable that holds the address to send to, such as `SLACK_URL`; for "
        "`email`, that of the mail server. The address itself is a secret and is written nowhere."
    )
    address: str | None = Field(None, description="Who gets the message; for `email`, which needs it.")
    secret_env: str | None = Field(
        None,
        description="Name of the environment variable that holds the secret with which messages are signed; for "
        "`webhook`, which needs it.",
    )
    on: tuple[Event, ...] = Field(
        EVENTS,
        min_length=1,
        description="`refused`: a gate refused. `failed`: a run broke, was stopped or could not start. `pushed`: a "
        "new model is served, or stands beside the served one as a challenger. `recovered`: the first good run after "
        "refused or failed ones.",
    )

    _is_name = field_validator("url_env", "secret_env", mode="before")(variable_name)

    @model_validator(mode="after")
    def _consistent(self) -> Recipient:
        for key, kind in (("address", "email"), ("secret_env", "webhook")):
            if (getattr(self, key) is None) == (self.to == kind):
                problem = "this key is missing" if self.to == kind else f"has no effect with to: {self.to}; remove it"
                raise ValueError(f"{key}: {problem}")
        if self.address is not None and _ADDRESS.fullmatch(self.address) is None:
            # What came is not shown: it may be the mail server with its password.
            raise ValueError(
                "address: expected one address, such as ml@example.org; the mail server belongs in the variable of "
                "url_env"
            )
        if len(set(self.on)) < len(self.on):
            raise ValueError(f"on: names an event twice, got {', '.join(self.on)}; remove one")
        return self

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the environment variables that sending reads."""
        return tuple(name for name in (self.url_env, self.secret_env) if name is not None)
